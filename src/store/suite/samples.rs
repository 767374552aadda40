//! Messages, records and questions that the behaviours are told with.

use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::TestStore;
use crate::message::{
    Cause, Contents, Disposition, Event, HeaderMap, Message, MessageId, Metadata, Originator,
    Receipt, Received, RequestView, ResponseView, Sender, Status, Timestamp, What,
};
use crate::store::{
    EventFilter, IdempotencyKey, Logged, MessageFilter, Record, Recorded, Store, Submission,
    Verdict,
};

pub(crate) const BOB: &str = "sip:bob@example.com";
pub(crate) const ALICE: &str = "sip:alice@example.com";

/// A time so many milliseconds after a fixed one.
pub(crate) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000 + millis)
}

/// The id of the message that [`message`] makes of this number. Higher numbers sort later.
pub(crate) fn id(number: u64) -> MessageId {
    MessageId::new(Uuid::from_u64_pair(0x0193_0000_0000_7000, number | 1 << 63))
}

/// A message to Bob, created so many milliseconds after the fixed time as its number says.
pub(crate) fn message(number: u64) -> Message {
    let created_at = at(i64::try_from(number).unwrap());
    let contents = Contents {
        target: "bob".to_owned(),
        uri: BOB.into(),
        body: Bytes::from(format!("Hello for the {number}th time!")),
        ..Contents::default()
    };
    contents.accept(id(number), created_at, None)
}

pub(crate) fn submission(messages: Vec<Message>) -> Submission {
    Submission {
        messages: messages.into_iter().map(Arc::new).collect(),
        key: None,
    }
}

pub(crate) fn keyed(owner: &str, key: &str, fingerprint: u8, messages: Vec<Message>) -> Submission {
    Submission {
        key: Some(IdempotencyKey {
            owner: owner.into(),
            key: key.into(),
            fingerprint: [fingerprint; 32],
        }),
        ..submission(messages)
    }
}

/// Takes in messages of these numbers, each in a submission of its own.
pub(crate) async fn accept(store: &Arc<dyn Store>, numbers: impl IntoIterator<Item = u64>) {
    let submissions: Vec<_> = numbers
        .into_iter()
        .map(|number| submission(vec![message(number)]))
        .collect();
    let count = submissions.len();
    let verdicts = store.accept(submissions).await.unwrap();
    assert_eq!(verdicts.len(), count);
    for verdict in verdicts {
        // What is to the target of something that is left over waits behind it.
        assert!(matches!(verdict, Verdict::Accepted | Verdict::Elsewhere(_)));
    }
}

pub(crate) fn event(number: u64, attempt: u32, time: i64, what: What) -> Event {
    Event {
        message_id: id(number),
        time: at(time),
        attempt,
        agent: Some("alice-1".into()),
        uri: BOB.into(),
        account: Some(ALICE.into()),
        webhook: None,
        trace: None,
        priority: None,
        metadata: Metadata::new(),
        what,
    }
}

/// The request of an attempt at the message of this number.
pub(crate) fn request(number: u64, attempt: u32) -> RequestView {
    RequestView {
        method: "MESSAGE",
        uri: BOB.into(),
        call_id: format!("call-{number}"),
        cseq: attempt,
        headers: HeaderMap::default(),
        truncated: false,
    }
}

pub(crate) fn sending(number: u64, attempt: u32, time: i64) -> Record {
    let request = request(number, attempt);
    Record {
        event: event(number, attempt, time, What::Sending { request }),
        status: Status::Sending,
        not_before: None,
    }
}

pub(crate) fn deferred(number: u64, attempt: u32, time: i64, next_attempt_at: Timestamp) -> Record {
    let what = What::Deferred {
        originator: Originator::Remote,
        cause: Cause::SipFailureCode,
        response: Some(response(503)),
        next_attempt_at,
    };
    Record {
        event: event(number, attempt, time, what),
        status: Status::Queued,
        not_before: Some(next_attempt_at),
    }
}

pub(crate) fn succeeded(number: u64, attempt: u32, time: i64) -> Record {
    let what = What::Succeeded {
        response: Some(response(200)),
        receipt: None,
    };
    Record {
        event: event(number, attempt, time, what),
        status: Status::Succeeded,
        not_before: None,
    }
}

pub(crate) fn failed(number: u64, attempt: u32, time: i64) -> Record {
    let what = What::Failed {
        originator: Originator::Remote,
        cause: Cause::Busy,
        response: Some(response(486)),
        ambiguous: false,
    };
    Record {
        event: event(number, attempt, time, what),
        status: Status::Failed,
        not_before: None,
    }
}

/// Every page stays below this.
pub(crate) const PAGE: usize = 4 * 1024 * 1024;

/// The end of a message that was not sent, whose response has so many bytes.
pub(crate) fn large_failure(number: u64, bytes: usize) -> Record {
    let mut headers = HeaderMap::default();
    headers.add("X-Much", &"x".repeat(bytes));
    let mut record = failed(number, 0, 9);
    record.event.what = What::Failed {
        originator: Originator::Remote,
        cause: Cause::Busy,
        response: Some(ResponseView {
            headers,
            ..response(486)
        }),
        ambiguous: false,
    };
    record
}

pub(crate) fn response(status_code: u16) -> ResponseView {
    ResponseView {
        status_code,
        reason_phrase: "So it is".to_owned(),
        headers: HeaderMap::default(),
        truncated: false,
    }
}

/// The id of the received message that [`incoming`] makes of this number.
pub(crate) fn received_id(number: u64) -> MessageId {
    let made_at = at(i64::try_from(number).unwrap()).as_millis();
    let time = u64::try_from(made_at).unwrap() << 16 | 0x7000;
    MessageId::new(Uuid::from_u64_pair(time, number | 1 << 63))
}

/// A message from Bob to Alice that came in so many milliseconds after the fixed time as its number
/// says.
pub(crate) fn incoming(number: u64) -> Received {
    Received {
        id: received_id(number),
        time: at(i64::try_from(number).unwrap()),
        account: ALICE.into(),
        agent: "alice-1".into(),
        from: Sender {
            uri: BOB.to_owned(),
            display_name: Some("Bob".to_owned()),
            asserted: None,
        },
        to: ALICE.to_owned(),
        content_type: "text/plain".to_owned(),
        body: format!("Hello {number}").into(),
        request: RequestView::cut(ALICE.into(), format!("call-{number}"), 1, &[]),
        from_tag: "bob".to_owned(),
        answers: Vec::new(),
        in_reply_to: None,
        envelope: None,
        expired: false,
    }
}

/// A device of this recipient has the message of this number.
pub(crate) fn receipt(number: u64, recipient: &str, time: i64) -> Receipt {
    Receipt {
        message_id: id(number),
        time: at(time),
        account: ALICE.into(),
        agent: "alice-1".into(),
        recipient: recipient.into(),
        disposition: Disposition::Delivered,
    }
}

/// Sends and ends messages of these numbers, one after the other.
pub(crate) async fn finish(store: &Arc<dyn Store>, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        let time = i64::try_from(number).unwrap();
        let records = vec![sending(number, 1, time), succeeded(number, 1, time)];
        let answers = store.record(records.into()).await.unwrap();
        assert!(!answers.contains(&Recorded::Ended), "{number}");
    }
}

pub(crate) async fn reopen(test_store: &dyn TestStore, store: Arc<dyn Store>) -> Arc<dyn Store> {
    store.close().await.unwrap();
    drop(store);
    test_store.open()
}

/// The whole log after this event, page by page.
pub(crate) async fn log(store: &Arc<dyn Store>, after: u64, filter: &EventFilter) -> Vec<Logged> {
    let (mut all, mut after) = (Vec::new(), after);
    loop {
        let page = store
            .events(after, filter.clone(), 100.into())
            .await
            .unwrap();
        all.extend(page.events);
        if page.scanned_to == after {
            return all;
        }
        after = page.scanned_to;
    }
}

pub(crate) fn numbers(events: &[Logged]) -> Vec<u64> {
    events.iter().map(|event| event.seq).collect()
}

pub(crate) async fn listed(
    store: &Arc<dyn Store>,
    filter: &MessageFilter,
    limit: usize,
) -> Vec<MessageId> {
    let (mut all, mut before) = (Vec::new(), None);
    loop {
        let page = store.messages(filter.clone(), before, limit).await.unwrap();
        assert!(page.messages.len() <= limit);
        all.extend(page.messages.iter().map(|stored| stored.message.id));
        match page.next {
            Some(next) => before = Some(next),
            None => return all,
        }
    }
}
