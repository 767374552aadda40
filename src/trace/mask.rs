//! Hides secrets in a SIP message, byte for byte, so that its length stays.
//!
//! | header                                       | what stays                                   |
//! |----------------------------------------------|----------------------------------------------|
//! | Authorization, Proxy-Authorization           | the scheme; of Digest what [`SHOWN`] lists   |
//! | WWW-Authenticate, Proxy-Authenticate         | the same                                     |
//! | Authentication-Info, Proxy-Authentication-Info | what [`SHOWN`] lists                       |
//! | Cookie, Set-Cookie                           | nothing                                      |
//! | those that the WebSocket handshake carries by setting | nothing                             |
//! | any other                                    | all of it                                    |
//!
//! What cannot be read is hidden: a message whose first line is not SIP's, a parameter that is not
//! on the list, a quotation mark without its partner.

use std::ops::Range;

/// Stands for each byte that is hidden. It may stand in a token, in a quoted string and in text.
const FILLER: u8 = b'*';

/// Digest parameters that tell nothing to whom must not answer a challenge (RFC 7616 §3.3, §3.4).
const SHOWN: [&str; 11] = [
    "realm",
    "domain",
    "stale",
    "algorithm",
    "qop",
    "charset",
    "userhash",
    "username",
    "uri",
    "nc",
    "auth",
];

/// What a header may hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Secrecy {
    None,
    /// A scheme, then parameters.
    Credentials,
    /// Parameters without a scheme.
    Parameters,
    Whole,
}

/// What of a message is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Masking<'s> {
    /// Whether its body is.
    pub(super) shows_bodies: bool,
    /// Names of headers whose values are hidden, in lower case.
    pub(super) hidden_headers: &'s [Box<str>],
}

impl Masking<'_> {
    /// Hides the secrets in a message.
    pub(super) fn apply(self, message: &mut [u8]) {
        let begin = message.iter().position(|byte| !is_line_end(*byte));
        let Some(begin) = begin else {
            return;
        };
        let (first, mut rest) = line(message, begin);
        if !is_sip(&message[first]) {
            return fill(&mut message[begin..]);
        }
        while rest < message.len() {
            let (head, after) = line(message, rest);
            if head.is_empty() {
                if !self.shows_bodies {
                    fill_all(&mut message[after..]);
                }
                return;
            }
            let (mut value, mut next) = (head, after);
            while matches!(message.get(next), Some(b' ' | b'\t')) {
                let (continuation, following) = line(message, next);
                value.end = continuation.end;
                next = following;
            }
            self.header(&mut message[value]);
            rest = next;
        }
    }

    /// Hides the secrets in a header with its continuation lines.
    fn header(self, header: &mut [u8]) {
        let Some(colon) = header.iter().position(|byte| *byte == b':') else {
            // Not a header that any parser reads.
            return fill(header);
        };
        let (name, value) = header.split_at_mut(colon + 1);
        match self.secrecy(&name[..colon]) {
            Secrecy::None => {}
            Secrecy::Whole => fill(value),
            Secrecy::Credentials => credentials(value),
            Secrecy::Parameters => parameters(value),
        }
    }

    fn secrecy(self, name: &[u8]) -> Secrecy {
        let name = name.trim_ascii();
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if self.hidden_headers.iter().any(|hidden| is(hidden)) || is("cookie") || is("set-cookie") {
            Secrecy::Whole
        } else if is("authorization")
            || is("proxy-authorization")
            || is("www-authenticate")
            || is("proxy-authenticate")
        {
            Secrecy::Credentials
        } else if is("authentication-info") || is("proxy-authentication-info") {
            Secrecy::Parameters
        } else {
            Secrecy::None
        }
    }
}

/// A line without its end, and where the next one begins.
fn line(text: &[u8], begin: usize) -> (Range<usize>, usize) {
    let end = memchr::memchr(b'\n', &text[begin..]).map(|at| begin + at);
    let next = end.map_or(text.len(), |end| end + 1);
    let end = end.unwrap_or(text.len());
    let has_return = end > begin && text[end - 1] == b'\r';
    (begin..end - usize::from(has_return), next)
}

/// Whether this is a request line or a status line.
fn is_sip(line: &[u8]) -> bool {
    let is_version = |word: &[u8]| {
        word.get(..4)
            .is_some_and(|name| name.eq_ignore_ascii_case(b"SIP/"))
    };
    let last = line.trim_ascii().rsplit(|byte| *byte == b' ').next();
    is_version(line) || last.is_some_and(is_version)
}

/// Hides the parameters behind the scheme, or all of it where the scheme is not Digest.
fn credentials(value: &mut [u8]) {
    let begin = value.iter().position(|byte| !is_blank(*byte));
    let begin = begin.unwrap_or(value.len());
    let end = value[begin..].iter().position(|byte| is_blank(*byte));
    let (scheme, rest) = value.split_at_mut(end.map_or(value.len(), |end| begin + end));
    if scheme[begin..].eq_ignore_ascii_case(b"Digest") {
        parameters(rest);
    } else if rest.is_empty() {
        // No scheme, or nothing behind it.
        fill(scheme);
    } else {
        fill(rest);
    }
}

/// Hides the values of parameters that are not [`SHOWN`], in a list with commas.
fn parameters(list: &mut [u8]) {
    let mut at = 0;
    while at < list.len() {
        let is_between = |byte: u8| byte == b',' || is_blank(byte);
        if is_between(list[at]) {
            at += 1;
            continue;
        }
        let end = list[at..]
            .iter()
            .position(|byte| matches!(byte, b'=' | b','));
        let end = end.map_or(list.len(), |end| at + end);
        let name = at..end;
        if list.get(end) != Some(&b'=') {
            fill(&mut list[name]);
            at = end;
            continue;
        }
        let value = ParameterValue::find(list, end + 1);
        at = value.next;
        if !value.is_whole || !is_shown(&list[name]) {
            fill(&mut list[value.place]);
        }
    }
}

/// Where the value of a parameter is.
struct ParameterValue {
    /// Without quotation marks.
    place: Range<usize>,
    /// Where the list goes on.
    next: usize,
    /// Whether the quotation mark that ends it is there, if one begins it.
    is_whole: bool,
}

impl ParameterValue {
    fn find(list: &[u8], begin: usize) -> Self {
        let blanks = list[begin..].iter().take_while(|byte| is_blank(**byte));
        let begin = begin + blanks.count();
        if list.get(begin) != Some(&b'"') {
            let is_end = |byte: &u8| *byte == b',' || is_blank(*byte);
            let end = list[begin..].iter().position(is_end);
            let end = end.map_or(list.len(), |end| begin + end);
            return Self {
                place: begin..end,
                next: end,
                is_whole: true,
            };
        }
        let mut at = begin + 1;
        while let Some(byte) = list.get(at) {
            match byte {
                b'\\' => at += 2,
                b'"' => {
                    return Self {
                        place: begin + 1..at,
                        next: at + 1,
                        is_whole: true,
                    };
                }
                _ => at += 1,
            }
        }
        Self {
            place: begin..list.len(),
            next: list.len(),
            is_whole: false,
        }
    }
}

/// Whether the value of the parameter of this name stays. A second challenge in the same header
/// begins with its scheme.
fn is_shown(name: &[u8]) -> bool {
    let mut words = name
        .split(|byte| is_blank(*byte))
        .filter(|word| !word.is_empty());
    let (first, second) = (words.next(), words.next());
    let name = match (first, second) {
        (Some(name), None) => name,
        (Some(scheme), Some(name)) if scheme.eq_ignore_ascii_case(b"Digest") => name,
        _ => return false,
    };
    let is_last = words.next().is_none();
    is_last
        && SHOWN
            .iter()
            .any(|shown| name.eq_ignore_ascii_case(shown.as_bytes()))
}

fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Hides a text. Its lines stay lines, so that a header that goes on still does.
fn fill(text: &mut [u8]) {
    for byte in text.iter_mut().filter(|byte| !is_blank(**byte)) {
        *byte = FILLER;
    }
}

/// Hides a body, also where its lines end.
fn fill_all(body: &mut [u8]) {
    body.fill(FILLER);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HIDDEN: &[&str] = &["x-api-key"];

    fn masked(text: &str, shows_bodies: bool) -> String {
        let mut bytes = text.as_bytes().to_vec();
        let hidden: Vec<Box<str>> = HIDDEN.iter().map(|name| (*name).into()).collect();
        let masking = Masking {
            shows_bodies,
            hidden_headers: &hidden,
        };
        masking.apply(&mut bytes);
        String::from_utf8(bytes).unwrap()
    }

    fn header(line: &str) -> String {
        let message = masked(&format!("MESSAGE sip:b SIP/2.0\r\n{line}\r\n\r\n"), true);
        let shown = message.strip_prefix("MESSAGE sip:b SIP/2.0\r\n").unwrap();
        shown.strip_suffix("\r\n\r\n").unwrap().to_owned()
    }

    #[test]
    fn credentials_keep_their_length_and_what_is_no_secret() {
        for (line, shown) in [
            (
                "Authorization: Digest username=\"alice\", realm=\"a, b\", nonce=\"n\\\"1\", \
                 uri=\"sip:b\", response=\"0123\", algorithm=SHA-256, cnonce=\"c\", \
                 opaque=\"o\", qop=auth, nc=00000001",
                "Authorization: Digest username=\"alice\", realm=\"a, b\", nonce=\"****\", \
                 uri=\"sip:b\", response=\"****\", algorithm=SHA-256, cnonce=\"*\", \
                 opaque=\"*\", qop=auth, nc=00000001",
            ),
            (
                "proxy-authorization : DIGEST response=\"0123\",nonce=n",
                "proxy-authorization : DIGEST response=\"****\",nonce=*",
            ),
            (
                "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", Digest realm=\"q\", nonce=\"m\"",
                "WWW-Authenticate: Digest realm=\"r\", nonce=\"*\", Digest realm=\"q\", nonce=\"*\"",
            ),
            (
                "Authentication-Info: nextnonce=\"n\", qop=auth, rspauth=\"0123\"",
                "Authentication-Info: nextnonce=\"*\", qop=auth, rspauth=\"****\"",
            ),
            (
                "Authorization: Bearer abc=.def",
                "Authorization: Bearer ********",
            ),
            ("Authorization: secret", "Authorization: ******"),
            ("Cookie: a=b; c=d", "Cookie: **** ***"),
            ("X-API-Key: k1", "X-API-Key: **"),
            (
                "Authorization: Digest\r\n response=\"01\r\n 23\"",
                "Authorization: Digest\r\n response=\"**\r\n **\"",
            ),
            ("Subject: response=\"1\"", "Subject: response=\"1\""),
        ] {
            assert_eq!(header(line), shown, "{line}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_hidden() {
        for (line, shown) in [
            (
                "Authorization: Digest username=\"alice, response=\"0123\"",
                "Authorization: Digest username=\"alice, response=\"*****",
            ),
            (
                "Authorization: Digest username=\"alice, response=0123",
                "Authorization: Digest username=******* *************",
            ),
            (
                "Authorization: Digest Basic uri=0123, 0123",
                "Authorization: Digest Basic uri=****, ****",
            ),
            ("response=\"0123\"", "***************"),
        ] {
            assert_eq!(header(line), shown, "{line}");
        }
        assert_eq!(
            masked("GET / HTTP/1.1\r\na: b", true),
            "*** * ********\r\n** *"
        );
    }

    #[test]
    fn a_body_is_hidden_with_its_line_ends_or_shown() {
        let message = |body: &str| format!("\r\nSIP/2.0 200 OK\nTo: b\n\n{body}");
        assert_eq!(masked(&message("Hi\r\nyou"), false), message("*******"));
        assert_eq!(masked(&message("Hi\r\nyou"), true), message("Hi\r\nyou"));
    }

    #[test]
    fn a_keep_alive_stays_as_it_is() {
        assert_eq!(masked("\r\n\r\n", false), "\r\n\r\n");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_bytes_make_it_panic_and_none_come_or_go(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            prefix in prop::sample::select(vec!["", "SIP/2.0 200 OK\r\nAuthorization: Digest "]),
        ) {
            let mut message = [prefix.as_bytes(), &bytes].concat();
            let length = message.len();
            Masking { shows_bodies: false, hidden_headers: &[] }.apply(&mut message);
            prop_assert_eq!(message.len(), length);
        }

        /// However the header is written: the secret is not in what is shown.
        #[test]
        fn a_response_is_never_shown(
            before in "[a-z=,\" \\\\]{0,20}",
            name in prop::sample::select(vec!["Authorization", "PROXY-AUTHORIZATION"]),
        ) {
            let line = format!("{name}: Digest {before}, response=\"5ec2e7\"");
            let quotes = before.matches('"').count();
            prop_assume!(quotes == 0);
            prop_assert!(!header(&line).contains("5ec2e7"), "{}", line);
        }
    }
}
