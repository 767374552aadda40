//! Fleets of replicas that come, stand still, die and leave, at a database that takes its time.
//!
//! Each statement arrives some time after it was sent, and its answer some time after that. A
//! replica that stands still does nothing; what it has sent arrives. Messages go to a few targets
//! that all replicas send to.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use super::{FoundReplicas, Inquiry, Membership, Renewal};

const SEEDS: u64 = 1_000;
const LEASE: u64 = 1_000;
const TARGETS: usize = 3;
/// How long chance has its way, and how long everything is well after that.
const CHAOS: u64 = 10_000;
const CALM: u64 = 6_000;

#[derive(Debug, Default)]
struct Row {
    lease_until: u64,
    knows: i64,
    is_fenced: bool,
}

/// What all replicas see: their rows, and whose the open messages to each target are.
#[derive(Debug, Default)]
struct Database {
    rows: BTreeMap<i64, Row>,
    lanes: BTreeMap<usize, (i64, u64)>,
}

/// A statement on its way, or its answer.
#[derive(Clone, Debug)]
enum Statement {
    Enter(Option<i64>),
    Renew(Renewal, Option<FoundReplicas>),
    Check(i64, bool),
    Ask(Inquiry, bool),
    Write(i64, Vec<Message>),
    TakeOver(i64, Vec<(usize, u64)>),
}

#[derive(Clone, Debug)]
struct Trip {
    arrives: u64,
    answered: u64,
    before: u64,
    has_arrived: bool,
    statement: Statement,
}

#[derive(Clone, Copy, Debug, Default)]
struct Message {
    id: u64,
    target: usize,
    is_early: bool,
    is_sent: bool,
    has_ended: bool,
    is_durable: bool,
    is_refused: bool,
}

/// A request on the wire.
#[derive(Debug)]
struct Flight {
    message: u64,
    target: usize,
    replica: usize,
    number: i64,
    ends: u64,
    /// The lease of its sender was over since it was sent.
    is_over: bool,
}

struct Replica {
    membership: Option<Membership>,
    /// Its clock is ahead of the database's by so much.
    ahead: u64,
    still_until: u64,
    is_gone: bool,
    renew_at: u64,
    lease_trip: Option<Trip>,
    writer_trip: Option<Trip>,
    messages: Vec<Message>,
}

#[derive(Debug, Default)]
struct Seen {
    early: u64,
    joins_beside_early: u64,
    stalls_while_alone: u64,
    deaths_while_alone: u64,
    taken_over: u64,
}

struct World {
    rng: SmallRng,
    now: u64,
    begun: Instant,
    database: Database,
    replicas: Vec<Replica>,
    wire: Vec<Flight>,
    next: u64,
    seen: Seen,
    seed: u64,
}

impl Database {
    fn holds(&self, number: i64, now: u64) -> bool {
        let row = self.rows.get(&number);
        row.is_some_and(|row| !row.is_fenced && row.lease_until > now)
    }

    fn arrive(&mut self, statement: &mut Statement, now: u64) {
        match statement {
            Statement::Enter(number) => {
                let new = self.rows.keys().last().unwrap_or(&0) + 1;
                let lease_until = now + LEASE;
                let row = Row {
                    lease_until,
                    ..Row::default()
                };
                self.rows.insert(new, row);
                *number = Some(new);
            }
            Statement::Renew(renewal, found) => {
                let Some(row) = self.rows.get_mut(&renewal.number) else {
                    return;
                };
                if row.is_fenced {
                    return;
                }
                row.lease_until = now + LEASE;
                row.knows = row.knows.max(renewal.knows);
                *found = Some(FoundReplicas {
                    newest: *self.rows.keys().last().unwrap(),
                    has_others: self
                        .rows
                        .iter()
                        .any(|(number, row)| *number != renewal.number && !row.is_fenced),
                });
            }
            Statement::Check(me, is_free) => {
                let mut others = self.rows.range(..*me);
                *is_free = others
                    .all(|(_, row)| row.is_fenced || row.lease_until < now || row.knows >= *me);
            }
            Statement::Ask(inquiry, owns_all) => {
                let mut owners = self.lanes.values();
                *owns_all = owners.all(|(owner, _)| *owner == inquiry.number);
            }
            Statement::Write(me, messages) => {
                let is_fenced = self.rows[me].is_fenced;
                for message in messages {
                    message.is_refused |= is_fenced;
                    if !is_fenced {
                        self.write(*me, message);
                    }
                }
            }
            Statement::TakeOver(me, taken) => self.take_over(*me, taken, now),
        }
    }

    fn write(&mut self, me: i64, message: &mut Message) {
        let lane = self.lanes.get(&message.target).copied();
        let is_mine = lane.is_none_or(|(owner, _)| owner == me);
        let is_there = lane.is_some_and(|(_, id)| id == message.id);
        if message.is_durable {
            // Its end.
            if is_there && is_mine {
                self.lanes.remove(&message.target);
            }
        } else if lane.is_some() {
            message.is_refused = !is_there;
        } else if !message.has_ended {
            self.lanes.insert(message.target, (me, message.id));
        }
    }

    fn take_over(&mut self, me: i64, taken: &mut Vec<(usize, u64)>, now: u64) {
        for (number, row) in &mut self.rows {
            row.is_fenced |= *number != me && row.lease_until < now;
        }
        for (target, (owner, id)) in &mut self.lanes {
            if *owner != me && self.rows[owner].is_fenced {
                *owner = me;
                taken.push((*target, *id));
            }
        }
    }
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            rng: SmallRng::seed_from_u64(seed),
            now: 0,
            begun: crate::clock::now(),
            database: Database::default(),
            replicas: Vec::new(),
            wire: Vec::new(),
            next: 0,
            seen: Seen::default(),
            seed,
        }
    }

    fn run(mut self) -> Seen {
        self.come();
        while self.now < CHAOS {
            self.chance();
            self.turn();
        }
        for replica in &mut self.replicas {
            replica.still_until = 0;
        }
        let end = self.now + CALM;
        while self.now < end {
            self.turn();
        }
        let left: Vec<_> = self.replicas.iter().filter(|one| !one.is_gone).collect();
        for replica in &left {
            let membership = replica.membership.as_ref().unwrap();
            assert!(
                membership.has_joined(),
                "seed {}: {membership:?}",
                self.seed
            );
            let clock = self.begun + Duration::from_millis(self.now + replica.ahead);
            let is_alone = membership.is_alone(clock);
            assert_eq!(
                is_alone,
                left.len() == 1,
                "seed {}: {membership:?}",
                self.seed
            );
        }
        self.seen
    }

    /// A replica comes, stands still, dies or leaves.
    fn chance(&mut self) {
        let living = self.replicas.iter().filter(|one| !one.is_gone).count();
        if living < 3 && self.rng.random_bool(0.01 / living.max(1) as f64) {
            self.come();
        }
        let at = self.rng.random_range(0..self.replicas.len());
        let still = self.rng.random_range(1..3 * LEASE);
        let clock = self.clock(at);
        let replica = &mut self.replicas[at];
        let is_alone = replica
            .membership
            .as_ref()
            .is_some_and(|one| one.is_alone(clock));
        if replica.is_gone {
            return;
        }
        if self.rng.random_bool(0.004) {
            replica.still_until = self.now + still;
            self.seen.stalls_while_alone += u64::from(is_alone);
        } else if self.rng.random_bool(0.002) {
            replica.is_gone = true;
            self.seen.deaths_while_alone += u64::from(is_alone);
        }
    }

    fn come(&mut self) {
        let ahead = self.rng.random_range(0..10 * LEASE);
        self.replicas.push(Replica {
            membership: None,
            ahead,
            still_until: 0,
            is_gone: false,
            renew_at: 0,
            lease_trip: None,
            writer_trip: None,
            messages: Vec::new(),
        });
    }

    fn clock(&self, at: usize) -> Instant {
        self.begun + Duration::from_millis(self.now + self.replicas[at].ahead)
    }

    /// A few milliseconds go by.
    fn turn(&mut self) {
        self.now += self.rng.random_range(1..8);
        for flight in &mut self.wire {
            flight.is_over |= !self.database.holds(flight.number, self.now);
        }
        for at in 0..self.replicas.len() {
            self.deliver(at);
            if self.replicas[at].is_gone || self.replicas[at].still_until > self.now {
                continue;
            }
            self.hear(at);
            self.renew(at);
            self.work(at);
        }
        let ended: Vec<_> = self
            .wire
            .extract_if(.., |one| one.ends <= self.now)
            .collect();
        for flight in ended {
            let messages = &mut self.replicas[flight.replica].messages;
            for message in messages.iter_mut().filter(|one| one.id == flight.message) {
                message.has_ended = true;
            }
        }
    }

    /// What a replica has sent arrives at the database, whatever became of the replica.
    fn deliver(&mut self, at: usize) {
        let replica = &mut self.replicas[at];
        for trip in [&mut replica.lease_trip, &mut replica.writer_trip] {
            if let Some(trip) = trip
                && !trip.has_arrived
                && trip.arrives <= self.now
            {
                trip.has_arrived = true;
                self.database.arrive(&mut trip.statement, self.now);
            }
        }
    }

    /// A replica takes the answers that have come.
    fn hear(&mut self, at: usize) {
        let now = self.now;
        let is_here = |trip: &mut Trip| trip.has_arrived && trip.answered <= now;
        let lease = self.replicas[at].lease_trip.take_if(is_here);
        let writer = self.replicas[at].writer_trip.take_if(is_here);
        for trip in lease.into_iter().chain(writer) {
            self.answered(at, trip);
        }
    }

    fn answered(&mut self, at: usize, trip: Trip) {
        let clock = self.clock(at);
        let asked = self.begun + Duration::from_millis(trip.before + self.replicas[at].ahead);
        let early = self.wire.iter().filter(|one| !one.is_over).count() as u64;
        let replica = &mut self.replicas[at];
        match (trip.statement, &mut replica.membership) {
            (Statement::Enter(Some(number)), Some(membership)) => {
                membership.rejoin(number, asked);
                // What it held is another's; what is in flight ends as it may.
                for message in &mut replica.messages {
                    message.is_refused = true;
                }
            }
            (Statement::Enter(Some(number)), new) => {
                let length = Duration::from_millis(LEASE);
                *new = Some(Membership::joining(number, length, asked));
            }
            (Statement::Renew(renewal, Some(found)), Some(membership)) => {
                membership.renewed(renewal, found, clock);
            }
            (Statement::Renew(..), Some(_)) => {
                replica.lease_trip =
                    Some(Self::trip(&mut self.rng, self.now, Statement::Enter(None)));
            }
            (Statement::Check(number, true), Some(membership)) => {
                self.seen.joins_beside_early += u64::from(early > 0);
                membership.joined(number);
            }
            (Statement::Ask(inquiry, true), Some(membership)) => {
                membership.owns_all(inquiry, clock);
            }
            (Statement::Write(number, written), Some(membership)) => {
                let is_same = number == membership.number();
                written
                    .into_iter()
                    .for_each(|one| self.written(at, one, is_same));
            }
            (Statement::TakeOver(number, taken), Some(membership)) => {
                if number == membership.number() {
                    self.seen.taken_over += taken.len() as u64;
                    replica
                        .messages
                        .extend(taken.into_iter().map(|(target, id)| Message {
                            id,
                            target,
                            is_durable: true,
                            ..Message::default()
                        }));
                }
            }
            (_, _) => {}
        }
    }

    fn written(&mut self, at: usize, written: Message, is_same: bool) {
        let flight = self.wire.iter().find(|one| one.message == written.id);
        if written.is_refused && written.is_early {
            let is_excused = flight.is_none_or(|one| one.is_over);
            assert!(
                is_excused || !is_same,
                "seed {}: {written:?} is sent twice",
                self.seed
            );
        }
        let messages = &mut self.replicas[at].messages;
        let is_over = written.has_ended || !is_same;
        let in_flight = |one: &Message| one.is_sent && !one.has_ended;
        messages.retain(|one| {
            one.id != written.id || (!is_over && !written.is_refused) || in_flight(one)
        });
        for message in messages.iter_mut().filter(|one| one.id == written.id) {
            message.is_durable = !written.is_refused;
            message.is_refused = written.is_refused;
        }
    }

    fn trip(rng: &mut SmallRng, now: u64, statement: Statement) -> Trip {
        let mut takes = || match rng.random_range(0..40) {
            0 if now < CHAOS => rng.random_range(0..2 * LEASE),
            _ => rng.random_range(1..30),
        };
        let arrives = now + takes();
        Trip {
            arrives,
            answered: arrives + takes(),
            before: now,
            has_arrived: false,
            statement,
        }
    }

    /// The session that renews the lease.
    fn renew(&mut self, at: usize) {
        let clock = self.clock(at);
        let replica = &mut self.replicas[at];
        if replica.lease_trip.is_some() {
            return;
        }
        let statement = match &replica.membership {
            None => Statement::Enter(None),
            Some(one) if replica.renew_at <= self.now || one.has_news(clock) => {
                replica.renew_at = self.now + LEASE / 3;
                Statement::Renew(one.renewal(clock), None)
            }
            Some(one) if !one.has_joined() => Statement::Check(one.number(), false),
            Some(one) => match one.inquiry(clock) {
                Some(inquiry) => Statement::Ask(inquiry, false),
                None => return,
            },
        };
        replica.lease_trip = Some(Self::trip(&mut self.rng, self.now, statement));
    }

    /// The dispatcher: clients, agents, and the session that writes.
    fn work(&mut self, at: usize) {
        let clock = self.clock(at);
        self.take_in(at, clock);
        let is_valid = |one: &Membership| one.has_joined() && one.is_valid(clock);
        if self.replicas[at].membership.as_ref().is_some_and(is_valid) {
            self.send_durable(at);
        }
        let replica = &mut self.replicas[at];
        let in_flight = |one: &Message| one.is_sent && !one.has_ended;
        replica
            .messages
            .retain(|one| !one.is_refused || in_flight(one));
        let Some(membership) = &mut replica.membership else {
            return;
        };
        let is_unsettled = |one: &Message| one.is_early && (!one.is_durable || one.is_refused);
        if !replica.messages.iter().any(is_unsettled) {
            membership.settled();
        }
        if replica.writer_trip.is_some() || !is_valid(membership) {
            return;
        }
        let is_new = |one: &&Message| !one.is_refused && (!one.is_durable || one.has_ended);
        let new: Vec<_> = replica.messages.iter().filter(is_new).copied().collect();
        let number = membership.number();
        let statement = if !new.is_empty() {
            Statement::Write(number, new)
        } else if membership.is_steady(clock) && self.rng.random_bool(0.1) {
            Statement::TakeOver(number, Vec::new())
        } else {
            return;
        };
        replica.writer_trip = Some(Self::trip(&mut self.rng, self.now, statement));
    }

    /// A client posts a message, one to a target at a time.
    fn take_in(&mut self, at: usize, clock: Instant) {
        let target = self.rng.random_range(0..TARGETS);
        let replica = &mut self.replicas[at];
        let is_busy = replica.messages.iter().any(|one| one.target == target);
        let Some(membership) = &mut replica.membership else {
            return;
        };
        if is_busy || !membership.has_joined() || self.rng.random_bool(0.7) {
            return;
        }
        self.next += 1;
        let (id, number, is_early) = (self.next, membership.number(), membership.send_early(clock));
        replica.messages.push(Message {
            id,
            target,
            is_early,
            is_sent: is_early,
            ..Message::default()
        });
        if is_early {
            self.seen.early += 1;
            self.send(at, number, target, id);
        }
    }

    fn send_durable(&mut self, at: usize) {
        for target in 0..TARGETS {
            let replica = &mut self.replicas[at];
            let mut of_target = replica.messages.iter().filter(|one| one.target == target);
            if of_target.any(|one| one.is_sent && !one.has_ended) {
                continue;
            }
            let may = |one: &&mut Message| {
                one.target == target && one.is_durable && !one.is_sent && !one.is_refused
            };
            if let Some(message) = replica.messages.iter_mut().find(may) {
                message.is_sent = true;
                let (id, number) = (message.id, replica.membership.as_ref().unwrap().number());
                self.send(at, number, target, id);
            }
        }
    }

    /// Never two in flight to one target, but for what a replica sent whose lease is over since.
    fn send(&mut self, at: usize, number: i64, target: usize, message: u64) {
        for other in self.wire.iter().filter(|one| one.target == target) {
            let is_excused = other.is_over && other.replica != at;
            assert!(
                is_excused,
                "seed {}: {message} beside {other:?} at {}",
                self.seed, self.now
            );
        }
        let ends = self.now
            + match self.rng.random_range(0..10) {
                0 => self.rng.random_range(0..2 * LEASE),
                _ => self.rng.random_range(1..40),
            };
        self.wire.push(Flight {
            message,
            target,
            replica: at,
            number,
            ends,
            is_over: false,
        });
    }
}

#[test]
fn no_two_replicas_send_to_one_target_at_once_while_others_come_stand_still_and_go() {
    let mut seen = Seen::default();
    for seed in 0..SEEDS {
        let of_seed = World::new(seed).run();
        seen.early += of_seed.early;
        seen.joins_beside_early += of_seed.joins_beside_early;
        seen.stalls_while_alone += of_seed.stalls_while_alone;
        seen.deaths_while_alone += of_seed.deaths_while_alone;
        seen.taken_over += of_seed.taken_over;
    }
    // Chance has brought about what it is about.
    let Seen {
        early,
        joins_beside_early,
        stalls_while_alone,
        deaths_while_alone,
        taken_over,
    } = seen;
    let least = [
        early,
        joins_beside_early,
        stalls_while_alone,
        deaths_while_alone,
        taken_over,
    ];
    assert!(least.iter().all(|count| *count > SEEDS / 20), "{seen:?}");
}
