//! The board through whole lives: time, chance, agents that come and go, a store that fails, and
//! ends of the process and of its lease, all drawn from a seed. Whatever happens, these hold:
//!
//! * No target has two requests in flight, and none that waited longer in its lane is overtaken by
//!   another one of its class.
//! * A head waits only for what it needs: its time, a slot, or what is in flight to its target.
//! * No message is being sent when its time is over.
//! * What may not be sent twice is written when its record is durable, and what was asked for with
//!   a key when it is known not to have been asked for before.
//! * Every message that was taken in ends exactly once, and nothing is told of it afterwards.
//! * Its events are `sending`, `deferred` by turns; attempts are bounded.
//! * When all have ended the board is empty, and every slot was given back.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use uuid::Uuid;

use super::super::quota::Quota;
use super::records::record;
use super::*;
use crate::clock;
use crate::message::{
    Answer, Contents, HeaderMap, Outcome, RequestView, ResponseView, Unknown, What,
};
use crate::pool::Pool;
use crate::store::Record;

/// Lives simulated by one run of the test.
const SEEDS: u64 = 300;
/// Messages handed in during one.
const MESSAGES: u64 = 60;
/// Turns after which something has gone wrong.
const MAX_TURNS: u32 = 20_000;
const ACCOUNTS: [&str; 2] = ["sip:alice@example.com", "sip:carol@example.com"];
const AGENTS: u32 = 4;
const CAPACITY: u32 = 2;
/// Of the four slots of each account one is kept.
const RESERVED: f64 = 0.3;

/// A message as the store knows it.
struct Kept {
    message: Arc<Message>,
    status: Status,
    attempt: u32,
    not_before: Option<Timestamp>,
    /// How often the process ended, or lost it to others, while it was being sent.
    deaths: u32,
}

/// An attempt, from its `sending` on.
struct Flight {
    message: Arc<Message>,
    agent: AgentIndex,
}

/// A message that is being taken in.
struct Offer {
    message: Arc<Message>,
    /// Asked for with a key.
    may_repeat: bool,
}

struct Life {
    rng: SmallRng,
    now: Timestamp,
    /// The same moment on the clock that only goes forward.
    steady: Instant,
    board: Board,
    pool: Pool,
    store: BTreeMap<MessageId, Kept>,
    handed_in: u64,
    offered: Vec<Offer>,
    /// Records for the next commit, and the attempt that follows from one.
    gathered: Vec<(Record, Option<(AttemptKey, AgentIndex)>)>,
    is_failing: bool,
    /// The last commit went through.
    is_well: bool,
    /// Targets of ends that are not durable yet.
    uncommitted: HashSet<Arc<str>>,
    loads: Vec<MessageId>,
    flights: HashMap<AttemptKey, Flight>,
    up: HashSet<AgentIndex>,
    /// Clients with a share of the room.
    clients: [Arc<Quota>; 2],
    /// The newest message of each class on its way in each lane that was not scheduled.
    newest: HashMap<(Lane, Priority), MessageId>,
}

impl Life {
    fn new(seed: u64) -> Self {
        Self {
            rng: SmallRng::seed_from_u64(seed),
            now: Timestamp::from_millis(1_800_000_000_000),
            steady: clock::now(),
            board: Self::board(),
            pool: Self::new_pool(),
            store: BTreeMap::new(),
            handed_in: 0,
            offered: Vec::new(),
            gathered: Vec::new(),
            is_failing: false,
            is_well: false,
            uncommitted: HashSet::new(),
            loads: Vec::new(),
            flights: HashMap::new(),
            up: HashSet::new(),
            clients: Default::default(),
            newest: HashMap::new(),
        }
    }

    fn board() -> Board {
        let backoff = Backoff {
            min: Duration::from_millis(500),
            max: Duration::from_secs(8),
        };
        // Room for a few contents only: the others are read when their turn comes.
        Board::new(backoff, 3 * size_of::<Message>())
    }

    /// Two agents for each account, of which one has a rate. None is registered yet.
    fn new_pool() -> Pool {
        let mut pool = Pool::new(RESERVED);
        for (account, rate) in ACCOUNTS.into_iter().zip([None, Some(5.0)]) {
            pool.add_account(&account.into(), rate);
        }
        for index in 0..AGENTS {
            let account = Self::account_of(AgentIndex(index));
            pool.add_agent(AgentIndex(index), &account, CAPACITY);
        }
        pool
    }

    fn account_of(agent: AgentIndex) -> Arc<str> {
        ACCOUNTS[agent.0 as usize % 2].into()
    }

    fn step(&mut self) {
        match self.rng.random_range(0..100) {
            0..40 => self.end_attempt(),
            40..55 => self.agent_changes(),
            55..65 => self.contents_are_read(),
            65..69 => self.cancel(),
            69..70 => self.process_ends(),
            70..72 => self.lease_is_lost(),
            _ => self.time_passes(),
        }
        self.turn();
    }

    /// What the dispatcher does each time it is woken.
    fn turn(&mut self) {
        let jitter = self.rng.random();
        self.board
            .handle_timeout(&self.pool, |_| None, self.now, self.steady, jitter);
        self.check_times();
        self.collect();
        while self.handed_in < MESSAGES && self.rng.random_bool(0.2) {
            let message = Arc::new(self.message());
            self.handed_in += 1;
            let may_repeat = self.rng.random_bool(0.2);
            // Of one of two clients with a share, or of another one.
            let client = self.clients.get(self.rng.random_range(0..3));
            let permits = client.and_then(|client| client.take(1, usize::MAX));
            for permit in permits.into_iter().flatten() {
                self.board.hold(message.id, permit);
            }
            self.board.offer(message.clone(), may_repeat, self.now);
            self.offered.push(Offer {
                message,
                may_repeat,
            });
        }
        if !self.is_failing {
            let starts = self.board.pump(&mut self.pool, self.steady);
            self.begin(starts);
            self.collect();
            self.check_none_is_held_up();
        }
        // A commit takes its time: attempts end, and others begin, while one is under way.
        if self.rng.random_bool(0.5) {
            self.commit();
            self.collect();
        }
    }

    /// Nothing that could begin waits after the board was pumped.
    fn check_none_is_held_up(&self) {
        for ((uri, account), lane) in self.board.lanes.iter() {
            let head = &self.board.entries[&lane.head().id];
            if self.board.lanes.is_busy(uri) {
                continue;
            }
            let busy = self.pool.busy(account.as_ref(), head.class, self.steady);
            let has_slot = busy.is_none();
            match head.phase {
                Phase::Ready(_) => assert!(!has_slot, "held up although there is a slot"),
                Phase::Waiting => assert!(head.not_before.is_some_and(|time| time > self.now)),
                Phase::Ending(_) => {}
                phase => panic!("{phase:?} although nothing is in flight"),
            }
        }
    }

    fn check_times(&self) {
        for entry in self.board.entries.values() {
            let is_sent = matches!(entry.phase, Phase::Sending(_));
            assert!(!is_sent || entry.expires_at > self.now, "sent for too long");
        }
    }

    fn message(&mut self) -> Message {
        let number = self.handed_in;
        let (rng, now) = (&mut self.rng, self.now);
        let wait = Duration::from_millis(rng.random_range(1..20_000));
        let send_at = rng.random_bool(0.15).then(|| now.plus(wait));
        let ttl = Duration::from_secs(rng.random_range(1..120));
        let account = match rng.random_range(0..3) {
            2 => None,
            at => Some(ACCOUNTS[at].into()),
        };
        let contents = Contents {
            uri: format!("sip:user{}@example.com", rng.random_range(0..5)).into(),
            account,
            ttl,
            send_at,
            attempts: rng.random_range(1..5),
            on_unknown: if rng.random() {
                OnUnknown::Resend
            } else {
                OnUnknown::Fail
            },
            priority: match rng.random_range(0..8) {
                at @ 0..4 => Some(Priority::ALL[at]),
                _ => None,
            },
            ..Contents::default()
        };
        let millis = u64::try_from(now.as_millis()).unwrap();
        let id = MessageId::new(Uuid::from_u64_pair(millis << 16 | 0x7000, number | 1 << 63));
        contents.accept(id, now, None)
    }

    fn begin(&mut self, starts: Vec<NewAttempt>) {
        for start in starts {
            let (key, agent) = (start.key, start.agent);
            let request = RequestView {
                method: "MESSAGE",
                uri: start.message.contents.uri.clone(),
                call_id: String::new(),
                cseq: 1,
                headers: HeaderMap::default(),
                truncated: false,
            };
            let what = What::Sending { request };
            let event = event(&start.message, start.attempt, None, what, self.now);
            let is_settled = !self.uncommitted.contains(&start.message.contents.uri);
            let early = self.is_well && is_settled && start.may_precede_record;
            let follows = (!early).then_some((key, agent));
            self.gathered.push((record(event, None), follows));
            if early {
                self.transmit(key, start.message, agent);
            }
        }
    }

    fn collect(&mut self) {
        let work = self.board.take_work();
        for record in work.records {
            if record.status.is_final() {
                self.uncommitted.insert(record.event.uri.clone());
            }
            self.gathered.push((record, None));
        }
        self.loads.extend(work.loads);
        for slot in work.released {
            self.pool.release(slot);
            self.board.slot_freed(&Self::account_of(slot.agent));
        }
    }

    /// The store takes what was offered and gathered, or nothing of it.
    fn commit(&mut self) {
        let offered = std::mem::take(&mut self.offered);
        if self.rng.random_bool(0.05) {
            return self.commit_fails(&offered);
        }
        (self.is_failing, self.is_well) = (false, true);
        self.uncommitted.clear();
        let mut repeated = HashSet::new();
        for Offer {
            message,
            may_repeat,
        } in offered
        {
            if may_repeat && self.rng.random_bool(0.3) {
                self.board.withdraw(message.id, self.now);
                repeated.insert(message.id);
                continue;
            }
            let scheduled = message.contents.send_at.is_some_and(|time| time > self.now);
            let kept = Kept {
                message: message.clone(),
                status: if scheduled {
                    Status::Scheduled
                } else {
                    Status::Queued
                },
                attempt: 0,
                not_before: message.contents.send_at,
                deaths: 0,
            };
            assert!(self.store.insert(message.id, kept).is_none());
            self.board.confirm(message.id);
        }
        for (record, follows) in std::mem::take(&mut self.gathered) {
            let id = record.event.message_id;
            if repeated.contains(&id) {
                match follows {
                    Some((key, _)) => self.board.superseded(key, self.now),
                    // Its time was over before it could be known.
                    None => assert_eq!(record.status, Status::Failed, "sent again"),
                }
                continue;
            }
            self.keep(&record);
            if let Some((key, agent)) = follows {
                let message = self.store[&id].message.clone();
                if !self.board.lapsed(key, self.now) {
                    self.transmit(key, message, agent);
                }
            }
        }
    }

    fn commit_fails(&mut self, offered: &[Offer]) {
        self.is_well = false;
        let refused: HashSet<_> = offered.iter().map(|offer| offer.message.id).collect();
        for id in &refused {
            self.board.withdraw(*id, self.now);
        }
        for (record, follows) in std::mem::take(&mut self.gathered) {
            match follows {
                _ if !refused.contains(&record.event.message_id) => {
                    self.gathered.push((record, follows));
                }
                Some((key, _)) => self.board.superseded(key, self.now),
                // It went out early, and its client will ask again.
                None => {}
            }
        }
        self.is_failing = !self.gathered.is_empty();
    }

    /// A record is durable: it must follow from what was durable before.
    fn keep(&mut self, record: &Record) {
        let event = &record.event;
        let kept = self.store.get_mut(&event.message_id).unwrap();
        assert!(!kept.status.is_final(), "told of after its end");
        match event.what {
            What::Sending { .. } => {
                assert_ne!(kept.status, Status::Sending, "begun twice at once");
                let deaths = kept.deaths;
                assert!(deaths == 0 || kept.message.contents.on_unknown == OnUnknown::Resend);
                assert_eq!(event.attempt, kept.attempt + 1);
                let most = kept.message.contents.attempts + kept.deaths;
                assert!(event.attempt <= most, "attempt {}", event.attempt);
                assert!(kept.not_before.is_none_or(|time| time <= self.now));
            }
            What::Deferred { .. } | What::Succeeded { .. } => {
                assert_eq!(
                    (kept.status, kept.attempt),
                    (Status::Sending, event.attempt)
                );
            }
            What::Failed { .. } => assert_eq!(kept.attempt, event.attempt),
            What::Received(_) | What::Receipt { .. } => panic!("nothing came in"),
            What::AgentUp { .. } | What::AgentDown { .. } => panic!("not of a message"),
        }
        kept.status = record.status;
        kept.attempt = event.attempt;
        kept.not_before = record.not_before;
    }

    fn transmit(&mut self, key: AttemptKey, message: Arc<Message>, agent: AgentIndex) {
        self.board.sending(key, clock::now());
        let id = message.id;
        let kept = self.store.get(&id).map(|kept| kept.status);
        if message.contents.on_unknown == OnUnknown::Fail {
            assert_eq!(kept, Some(Status::Sending), "written before it was durable");
        }
        let to_same = |flight: &Flight| flight.message.contents.uri == message.contents.uri;
        assert!(!self.flights.values().any(to_same), "two in flight");
        if message.contents.send_at.is_none() {
            let lane = (
                message.contents.uri.clone(),
                message.contents.account.clone(),
            );
            let class = message.contents.class();
            let newest = self.newest.entry((lane, class)).or_insert(id);
            assert!(id >= *newest, "overtaken");
            *newest = id;
        }
        if self.up.contains(&agent) {
            self.flights.insert(key, Flight { message, agent });
        } else {
            // It lost its connection between the choice and the commit.
            self.ended(key, Outcome::NotWritten);
        }
    }

    fn end_attempt(&mut self) {
        let mut keys: Vec<_> = self.flights.keys().copied().collect();
        keys.sort_unstable();
        if keys.is_empty() {
            return;
        }
        let key = keys[self.rng.random_range(0..keys.len())];
        let outcome = match self.rng.random_range(0..10) {
            0..5 => self.answered(200, None),
            5 => self.answered(486, None),
            6 => self.answered(503, None),
            7 => self.answered(503, Some(Duration::from_secs(30))),
            8 => Outcome::Unknown(Unknown::Silent),
            _ => Outcome::NotWritten,
        };
        self.flights.remove(&key);
        self.ended(key, outcome);
    }

    fn answered(&self, status_code: u16, retry_after: Option<Duration>) -> Outcome {
        let response = ResponseView {
            status_code,
            reason_phrase: String::new(),
            headers: HeaderMap::default(),
            truncated: false,
        };
        Outcome::Answered(Answer {
            response,
            retry_after,
            is_bare: false,
        })
    }

    fn ended(&mut self, key: AttemptKey, outcome: Outcome) {
        let jitter = self.rng.random();
        self.board.ended(key, outcome, None, self.now, jitter);
    }

    /// An agent registers, or loses its connection and with it what it had in flight.
    fn agent_changes(&mut self) {
        let agent = AgentIndex(self.rng.random_range(0..AGENTS));
        if self.up.insert(agent) {
            self.pool.up(agent);
            return self.board.slot_freed(&Self::account_of(agent));
        }
        if self.rng.random_bool(0.7) {
            return;
        }
        self.up.remove(&agent);
        self.pool.down(agent);
        self.board.slot_freed(&Self::account_of(agent));
        let mut lost: Vec<_> = self
            .flights
            .extract_if(|_, flight| flight.agent == agent)
            .map(|(key, _)| key)
            .collect();
        lost.sort_unstable();
        for key in lost {
            self.ended(key, Outcome::Unknown(Unknown::Disconnected));
        }
    }

    fn contents_are_read(&mut self) {
        for id in std::mem::take(&mut self.loads) {
            let message = self.store[&id].message.clone();
            let jitter = self.rng.random();
            let starts = self
                .board
                .loaded(id, Some(message), !self.is_failing, self.now, jitter);
            if self.rng.random_bool(0.1) {
                // The agent that was to send it has ended meanwhile.
                for start in starts {
                    self.board.unstarted(start.key, self.now);
                }
            } else {
                self.begin(starts);
            }
        }
    }

    fn cancel(&mut self) {
        let ids: Vec<_> = self.store.keys().copied().collect();
        if ids.is_empty() {
            return;
        }
        let id = ids[self.rng.random_range(0..ids.len())];
        // But for an attempt of before the lease was lost: the message is not its any more.
        let is_flying = self.flights.iter().any(|(key, flight)| {
            flight.message.id == id && self.board.attempts.get(*key).unwrap().abandoned.is_none()
        });
        let canceled = self.board.cancel(id, self.now);
        assert!(canceled != Cancel::Canceled || !is_flying);
    }

    /// The process ends, and another takes over what is durable.
    fn process_ends(&mut self) {
        self.board = Self::board();
        self.pool = Self::new_pool();
        self.offered.clear();
        self.gathered.clear();
        self.uncommitted.clear();
        self.loads.clear();
        self.flights.clear();
        self.up.clear();
        (self.is_failing, self.is_well) = (false, false);
        for kept in self.store.values_mut() {
            kept.deaths += u32::from(kept.status == Status::Sending);
        }
        self.claim_all();
    }

    /// The replica was silent for too long, and is given back what it had; others were at some of
    /// it meanwhile. It claims nothing while there is something to take in or to record.
    fn lease_is_lost(&mut self) {
        if !self.gathered.is_empty() || !self.offered.is_empty() {
            return;
        }
        let is_sent = |kept: &&mut Kept| {
            kept.status == Status::Sending && kept.message.contents.on_unknown == OnUnknown::Resend
        };
        for kept in self.store.values_mut().filter(is_sent) {
            if self.rng.random() {
                kept.status = Status::Queued;
                kept.deaths += 1;
                kept.not_before = Some(self.now.plus(Duration::from_millis(700)));
            }
        }
        self.claim_all();
    }

    fn claim_all(&mut self) {
        let is_open = |kept: &&Kept| !kept.status.is_final();
        for kept in self.store.values().filter(is_open) {
            let message = &kept.message;
            let claimed = Claimed {
                id: message.id,
                uri: message.contents.uri.clone(),
                account: message.contents.account.clone(),
                status: kept.status,
                attempt: kept.attempt,
                attempts: message.contents.attempts,
                on_unknown: message.contents.on_unknown,
                not_before: kept.not_before,
                expires_at: message.expires_at,
                priority: message.contents.class(),
            };
            self.board.claim(claimed, self.now);
        }
    }

    fn time_passes(&mut self) {
        let most = Duration::from_millis(self.rng.random_range(1..3_000));
        let next = self
            .board
            .deadline()
            .map_or(most, |time| time.since(self.now));
        let steady = self.board.steady_deadline();
        let steady = steady.map_or(most, |at| at.saturating_duration_since(self.steady));
        let passed = next.min(steady).min(most);
        self.now = self.now.plus(passed);
        self.steady += passed;
    }

    fn is_over(&self) -> bool {
        let has_ended = |kept: &Kept| kept.status.is_final();
        self.handed_in == MESSAGES
            && self.offered.is_empty()
            && self.gathered.is_empty()
            && self.flights.is_empty()
            && self.store.values().all(has_ended)
    }

    /// Nothing is left over.
    fn check_empty(&mut self) {
        let board = &self.board;
        assert_eq!(
            (board.len(), board.in_flight(), board.held_bytes),
            (0, 0, 0)
        );
        assert_eq!(board.by_class, [0; 4]);
        assert!(board.lanes.is_empty() && board.timers.is_empty());
        assert!(board.attempts.is_empty() && board.permits.is_empty());
        let since = |_| Timestamp::EPOCH;
        assert!(board.ready.first(since).is_none() && self.flights.is_empty());
        let much_later = self.steady + Duration::from_secs(3_600);
        for agent in 0..AGENTS {
            self.pool.up(AgentIndex(agent));
        }
        // As many slots as in a new pool, so none is lost and none was given back twice.
        let account = ACCOUNTS[0].into();
        let mut slots_for = |class| {
            let slot = || self.pool.take(Some(&account), class, None, much_later).ok();
            u32::try_from(std::iter::from_fn(slot).count()).unwrap()
        };
        let kept = 1;
        assert_eq!(slots_for(Priority::Normal), AGENTS / 2 * CAPACITY - kept);
        assert_eq!(slots_for(Priority::Urgent), kept);
    }
}

/// One life, from the first message to the last end.
fn live(seed: u64) {
    let mut life = Life::new(seed);
    for _ in 0..MAX_TURNS {
        if life.is_over() {
            return life.check_empty();
        }
        life.step();
    }
    let open = life.store.values().filter(|kept| !kept.status.is_final());
    let open: Vec<_> = open.map(|kept| (kept.status, kept.attempt)).collect();
    panic!(
        "{} of {MESSAGES} handed in, these wait for ever: {open:?}",
        life.handed_in
    );
}

#[test]
fn whatever_happens_every_message_ends_once_in_its_turn() {
    let given = std::env::var("SIPOST_SEED").ok();
    let seeds = match given.and_then(|seed| seed.parse().ok()) {
        Some(seed) => seed..seed + 1,
        None => 0..SEEDS,
    };
    for seed in seeds {
        if let Err(panic) = std::panic::catch_unwind(|| live(seed)) {
            eprintln!("to see this again: SIPOST_SEED={seed} cargo test --lib board::simulation");
            std::panic::resume_unwind(panic);
        }
    }
}
