//! Ten minutes of more messages than can be sent, of every class, drawn from a seed. Whatever
//! comes:
//!
//! * What begins is what the table of [`super::precedence`] says, told again here in other words.
//! * No target has two requests in flight, and in a lane no message overtakes another of its class.
//! * Messages that are not urgent leave the slots alone that are kept.
//! * No message waits for ten minutes, although urgent ones alone are more than can be sent.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use uuid::Uuid;

use super::*;
use crate::clock;
use crate::message::{Answer, Contents, HeaderMap, Outcome, ResponseView};
use crate::pool::Pool;

const SEEDS: u64 = 20;
const ALICE: &str = "sip:alice@example.com";
const AGENT: AgentIndex = AgentIndex(0);
const SLOTS: u32 = 10;
const KEPT: usize = 1;
const STEP: Duration = Duration::from_millis(100);
const MINUTE: Duration = Duration::from_secs(60);
const TEN_MINUTES: Duration = Duration::from_secs(600);

struct WaitingMessage {
    class: Priority,
    since: Timestamp,
    uri: Arc<str>,
}

struct Flight {
    class: Priority,
    uri: Arc<str>,
    until: Timestamp,
}

struct Life {
    rng: SmallRng,
    board: Board,
    pool: Pool,
    now: Timestamp,
    steady: Instant,
    number: u64,
    waiting: BTreeMap<MessageId, WaitingMessage>,
    flights: HashMap<AttemptKey, Flight>,
    begun: HashMap<Priority, u32>,
}

impl Life {
    fn new(seed: u64) -> Self {
        let backoff = Backoff {
            min: STEP,
            max: STEP,
        };
        let mut pool = Pool::new(0.1);
        let rng = SmallRng::seed_from_u64(seed);
        pool.add_agent(AGENT, &ALICE.into(), SLOTS);
        pool.up(AGENT);
        Self {
            rng,
            board: Board::new(backoff, usize::MAX),
            pool,
            now: Timestamp::from_millis(1_800_000_000_000),
            steady: clock::now(),
            number: 0,
            waiting: BTreeMap::new(),
            flights: HashMap::new(),
            begun: HashMap::new(),
        }
    }

    /// A request takes two seconds as a rule, so ten slots send five messages a second. More than
    /// that are urgent, and a few of every other class come beside them.
    fn step(&mut self, messages_come: bool) {
        self.now = self.now.plus(STEP);
        self.steady += STEP;
        for (class, chance) in [
            (Some(Priority::Urgent), 0.52),
            (Some(Priority::Emergency), 0.03),
            (Some(Priority::NonUrgent), 0.05),
            (None, 0.05),
        ] {
            if messages_come && self.rng.random_bool(chance) {
                self.offer(class);
            }
        }
        self.end_attempts();
        let (now, steady) = (self.now, self.steady);
        self.board
            .handle_timeout(&self.pool, |_| None, now, steady, 0.5);
        // With every slot taken nothing begins, so that there is no order to check.
        let has_slot = self.flights.len() < SLOTS as usize;
        let heads = if has_slot { self.ready() } else { Vec::new() };
        let starts = self.board.pump(&mut self.pool, steady);
        let started: HashSet<_> = starts.iter().map(|start| start.message.id).collect();
        self.check_order(&heads, &started);
        for start in starts {
            self.begin(start);
        }
        let ordinary = self.flights.values().filter(|one| !one.class.is_urgent());
        assert!(ordinary.count() <= SLOTS as usize - KEPT);
    }

    fn offer(&mut self, priority: Option<Priority>) {
        self.number += 1;
        let uri: Arc<str> = format!("sip:{}@example.com", self.rng.random_range(0..2_000)).into();
        let contents = Contents {
            uri: uri.clone(),
            account: self.rng.random_bool(0.5).then(|| ALICE.into()),
            ttl: 100 * MINUTE,
            priority,
            ..Contents::default()
        };
        let millis = u64::try_from(self.now.as_millis()).unwrap();
        let id = Uuid::from_u64_pair(millis << 16 | 0x7000, self.number | 1 << 63);
        let message = contents.accept(MessageId::new(id), self.now, None);
        let waiting = WaitingMessage {
            class: message.contents.class(),
            since: self.now,
            uri,
        };
        self.waiting.insert(message.id, waiting);
        let id = message.id;
        self.board.offer(Arc::new(message), false, self.now);
        self.board.confirm(id);
    }

    fn end_attempts(&mut self) {
        let ended: Vec<_> = self
            .flights
            .extract_if(|_, flight| flight.until <= self.now)
            .map(|(key, _)| key)
            .collect();
        for key in ended {
            let response = ResponseView {
                status_code: 200,
                reason_phrase: String::new(),
                headers: HeaderMap::default(),
                truncated: false,
            };
            let outcome = Outcome::Answered(Answer {
                response,
                retry_after: None,
                is_bare: false,
            });
            self.board.ended(key, outcome, None, self.now, 0.5);
        }
        for slot in self.board.take_work().released {
            self.pool.release(slot);
            self.board.slot_freed(&ALICE.into());
        }
    }

    /// The heads that could begin, if there were slots for all.
    fn ready(&self) -> Vec<MessageId> {
        let heads = self.board.lanes.iter().map(|(_, lane)| lane.head().id);
        heads
            .filter(|id| matches!(self.board.entries[id].phase, Phase::Ready(_)))
            .collect()
    }

    /// Whether a message of this class counts as one of another class by now.
    fn counts_as(&self, one: &WaitingMessage, class: Priority) -> bool {
        let minutes = self.now.since(one.since).as_secs() / 60;
        let risen = (one.class as u64 + minutes).min(Priority::Urgent as u64);
        one.class == class || (class < Priority::Emergency && risen >= class as u64)
    }

    /// Nothing began while one of a higher class that could begin was left.
    fn check_order(&self, heads: &[MessageId], started: &HashSet<MessageId>) {
        let begun: Vec<_> = started.iter().map(|id| &self.waiting[id]).collect();
        let Some(lowest) = begun.iter().map(|one| one.class).min() else {
            return;
        };
        for id in heads {
            let left = &self.waiting[id];
            // Of another lane of a target that has begun only one may.
            if left.class <= lowest || begun.iter().any(|one| one.uri == left.uri) {
                continue;
            }
            for begun in &begun {
                let is_higher = begun.class >= left.class || self.counts_as(begun, left.class);
                assert!(is_higher, "{:?} before {:?}", begun.class, left.class);
            }
        }
    }

    fn begin(&mut self, start: NewAttempt) {
        let id = start.message.id;
        let one = self.waiting.remove(&id).unwrap();
        let waited = self.now.since(one.since);
        assert!(waited < TEN_MINUTES, "{:?} waited {waited:?}", one.class);
        let is_free = !self.flights.values().any(|flight| flight.uri == one.uri);
        assert!(is_free, "two in flight");
        let account = &start.message.contents.account;
        let entry = |id: &MessageId| &self.board.entries[id];
        let overtaken = self.waiting.iter().take_while(|(other, _)| **other < id);
        let mut overtaken = overtaken.filter(|(other, waiting)| {
            waiting.uri == one.uri && waiting.class == one.class && entry(other).account == *account
        });
        assert!(overtaken.next().is_none(), "overtaken within its class");
        *self.begun.entry(one.class).or_default() += 1;
        self.board.sending(start.key, self.steady);
        let takes = Duration::from_millis(self.rng.random_range(1_000..3_000));
        let flight = Flight {
            class: one.class,
            uri: one.uri,
            until: self.now.plus(takes),
        };
        self.flights.insert(start.key, flight);
    }
}

#[test]
fn higher_classes_go_first_and_none_starves_in_ten_minutes() {
    for seed in 0..SEEDS {
        let mut life = Life::new(seed);
        let steps = TEN_MINUTES.as_millis() / STEP.as_millis();
        for _ in 0..steps {
            life.step(true);
        }
        for class in Priority::ALL {
            let begun = life.begun.get(&class).copied().unwrap_or(0);
            assert!(begun > 100, "seed {seed}: {begun} of {class:?}");
        }
        while !life.waiting.is_empty() {
            life.step(false);
        }
    }
}
