//! What messages become on the wire.

use super::*;
use crate::message::InReplyTo;

const NOW: &str = "2026-11-22T05:00:00.123Z";
const ID: &str = "01930000-0000-7000-8000-00000000000b";
const ANSWERED: &str = "01930000-0000-7000-8000-00000000000c";

fn identity() -> Identity {
    Identity {
        id: "alice-1".into(),
        account: "sip:alice@example.com".into(),
        from: "\"Alice\" <sip:alice@example.com:5070>".to_owned(),
        user_agent: "sipost".to_owned(),
        extra_headers: Vec::new(),
        receives: true,
    }
}

fn message(contents: Contents) -> Message {
    let contents = Contents {
        uri: "sip:bob@example.com:5060".into(),
        body: "Hello Bob!".into(),
        ..contents
    };
    contents.accept(ID.parse().unwrap(), NOW.parse().unwrap(), None)
}

fn asks_for(receipts: &[ReceiptRequest]) -> Message {
    message(Contents {
        receipts: receipts.to_vec(),
        ..Contents::default()
    })
}

fn prepared(message: &Message, form: BodyForm) -> (RequestView, OutgoingRequest) {
    // Later than the message was made.
    let now = "2026-11-22T06:00:00.000Z".parse().unwrap();
    prepare(&identity(), message, 1, now, form)
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_message_that_asks_for_receipts_is_in_an_envelope_and_has_a_bare_body() {
    let message = asks_for(&ReceiptRequest::ALL);
    let (view, request) = prepared(&message, BodyForm::Asked);
    assert_eq!(
        text(&request.body),
        "From: \"Alice\" <sip:alice@example.com>\r\nTo: <sip:bob@example.com>\r\n\
         DateTime: 2026-11-22T05:00:00.123Z\r\nNS: imdn <urn:ietf:params:imdn>\r\n\
         imdn.Message-ID: 01930000-0000-7000-8000-00000000000b\r\n\
         imdn.Disposition-Notification: positive-delivery, negative-delivery, display\r\n\r\n\
         Content-Type: text/plain\r\n\r\nHello Bob!"
    );
    assert!(text(&request.head).ends_with("Content-Type: message/cpim\r\n"));
    assert_eq!(view.headers.first("Content-Type"), Some("message/cpim"));
    let length = request.body.len().to_string();
    assert_eq!(view.headers.first("Content-Length"), Some(length.as_str()));

    let (bare_view, bare) = prepared(&message, BodyForm::Bare);
    assert_eq!(text(&bare.body), "Hello Bob!");
    assert_eq!(bare_view.headers.first("Content-Type"), Some("text/plain"));
    assert!(bare.fallback.is_none());
    let fallback = request.fallback.unwrap();
    assert_eq!((fallback.head, fallback.body), (bare.head, bare.body));
}

#[test]
fn only_the_receipts_that_are_asked_for_are_named() {
    for (receipts, notifications) in [
        (
            &[ReceiptRequest::Delivered][..],
            "positive-delivery, negative-delivery",
        ),
        (&[ReceiptRequest::Displayed], "display"),
    ] {
        let (_, request) = prepared(&asks_for(receipts), BodyForm::Asked);
        let line = format!("imdn.Disposition-Notification: {notifications}\r\n");
        assert!(text(&request.body).contains(&line));
    }
}

#[test]
fn a_message_that_asks_for_none_is_bare() {
    let (_, request) = prepared(&asks_for(&[]), BodyForm::Asked);
    assert_eq!(text(&request.body), "Hello Bob!");
    assert!(request.fallback.is_none());
}

#[test]
fn a_reply_names_what_it_answers_unless_that_would_break_the_line() {
    for (call_id, line) in [
        ("a84b4c76@host", Some("a84b4c76@host")),
        ("a\r\nX-A: b", None),
        ("", None),
    ] {
        let reply = message(Contents {
            in_reply_to: Some(InReplyTo {
                id: ANSWERED.parse().unwrap(),
                call_id: call_id.to_owned(),
            }),
            ..Contents::default()
        });
        let (view, request) = prepared(&reply, BodyForm::Asked);
        assert_eq!(view.headers.first("In-Reply-To"), line);
        let written = text(&request.head).contains("In-Reply-To: a84b4c76@host\r\n");
        assert_eq!(written, line.is_some());
    }
}

#[test]
fn a_priority_that_was_given_is_written_once() {
    let loud = Identity {
        extra_headers: vec![("priority".to_owned(), "urgent".to_owned())],
        ..identity()
    };
    let written = |identity: &Identity, priority| {
        let contents = Contents {
            priority,
            ..Contents::default()
        };
        let now = NOW.parse().unwrap();
        let (view, request) = prepare(identity, &message(contents), 1, now, BodyForm::Asked);
        let lines = text(&request.head).lines();
        let lines = lines.filter(|line| line.to_lowercase().starts_with("priority:"));
        let lines: Vec<_> = lines.map(str::to_owned).collect();
        let shown = view.headers.first("Priority").map(str::to_owned);
        assert_eq!(shown.is_some(), !lines.is_empty());
        lines
    };
    let none: [&str; 0] = [];
    assert_eq!(written(&identity(), None), none);
    for class in Priority::ALL {
        let line = format!("Priority: {}", class.as_str());
        assert_eq!(written(&identity(), Some(class)), [line.as_str()]);
        assert_eq!(written(&loud, Some(class)), [line.as_str()]);
    }
    assert_eq!(written(&loud, None), ["priority: urgent"]);
}

#[test]
fn allow_says_whether_the_account_takes_messages() {
    for (receives, allow) in [(true, "MESSAGE, OPTIONS"), (false, "OPTIONS")] {
        let identity = Identity {
            receives,
            ..identity()
        };
        let now = NOW.parse().unwrap();
        let (view, _) = prepare(&identity, &asks_for(&[]), 1, now, BodyForm::Asked);
        assert_eq!(view.headers.first("Allow"), Some(allow));
    }
}

#[test]
fn room_is_kept_for_what_an_envelope_and_a_reply_add() {
    let identity = identity();
    let plain = asks_for(&[]);
    let size = |message: &Message| {
        let (_, request) = prepared(message, BodyForm::Asked);
        request.head.len() + request.body.len()
    };
    let reckoned = |message: &Message| {
        let contents = &message.contents;
        head_len(contents) + envelope_len(contents, identity.from.len())
    };
    let reply = message(Contents {
        in_reply_to: Some(InReplyTo {
            id: ANSWERED.parse().unwrap(),
            call_id: "a84b4c76@host".to_owned(),
        }),
        receipts: ReceiptRequest::ALL.to_vec(),
        priority: Some(Priority::Emergency),
        ..Contents::default()
    });
    for larger in [asks_for(&ReceiptRequest::ALL), reply] {
        let added = size(&larger) - size(&plain);
        let room = reckoned(&larger) - reckoned(&plain);
        assert!((added..added + 100).contains(&room), "{added} {room}");
    }
}
