//! `;name=value` lists, and lists between commas, with what quotes and angle brackets hide.

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
}
