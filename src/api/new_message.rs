//! A message as a client writes it in JSON.

use std::ops::ControlFlow;

use super::value::{Shape, Value};
use crate::message::{
    Header, HeaderError, HeaderList, MAX_METADATA, Metadata, NewMessage, Place, Violations,
};

const MESSAGE: Shape = Shape {
    noun: "a message",
    members: &[
        "target",
        "body",
        "bodyEncoding",
        "contentType",
        "extraHeaders",
        "from",
        "ttl",
        "sendAt",
        "attempts",
        "onUnknown",
        "webhook",
        "metadata",
    ],
    required: &["target", "body"],
    null_is_absent: true,
};

/// Reads a message as far as it can be read.
pub(super) fn read(value: Value<'_>, violations: &mut Violations) -> NewMessage {
    let mut new = NewMessage::default();
    value.object(&MESSAGE, violations, |name, value, violations| match name {
        "target" => new.target = value.name(violations),
        "body" => new.body = value.string(violations),
        "bodyEncoding" => new.body_encoding = value.string(violations),
        "contentType" => new.content_type = value.string(violations),
        "extraHeaders" => new.extra_headers = headers(value, violations),
        "from" => new.from = value.name(violations),
        "ttl" => new.ttl = value.whole_number(violations),
        "sendAt" => new.send_at = value.string(violations),
        "attempts" => new.attempts = value.whole_number(violations),
        "onUnknown" => new.on_unknown = value.string(violations),
        "webhook" => new.webhook = value.name(violations),
        "metadata" => new.metadata = metadata(value, violations),
        // The shape has no others.
        _ => {}
    });
    new
}

/// Reads one pair more than there may be, and no further.
fn metadata(value: Value<'_>, violations: &mut Violations) -> Metadata {
    let mut metadata = Metadata::new();
    let expected = "an object of strings";
    value.members(expected, violations, |name, value, violations| {
        if metadata.contains_key(name) {
            violations.add(value.place(), "given twice");
        } else if let Some(text) = value.string(violations) {
            metadata.insert(name.to_owned(), text);
        }
        match metadata.len() > MAX_METADATA {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    });
    metadata
}

/// Reads headers in either of the two ways to write them: `["Name: value", …]` as in JsSIP, or
/// `{"Name": "value" or ["value", …], …}`.
fn headers(value: Value<'_>, violations: &mut Violations) -> HeaderList {
    let mut headers = HeaderReader {
        list: HeaderList::default(),
        given: 0,
        whole: value.place(),
    };
    if value.is_list() {
        value.items("an array", violations, |_, value, violations| {
            headers.read(value, Header::parse, violations)
        });
        return headers.list;
    }
    let expected = "an array of \"Name: value\", or an object of name to value or values";
    value.members(expected, violations, |name, value, violations| {
        let header = |text: &str| Header::new(name, text);
        if !value.is_list() {
            return headers.read(value, header, violations);
        }
        let mut flow = ControlFlow::Continue(());
        value.items("an array", violations, |_, value, violations| {
            flow = headers.read(value, header, violations);
            flow
        });
        flow
    });
    headers.list
}

/// Reads headers one by one, as many as there may be.
struct HeaderReader<'a> {
    list: HeaderList,
    /// How many were read, those with mistakes too.
    given: usize,
    /// Where all of them stand.
    whole: Place<'a>,
}

impl HeaderReader<'_> {
    /// Reads a header; breaks when no other is to be read.
    fn read(
        &mut self,
        value: Value<'_>,
        header: impl FnOnce(&str) -> Result<Header, HeaderError>,
        violations: &mut Violations,
    ) -> ControlFlow<()> {
        self.given += 1;
        if self.given > HeaderList::MAX {
            violations.add(self.whole, HeaderError::TooMany);
            return ControlFlow::Break(());
        }
        let Some(text) = value.text(violations) else {
            return ControlFlow::Continue(());
        };
        match header(&text) {
            Err(error) => violations.add(value.place(), error),
            Ok(header) => {
                if let Err(error) = self.list.add(header) {
                    violations.add(self.whole, error);
                    return ControlFlow::Break(());
                }
            }
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(members: &str) -> (NewMessage, Vec<String>) {
        let text = format!(r#"{{"target": "a", "body": "", {members}}}"#);
        let mut violations = Violations::default();
        let new = read(Value::document(text.as_bytes()).unwrap(), &mut violations);
        let told = violations.told().iter();
        (new, told.map(|one| one.pointer.clone()).collect())
    }

    fn pointers(members: &str) -> Vec<String> {
        read_text(members).1
    }

    fn header_list(members: &str) -> Vec<(String, String)> {
        let (new, mistakes) = read_text(members);
        assert_eq!(mistakes, Vec::<String>::new());
        let headers = new.extra_headers.into_headers().into_iter();
        headers.map(|header| (header.name, header.value)).collect()
    }

    #[test]
    fn headers_are_lines_or_an_object_of_names() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = [pair("X-A", "b"), pair("X-C", "d"), pair("X-C", "e")];
        let lines = r#""extraHeaders": ["X-A: b", "X-C: d", "X-C:e"]"#;
        assert_eq!(header_list(lines), expected);
        let names = r#""extraHeaders": {"X-A": "b", "X-C": ["d", "e"]}"#;
        assert_eq!(header_list(names), expected);
    }

    #[test]
    fn every_mistake_in_headers_is_told() {
        let lines =
            r#""extraHeaders": ["X-A: b", "Via: x", 1, "none", "X-B: \u0000", "X-C: \ud800"]"#;
        let places = [
            "/extraHeaders/1",
            "/extraHeaders/2",
            "/extraHeaders/3",
            "/extraHeaders/4",
            "/extraHeaders/5",
        ];
        assert_eq!(pointers(lines), places);
        let names = r#""extraHeaders": {"X-A": 1, "Via": "x", "X-B": ["b", {}, "\n"], "X/~": "", "X-C": {}}"#;
        let places = [
            "/extraHeaders/X-A",
            "/extraHeaders/Via",
            "/extraHeaders/X-B/1",
            "/extraHeaders/X-B/2",
            "/extraHeaders/X~1~0",
            "/extraHeaders/X-C",
        ];
        assert_eq!(pointers(names), places);
        assert_eq!(pointers(r#""extraHeaders": "x""#), ["/extraHeaders"]);
    }

    #[test]
    fn headers_are_read_up_to_their_bounds() {
        let list = |count: usize, item: &str| vec![item; count].join(",");
        assert_eq!(
            header_list(&format!(r#""extraHeaders": [{}]"#, list(64, "\"X:\""))).len(),
            64
        );
        for members in [
            format!(r#""extraHeaders": [{}]"#, list(65, "\"X:\"")),
            format!(
                r#""extraHeaders": {{"X": [{}], "Via": ""}}"#,
                list(65, "\"\"")
            ),
            format!(r#""extraHeaders": {{{}}}"#, list(65, "\"X\": \"\"")),
            format!(
                r#""extraHeaders": [{}]"#,
                list(3, &format!("\"X: {}\"", "x".repeat(8_000)))
            ),
        ] {
            assert_eq!(pointers(&members), ["/extraHeaders"]);
        }
    }

    #[test]
    fn metadata_has_each_name_once_and_is_read_up_to_its_bound() {
        assert_eq!(
            pointers(r#""metadata": {"a": "1", "a": "2"}"#),
            ["/metadata/a"]
        );
        assert_eq!(
            pointers(r#""metadata": {"a": 1, "b": null}"#),
            ["/metadata/a", "/metadata/b"]
        );
        assert_eq!(pointers(r#""metadata": []"#), ["/metadata"]);
        let pairs: Vec<String> = (0..1_000).map(|n| format!(r#""{n}": """#)).collect();
        let (new, _) = read_text(&format!(r#""metadata": {{{}}}"#, pairs.join(",")));
        assert_eq!(new.metadata.len(), MAX_METADATA + 1);
    }

    #[test]
    fn addresses_have_no_control_characters() {
        for member in ["from", "webhook"] {
            let members = format!(r#""{member}": "a\u0000b""#);
            assert_eq!(pointers(&members), [format!("/{member}")]);
        }
        let mut violations = Violations::default();
        let text = r#"{"target": "a\u0000b", "body": "\u0000"}"#;
        let new = read(Value::document(text.as_bytes()).unwrap(), &mut violations);
        assert_eq!(violations.told()[0].pointer, "/target");
        assert_eq!((new.target, new.body.as_deref()), (None, Some("\0")));
    }
}
