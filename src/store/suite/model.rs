//! Random histories, compared with a model that is too plain to be wrong.

use std::sync::Arc;

use super::TestStore;
use super::samples::{
    accept, at, deferred, failed, id, listed, log, numbers, reopen, sending, succeeded,
};
use super::webhooks::plan_nothing;
use crate::message::Status;
use crate::store::{Bounds, EventFilter, MessageFilter, Recorded, Store};

/// What a store should know, kept in the plainest way.
#[derive(Default)]
struct Model {
    /// By the number of the message; `None` when it was purged.
    messages: Vec<Option<Modelled>>,
    log: Vec<u64>,
    forgotten_to: u64,
}

#[derive(Clone, Debug)]
struct Modelled {
    status: Status,
    attempt: u32,
    events: Vec<u64>,
    completed_at: Option<i64>,
}

impl Model {
    fn accept(&mut self) -> u64 {
        self.messages.push(Some(Modelled {
            status: Status::Queued,
            attempt: 0,
            events: Vec::new(),
            completed_at: None,
        }));
        self.messages.len() as u64 - 1
    }

    fn record(&mut self, number: u64, status: Status, attempt: u32, time: i64) -> Recorded {
        let Some(message) = self
            .messages
            .get_mut(number as usize)
            .and_then(Option::as_mut)
        else {
            return Recorded::Ended;
        };
        if message.status.is_final() {
            return Recorded::Ended;
        }
        self.log.push(number);
        let seq = self.log.len() as u64;
        message.status = status;
        message.attempt = message.attempt.max(attempt);
        message.events.push(seq);
        message.completed_at = status.is_final().then_some(time);
        Recorded::Appended(seq)
    }

    /// The same walk in other words: the oldest ends, up to the first that is too young.
    fn purge(&mut self, before: i64, limit: usize) -> usize {
        let mut ends: Vec<_> = (0..self.messages.len())
            .filter_map(|number| {
                let message = self.messages[number].as_ref()?;
                Some((*message.events.last()?, message.completed_at?, number))
            })
            .collect();
        ends.sort_unstable();
        let old = ends
            .iter()
            .take(limit)
            .take_while(|(_, completed_at, _)| *completed_at < before);
        let mut count = 0;
        for (seq, _, number) in old {
            self.messages[*number] = None;
            self.forgotten_to = *seq;
            count += 1;
        }
        count
    }

    async fn compare(&self, store: &Arc<dyn Store>) {
        let mut kept = Vec::new();
        for (number, expected) in (0..).zip(&self.messages) {
            let stored = store.message(id(number)).await.unwrap();
            let events = numbers(
                &store
                    .events_of(id(number), 0, 5_000.into())
                    .await
                    .unwrap()
                    .events,
            );
            let Some(expected) = expected else {
                assert!(stored.is_none() && events.is_empty(), "{number}");
                continue;
            };
            let stored = stored.unwrap();
            assert_eq!(stored.status, expected.status, "{number}");
            assert_eq!(stored.attempt, expected.attempt, "{number}");
            assert_eq!(stored.completed_at, expected.completed_at.map(at));
            assert_eq!(events, expected.events, "{number}");
            kept.push((id(number), expected.status, expected.events.clone()));
        }
        kept.reverse();
        for status in Status::ALL {
            let filter = MessageFilter {
                status: Some(status),
                ..MessageFilter::default()
            };
            let of_status = kept.iter().filter(|(_, known, _)| *known == status);
            let expected: Vec<_> = of_status.map(|(id, ..)| *id).collect();
            assert_eq!(listed(store, &filter, 3).await, expected);
        }
        let mut expected: Vec<_> = kept.into_iter().flat_map(|(.., events)| events).collect();
        expected.sort_unstable();
        let log = log(store, 0, &EventFilter::default()).await;
        assert_eq!(numbers(&log), expected);
        let bounds = Bounds {
            forgotten_to: self.forgotten_to,
            last: self.log.len() as u64,
        };
        assert_eq!(store.bounds().await.unwrap(), bounds);
    }
}

pub(crate) async fn random_histories_agree_with_a_model(test_store: &dyn TestStore) {
    use rand::{RngExt as _, SeedableRng as _};
    let mut rng = rand::rngs::SmallRng::seed_from_u64(0x5150);
    let mut store = test_store.open();
    let mut model = Model::default();
    for time in 0..600 {
        match rng.random_range(0..100) {
            0..25 => {
                let count = rng.random_range(1..4);
                let new: Vec<_> = (0..count).map(|_| model.accept()).collect();
                accept(&store, new).await;
            }
            25..90 => {
                let (mut records, mut expected) = (Vec::new(), Vec::new());
                for _ in 0..rng.random_range(1..6) {
                    let number = rng.random_range(0..model.messages.len() as u64 + 2);
                    let attempt = rng.random_range(0..4);
                    let record = match rng.random_range(0..5) {
                        0 | 1 => sending(number, attempt, time),
                        2 => deferred(number, attempt, time, at(time + 9)),
                        3 => succeeded(number, attempt, time),
                        _ => failed(number, attempt, time),
                    };
                    expected.push(model.record(number, record.status, attempt, time));
                    records.push(record);
                }
                assert_eq!(store.record(records.into()).await.unwrap(), expected);
            }
            90..96 => {
                let (before, limit) = (time - rng.random_range(0..100), rng.random_range(1..9));
                plan_nothing(&store).await;
                let purged = store.purge(at(before), limit).await.unwrap().messages;
                assert_eq!(purged, model.purge(before, limit), "at {time}");
            }
            _ => {
                store = reopen(test_store, store).await;
                store.claim(10_000).await.unwrap();
            }
        }
        if time % 50 == 0 {
            model.compare(&store).await;
        }
    }
    model.compare(&store).await;
    store.close().await.unwrap();
}
