//! Reading messages, one by one and as lists.

use super::Bed;
use super::samples::ALICE;
use super::samples::accept;
use super::samples::at;
use super::samples::failed;
use super::samples::finish;
use super::samples::id;
use super::samples::listed;
use super::samples::message;
use super::samples::sending;
use super::samples::submission;
use crate::message::EventKind;
use crate::message::Status;
use crate::store::MessageFilter;

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
