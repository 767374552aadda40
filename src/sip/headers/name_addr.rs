//! `"Name" <uri>;params`, as From, To, Contact, Route and others have it (RFC 3261 §20.10).

use super::params::{find_outside, param};

/// An address with its parameters.
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
