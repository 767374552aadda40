//! Receipts: each kind once for a recipient, in the events of their message.

use std::sync::Arc;

use super::samples::{
    ALICE, BOB, accept, at, deferred, failed, finish, id, listed, log, message, numbers, receipt,
    reopen, sending, submission, succeeded,
};
use super::webhooks::plan_nothing;
use super::{REFUSED, TestStore};
use crate::message::{Disposition, EventKind, Priority, Receipt, Status, UndeliveredStatus};
use crate::store::{
    EventFilter, MAX_RECIPIENTS, MessageFilter, ReceiptTimes, Recorded, Reported, Store, Verdict,
};

const CAROL: &str = "sip:carol@example.com";

fn undelivered(number: u64, recipient: &str, time: i64) -> Receipt {
    let status = UndeliveredStatus::Failed;
    let disposition = Disposition::Undelivered {
        status,
        reason: Some("Busy here".to_owned()),
    };
    Receipt {
        disposition,
        ..receipt(number, recipient, time)
    }
}

fn displayed(number: u64, recipient: &str, time: i64) -> Receipt {
    Receipt {
        disposition: Disposition::Displayed,
        ..receipt(number, recipient, time)
    }
}

async fn own(store: &Arc<dyn Store>, number: u64) -> Vec<u64> {
    let page = store.events_of(id(number), 0, 100.into()).await.unwrap();
    numbers(&page.events)
}

pub(crate) async fn a_receipt_joins_the_events_of_its_message_before_and_after_its_end(
    test_store: &dyn TestStore,
) {
    let mut store = test_store.open();
    let with_webhook = message(1).with(|contents| {
        contents.webhook = Some("https://app.example/hook".into());
        contents.metadata = [("order".to_owned(), "42".to_owned())].into();
        contents.priority = Some(Priority::Urgent);
    });
    let verdicts = store.accept(vec![submission(vec![with_webhook])]).await;
    assert_eq!(verdicts.unwrap(), [Verdict::Accepted]);
    accept(&store, [2]).await;
    store.record(vec![sending(1, 1, 1)].into()).await.unwrap();
    let reported = store.report(vec![receipt(1, BOB, 5)]).await.unwrap();
    assert_eq!(reported, [Reported::Appended(2)]);
    // Nothing of where it stands has changed.
    let stored = store.message(id(1)).await.unwrap().unwrap();
    assert_eq!((stored.status, stored.attempt), (Status::Sending, 1));
    assert_eq!(stored.account.as_deref(), Some(ALICE));
    let end = vec![
        deferred(1, 1, 6, at(7)),
        sending(1, 2, 7),
        succeeded(1, 2, 8),
    ];
    let recorded = store.record(end.into()).await.unwrap();
    assert_eq!(recorded, [3, 4, 5].map(Recorded::Appended));
    let late = vec![displayed(1, BOB, 9), undelivered(1, CAROL, 10)];
    let reported = store.report(late).await.unwrap();
    assert_eq!(reported, [6, 7].map(Reported::Appended));
    let reported = store.report(vec![displayed(1, CAROL, 11)]).await.unwrap();
    assert_eq!(reported, [Reported::Appended(8)]);

    for _ in ["in memory", "on disk"] {
        assert_eq!(own(&store, 1).await, (1..=8).collect::<Vec<_>>());
        let stored = store.message(id(1)).await.unwrap().unwrap();
        assert_eq!((stored.status, stored.attempt), (Status::Succeeded, 2));
        assert_eq!(stored.completed_at, Some(at(8)));
        let result = stored.result.unwrap();
        assert_eq!((result.seq, result.kind), (5, EventKind::Succeeded));
        let times = ReceiptTimes {
            delivered: Some(at(5)),
            displayed: Some(at(9)),
            undelivered: Some(at(10)),
        };
        assert_eq!(stored.receipts, times);
        let page = store
            .messages(MessageFilter::default(), None, 9)
            .await
            .unwrap();
        let all: Vec<_> = page.messages.iter().map(|one| one.receipts).collect();
        assert_eq!(all, [ReceiptTimes::default(), times]);
        let events = log(&store, 5, &EventFilter::default()).await;
        let event: serde_json::Value = serde_json::from_slice(&events[1].json).unwrap();
        let expected = serde_json::json!({
            "id": format!("{}-{:016}", store.epoch(), 7), "type": "undelivered",
            "time": at(10), "messageId": id(1), "recipient": CAROL, "status": "failed",
            "reason": "Busy here", "priority": "urgent", "metadata": {"order": "42"},
        });
        assert_eq!(event, expected);
        assert_eq!(
            events[1].webhook.as_deref(),
            Some("https://app.example/hook")
        );
        assert_eq!(
            (&*events[1].uri, events[1].account.as_deref()),
            (BOB, Some(ALICE))
        );
        store = reopen(test_store, store).await;
    }
    // Nothing is claimed of what has ended.
    let claimed = store.claim(9).await.unwrap();
    assert_eq!(
        claimed.iter().map(|one| one.id).collect::<Vec<_>>(),
        [id(2)]
    );
    let recorded = store
        .record(vec![succeeded(1, 2, 20)].into())
        .await
        .unwrap();
    assert_eq!(recorded, [Recorded::Ended]);
    store.close().await.unwrap();
}

pub(crate) async fn each_kind_is_reported_once_for_a_recipient(test_store: &dyn TestStore) {
    let store = test_store.open();
    accept(&store, [1]).await;
    store.record(vec![sending(1, 1, 1)].into()).await.unwrap();
    let all = vec![
        receipt(1, BOB, 2),
        receipt(1, BOB, 3),
        displayed(1, BOB, 3),
        receipt(1, CAROL, 4),
    ];
    let first = store.report(all.clone());
    let second = store.report(all);
    let expected = [
        Reported::Appended(2),
        Reported::Repeated,
        Reported::Appended(3),
        Reported::Appended(4),
    ];
    assert_eq!(first.await.unwrap(), expected);
    assert_eq!(second.await.unwrap(), [Reported::Repeated; 4]);
    let store = reopen(test_store, store).await;
    let reported = store.report(vec![displayed(1, BOB, 9)]).await.unwrap();
    assert_eq!(reported, [Reported::Repeated]);
    // No sender of receipts can make a message as long as it likes.
    let many = (0..40).map(|number| receipt(1, &format!("sip:user{number}@example.com"), 9));
    let reported = store.report(many.collect()).await.unwrap();
    let appended = reported
        .iter()
        .filter(|one| matches!(one, Reported::Appended(_)));
    assert_eq!(appended.count(), MAX_RECIPIENTS - 2);
    assert_eq!(reported.last(), Some(&Reported::Unknown));
    let known = store.report(vec![displayed(1, CAROL, 9)]).await.unwrap();
    assert!(matches!(known[..], [Reported::Appended(_)]), "{known:?}");
    store.close().await.unwrap();
}

pub(crate) async fn receipts_of_messages_that_an_account_did_not_send_are_unknown(
    test_store: &dyn TestStore,
) {
    let store = test_store.open();
    accept(&store, [1, 2]).await;
    finish(&store, [1]).await;
    let mut stranger = receipt(1, BOB, 3);
    stranger.account = CAROL.into();
    // The second has not been sent, and there is no third.
    let all = vec![stranger, receipt(2, BOB, 3), receipt(404, BOB, 3)];
    assert_eq!(store.report(all).await.unwrap(), [Reported::Unknown; 3]);
    assert_eq!(store.bounds().await.unwrap().last, 2);
    store.close().await.unwrap();
}

pub(crate) async fn a_receipt_of_the_target_settles_and_no_other(test_store: &dyn TestStore) {
    let store = test_store.open();
    accept(&store, 1..=4).await;
    for number in 1..=4 {
        store
            .record(vec![sending(number, 1, 1)].into())
            .await
            .unwrap();
    }
    let all = vec![
        displayed(1, CAROL, 2),
        displayed(1, "sips:bob@example.com", 3),
        receipt(1, BOB, 4),
        undelivered(2, BOB, 5),
        receipt(3, CAROL, 6),
    ];
    let reported = store.report(all).await.unwrap();
    assert!(!reported.contains(&Reported::Unknown), "{reported:?}");
    let ids = vec![id(1), id(2), id(3), id(4), id(404)];
    let settling = store.settling_receipts(ids).await.unwrap();
    assert_eq!(settling, [(id(1), 6)]);
    assert!(
        store
            .settling_receipts(Vec::new())
            .await
            .unwrap()
            .is_empty()
    );
    store.close().await.unwrap();
}

pub(crate) async fn receipts_go_with_their_message(test_store: &dyn TestStore) {
    let store = test_store.open();
    accept(&store, 1..=3).await;
    for number in 1..=3 {
        store
            .record(vec![sending(number, 1, 1)].into())
            .await
            .unwrap();
    }
    // Before the end, after it, and of what has not ended.
    store
        .report(vec![receipt(1, BOB, 2), receipt(3, BOB, 2)])
        .await
        .unwrap();
    store
        .record(vec![succeeded(1, 1, 3), failed(2, 1, 3)].into())
        .await
        .unwrap();
    store
        .report(vec![receipt(2, BOB, 4), displayed(1, BOB, 4)])
        .await
        .unwrap();
    plan_nothing(&store).await;
    let step = store.discard_bodies(9).await.unwrap();
    assert_eq!(step.messages, 2);
    let step = store.purge(at(9), 9).await.unwrap();
    assert_eq!(step.messages, 2);
    assert_eq!(listed(&store, &MessageFilter::default(), 9).await, [id(3)]);
    let left = log(&store, 0, &EventFilter::default()).await;
    assert_eq!(numbers(&left), [3, 5]);
    let store = reopen(test_store, store).await;
    let late = vec![displayed(2, BOB, 9), displayed(3, BOB, 9)];
    let reported = store.report(late).await.unwrap();
    assert_eq!(reported[0], Reported::Unknown);
    assert!(matches!(reported[1], Reported::Appended(_)), "{reported:?}");
    assert_eq!(own(&store, 3).await.len(), 3);
    store.close().await.unwrap();
}

pub(crate) async fn a_receipt_that_is_rejected_lets_the_others_pass(test_store: &dyn TestStore) {
    let store = test_store.open();
    test_store.refuse("receipts", "recipient");
    accept(&store, [1]).await;
    store.record(vec![sending(1, 1, 1)].into()).await.unwrap();
    let all = vec![
        receipt(1, BOB, 2),
        receipt(1, REFUSED, 2),
        displayed(1, BOB, 3),
    ];
    let reported = store.report(all).await.unwrap();
    let expected = [
        Reported::Appended(2),
        Reported::Rejected,
        Reported::Appended(3),
    ];
    assert_eq!(reported, expected);
    let recorded = store.record(vec![succeeded(1, 1, 4)].into()).await.unwrap();
    assert_eq!(recorded, [Recorded::Appended(4)]);
    assert_eq!(own(&store, 1).await, [1, 2, 3, 4]);
    store.close().await.unwrap();
}
