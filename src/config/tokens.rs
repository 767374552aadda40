//! `http.tokens`: who may call, known by the hashes of tokens, and what each of them allows.

use std::sync::Arc;

use super::account::address_of_record;
use super::section::Section;
use crate::api::{Rights, Token};
use crate::sip::uri::Uri;
use crate::webhook::SigningSecret;

/// All tokens are compared on every request (constant time), hence a limit.
const MAX_TOKENS: usize = 1_000;
/// Characters of a name, which stands in the log lines about its caller.
const MAX_NAME: usize = 64;

/// What `http.tokens` says.
pub(super) struct Tokens {
    /// Each token without a mistake, with the secrets that sign in place of `webhooks.secret`.
    pub(super) valid: Vec<(Token, Vec<SigningSecret>)>,
    /// Whether there are any, also with mistakes.
    pub(super) are_written: bool,
}

/// Reads `http.tokens`. `accounts` are the addresses that tokens may be limited to.
pub(super) fn read(section: &mut Section<'_>, accounts: &[Uri]) -> Tokens {
    let tables = section.tables(
        "tokens",
        None,
        &["sha256", "webhook_secret"],
        "{ name = \"backend\", sha256 = \"…\" }",
    );
    let tables = tables.unwrap_or_default();
    let are_written = !tables.is_empty();
    let mut tokens: Vec<(Token, _)> = Vec::new();
    for table in tables {
        let Some((token, secrets)) = read_one(table, accounts) else {
            continue;
        };
        if tokens.iter().any(|(other, _)| other.name == token.name) {
            section.wrong("tokens", "two tokens have the same name", "different names");
        }
        if tokens.iter().any(|(other, _)| other.sha256 == token.sha256) {
            let problem = "two names have the same token";
            section.wrong("tokens", problem, "a token of its own for each");
        }
        tokens.push((token, secrets));
    }
    if tokens.len() > MAX_TOKENS {
        let accepted = format!("at most {MAX_TOKENS} tokens");
        section.wrong("tokens", "has too many", &accepted);
    }
    Tokens {
        valid: tokens,
        are_written,
    }
}

fn read_one(section: Section<'_>, accounts: &[Uri]) -> Option<(Token, Vec<SigningSecret>)> {
    let mut section = section.with_defaults([("access", "full".into())]);
    let accepted = "a text of one line, of at most 64 characters";
    let name = section.required_text("name", accepted, name);
    let accepted = "the SHA-256 of the token, 64 hexadecimal digits: printf %s TOKEN | sha256sum";
    section.require_secret("sha256", accepted);
    let sha256 = section.secret("sha256", accepted, sha256);
    let accounts = own_accounts(&mut section, accounts);
    let rights = section.word("access", &[("full", Rights::Full), ("read", Rights::Read)]);
    let rate = section.positive("rate");
    let share = section.positive("share");
    if share.is_some_and(|share| share > 1.0) {
        let accepted = "a number above 0 and at most 1";
        section.wrong("share", "is above 1", accepted);
    }
    let accepted = "\"whsec_\" and 24 to 64 bytes in base64, or two of them with a blank between";
    let secrets = section.secret("webhook_secret", accepted, signing_secrets);
    let secrets = secrets.unwrap_or_default();
    section.finish();
    Some((
        Token {
            name: name?,
            sha256: sha256?,
            accounts,
            rights,
            rate,
            share,
            signs_webhooks: !secrets.is_empty(),
        },
        secrets,
    ))
}

/// The accounts that a token is limited to, as they are spelled where they are configured: that is
/// what messages carry.
fn own_accounts(section: &mut Section<'_>, accounts: &[Uri]) -> Option<Arc<[Arc<str>]>> {
    let accepted = "the addresses of configured accounts, such as [\"sip:alice@example.com\"]";
    let is_limited = section.has("from");
    let named = section.texts("from", accepted, address_of_record);
    if is_limited && named.is_empty() {
        section.wrong("from", "names no account", accepted);
    }
    let mut own: Vec<Arc<str>> = Vec::with_capacity(named.len());
    for from in named {
        let address = from.address_of_record();
        let mut accounts = accounts.iter();
        match accounts.find(|account| account.address_of_record() == address) {
            Some(account) => own.push(account.as_str().into()),
            None => {
                let problem = format!("{from} is not a configured account");
                section.wrong("from", &problem, "the uri of an [[account]]");
            }
        }
    }
    is_limited.then(|| own.into())
}

fn name(text: &str) -> Option<Arc<str>> {
    let fits = text.chars().count() <= MAX_NAME && !text.chars().any(char::is_control);
    fits.then(|| text.into())
}

fn signing_secrets(text: &str) -> Option<Vec<SigningSecret>> {
    let secrets = text.split_ascii_whitespace().map(SigningSecret::parse);
    let secrets: Option<Vec<_>> = secrets.collect();
    secrets.filter(|secrets| matches!(secrets.len(), 1 | 2))
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
