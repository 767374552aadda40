//! Letting go of what is old.

use std::sync::Arc;

use super::TestStore;
use super::samples::{
    accept, at, deferred, finish, id, listed, log, numbers, reopen, sending, succeeded,
};
use super::webhooks::plan_nothing;
use crate::store::{Bounds, EventFilter, MessageFilter, Recorded, RetentionStep, Store, Stored};

fn step(messages: usize, has_more: bool) -> RetentionStep {
    RetentionStep { messages, has_more }
}

pub(crate) async fn purging_takes_what_ended_and_leaves_what_waits(test_store: &dyn TestStore) {
    let store = test_store.open();
    accept(&store, 1..=6).await;
    // Message 2 waits all the time, and its event stands in the middle of the others.
    finish(&store, [1]).await;
    store.record(vec![sending(2, 1, 2)].into()).await.unwrap();
    finish(&store, 3..=6).await;
    plan_nothing(&store).await;
    assert_eq!(store.purge(at(5), 2).await.unwrap(), step(2, true));
    assert_eq!(store.purge(at(5), 2).await.unwrap(), step(1, false));
    assert_eq!(store.purge(at(5), 2).await.unwrap(), step(0, false));

    let expect = async |store: &Arc<dyn Store>| {
        let all = listed(store, &MessageFilter::default(), 10).await;
        assert_eq!(all, [id(6), id(5), id(2)]);
        assert!(store.message(id(1)).await.unwrap().is_none());
        assert_eq!(
            store
                .events_of(id(3), 0, 5_000.into())
                .await
                .unwrap()
                .events,
            []
        );
        assert_eq!(
            store
                .events_of(id(2), 0, 5_000.into())
                .await
                .unwrap()
                .events
                .len(),
            1
        );
        let kept = log(store, 0, &EventFilter::default()).await;
        assert_eq!(numbers(&kept), [3, 8, 9, 10, 11]);
        let bounds = Bounds {
            forgotten_to: 7,
            last: 11,
        };
        assert_eq!(store.bounds().await.unwrap(), bounds);
    };
    expect(&store).await;
    let store = reopen(test_store, store).await;
    expect(&store).await;
    // What waited can still end, and then go.
    store.claim(10).await.unwrap();
    store.record(vec![succeeded(2, 1, 9)].into()).await.unwrap();
    plan_nothing(&store).await;
    assert_eq!(store.purge(at(100), 10).await.unwrap(), step(3, false));
    assert_eq!(listed(&store, &MessageFilter::default(), 10).await, []);
    store.close().await.unwrap();
}

pub(crate) async fn numbers_go_on_after_everything_was_purged(test_store: &dyn TestStore) {
    let store = test_store.open();
    accept(&store, 1..=3).await;
    finish(&store, 1..=3).await;
    plan_nothing(&store).await;
    assert_eq!(store.purge(at(100), 10).await.unwrap(), step(3, false));
    let store = reopen(test_store, store).await;
    let page = store
        .events(2, EventFilter::default(), 10.into())
        .await
        .unwrap();
    assert_eq!((numbers(&page.events), page.scanned_to), (vec![], 6));
    accept(&store, [4]).await;
    let answers = store.record(vec![sending(4, 1, 200)].into()).await.unwrap();
    assert_eq!(answers, [Recorded::Appended(7)]);
    let page = store
        .events(0, EventFilter::default(), 10.into())
        .await
        .unwrap();
    assert_eq!((numbers(&page.events), page.scanned_to), (vec![7], 7));
    store.close().await.unwrap();
}

pub(crate) async fn bodies_are_discarded_once_a_message_ended(test_store: &dyn TestStore) {
    let store = test_store.open();
    accept(&store, 1..=4).await;
    finish(&store, [1, 2, 4]).await;
    assert_eq!(store.discard_bodies(2).await.unwrap(), step(2, true));
    assert_eq!(store.discard_bodies(2).await.unwrap(), step(1, false));
    assert_eq!(store.discard_bodies(2).await.unwrap(), step(0, false));
    let store = reopen(test_store, store).await;
    for (number, kept) in [(1, false), (2, false), (3, true), (4, false)] {
        let stored = store.message(id(number)).await.unwrap().unwrap();
        assert_eq!(!stored.message.contents.body.is_empty(), kept, "{number}");
        assert_eq!(stored.message.contents.target, "bob");
    }
    store.claim(10).await.unwrap();
    finish(&store, [3]).await;
    assert_eq!(store.discard_bodies(2).await.unwrap(), step(1, false));
    store.close().await.unwrap();
}

/// Each step is one transaction, and the writer waits for it: it is as small as was asked for.
pub(crate) async fn a_step_changes_no_more_rows_than_it_was_told_to(test_store: &dyn TestStore) {
    const MESSAGES: usize = 30;
    const LIMIT: usize = 7;
    // Four attempts, each with its `sending` and what came of it.
    const EVENTS: usize = 8;
    let store = test_store.open();
    accept(&store, 1..=30).await;
    for number in 1..=30 {
        let mut records = Vec::new();
        for attempt in 1..4 {
            records.push(sending(number, attempt, 1));
            records.push(deferred(number, attempt, 1, at(2)));
        }
        records.extend([sending(number, 4, 1), succeeded(number, 4, 1)]);
        store.record(records.into()).await.unwrap();
    }
    plan_nothing(&store).await;
    let bodies = async || {
        let page = store.messages(MessageFilter::default(), None, MESSAGES);
        let messages = page.await.unwrap().messages;
        let with_body = |stored: &&Stored| !stored.message.contents.body.is_empty();
        (messages.len(), messages.iter().filter(with_body).count())
    };

    let mut left = MESSAGES;
    while left > 0 {
        let next = left.saturating_sub(LIMIT);
        let expected = step(left - next, left - next == LIMIT);
        assert_eq!(store.discard_bodies(LIMIT).await.unwrap(), expected);
        assert_eq!(bodies().await, (MESSAGES, next));
        left = next;
    }
    left = MESSAGES;
    while left > 0 {
        let next = left.saturating_sub(LIMIT);
        let expected = step(left - next, left - next == LIMIT);
        assert_eq!(store.purge(at(5), LIMIT).await.unwrap(), expected);
        let events = log(&store, 0, &EventFilter::default()).await;
        assert_eq!((bodies().await.0, events.len()), (next, next * EVENTS));
        left = next;
    }
    store.close().await.unwrap();
}

/// Where many messages wait, stretches of the log have no end in them. A step gets past a part of
/// one and says that there is more, so that the next follows at once.
pub(crate) async fn a_step_that_meets_no_end_goes_on_behind_what_it_looked_at(
    test_store: &dyn TestStore,
) {
    let store = test_store.open();
    accept(&store, 1..=2).await;
    let records: Vec<_> = (0..1_250)
        .flat_map(|_| [sending(1, 1, 1), deferred(1, 1, 1, at(2))])
        .collect();
    store.record(records.into()).await.unwrap();
    finish(&store, [2]).await;
    plan_nothing(&store).await;
    assert_eq!(store.purge(at(5), 2).await.unwrap(), step(0, true));
    assert_eq!(store.discard_bodies(2).await.unwrap(), step(0, true));
    let store = reopen(test_store, store).await;
    assert_eq!(store.discard_bodies(2).await.unwrap(), step(1, false));
    assert_eq!(store.purge(at(5), 2).await.unwrap(), step(1, false));
    assert_eq!(listed(&store, &MessageFilter::default(), 10).await, [id(1)]);
    assert_eq!(
        store
            .events_of(id(1), 0, 5_000.into())
            .await
            .unwrap()
            .events
            .len(),
        2_500
    );
    store.close().await.unwrap();
}
