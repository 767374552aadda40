//! `Scheme name=value, name="value"`: what challenges, answers and `Authentication-Info` are made
//! of.
//!
//! Read tolerantly: blanks and folds anywhere, quotes where a token belongs and the other way
//! round, missing and superfluous commas, several schemes in one value. What cannot be read is
//! stepped over.

use crate::sip::parse::is_token;

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

/// Reads every scheme of a header value.
pub(super) fn parse(value: &[u8]) -> Vec<Params> {
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

/// Appends a value as a quoted-string (RFC 3261 §25.1).
pub(super) fn push_quoted(out: &mut Vec<u8>, value: &[u8]) {
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
