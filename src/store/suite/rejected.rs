//! What a database does not take, among what it takes.

use std::collections::HashMap;
use std::sync::Arc;

use super::samples::{accept, id, keyed, log, message, numbers, sending, submission, succeeded};
use super::webhooks::{delivery, due, endpoint, plan};
use super::{REFUSED, TestStore};
use crate::message::{Message, MessageId};
use crate::store::{EventFilter, Record, Recorded, Reply, Store, StoreError, Submission, Verdict};

fn refused(number: u64) -> Message {
    message(number).with(|contents| contents.uri = REFUSED.into())
}

fn refused_record(mut record: Record) -> Record {
    record.event.uri = REFUSED.into();
    record
}

/// What a random submission, or record, should be answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Expected {
    Taken,
    Rejected,
    Ended,
}

/// Random submissions with their records, good and bad ones, in few commits.
struct History {
    rng: rand::rngs::SmallRng,
    next: u64,
    /// What there should be in the store; whether the message has ended.
    taken: HashMap<MessageId, bool>,
    /// The messages of the events that should be in the log.
    log: Vec<MessageId>,
}

impl History {
    fn submissions(&mut self) -> (Vec<Submission>, Vec<Expected>, Vec<u64>) {
        use rand::RngExt as _;
        let (mut submissions, mut expected, mut all) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..self.rng.random_range(0..8) {
            let count = self.rng.random_range(1..4);
            let is_bad = self.rng.random_bool(0.2);
            let bad = self.rng.random_range(0..count);
            let messages = (0..count).map(|place| {
                self.next += 1;
                all.push(self.next);
                if is_bad && place == bad {
                    refused(self.next)
                } else {
                    message(self.next)
                }
            });
            let messages: Vec<_> = messages.collect();
            if !is_bad {
                self.taken
                    .extend(messages.iter().map(|one| (one.id, false)));
            }
            submissions.push(if self.rng.random_bool(0.5) {
                submission(messages)
            } else {
                keyed("app", &format!("{}", self.next), 1, messages)
            });
            expected.push(if is_bad {
                Expected::Rejected
            } else {
                Expected::Taken
            });
        }
        (submissions, expected, all)
    }

    fn records(&mut self, of: &[u64]) -> (Vec<Record>, Vec<Expected>) {
        use rand::RngExt as _;
        let (mut records, mut expected) = (Vec::new(), Vec::new());
        for &number in of {
            for record in [sending(number, 1, 1), succeeded(number, 1, 2)] {
                let is_final = record.status.is_final();
                let is_bad = self.rng.random_bool(0.1);
                let ended = self.taken.get_mut(&id(number));
                expected.push(match ended {
                    None | Some(true) => Expected::Ended,
                    Some(false) if is_bad => Expected::Rejected,
                    Some(ended) => {
                        *ended = is_final;
                        self.log.push(id(number));
                        Expected::Taken
                    }
                });
                records.push(if is_bad {
                    refused_record(record)
                } else {
                    record
                });
            }
        }
        (records, expected)
    }
}

type Asked = (
    Reply<Vec<Verdict>>,
    Vec<Expected>,
    Reply<Vec<Recorded>>,
    Vec<Expected>,
);

pub(crate) async fn what_is_rejected_harms_only_what_brought_it(test_store: &dyn TestStore) {
    use rand::SeedableRng as _;
    let store = test_store.open();
    test_store.refuse("messages", "uri");
    test_store.refuse("events", "uri");
    for seed in 0..6 {
        let mut history = History {
            rng: rand::rngs::SmallRng::seed_from_u64(seed),
            next: 1_000 * (seed + 1),
            taken: HashMap::new(),
            log: Vec::new(),
        };
        let before = store.bounds().await.unwrap().last;
        // Nothing is awaited until all was called, so that much of it is in the same commit.
        let asked: Vec<Asked> = (0..20).map(|_| ask(&store, &mut history)).collect();
        for (accepted, verdicts, recorded, answers) in asked {
            let accepted = accepted.await.unwrap();
            let told: Vec<_> = accepted.iter().map(of_verdict).collect();
            assert_eq!(told, verdicts, "{seed}");
            let recorded = recorded.await.unwrap();
            let told: Vec<_> = recorded.iter().map(of_record).collect();
            assert_eq!(told, answers, "{seed}");
        }
        for number in 1_000 * (seed + 1)..=history.next {
            let stored = store.message(id(number)).await.unwrap();
            let is_final = stored.map(|stored| stored.status.is_final());
            assert_eq!(
                is_final,
                history.taken.get(&id(number)).copied(),
                "{number}"
            );
        }
        let events = log(&store, before, &EventFilter::default()).await;
        let expected: Vec<_> = (before + 1..).take(history.log.len()).collect();
        assert_eq!(numbers(&events), expected, "{seed}");
        let mut messages: Vec<_> = events.iter().map(|event| event.message_id).collect();
        messages.sort_unstable();
        history.log.sort_unstable();
        assert_eq!(messages, history.log, "{seed}");
        for (message, _) in history.taken {
            let own = store.events_of(message, 0, 100.into()).await.unwrap();
            let own = numbers(&own.events);
            let of_log = events.iter().filter(|event| event.message_id == message);
            assert_eq!(own, of_log.map(|event| event.seq).collect::<Vec<_>>());
        }
    }
    store.close().await.unwrap();
}

/// Hands over some submissions, and records of them.
fn ask(store: &Arc<dyn Store>, history: &mut History) -> Asked {
    use rand::RngExt as _;
    let (submissions, verdicts, all) = history.submissions();
    let (records, answers) = history.records(&all);
    let (accepted, recorded) = if history.rng.random_bool(0.5) {
        store.accept_and_record(submissions, records.into())
    } else {
        (store.accept(submissions), store.record(records.into()))
    };
    (accepted, verdicts, recorded, answers)
}

fn of_verdict(verdict: &Verdict) -> Expected {
    match verdict {
        Verdict::Accepted | Verdict::Elsewhere(_) => Expected::Taken,
        Verdict::Rejected(_) => Expected::Rejected,
        Verdict::Replayed(_) | Verdict::KeyReused => Expected::Ended,
    }
}

fn of_record(recorded: &Recorded) -> Expected {
    match recorded {
        Recorded::Appended(_) => Expected::Taken,
        Recorded::Rejected => Expected::Rejected,
        Recorded::Ended => Expected::Ended,
    }
}

pub(crate) async fn a_rejected_key_belongs_to_the_next_who_brings_it(test_store: &dyn TestStore) {
    let store = test_store.open();
    test_store.refuse("messages", "uri");
    let submissions = vec![
        keyed("app", "k", 1, vec![message(1), refused(2)]),
        keyed("app", "k", 2, vec![message(3)]),
        keyed("app", "k", 2, vec![message(4)]),
    ];
    let verdicts = store.accept(submissions).await.unwrap();
    assert!(matches!(verdicts[0], Verdict::Rejected(_)), "{verdicts:?}");
    assert_eq!(
        verdicts[1..],
        [Verdict::Accepted, Verdict::Replayed(vec![id(3)])]
    );
    for (number, is_there) in [(1, false), (2, false), (3, true), (4, false)] {
        let stored = store.message(id(number)).await.unwrap();
        assert_eq!(stored.is_some(), is_there, "{number}");
    }
    store.close().await.unwrap();
}

pub(crate) async fn an_event_that_is_rejected_lets_the_others_pass(test_store: &dyn TestStore) {
    let store = test_store.open();
    test_store.refuse("events", "uri");
    accept(&store, [1, 2, 3]).await;
    let records = vec![
        sending(1, 1, 1),
        refused_record(succeeded(1, 1, 2)),
        refused_record(sending(2, 1, 1)),
        succeeded(2, 1, 2),
        succeeded(3, 1, 2),
    ];
    let answers = store.record(records.into()).await.unwrap();
    let expected = [
        Recorded::Appended(1),
        Recorded::Rejected,
        Recorded::Rejected,
        Recorded::Appended(2),
        Recorded::Appended(3),
    ];
    assert_eq!(answers, expected);
    // It has not ended, so that something else may be told of it.
    let answers = store.record(vec![succeeded(1, 1, 3)].into()).await.unwrap();
    assert_eq!(answers, [Recorded::Appended(4)]);
    store.close().await.unwrap();
}

pub(crate) async fn an_endpoint_that_is_rejected_lets_the_others_pass(test_store: &dyn TestStore) {
    let store = test_store.open();
    test_store.refuse("endpoints", "description");
    let mut bad = endpoint(1);
    bad.description = Some(REFUSED.to_owned());
    let before = store.accept(vec![submission(vec![message(1)])]);
    let rejected = store.create_endpoint(bad, 10);
    let created = store.create_endpoint(endpoint(2), 10);
    let after = store.accept(vec![submission(vec![message(2)])]);
    assert_eq!(before.await.unwrap(), [Verdict::Accepted]);
    let rejected = rejected.await;
    assert!(
        matches!(rejected, Err(StoreError::Rejected(_))),
        "{rejected:?}"
    );
    assert!(created.await.unwrap());
    assert_eq!(of_verdict(&after.await.unwrap()[0]), Expected::Taken);
    assert_eq!(store.endpoints().await.unwrap().endpoints.len(), 1);
    store.close().await.unwrap();
}

pub(crate) async fn deliveries_that_are_rejected_are_left_out_of_a_plan(
    test_store: &dyn TestStore,
) {
    let store = test_store.open();
    test_store.refuse("deliveries", "queue");
    accept(&store, [1, 2]).await;
    store
        .record(vec![sending(1, 1, 1), sending(2, 1, 1)].into())
        .await
        .unwrap();
    let (bad, good) = (Arc::from(REFUSED), Arc::from("https://app.example/hook"));
    let deliveries = vec![
        delivery(&good, 1, 1),
        delivery(&bad, 1, 1),
        delivery(&good, 2, 2),
    ];
    assert!(plan(&store, 2, deliveries).await);
    assert_eq!(due(&store, &good, 10).await, [1, 2]);
    assert!(due(&store, &bad, 10).await.is_empty());
    assert_eq!(store.planned_to().await.unwrap(), 2);
    store.close().await.unwrap();
}
