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

/// The pieces between separators that stand outside quotes and angle brackets.
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

/// Where a character first stands outside quotes and angle brackets.
pub fn find_outside(text: &str, wanted: char) -> Option<usize> {
    let (mut quoted, mut escaped, mut bracketed) = (false, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' if !bracketed => quoted = !quoted,
            _ if quoted => {}
            _ if c == wanted && !bracketed => return Some(at),
            '<' => bracketed = true,
            '>' => bracketed = false,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_inside_quotes_and_brackets_separate_nothing() {
        let text = r#""a,\"b" <sip:x@y;p=1,2>;q=1, <sip:z>"#;
        let pieces: Vec<_> = split(text, ',').collect();
        assert_eq!(pieces, [r#""a,\"b" <sip:x@y;p=1,2>;q=1"#, " <sip:z>"]);
    }

    #[test]
    fn a_parameter_is_found_by_any_spelling_of_its_name() {
        let params = r#";TAG = abc ;lr;+sip.instance="<urn:uuid:1>""#;
        assert_eq!(param(params, "tag"), Some("abc"));
        assert_eq!(param(params, "LR"), Some(""));
        assert_eq!(param(params, "+sip.instance"), Some("<urn:uuid:1>"));
        assert_eq!(param(params, "x"), None);
    }
}
