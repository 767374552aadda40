//! What a server asks for in `WWW-Authenticate` and `Proxy-Authenticate`, and the parameter lists
//! that all digest headers are made of.

use super::algorithm::Algorithm;
use crate::sip::parse::is_token;

/// A digest challenge that can be answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Challenge {
    /// Whose credentials are wanted.
    pub realm: Vec<u8>,
    /// To be hashed and sent back.
    pub nonce: Vec<u8>,
    /// To be sent back, also when it is empty.
    pub opaque: Option<Vec<u8>>,
    /// MD5 when none was named.
    pub algorithm: Algorithm,
    /// Whether it was named: only then it is sent back.
    pub names_algorithm: bool,
    /// What the answer protects; `None` for a server of RFC 2069's time.
    pub qop: Option<Qop>,
    /// The credentials were right and only the nonce was too old.
    pub stale: bool,
    /// The user name is to be sent hashed (RFC 7616 §3.4.4).
    pub userhash: bool,
}

/// Quality of protection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Qop {
    /// The request line.
    Auth,
    /// The body too.
    AuthInt,
}

/// Reads every challenge of a header value. `None` stands for one that cannot be answered: of
/// another scheme than digest, of an unknown algorithm or protection, or without a nonce.
pub(super) fn parse(value: &[u8]) -> impl Iterator<Item = Option<Challenge>> {
    parse_params(value)
        .into_iter()
        .map(|params| challenge(&params))
}

fn challenge(params: &Params) -> Option<Challenge> {
    if params.scheme != "digest" {
        return None;
    }
    let nonce = params.find("nonce").filter(|nonce| !nonce.is_empty())?;
    let algorithm = params.find("algorithm");
    Some(Challenge {
        realm: params.find("realm")?.to_vec(),
        nonce: nonce.to_vec(),
        opaque: params.find("opaque").map(<[u8]>::to_vec),
        algorithm: algorithm.map_or(Some(Algorithm::MD5), Algorithm::parse)?,
        names_algorithm: algorithm.is_some(),
        qop: qop(params.find("qop"))?,
        stale: params.is_true("stale"),
        userhash: params.is_true("userhash"),
    })
}

/// `auth` if it is on offer: it costs less than `auth-int` and survives what rewrites bodies.
/// `None` when only unknown ones are.
fn qop(offered: Option<&[u8]>) -> Option<Option<Qop>> {
    let words = offered
        .unwrap_or_default()
        .split(|byte| matches!(byte, b',' | b' ' | b'\t'));
    let words: Vec<&[u8]> = words.filter(|word| !word.is_empty()).collect();
    let offers = |qop: Qop| words.iter().any(|word| Qop::parse(word) == Some(qop));
    if words.is_empty() {
        return Some(None);
    }
    let known = [Qop::Auth, Qop::AuthInt];
    known.into_iter().find(|qop| offers(*qop)).map(Some)
}

impl Qop {
    /// Reads one, in any case.
    pub fn parse(word: &[u8]) -> Option<Self> {
        let all = [Self::Auth, Self::AuthInt];
        all.into_iter()
            .find(|qop| qop.as_str().as_bytes().eq_ignore_ascii_case(word))
    }

    /// `auth` or `auth-int`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::AuthInt => "auth-int",
        }
    }
}

/// One scheme with its parameters, the names in lower case, the values without their quotes.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Params {
    /// In lower case; empty for parameters in front of which there is none.
    pub scheme: String,
    params: Vec<(String, Vec<u8>)>,
}

/// How long a value may be: it is kept, and sent back with every request.
const MAX_VALUE: usize = 2048;

impl Params {
    /// The first value of this lower-case name.
    pub(super) fn find(&self, name: &str) -> Option<&[u8]> {
        let same = self.params.iter().find(|(given, _)| given == name);
        same.map(|(_, value)| value.as_slice())
    }

    /// The same as text, if it is any.
    pub(super) fn find_text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.find(name)?).ok()
    }

    /// Whether the value of this name is `true`, in any case, quoted or not.
    pub(super) fn is_true(&self, name: &str) -> bool {
        self.find(name)
            .is_some_and(|value| value.eq_ignore_ascii_case(b"true"))
    }
}

/// Reads every scheme of a header value. Tolerant: blanks and folds anywhere, quotes where a token
/// belongs and the other way round, missing and superfluous commas, several schemes in one value.
/// What cannot be read is skipped.
pub(super) fn parse_params(value: &[u8]) -> Vec<Params> {
    let mut scanner = Scanner { rest: value };
    let mut all: Vec<Params> = Vec::new();
    loop {
        scanner.skip(|byte| is_blank(byte) || matches!(byte, b',' | b';'));
        if scanner.rest.is_empty() {
            return all;
        }
        let word = scanner.take(is_token);
        if word.is_empty() {
            scanner.rest = &scanner.rest[1..];
            continue;
        }
        let word = String::from_utf8_lossy(word).to_ascii_lowercase();
        scanner.skip(is_blank);
        if scanner.rest.first() != Some(&b'=') {
            if !continues_qop(&mut all, &word) {
                all.push(Params {
                    scheme: word,
                    params: Vec::new(),
                });
            }
            continue;
        }
        scanner.rest = &scanner.rest[1..];
        scanner.skip(is_blank);
        if let Some(value) = scanner.value() {
            if all.is_empty() {
                all.push(Params::default());
            }
            if let Some(scheme) = all.last_mut() {
                scheme.params.push((word, value));
            }
        }
    }
}

/// Whether the word is the rest of `qop=auth,auth-int` without quotes, not a scheme.
fn continues_qop(all: &mut [Params], word: &str) -> bool {
    let last = all.last_mut().and_then(|scheme| scheme.params.last_mut());
    match last {
        Some((name, value)) if name == "qop" && matches!(word, "auth" | "auth-int") => {
            value.push(b',');
            value.extend_from_slice(word.as_bytes());
            true
        }
        _ => false,
    }
}

/// Appends `name`, and the value as a quoted-string (RFC 3261 §25.1).
pub(super) fn push_quoted(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.push(b'"');
    for &byte in value {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

struct Scanner<'a> {
    rest: &'a [u8],
}

impl<'a> Scanner<'a> {
    fn skip(&mut self, unwanted: impl Fn(u8) -> bool) {
        self.take(unwanted);
    }

    fn take(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|byte| !wanted(*byte));
        let (taken, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        taken
    }

    fn value(&mut self) -> Option<Vec<u8>> {
        let value = match self.rest.split_first() {
            Some((b'"', rest)) => {
                self.rest = rest;
                self.quoted()?
            }
            _ => self
                .take(|byte| !is_blank(byte) && !matches!(byte, b',' | b';'))
                .to_vec(),
        };
        // A control character would end up in a header of ours.
        let is_clean = !value
            .iter()
            .any(|byte| byte.is_ascii_control() && *byte != b'\t');
        (is_clean && value.len() <= MAX_VALUE).then_some(value)
    }

    /// Up to the closing quote. A backslash stands for the byte after it; a fold for one blank
    /// (RFC 3261 §7.3.1).
    fn quoted(&mut self) -> Option<Vec<u8>> {
        let mut value = Vec::new();
        loop {
            let (&byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            match byte {
                b'"' => return Some(value),
                b'\\' => {
                    let (&escaped, rest) = rest.split_first()?;
                    self.rest = rest;
                    value.push(escaped);
                }
                b'\r' | b'\n' => {
                    self.skip(is_blank);
                    value.push(b' ');
                }
                _ => value.push(byte),
            }
        }
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}
