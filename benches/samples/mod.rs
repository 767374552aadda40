//! Messages and what happens to them, for the benchmarks of what is durable.

#![allow(dead_code, reason = "each benchmark needs some of it")]

use std::sync::Arc;
use std::sync::OnceLock;

use bytes::Bytes;
use sipost::clock::Clock;
use sipost::message::Contents;
use sipost::message::Event;
use sipost::message::HeaderMap;
use sipost::message::Message;
use sipost::message::MessageId;
use sipost::message::Metadata;
use sipost::message::Received;
use sipost::message::RequestView;
use sipost::message::ResponseView;
use sipost::message::Sender;
use sipost::message::Status;
use sipost::message::Timestamp;
use sipost::message::What;
use sipost::store::Record;
use sipost::store::Store;
use sipost::store::Submission;
use uuid::Uuid;

/// When this run began: nothing expires while it is measured.
pub(crate) fn begun() -> Timestamp {
    static BEGUN: OnceLock<Timestamp> = OnceLock::new();
    *BEGUN.get_or_init(|| Clock::system().now())
}

/// A message of 400 bytes to one of a thousand targets; higher numbers sort later.
pub(crate) fn message(number: u64) -> Message {
    let contents = Contents {
        target: format!("user{}", number % 1_000),
        uri: uri(number),
        body: Bytes::from(vec![b'x'; 400]),
        ..Contents::default()
    };
    contents.accept(id(number), begun(), None)
}

/// The id of that message.
pub(crate) fn id(number: u64) -> MessageId {
    MessageId::new(Uuid::from_u64_pair(0x0193_0000_0000_7000, number | 1 << 63))
}

fn uri(number: u64) -> Arc<str> {
    format!("sip:user{}@example.com", number % 1_000).into()
}

/// The record of its attempt.
pub(crate) fn sending(number: u64) -> Record {
    let mut headers = HeaderMap::default();
    for (name, value) in [
        ("Max-Forwards", "70"),
        ("To", "<sip:user@example.com>"),
        ("From", "\"Alice\" <sip:alice@example.com>;tag=4fd9a1c2"),
        ("Call-ID", "9f0c2e6d1b7a4f35"),
        ("CSeq", "1 MESSAGE"),
        ("Content-Type", "text/plain"),
        ("Content-Length", "400"),
    ] {
        headers.add(name, value);
    }
    let request = RequestView {
        method: "MESSAGE",
        uri: uri(number),
        call_id: "9f0c2e6d1b7a4f35".to_owned(),
        cseq: 1,
        headers,
        truncated: false,
    };
    record(number, What::Sending { request }, Status::Sending)
}

/// The record of its end.
pub(crate) fn succeeded(number: u64) -> Record {
    let mut headers = HeaderMap::default();
    headers.add("Via", "SIP/2.0/WS d3b1.invalid;branch=z9hG4bK776asdhds");
    headers.add("Server", "kamailio (5.6.3 (x86_64/linux))");
    let response = ResponseView {
        status_code: 200,
        reason_phrase: "OK".to_owned(),
        headers,
        truncated: false,
    };
    let what = What::Succeeded {
        response: Some(response),
        receipt: None,
    };
    record(number, what, Status::Succeeded)
}

fn record(number: u64, what: What, status: Status) -> Record {
    let event = Event {
        message_id: id(number),
        time: begun(),
        attempt: 1,
        agent: Some("alice-1".into()),
        uri: uri(number),
        account: Some("sip:alice@example.com".into()),
        webhook: None,
        trace: None,
        priority: None,
        metadata: Metadata::new(),
        what,
    };
    Record {
        event,
        status,
        not_before: None,
    }
}

/// Takes in messages of these numbers.
pub(crate) async fn accept(store: &Arc<dyn Store>, numbers: std::ops::Range<u64>) {
    let submissions = numbers.map(|number| Submission {
        messages: vec![Arc::new(message(number))],
        key: None,
    });
    let verdicts = store.accept(submissions.collect()).await;
    verdicts.expect("the store accepts");
}

/// Takes in messages of these numbers and lets them succeed.
pub(crate) async fn finish(store: &Arc<dyn Store>, numbers: std::ops::Range<u64>) {
    accept(store, numbers.clone()).await;
    let records = numbers.flat_map(|number| [sending(number), succeeded(number)]);
    let answers = store.record(records.collect()).await;
    answers.expect("the store records");
}

/// A message of 400 bytes that came in.
pub(crate) fn received(number: u64) -> Received {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let headers = [
        header("Via", "SIP/2.0/WSS 192.0.2.7;branch=z9hG4bK2d4790.1"),
        header("Via", "SIP/2.0/UDP 192.0.2.20:5060;branch=z9hG4bK74b43"),
        header("Max-Forwards", "69"),
        header("From", "\"Bob\" <sip:bob@example.com>;tag=49583"),
        header("To", "<sip:alice@example.com>"),
        header("Call-ID", "a84b4c76e66710@192.0.2.20"),
        header("CSeq", "1 MESSAGE"),
        header("Content-Type", "text/plain"),
        header("Content-Length", "400"),
    ];
    Received {
        id: id(number),
        time: begun(),
        account: "sip:alice@example.com".into(),
        agent: "alice-1".into(),
        from: Sender {
            uri: "sip:bob@example.com".to_owned(),
            display_name: Some("Bob".to_owned()),
            asserted: None,
        },
        to: "sip:alice@example.com".to_owned(),
        content_type: "text/plain".to_owned(),
        body: vec![b'x'; 400],
        request: RequestView::cut(
            "sip:alice@192.0.2.1".into(),
            format!("{number}@192.0.2.20"),
            1,
            &headers,
        ),
        from_tag: "49583".to_owned(),
        answers: Vec::new(),
        in_reply_to: None,
        envelope: None,
        expired: false,
    }
}
