//! A message as a client writes it in JSON.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::value::{Shape, Value};
use crate::message::{
    BodyEncoding, Contents, Header, HeaderError, HeaderList, Limits, MAX_METADATA, MessageId,
    Metadata, OnUnknown, Place, Priority, ReceiptRequest, Timestamp, Violations, check_metadata,
    is_media_type, webhook,
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
        "inReplyTo",
        "receipts",
        "priority",
    ],
    // And `target`, of a message that answers none.
    required: &["body"],
    null_is_absent: true,
};

/// What the members of a message are checked against.
pub(super) struct Rules<'a> {
    pub(super) limits: &'a Limits,
    pub(super) now: Timestamp,
    /// The token whose secret signs the message's webhook, if it has one of its own.
    pub(super) signer: Option<Arc<str>>,
    /// Says why events cannot be posted to a URL.
    pub(super) refuse_url: &'a dyn Fn(&str) -> Option<String>,
}

/// A message that was read, before its recipient is known.
pub(super) struct Unaddressed {
    pub(super) contents: Contents,
    /// `None` when there is none that could be read: that was told.
    pub(super) target: Option<String>,
    pub(super) from: Option<String>,
    /// The received message that it answers.
    pub(super) in_reply_to: Option<MessageId>,
}

/// Reads and checks a message. Collects every mistake, up to a bound; a member with a mistake has
/// its default.
pub(super) fn read(
    value: Value<'_>,
    rules: &Rules<'_>,
    violations: &mut Violations,
) -> Unaddressed {
    let limits = rules.limits;
    let mut contents = limits.defaults();
    let (mut target, mut from, mut body) = (None, None, String::new());
    let (mut has_target, mut is_reply, mut in_reply_to) = (false, false, None);
    let is_object = value.object(&MESSAGE, violations, |name, value, violations| match name {
        "target" => (has_target, target) = (true, value.name(violations)),
        "body" => body = value.string(violations).unwrap_or_default(),
        "bodyEncoding" => replace(&mut contents.body_encoding, encoding(value, violations)),
        "contentType" => replace(&mut contents.content_type, content_type(value, violations)),
        "extraHeaders" => contents.extra_headers = headers(value, violations),
        "from" => from = value.name(violations),
        "ttl" => {
            let read = value.seconds_as(violations, |seconds| limits.ttl(seconds));
            replace(&mut contents.ttl, read);
        }
        "sendAt" => {
            contents.send_at = value.text_as(violations, |text| limits.send_at(text, rules.now));
        }
        "attempts" => {
            let read = value.number_as(violations, |attempts| limits.attempts(attempts));
            replace(&mut contents.attempts, read);
        }
        "onUnknown" => replace(&mut contents.on_unknown, on_unknown(value, violations)),
        "webhook" => contents.webhook = webhook(value, rules, violations),
        "metadata" => contents.metadata = metadata(value, violations),
        "inReplyTo" => (is_reply, in_reply_to) = (true, received_id(value, violations)),
        "receipts" => contents.receipts = receipts(value, violations),
        "priority" => contents.priority = priority(value, violations),
        // The shape has no others.
        _ => {}
    });
    if is_object && !has_target && !is_reply {
        violations.add(value.place().member("target"), "required");
    }
    check_together(&contents, value.place(), violations);
    // Its encoding may stand behind it.
    match contents.body_encoding.decode(body) {
        Ok(body) => contents.body = body,
        Err(error) => {
            let detail = format_args!("not base64 (RFC 4648 §4): {error}");
            violations.add(value.place().member("body"), detail);
        }
    }
    Unaddressed {
        contents,
        target,
        from,
        in_reply_to,
    }
}

fn received_id(value: Value<'_>, violations: &mut Violations) -> Option<MessageId> {
    let words = "not the id of a received message";
    value.text_as(violations, |text| text.parse().map_err(|_| words))
}

/// What members may not say beside each other.
fn check_together(contents: &Contents, place: Place<'_>, violations: &mut Violations) {
    let media_type = contents.content_type.split(';').next().unwrap_or_default();
    let is_envelope = media_type.trim().eq_ignore_ascii_case("message/cpim");
    if is_envelope && !contents.receipts.is_empty() {
        let detail =
            "not with a body of message/cpim, which is an envelope: ask for receipts in it";
        violations.add(place.member("receipts"), detail);
    }
    let mut headers = contents.extra_headers.iter();
    if contents.priority.is_some() && headers.any(Priority::is_said_by) {
        let detail = "remove Priority: the member `priority` writes it";
        violations.add(place.member("extraHeaders"), detail);
    }
}

fn priority(value: Value<'_>, violations: &mut Violations) -> Option<Priority> {
    value.text_as(violations, |text| {
        Priority::from_word(text).ok_or(Priority::WORDS)
    })
}

/// Reads which receipts are asked for, each once.
fn receipts(value: Value<'_>, violations: &mut Violations) -> Vec<ReceiptRequest> {
    let mut receipts = Vec::new();
    value.items("an array of strings", violations, |_, value, violations| {
        let words = "expected \"delivered\" or \"displayed\"";
        let read = value.text_as(violations, |text| {
            ReceiptRequest::from_word(text).ok_or(words)
        });
        receipts.extend(read.filter(|receipt| !receipts.contains(receipt)));
        ControlFlow::Continue(())
    });
    receipts
}

fn replace<T>(default: &mut T, read: Option<T>) {
    if let Some(read) = read {
        *default = read;
    }
}

fn encoding(value: Value<'_>, violations: &mut Violations) -> Option<BodyEncoding> {
    let words = "expected \"utf-8\" or \"base64\"";
    value.text_as(violations, |text| {
        BodyEncoding::from_word(text).ok_or(words)
    })
}

fn on_unknown(value: Value<'_>, violations: &mut Violations) -> Option<OnUnknown> {
    let words = "expected \"resend\" or \"fail\"";
    value.text_as(violations, |text| OnUnknown::from_word(text).ok_or(words))
}

fn content_type(value: Value<'_>, violations: &mut Violations) -> Option<Cow<'static, str>> {
    let text = value.string(violations)?;
    if !is_media_type(&text) {
        let detail = "expected a media type such as text/plain;charset=utf-8 (RFC 3261 §20.15)";
        violations.add(value.place(), detail);
    }
    Some(text.into())
}

/// Reads where the message's events are posted, and keeps whose secret signs them.
fn webhook(value: Value<'_>, rules: &Rules<'_>, violations: &mut Violations) -> Option<Arc<str>> {
    let url = value.name(violations)?;
    if let Some(refusal) = (rules.refuse_url)(&url) {
        violations.add(value.place(), refusal);
    }
    match &rules.signer {
        Some(token) => return Some(webhook::signed_by(&url, token)),
        None if rules.limits.webhook_secret => {}
        None => violations.add(
            value.place(),
            "webhooks.secret (or webhooks.secret_file) is not configured, and nothing is posted unsigned",
        ),
    }
    Some(url.into())
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
        if metadata.len() > MAX_METADATA {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    check_metadata(&metadata, value.place(), violations);
    metadata
}

/// Reads headers in either of the two ways to write them: `["Name: value", …]` as in JsSIP, or
/// `{"Name": "value" or ["value", …], …}`.
fn headers(value: Value<'_>, violations: &mut Violations) -> Vec<Header> {
    let mut headers = HeaderReader {
        list: HeaderList::default(),
        given: 0,
        whole: value.place(),
    };
    if value.is_list() {
        value.items("an array", violations, |_, value, violations| {
            headers.read(value, Header::parse, violations)
        });
        return headers.list.into_headers();
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
    headers.list.into_headers()
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
    use std::time::Duration;

    use super::*;
    use crate::message::{Message, MessageId, Violation};

    fn now() -> Timestamp {
        "2026-11-22T05:00:00.000Z".parse().unwrap()
    }

    fn limits() -> Limits {
        Limits {
            ttl: Duration::from_secs(3_600),
            max_ttl: Duration::from_secs(86_400),
            max_schedule: Duration::from_secs(30 * 86_400),
            attempts: 3,
            max_attempts: 10,
            on_unknown: OnUnknown::Resend,
            webhook_secret: true,
        }
    }

    fn read_document(text: &str, limits: &Limits) -> (Unaddressed, Vec<Violation>) {
        let mut violations = Violations::default();
        let rules = Rules {
            limits,
            now: now(),
            signer: None,
            refuse_url: &|_| None,
        };
        let document = Value::document(text.as_bytes()).unwrap();
        let read = read(document, &rules, &mut violations);
        (read, violations.told().to_vec())
    }

    fn read_text(members: &str) -> (Contents, Vec<String>) {
        let text = format!(r#"{{"target": "a", {members}, "body": ""}}"#);
        let (read, told) = read_document(&text, &limits());
        (
            read.contents,
            told.into_iter().map(|one| one.pointer).collect(),
        )
    }

    fn accepted(members: &str) -> Message {
        let (contents, mistakes) = read_text(members);
        assert_eq!(mistakes, Vec::<String>::new(), "{members}");
        contents.accept(MessageId::new(uuid::Uuid::nil()), now(), None)
    }

    fn pointers(members: &str) -> Vec<String> {
        read_text(members).1
    }

    fn header_list(members: &str) -> Vec<(String, String)> {
        let headers = accepted(members).contents.extra_headers.into_iter();
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
        let text = r#"{"target": "a\u0000b", "body": "\u0000"}"#;
        let (read, told) = read_document(text, &limits());
        assert_eq!(told[0].pointer, "/target");
        assert_eq!((read.target, &*read.contents.body), (None, &b"\0"[..]));
    }

    #[test]
    fn what_a_client_does_not_say_has_a_default() {
        let message = accepted(r#""from": null"#);
        let contents = message.contents;
        assert_eq!(contents.content_type, "text/plain");
        assert_eq!(contents.ttl, Duration::from_secs(3_600));
        assert_eq!(message.expires_at, now().plus(contents.ttl));
        assert_eq!(
            (contents.attempts, contents.on_unknown),
            (3, OnUnknown::Resend)
        );
        assert_eq!((contents.send_at, contents.account), (None, None));
    }

    #[test]
    fn a_reply_needs_no_target_and_names_a_received_message() {
        let id = "01930000-0000-7000-8000-000000000001";
        let reply = format!(r#"{{"body": "", "inReplyTo": "{id}"}}"#);
        let (read, told) = read_document(&reply, &limits());
        assert_eq!((read.in_reply_to, read.target), (id.parse().ok(), None));
        assert_eq!(told, []);
        for (text, pointer) in [
            (r#"{"body": ""}"#, "/target"),
            (r#"{"body": "", "inReplyTo": null}"#, "/target"),
            (r#"{"body": "", "inReplyTo": "X"}"#, "/inReplyTo"),
            (
                r#"{"target": "a", "body": "", "inReplyTo": 1}"#,
                "/inReplyTo",
            ),
            ("1", ""),
        ] {
            let (_, told) = read_document(text, &limits());
            let pointers: Vec<_> = told.iter().map(|one| &*one.pointer).collect();
            assert_eq!(pointers, [pointer], "{text}");
        }
    }

    #[test]
    fn receipts_are_asked_for_once_each_and_not_of_an_envelope() {
        let (new, told) = read_text(r#""receipts": ["displayed", "delivered", "displayed"]"#);
        let asked = [ReceiptRequest::Displayed, ReceiptRequest::Delivered];
        assert_eq!((new.receipts.as_slice(), told.len()), (&asked[..], 0));
        assert!(read_text(r#""receipts": null"#).0.receipts.is_empty());
        assert_eq!(pointers(r#""receipts": "displayed""#), ["/receipts"]);
        assert_eq!(pointers(r#""receipts": ["read"]"#), ["/receipts/0"]);
        let envelope = |receipts: &str| {
            let kind = "Message/CPIM ;charset=utf-8";
            pointers(&format!(
                r#""contentType": "{kind}", "receipts": {receipts}"#
            ))
        };
        assert_eq!(envelope(r#"["delivered"]"#), ["/receipts"]);
        assert_eq!(envelope("[]"), [""; 0]);
    }

    #[test]
    fn a_priority_is_one_of_four_words_and_is_said_once() {
        for class in Priority::ALL {
            let member = format!(r#""priority": "{}""#, class.as_str());
            assert_eq!(accepted(&member).contents.priority, Some(class));
        }
        for plain in [r#""priority": null"#, r#""metadata": {}"#] {
            let contents = accepted(plain).contents;
            assert_eq!(
                (contents.priority, contents.class()),
                (None, Priority::Normal)
            );
        }
        for wrong in [r#""Urgent""#, r#""high""#, "2", r#"["urgent"]"#, r#""""#] {
            assert_eq!(pointers(&format!(r#""priority": {wrong}"#)), ["/priority"]);
        }
        for headers in [
            r#"["X-A: b", "priority: urgent"]"#,
            r#"{"Priority": "urgent"}"#,
        ] {
            let header = format!(r#""extraHeaders": {headers}"#);
            accepted(&header);
            let both = pointers(&format!(r#"{header}, "priority": "normal""#));
            assert_eq!(both, ["/extraHeaders"], "{headers}");
        }
    }

    #[test]
    fn every_mistake_is_told_at_once_with_its_place() {
        let text = format!(
            r#"{{"target": "bob", "contentType": "text", "ttl": 0, "sendAt": "soon",
                "attempts": 11, "onUnknown": "hope", "metadata": {{"a/b~": "{}"}},
                "body": "=", "bodyEncoding": "base64"}}"#,
            "x".repeat(513)
        );
        let (_, told) = read_document(&text, &limits());
        let pointers: Vec<_> = told.iter().map(|one| &*one.pointer).collect();
        let places = [
            "/contentType",
            "/ttl",
            "/sendAt",
            "/attempts",
            "/onUnknown",
            "/metadata/a~1b~0",
            "/body",
        ];
        assert_eq!(pointers, places);
    }

    #[test]
    fn base64_is_any_bytes_and_comes_back_as_it_was_written() {
        let read = |body: &str| {
            let members = format!(r#""target": "a", "body": "{body}", "bodyEncoding": "base64""#);
            read_document(&format!("{{{members}}}"), &limits())
        };
        let (Unaddressed { contents, .. }, told) = read("AP+A");
        assert_eq!(told, []);
        assert_eq!(&*contents.body, [0x00, 0xff, 0x80]);
        assert_eq!(contents.body_text(), "AP+A");
        for broken in ["AP+", "AP-A", "AP+A\\n", "===="] {
            let (_, told) = read(broken);
            assert_eq!(told[0].pointer, "/body", "{broken}");
        }
        assert_eq!(pointers(r#""bodyEncoding": "utf8""#), ["/bodyEncoding"]);
    }

    #[test]
    fn m4_a_media_type_is_checked_and_kept_as_it_is() {
        let member = |text: &str| format!(r#""contentType": {}"#, serde_json::json!(text));
        for fits in [
            "text/plain",
            "text/plain;charset=utf-8",
            "text/plain; charset=\"utf-8\"",
            "application/im-iscomposing+xml",
            "multipart/mixed;boundary=\"a;b\\\"c\"",
            "application/x.y-z",
        ] {
            assert_eq!(accepted(&member(fits)).contents.content_type, fits);
        }
        for broken in [
            "",
            "text",
            "text/",
            "/plain",
            "text/plain;",
            "text/plain;charset",
            "text/plain;=x",
            "text/plain;charset=\"x",
            "te xt/plain",
            "text/plain\r\nX: y",
            " text/plain",
            "*/é",
        ] {
            assert_eq!(pointers(&member(broken)), ["/contentType"], "{broken:?}");
        }
    }

    #[test]
    fn times_lie_within_what_the_operator_allows() {
        let later = "2026-12-20T18:00:00Z";
        let message = accepted(&format!(r#""sendAt": "{later}""#));
        assert_eq!(
            message.expires_at,
            later
                .parse::<Timestamp>()
                .unwrap()
                .plus(message.contents.ttl)
        );
        // One that is over already is sent now.
        let past = accepted(r#""sendAt": "2020-01-01T00:00:00Z""#);
        assert_eq!(past.expires_at, now().plus(past.contents.ttl));
        assert_eq!(pointers(r#""sendAt": "2027-01-24T00:00:00Z""#), ["/sendAt"]);
        for ttl in [r#""1h""#, "1.5"] {
            let text = format!(r#"{{"target": "a", "ttl": {ttl}}}"#);
            let told = &read_document(&text, &limits()).1[0];
            assert!(told.detail.starts_with("a whole number of seconds"));
        }
        accepted(r#""ttl": 86400"#);
        for ttl in [0, 86_401, u64::MAX] {
            assert_eq!(pointers(&format!(r#""ttl": {ttl}"#)), ["/ttl"], "{ttl}");
        }
    }

    #[test]
    fn attempts_and_metadata_are_bounded() {
        accepted(r#""attempts": 10"#);
        for attempts in [0, 11, u64::MAX] {
            let member = format!(r#""attempts": {attempts}"#);
            assert_eq!(pointers(&member), ["/attempts"]);
        }
        let pairs = |count| {
            let pairs: Vec<_> = (0..count).map(|n| format!(r#""k{n}": "v""#)).collect();
            format!(r#""metadata": {{{}}}"#, pairs.join(","))
        };
        accepted(&pairs(16));
        assert_eq!(pointers(&pairs(17)), ["/metadata"]);
    }

    #[test]
    fn the_key_of_metadata_has_no_control_characters() {
        for key in ["a\0b", "\n", "\u{7f}", "\u{9b}"] {
            let metadata = serde_json::json!({ key: "v" });
            let pointers = pointers(&format!(r#""metadata": {metadata}"#));
            assert_eq!(pointers, [format!("/metadata/{key}")]);
        }
    }

    #[test]
    fn a_webhook_is_signed() {
        let text = r#"{"target": "a", "body": "", "webhook": "https://app.example/hook?x=1"}"#;
        assert_eq!(read_document(text, &limits()).1, []);
        let unsigned = Limits {
            webhook_secret: false,
            ..limits()
        };
        let (_, told) = read_document(text, &unsigned);
        assert!(told[0].detail.contains("webhooks.secret"));
    }
}
