//! Messages that come in: each once, listed, erased, and removed in time.

use std::sync::Arc;

use super::samples::{
    ALICE, BOB, PAGE, accept, at, finish, id, incoming, log, message, numbers, received_id, reopen,
    submission,
};
use super::webhooks::{delivery, due, endpoint, plan, plan_nothing};
use super::{REFUSED, TestStore};
use crate::message::{EventKind, MessageId, Received, Sender};
use crate::store::{
    Arrived, Bounds, DeliveryKey, EventFilter, NewDelivery, ReceivedFilter, ReceivedOrigin,
    Recovery, RecoveryStep, Store,
};
use crate::store::{Change, Logged};

const CAROL: &str = "sip:carol@example.com";

async fn take_in(store: &Arc<dyn Store>, numbers: impl IntoIterator<Item = u64>) {
    let all: Vec<_> = numbers.into_iter().map(incoming).collect();
    for arrived in store.receive(all).await.unwrap() {
        assert!(matches!(arrived, Arrived::Appended(_)), "{arrived:?}");
    }
}

/// The same request by another way: a fork, or a retransmission.
fn again(number: u64, name: u64) -> Received {
    Received {
        id: received_id(name),
        agent: "alice-2".into(),
        time: at(9_000),
        ..incoming(number)
    }
}

async fn listed(store: &Arc<dyn Store>, filter: &ReceivedFilter, limit: usize) -> Vec<MessageId> {
    let (mut all, mut before) = (Vec::new(), None);
    loop {
        let page = store.received(filter.clone(), before, limit).await.unwrap();
        assert!(page.messages.len() <= limit);
        all.extend(page.messages.iter().map(|event| event.message_id));
        match page.next {
            Some(next) => before = Some(next),
            None => return all,
        }
    }
}

fn json(event: &Logged) -> serde_json::Value {
    serde_json::from_slice(&event.json).unwrap()
}

pub(crate) async fn a_received_message_is_an_event_and_found_by_its_id(test_store: &dyn TestStore) {
    let mut store = test_store.open();
    accept(&store, [1]).await;
    finish(&store, [1]).await;
    let arrived = store.receive(vec![incoming(1)]).await.unwrap();
    assert_eq!(arrived, [Arrived::Appended(3)]);
    for _ in ["in memory", "on disk"] {
        let all = log(&store, 2, &EventFilter::default()).await;
        let event = all.first().unwrap();
        let expected = Logged {
            seq: 3,
            message_id: received_id(1),
            kind: EventKind::Received,
            uri: BOB.into(),
            account: Some(ALICE.into()),
            webhook: None,
            json: event.json.clone(),
        };
        assert_eq!(all, [expected]);
        let members = json(event);
        assert_eq!(members["id"], format!("{}-{:016}", store.epoch(), 3));
        assert_eq!(
            (&members["type"], &members["body"]),
            (&"received".into(), &"Hello 1".into())
        );
        let own = store.events_of(received_id(1), 0, 9.into()).await.unwrap();
        assert_eq!(own.events, all);
        let found = store.received_message(received_id(1)).await.unwrap();
        assert_eq!(found.as_ref(), Some(event));
        for other in [id(1), received_id(2)] {
            assert_eq!(store.received_message(other).await.unwrap(), None);
        }
        for (filter, is_there) in [
            (
                EventFilter {
                    message_id: Some(received_id(1)),
                    ..EventFilter::default()
                },
                true,
            ),
            (
                EventFilter {
                    kinds: [EventKind::Received].into_iter().collect(),
                    ..EventFilter::default()
                },
                true,
            ),
            (
                EventFilter {
                    accounts: Some(Arc::new([CAROL.into()].into())),
                    ..EventFilter::default()
                },
                false,
            ),
        ] {
            let seen = log(&store, 0, &filter).await;
            assert_eq!(numbers(&seen).contains(&3), is_there, "{filter:?}");
        }
        assert!(store.message(received_id(1)).await.unwrap().is_none());
        store = reopen(test_store, store).await;
    }
    store.close().await.unwrap();
}

pub(crate) async fn a_request_that_comes_again_is_taken_in_once(test_store: &dyn TestStore) {
    let store = test_store.open();
    // Two forks in one batch, and one in another.
    let forks = store.receive(vec![incoming(1), again(1, 11), incoming(2)]);
    let late = store.receive(vec![again(1, 12), incoming(3)]);
    let expected = [
        Arrived::Appended(1),
        Arrived::Repeated,
        Arrived::Appended(2),
    ];
    assert_eq!(forks.await.unwrap(), expected);
    let expected = [Arrived::Repeated, Arrived::Appended(3)];
    assert_eq!(late.await.unwrap(), expected);
    let store = reopen(test_store, store).await;
    let arrived = store
        .receive(vec![again(2, 13), again(3, 14)])
        .await
        .unwrap();
    assert_eq!(arrived, [Arrived::Repeated; 2]);
    // What differs in any part of the key is another request.
    let mut others = vec![again(1, 21), again(1, 22), again(1, 23), again(1, 24)];
    others[0].account = CAROL.into();
    others[1].request.call_id.push('x');
    others[2].request.cseq += 1;
    others[3].from_tag.clear();
    let arrived = store.receive(others).await.unwrap();
    assert_eq!(arrived, [4, 5, 6, 7].map(Arrived::Appended));
    store.close().await.unwrap();
}

pub(crate) async fn what_comes_in_keeps_its_order_among_what_is_sent(test_store: &dyn TestStore) {
    const ROUNDS: u64 = 40;
    let store = test_store.open();
    let mut arrivals = Vec::new();
    for number in 1..=ROUNDS {
        let accepted = store.accept(vec![submission(vec![message(number)])]);
        arrivals.push(store.receive(vec![incoming(2 * number), incoming(2 * number + 1)]));
        drop(accepted);
    }
    let mut seqs = Vec::new();
    for arrived in arrivals {
        for one in arrived.await.unwrap() {
            let Arrived::Appended(seq) = one else {
                panic!("{one:?}");
            };
            seqs.push(seq);
        }
    }
    assert_eq!(seqs, (1..=2 * ROUNDS).collect::<Vec<_>>());
    store.close().await.unwrap();
}

pub(crate) async fn an_answer_names_a_message_that_its_account_sent(test_store: &dyn TestStore) {
    let store = test_store.open();
    accept(&store, 1..=2).await;
    finish(&store, [1]).await;
    let answer = |number, account: &str, answers: Vec<MessageId>| Received {
        account: account.into(),
        answers,
        ..incoming(number)
    };
    let all = vec![
        answer(1, ALICE, vec![id(404), id(1)]),
        answer(2, CAROL, vec![id(1)]),
        // It has not been sent yet.
        answer(3, ALICE, vec![id(2)]),
        answer(
            4,
            ALICE,
            (0..20).map(|n| id(500 + n)).chain([id(1)]).collect(),
        ),
    ];
    store.receive(all).await.unwrap();
    for (number, expected) in [(1, Some(id(1))), (2, None), (3, None), (4, None)] {
        let event = store.received_message(received_id(number)).await;
        let event = json(&event.unwrap().unwrap());
        let expected = expected.map(|id| id.to_string());
        assert_eq!(event["inReplyTo"], serde_json::json!(expected), "{number}");
    }
    store.close().await.unwrap();
}

pub(crate) async fn a_reply_is_told_where_its_message_came_from(test_store: &dyn TestStore) {
    let store = test_store.open();
    accept(&store, [1]).await;
    take_in(&store, 1..=2).await;
    assert!(store.erase(received_id(2)).await.unwrap());
    let ids = vec![received_id(2), id(1), received_id(1), received_id(3)];
    let expected = ReceivedOrigin {
        id: received_id(1),
        account: ALICE.into(),
        sender: BOB.into(),
        call_id: "call-1".to_owned(),
    };
    assert_eq!(store.origins(ids).await.unwrap(), [expected]);
    store.close().await.unwrap();
}

pub(crate) async fn received_messages_are_listed_newest_first(test_store: &dyn TestStore) {
    let store = test_store.open();
    take_in(&store, 1..=4).await;
    let mut other = incoming(5);
    other.account = CAROL.into();
    let mut from_carol = incoming(6);
    from_carol.from = Sender {
        uri: CAROL.to_owned(),
        ..Sender::default()
    };
    store.receive(vec![other, from_carol]).await.unwrap();
    let store = reopen(test_store, store).await;
    let to = |account: &str| ReceivedFilter {
        accounts: Some(Arc::new([account.into()].into())),
        ..ReceivedFilter::default()
    };
    let from = |sender: &str| ReceivedFilter {
        sender: Some(sender.into()),
        ..ReceivedFilter::default()
    };
    for (filter, expected) in [
        (ReceivedFilter::default(), vec![6, 5, 4, 3, 2, 1]),
        (to(CAROL), vec![5]),
        (to(ALICE), vec![6, 4, 3, 2, 1]),
        (from(CAROL), vec![6]),
        (from("sip:nobody@example.com"), vec![]),
    ] {
        let expected: Vec<_> = expected.into_iter().map(received_id).collect();
        for limit in [1, 2, 10] {
            assert_eq!(listed(&store, &filter, limit).await, expected, "{filter:?}");
        }
    }
    store.close().await.unwrap();
}

pub(crate) async fn a_page_of_received_messages_stays_below_4_mib(test_store: &dyn TestStore) {
    const MESSAGES: u64 = 40;
    let store = test_store.open();
    for number in 1..=MESSAGES {
        let mut large = incoming(number);
        large.body = vec![b'x'; 200_000];
        store.receive(vec![large]).await.unwrap();
    }
    let (mut before, mut pages, mut count) = (None, 0, 0);
    loop {
        let page = store.received(ReceivedFilter::default(), before, 500);
        let page = page.await.unwrap();
        let bytes: usize = page.messages.iter().map(|event| event.json.len()).sum();
        assert!(bytes < PAGE && !page.messages.is_empty());
        (pages, count) = (pages + 1, count + page.messages.len());
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(count as u64, MESSAGES);
    assert!(pages > 1, "{pages}");
    store.close().await.unwrap();
}

/// A received message as the plan for a webhook has it.
async fn of_received(store: &Arc<dyn Store>, queue: &Arc<str>, number: u64) -> NewDelivery {
    let event = store.received_message(received_id(number)).await;
    let event = event.unwrap().unwrap();
    NewDelivery {
        message_id: received_id(number),
        kind: EventKind::Received,
        json: event.json,
        ..delivery(queue, event.seq, number)
    }
}

pub(crate) async fn what_is_erased_is_gone_from_every_face_of_the_log(test_store: &dyn TestStore) {
    let mut store = test_store.open();
    let standing = endpoint(1);
    let queue = standing.queue();
    assert!(store.create_endpoint(standing, 9).await.unwrap());
    take_in(&store, 1..=4).await;
    let early = of_received(&store, &queue, 1).await;
    let late = of_received(&store, &queue, 2).await;
    assert!(plan(&store, 1, vec![early]).await);
    let read = store.due(queue.clone(), at(99), 9.into()).await.unwrap();
    // One was planned before, and the plan of the other was made before.
    for number in [1, 2] {
        assert!(store.erase(received_id(number)).await.unwrap());
        assert!(!store.erase(received_id(number)).await.unwrap());
    }
    assert!(plan(&store, 2, vec![late.clone()]).await);
    // Nor is what a sender has read before posted as it was.
    let posted = store.current(read.deliveries[0].clone()).await.unwrap();
    let posted: serde_json::Value = serde_json::from_slice(&posted.json).unwrap();
    assert_eq!(posted["erased"], true);
    // A recovery finds it in the log as it was, and carries it out now.
    let recovery = Recovery {
        since: at(0),
        until: at(9),
        cursor: 0,
        end: 2,
    };
    let change = Change {
        recovery: Some(recovery),
        ..Change::default()
    };
    store.change_endpoint(endpoint(1).id, change).await.unwrap();
    let step = RecoveryStep {
        endpoint: endpoint(1).id,
        from: 0,
        to: 2,
        wanted: vec![late],
        limit: 9,
        now: at(5),
    };
    store.recover(step).await.unwrap();
    assert!(!store.erase(received_id(404)).await.unwrap());
    for _ in ["in memory", "on disk"] {
        let all = log(&store, 0, &EventFilter::default()).await;
        assert_eq!(numbers(&all), [1, 2, 3, 4]);
        for event in &all[..2] {
            let number = event.seq;
            let expected = serde_json::json!({
                "id": format!("{}-{number:016}", store.epoch()),
                "type": "received",
                "time": at(i64::try_from(number).unwrap()),
                "messageId": received_id(number),
                "account": ALICE,
                "erased": true,
            });
            assert_eq!(json(event), expected);
            assert_eq!((&*event.uri, event.account.as_deref()), ("", Some(ALICE)));
            let own = store
                .events_of(received_id(number), 0, 9.into())
                .await
                .unwrap();
            assert_eq!(own.events, std::slice::from_ref(event));
            let found = store.received_message(received_id(number)).await;
            assert_eq!(found.unwrap(), None);
        }
        assert!(json(&all[2])["erased"].is_null());
        let left = listed(&store, &ReceivedFilter::default(), 10).await;
        assert_eq!(left, [received_id(4), received_id(3)]);
        let posted = store.due(queue.clone(), at(99), 9.into()).await.unwrap();
        assert_eq!(posted.deliveries.len(), 2);
        for (one, event) in posted.deliveries.iter().zip(&all) {
            assert_eq!(one.json, event.json);
        }
        store = reopen(test_store, store).await;
    }
    // What ended is not what it was either, when it is posted again.
    let key = DeliveryKey {
        queue: queue.clone(),
        seq: 3,
    };
    let third = of_received(&store, &queue, 3).await;
    assert!(plan(&store, 3, vec![third]).await);
    assert!(store.delete_endpoint(endpoint(1).id).await.unwrap());
    assert!(store.erase(received_id(3)).await.unwrap());
    assert!(store.redeliver(key, at(5)).await.unwrap().is_some());
    let posted = store.due(queue.clone(), at(99), 9.into()).await.unwrap();
    let third = posted.deliveries.iter().find(|one| one.key.seq == 3);
    let third: serde_json::Value = serde_json::from_slice(&third.unwrap().json).unwrap();
    assert_eq!(third["erased"], true);
    assert_eq!(due(&store, &queue, 99).await, [1, 2, 3]);
    store.close().await.unwrap();
}

pub(crate) async fn received_messages_are_removed_in_steps_and_their_keys_later(
    test_store: &dyn TestStore,
) {
    let store = test_store.open();
    take_in(&store, 1..=3).await;
    accept(&store, [1]).await;
    finish(&store, [1]).await;
    take_in(&store, [4]).await;
    assert!(store.erase(received_id(1)).await.unwrap());
    // What was not planned stays.
    assert_eq!(store.purge_received(at(4), 9).await.unwrap(), 0);
    plan_nothing(&store).await;
    assert_eq!(store.purge_received(at(4), 2).await.unwrap(), 2);
    assert_eq!(store.purge_received(at(4), 2).await.unwrap(), 1);
    assert_eq!(store.purge_received(at(4), 2).await.unwrap(), 0);
    let store = reopen(test_store, store).await;
    let kept = log(&store, 0, &EventFilter::default()).await;
    assert_eq!(numbers(&kept), [4, 5, 6]);
    let bounds = Bounds {
        forgotten_to: 3,
        last: 6,
    };
    assert_eq!(store.bounds().await.unwrap(), bounds);
    assert_eq!(
        listed(&store, &ReceivedFilter::default(), 9).await,
        [received_id(4)]
    );
    // A message that ended long ago does not bring back what was forgotten.
    store.purge(at(100), 9).await.unwrap();
    assert!(store.bounds().await.unwrap().forgotten_to >= 5);

    let arrived = store
        .receive(vec![again(1, 31), again(2, 32)])
        .await
        .unwrap();
    assert_eq!(arrived, [Arrived::Repeated; 2]);
    assert_eq!(store.forget_received_keys(at(3), 1).await.unwrap(), 1);
    assert_eq!(store.forget_received_keys(at(3), 9).await.unwrap(), 1);
    assert_eq!(store.forget_received_keys(at(3), 9).await.unwrap(), 0);
    let arrived = store
        .receive(vec![again(1, 31), again(3, 33)])
        .await
        .unwrap();
    assert_eq!(arrived, [Arrived::Appended(7), Arrived::Repeated]);
    store.close().await.unwrap();
}

pub(crate) async fn a_received_message_that_is_rejected_lets_the_others_pass(
    test_store: &dyn TestStore,
) {
    let store = test_store.open();
    test_store.refuse("events", "uri");
    let refused = |number, name| {
        let mut refused = again(number, name);
        refused.from.uri = REFUSED.to_owned();
        refused
    };
    accept(&store, [1]).await;
    let sent = store.record(vec![super::samples::sending(1, 1, 1)].into());
    let first = store.receive(vec![incoming(1), refused(2, 12), incoming(3)]);
    let second = store.receive(vec![incoming(2), refused(4, 14)]);
    assert!(matches!(
        sent.await.unwrap()[..],
        [crate::store::Recorded::Appended(1)]
    ));
    let expected = [
        Arrived::Appended(2),
        Arrived::Rejected,
        Arrived::Appended(3),
    ];
    assert_eq!(first.await.unwrap(), expected);
    // The key of what was rejected belongs to the next that brings it.
    let expected = [Arrived::Appended(4), Arrived::Rejected];
    assert_eq!(second.await.unwrap(), expected);
    let all = log(&store, 0, &EventFilter::default()).await;
    assert_eq!(numbers(&all), [1, 2, 3, 4]);
    store.close().await.unwrap();
}
