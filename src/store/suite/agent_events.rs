//! Events of agents, which belong to no message.

use super::TestStore;
use super::samples::{accept, at, finish, log, reopen};
use super::webhooks::plan_nothing;
use crate::message::{AgentChange, Event, EventKind, EventKinds};
use crate::store::{Bounds, EventFilter};

fn change(agent: &str, time: i64, down: Option<&str>) -> Event {
    let change = AgentChange {
        agent: agent.into(),
        account: format!("sip:{agent}@example.com").into(),
        server: "wss://sip.example.com".into(),
        time: at(time),
        down: down.map(str::to_owned),
    };
    change.event()
}

pub(crate) async fn events_of_agents_are_in_the_log_in_their_order(test_store: &dyn TestStore) {
    let store = test_store.open();
    let events = vec![change("alice", 1, None), change("carol", 2, None)];
    store.append_agent_events(events).await.unwrap();
    accept(&store, [1]).await;
    finish(&store, [1]).await;
    let lost = vec![change("alice", 3, Some("lost \u{e9}"))];
    store.append_agent_events(lost).await.unwrap();

    let mut committed = store.committed();
    committed.wait_for(|last| *last == 5).await.unwrap();

    let whole = EventFilter::default();
    let told = log(&store, 0, &whole).await;
    let store = reopen(test_store, store).await;
    let kept = log(&store, 0, &whole).await;
    assert_eq!(kept, told);
    let kinds: Vec<_> = kept.iter().map(|event| event.kind).collect();
    let of_message = [EventKind::Sending, EventKind::Succeeded];
    let mut expected = vec![EventKind::AgentUp, EventKind::AgentUp];
    expected.extend(of_message);
    expected.push(EventKind::AgentDown);
    assert_eq!(kinds, expected);
    let json: serde_json::Value = serde_json::from_slice(&kept[4].json).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "id": format!("{}-{:016}", store.epoch(), 5), "type": "agentDown",
            "time": at(3).to_string(), "agent": "alice", "account": "sip:alice@example.com",
            "server": "wss://sip.example.com", "reason": "lost \u{e9}",
        })
    );
    assert_eq!(kept[4].facts(), (0, Some(at(3))));
    assert_eq!(kept[0].message_id, kept[4].message_id);
    assert_ne!(kept[0].message_id, kept[1].message_id);

    let of = |kinds: EventKinds, account: Option<&str>| EventFilter {
        kinds,
        accounts: account.map(|account| std::sync::Arc::new([account.into()].into())),
        ..EventFilter::default()
    };
    let usual = log(&store, 0, &of(EventKinds::of_messages(), None)).await;
    assert!(usual.iter().map(|event| event.kind).eq(of_message));
    let agents: EventKinds = [EventKind::AgentUp, EventKind::AgentDown]
        .into_iter()
        .collect();
    let of_alice = log(&store, 0, &of(agents, Some("sip:alice@example.com"))).await;
    let seqs: Vec<_> = of_alice.iter().map(|event| event.seq).collect();
    assert_eq!(seqs, [1, 5]);
    store.close().await.unwrap();
}

pub(crate) async fn events_of_agents_are_removed_in_steps(test_store: &dyn TestStore) {
    let store = test_store.open();
    let events = (0..4).map(|time| change("alice", time, None)).collect();
    store.append_agent_events(events).await.unwrap();
    let mut committed = store.committed();
    committed.wait_for(|last| *last == 4).await.unwrap();
    // What was not planned stays.
    assert_eq!(store.purge_agent_events(at(3), 9).await.unwrap(), 0);
    plan_nothing(&store).await;
    for count in [2, 1, 0] {
        assert_eq!(store.purge_agent_events(at(3), 2).await.unwrap(), count);
    }
    let store = reopen(test_store, store).await;
    let kept = log(&store, 0, &EventFilter::default()).await;
    assert!(kept.iter().map(|event| event.seq).eq([4]));
    let bounds = Bounds {
        forgotten_to: 3,
        last: 4,
    };
    assert_eq!(store.bounds().await.unwrap(), bounds);
    store.close().await.unwrap();
}
