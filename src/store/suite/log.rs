//! Reading the log: from memory, from the disk, by filter, while writers go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use uuid::Uuid;

use super::TestStore;
use super::samples::{
    ALICE, BOB, PAGE, accept, at, deferred, failed, finish, id, incoming, large_failure, log,
    numbers, receipt, reopen, request, response, sending, succeeded,
};
use crate::message::{EndpointId, EventKind, HeaderMap, RequestView, ResponseView, What};
use crate::store::{
    Bounds, DeliveryFilter, EventFilter, Logged, MessageFilter, PageSize, Record, Recorded, Store,
};

pub(crate) async fn the_log_reads_the_same_from_memory_and_from_the_disk(
    test_store: &dyn TestStore,
) {
    let store = test_store.open();
    accept(&store, 1..=5).await;
    finish(&store, 1..=5).await;
    let fresh = log(&store, 0, &EventFilter::default()).await;
    assert_eq!(numbers(&fresh), (1..=10).collect::<Vec<_>>());
    let store = reopen(test_store, store).await;
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

/// Of all kinds, with what is usual in them and with what never should be.
fn odd_records(rng: &mut StdRng, number: u64) -> Vec<Record> {
    const TEXTS: [&str; 12] = [
        "",
        BOB,
        ALICE,
        "<sip:bob@example.com>",
        "01930000-0000-7000-8000-000000000001",
        r#"","messageId":""#,
        r#""]}},"metadata":{"#,
        "\u{80}\u{e9}\u{1f600}",
        "\"\\",
        "MESSAGE, OPTIONS",
        "\u{0}\u{1}\u{4}\u{1f}\u{7f}",
        "0",
    ];
    const NUL: usize = 10;
    let mut text = || TEXTS[rng.random_range(0..TEXTS.len())];
    let mut headers = HeaderMap::default();
    for name in ["Max-Forwards", "To", "From", "Call-ID", "Date", text()] {
        headers.add(name, text());
    }
    let request = RequestView {
        uri: text().into(),
        headers: headers.clone(),
        ..request(number, 1)
    };
    let answered = |status_code| ResponseView {
        reason_phrase: text().to_owned(),
        headers,
        ..response(status_code)
    };
    let mut records = [
        sending(number, 1, 1),
        deferred(number, 1, 2, at(3)),
        succeeded(number, 2, 4),
    ];
    records[0].event.what = What::Sending { request };
    records[2].event.what = What::Succeeded {
        response: Some(answered(200)),
        receipt: None,
    };
    for record in &mut records {
        // Columns of their own, in which no text has a NUL.
        let mut column = || TEXTS[rng.random_range(0..NUL)];
        record.event.uri = column().into();
        record.event.account = Some(column().into()).filter(|_| !number.is_multiple_of(3));
        let mut text = || TEXTS[rng.random_range(0..TEXTS.len())];
        record.event.agent = Some(text().into());
        record.event.metadata = [(text().to_owned(), text().to_owned())].into();
    }
    records.into()
}

pub(crate) async fn whatever_an_event_says_it_reads_the_same_after_a_restart(
    test_store: &dyn TestStore,
) {
    const MESSAGES: u64 = 60;
    let store = test_store.open();
    accept(&store, 1..=MESSAGES).await;
    let mut rng = StdRng::seed_from_u64(8);
    for number in 1..=MESSAGES {
        let records = odd_records(&mut rng, number);
        store.record(records.into()).await.unwrap();
    }
    store
        .receive((1..=9).map(incoming).collect())
        .await
        .unwrap();
    let receipts = (1..=MESSAGES).map(|number| receipt(number, "sip:\u{1}\"@example.com", 5));
    store.report(receipts.collect()).await.unwrap();

    let told = log(&store, 0, &EventFilter::default()).await;
    let store = reopen(test_store, store).await;
    assert_eq!(log(&store, 0, &EventFilter::default()).await, told);
    for number in 1..=MESSAGES {
        let chain = store.events_of(id(number), 0, 100.into()).await.unwrap();
        let mut of_message = told.clone();
        of_message.retain(|event| event.message_id == id(number));
        assert!(of_message.len() >= 3, "{number}");
        assert_eq!(chain.events, of_message);
    }
    store.close().await.unwrap();
}

pub(crate) async fn the_log_is_read_in_pages(test_store: &dyn TestStore) {
    let mut store = test_store.open();
    accept(&store, 1..=4).await;
    finish(&store, 1..=4).await;
    for _ in ["in memory", "on disk"] {
        let page = store
            .events(2, EventFilter::default(), 3.into())
            .await
            .unwrap();
        assert_eq!((numbers(&page.events), page.scanned_to), (vec![3, 4, 5], 5));
        let page = store
            .events(6, EventFilter::default(), 3.into())
            .await
            .unwrap();
        assert_eq!((numbers(&page.events), page.scanned_to), (vec![7, 8], 8));
        let page = store
            .events(8, EventFilter::default(), 3.into())
            .await
            .unwrap();
        assert_eq!((numbers(&page.events), page.scanned_to), (vec![], 8));
        store = reopen(test_store, store).await;
    }
    store.close().await.unwrap();
}

pub(crate) async fn the_log_is_read_back_from_its_end_and_from_anywhere(
    test_store: &dyn TestStore,
) {
    let mut store = test_store.open();
    accept(&store, 1..=4).await;
    finish(&store, 1..=4).await;
    for _ in ["in memory", "on disk"] {
        for (before, rows, expected, scanned_to) in [
            (u64::MAX, 3, vec![8, 7, 6], 6),
            (6, 3, vec![5, 4, 3], 3),
            (3, 3, vec![2, 1], 0),
            (4, 3, vec![3, 2, 1], 0),
            (1, 3, vec![], 0),
        ] {
            let all = EventFilter::default();
            let page = store.events_before(before, all, rows.into()).await.unwrap();
            assert_eq!(numbers(&page.events), expected, "{before}");
            assert_eq!(page.scanned_to, scanned_to, "{before}");
        }
        store = reopen(test_store, store).await;
    }
    // What it gives is what readers forward are given.
    let all = EventFilter::default;
    let mut forward = log(&store, 0, &all()).await;
    forward.reverse();
    let back = store.events_before(u64::MAX, all(), 100.into()).await;
    assert_eq!(back.unwrap().events, forward);
    store.close().await.unwrap();
}

pub(crate) async fn what_a_filter_holds_back_is_passed_over_on_the_way_back(
    test_store: &dyn TestStore,
) {
    /// More than a page looks at.
    const MANY: u64 = 2_100;
    let store = test_store.open();
    accept(&store, 1..=MANY).await;
    finish(&store, 1..=MANY).await;
    for (filter, expected) in [
        (
            EventFilter {
                message_id: Some(id(1)),
                ..EventFilter::default()
            },
            vec![2, 1],
        ),
        (
            EventFilter {
                uri: Some("sip:nobody@example.com".into()),
                ..EventFilter::default()
            },
            vec![],
        ),
    ] {
        let (mut found, mut pages, mut before) = (Vec::new(), 0, u64::MAX);
        while before > 0 {
            let page = store.events_before(before, filter.clone(), 10.into());
            let page = page.await.unwrap();
            found.extend(numbers(&page.events));
            assert!(page.scanned_to < before);
            before = page.scanned_to;
            pages += 1;
        }
        assert_eq!((found, pages), (expected, 2), "{filter:?}");
    }
    store.close().await.unwrap();
}

pub(crate) async fn filters_let_pass_what_they_say(test_store: &dyn TestStore) {
    let mut store = test_store.open();
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
                    kinds: [EventKind::Succeeded, EventKind::Failed]
                        .into_iter()
                        .collect(),
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
                    kinds: [EventKind::Failed].into_iter().collect(),
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
                    accounts: Some(Arc::new([ALICE.into()].into())),
                    ..all()
                },
                vec![1, 2],
            ),
        ];
        for (filter, expected) in cases {
            let page = store.events(0, filter.clone(), 10.into()).await.unwrap();
            assert_eq!(numbers(&page.events), expected, "{filter:?}");
            assert_eq!(page.scanned_to, 3, "{filter:?}");
        }
        store = reopen(test_store, store).await;
    }
    store.close().await.unwrap();
}

pub(crate) async fn a_reader_sees_every_event_once_while_writers_go_on(test_store: &dyn TestStore) {
    const WRITERS: u64 = 8;
    const MESSAGES: u64 = 40;
    let store = test_store.open();
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
        let page = store.events(after, EventFilter::default(), 7.into()).await;
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

pub(crate) async fn an_event_can_be_read_as_soon_as_it_is_told_of(test_store: &dyn TestStore) {
    let store = test_store.open();
    let mut committed = store.committed();
    assert_eq!(*committed.borrow_and_update(), 0);
    accept(&store, [1]).await;
    let answer = store.record(vec![sending(1, 1, 1)].into());
    committed.changed().await.unwrap();
    assert_eq!(*committed.borrow_and_update(), 1);
    let page = store
        .events(0, EventFilter::default(), 10.into())
        .await
        .unwrap();
    assert_eq!(numbers(&page.events), [1]);
    assert_eq!(
        store
            .events_of(id(1), 0, 5_000.into())
            .await
            .unwrap()
            .events,
        page.events
    );
    assert_eq!(answer.await.unwrap(), [Recorded::Appended(1)]);
    let store = reopen(test_store, store).await;
    assert_eq!(*store.committed().borrow(), 1);
    store.close().await.unwrap();
}

pub(crate) async fn a_page_of_the_log_stays_below_4_mib(test_store: &dyn TestStore) {
    const EVENTS: u64 = 60;
    let mut store = test_store.open();
    accept(&store, 1..=EVENTS).await;
    for number in 1..=EVENTS {
        let record = large_failure(number, 200_000);
        store.record(vec![record].into()).await.unwrap();
    }
    for _ in ["in memory", "on disk"] {
        let (mut all, mut after, mut pages) = (Vec::new(), 0, 0);
        while after < EVENTS {
            let filter = EventFilter::default();
            let page = store.events(after, filter, 500.into()).await.unwrap();
            let bytes: usize = page.events.iter().map(|event| event.json.len()).sum();
            assert!(bytes < PAGE && !page.events.is_empty());
            assert_eq!(page.is_cut, page.scanned_to < EVENTS);
            all.extend(numbers(&page.events));
            after = page.scanned_to;
            pages += 1;
        }
        assert_eq!(all, (1..=EVENTS).collect::<Vec<_>>());
        assert!(pages > 2, "{pages}");
        store = reopen(test_store, store).await;
    }
    store.close().await.unwrap();
}

pub(crate) async fn the_events_of_one_message_are_read_in_pages(test_store: &dyn TestStore) {
    let store = test_store.open();
    accept(&store, 1..=2).await;
    for attempt in 1..=4 {
        let began = vec![sending(1, attempt, 9), deferred(1, attempt, 9, at(9))];
        store.record(began.into()).await.unwrap();
    }
    // Number 9, and after another message's.
    store.record(vec![sending(2, 1, 9)].into()).await.unwrap();
    let end = large_failure(1, 200_000);
    store.record(vec![end].into()).await.unwrap();
    let all: Vec<u64> = (1..=8).chain([10]).collect();
    for (rows, bytes) in [(1, 1_000_000), (3, 1_000_000), (100, 2_000), (100, 0)] {
        let size = PageSize { rows, bytes };
        let (mut found, mut after) = (Vec::new(), 0);
        loop {
            let page = store.events_of(id(1), after, size).await.unwrap();
            let weight: usize = page.events.iter().map(Logged::weight).sum();
            assert!(page.events.len() == 1 || weight <= bytes, "{size:?}");
            found.extend(numbers(&page.events));
            assert_eq!(page.scanned_to, *found.last().unwrap());
            assert_eq!(page.is_cut, found.len() < all.len(), "{size:?}");
            after = page.scanned_to;
            if !page.is_cut {
                break;
            }
        }
        assert_eq!(found, all, "{size:?}");
    }
    let rest = store.events_of(id(1), 10, 9.into()).await.unwrap();
    assert_eq!(
        (rest.events.len(), rest.scanned_to, rest.is_cut),
        (0, 10, false)
    );
    let none = store.events_of(id(404), 0, 9.into()).await.unwrap();
    assert_eq!(
        (none.events.len(), none.scanned_to, none.is_cut),
        (0, 0, false)
    );
    store.close().await.unwrap();
}

pub(crate) async fn look_ups_do_not_wait_behind_readers_that_match_nothing(
    test_store: &dyn TestStore,
) {
    let store = a_hundred_ended(test_store).await;
    let filter = EventFilter {
        uri: Some("sip:nobody@example.com".into()),
        ..EventFilter::default()
    };
    let read = async || {
        let page = store.events(0, filter.clone(), 100.into()).await.unwrap();
        assert!(page.events.is_empty());
    };
    look_up_among(&*store, &read).await;
    store.close().await.unwrap();
}

pub(crate) async fn look_ups_do_not_wait_behind_pages(test_store: &dyn TestStore) {
    let store = a_hundred_ended(test_store).await;
    let messages = async || {
        let page = store.messages(MessageFilter::default(), None, 100).await;
        assert_eq!(page.unwrap().messages.len(), 100);
    };
    look_up_among(&*store, &messages).await;
    let events = async || {
        let page = store.events(0, EventFilter::default(), 100.into()).await;
        assert_eq!(page.unwrap().events.len(), 100);
    };
    look_up_among(&*store, &events).await;
    let events_of = async || {
        let page = store.events_of(id(1), 0, 100.into()).await;
        assert_eq!(page.unwrap().events.len(), 2);
    };
    look_up_among(&*store, &events_of).await;
    let filter = DeliveryFilter {
        endpoint: EndpointId::new(Uuid::from_u128(1)),
        state: None,
    };
    let deliveries = async || {
        let page = store.deliveries(filter.clone(), None, 100).await;
        assert!(page.unwrap().deliveries.is_empty());
    };
    look_up_among(&*store, &deliveries).await;
    store.close().await.unwrap();
}

/// A hundred messages that have ended, of which nothing is in memory. With more, on a slow machine,
/// a page of two hundred readers would wait for its turn longer than the store allows.
async fn a_hundred_ended(test_store: &dyn TestStore) -> Arc<dyn Store> {
    let store = test_store.open();
    accept(&store, 1..=100).await;
    finish(&store, 1..=100).await;
    reopen(test_store, store).await
}

/// Looks four things up while many read again and again. Behind their pages each look-up would wait
/// for a page of every reader.
async fn look_up_among(store: &dyn Store, read: &impl AsyncFn()) {
    const READERS: usize = 200;
    let (finished, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let readers = (0..READERS).map(|_| async {
        while !is_over.load(Ordering::Relaxed) {
            read().await;
            finished.fetch_add(1, Ordering::Relaxed);
        }
    });
    let readers = futures_util::future::join_all(readers);
    let look_up = async {
        assert!(store.message(id(1)).await.unwrap().is_some());
        let events = store.events_of(id(1), 0, PageSize::small(9)).await.unwrap();
        assert_eq!(events.events.len(), 2);
        let events = store.events(0, EventFilter::default(), PageSize::small(9));
        assert_eq!(events.await.unwrap().events.len(), 9);
        assert_eq!(store.load(vec![id(1)]).await.unwrap().len(), 1);
        is_over.store(true, Ordering::Relaxed);
        finished.load(Ordering::Relaxed)
    };
    let (_, pages) = futures_util::future::join(readers, look_up).await;
    assert!(pages < 3 * READERS, "{pages}");
}
