//! The headers that the machines read. Each value borrows from the line it was read from.

use std::time::Duration;

/// CSeq (RFC 3261 §20.16): the number and the method of a request, as its responses repeat them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CSeq<'a> {
    /// Below 2^31 in what we send; any 32 bits in what we read.
    pub number: u32,
    /// As written: methods are case-sensitive.
    pub method: &'a str,
}

impl<'a> CSeq<'a> {
    /// Reads the header's value.
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?;
        let mut words = text.split_ascii_whitespace();
        let (number, method) = (words.next()?, words.next()?);
        let digits = number.bytes().all(|byte| byte.is_ascii_digit());
        if !digits || words.next().is_some() {
            return None;
        }
        Some(Self {
            number: number.parse().ok()?,
            method,
        })
    }
}

/// The topmost entry of a Via line (RFC 3261 §20.42).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Via<'a> {
    /// `WS`, `WSS`, `UDP` …
    pub transport: &'a str,
    /// Host and port, as written.
    pub sent_by: &'a str,
    /// Names the transaction (RFC 3261 §17.1.3).
    pub branch: Option<&'a str>,
}

impl<'a> Via<'a> {
    /// Reads the first entry of a line.
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?;
        let entry = split(text, ',').next()?;
        let (head, params) = entry.split_at(entry.find(';').unwrap_or(entry.len()));
        let mut protocol = head.splitn(3, '/');
        let (sip, _version) = (protocol.next()?.trim(), protocol.next()?);
        let (transport, sent_by) = protocol
            .next()?
            .trim()
            .split_once([' ', '\t', '\r', '\n'])?;
        if !sip.eq_ignore_ascii_case("SIP") {
            return None;
        }
        let branch = param(params, "branch").filter(|branch| !branch.is_empty());
        Some(Self {
            transport,
            sent_by: sent_by.trim(),
            branch,
        })
    }
}

/// The branch of the first entry of a line, whatever else is wrong with it.
pub fn via_branch(value: &[u8]) -> Option<&[u8]> {
    let end = find_byte_outside(value, b',').unwrap_or(value.len());
    last_param(&value[..end], "branch")
}

/// `"Name" <uri>;params`, as From, To, Contact and Route have it (RFC 3261 §20.10).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NameAddr<'a> {
    /// As written, with its quotes; empty when there is none.
    pub display_name: &'a str,
    /// The URI, unread.
    pub uri: &'a str,
    /// The header's parameters, from the first semicolon on.
    pub params: &'a str,
}

impl<'a> NameAddr<'a> {
    /// Reads one address. Without angle brackets, what follows a semicolon belongs to the header
    /// and not to the URI (RFC 3261 §20).
    pub fn parse(text: &'a str) -> Option<Self> {
        let text = text.trim();
        let (display_name, uri, params) = match find_outside(text, '<') {
            Some(open) => {
                let close = open + text[open..].find('>')?;
                (
                    text[..open].trim(),
                    &text[open + 1..close],
                    text[close + 1..].trim(),
                )
            }
            None => {
                let end = text.find(';').unwrap_or(text.len());
                ("", text[..end].trim(), &text[end..])
            }
        };
        (!uri.is_empty()).then_some(Self {
            display_name,
            uri,
            params,
        })
    }

    /// Reads the first address of a header that may be missing, when it is UTF-8.
    pub fn read(value: Option<&'a [u8]>) -> Option<Self> {
        Self::parse(std::str::from_utf8(value?).ok()?)
    }

    /// The `tag` parameter of From and To.
    pub fn tag(&self) -> Option<&'a str> {
        param(self.params, "tag")
    }
}

/// Writes a display name so that every reader takes it for one: quoted, with `\` before `\` and
/// `"` (RFC 3261 §25.1, `quoted-string`).
pub fn quote(name: &str) -> String {
    let mut quoted = String::with_capacity(name.len() + 2);
    quoted.push('"');
    for c in name.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

/// A display name without its quotes and escapes; `None` when it is empty.
pub fn unquote(name: &str) -> Option<String> {
    let name = name.trim();
    let quoted = name.strip_prefix('"').map(|rest| {
        let rest = rest.strip_suffix('"').unwrap_or(rest);
        let mut plain = String::with_capacity(rest.len());
        let mut chars = rest.chars();
        while let Some(c) = chars.next() {
            plain.extend(if c == '\\' { chars.next() } else { Some(c) });
        }
        plain
    });
    let plain = quoted.unwrap_or_else(|| name.to_owned());
    (!plain.trim().is_empty()).then_some(plain)
}

/// One binding in a Contact line, as a registrar lists them (RFC 3261 §20.10).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Contact<'a> {
    /// Its address.
    pub address: NameAddr<'a>,
}

impl<'a> Contact<'a> {
    /// Every address of a Contact line; `*` (RFC 3261 §10.2.2) and what cannot be read are left
    /// out.
    pub fn list(value: &'a str) -> impl Iterator<Item = Self> {
        split(value, ',')
            .filter(|entry| entry.trim() != "*")
            .filter_map(|entry| NameAddr::parse(entry).map(|address| Self { address }))
    }

    /// How long the binding lives, in seconds; `None` when the parameter is missing or no number.
    pub fn expires(&self) -> Option<u32> {
        param(self.address.params, "expires")?.parse().ok()
    }

    /// Whether the binding is that of this instance and flow (RFC 5626 §4.1).
    pub fn is_flow(&self, instance_urn: &str, reg_id: u32) -> bool {
        let instance = param(self.address.params, "+sip.instance").unwrap_or_default();
        let instance = instance.trim_matches(['<', '>']);
        // A registrar without outbound support repeats the instance and drops the reg-id.
        let same_flow =
            param(self.address.params, "reg-id").is_none_or(|id| id.parse() == Ok(reg_id));
        instance.eq_ignore_ascii_case(instance_urn) && same_flow
    }

    /// Whether the binding names an instance at all.
    pub fn has_instance(&self) -> bool {
        param(self.address.params, "+sip.instance").is_some()
    }

    /// The user part of the address, as written.
    pub fn user(&self) -> Option<&'a str> {
        let (_, rest) = self.address.uri.split_once(':')?;
        rest.split_once('@').map(|(user, _)| user)
    }
}

/// The longest wait that a peer can ask for. A day is more than any message or registration waits,
/// and short enough that a peer's slip does not silence an agent without end.
const LONGEST_WAIT: Duration = Duration::from_secs(86_400);

/// How long Retry-After (RFC 3261 §20.33) asks us to wait: the seconds before a comment or a
/// parameter.
pub fn retry_after(value: &str) -> Option<Duration> {
    let text = value.trim_start();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return None;
    }
    let seconds = text[..digits]
        .parse()
        .map_or(LONGEST_WAIT, Duration::from_secs);
    Some(seconds.min(LONGEST_WAIT))
}

/// The value of a parameter: `Some("")` for one without a value, unquoted when it was quoted
/// simply. Names are compared without regard to case (RFC 3261 §7.3.1).
pub fn param<'a>(params: &'a str, name: &str) -> Option<&'a str> {
    split(params, ';').find_map(|one| {
        let (given, value) = one.split_once('=').unwrap_or((one, ""));
        let value = value.trim();
        let unquoted = value
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        given
            .trim()
            .eq_ignore_ascii_case(name)
            .then_some(unquoted.unwrap_or(value))
    })
}

/// The pieces between separators that stand outside quotes and angle brackets. The separator is
/// an ASCII character.
pub fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        match find_outside(text, separator) {
            Some(at) => {
                rest = Some(&text[at + separator.len_utf8()..]);
                Some(&text[..at])
            }
            None => rest.take(),
        }
    })
}

/// Where a character first stands outside quotes and angle brackets. It is an ASCII character.
pub fn find_outside(text: &str, wanted: char) -> Option<usize> {
    find_byte_outside(text.as_bytes(), u8::try_from(wanted).ok()?)
}

/// Where an ASCII character first stands outside quotes and angle brackets, in text that need not
/// be UTF-8: none of its longer characters has a byte that is an ASCII character.
pub fn find_byte_outside(text: &[u8], wanted: u8) -> Option<usize> {
    let (mut quoted, mut escaped, mut bracketed) = (false, false, false);
    for (at, &byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' if !bracketed => quoted = !quoted,
            _ if quoted => {}
            _ if byte == wanted && !bracketed => return Some(at),
            b'<' => bracketed = true,
            b'>' => bracketed = false,
            _ => {}
        }
    }
    None
}

/// The value of a parameter that is a token, looked for from the end of a header that need not be
/// well-formed otherwise: neither a display name without its closing quote nor bytes that are not
/// UTF-8 hide it. For matching answers only, where the value is then compared with what we sent.
pub fn last_param<'a>(value: &'a [u8], name: &str) -> Option<&'a [u8]> {
    value.rsplit(|byte| *byte == b';').find_map(|one| {
        let equals = memchr::memchr(b'=', one)?;
        let given = one[..equals].trim_ascii();
        given
            .eq_ignore_ascii_case(name.as_bytes())
            .then(|| one[equals + 1..].trim_ascii())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_a_method() {
        let cseq = CSeq {
            number: 9,
            method: "MESSAGE",
        };
        assert_eq!(CSeq::parse(b"0009 \t MESSAGE"), Some(cseq));
        for text in [
            "",
            "1",
            "x MESSAGE",
            "4294967296 MESSAGE",
            "-1 MESSAGE",
            "+1 MESSAGE",
            "1 A B",
        ] {
            assert_eq!(CSeq::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn the_branch_is_read_where_the_rest_cannot_be() {
        let text = b"SIP/2.0/WS h;x=\xff;Branch=z9hG4bK7;received=::1, SIP/2.0/UDP x;branch=no";
        assert_eq!(via_branch(text), Some(&b"z9hG4bK7"[..]));
        assert_eq!(via_branch(b"SIP/2.0/WS h"), None);
    }

    #[test]
    fn blanks_and_folds_do_not_hide_the_branch() {
        let via = Via::parse(b"SIP / 2.0 / WSS\r\n abc.invalid : 5060 ; received=1.2.3.4; branch = z9hG4bK7 ,SIP/2.0/UDP x");
        let via = via.unwrap();
        assert_eq!((via.transport, via.sent_by), ("WSS", "abc.invalid : 5060"));
        assert_eq!(via.branch, Some("z9hG4bK7"));
    }

    #[test]
    fn what_is_no_via_is_none() {
        for text in ["", "SIP/2.0", "SIP/2.0/WS", "HTTP/1.1/WS host", ";branch=1"] {
            assert_eq!(Via::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn parameters_belong_to_the_uri_only_inside_brackets() {
        let address = NameAddr::parse(r#""A \"B\" <c>" <sip:a@b;lr>;tag=1"#).unwrap();
        assert_eq!((address.uri, address.tag()), ("sip:a@b;lr", Some("1")));
        assert_eq!(address.display_name, r#""A \"B\" <c>""#);
        let address = NameAddr::parse("sip:a@b;tag=2").unwrap();
        assert_eq!((address.uri, address.tag()), ("sip:a@b", Some("2")));
        let address = NameAddr::parse("tel:+1;tag=3").unwrap();
        assert_eq!((address.uri, address.tag()), ("tel:+1", Some("3")));
    }

    #[test]
    fn what_is_no_address_is_none() {
        for text in ["", "<", "<sip:a", "\"a\"", "<>"] {
            let parsed = NameAddr::parse(text);
            assert!(parsed.is_none_or(|address| address.uri == text), "{text}");
        }
    }

    #[test]
    fn a_display_name_is_quoted() {
        assert_eq!(quote(r#"a "b" \c"#), r#""a \"b\" \\c""#);
    }

    #[test]
    fn a_display_name_is_unquoted() {
        for name in [r#"a "b" \c"#, "é", "a\tb"] {
            assert_eq!(unquote(&quote(name)).as_deref(), Some(name));
        }
        for (written, name) in [
            ("Alice  B", Some("Alice  B")),
            (" \"A\\", Some("A")),
            ("\"open", Some("open")),
            ("\"", None),
            ("\" \"", None),
            ("", None),
        ] {
            assert_eq!(unquote(written).as_deref(), name, "{written}");
        }
    }

    #[test]
    fn several_bindings_in_one_line_are_told_apart() {
        let line = r#"<sip:a@x>;expires=60;+sip.instance="<urn:uuid:A>";reg-id=1, "b, c" <sip:b@y;transport=ws>;expires=x, *"#;
        let list: Vec<_> = Contact::list(line).collect();
        assert_eq!(list.len(), 2);
        assert!(list[0].is_flow("urn:uuid:a", 1));
        assert!(!list[0].is_flow("urn:uuid:a", 2));
        assert_eq!((list[0].expires(), list[1].expires()), (Some(60), None));
        assert_eq!(list[1].user(), Some("b"));
    }

    #[test]
    fn seconds_come_before_comments_and_parameters() {
        assert_eq!(
            retry_after("18000;duration=3600"),
            Some(Duration::from_secs(18_000))
        );
        assert_eq!(
            retry_after(" 120 (I'm in a meeting)"),
            Some(Duration::from_secs(120))
        );
        assert_eq!(retry_after("99999999999999999999999"), Some(LONGEST_WAIT));
        assert_eq!(retry_after("soon"), None);
        assert_eq!(retry_after("-1"), None);
    }

    #[test]
    fn separators_inside_quotes_and_brackets_separate_nothing() {
        let text = r#""a,\"b" <sip:x@y;p=1,2>;q=1, <sip:z>"#;
        let pieces: Vec<_> = split(text, ',').collect();
        assert_eq!(pieces, [r#""a,\"b" <sip:x@y;p=1,2>;q=1"#, " <sip:z>"]);
        assert_eq!(find_outside("ü,\"é,\",", ','), Some(2));
        assert_eq!(find_outside("\"é,\",", ','), Some(5));
    }

    #[test]
    fn a_parameter_is_found_by_any_spelling_of_its_name() {
        let params = r#";TAG = abc ;lr;+sip.instance="<urn:uuid:1>""#;
        assert_eq!(param(params, "tag"), Some("abc"));
        assert_eq!(param(params, "LR"), Some(""));
        assert_eq!(param(params, "+sip.instance"), Some("<urn:uuid:1>"));
        assert_eq!(param(params, "x"), None);
    }

    #[test]
    fn a_tag_is_found_behind_whatever_else_is_broken() {
        let tag = |value: &'static [u8]| last_param(value, "tag");
        assert_eq!(
            tag(b"\"A;tag=no\" <sip:a@b;tag=no>;x; TAG = yes"),
            Some(&b"yes"[..])
        );
        assert_eq!(tag(b"\"open <sip:a@b>;tag=yes;x=1"), Some(&b"yes"[..]));
        assert_eq!(tag(b"\xff\xfe <sip:a@b>;tag=yes"), Some(&b"yes"[..]));
        assert_eq!(tag(b"<sip:a@b>;tag"), None);
    }

    #[test]
    fn p2_display_names_of_every_kind_are_told_from_their_addresses() {
        for (text, name, uri) in [
            (
                r#""A \"B\" \\<x>" <sip:a@b>;tag=1"#,
                r#""A \"B\" \\<x>""#,
                "sip:a@b",
            ),
            (
                "Alice \t  Liddell <sip:a@b>",
                "Alice \t  Liddell",
                "sip:a@b",
            ),
            ("\"Alice\"<sip:a@b>", "\"Alice\"", "sip:a@b"),
            ("\"\u{fffd}lice\" <sip:a@b>", "\"\u{fffd}lice\"", "sip:a@b"),
            ("\"\" <sip:a@b>", "\"\"", "sip:a@b"),
            ("<sip:a@b>", "", "sip:a@b"),
            ("<sip:b>", "", "sip:b"),
            ("sip:a@b", "", "sip:a@b"),
            ("<tel:+123;ext=4>", "", "tel:+123;ext=4"),
            (
                "<sip:a:pw@b:5060;lr;x=1?h=1&h=2>;q=0.5",
                "",
                "sip:a:pw@b:5060;lr;x=1?h=1&h=2",
            ),
        ] {
            let address = NameAddr::parse(text).unwrap();
            assert_eq!((address.display_name, address.uri), (name, uri), "{text}");
        }
    }

    #[test]
    fn p2_three_contacts_in_one_line_are_three() {
        let line = "\"@, \\\" <x>\" <sip:a@b;y=\"1,2\">;q=1;expires=60 ,sip:c@d;q=0.5\r\n\t, <sip:host.example>;EXPIRES = 7";
        let contacts: Vec<_> = Contact::list(line).collect();
        let uris: Vec<_> = contacts.iter().map(|contact| contact.address.uri).collect();
        assert_eq!(uris, ["sip:a@b;y=\"1,2\"", "sip:c@d", "sip:host.example"]);
        let expires: Vec<_> = contacts.iter().map(Contact::expires).collect();
        assert_eq!(expires, [Some(60), None, Some(7)]);
    }

    #[test]
    fn p2_via_is_read_with_blanks_folds_ipv6_and_rport() {
        for (text, transport, sent_by) in [
            (
                "SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bK1",
                "UDP",
                "192.0.2.1:5060",
            ),
            (
                "SIP /  2.0\r\n / WSS \t x.invalid ; rport=5060 ; branch = z9hG4bK1",
                "WSS",
                "x.invalid",
            ),
            (
                "SIP/2.0/TLS [2001:db8::1]:5061;branch=z9hG4bK1;received=2001:db8::2",
                "TLS",
                "[2001:db8::1]:5061",
            ),
            (
                "sip/2.0/ws x.invalid;BRANCH=z9hG4bK1, SIP/2.0/UDP y;branch=z9hG4bK2",
                "ws",
                "x.invalid",
            ),
        ] {
            let via = Via::parse(text.as_bytes()).unwrap();
            assert_eq!((via.transport, via.sent_by), (transport, sent_by), "{text}");
            assert_eq!(via.branch, Some("z9hG4bK1"), "{text}");
            assert_eq!(
                via_branch(text.as_bytes()),
                Some(&b"z9hG4bK1"[..]),
                "{text}"
            );
        }
    }

    #[test]
    fn p2_cseq_is_read_with_blanks_and_leading_zeros() {
        for text in ["314159  INVITE", "00314159 \tINVITE", "314159\r\n INVITE"] {
            let cseq = CSeq::parse(text.as_bytes()).unwrap();
            assert_eq!((cseq.number, cseq.method), (314_159, "INVITE"), "{text}");
        }
    }
}
