//! What every backend does, as tests: one suite, run on each of them by [`store_suite`].

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::Bounds;
use super::EventFilter;
use super::IdempotencyKey;
use super::Logged;
use super::MessageFilter;
use super::Record;
use super::Recorded;
use super::Store;
use super::StoreError;
use super::Submission;
use super::Verdict;
use crate::message::BodyEncoding;
use crate::message::Cause;
use crate::message::Event;
use crate::message::EventKind;
use crate::message::Header;
use crate::message::HeaderMap;
use crate::message::Message;
use crate::message::MessageId;
use crate::message::Metadata;
use crate::message::OnUnknown;
use crate::message::Originator;
use crate::message::RequestView;
use crate::message::ResponseView;
use crate::message::Status;
use crate::message::Timestamp;
use crate::message::What;

/// Where a store lies, so that it can be opened, closed, and opened again.
pub(crate) trait Bed {
    /// Opens the store of this bed; the one opened before must have been closed.
    fn open(&self) -> Arc<dyn Store>;
}

/// Makes a test of every behaviour, on the beds that the given function makes.
macro_rules! store_suite {
    ($bed:path) => {
        $crate::store::suite::store_suite! { $bed;
            a_message_is_read_back_whole
            verbs_take_effect_in_the_order_of_the_calls
            what_is_taken_in_may_begin_in_the_same_call
            a_message_handed_over_twice_is_taken_in_once
            a_key_makes_a_repeated_request_the_same_request
            twenty_clients_with_one_key_make_one_message
            keys_outlive_a_restart_and_are_forgotten_in_steps
            events_move_their_message_on
            nothing_follows_a_terminal_event
            the_log_reads_the_same_from_memory_and_from_the_disk
            the_log_is_read_in_pages
            filters_let_pass_what_they_say
            a_reader_sees_every_event_once_while_writers_go_on
            an_event_can_be_read_as_soon_as_it_is_told_of
            what_was_left_is_handed_out_once_oldest_first
            what_this_process_took_in_is_never_claimed
            messages_that_are_gone_are_left_out_of_a_load
            messages_are_listed_newest_first
            lists_are_filtered
            purging_takes_what_ended_and_leaves_what_waits
            numbers_go_on_after_everything_was_purged
            bodies_are_discarded_once_a_message_ended
            an_epoch_lasts
            closing_makes_durable_what_was_handed_over
            random_histories_agree_with_a_model
        }
    };
    ($bed:path; $($behaviour:ident)*) => {
        $(
            #[tokio::test]
            async fn $behaviour() {
                let bed = $bed();
                $crate::store::suite::$behaviour(&bed).await;
            }
        )*
    };
}
pub(crate) use store_suite;

const BOB: &str = "sip:bob@example.com";
const ALICE: &str = "sip:alice@example.com";

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
    Message {
        id: id(number),
        target: "bob".to_owned(),
        uri: BOB.into(),
        account: None,
        body: Bytes::from(format!("Hello for the {number}th time!")),
        body_encoding: BodyEncoding::Utf8,
        content_type: "text/plain".to_owned(),
        extra_headers: Vec::new(),
        ttl: Duration::from_secs(3_600),
        send_at: None,
        attempts: 3,
        on_unknown: OnUnknown::Resend,
        webhook: None,
        metadata: Metadata::new(),
        created_at,
        expires_at: created_at.plus(Duration::from_secs(3_600)),
    }
}

pub(crate) fn submission(messages: Vec<Message>) -> Submission {
    Submission {
        messages: messages.into_iter().map(Arc::new).collect(),
        key: None,
    }
}

fn keyed(owner: &str, key: &str, fingerprint: u8, messages: Vec<Message>) -> Submission {
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
    assert_eq!(verdicts, vec![Verdict::Accepted; count]);
}

fn event(number: u64, attempt: u32, time: i64, what: What) -> Event {
    Event {
        message_id: id(number),
        time: at(time),
        attempt,
        agent: Some("alice-1".into()),
        uri: BOB.into(),
        account: Some(ALICE.into()),
        metadata: Metadata::new(),
        what,
    }
}

pub(crate) fn sending(number: u64, attempt: u32, time: i64) -> Record {
    let request = RequestView {
        method: "MESSAGE",
        uri: BOB.into(),
        call_id: format!("call-{number}"),
        cseq: attempt,
        headers: HeaderMap::default(),
    };
    Record {
        event: event(number, attempt, time, What::Sending { request }),
        status: Status::Sending,
        not_before: None,
    }
}

fn deferred(number: u64, attempt: u32, time: i64, next_attempt_at: Timestamp) -> Record {
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
    let response = response(200);
    Record {
        event: event(number, attempt, time, What::Succeeded { response }),
        status: Status::Succeeded,
        not_before: None,
    }
}

fn failed(number: u64, attempt: u32, time: i64) -> Record {
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

fn response(status_code: u16) -> ResponseView {
    ResponseView {
        status_code,
        reason_phrase: "So it is".to_owned(),
        headers: HeaderMap::default(),
    }
}

/// Sends and ends messages of these numbers, one after the other.
async fn finish(store: &Arc<dyn Store>, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        let time = i64::try_from(number).unwrap();
        let records = vec![sending(number, 1, time), succeeded(number, 1, time)];
        let answers = store.record(records.into()).await.unwrap();
        assert!(!answers.contains(&Recorded::Ended), "{number}");
    }
}

async fn reopen(bed: &dyn Bed, store: Arc<dyn Store>) -> Arc<dyn Store> {
    store.close().await.unwrap();
    drop(store);
    bed.open()
}

/// The whole log after this event, page by page.
async fn log(store: &Arc<dyn Store>, after: u64, filter: &EventFilter) -> Vec<Logged> {
    let (mut all, mut after) = (Vec::new(), after);
    loop {
        let page = store.events(after, filter.clone(), 100).await.unwrap();
        all.extend(page.events);
        if page.scanned_to == after {
            return all;
        }
        after = page.scanned_to;
    }
}

fn numbers(events: &[Logged]) -> Vec<u64> {
    events.iter().map(|event| event.seq).collect()
}

async fn listed(store: &Arc<dyn Store>, filter: &MessageFilter, limit: usize) -> Vec<MessageId> {
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

pub(crate) async fn a_message_is_read_back_whole(bed: &dyn Bed) {
    let store = bed.open();
    let full = Message {
        target: "Bob Ünicode".to_owned(),
        account: Some(ALICE.into()),
        body: Bytes::from_static(b"\0\xff binary"),
        body_encoding: BodyEncoding::Base64,
        content_type: "application/octet-stream".to_owned(),
        extra_headers: vec![
            Header::parse("X-Foo: \"quoted\", Grüße").unwrap(),
            Header::parse("X-Foo:").unwrap(),
        ],
        ttl: Duration::from_millis(1_500),
        send_at: Some(at(60_000)),
        attempts: 7,
        on_unknown: OnUnknown::Fail,
        webhook: Some("https://app.example/hook".to_owned()),
        metadata: BTreeMap::from([("order".to_owned(), "\u{0} 42 \"'".to_owned())]),
        ..message(2)
    };
    let plain = Message {
        body: Bytes::new(),
        ..message(1)
    };
    let messages = vec![plain.clone(), full.clone()];
    let verdicts = store.accept(vec![submission(messages)]).await.unwrap();
    assert_eq!(verdicts, [Verdict::Accepted]);

    let store = reopen(bed, store).await;
    for (message, status) in [(plain, Status::Queued), (full, Status::Scheduled)] {
        let stored = store.message(message.id).await.unwrap().unwrap();
        assert_eq!(*stored.message, message);
        assert_eq!((stored.status, stored.attempt), (status, 0));
        assert_eq!((stored.completed_at, stored.not_before), (None, None));
        assert_eq!(stored.result, None);
        let loaded = store.load(vec![message.id]).await.unwrap();
        assert_eq!(loaded, [Arc::new(message)]);
    }
    assert!(store.message(id(3)).await.unwrap().is_none());
    store.close().await.unwrap();
}

pub(crate) async fn verbs_take_effect_in_the_order_of_the_calls(bed: &dyn Bed) {
    let store = bed.open();
    // Nothing is awaited, or even polled, until everything was called.
    let accepted = store.accept(vec![submission(vec![message(1)])]);
    let begun = store.record(vec![sending(1, 1, 1)].into());
    let ended = store.record(vec![succeeded(1, 1, 2), failed(1, 1, 3)].into());
    drop(store.accept(vec![submission(vec![message(2)])]));
    let checked = store.check();

    checked.await.unwrap();
    assert!(store.message(id(2)).await.unwrap().is_some());
    let answers = [Recorded::Appended(2), Recorded::Ended];
    assert_eq!(ended.await.unwrap(), answers);
    assert_eq!(begun.await.unwrap(), [Recorded::Appended(1)]);
    assert_eq!(accepted.await.unwrap(), [Verdict::Accepted]);
    store.close().await.unwrap();
}

pub(crate) async fn what_is_taken_in_may_begin_in_the_same_call(bed: &dyn Bed) {
    let store = bed.open();
    accept_keyed(&store, "k", 1).await;
    let submissions = vec![
        submission(vec![message(2)]),
        // Known: its message is not taken in, so it cannot begin.
        keyed("app", "k", 1, vec![message(3)]),
    ];
    let records = vec![sending(2, 1, 1), sending(3, 1, 1), sending(1, 1, 1)];
    let (accepted, recorded) = store.accept_and_record(submissions, records.into());

    let answers = [
        Recorded::Appended(1),
        Recorded::Ended,
        Recorded::Appended(2),
    ];
    assert_eq!(recorded.await.unwrap(), answers);
    let verdicts = [Verdict::Accepted, Verdict::Replayed(vec![id(1)])];
    assert_eq!(accepted.await.unwrap(), verdicts);
    let stored = store.message(id(2)).await.unwrap().unwrap();
    assert_eq!((stored.status, stored.attempt), (Status::Sending, 1));
    assert!(store.message(id(3)).await.unwrap().is_none());
    store.close().await.unwrap();
}

async fn accept_keyed(store: &Arc<dyn Store>, key: &str, number: u64) {
    let submissions = vec![keyed("app", key, 1, vec![message(number)])];
    assert_eq!(
        store.accept(submissions).await.unwrap(),
        [Verdict::Accepted]
    );
}

pub(crate) async fn a_message_handed_over_twice_is_taken_in_once(bed: &dyn Bed) {
    let store = bed.open();
    accept(&store, [1]).await;
    finish(&store, [1]).await;
    accept(&store, [1, 2, 2]).await;
    let stored = store.message(id(1)).await.unwrap().unwrap();
    assert_eq!(stored.status, Status::Succeeded);
    let all = listed(&store, &MessageFilter::default(), 10).await;
    assert_eq!(all, [id(2), id(1)]);
    store.close().await.unwrap();
}

pub(crate) async fn a_key_makes_a_repeated_request_the_same_request(bed: &dyn Bed) {
    let store = bed.open();
    let verdicts = store
        .accept(vec![
            keyed("app", "k", 1, vec![message(1), message(2)]),
            keyed("app", "k", 1, vec![message(3), message(4)]),
            keyed("app", "k", 2, vec![message(5)]),
            keyed("other", "k", 2, vec![message(6)]),
            keyed("app", "K", 2, vec![message(7)]),
        ])
        .await
        .unwrap();
    assert_eq!(
        verdicts,
        [
            Verdict::Accepted,
            Verdict::Replayed(vec![id(1), id(2)]),
            Verdict::KeyReused,
            Verdict::Accepted,
            Verdict::Accepted,
        ]
    );
    let all = listed(&store, &MessageFilter::default(), 10).await;
    assert_eq!(all, [id(7), id(6), id(2), id(1)]);
    store.close().await.unwrap();
}

pub(crate) async fn twenty_clients_with_one_key_make_one_message(bed: &dyn Bed) {
    let store = bed.open();
    let mut clients = tokio::task::JoinSet::new();
    for number in 1..=20 {
        let store = store.clone();
        let request = keyed("app", "once", 9, vec![message(number)]);
        clients.spawn(async move { store.accept(vec![request]).await.unwrap().remove(0) });
    }
    let verdicts = clients.join_all().await;
    let all = listed(&store, &MessageFilter::default(), 30).await;
    assert_eq!(all.len(), 1);
    let replays = verdicts
        .iter()
        .filter(|verdict| **verdict == Verdict::Replayed(all.clone()));
    assert_eq!(replays.count(), 19);
    store.close().await.unwrap();
}

pub(crate) async fn keys_outlive_a_restart_and_are_forgotten_in_steps(bed: &dyn Bed) {
    let store = bed.open();
    for number in 1..=5 {
        let request = keyed("app", &number.to_string(), 1, vec![message(number)]);
        store.accept(vec![request]).await.unwrap();
    }
    let store = reopen(bed, store).await;
    assert_eq!(store.forget_keys(at(4), 2).await.unwrap(), 2);
    assert_eq!(store.forget_keys(at(4), 2).await.unwrap(), 1);
    assert_eq!(store.forget_keys(at(4), 2).await.unwrap(), 0);
    let again = |key: &str, number| vec![keyed("app", key, 1, vec![message(number)])];
    let kept = store.accept(again("4", 6)).await.unwrap();
    assert_eq!(kept, [Verdict::Replayed(vec![id(4)])]);
    let forgotten = store.accept(again("3", 7)).await.unwrap();
    assert_eq!(forgotten, [Verdict::Accepted]);
    store.close().await.unwrap();
}

pub(crate) async fn events_move_their_message_on(bed: &dyn Bed) {
    let store = bed.open();
    accept(&store, [1, 2]).await;
    let standing = async |expected: (Status, u32, Option<Timestamp>, Option<Timestamp>)| {
        let stored = store.message(id(1)).await.unwrap().unwrap();
        let standing = (
            stored.status,
            stored.attempt,
            stored.not_before,
            stored.completed_at,
        );
        assert_eq!(standing, expected);
        stored.result
    };
    let result = standing((Status::Queued, 0, None, None)).await;
    assert_eq!(result, None);
    store.record(vec![sending(1, 1, 10)].into()).await.unwrap();
    standing((Status::Sending, 1, None, None)).await;
    let later = at(5_000);
    let records = vec![deferred(1, 1, 20, later), sending(2, 1, 20)];
    store.record(records.into()).await.unwrap();
    let result = standing((Status::Queued, 1, Some(later), None)).await;
    assert_eq!(result, None);
    store
        .record(vec![sending(1, 2, 5_000)].into())
        .await
        .unwrap();
    standing((Status::Sending, 2, None, None)).await;
    store
        .record(vec![failed(1, 2, 6_000)].into())
        .await
        .unwrap();
    let result = standing((Status::Failed, 2, None, Some(at(6_000)))).await;

    let events = store.events_of(id(1)).await.unwrap();
    assert_eq!(numbers(&events), [1, 2, 4, 5]);
    assert_eq!(events.last(), result.as_ref());
    let json: serde_json::Value = serde_json::from_slice(&events[3].json).unwrap();
    assert_eq!(json["id"], format!("{}-{:016}", store.epoch(), 5));
    assert_eq!(json["type"], "failed");
    assert_eq!(json["messageId"], id(1).to_string());
    assert_eq!(json["response"]["statusCode"], 486);
    store.close().await.unwrap();
}

pub(crate) async fn nothing_follows_a_terminal_event(bed: &dyn Bed) {
    let store = bed.open();
    accept(&store, [1]).await;
    finish(&store, [1]).await;
    let late = vec![failed(1, 1, 9), sending(1, 2, 9), sending(404, 1, 9)];
    assert_eq!(
        store.record(late.into()).await.unwrap(),
        [Recorded::Ended; 3]
    );
    // Of two ends in one batch the first counts.
    accept(&store, [2]).await;
    let both = vec![failed(2, 0, 9), succeeded(2, 1, 9)];
    let answers = [Recorded::Appended(3), Recorded::Ended];
    assert_eq!(store.record(both.into()).await.unwrap(), answers);

    let store = reopen(bed, store).await;
    let late = vec![succeeded(2, 1, 10)];
    assert_eq!(store.record(late.into()).await.unwrap(), [Recorded::Ended]);
    let all = log(&store, 0, &EventFilter::default()).await;
    assert_eq!(numbers(&all), [1, 2, 3]);
    let stored = store.message(id(2)).await.unwrap().unwrap();
    assert_eq!((stored.status, stored.attempt), (Status::Failed, 0));
    store.close().await.unwrap();
}

pub(crate) async fn the_log_reads_the_same_from_memory_and_from_the_disk(bed: &dyn Bed) {
    let store = bed.open();
    accept(&store, 1..=5).await;
    finish(&store, 1..=5).await;
    let fresh = log(&store, 0, &EventFilter::default()).await;
    assert_eq!(numbers(&fresh), (1..=10).collect::<Vec<_>>());
    let store = reopen(bed, store).await;
    assert_eq!(log(&store, 0, &EventFilter::default()).await, fresh);
    accept(&store, [6]).await;
    finish(&store, [6]).await;
    let both = log(&store, 7, &EventFilter::default()).await;
    assert_eq!(numbers(&both), [8, 9, 10, 11, 12]);
    let bounds = Bounds {
        forgotten_to: 0,
        last: 12,
    };
    assert_eq!(store.bounds().await.unwrap(), bounds);
    store.close().await.unwrap();
}

pub(crate) async fn the_log_is_read_in_pages(bed: &dyn Bed) {
    let mut store = bed.open();
    accept(&store, 1..=4).await;
    finish(&store, 1..=4).await;
    for _ in ["in memory", "on disk"] {
        let page = store.events(2, EventFilter::default(), 3).await.unwrap();
        assert_eq!((numbers(&page.events), page.scanned_to), (vec![3, 4, 5], 5));
        let page = store.events(6, EventFilter::default(), 3).await.unwrap();
        assert_eq!((numbers(&page.events), page.scanned_to), (vec![7, 8], 8));
        let page = store.events(8, EventFilter::default(), 3).await.unwrap();
        assert_eq!((numbers(&page.events), page.scanned_to), (vec![], 8));
        store = reopen(bed, store).await;
    }
    store.close().await.unwrap();
}

pub(crate) async fn filters_let_pass_what_they_say(bed: &dyn Bed) {
    let mut store = bed.open();
    accept(&store, 1..=2).await;
    finish(&store, [1]).await;
    let mut elsewhere = failed(2, 0, 5);
    elsewhere.event.uri = "sip:carol@example.com".into();
    elsewhere.event.account = None;
    store.record(vec![elsewhere].into()).await.unwrap();
    let all = EventFilter::default;
    for _ in ["in memory", "on disk"] {
        let cases = [
            (all(), vec![1, 2, 3]),
            (
                EventFilter {
                    kinds: vec![EventKind::Succeeded, EventKind::Failed],
                    ..all()
                },
                vec![2, 3],
            ),
            (
                EventFilter {
                    message_id: Some(id(1)),
                    ..all()
                },
                vec![1, 2],
            ),
            (
                EventFilter {
                    message_id: Some(id(1)),
                    kinds: vec![EventKind::Failed],
                    ..all()
                },
                vec![],
            ),
            (
                EventFilter {
                    uri: Some("sip:carol@example.com".into()),
                    ..all()
                },
                vec![3],
            ),
            (
                EventFilter {
                    accounts: Some([ALICE.into()].into()),
                    ..all()
                },
                vec![1, 2],
            ),
        ];
        for (filter, expected) in cases {
            let page = store.events(0, filter.clone(), 10).await.unwrap();
            assert_eq!(numbers(&page.events), expected, "{filter:?}");
            assert_eq!(page.scanned_to, 3, "{filter:?}");
        }
        store = reopen(bed, store).await;
    }
    store.close().await.unwrap();
}

pub(crate) async fn a_reader_sees_every_event_once_while_writers_go_on(bed: &dyn Bed) {
    const WRITERS: u64 = 8;
    const MESSAGES: u64 = 40;
    let store = bed.open();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let store = store.clone();
        writers.spawn(async move {
            let mine = writer * MESSAGES..(writer + 1) * MESSAGES;
            for number in mine {
                accept(&store, [number]).await;
                finish(&store, [number]).await;
            }
        });
    }
    let (mut committed, mut seen, mut after) = (store.committed(), Vec::new(), 0);
    let expected = WRITERS * MESSAGES * 2;
    while after < expected {
        let page = store.events(after, EventFilter::default(), 7).await;
        let page = page.unwrap();
        seen.extend(numbers(&page.events));
        if page.scanned_to == after {
            committed.wait_for(|last| *last > after).await.unwrap();
        }
        after = page.scanned_to;
    }
    writers.join_all().await;
    assert_eq!(seen, (1..=expected).collect::<Vec<_>>());
    store.close().await.unwrap();
}

pub(crate) async fn an_event_can_be_read_as_soon_as_it_is_told_of(bed: &dyn Bed) {
    let store = bed.open();
    let mut committed = store.committed();
    assert_eq!(*committed.borrow_and_update(), 0);
    accept(&store, [1]).await;
    let answer = store.record(vec![sending(1, 1, 1)].into());
    committed.changed().await.unwrap();
    assert_eq!(*committed.borrow_and_update(), 1);
    let page = store.events(0, EventFilter::default(), 10).await.unwrap();
    assert_eq!(numbers(&page.events), [1]);
    assert_eq!(store.events_of(id(1)).await.unwrap(), page.events);
    assert_eq!(answer.await.unwrap(), [Recorded::Appended(1)]);
    let store = reopen(bed, store).await;
    assert_eq!(*store.committed().borrow(), 1);
    store.close().await.unwrap();
}

pub(crate) async fn what_was_left_is_handed_out_once_oldest_first(bed: &dyn Bed) {
    let store = bed.open();
    let scheduled = Message {
        send_at: Some(at(90_000)),
        account: Some(ALICE.into()),
        on_unknown: OnUnknown::Fail,
        ..message(5)
    };
    accept(&store, 1..=4).await;
    store
        .accept(vec![submission(vec![scheduled.clone()])])
        .await
        .unwrap();
    finish(&store, [2]).await;
    let records = vec![
        sending(3, 1, 5),
        sending(4, 1, 5),
        deferred(4, 1, 6, at(700)),
    ];
    store.record(records.into()).await.unwrap();

    let store = reopen(bed, store).await;
    accept(&store, [6]).await;
    let mut claimed = Vec::new();
    loop {
        let some = store.claim(2).await.unwrap();
        if some.is_empty() {
            break;
        }
        claimed.extend(some);
    }
    let ids: Vec<_> = claimed.iter().map(|one| one.id).collect();
    assert_eq!(ids, [id(1), id(3), id(4), id(5)]);
    let [queued, sending, deferred, later] = claimed.as_slice() else {
        panic!("{claimed:?}");
    };
    assert_eq!((queued.status, queued.attempt), (Status::Queued, 0));
    assert_eq!((queued.not_before, queued.attempts), (None, 3));
    assert_eq!((sending.status, sending.attempt), (Status::Sending, 1));
    assert_eq!((deferred.status, deferred.attempt), (Status::Queued, 1));
    assert_eq!(deferred.not_before, Some(at(700)));
    assert_eq!((later.status, later.attempt), (Status::Scheduled, 0));
    assert_eq!(later.not_before, Some(at(90_000)));
    assert_eq!(later.on_unknown, OnUnknown::Fail);
    assert_eq!(later.uri, scheduled.uri);
    assert_eq!(later.account, scheduled.account);
    assert_eq!(later.expires_at, scheduled.expires_at);
    store.close().await.unwrap();
}

pub(crate) async fn what_this_process_took_in_is_never_claimed(bed: &dyn Bed) {
    let store = bed.open();
    accept(&store, 1..=3).await;
    assert_eq!(store.claim(10).await.unwrap(), []);
    accept(&store, 4..=6).await;
    assert_eq!(store.claim(10).await.unwrap(), []);
    store.close().await.unwrap();
}

pub(crate) async fn messages_that_are_gone_are_left_out_of_a_load(bed: &dyn Bed) {
    let store = bed.open();
    accept(&store, 1..=2).await;
    let loaded = store.load(vec![id(2), id(9), id(1)]).await.unwrap();
    let ids: Vec<_> = loaded.iter().map(|message| message.id).collect();
    assert_eq!(ids, [id(2), id(1)]);
    store.close().await.unwrap();
}

pub(crate) async fn messages_are_listed_newest_first(bed: &dyn Bed) {
    let store = bed.open();
    accept(&store, 1..=7).await;
    let all: Vec<_> = (1..=7).rev().map(id).collect();
    for limit in [1, 2, 3, 7, 8] {
        assert_eq!(listed(&store, &MessageFilter::default(), limit).await, all);
    }
    // A page that ends where the list ends says so.
    let page = store.messages(MessageFilter::default(), None, 7).await;
    assert_eq!(page.unwrap().next, None);
    // The cursor may be of a message that is gone.
    let page = store.messages(MessageFilter::default(), Some(id(0)), 7);
    assert!(page.await.unwrap().messages.is_empty());
    store.close().await.unwrap();
}

pub(crate) async fn lists_are_filtered(bed: &dyn Bed) {
    let store = bed.open();
    let mut special = message(6);
    special.uri = "sip:carol@example.com".into();
    special.account = Some(ALICE.into());
    special.send_at = Some(at(50_000));
    accept(&store, 1..=5).await;
    store.accept(vec![submission(vec![special])]).await.unwrap();
    finish(&store, [1, 3]).await;
    let records = vec![failed(2, 0, 9), sending(5, 1, 9)];
    store.record(records.into()).await.unwrap();
    let of = |status| MessageFilter {
        status: Some(status),
        ..MessageFilter::default()
    };
    let cases = [
        (of(Status::Scheduled), vec![6]),
        (of(Status::Queued), vec![4]),
        (of(Status::Sending), vec![5]),
        (of(Status::Succeeded), vec![3, 1]),
        (of(Status::Failed), vec![2]),
        (
            MessageFilter {
                uri: Some("sip:carol@example.com".into()),
                ..MessageFilter::default()
            },
            vec![6],
        ),
        (
            MessageFilter {
                uri: Some("sip:carol@example.com".into()),
                ..of(Status::Succeeded)
            },
            vec![],
        ),
        (
            MessageFilter {
                accounts: Some([ALICE.into()].into()),
                ..MessageFilter::default()
            },
            vec![6],
        ),
    ];
    for (filter, expected) in cases {
        let expected: Vec<_> = expected.into_iter().map(id).collect();
        assert_eq!(listed(&store, &filter, 1).await, expected, "{filter:?}");
        assert_eq!(listed(&store, &filter, 10).await, expected, "{filter:?}");
    }
    let page = store.messages(of(Status::Failed), None, 10).await.unwrap();
    let result = page.messages[0].result.as_ref().unwrap();
    assert_eq!((result.seq, result.kind), (5, EventKind::Failed));
    store.close().await.unwrap();
}

pub(crate) async fn purging_takes_what_ended_and_leaves_what_waits(bed: &dyn Bed) {
    let store = bed.open();
    accept(&store, 1..=6).await;
    // Message 2 waits all the time, and its event stands in the middle of the others.
    finish(&store, [1]).await;
    store.record(vec![sending(2, 1, 2)].into()).await.unwrap();
    finish(&store, 3..=6).await;
    assert_eq!(store.purge(at(5), 2).await.unwrap(), 2);
    assert_eq!(store.purge(at(5), 2).await.unwrap(), 1);
    assert_eq!(store.purge(at(5), 2).await.unwrap(), 0);

    let expect = async |store: &Arc<dyn Store>| {
        let all = listed(store, &MessageFilter::default(), 10).await;
        assert_eq!(all, [id(6), id(5), id(2)]);
        assert!(store.message(id(1)).await.unwrap().is_none());
        assert_eq!(store.events_of(id(3)).await.unwrap(), []);
        assert_eq!(store.events_of(id(2)).await.unwrap().len(), 1);
        let kept = log(store, 0, &EventFilter::default()).await;
        assert_eq!(numbers(&kept), [3, 8, 9, 10, 11]);
        let bounds = Bounds {
            forgotten_to: 7,
            last: 11,
        };
        assert_eq!(store.bounds().await.unwrap(), bounds);
    };
    expect(&store).await;
    let store = reopen(bed, store).await;
    expect(&store).await;
    // What waited can still end, and then go.
    store.record(vec![succeeded(2, 1, 9)].into()).await.unwrap();
    assert_eq!(store.purge(at(100), 10).await.unwrap(), 3);
    assert_eq!(listed(&store, &MessageFilter::default(), 10).await, []);
    store.close().await.unwrap();
}

pub(crate) async fn numbers_go_on_after_everything_was_purged(bed: &dyn Bed) {
    let store = bed.open();
    accept(&store, 1..=3).await;
    finish(&store, 1..=3).await;
    assert_eq!(store.purge(at(100), 10).await.unwrap(), 3);
    let store = reopen(bed, store).await;
    let page = store.events(2, EventFilter::default(), 10).await.unwrap();
    assert_eq!((numbers(&page.events), page.scanned_to), (vec![], 6));
    accept(&store, [4]).await;
    let answers = store.record(vec![sending(4, 1, 200)].into()).await.unwrap();
    assert_eq!(answers, [Recorded::Appended(7)]);
    let page = store.events(0, EventFilter::default(), 10).await.unwrap();
    assert_eq!((numbers(&page.events), page.scanned_to), (vec![7], 7));
    store.close().await.unwrap();
}

pub(crate) async fn bodies_are_discarded_once_a_message_ended(bed: &dyn Bed) {
    let store = bed.open();
    accept(&store, 1..=4).await;
    finish(&store, [1, 2, 4]).await;
    assert_eq!(store.discard_bodies(2).await.unwrap(), 2);
    assert_eq!(store.discard_bodies(2).await.unwrap(), 1);
    assert_eq!(store.discard_bodies(2).await.unwrap(), 0);
    let store = reopen(bed, store).await;
    for (number, kept) in [(1, false), (2, false), (3, true), (4, false)] {
        let stored = store.message(id(number)).await.unwrap().unwrap();
        assert_eq!(!stored.message.body.is_empty(), kept, "{number}");
        assert_eq!(stored.message.target, "bob");
    }
    finish(&store, [3]).await;
    assert_eq!(store.discard_bodies(2).await.unwrap(), 1);
    store.close().await.unwrap();
}

pub(crate) async fn an_epoch_lasts(bed: &dyn Bed) {
    let store = bed.open();
    let epoch = store.epoch();
    assert!(epoch > 0);
    let store = reopen(bed, store).await;
    assert_eq!(store.epoch(), epoch);
    store.close().await.unwrap();
}

pub(crate) async fn closing_makes_durable_what_was_handed_over(bed: &dyn Bed) {
    let store = bed.open();
    let replies: Vec<_> = (1..=50)
        .map(|number| store.accept(vec![submission(vec![message(number)])]))
        .collect();
    store.close().await.unwrap();
    for reply in replies {
        assert_eq!(reply.await.unwrap(), [Verdict::Accepted]);
    }
    let refused = store.accept(vec![submission(vec![message(99)])]).await;
    assert!(matches!(refused, Err(StoreError::Closed)));
    let refused = store.message(id(1)).await;
    assert!(matches!(refused, Err(StoreError::Closed)));
    assert!(matches!(store.check().await, Err(StoreError::Closed)));

    drop(store);
    let store = bed.open();
    let claimed = store.claim(100).await.unwrap();
    let ids: HashSet<_> = claimed.iter().map(|one| one.id).collect();
    assert_eq!(ids, (1..=50).map(id).collect());
    store.close().await.unwrap();
}

/// What a store should know, kept in the plainest way.
#[derive(Default)]
struct Model {
    /// By the number of the message; `None` when it was purged.
    messages: Vec<Option<Modelled>>,
    /// Each event's message.
    log: Vec<u64>,
    forgotten_to: u64,
}

#[derive(Clone, Debug)]
struct Modelled {
    status: Status,
    attempt: u32,
    events: Vec<u64>,
    completed_at: Option<i64>,
}

impl Model {
    fn accept(&mut self) -> u64 {
        self.messages.push(Some(Modelled {
            status: Status::Queued,
            attempt: 0,
            events: Vec::new(),
            completed_at: None,
        }));
        self.messages.len() as u64 - 1
    }

    fn record(&mut self, number: u64, status: Status, attempt: u32, time: i64) -> Recorded {
        let Some(message) = self
            .messages
            .get_mut(number as usize)
            .and_then(Option::as_mut)
        else {
            return Recorded::Ended;
        };
        if message.status.is_final() {
            return Recorded::Ended;
        }
        self.log.push(number);
        let seq = self.log.len() as u64;
        message.status = status;
        message.attempt = message.attempt.max(attempt);
        message.events.push(seq);
        message.completed_at = status.is_final().then_some(time);
        Recorded::Appended(seq)
    }

    /// The same walk in other words: the oldest ends, up to the first that is too young.
    fn purge(&mut self, before: i64, limit: usize) -> usize {
        let mut ends: Vec<_> = (0..self.messages.len())
            .filter_map(|number| {
                let message = self.messages[number].as_ref()?;
                Some((*message.events.last()?, message.completed_at?, number))
            })
            .collect();
        ends.sort_unstable();
        let old = ends
            .iter()
            .take(limit)
            .take_while(|(_, completed_at, _)| *completed_at < before);
        let mut count = 0;
        for (seq, _, number) in old {
            self.messages[*number] = None;
            self.forgotten_to = *seq;
            count += 1;
        }
        count
    }

    async fn compare(&self, store: &Arc<dyn Store>) {
        let mut kept = Vec::new();
        for (number, expected) in (0..).zip(&self.messages) {
            let stored = store.message(id(number)).await.unwrap();
            let events = numbers(&store.events_of(id(number)).await.unwrap());
            let Some(expected) = expected else {
                assert!(stored.is_none() && events.is_empty(), "{number}");
                continue;
            };
            let stored = stored.unwrap();
            assert_eq!(stored.status, expected.status, "{number}");
            assert_eq!(stored.attempt, expected.attempt, "{number}");
            assert_eq!(stored.completed_at, expected.completed_at.map(at));
            assert_eq!(events, expected.events, "{number}");
            kept.push((id(number), expected.status, expected.events.clone()));
        }
        kept.reverse();
        for status in Status::ALL {
            let filter = MessageFilter {
                status: Some(status),
                ..MessageFilter::default()
            };
            let of_status = kept.iter().filter(|(_, known, _)| *known == status);
            let expected: Vec<_> = of_status.map(|(id, ..)| *id).collect();
            assert_eq!(listed(store, &filter, 3).await, expected);
        }
        let mut expected: Vec<_> = kept.into_iter().flat_map(|(.., events)| events).collect();
        expected.sort_unstable();
        let log = log(store, 0, &EventFilter::default()).await;
        assert_eq!(numbers(&log), expected);
        let bounds = Bounds {
            forgotten_to: self.forgotten_to,
            last: self.log.len() as u64,
        };
        assert_eq!(store.bounds().await.unwrap(), bounds);
    }
}

pub(crate) async fn random_histories_agree_with_a_model(bed: &dyn Bed) {
    use rand::RngExt as _;
    use rand::SeedableRng as _;
    let mut rng = rand::rngs::SmallRng::seed_from_u64(0x5150);
    let mut store = bed.open();
    let mut model = Model::default();
    for time in 0..600 {
        match rng.random_range(0..100) {
            0..25 => {
                let count = rng.random_range(1..4);
                let new: Vec<_> = (0..count).map(|_| model.accept()).collect();
                accept(&store, new).await;
            }
            25..90 => {
                let (mut records, mut expected) = (Vec::new(), Vec::new());
                for _ in 0..rng.random_range(1..6) {
                    let number = rng.random_range(0..model.messages.len() as u64 + 2);
                    let attempt = rng.random_range(0..4);
                    let record = match rng.random_range(0..5) {
                        0 | 1 => sending(number, attempt, time),
                        2 => deferred(number, attempt, time, at(time + 9)),
                        3 => succeeded(number, attempt, time),
                        _ => failed(number, attempt, time),
                    };
                    expected.push(model.record(number, record.status, attempt, time));
                    records.push(record);
                }
                assert_eq!(store.record(records.into()).await.unwrap(), expected);
            }
            90..96 => {
                let (before, limit) = (time - rng.random_range(0..100), rng.random_range(1..9));
                let purged = store.purge(at(before), limit).await.unwrap();
                assert_eq!(purged, model.purge(before, limit), "at {time}");
            }
            _ => store = reopen(bed, store).await,
        }
        if time % 50 == 0 {
            model.compare(&store).await;
        }
    }
    model.compare(&store).await;
    store.close().await.unwrap();
}
