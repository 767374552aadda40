//! Taking messages in: whole, in order, once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::TestStore;
use super::samples::{
    ALICE, BOB, accept, at, failed, finish, id, keyed, listed, message, reopen, sending,
    submission, succeeded,
};
use crate::message::{
    BodyEncoding, Contents, Header, InReplyTo, OnUnknown, Priority, ReceiptRequest, Status, Trace,
};
use crate::store::{MessageFilter, Recorded, Store, Verdict};

pub(crate) async fn a_message_is_read_back_whole(test_store: &dyn TestStore) {
    let store = test_store.open();
    let contents = Contents {
        target: "Bob Ünicode".to_owned(),
        uri: BOB.into(),
        account: Some(ALICE.into()),
        body: Bytes::from_static(b"\0\xff binary"),
        body_encoding: BodyEncoding::Base64,
        content_type: "application/octet-stream".into(),
        extra_headers: vec![
            Header::parse("X-Foo: \"quoted\", Grüße").unwrap(),
            Header::parse("X-Foo:").unwrap(),
        ],
        ttl: Duration::from_millis(1_500),
        send_at: Some(at(60_000)),
        attempts: 7,
        on_unknown: OnUnknown::Fail,
        priority: Some(Priority::NonUrgent),
        in_reply_to: Some(InReplyTo {
            id: id(9),
            call_id: "a84b4c76@198.51.100.1".to_owned(),
        }),
        receipts: ReceiptRequest::ALL.to_vec(),
        webhook: Some("https://app.example/hook".into()),
        metadata: BTreeMap::from([("order".to_owned(), "\u{0} 42 \"'".to_owned())]),
    };
    let trace = Trace::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let full = contents.accept(id(2), at(2), trace);
    let plain = message(1).with(|contents| contents.body = Bytes::new());
    let messages = vec![plain.clone(), full.clone()];
    let verdicts = store.accept(vec![submission(messages)]).await.unwrap();
    assert_eq!(verdicts, [Verdict::Accepted]);

    let store = reopen(test_store, store).await;
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

pub(crate) async fn verbs_take_effect_in_the_order_of_the_calls(test_store: &dyn TestStore) {
    let store = test_store.open();
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

pub(crate) async fn what_is_taken_in_may_begin_in_the_same_call(test_store: &dyn TestStore) {
    let store = test_store.open();
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

pub(crate) async fn a_message_handed_over_twice_is_taken_in_once(test_store: &dyn TestStore) {
    let store = test_store.open();
    accept(&store, [1]).await;
    finish(&store, [1]).await;
    accept(&store, [1, 2, 2]).await;
    let stored = store.message(id(1)).await.unwrap().unwrap();
    assert_eq!(stored.status, Status::Succeeded);
    let all = listed(&store, &MessageFilter::default(), 10).await;
    assert_eq!(all, [id(2), id(1)]);
    store.close().await.unwrap();
}
