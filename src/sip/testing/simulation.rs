//! Three user agents of one account, their registrar, and the wires between them, by the dice.
//!
//! Whatever happens: every request that was sent ends in exactly one outcome; to one target there
//! is never more than one on its way; no answer completes another's request; no nonce that expires
//! costs one that is signed rightly; REGISTERs do not
//! become a storm; a registration is never given up; and when it is all over, nothing is left that
//! would wake anybody.
//!
//! `SIPOST_SEED=7 cargo test --lib sip::testing::simulation` repeats the one world of seed 7.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::fixture::{epoch, message_to, settings};
use super::registrar::{MEANT_FOR, Registrar};
use super::wire::{Pipe, Weather};
use crate::sip::{
    Event, Outcome, OutgoingResponse, Output, ReceiveSettings, Settings, StatusCode, Transport,
    UserAgent, parse,
};

const SEEDS: u64 = 1_000;
const AGENTS: usize = 3;
const MESSAGES: u64 = 24;
const TARGETS: u64 = 5;

/// A refused REGISTER is asked again after a second at the earliest. At once come only the answers
/// to challenges and to a 423: [`crate::sip::digest::Rounds`] allows seven requests in a row, and
/// three demands for a longer expiry may each be met.
const MOST_REGISTERS_IN_A_SECOND: usize = 4 * 7 + 7;

/// What a world has to come to rest in, when its registrar is kind.
const PATIENCE: Duration = Duration::from_secs(1_200);

const CALM: Weather = Weather {
    delay: Duration::from_millis(20),
    damaged: 0,
};

#[test]
fn a_thousand_worlds_keep_every_promise() {
    if let Ok(seed) = std::env::var("SIPOST_SEED") {
        return run(seed.parse().expect("SIPOST_SEED is a number"));
    }
    let halves = [0, 1].map(|half| {
        std::thread::spawn(move || (0..SEEDS).filter(|seed| seed % 2 == half).for_each(run))
    });
    for half in halves {
        assert!(half.join().is_ok(), "see the seed above");
    }
}

#[test]
fn the_same_seed_makes_the_same_world() {
    for seed in 0..20 {
        let story = || {
            let mut world = World::new(seed);
            world.live();
            world.story
        };
        assert_eq!(story(), story(), "seed {seed}");
    }
}

fn run(seed: u64) {
    let _named = Named(seed);
    World::new(seed).live();
}

/// Says which world it was, if it ends badly.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let seed = self.0;
            eprintln!("to repeat it: SIPOST_SEED={seed} cargo test --lib sip::testing::simulation");
        }
    }
}

struct World {
    rng: StdRng,
    now: Instant,
    weather: Weather,
    registrar: Registrar,
    seats: Vec<Seat>,
    lanes: HashMap<String, Lane>,
    /// Call-ID and target of each key.
    sent: HashMap<u64, (String, String)>,
    ended: HashMap<u64, usize>,
    /// What happened, in a line each.
    story: Vec<String>,
}

struct Seat {
    agent: UserAgent,
    up: Pipe,
    down: Pipe,
    is_connected: bool,
    /// When the connection is cut or opened next.
    turn: Instant,
    registers: VecDeque<Instant>,
    has_left: bool,
}

#[derive(Default)]
struct Lane {
    waiting: VecDeque<u64>,
    open: Option<u64>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let now = epoch();
        let receive = match rng.random_range(0..2) {
            0 => None,
            _ => Some(ReceiveSettings::default()),
        };
        let seats = (0..AGENTS).map(|number| Seat {
            agent: UserAgent::new(
                Arc::new(Settings {
                    contact_user: format!("contact-{number}"),
                    instance_id: format!("00000000-0000-4000-8000-00000000000{number}"),
                    receive: receive.clone(),
                    ..settings()
                }),
                StdRng::from_rng(&mut rng),
            ),
            up: Pipe::default(),
            down: Pipe::default(),
            is_connected: false,
            turn: now,
            registers: VecDeque::new(),
            has_left: false,
        });
        let seats = seats.collect();
        let registrar = Registrar::new(now, &mut rng);
        let damaged = rng.random_range(0..100);
        let weather = Weather {
            delay: Duration::from_millis([5, 50, 500, 3_000][rng.random_range(0..4)]),
            // Damaged credentials are wrong, and an honest registrar says so.
            damaged: if registrar.honest { 0 } else { damaged },
        };
        let mut world = Self {
            rng,
            now,
            weather,
            registrar,
            seats,
            lanes: HashMap::new(),
            sent: HashMap::new(),
            ended: HashMap::new(),
            story: Vec::new(),
        };
        for key in 0..MESSAGES {
            let target = format!("sip:{}@example.com", world.rng.random_range(0..TARGETS));
            let call_id = format!("{:016x}", world.rng.random::<u64>());
            world
                .lanes
                .entry(target.clone())
                .or_default()
                .waiting
                .push_back(key);
            world.sent.insert(key, (call_id, target));
        }
        world
    }

    /// Bad times, then good ones, then the end.
    fn live(&mut self) {
        self.pass(Duration::from_secs(300), |_| false);
        self.registrar.kind = true;
        self.weather = CALM;
        self.pass(PATIENCE, |world| {
            let all_up = world.seats.iter().all(|seat| seat.agent.is_registered());
            all_up && world.ended.len() as u64 == MESSAGES
        });
        assert_eq!(
            self.ended.len() as u64,
            MESSAGES,
            "some message never ended"
        );
        for seat in &mut self.seats {
            assert!(seat.agent.is_registered(), "a registration was given up");
            seat.agent.unregister(self.now);
        }
        self.pass(PATIENCE, |world| {
            world.seats.iter().all(|seat| seat.has_left)
        });
        for seat in &mut self.seats {
            assert!(seat.has_left, "leaving never ended");
            seat.agent.handle_disconnected();
            assert!(seat.agent.poll().is_none());
            assert_eq!((seat.agent.deadline(), seat.agent.in_flight()), (None, 0));
        }
        assert!(self.ended.values().all(|times| *times == 1));
    }

    /// Lets time pass until something is so, or for as long as this.
    fn pass(&mut self, time: Duration, is_enough: impl Fn(&Self) -> bool) {
        let end = self.now + time;
        let mut turns = 0;
        while self.now < end && !is_enough(self) {
            turns += 1;
            assert!(turns < 200_000, "the world never rests");
            for number in 0..AGENTS {
                self.turn(number);
                self.listen(number);
                self.wake(number);
                self.drain(number);
            }
            self.dispatch();
            self.now = self.next().unwrap_or(end).clamp(self.now, end);
        }
    }

    /// When the next thing happens anywhere.
    fn next(&self) -> Option<Instant> {
        let times = self.seats.iter().flat_map(|seat| {
            let own = [Some(seat.turn), seat.agent.deadline()];
            let wire = [seat.up.due(), seat.down.due()];
            own.into_iter().chain(wire).flatten()
        });
        times.min()
    }

    /// Cuts or opens a connection whose time has come.
    fn turn(&mut self, number: usize) {
        let kind = self.registrar.kind;
        let seat = &mut self.seats[number];
        if seat.turn > self.now {
            return;
        }
        let seconds = self.rng.random_range(0.1..120.0);
        if seat.is_connected && !kind {
            seat.is_connected = false;
            seat.up.cut();
            seat.down.cut();
            seat.agent.handle_disconnected();
            seat.turn = self.now + Duration::from_secs_f64(seconds / 20.0);
        } else if seat.is_connected {
            seat.turn = self.now + PATIENCE;
        } else {
            seat.is_connected = true;
            seat.agent.handle_connected(self.now, Transport::Ws);
            seat.turn = self.now + Duration::from_secs_f64(seconds);
            let frame = self.registrar.speak(&mut self.rng);
            seat.down.send(self.now, frame, self.weather, &mut self.rng);
        }
    }

    /// Takes what comes out of the wires.
    fn listen(&mut self, number: usize) {
        let seat = &mut self.seats[number];
        while let Some(frame) = seat.up.receive(self.now) {
            for (pause, frame) in self.registrar.handle_frame(self.now, &frame, &mut self.rng) {
                let weather = Weather {
                    delay: self.weather.delay + pause,
                    ..self.weather
                };
                seat.down.send(self.now, frame, weather, &mut self.rng);
            }
        }
        while let Some(frame) = seat.down.receive(self.now) {
            seat.agent.handle_frame(self.now, &frame);
        }
    }

    fn wake(&mut self, number: usize) {
        let agent = &mut self.seats[number].agent;
        if agent.deadline().is_some_and(|at| at <= self.now) {
            agent.handle_timeout(self.now);
            assert!(
                agent.deadline().is_none_or(|at| at > self.now),
                "it wakes for nothing"
            );
        }
    }

    /// Takes everything an agent says.
    fn drain(&mut self, number: usize) {
        while let Some(output) = self.seats[number].agent.poll() {
            let seat = &mut self.seats[number];
            match output {
                Output::Transmit(frame) => {
                    assert!(seat.is_connected, "it writes to nobody");
                    self.story
                        .push(String::from_utf8_lossy(&frame).into_owned());
                    seat.count_register(self.now, &frame);
                    seat.up.send(self.now, frame, self.weather, &mut self.rng);
                }
                Output::Event(Event::Ended { key, outcome }) => self.end(key, &outcome),
                Output::Event(Event::Left) => seat.has_left = true,
                Output::Event(Event::Received(message)) => {
                    let status =
                        [StatusCode::OK, StatusCode::BUSY_HERE][self.rng.random_range(0..2)];
                    if self.rng.random_range(0..3) > 0 {
                        let answer = OutgoingResponse::of(status);
                        seat.agent
                            .answer(self.now, message.id, &answer)
                            .expect("it was just asked");
                    }
                }
                Output::Event(
                    Event::Registered { .. }
                    | Event::Unregistered
                    | Event::ChallengeRefused(_)
                    | Event::NotTaken(_)
                    | Event::RegistrationFailed { .. },
                ) => {}
            }
        }
    }

    fn end(&mut self, key: u64, outcome: &Outcome) {
        let (call_id, target) = &self.sent[&key];
        self.story.push(format!("{key} ended: {outcome:?}"));
        *self.ended.entry(key).or_default() += 1;
        assert_eq!(self.ended[&key], 1, "{key} ended twice");
        let lane = self.lanes.get_mut(target).expect("it was sent to somebody");
        assert_eq!(
            lane.open.take(),
            Some(key),
            "{key} ended and was not on its way"
        );
        if let Outcome::Answered(response) = outcome {
            let meant_for = response.headers.iter().find(|(name, _)| name == MEANT_FOR);
            let other = meant_for.filter(|(_, value)| value != call_id);
            let is_others =
                other.is_some_and(|(_, value)| self.sent.values().any(|(id, _)| id == value));
            assert!(!is_others, "the answer to another request ended {key}");
            let is_refused = response.status == StatusCode::UNAUTHORIZED;
            assert!(
                !(is_refused && self.registrar.honest),
                "{key} was right and gave up"
            );
        }
    }

    /// Sends the next message to each target whose lane is free, on any agent that is registered,
    /// and now and then on one that is not.
    fn dispatch(&mut self) {
        let mut targets: Vec<_> = self.lanes.keys().cloned().collect();
        targets.sort();
        for target in targets {
            let number = self.rng.random_range(0..AGENTS);
            let seat = &mut self.seats[number];
            let lane = self.lanes.get_mut(&target).expect("it is one of its keys");
            let rash = self.rng.random_range(0..500) == 0;
            if lane.open.is_some() || !(seat.agent.is_registered() || rash) {
                continue;
            }
            if let Some(key) = lane.waiting.pop_front() {
                lane.open = Some(key);
                let request = message_to(&target, &self.sent[&key].0);
                seat.agent.send(self.now, key, request);
                self.drain(number);
            }
        }
    }
}

impl Seat {
    fn count_register(&mut self, now: Instant, frame: &[u8]) {
        if !frame.starts_with(b"REGISTER") {
            return;
        }
        assert!(parse::parse(frame, parse::ParseLimits::default()).is_ok());
        self.registers.push_back(now);
        while self
            .registers
            .front()
            .is_some_and(|at| now - *at >= Duration::from_secs(1))
        {
            self.registers.pop_front();
        }
        let count = self.registers.len();
        assert!(
            count <= MOST_REGISTERS_IN_A_SECOND,
            "{count} REGISTERs in a second"
        );
    }
}
