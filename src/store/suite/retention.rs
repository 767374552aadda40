//! Letting go of what is old.

use std::sync::Arc;

use super::Bed;
use super::samples::accept;
use super::samples::at;
use super::samples::finish;
use super::samples::id;
use super::samples::listed;
use super::samples::log;
use super::samples::numbers;
use super::samples::reopen;
use super::samples::sending;
use super::samples::succeeded;
use super::webhooks::plan_nothing;
use crate::store::Bounds;
use crate::store::EventFilter;
use crate::store::MessageFilter;
use crate::store::Recorded;
use crate::store::Store;

pub(crate) async fn purging_takes_what_ended_and_leaves_what_waits(bed: &dyn Bed) {
    let store = bed.open();
    accept(&store, 1..=6).await;
    // Message 2 waits all the time, and its event stands in the middle of the others.
    finish(&store, [1]).await;
    store.record(vec![sending(2, 1, 2)].into()).await.unwrap();
    finish(&store, 3..=6).await;
    plan_nothing(&store).await;
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
    store.claim(10).await.unwrap();
    store.record(vec![succeeded(2, 1, 9)].into()).await.unwrap();
    plan_nothing(&store).await;
    assert_eq!(store.purge(at(100), 10).await.unwrap(), 3);
    assert_eq!(listed(&store, &MessageFilter::default(), 10).await, []);
    store.close().await.unwrap();
}

pub(crate) async fn numbers_go_on_after_everything_was_purged(bed: &dyn Bed) {
    let store = bed.open();
    accept(&store, 1..=3).await;
    finish(&store, 1..=3).await;
    plan_nothing(&store).await;
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
    store.claim(10).await.unwrap();
    finish(&store, [3]).await;
    assert_eq!(store.discard_bodies(2).await.unwrap(), 1);
    store.close().await.unwrap();
}
