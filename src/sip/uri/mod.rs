//! SIP and SIPS URIs (RFC 3261 §19.1), and the other URIs that headers may carry.
//!
//! A [`Uri`] is one text and the places of its parts in it, so that reading one costs one
//! allocation and writing one none. The text is canonical: scheme, host, parameter names and the
//! values of `transport` and `user` are lower-case, characters are escaped only where the grammar
//! asks for it, and escapes are upper-case. The other rules of equivalence (§19.1.4) are in
//! [`Uri::is_equivalent`].
//!
//! Taken although the grammar does not allow it, because peers write it: `_` in a host and `-` at
//! the end of one of its labels, and visible characters, ASCII or not, that should have been
//! escaped. Two `@`, an empty parameter and a broken escape are refused: there parsers disagree
//! about the meaning, and a gateway that guesses sends messages to strangers.

pub(super) mod escape;
mod writer;

use std::fmt;

use writer::CanonicalWriter;

/// A SIP or SIPS URI.
///
/// Compared with `==` it is its canonical text; RFC 3261's own comparison, which ignores more, is
/// [`is_equivalent`](Self::is_equivalent).
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct Uri {
    text: Box<str>,
    scheme: Scheme,
    user: Option<TextSpan>,
    password: Option<TextSpan>,
    host: TextSpan,
    port: Option<u16>,
    /// What follows the host and port up to the headers, without its first semicolon.
    params: Option<TextSpan>,
    /// Without the question mark.
    headers: Option<TextSpan>,
}

/// Which of the two schemes a URI has. There is no equivalence between them (RFC 3261 §19.1.4).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Scheme {
    /// `sip`
    Sip,
    /// `sips`: every hop is to be secured (RFC 5630).
    Sips,
}

/// Any URI that may stand in a header: `From` and `To` of a peer may well be `tel` URIs.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum AnyUri {
    /// One that SIP can route.
    Sip(Uri),
    /// Another one, as written (RFC 3986 §4.3): a scheme, a colon and the rest.
    Other(Box<str>),
}

/// Why a text is not a URI.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum UriError {
    /// It is longer than [`Uri::MAX_LENGTH`].
    #[error("the URI is longer than {} bytes", Uri::MAX_LENGTH)]
    TooLong,
    /// It begins with neither `sip:` nor `sips:`.
    #[error("the URI begins with neither sip: nor sips:")]
    Scheme,
    /// A blank, a control character, a quotation mark or an angle bracket.
    #[error("the URI has a character that no URI may have")]
    Character,
    /// A percent sign without two hexadecimal digits after it.
    #[error("a percent sign in the URI is not followed by two hexadecimal digits")]
    Escape,
    /// Nothing before the `@`.
    #[error("there is no user before the @")]
    User,
    /// Neither a domain name nor an IP address.
    #[error("the host is neither a domain name nor an IP address")]
    Host,
    /// Outside 1 to 65535.
    #[error("the port is not a number from 1 to 65535")]
    Port,
    /// One without a name.
    #[error("a parameter of the URI has no name")]
    Parameter,
    /// One without a name or without a value.
    #[error("a header in the URI is not name=value")]
    Header,
    /// More parameters, or more headers, than [`Uri::MAX_PARAMETERS`].
    #[error("the URI has more than {} parameters or headers", Uri::MAX_PARAMETERS)]
    TooMany,
}

/// Parameters that count even if only one of the two has them. `transport` is not in the RFC's
/// sentence but in its examples: without it the resolution may choose another one.
const NEVER_IGNORED: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];

/// A place in the text; the length bound makes it fit.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
struct TextSpan {
    start: u16,
    end: u16,
}

impl Uri {
    /// How many bytes a URI has at most, as it is given and as it is written. RFC 3261 sets no
    /// bound; real ones stay far below this.
    pub const MAX_LENGTH: usize = 1024;

    /// How many parameters a URI has at most, and how many headers: comparing two URIs looks each
    /// of them up among the others.
    pub const MAX_PARAMETERS: usize = 32;

    /// Reads one; nothing may stand around it.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        if text.len() > Self::MAX_LENGTH {
            return Err(UriError::TooLong);
        }
        if text
            .bytes()
            .any(|byte| byte <= b' ' || matches!(byte, 0x7f | b'"' | b'<' | b'>'))
        {
            return Err(UriError::Character);
        }
        let (scheme, rest) = split_scheme(text).ok_or(UriError::Scheme)?;
        let (userinfo, rest) = match rest.split_once('@') {
            Some((userinfo, rest)) => (Some(userinfo), rest),
            None => (None, rest),
        };
        let (rest, headers) = split_at_char(rest, '?');
        let (hostport, params) = split_at_char(rest, ';');

        let mut writer = CanonicalWriter::new(scheme, text.len());
        let (user, password) = writer.userinfo(userinfo)?;
        let (host, port) = writer.hostport(hostport)?;
        let params = params.map(|params| writer.params(params)).transpose()?;
        let headers = match headers {
            None | Some("") => None,
            Some(headers) => Some(writer.headers(headers)?),
        };
        let text = writer.finish()?;
        Ok(Self {
            text,
            scheme,
            user,
            password,
            host,
            port,
            params,
            headers,
        })
    }

    /// The canonical text: what goes on the wire, and what digest hashes.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// `sip` or `sips`.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The user, escaped as on the wire; `None` for a URI that names a host only.
    pub fn user(&self) -> Option<&str> {
        self.user.map(|span| self.part(span))
    }

    /// The user as bytes a person means, without escapes.
    pub fn user_unescaped(&self) -> Option<Vec<u8>> {
        self.user().map(escape::unescape)
    }

    /// The password, escaped as on the wire. RFC 3261 §19.1.1 advises against having one.
    pub fn password(&self) -> Option<&str> {
        self.password.map(|span| self.part(span))
    }

    /// The host in lower case; an IPv6 address with its brackets.
    pub fn host(&self) -> &str {
        self.part(self.host)
    }

    /// The port, if one is written.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Host and port as written.
    pub fn host_and_port(&self) -> &str {
        let end = match (self.params, self.headers) {
            (Some(next), _) | (None, Some(next)) => next.start - 1,
            (None, None) => self.end(),
        };
        self.part(TextSpan {
            start: self.host.start,
            end,
        })
    }

    /// The canonical text without the port.
    pub fn without_port(&self) -> String {
        let host_end = usize::from(self.host.end);
        let end = usize::from(self.host.start) + self.host_and_port().len();
        let (before, after) = (self.text.get(..host_end), self.text.get(end..));
        [before.unwrap_or_default(), after.unwrap_or_default()].concat()
    }

    /// Every parameter in order: name in lower case, and value.
    pub fn params(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let params = self.params.map(|span| self.part(span).split(';'));
        params
            .into_iter()
            .flatten()
            .map(|param| match param.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (param, None),
            })
    }

    /// The value of the parameter of this lower-case name: `None` when it is absent, `Some("")`
    /// when it has no value. Of several the last counts.
    pub fn param(&self, name: &str) -> Option<&str> {
        let same = self.params().filter(|(given, _)| *given == name);
        same.last().map(|(_, value)| value.unwrap_or_default())
    }

    /// Every header in order: name and value, escaped.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let headers = self.headers.map(|span| self.part(span).split('&'));
        headers
            .into_iter()
            .flatten()
            .map(|header| header.split_once('=').unwrap_or((header, "")))
    }

    /// The address of record it belongs to (RFC 3261 §10.3 step 5): no password, parameters or
    /// headers.
    pub fn address_of_record(&self) -> Self {
        let mut writer = CanonicalWriter::new(self.scheme, self.text.len());
        let user = self.user().map(|user| {
            let span = writer.push(user);
            writer.text.push('@');
            span
        });
        self.without_the_rest(writer, user)
    }

    /// The host alone: what a REGISTER for this address is sent to (RFC 3261 §10.2).
    pub fn registrar(&self) -> Self {
        self.without_the_rest(CanonicalWriter::new(self.scheme, self.text.len()), None)
    }

    fn without_the_rest(&self, mut writer: CanonicalWriter, user: Option<TextSpan>) -> Self {
        let host = writer.push(self.host());
        writer.port(self.port);
        let text = writer.text.into_boxed_str();
        let (scheme, port) = (self.scheme, self.port);
        Self {
            text,
            scheme,
            user,
            password: None,
            host,
            port,
            params: None,
            headers: None,
        }
    }

    /// Whether the two are equivalent (RFC 3261 §19.1.4). This is no equivalence relation in the
    /// mathematical sense: `a;x=1` and `a;x=2` both match `a`, and not each other.
    pub fn is_equivalent(&self, other: &Self) -> bool {
        self.scheme == other.scheme
            && self.user() == other.user()
            && self.password() == other.password()
            && self.host() == other.host()
            && self.port == other.port
            && params_agree(self, other)
            && params_agree(other, self)
            && self.headers().count() == other.headers().count()
            && self.headers().all(|header| has_header(other, header))
    }

    fn end(&self) -> u16 {
        // The constructors refuse texts longer than `MAX_LENGTH`.
        u16::try_from(self.text.len()).unwrap_or(u16::MAX)
    }

    fn part(&self, span: TextSpan) -> &str {
        &self.text[usize::from(span.start)..usize::from(span.end)]
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// Without the password.
impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.password {
            None => f.write_str(&self.text),
            Some(password) => {
                let start = self.part(TextSpan {
                    start: 0,
                    end: password.start,
                });
                let end = self.part(TextSpan {
                    start: password.end,
                    end: self.end(),
                });
                write!(f, "{start}***{end}")
            }
        }
    }
}

impl Scheme {
    /// `sip` or `sips`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sip => "sip",
            Self::Sips => "sips",
        }
    }
}

impl AnyUri {
    /// Reads a URI of any scheme; nothing may stand around it.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        match Uri::parse(text) {
            Ok(uri) => Ok(Self::Sip(uri)),
            Err(UriError::Scheme) if is_absolute(text) => Ok(Self::Other(text.into())),
            Err(error) => Err(error),
        }
    }

    /// The text: canonical if SIP's, as written if not.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Sip(uri) => uri.as_str(),
            Self::Other(text) => text,
        }
    }
}

/// The scheme if it is one of the two, and what follows the colon.
pub(super) fn split_scheme(text: &str) -> Option<(Scheme, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    if scheme.eq_ignore_ascii_case("sip") {
        Some((Scheme::Sip, rest))
    } else if scheme.eq_ignore_ascii_case("sips") {
        Some((Scheme::Sips, rest))
    } else {
        None
    }
}

fn params_agree(one: &Uri, other: &Uri) -> bool {
    // RFC 3261 §19.1.1 allows a name once; of one that is there twice, the same counts on each
    // side.
    one.params()
        .all(|(name, _)| match (one.param(name), other.param(name)) {
            (Some(ours), Some(theirs)) => ours.eq_ignore_ascii_case(theirs),
            (None, _) | (Some(_), None) => !NEVER_IGNORED.contains(&name),
        })
}

fn has_header(uri: &Uri, (name, value): (&str, &str)) -> bool {
    uri.headers().any(|(their_name, their_value)| {
        name.eq_ignore_ascii_case(their_name) && value.eq_ignore_ascii_case(their_value)
    })
}

fn is_absolute(text: &str) -> bool {
    text.split_once(':').is_some_and(|(scheme, rest)| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
            && !rest.is_empty()
    })
}

fn split_at_char(text: &str, at: char) -> (&str, Option<&str>) {
    match text.split_once(at) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests;
