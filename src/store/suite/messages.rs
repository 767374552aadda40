//! Reading messages, one by one and as lists.

use std::sync::Arc;

use super::TestStore;
use super::samples::{
    ALICE, BOB, PAGE, accept, at, deferred, failed, finish, id, large_failure, listed, message,
    reopen, sending, submission,
};
use crate::message::{EventKind, Header, Status};
use crate::store::MessageFilter;

pub(crate) async fn messages_that_are_gone_are_left_out_of_a_load(test_store: &dyn TestStore) {
    let store = test_store.open();
    accept(&store, 1..=2).await;
    let loaded = store.load(vec![id(2), id(9), id(1)]).await.unwrap();
    let ids: Vec<_> = loaded.iter().map(|message| message.id).collect();
    assert_eq!(ids, [id(2), id(1)]);
    store.close().await.unwrap();
}

pub(crate) async fn messages_are_listed_newest_first(test_store: &dyn TestStore) {
    let store = test_store.open();
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

pub(crate) async fn lists_are_filtered(test_store: &dyn TestStore) {
    let store = test_store.open();
    let special = message(6).with(|contents| {
        contents.uri = "sip:carol@example.com".into();
        contents.account = Some(ALICE.into());
        contents.send_at = Some(at(50_000));
    });
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
                accounts: Some(Arc::new([ALICE.into()].into())),
                ..MessageFilter::default()
            },
            vec![6, 5, 3, 2, 1],
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

pub(crate) async fn a_page_of_messages_stays_below_4_mib(test_store: &dyn TestStore) {
    const MESSAGES: u64 = 60;
    const MUCH: usize = 40_000;
    let store = test_store.open();
    for number in 1..=MESSAGES {
        let text = "x".repeat(MUCH);
        let large = message(number).with(|contents| match number % 4 {
            // In JSON this is six times as long.
            0 => contents.body = "\u{1}".repeat(MUCH).into(),
            1 => contents.metadata = [("key".to_owned(), "\"".repeat(MUCH))].into(),
            2 => contents.target = text,
            _ => {
                let name = "X-Much".to_owned();
                contents.extra_headers = vec![Header { name, value: text }];
            }
        });
        store.accept(vec![submission(vec![large])]).await.unwrap();
    }
    let records: Vec<_> = (1..=MESSAGES).map(|n| large_failure(n, MUCH)).collect();
    store.record(records.into()).await.unwrap();

    let (mut all, mut before, mut pages) = (Vec::new(), None, 0);
    loop {
        let filter = MessageFilter::default();
        let page = store.messages(filter, before, 500).await.unwrap();
        let json = page.messages.iter().map(|stored| {
            let body = stored.message.contents.body_text();
            let headers = stored.message.contents.extra_headers.iter();
            let headers = headers.map(|header| header.value.len()).sum::<usize>();
            let metadata = serde_json::to_vec(&stored.message.contents.metadata)
                .unwrap()
                .len();
            let body = serde_json::to_vec(&body).unwrap().len();
            let result = stored.result.as_ref().unwrap().json.len();
            stored.message.contents.target.len() + body + headers + metadata + result
        });
        assert!(json.sum::<usize>() < PAGE);
        all.extend(page.messages.iter().map(|stored| stored.message.id));
        pages += 1;
        match page.next {
            Some(next) => before = Some(next),
            None => break,
        }
    }
    assert_eq!(all, (1..=MESSAGES).rev().map(id).collect::<Vec<_>>());
    assert!(pages > 2, "{pages}");
    store.close().await.unwrap();
}

pub(crate) async fn a_message_is_listed_by_the_account_that_sent_it(test_store: &dyn TestStore) {
    let mut store = test_store.open();
    let named = message(5).with(|contents| contents.account = Some(BOB.into()));
    accept(&store, 1..=4).await;
    store.accept(vec![submission(vec![named])]).await.unwrap();
    // 1 is sent, 2 waits to be sent again, 3 has ended without an attempt, 4 was never begun.
    finish(&store, [1]).await;
    let mut unsent = failed(3, 0, 9);
    unsent.event.account = None;
    let records = vec![sending(2, 1, 9), deferred(2, 1, 9, at(99)), unsent];
    store.record(records.into()).await.unwrap();
    let of = |account: &str| MessageFilter {
        accounts: Some(Arc::new([account.into()].into())),
        ..MessageFilter::default()
    };
    for _ in ["at first", "after a restart"] {
        for limit in [1, 10] {
            assert_eq!(listed(&store, &of(ALICE), limit).await, [id(2), id(1)]);
            assert_eq!(listed(&store, &of(BOB), limit).await, [id(5)]);
        }
        for (number, account) in [
            (1, Some(ALICE)),
            (2, Some(ALICE)),
            (3, None),
            (5, Some(BOB)),
        ] {
            let stored = store.message(id(number)).await.unwrap().unwrap();
            assert_eq!(stored.account.as_deref(), account, "{number}");
        }
        store = reopen(test_store, store).await;
    }
    store.close().await.unwrap();
}
