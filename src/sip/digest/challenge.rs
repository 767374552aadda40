//! WWW-Authenticate, Proxy-Authenticate and what answers them, read (RFC 3261 §20.44, RFC 7616
//! §3.3): one or several challenges to a line, with any blanks, cases and quotes peers put there.

use std::borrow::Cow;

use super::hash::Algorithm;
use super::hash::Qop;

/// What a server asks for, as far as it can be answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Challenge {
    /// As written between its quotes: it is sent back byte for byte.
    pub realm: String,
    /// As written between its quotes.
    pub nonce: String,
    /// As written between its quotes; may be empty.
    pub opaque: Option<String>,
    /// How to hash.
    pub algorithm: Algorithm,
    /// Whether the challenge named its algorithm: the answer then does too.
    pub names_algorithm: bool,
    /// What to protect: `auth` where it is offered; `None` when no qop was named.
    pub qop: Option<Qop>,
    /// The nonce was too old, and nothing else was wrong.
    pub stale: bool,
}

/// Why a challenge cannot be answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unanswerable {
    /// Not Digest.
    #[error("the scheme is not Digest")]
    Scheme,
    /// No realm or no nonce.
    #[error("the challenge has no realm or no nonce")]
    Incomplete,
    /// An algorithm this is not built for.
    #[error("the algorithm is not known")]
    Algorithm,
    /// Neither `auth` nor `auth-int`.
    #[error("no quality of protection that is known")]
    Qop,
}

/// A scheme with its parameters, unread.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Parameters<'a> {
    /// `Digest`, `Basic` …
    pub scheme: &'a str,
    list: Vec<(&'a str, &'a str)>,
}

impl<'a> Parameters<'a> {
    /// Reads every scheme of a header value.
    pub fn list(value: &'a str) -> Vec<Self> {
        let mut found: Vec<Self> = Vec::new();
        for piece in super::super::headers::params::split(value, ',') {
            let piece = piece.trim();
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            let name = name.trim();
            let name = match name.split_once([' ', '\t']) {
                Some((scheme, name)) => {
                    found.push(Self {
                        scheme,
                        list: Vec::new(),
                    });
                    name.trim()
                }
                // A scheme without parameters.
                None if !piece.contains('=') && !piece.is_empty() => {
                    found.push(Self {
                        scheme: piece,
                        list: Vec::new(),
                    });
                    continue;
                }
                None => name,
            };
            if let Some(last) = found.last_mut()
                && !name.is_empty()
            {
                last.list.push((name, unquoted(value.trim())));
            }
        }
        found
    }

    /// A parameter as written between its quotes.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        let (_, value) = self
            .list
            .iter()
            .find(|(given, _)| given.eq_ignore_ascii_case(name))?;
        Some(value)
    }
}

fn unquoted(text: &str) -> &str {
    text.strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(text)
}

/// What a quoted string says: without the backslashes that escape (RFC 3261 §25.1).
pub(super) fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return text.into();
    }
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => plain.extend(chars.next()),
            _ => plain.push(c),
        }
    }
    plain.into()
}

impl Challenge {
    /// Makes sense of a scheme and its parameters.
    pub fn read(parameters: &Parameters<'_>) -> Result<Self, Unanswerable> {
        if !parameters.scheme.eq_ignore_ascii_case("Digest") {
            return Err(Unanswerable::Scheme);
        }
        let (Some(realm), Some(nonce)) = (parameters.get("realm"), parameters.get("nonce")) else {
            return Err(Unanswerable::Incomplete);
        };
        if nonce.is_empty() {
            return Err(Unanswerable::Incomplete);
        }
        let named = parameters.get("algorithm").filter(|name| !name.is_empty());
        let algorithm = match named {
            Some(name) => Algorithm::parse(name).ok_or(Unanswerable::Algorithm)?,
            None => Algorithm::MD5,
        };
        Ok(Self {
            realm: realm.to_owned(),
            nonce: nonce.to_owned(),
            opaque: parameters.get("opaque").map(str::to_owned),
            algorithm,
            names_algorithm: named.is_some(),
            qop: qop(parameters.get("qop"))?,
            stale: parameters
                .get("stale")
                .is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
        })
    }
}

/// `auth` where it is offered, else `auth-int`. An empty list is none.
fn qop(offered: Option<&str>) -> Result<Option<Qop>, Unanswerable> {
    let Some(offered) = offered.map(str::trim).filter(|offered| !offered.is_empty()) else {
        return Ok(None);
    };
    let offers = |wanted: Qop| {
        offered
            .split([',', ' ', '\t'])
            .any(|one| one.eq_ignore_ascii_case(wanted.as_str()))
    };
    [Qop::Auth, Qop::AuthInt]
        .into_iter()
        .find(|qop| offers(*qop))
        .map(Some)
        .ok_or(Unanswerable::Qop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Vec<Result<Challenge, Unanswerable>> {
        Parameters::list(value)
            .iter()
            .map(Challenge::read)
            .collect()
    }

    #[test]
    fn a8_odd_spellings_say_the_same() {
        let plain =
            &read(r#"Digest realm="r", nonce="n", qop="auth", algorithm=MD5, stale=true"#)[0];
        for odd in [
            r#"digest  Realm = "r",nonce="n" , qop=auth,ALGORITHM="md5",stale="TRUE","#,
            "Digest realm=\"r\",\r\n nonce=\"n\", qop=\"auth-int , auth\", algorithm=md5, stale=True, x=y",
            r#"Digest nonce=n, realm=r, qop="auth", algorithm=MD5, stale=true, domain="a,b=c""#,
        ] {
            assert_eq!(&read(odd)[0], plain, "{odd}");
        }
    }

    #[test]
    fn a3_several_challenges_of_one_line_are_told_apart() {
        let line = r#"Digest realm="a", nonce="1", Basic realm="b", Digest realm="c", nonce="2", algorithm=SHA-256"#;
        let challenges = read(line);
        assert_eq!(challenges.len(), 3);
        assert_eq!(challenges[0].as_ref().unwrap().realm, "a");
        assert_eq!(challenges[1], Err(Unanswerable::Scheme));
        assert_eq!(challenges[2].as_ref().unwrap().realm, "c");
    }

    #[test]
    fn a12_what_cannot_be_answered_says_why() {
        for (value, why) in [
            (r#"Basic realm="r""#, Unanswerable::Scheme),
            ("Bearer", Unanswerable::Scheme),
            (r#"Digest realm="r""#, Unanswerable::Incomplete),
            (r#"Digest realm="r", nonce="""#, Unanswerable::Incomplete),
            (r#"Digest nonce="n""#, Unanswerable::Incomplete),
            (
                r#"Digest realm="r", nonce="n", algorithm=SHA-1"#,
                Unanswerable::Algorithm,
            ),
            (
                r#"Digest realm="r", nonce="n", qop="auth-conf""#,
                Unanswerable::Qop,
            ),
        ] {
            assert_eq!(read(value), [Err(why)], "{value}");
        }
        assert!(read("").is_empty());
    }

    #[test]
    fn a9_escapes_are_kept_for_the_wire_and_read_for_the_hash() {
        let challenge = read(r#"Digest realm="a\"b, c", nonce="n""#)[0]
            .clone()
            .unwrap();
        assert_eq!(challenge.realm, r#"a\"b, c"#);
        assert_eq!(unescape(&challenge.realm), r#"a"b, c"#);
    }
}
