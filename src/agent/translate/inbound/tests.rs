//! What requests of peers become.

use super::*;
use crate::message::Timestamp;

const NOW: &str = "2026-11-22T05:00:00.500Z";
const ID: &str = "01930000-0000-7000-8000-000000000001";
const OURS: &str = "01930000-0000-7000-8000-00000000000b";

fn identity() -> Identity {
    Identity {
        id: "alice-1".into(),
        account: "sip:alice@example.com".into(),
        from: "<sip:alice@example.com>".to_owned(),
        user_agent: "sipost".to_owned(),
        extra_headers: Vec::new(),
        receives: true,
    }
}

fn message(more: &[(&str, &str)]) -> IncomingRequest {
    let headers = [
        ("Via", "SIP/2.0/WS p;branch=z9hG4bK1"),
        ("From", "\"Bob \\\"B\\\"\" <SIP:bob@Example.COM>;tag=t1"),
        ("To", "<sip:alice@example.com>"),
        ("Call-ID", "a84b4c76"),
        ("CSeq", "7 MESSAGE"),
    ];
    let replaced = |name: &str| more.iter().any(|(other, _)| *other == name);
    let headers = headers.iter().filter(|(name, _)| !replaced(name));
    let headers = headers.chain(more);
    IncomingRequest {
        id: 3,
        uri: "sip:c0ffee@desk.invalid".to_owned(),
        headers: headers
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        envelope: None,
        content: Content::Message {
            content_type: "text/plain".to_owned(),
            body: b"Yes, at noon.".to_vec(),
        },
    }
}

fn translate(request: IncomingRequest, trust_asserted: bool) -> Result<Inbound, NotTaken> {
    let context = InboundContext {
        identity: &identity(),
        id: ID.parse().unwrap(),
        now: NOW.parse().unwrap(),
        trust_asserted,
    };
    inbound(request, context)
}

fn received_from(request: IncomingRequest) -> Received {
    match translate(request, false) {
        Ok(Inbound::Message(received)) => *received,
        other => panic!("{other:?}"),
    }
}

fn receipt_of(kind: NotificationKind, status: NotificationStatus, id: &str) -> IncomingRequest {
    IncomingRequest {
        content: Content::Receipt(Imdn {
            message_id: id.to_owned(),
            kind,
            status,
            reason: Some("415".to_owned()),
        }),
        ..message(&[("From", "<sip:bob@example.com:5070;gr=x>;tag=t1")])
    }
}

#[test]
fn a_message_is_told_as_it_came() {
    let received = received_from(message(&[("X-A", "b")]));
    let now: Timestamp = NOW.parse().unwrap();
    assert_eq!((received.id.to_string().as_str(), received.time), (ID, now));
    assert_eq!(&*received.account, "sip:alice@example.com");
    assert_eq!(&*received.agent, "alice-1");
    let sender = Sender {
        uri: "sip:bob@example.com".to_owned(),
        display_name: Some("Bob \"B\"".to_owned()),
        asserted: None,
    };
    assert_eq!(received.from, sender);
    assert_eq!(received.to, "sip:alice@example.com");
    assert_eq!(received.content_type, "text/plain");
    assert_eq!(received.body, b"Yes, at noon.");
    assert_eq!(&*received.request.uri, "sip:c0ffee@desk.invalid");
    assert_eq!(received.request.call_id, "a84b4c76");
    assert_eq!(
        (received.request.cseq, received.from_tag.as_str()),
        (7, "t1")
    );
    assert_eq!(received.request.headers.first("X-A"), Some("b"));
    assert_eq!((received.envelope, received.expired), (None, false));
}

#[test]
fn a_sender_is_told_however_it_is_written() {
    for (from, uri, name) in [
        ("sip:bob@example.com;tag=1", "sip:bob@example.com", None),
        ("<tel:+1>;tag=1", "tel:+1", None),
        (
            "Bob <sip:bob@example.com;user=phone>",
            "sip:bob@example.com;user=phone",
            Some("Bob"),
        ),
        ("\"\" <sip:bob@example.com>", "sip:bob@example.com", None),
    ] {
        let sender = received_from(message(&[("From", from)])).from;
        assert_eq!(
            (sender.uri.as_str(), sender.display_name.as_deref()),
            (uri, name)
        );
    }
}

#[test]
fn an_asserted_identity_is_told_only_where_it_is_trusted() {
    let request = || {
        message(&[(
            "P-Asserted-Identity",
            "\"Bob, B\" <sip:Bob@Example.com>, <tel:+1>",
        )])
    };
    for (trust, asserted) in [(true, Some("sip:Bob@example.com")), (false, None)] {
        match translate(request(), trust) {
            Ok(Inbound::Message(received)) => {
                assert_eq!(received.from.asserted.as_deref(), asserted);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn in_reply_to_names_ids_of_ours_and_few_of_them() {
    let many = vec![OURS; 20].join(", ");
    for (lines, count) in [
        (&[("In-Reply-To", OURS)][..], 1),
        (&[("In-Reply-To", "70710@saturn.example , x")], 0),
        (&[("In-Reply-To", "a@b"), ("In-Reply-To", OURS)], 1),
        (&[("In-Reply-To", &many)], Received::MAX_ANSWERS),
        (&[], 0),
    ] {
        let answers = received_from(message(lines)).answers;
        assert_eq!(answers, vec![OURS.parse().unwrap(); count]);
    }
}

#[test]
fn a_message_is_expired_when_its_date_and_expires_are_past() {
    for (date, expires, expired) in [
        ("Sun, 22 Nov 2026 04:59:00 GMT", "59", true),
        ("Sun, 22 Nov 2026 04:59:00 GMT", "60", true),
        ("Sun, 22 Nov 2026 04:59:00 GMT", "61", false),
        ("Sun, 22 Nov 2026 04:59:00 GMT", "4294967295", false),
        ("Sun, 22 Nov 2026 04:59:00 GMT", "0", true),
        ("Sun, 22 Nov 2026 04:59:00 GMT", "soon", false),
        ("yesterday", "1", false),
    ] {
        let request = message(&[("Date", date), ("Expires", expires)]);
        assert_eq!(received_from(request).expired, expired, "{date} {expires}");
    }
    assert!(!received_from(message(&[("Expires", "0")])).expired);
}

#[test]
fn an_envelope_is_told() {
    let request = IncomingRequest {
        envelope: Some(cpim::Envelope {
            from: Some("sip:bob@example.com".to_owned()),
            message_id: Some("m1".to_owned()),
            wants_displayed: true,
            ..cpim::Envelope::default()
        }),
        ..message(&[])
    };
    let expected = Envelope {
        from: Some("sip:bob@example.com".to_owned()),
        message_id: Some("m1".to_owned()),
        receipts: vec![ReceiptRequest::Displayed],
        ..Envelope::default()
    };
    assert_eq!(received_from(request).envelope, Some(expected));
}

#[test]
fn a_receipt_for_a_message_of_ours_is_told_by_its_sender() {
    let undelivered = |status| Disposition::Undelivered {
        status,
        reason: Some("415".to_owned()),
    };
    for (kind, status, disposition) in [
        (
            NotificationKind::Delivery,
            NotificationStatus::Delivered,
            Disposition::Delivered,
        ),
        (
            NotificationKind::Display,
            NotificationStatus::Displayed,
            Disposition::Displayed,
        ),
        (
            NotificationKind::Delivery,
            NotificationStatus::Failed,
            undelivered(UndeliveredStatus::Failed),
        ),
        (
            NotificationKind::Delivery,
            NotificationStatus::Forbidden,
            undelivered(UndeliveredStatus::Forbidden),
        ),
        (
            NotificationKind::Delivery,
            NotificationStatus::Error,
            undelivered(UndeliveredStatus::Error),
        ),
    ] {
        let receipt = match translate(receipt_of(kind, status, OURS), false) {
            Ok(Inbound::Receipt(receipt)) => receipt,
            other => panic!("{other:?}"),
        };
        assert_eq!(receipt.message_id, OURS.parse().unwrap());
        assert_eq!(&*receipt.recipient, "sip:bob@example.com:5070");
        assert_eq!(receipt.disposition, disposition);
    }
}

#[test]
fn receipts_for_others_and_of_other_things_are_only_counted() {
    let delivery = NotificationKind::Delivery;
    let delivered = NotificationStatus::Delivered;
    for (kind, status, id, reason) in [
        (delivery, delivered, "a1b2", NotTaken::UnknownReceipt),
        (
            delivery,
            delivered,
            &OURS.to_uppercase(),
            NotTaken::UnknownReceipt,
        ),
        (
            NotificationKind::Display,
            NotificationStatus::Error,
            OURS,
            NotTaken::OtherReceipt,
        ),
        (
            NotificationKind::Processing,
            NotificationStatus::Stored,
            OURS,
            NotTaken::OtherReceipt,
        ),
        (
            delivery,
            NotificationStatus::Displayed,
            OURS,
            NotTaken::OtherReceipt,
        ),
    ] {
        match translate(receipt_of(kind, status, id), false) {
            Err(given) => assert_eq!(given, reason),
            Ok(inbound) => panic!("{inbound:?}"),
        }
    }
    // A database may have no room for such a name in a key.
    let receipt = receipt_of(delivery, delivered, OURS);
    let long = format!("<sip:{}@example.com>;tag=t1", "b".repeat(5_000));
    let receipt = IncomingRequest {
        content: receipt.content,
        ..message(&[("From", &long)])
    };
    let told = translate(receipt, false);
    assert!(matches!(told, Err(NotTaken::UnknownReceipt)), "{told:?}");
}
