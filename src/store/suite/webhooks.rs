//! What is kept of webhooks: endpoints, and deliveries from the log to their end.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::TestStore;
use super::samples::{PAGE, accept, at, id, message, reopen, sending, submission, succeeded};
use crate::message::{EndpointId, EventKind, Trace};
use crate::store::{
    Attempt, Attempted, Change, Delivery, DeliveryFilter, DeliveryKey, DeliveryState, Disabled,
    DisabledBecause, Endpoint, EventFilter, Fate, NewDelivery, PageSize, Plan, QueueHead, Recovery,
    RecoveryStep, Store,
};

const MANY: usize = 100;

/// Carries out a plan without deliveries up to the end of the log, so that all of it may go.
pub(crate) async fn plan_nothing(store: &Arc<dyn Store>) {
    let to = store.bounds().await.unwrap().last;
    assert!(plan(store, to, Vec::new()).await);
}

pub(crate) async fn plan(store: &Arc<dyn Store>, to: u64, deliveries: Vec<NewDelivery>) -> bool {
    let plan = Plan {
        from: store.planned_to().await.unwrap(),
        to,
        revision: store.endpoints().await.unwrap().revision,
        now: at(0),
        deliveries,
    };
    store.plan(plan).await.unwrap()
}

fn endpoint_id(number: u64) -> EndpointId {
    EndpointId::new(Uuid::from_u64_pair(0x0194_0000_0000_7000, number | 1 << 63))
}

pub(crate) fn endpoint(number: u64) -> Endpoint {
    Endpoint {
        id: endpoint_id(number),
        url: "https://app.example/hook".into(),
        kinds: Vec::new(),
        accounts: Vec::new(),
        description: None,
        disabled: None,
        secret: Bytes::from_static(b"first"),
        previous_secret: None,
        after: 0,
        created_at: at(1),
        updated_at: at(1),
        failing_since: None,
        recovery: None,
    }
}

async fn create(store: &Arc<dyn Store>, number: u64) -> Arc<str> {
    let endpoint = endpoint(number);
    let queue = endpoint.queue();
    assert!(store.create_endpoint(endpoint, MANY).await.unwrap());
    queue
}

async fn only_endpoint(store: &Arc<dyn Store>) -> Endpoint {
    let mut endpoints = store.endpoints().await.unwrap().endpoints;
    assert_eq!(endpoints.len(), 1);
    endpoints.remove(0)
}

async fn change(store: &Arc<dyn Store>, change: Change) -> Endpoint {
    let changed = store.change_endpoint(endpoint_id(1), change).await;
    let changed = changed.unwrap().unwrap();
    assert_eq!(changed, only_endpoint(store).await);
    changed
}

pub(crate) fn delivery(queue: &Arc<str>, seq: u64, message: u64) -> NewDelivery {
    NewDelivery {
        queue: queue.clone(),
        url: None,
        seq,
        message_id: id(message),
        kind: EventKind::Sending,
        time: at(i64::try_from(seq).unwrap()),
        json: Bytes::from(format!("{{\"id\":\"{seq}\"}}")),
    }
}

pub(super) async fn due(store: &Arc<dyn Store>, queue: &Arc<str>, now: i64) -> Vec<u64> {
    let due = store
        .due(queue.clone(), at(now), MANY.into())
        .await
        .unwrap();
    due.deliveries.iter().map(|one| one.key.seq).collect()
}

fn attempted(queue: &Arc<str>, seq: u64, now: i64, fate: Fate) -> Attempted {
    let (status, error) = match fate {
        Fate::Delivered => (Some(204), None),
        Fate::Failed => (Some(500), None),
        Fate::Again(_) => (None, Some("it did not answer".to_owned())),
    };
    Attempted {
        key: DeliveryKey {
            queue: queue.clone(),
            seq,
        },
        attempt: Attempt {
            number: 0,
            at: at(now),
            took: Duration::from_millis(3),
            status,
            answer: "first bytes".to_owned(),
            error,
        },
        fate,
    }
}

async fn settle(store: &Arc<dyn Store>, queue: &Arc<str>, seq: u64, now: i64, fate: Fate) {
    let settled = store
        .settle(vec![attempted(queue, seq, now, fate)])
        .await
        .unwrap();
    assert!(settled[0].is_some(), "{seq}");
}

async fn list(store: &Arc<dyn Store>, state: Option<DeliveryState>, limit: usize) -> Vec<Delivery> {
    let filter = DeliveryFilter {
        endpoint: endpoint_id(1),
        state,
    };
    let (mut all, mut before) = (Vec::new(), None);
    loop {
        let page = store.deliveries(filter.clone(), before, limit).await;
        let page = page.unwrap();
        assert!(page.deliveries.len() <= limit);
        all.extend(page.deliveries);
        match page.next {
            Some(next) => before = Some(next),
            None => return all,
        }
    }
}

fn numbers(deliveries: &[Delivery]) -> Vec<u64> {
    deliveries.iter().map(|delivery| delivery.seq).collect()
}

pub(crate) async fn an_endpoint_is_read_back_whole(test_store: &dyn TestStore) {
    let store = test_store.open();
    let full = Endpoint {
        kinds: vec![EventKind::Failed, EventKind::Succeeded],
        accounts: vec!["sip:alice@example.com".into(), "sip:ü@example.com".into()],
        description: Some("all \"that\" failed".to_owned()),
        disabled: Some(Disabled {
            because: DisabledBecause::Request,
            at: at(2),
        }),
        previous_secret: Some((Bytes::from_static(b"\0\xff"), at(9))),
        failing_since: Some(at(3)),
        recovery: Some(Recovery {
            since: at(1),
            until: at(2),
            cursor: 3,
            end: 4,
        }),
        ..endpoint(2)
    };
    assert!(store.create_endpoint(full.clone(), MANY).await.unwrap());
    create(&store, 1).await;
    let store = reopen(test_store, store).await;
    let endpoints = store.endpoints().await.unwrap().endpoints;
    assert_eq!(endpoints, [endpoint(1), full]);
    store.close().await.unwrap();
}

pub(crate) async fn an_endpoint_is_changed_piece_by_piece(test_store: &dyn TestStore) {
    let store = test_store.open();
    create(&store, 1).await;
    let mut revision = store.endpoints().await.unwrap().revision;
    let mut expected = endpoint(1);
    assert_eq!(change(&store, Change::default()).await, expected);
    expected.url = "https://other.example/".into();
    expected.kinds = vec![EventKind::Deferred];
    let some = Change {
        url: Some(expected.url.clone()),
        kinds: Some(expected.kinds.clone()),
        ..Change::default()
    };
    assert_eq!(change(&store, some).await, expected);
    expected.accounts = vec!["sip:alice@example.com".into()];
    expected.description = Some("words".to_owned());
    expected.updated_at = at(77);
    let more = Change {
        accounts: Some(expected.accounts.clone()),
        description: Some(expected.description.clone()),
        updated_at: Some(at(77)),
        ..Change::default()
    };
    assert_eq!(change(&store, more).await, expected);
    expected.description = None;
    expected.kinds = Vec::new();
    let back = Change {
        kinds: Some(Vec::new()),
        description: Some(None),
        ..Change::default()
    };
    assert_eq!(change(&store, back).await, expected);
    let now = store.endpoints().await.unwrap().revision;
    assert!(now > revision);
    revision = now;

    assert!(store.delete_endpoint(endpoint_id(1)).await.unwrap());
    assert!(!store.delete_endpoint(endpoint_id(1)).await.unwrap());
    let gone = store.change_endpoint(endpoint_id(1), Change::default());
    assert_eq!(gone.await.unwrap(), None);
    assert!(store.endpoints().await.unwrap().revision > revision);
    store.close().await.unwrap();
}

pub(crate) async fn a_secret_is_rotated_and_the_one_before_kept_for_a_while(
    test_store: &dyn TestStore,
) {
    let store = test_store.open();
    create(&store, 1).await;
    for (new, old, until) in [("second", "first", 10), ("third", "second", 20)] {
        let rotation = Change {
            secret: Some((Bytes::from_static(new.as_bytes()), at(until))),
            ..Change::default()
        };
        let changed = change(&store, rotation).await;
        assert_eq!(changed.secret, new);
        assert_eq!(changed.previous_secret, Some((old.into(), at(until))));
    }
    store.close().await.unwrap();
}

pub(crate) async fn an_endpoint_is_disabled_for_the_first_cause_and_begins_anew(
    test_store: &dyn TestStore,
) {
    let store = test_store.open();
    let queue = create(&store, 1).await;
    accept(&store, [1]).await;
    store.record(vec![sending(1, 1, 1)].into()).await.unwrap();
    assert!(plan(&store, 1, vec![delivery(&queue, 1, 1)]).await);
    settle(&store, &queue, 1, 5, Fate::Failed).await;
    let disable = |because, time| Change {
        disabled: Some(Some(Disabled {
            because,
            at: at(time),
        })),
        ..Change::default()
    };
    let gone = change(&store, disable(DisabledBecause::Gone, 5)).await;
    let again = change(&store, disable(DisabledBecause::Failing, 6)).await;
    assert_eq!(gone.disabled, again.disabled);
    assert_eq!(again.failing_since, Some(at(5)));
    let enable = Change {
        disabled: Some(None),
        ..Change::default()
    };
    let enabled = change(&store, enable.clone()).await;
    assert_eq!((enabled.disabled, enabled.failing_since), (None, None));
    assert_eq!(enabled.after, 1);
    // One that is enabled already goes on as it was.
    store.record(vec![succeeded(1, 1, 2)].into()).await.unwrap();
    assert_eq!(change(&store, enable).await.after, 1);
    store.close().await.unwrap();
}

pub(crate) async fn there_are_no_more_endpoints_than_may_be(test_store: &dyn TestStore) {
    let store = test_store.open();
    assert!(store.create_endpoint(endpoint(1), 2).await.unwrap());
    assert!(store.create_endpoint(endpoint(2), 2).await.unwrap());
    assert!(!store.create_endpoint(endpoint(3), 2).await.unwrap());
    assert_eq!(store.endpoints().await.unwrap().endpoints.len(), 2);
    store.close().await.unwrap();
}

pub(crate) async fn endpoints_are_listed_in_pages_oldest_first(test_store: &dyn TestStore) {
    const ENDPOINTS: u64 = 10;
    let store = test_store.open();
    for number in (1..=ENDPOINTS).rev() {
        let created = Endpoint {
            // Three of these are as much as a page holds.
            description: Some("x".repeat(1 << 20)),
            ..endpoint(number)
        };
        assert!(store.create_endpoint(created, MANY).await.unwrap());
    }
    for (limit, pages) in [(500, 4), (2, 5), (1, 10)] {
        let (mut seen, mut after, mut count) = (Vec::new(), None, 0);
        loop {
            let page = store.endpoints().await.unwrap().page(after, limit);
            seen.extend(page.endpoints.iter().map(|endpoint| endpoint.id));
            count += 1;
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, (1..=ENDPOINTS).map(endpoint_id).collect::<Vec<_>>());
        assert_eq!(count, pages, "{limit}");
    }
    store.close().await.unwrap();
}

pub(crate) async fn an_endpoint_sees_events_from_its_creation_on(test_store: &dyn TestStore) {
    let store = test_store.open();
    accept(&store, [1]).await;
    // Nothing is awaited in between: what was handed over before comes before.
    let before = store.record(vec![sending(1, 1, 1)].into());
    let created = store.create_endpoint(endpoint(1), MANY);
    let after = store.record(vec![succeeded(1, 1, 2)].into());
    before.await.unwrap();
    assert!(created.await.unwrap());
    after.await.unwrap();
    assert_eq!(only_endpoint(&store).await.after, 1);
    store.close().await.unwrap();
}

pub(crate) async fn the_log_is_planned_once(test_store: &dyn TestStore) {
    let store = test_store.open();
    let queue = create(&store, 1).await;
    assert_eq!(store.planned_to().await.unwrap(), 0);
    let revision = store.endpoints().await.unwrap().revision;
    let first = Plan {
        from: 0,
        to: 2,
        revision,
        now: at(0),
        deliveries: vec![delivery(&queue, 1, 1), delivery(&queue, 2, 2)],
    };
    assert!(store.plan(first.clone()).await.unwrap());
    let store = reopen(test_store, store).await;
    assert_eq!(store.planned_to().await.unwrap(), 2);
    assert!(!store.plan(first).await.unwrap());
    assert_eq!(due(&store, &queue, 0).await, [1, 2]);
    assert_eq!(store.pending_deliveries().await.unwrap(), 2);
    let found = store.due(queue, at(0), 1.into()).await.unwrap();
    assert_eq!(found.deliveries[0].json, "{\"id\":\"1\"}");
    assert_eq!(found.deliveries[0].tries, 0);
    store.close().await.unwrap();
}

pub(crate) async fn a_plan_made_from_other_endpoints_is_not_carried_out(
    test_store: &dyn TestStore,
) {
    let store = test_store.open();
    let revision = store.endpoints().await.unwrap().revision;
    let queue = create(&store, 1).await;
    let plan = Plan {
        from: 0,
        to: 1,
        revision,
        now: at(0),
        deliveries: vec![delivery(&queue, 1, 1)],
    };
    assert!(!store.plan(plan).await.unwrap());
    assert_eq!(store.planned_to().await.unwrap(), 0);
    assert_eq!(store.pending_deliveries().await.unwrap(), 0);
    store.close().await.unwrap();
}

pub(crate) async fn events_of_a_message_go_out_one_after_the_other(test_store: &dyn TestStore) {
    let store = test_store.open();
    let (one, two) = (create(&store, 1).await, create(&store, 2).await);
    let deliveries = vec![
        delivery(&one, 1, 1),
        delivery(&one, 2, 1),
        delivery(&two, 2, 1),
        delivery(&one, 3, 2),
    ];
    assert!(plan(&store, 3, deliveries).await);
    assert!(plan(&store, 4, vec![delivery(&one, 4, 1)]).await);
    assert_eq!(due(&store, &one, 0).await, [1, 3]);
    // Another queue does not wait for this one.
    assert_eq!(due(&store, &two, 0).await, [2]);
    settle(&store, &one, 1, 0, Fate::Again(at(500))).await;
    let store = reopen(test_store, store).await;
    assert_eq!(due(&store, &one, 100).await, [3]);
    assert_eq!(due(&store, &one, 500).await, [3, 1]);
    settle(&store, &one, 1, 500, Fate::Delivered).await;
    assert_eq!(due(&store, &one, 600).await, [3, 2]);
    settle(&store, &one, 2, 600, Fate::Delivered).await;
    assert_eq!(due(&store, &one, 700).await, [3, 4]);
    // What has ended makes nothing wait.
    settle(&store, &one, 4, 700, Fate::Delivered).await;
    assert!(plan(&store, 5, vec![delivery(&one, 5, 1)]).await);
    assert_eq!(due(&store, &one, 700).await, [3, 5]);
    store.close().await.unwrap();
}

pub(crate) async fn what_is_due_is_told_queue_by_queue(test_store: &dyn TestStore) {
    let store = test_store.open();
    let one = create(&store, 1).await;
    let url: Arc<str> = "https://app.example/a".into();
    let full: Arc<str> = "https://app.example/a?b=c".into();
    let own = NewDelivery {
        url: Some(full.clone()),
        ..delivery(&url, 3, 3)
    };
    let deliveries = vec![delivery(&one, 1, 1), delivery(&one, 2, 2), own];
    assert!(plan(&store, 3, deliveries).await);
    settle(&store, &one, 1, 0, Fate::Again(at(800))).await;
    settle(&store, &one, 2, 0, Fate::Again(at(400))).await;
    let heads = async |after: Option<&Arc<str>>, limit| {
        let heads = store.queues(after.cloned(), limit).await.unwrap();
        let head = |head: QueueHead| (head.queue, head.next_at);
        heads.into_iter().map(head).collect::<Vec<_>>()
    };
    let (first, second) = ((one.clone(), at(400)), (url.clone(), at(0)));
    assert_eq!(heads(None, 9).await, [first.clone(), second.clone()]);
    assert_eq!(heads(None, 1).await, [first]);
    assert_eq!(heads(Some(&one), 9).await, [second]);
    assert_eq!(heads(Some(&url), 9).await, []);

    let found = store.due(one.clone(), at(500), 9.into()).await.unwrap();
    assert_eq!(found.deliveries.len(), 1);
    assert_eq!(found.deliveries[0].tries, 1);
    assert_eq!(found.next_at, Some(at(800)));
    let found = store.due(url.clone(), at(0), 9.into()).await.unwrap();
    assert_eq!(found.deliveries[0].url, Some(full));
    assert_eq!(found.next_at, None);
    // When there is more than was asked for, the next is due at once.
    let found = store.due(one, at(900), 1.into()).await.unwrap();
    assert_eq!((found.deliveries.len(), found.next_at), (1, Some(at(800))));
    store.close().await.unwrap();
}

pub(crate) async fn a_delivery_that_fails_for_good_lets_the_next_one_pass(
    test_store: &dyn TestStore,
) {
    let store = test_store.open();
    let queue = create(&store, 1).await;
    let deliveries = vec![delivery(&queue, 1, 1), delivery(&queue, 2, 1)];
    assert!(plan(&store, 2, deliveries).await);
    settle(&store, &queue, 1, 0, Fate::Failed).await;
    assert_eq!(due(&store, &queue, 10).await, [2]);
    assert_eq!(store.pending_deliveries().await.unwrap(), 1);
    // What has ended cannot end again, and what is gone has no fate.
    let late = vec![
        attempted(&queue, 1, 20, Fate::Delivered),
        attempted(&queue, 9, 20, Fate::Delivered),
    ];
    assert_eq!(store.settle(late).await.unwrap(), [None, None]);
    let failed = list(&store, Some(DeliveryState::Failed), 9).await;
    assert_eq!(numbers(&failed), [1]);
    assert_eq!(failed[0].completed_at, Some(at(3)));
    store.close().await.unwrap();
}

pub(crate) async fn attempts_are_kept_and_bounded(test_store: &dyn TestStore) {
    let store = test_store.open();
    let queue = create(&store, 1).await;
    assert!(plan(&store, 1, vec![delivery(&queue, 1, 1)]).await);
    for time in 1..=24 {
        settle(&store, &queue, 1, time, Fate::Again(at(time))).await;
    }
    settle(&store, &queue, 1, 25, Fate::Delivered).await;
    let store = reopen(test_store, store).await;
    let found = list(&store, None, 9).await.remove(0);
    assert_eq!(found.state, DeliveryState::Delivered);
    let kept: Vec<_> = found.attempts.iter().map(|one| one.number).collect();
    assert_eq!(kept, (6..=25).collect::<Vec<_>>());
    let (first, last) = (&found.attempts[0], &found.attempts[19]);
    assert_eq!((first.status, first.at), (None, at(6)));
    assert_eq!(first.error.as_deref(), Some("it did not answer"));
    assert_eq!((last.status, last.error.clone()), (Some(204), None));
    assert_eq!(last.answer, "first bytes");
    assert_eq!(last.took, Duration::from_millis(3));
    store.close().await.unwrap();
}

pub(crate) async fn an_endpoint_fails_from_its_first_failure_to_its_next_success(
    test_store: &dyn TestStore,
) {
    let store = test_store.open();
    let queue = create(&store, 1).await;
    let deliveries = (1..=4).map(|seq| delivery(&queue, seq, seq)).collect();
    assert!(plan(&store, 4, deliveries).await);
    let cases = [
        (1, 10, Fate::Again(at(99)), Some(at(10))),
        (2, 20, Fate::Failed, Some(at(10))),
        (3, 30, Fate::Delivered, None),
        (4, 40, Fate::Failed, Some(at(40))),
    ];
    for (seq, time, fate, failing_since) in cases {
        let settled = store.settle(vec![attempted(&queue, seq, time, fate)]).await;
        let settled = settled.unwrap()[0].unwrap();
        assert_eq!(settled.failing_since, failing_since, "{seq}");
        assert_eq!(only_endpoint(&store).await.failing_since, failing_since);
        let failing = failing_since.map_or(0, |_| 1);
        let health = store.webhook_health().await.unwrap();
        assert_eq!((health.enabled, health.failing), (1 - failing, failing));
    }
    let (id, disabled) = (only_endpoint(&store).await.id, DisabledBecause::Request);
    let change = Change {
        disabled: Some(Some(Disabled {
            because: disabled,
            at: at(50),
        })),
        ..Change::default()
    };
    store.change_endpoint(id, change).await.unwrap();
    let health = store.webhook_health().await.unwrap();
    assert_eq!((health.enabled, health.failing, health.disabled), (0, 0, 1));
    store.close().await.unwrap();
}

pub(crate) async fn a_delivery_can_be_begun_anew(test_store: &dyn TestStore) {
    let store = test_store.open();
    let queue = create(&store, 1).await;
    let deliveries = (1..=3).map(|seq| delivery(&queue, seq, 1)).collect();
    assert!(plan(&store, 3, deliveries).await);
    let again = async |seq, now| {
        let queue = queue.clone();
        let key = DeliveryKey { queue, seq };
        store.redeliver(key, at(now)).await.unwrap()
    };
    assert_eq!(again(9, 0).await, None);
    // One that waits for another keeps its place; one that is due later is due now.
    assert_eq!(again(3, 5).await.unwrap().next_at, None);
    settle(&store, &queue, 1, 0, Fate::Again(at(500))).await;
    assert_eq!(again(1, 10).await.unwrap().next_at, Some(at(10)));
    settle(&store, &queue, 1, 10, Fate::Failed).await;
    assert_eq!(due(&store, &queue, 20).await, [2]);
    // One that failed waits for what is under way, and then goes before what came after it.
    let waits = again(1, 30).await.unwrap();
    assert_eq!((waits.state, waits.next_at), (DeliveryState::Pending, None));
    assert_eq!((waits.completed_at, waits.attempts.len()), (None, 2));
    settle(&store, &queue, 2, 40, Fate::Delivered).await;
    assert_eq!(due(&store, &queue, 50).await, [1]);
    let found = store.due(queue.clone(), at(50), 1.into()).await.unwrap();
    assert_eq!(found.deliveries[0].tries, 0);
    settle(&store, &queue, 1, 50, Fate::Delivered).await;
    assert_eq!(due(&store, &queue, 60).await, [3]);
    // One that was taken can be sent again too.
    settle(&store, &queue, 3, 60, Fate::Delivered).await;
    assert_eq!(again(2, 70).await.unwrap().next_at, Some(at(70)));
    store.close().await.unwrap();
}

pub(crate) async fn what_waits_for_its_next_attempt_is_hastened_in_steps(
    test_store: &dyn TestStore,
) {
    let store = test_store.open();
    let (queue, other) = (create(&store, 1).await, create(&store, 2).await);
    // Of one message, the later event waits for the earlier one and has no time of its own.
    let mut deliveries: Vec<_> = (1..=4).map(|seq| delivery(&queue, seq, seq)).collect();
    deliveries.push(delivery(&queue, 5, 1));
    deliveries.push(delivery(&other, 6, 6));
    assert!(plan(&store, 6, deliveries).await);
    for (seq, again) in [(1, 900), (2, 700), (3, 800)] {
        settle(&store, &queue, seq, 1, Fate::Again(at(again))).await;
    }
    settle(&store, &queue, 4, 1, Fate::Failed).await;
    settle(&store, &other, 6, 1, Fate::Again(at(600))).await;
    assert!(due(&store, &queue, 100).await.is_empty());

    let hasten = store.hasten_deliveries(queue.clone(), at(100), 2);
    assert_eq!(hasten.await.unwrap(), 2);
    assert_eq!(due(&store, &queue, 100).await, [2, 3]);
    let store = reopen(test_store, store).await;
    let hasten = store.hasten_deliveries(queue.clone(), at(100), 2);
    assert_eq!(hasten.await.unwrap(), 1);
    assert_eq!(due(&store, &queue, 100).await, [1, 2, 3]);
    // Another queue waits as before, and so does what failed for good.
    assert!(due(&store, &other, 100).await.is_empty());
    let failed = list(&store, Some(DeliveryState::Failed), 9).await;
    assert_eq!(numbers(&failed), [4]);
    // Where they are in the schedule stays.
    let found = store.due(queue.clone(), at(100), 9.into()).await.unwrap();
    assert_eq!(found.deliveries[0].tries, 1);
    settle(&store, &queue, 1, 100, Fate::Delivered).await;
    assert_eq!(due(&store, &queue, 110).await, [2, 3, 5]);
    store.close().await.unwrap();
}

pub(crate) async fn deliveries_are_listed_newest_first(test_store: &dyn TestStore) {
    let store = test_store.open();
    let queue = create(&store, 1).await;
    let other = create(&store, 2).await;
    let mut deliveries: Vec<_> = (1..=7).map(|seq| delivery(&queue, seq, seq)).collect();
    deliveries.push(delivery(&other, 8, 8));
    assert!(plan(&store, 8, deliveries).await);
    for seq in [2, 5] {
        settle(&store, &queue, seq, 1, Fate::Failed).await;
    }
    settle(&store, &queue, 3, 1, Fate::Delivered).await;
    for limit in [1, 2, 7, 8] {
        let all = list(&store, None, limit).await;
        assert_eq!(numbers(&all), [7, 6, 5, 4, 3, 2, 1], "{limit}");
        for (state, expected) in [
            (DeliveryState::Pending, &[7, 6, 4, 1][..]),
            (DeliveryState::Delivered, &[3]),
            (DeliveryState::Failed, &[5, 2]),
        ] {
            let some = list(&store, Some(state), limit).await;
            assert_eq!(numbers(&some), expected, "{limit}");
        }
    }
    let first = list(&store, None, 9).await.pop().unwrap();
    assert_eq!((first.message_id, first.kind), (id(1), EventKind::Sending));
    assert_eq!((first.created_at, first.next_at), (at(0), Some(at(0))));
    store.close().await.unwrap();
}

pub(crate) async fn what_failed_and_what_was_missed_is_recovered_in_steps(
    test_store: &dyn TestStore,
) {
    let store = test_store.open();
    let queue = create(&store, 1).await;
    // Events 1 to 8 at the times of their numbers; 4 and 6 were missed.
    let planned = [1, 2, 3, 5, 7, 8];
    let deliveries = planned.map(|seq| delivery(&queue, seq, seq)).to_vec();
    assert!(plan(&store, 8, deliveries).await);
    for seq in [1, 2, 5, 7, 8] {
        settle(&store, &queue, seq, 50, Fate::Failed).await;
    }
    settle(&store, &queue, 3, 50, Fate::Delivered).await;
    let asked = Change {
        recovery: Some(Recovery {
            since: at(2),
            until: at(8),
            cursor: 0,
            end: 8,
        }),
        ..Change::default()
    };
    change(&store, asked).await;
    let step = |from, to, wanted: &[u64], limit| RecoveryStep {
        endpoint: endpoint_id(1),
        from,
        to,
        wanted: wanted
            .iter()
            .map(|seq| delivery(&queue, *seq, *seq))
            .collect(),
        now: at(100),
        limit,
    };
    // More had failed than a step takes: it ends at the last it took.
    let reached = store.recover(step(0, 6, &[2, 3, 4, 5, 6], 2)).await;
    assert_eq!(reached.unwrap(), Some(5));
    assert_eq!(due(&store, &queue, 100).await, [2, 4, 5]);
    let store = reopen(test_store, store).await;
    assert_eq!(only_endpoint(&store).await.recovery.unwrap().cursor, 5);
    // A step that was carried out already does nothing.
    let again = store.recover(step(0, 6, &[6], 2)).await.unwrap();
    assert_eq!(again, Some(5));
    let reached = store.recover(step(5, 8, &[6, 7], 9)).await.unwrap();
    assert_eq!(reached, None);
    assert_eq!(only_endpoint(&store).await.recovery, None);
    assert_eq!(due(&store, &queue, 100).await, [2, 4, 5, 6, 7]);
    let again = store.recover(step(5, 8, &[6, 7], 9)).await.unwrap();
    assert_eq!(again, None);
    store.close().await.unwrap();
}

pub(crate) async fn recoveries_are_merged(test_store: &dyn TestStore) {
    let store = test_store.open();
    create(&store, 1).await;
    let ask = |since, until, cursor, end| Change {
        recovery: Some(Recovery {
            since: at(since),
            until: at(until),
            cursor,
            end,
        }),
        ..Change::default()
    };
    change(&store, ask(5, 9, 50, 90)).await;
    let merged = change(&store, ask(2, 7, 20, 99)).await;
    let expected = ask(2, 9, 20, 99).recovery;
    assert_eq!(merged.recovery, expected);
    store.close().await.unwrap();
}

pub(crate) async fn deliveries_of_a_deleted_endpoint_go_in_steps(test_store: &dyn TestStore) {
    let store = test_store.open();
    let (one, two) = (create(&store, 1).await, create(&store, 2).await);
    let mut deliveries: Vec<_> = (1..=5).map(|seq| delivery(&one, seq, seq)).collect();
    deliveries.push(delivery(&two, 6, 6));
    assert!(plan(&store, 6, deliveries).await);
    settle(&store, &one, 1, 5, Fate::Again(at(9))).await;
    assert!(store.delete_endpoint(endpoint_id(1)).await.unwrap());
    // What was under way when it was deleted ends without harm.
    let late = vec![attempted(&one, 2, 5, Fate::Delivered)];
    assert!(store.settle(late).await.unwrap()[0].is_some());
    for removed in [3, 2, 0] {
        assert_eq!(store.forget_deliveries(at(0), 3).await.unwrap(), removed);
    }
    assert!(due(&store, &one, 99).await.is_empty());
    assert_eq!(due(&store, &two, 99).await, [6]);
    assert_eq!(list(&store, None, 9).await, []);
    store.close().await.unwrap();
}

pub(crate) async fn deliveries_that_ended_are_forgotten_in_steps(test_store: &dyn TestStore) {
    let store = test_store.open();
    let queue = create(&store, 1).await;
    let deliveries = (1..=6).map(|seq| delivery(&queue, seq, seq)).collect();
    assert!(plan(&store, 6, deliveries).await);
    for (seq, time, fate) in [
        (1, 40, Fate::Delivered),
        (2, 10, Fate::Failed),
        (3, 20, Fate::Delivered),
        (4, 30, Fate::Delivered),
        (5, 5, Fate::Again(at(5))),
    ] {
        settle(&store, &queue, seq, time, fate).await;
    }
    assert_eq!(store.forget_deliveries(at(40), 2).await.unwrap(), 2);
    assert_eq!(store.forget_deliveries(at(40), 2).await.unwrap(), 1);
    assert_eq!(store.forget_deliveries(at(40), 2).await.unwrap(), 0);
    let kept = list(&store, None, 9).await;
    assert_eq!(numbers(&kept), [6, 5, 1]);
    assert_eq!(kept[1].attempts.len(), 1);
    store.close().await.unwrap();
}

pub(crate) async fn events_that_were_not_planned_are_not_purged(test_store: &dyn TestStore) {
    let store = test_store.open();
    accept(&store, [1, 2]).await;
    for number in [1, 2] {
        let records = vec![sending(number, 1, 1), succeeded(number, 1, 1)];
        store.record(records.into()).await.unwrap();
    }
    assert_eq!(store.purge(at(100), 9).await.unwrap().messages, 0);
    assert!(plan(&store, 3, Vec::new()).await);
    assert_eq!(store.purge(at(100), 9).await.unwrap().messages, 1);
    assert!(plan(&store, 4, Vec::new()).await);
    assert_eq!(store.purge(at(100), 9).await.unwrap().messages, 1);
    store.close().await.unwrap();
}

pub(crate) async fn events_carry_the_webhook_of_their_message(test_store: &dyn TestStore) {
    let mut store = test_store.open();
    accept(&store, [1, 2]).await;
    let mut own = sending(2, 1, 1);
    own.event.webhook = Some("https://app.example/own".into());
    let records = vec![sending(1, 1, 1), own];
    store.record(records.into()).await.unwrap();
    let filter = EventFilter {
        has_webhook: true,
        ..EventFilter::default()
    };
    for _ in ["in memory", "on disk"] {
        let page = store.events(0, filter.clone(), 9.into()).await.unwrap();
        let [event] = page.events.as_slice() else {
            panic!("{page:?}");
        };
        let webhook = event.webhook.as_deref();
        assert_eq!((event.seq, webhook), (2, Some("https://app.example/own")));
        assert_eq!(page.scanned_to, 2);
        let json = String::from_utf8(event.json.to_vec()).unwrap();
        assert!(!json.contains("app.example"), "{json}");
        store = reopen(test_store, store).await;
    }
    store.close().await.unwrap();
}

pub(crate) async fn what_is_due_carries_the_trace_of_its_message(test_store: &dyn TestStore) {
    let store = test_store.open();
    let queue = create(&store, 1).await;
    let mut traced = message(1);
    traced.trace = Trace::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let trace = traced.trace;
    let taken = vec![submission(vec![traced]), submission(vec![message(2)])];
    store.accept(taken).await.unwrap();
    // The third has left before what is to be said of it.
    let records = vec![sending(1, 1, 1), sending(2, 1, 1)];
    store.record(records.into()).await.unwrap();
    let deliveries = (1..=3).map(|number| delivery(&queue, number, number));
    assert!(plan(&store, 2, deliveries.collect()).await);

    let store = reopen(test_store, store).await;
    let due = store.due(queue, at(1_000), 10.into()).await.unwrap();
    let found: Vec<_> = due
        .deliveries
        .iter()
        .map(|one| (one.message_id, one.trace))
        .collect();
    assert_eq!(found, [(id(1), trace), (id(2), None), (id(3), None)]);
    store.close().await.unwrap();
}

pub(crate) async fn what_is_due_is_read_in_pages_of_bytes(test_store: &dyn TestStore) {
    let store = test_store.open();
    let queue = create(&store, 1).await;
    let large = |seq| NewDelivery {
        json: Bytes::from(vec![b' '; 10_000]),
        ..delivery(&queue, seq, seq)
    };
    assert!(plan(&store, 5, (1..=5).map(large).collect()).await);
    for (bytes, count) in [(0, 1), (15_000, 1), (25_000, 2), (1_000_000, 5)] {
        let size = PageSize { rows: 9, bytes };
        let due = store.due(queue.clone(), at(0), size).await.unwrap();
        assert_eq!(due.deliveries.len(), count, "{bytes}");
        assert_eq!(due.next_at, (count < 5).then_some(at(0)), "{bytes}");
    }
    store.close().await.unwrap();
}

pub(crate) async fn a_page_of_deliveries_stays_below_4_mib(test_store: &dyn TestStore) {
    const DELIVERIES: u64 = 300;
    let store = test_store.open();
    let queue = create(&store, 1).await;
    let deliveries = (1..=DELIVERIES).map(|seq| delivery(&queue, seq, seq));
    assert!(plan(&store, DELIVERIES, deliveries.collect()).await);
    for _ in 0..20 {
        // In JSON this is six times as long.
        let attempts = (1..=DELIVERIES).map(|seq| {
            let mut attempted = attempted(&queue, seq, 1, Fate::Again(at(9)));
            attempted.attempt.answer = "\u{1}".repeat(256);
            attempted
        });
        store.settle(attempts.collect()).await.unwrap();
    }
    let (mut all, mut before, mut pages) = (Vec::new(), None, 0);
    loop {
        let filter = DeliveryFilter {
            endpoint: endpoint_id(1),
            state: None,
        };
        let page = store.deliveries(filter, before, 500).await.unwrap();
        let attempts = page.deliveries.iter().map(|one| one.attempts.len());
        assert!(attempts.sum::<usize>() * 256 * 6 < PAGE);
        all.extend(numbers(&page.deliveries));
        pages += 1;
        match page.next {
            Some(next) => before = Some(next),
            None => break,
        }
    }
    assert_eq!(all, (1..=DELIVERIES).rev().collect::<Vec<_>>());
    assert!(pages > 1, "{pages}");
    store.close().await.unwrap();
}
