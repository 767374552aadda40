//! The JSON of an event as it is in the database: what stands in most events takes one byte there.
//!
//! Half as many pages are written then, and moved by checkpoints.
//!
//! Our JSON has no byte below 0x20, so these bytes are free:
//!
//! | byte           | stands for                                |
//! |----------------|-------------------------------------------|
//! | 0x00, at first | nothing: what follows is not packed       |
//! | 0x01           | the id of the message                     |
//! | 0x02           | the URI in the row of the event           |
//! | 0x03           | the account in the row of the event       |
//! | 0x04 to 0x1F   | the text of that place in [`TEXTS`]       |
//! | all others     | themselves                                |
//!
//! What was packed is unpacked as it was, byte by byte, whatever it was. How short it becomes
//! depends on how much of it is in the table. When the JSON of events changes, a text may be added
//! at the end of the table. None may be changed: the rows of before have its byte.

use std::sync::LazyLock;

use crate::message::MessageId;

/// What the row of an event has in other columns already. It must be the same when the row is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct EventRow<'a> {
    pub(super) message_id: MessageId,
    pub(super) uri: &'a str,
    pub(super) account: Option<&'a str>,
}

/// Texts of events, each from a quote on. Where several fit, the longest is taken.
const TEXTS: [&str; 27] = [
    r#""type":"sending","time":""#,
    r#""type":"succeeded","time":""#,
    r#""type":"failed","time":""#,
    r#""type":"deferred","time":""#,
    r#"","messageId":""#,
    r#"","attempt":1,"agent":""#,
    r#"","attempt":"#,
    r#"","originator":"local","request":{"method":"MESSAGE","uri":""#,
    r#"","callId":""#,
    r#"","cseq":1,"headers":{"Max-Forwards":["70"],"To":["<"#,
    r#""],"From":["<"#,
    r#""],"Call-ID":[""#,
    r#""],"Date":[""#,
    r#""],"Expires":[""#,
    r#""],"Allow":["MESSAGE, OPTIONS"],"Supported":["outbound, path"],"User-Agent":[""#,
    r#""],"Allow":["OPTIONS"],"Supported":["outbound, path"],"User-Agent":[""#,
    r#""],"Content-Type":["text/plain"#,
    r#""],"CSeq":["1 MESSAGE"],"Content-Length":[""#,
    r#""]}},"metadata":{"#,
    r#""],"CSeq":["1 MESSAGE"#,
    r#""],"Content-Length":["0"]}},"metadata":{}}"#,
    r#"","originator":"remote","response":{"statusCode":200,"reasonPhrase":"OK","headers":{"Via":["SIP/2.0/WS"#,
    r#"","originator":"remote","response":{"statusCode":"#,
    r#""],"To":["<"#,
    r#""],"Server":[""#,
    r#""reasonPhrase":""#,
    r#""],""#,
];

const AS_IT_WAS: u8 = 0x00;
const MESSAGE_ID: u8 = 0x01;
const URI: u8 = 0x02;
const ACCOUNT: u8 = 0x03;
const FIRST_TEXT: u8 = 0x04;
/// The first byte that JSON can have.
const FIRST_OF_JSON: u8 = 0x20;

/// A text and its byte.
type Coded = (u8, &'static [u8]);

/// The texts that begin with the same bytes, so that most are never compared.
static BY_BEGINNING: LazyLock<Vec<Vec<Coded>>> = LazyLock::new(|| {
    let mut buckets = vec![Vec::new(); 256];
    for (byte, text) in (FIRST_TEXT..).zip(TEXTS) {
        if let Some(bucket) = bucket(text.as_bytes()).and_then(|at| buckets.get_mut(at)) {
            bucket.push((byte, text.as_bytes()));
        }
    }
    for bucket in &mut buckets {
        bucket.sort_by_key(|(_, text)| std::cmp::Reverse(text.len()));
    }
    buckets
});

/// Where texts that begin like this one are.
fn bucket(json: &[u8]) -> Option<usize> {
    let &[_, second, third, fourth, ..] = json else {
        return None;
    };
    Some(usize::from(
        second ^ third.wrapping_mul(31) ^ fourth.wrapping_mul(7),
    ))
}

/// Appends the JSON of an event, or a part of it, as the database keeps it.
pub(super) fn pack(json: &[u8], row: EventRow<'_>, out: &mut Vec<u8>) {
    if json.iter().any(|byte| *byte < FIRST_OF_JSON) {
        out.push(AS_IT_WAS);
        out.extend_from_slice(json);
        return;
    }
    let id = row.message_id.to_string();
    let values = [
        (MESSAGE_ID, id.as_bytes()),
        (URI, row.uri.as_bytes()),
        (ACCOUNT, row.account.unwrap_or_default().as_bytes()),
    ];
    let by_beginning = &*BY_BEGINNING;
    let mut copied = 0;
    for quote in memchr::memchr_iter(b'"', json) {
        if quote < copied {
            continue;
        }
        let rest = json.get(quote..).unwrap_or_default();
        let texts = bucket(rest).and_then(|at| by_beginning.get(at));
        let mut texts = texts.into_iter().flatten();
        let Some((byte, text)) = texts.find(|(_, text)| rest.starts_with(text)) else {
            continue;
        };
        out.extend_from_slice(json.get(copied..quote).unwrap_or_default());
        out.push(*byte);
        copied = quote + text.len();
        let rest = json.get(copied..).unwrap_or_default();
        let mut values = values.iter().filter(|(_, value)| !value.is_empty());
        if let Some((byte, value)) = values.find(|(_, value)| rest.starts_with(value)) {
            out.push(*byte);
            copied += value.len();
        }
    }
    out.extend_from_slice(json.get(copied..).unwrap_or_default());
}

/// The same in bytes of its own.
pub(super) fn packed(json: &[u8], row: EventRow<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len() / 2);
    pack(json, row, &mut out);
    out
}

/// Appends what was packed, as it was. A byte that stands for nothing is left out.
pub(super) fn unpack(packed: &[u8], row: EventRow<'_>, out: &mut Vec<u8>) {
    if let Some((&AS_IT_WAS, json)) = packed.split_first() {
        out.extend_from_slice(json);
        return;
    }
    let id = row.message_id.to_string();
    let mut rest = packed;
    while let Some(at) = rest.iter().position(|byte| *byte < FIRST_OF_JSON) {
        let (plain, behind) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((&byte, behind)) = behind.split_first() else {
            break;
        };
        out.extend_from_slice(match byte {
            MESSAGE_ID => id.as_bytes(),
            URI => row.uri.as_bytes(),
            ACCOUNT => row.account.unwrap_or_default().as_bytes(),
            byte => {
                let place = byte.wrapping_sub(FIRST_TEXT);
                TEXTS
                    .get(usize::from(place))
                    .map_or(b"", |text| text.as_bytes())
            }
        });
        rest = behind;
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SENDING: &str = r#","type":"sending","time":"2026-11-29T20:16:43.220Z","messageId":"01930000-0000-7000-8000-000000000001","attempt":1,"agent":"alice-1","originator":"local","request":{"method":"MESSAGE","uri":"sip:bob@example.com","callId":"01930000-0000-7000-8000-000000000001","cseq":1,"headers":{"Max-Forwards":["70"],"To":["<sip:bob@example.com>"],"From":["<sip:alice@example.com>;tag=8000000000000001"],"Call-ID":["01930000-0000-7000-8000-000000000001"],"Date":["Sun, 29 Nov 2026 20:16:43 GMT"],"Expires":["3600"],"Allow":["MESSAGE, OPTIONS"],"Supported":["outbound, path"],"User-Agent":["sipost/0.1.0"],"Content-Type":["text/plain"],"CSeq":["1 MESSAGE"],"Content-Length":["5"]}},"metadata":{}}"#;
    const SUCCEEDED: &str = r#","type":"succeeded","time":"2026-11-29T20:16:43.229Z","messageId":"01930000-0000-7000-8000-000000000001","attempt":1,"agent":"alice-1","originator":"remote","response":{"statusCode":200,"reasonPhrase":"OK","headers":{"Via":["SIP/2.0/WS 787aee8c5b24.invalid;branch=z9hG4bK9f9adc42cca34d95;received=127.0.0.1"],"From":["<sip:alice@example.com>;tag=8000000000000001"],"To":["<sip:bob@example.com>;tag=868363254818db9c"],"Call-ID":["01930000-0000-7000-8000-000000000001"],"CSeq":["1 MESSAGE"],"Server":["kamailio (5.6.3 (x86_64/linux))"],"Content-Length":["0"]}},"metadata":{}}"#;

    fn row() -> EventRow<'static> {
        EventRow {
            message_id: "01930000-0000-7000-8000-000000000001".parse().unwrap(),
            uri: "sip:bob@example.com",
            account: Some("sip:alice@example.com"),
        }
    }

    fn unpacked(packed: &[u8], row: EventRow<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        unpack(packed, row, &mut out);
        out
    }

    #[test]
    fn usual_events_take_little_more_than_a_third_of_their_json() {
        for json in [SENDING, SUCCEEDED] {
            let packed = packed(json.as_bytes(), row());
            assert!(
                packed.len() * 100 < json.len() * 35,
                "{} of {}",
                packed.len(),
                json.len()
            );
            assert_eq!(unpacked(&packed, row()), json.as_bytes());
        }
    }

    #[test]
    fn each_text_takes_one_byte() {
        for (byte, text) in (FIRST_TEXT..FIRST_OF_JSON).zip(TEXTS) {
            assert_eq!(packed(text.as_bytes(), row()), [byte], "{text}");
        }
        assert!(TEXTS.len() <= usize::from(FIRST_OF_JSON - FIRST_TEXT));
    }

    #[test]
    fn json_of_before_is_read_as_it_is() {
        assert_eq!(unpacked(SENDING.as_bytes(), row()), SENDING.as_bytes());
    }

    #[test]
    fn values_that_are_empty_stand_for_nothing() {
        let row = EventRow {
            uri: "",
            account: None,
            ..row()
        };
        let packed = packed(SENDING.as_bytes(), row);
        assert!(!packed.contains(&URI) && !packed.contains(&ACCOUNT));
        assert_eq!(unpacked(&packed, row), SENDING.as_bytes());
    }

    /// What is in events, in any order, among anything.
    fn part() -> impl Strategy<Value = Vec<u8>> {
        let known = TEXTS.into_iter().chain([
            "01930000-0000-7000-8000-000000000001",
            "sip:bob@example.com",
            "sip:alice@example.com",
            "\"",
        ]);
        let known: Vec<_> = known.map(|text| text.as_bytes().to_vec()).collect();
        prop_oneof![
            4 => proptest::sample::select(known),
            1 => proptest::collection::vec(0x20..=0xFF_u8, 0..8),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_was_packed_is_unpacked_as_it_was(parts in proptest::collection::vec(part(), 0..40)) {
            let json = parts.concat();
            let packed = packed(&json, row());
            prop_assert!(packed.len() <= json.len());
            prop_assert_eq!(unpacked(&packed, row()), json);
        }

        #[test]
        fn bytes_that_json_has_not_are_kept_too(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            prop_assert_eq!(unpacked(&packed(&bytes, row()), row()), bytes);
        }

        #[test]
        fn any_bytes_of_a_damaged_row_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let longest = TEXTS.iter().map(|text| text.len()).max().unwrap();
            prop_assert!(unpacked(&bytes, row()).len() <= bytes.len() * longest);
        }
    }
}
