//! Who may call: tokens, known by their hashes, and what each of them allows.

use std::net::SocketAddr;

use super::Account;
use super::address::AddressOfRecord;
use super::report::Report;
use super::secret::Secret;
use super::section::Section;
use super::webhooks::whsec;

/// Who may call.
#[derive(Clone, Debug)]
pub enum Auth {
    /// Who shows one of these tokens. Never empty.
    Tokens(Vec<Token>),
    /// Anyone on this machine: no token is configured, and only loopback is listened on.
    Loopback,
    /// Anyone: the operator wrote it out.
    Anyone,
}

/// A token, known by its hash only.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// Whose it is, for logs and limits.
    pub name: String,
    /// SHA-256 of the token.
    pub sha256: [u8; 32],
    /// The accounts it may send as and see the messages of; `None` for all.
    pub from: Option<Vec<AddressOfRecord>>,
    /// What it may do.
    pub access: TokenAccess,
    /// Requests a second, where a batch counts as many as it has messages; `None` for any number.
    pub rate: Option<f64>,
    /// Its share of `delivery.max_queued` and `http.max_streams`, above 0 and at most 1; `None` for
    /// half of them, or all when it is the only token.
    pub share: Option<f64>,
    /// Sign the events of its messages that name their own webhook, in place of `webhooks.secret`:
    /// `whsec_…` each; two while receivers change over.
    pub webhook_secrets: Vec<Secret>,
}

/// What a token may do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TokenAccess {
    /// Everything.
    Full,
    /// Look, and change nothing.
    Read,
}

/// More are refused: each is looked at for every request, so that the time says nothing.
const MAX_TOKENS: usize = 1_000;
/// Characters of a name, which stands in every line of the log that tells of its caller.
const MAX_NAME: usize = 64;

impl Auth {
    pub(super) fn read(section: &mut Section<'_>, listen: SocketAddr) -> Self {
        let open = section.word("auth", &[("token", false), ("none", true)]);
        let tokens = Token::read_list(section);
        match (open, tokens.is_empty()) {
            (false, false) => return Self::Tokens(tokens),
            (false, true) if listen.ip().is_loopback() => return Self::Loopback,
            (false, true) => section.wrong(
                "listen",
                "without http.tokens, others could send messages through this address",
                "a loopback address, or http.tokens, or http.auth = \"none\"",
            ),
            (true, true) => {}
            (true, false) => section.wrong(
                "auth",
                "\"none\" would not ask for the tokens that are configured",
                "\"token\", or no tokens",
            ),
        }
        Self::Anyone
    }

    /// Notes the tokens that are for accounts there are not.
    pub(super) fn check_accounts(&self, accounts: &[Account], report: &Report) {
        let Self::Tokens(tokens) = self else {
            return;
        };
        for (index, token) in tokens.iter().enumerate() {
            for from in token.from.iter().flatten() {
                if !accounts.iter().any(|account| account.uri.is_same(from)) {
                    let problem = format!("{from} is not a configured account");
                    let path = format!("http.tokens[{index}].from");
                    report.note(&path, &problem, "the uri of an [[account]]", None);
                }
            }
        }
    }
}

impl Token {
    fn read_list(section: &mut Section<'_>) -> Vec<Self> {
        let tables = section.tables("tokens", None, &["sha256", "webhook_secret"]);
        let mut tokens: Vec<Self> = Vec::new();
        for table in tables.unwrap_or_default() {
            let Some(token) = Self::read(table) else {
                continue;
            };
            if tokens.iter().any(|other| other.name == token.name) {
                section.wrong("tokens", "two tokens have the same name", "different names");
            }
            if tokens.iter().any(|other| other.sha256 == token.sha256) {
                let problem = "two names have the same token";
                section.wrong("tokens", problem, "a token of its own for each");
            }
            tokens.push(token);
        }
        if tokens.len() > MAX_TOKENS {
            let accepted = format!("at most {MAX_TOKENS} tokens");
            section.wrong("tokens", "has too many", &accepted);
        }
        tokens
    }

    fn read(section: Section<'_>) -> Option<Self> {
        let mut section = section.or([("access", "full".into())]);
        let named = "a text of one line, of at most 64 characters";
        let name = section.required_text("name", named, name);
        let accepted = "the SHA-256 of the token, 64 hexadecimal digits";
        section.require_secret("sha256", accepted);
        let sha256 = section.secret("sha256", accepted, sha256);
        let has_from = section.has("from");
        let accounts = "the addresses of configured accounts, such as [\"sip:alice@example.com\"]";
        let from = section.texts("from", accounts, AddressOfRecord::parse);
        if has_from && from.is_empty() {
            section.wrong("from", "names no account", accounts);
        }
        let access = [("full", TokenAccess::Full), ("read", TokenAccess::Read)];
        let access = section.word("access", &access);
        let rate = section.positive("rate");
        let share = section.positive("share");
        if share.is_some_and(|share| share > 1.0) {
            section.wrong(
                "share",
                "is more than all",
                "a number above 0 and at most 1",
            );
        }
        let secrets =
            "\"whsec_\" and 24 to 64 bytes in base64, or two of them with a blank between";
        let webhook_secrets = section.secret("webhook_secret", secrets, whsecs);
        section.finish();
        Some(Self {
            name: name?,
            sha256: sha256?,
            from: has_from.then_some(from),
            access,
            rate,
            share,
            webhook_secrets: webhook_secrets.unwrap_or_default(),
        })
    }
}

fn name(text: &str) -> Option<String> {
    let fits = text.chars().count() <= MAX_NAME && !text.chars().any(char::is_control);
    fits.then(|| text.to_owned())
}

fn whsecs(text: &str) -> Option<Vec<Secret>> {
    let secrets: Vec<&str> = text.split_ascii_whitespace().collect();
    let parsed: Option<Vec<Secret>> = secrets.iter().map(|secret| whsec(secret)).collect();
    parsed.filter(|secrets| matches!(secrets.len(), 1 | 2))
}

/// 64 hexadecimal digits.
fn sha256(text: &str) -> Option<[u8; 32]> {
    let text = text.trim();
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(bytes)
}
