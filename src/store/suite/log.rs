//! Reading the log: from memory, from the disk, by filter, while writers go on.

use super::Bed;
use super::samples::ALICE;
use super::samples::accept;
use super::samples::failed;
use super::samples::finish;
use super::samples::id;
use super::samples::log;
use super::samples::numbers;
use super::samples::reopen;
use super::samples::sending;
use crate::message::EventKind;
use crate::store::Bounds;
use crate::store::EventFilter;
use crate::store::Recorded;

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
