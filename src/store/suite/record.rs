//! Recording events, and where their messages stand then.

use std::sync::Arc;

use super::TestStore;
use super::samples::{
    ALICE, accept, at, deferred, failed, finish, id, log, numbers, reopen, sending, succeeded,
};
use crate::message::{Status, Timestamp};
use crate::store::{EventFilter, Recorded};

pub(crate) async fn events_move_their_message_on(test_store: &dyn TestStore) {
    let store = test_store.open();
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

    let events = store
        .events_of(id(1), 0, 5_000.into())
        .await
        .unwrap()
        .events;
    assert_eq!(numbers(&events), [1, 2, 4, 5]);
    assert_eq!(events.last(), result.as_ref());
    let json: serde_json::Value = serde_json::from_slice(&events[3].json).unwrap();
    assert_eq!(json["id"], format!("{}-{:016}", store.epoch(), 5));
    assert_eq!(json["type"], "failed");
    assert_eq!(json["messageId"], id(1).to_string());
    assert_eq!(json["response"]["statusCode"], 486);
    store.close().await.unwrap();
}

pub(crate) async fn nothing_follows_a_terminal_event(test_store: &dyn TestStore) {
    let store = test_store.open();
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

    let store = reopen(test_store, store).await;
    let late = vec![succeeded(2, 1, 10)];
    assert_eq!(store.record(late.into()).await.unwrap(), [Recorded::Ended]);
    let all = log(&store, 0, &EventFilter::default()).await;
    assert_eq!(numbers(&all), [1, 2, 3]);
    let stored = store.message(id(2)).await.unwrap().unwrap();
    assert_eq!((stored.status, stored.attempt), (Status::Failed, 0));
    store.close().await.unwrap();
}

pub(crate) async fn an_end_that_nobody_sent_is_of_the_account_that_sent_last(
    test_store: &dyn TestStore,
) {
    let nameless = |number, attempt| {
        let mut record = failed(number, attempt, 99);
        record.event.account = None;
        record.event.agent = None;
        record
    };
    let store = test_store.open();
    accept(&store, 1..=3).await;
    let began = vec![sending(1, 1, 10), deferred(1, 1, 20, at(90))];
    store.record(began.into()).await.unwrap();
    // The second of these is in one batch with its attempt, and the third was not sent.
    let ends = vec![
        nameless(1, 1),
        sending(2, 1, 30),
        nameless(2, 1),
        nameless(3, 0),
    ];
    store.record(ends.into()).await.unwrap();
    let filter = EventFilter {
        accounts: Some(Arc::new([ALICE.into()].into())),
        ..EventFilter::default()
    };
    assert_eq!(numbers(&log(&store, 0, &filter).await), [1, 2, 3, 4, 5]);
    let store = reopen(test_store, store).await;
    assert_eq!(numbers(&log(&store, 0, &filter).await), [1, 2, 3, 4, 5]);
    store.close().await.unwrap();
}
