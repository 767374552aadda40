//! Three user agents of one account, their registrar, a proxy that brings requests of others, and
//! the wires between them, by the dice.
//!
//! Whatever happens: every request that was sent ends in exactly one outcome; to one target there
//! is never more than one on its way; no answer completes another's request; no nonce that expires
//! costs one that is signed rightly; REGISTERs do not become a storm; a registration is never given
//! up; a request that comes in is handed over once for each branch and connection, and answered;
//! and in the end no timer is left.
//!
//! `SIPOST_SEED=7 cargo test --lib sip::testing::simulation` repeats the one world of seed 7.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::fixture::{epoch, message_to, settings};
use super::proxy::Proxy;
use super::registrar::{MEANT_FOR, Registrar};
use super::wire::{Pipe, Weather};
use crate::sip::{
    Event, FallbackBody, IncomingRequest, Outcome, OutgoingResponse, Output, ReceiveSettings,
    Settings, StatusCode, Transport, UserAgent, parse,
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

/// How long a request is remembered at least after it was handed over.
const KEPT: Duration = Duration::from_secs(32);

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
    proxy: Proxy,
    /// When each request was handed over, by its connection and names.
    handed_over: HashMap<(u64, Vec<String>), Instant>,
    /// Answers that are given later: when, of which agent and over which connection, to what.
    answers: Vec<(Instant, usize, u64, u64)>,
    /// Connections that were opened.
    connections: u64,
    agents: Vec<SimulatedAgent>,
    lanes: HashMap<String, Lane>,
    /// Call-ID and target of each key.
    sent: HashMap<u64, (String, String)>,
    ended: HashMap<u64, usize>,
    /// What happened, in a line each.
    story: Vec<String>,
}

struct SimulatedAgent {
    agent: UserAgent,
    up: Pipe,
    down: Pipe,
    is_connected: bool,
    /// The number of the connection.
    connection: u64,
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
        let agents = (0..AGENTS).map(|number| SimulatedAgent {
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
            connection: 0,
            turn: now,
            registers: VecDeque::new(),
            has_left: false,
        });
        let agents = agents.collect();
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
            proxy: Proxy::default(),
            handed_over: HashMap::new(),
            answers: Vec::new(),
            connections: 0,
            agents,
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
        self.proxy.begin_again();
        self.pass(PATIENCE, |world| {
            let all_up = world
                .agents
                .iter()
                .all(|simulated| simulated.agent.is_registered());
            all_up && world.ended.len() as u64 == MESSAGES && world.proxy.is_done()
        });
        assert!(self.proxy.is_done(), "some request was never answered");
        assert_eq!(
            self.ended.len() as u64,
            MESSAGES,
            "some message never ended"
        );
        for simulated in &mut self.agents {
            assert!(
                simulated.agent.is_registered(),
                "a registration was given up"
            );
            simulated.agent.unregister(self.now);
        }
        self.pass(PATIENCE, |world| {
            world.agents.iter().all(|simulated| simulated.has_left)
        });
        for simulated in &mut self.agents {
            assert!(simulated.has_left, "leaving never ended");
            simulated.agent.handle_disconnected();
            assert!(simulated.agent.poll().is_none());
            assert_eq!(
                (simulated.agent.deadline(), simulated.agent.in_flight()),
                (None, 0)
            );
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
            self.bring();
            self.answer_later_ones();
            self.dispatch();
            self.now = self.next().unwrap_or(end).clamp(self.now, end);
        }
    }

    /// When the next thing happens anywhere.
    fn next(&self) -> Option<Instant> {
        let times = self.agents.iter().flat_map(|simulated| {
            let own = [Some(simulated.turn), simulated.agent.deadline()];
            let wire = [simulated.up.due(), simulated.down.due()];
            own.into_iter().chain(wire).flatten()
        });
        let answers = self.answers.iter().map(|(at, ..)| *at);
        times.chain(answers).chain(self.proxy.due()).min()
    }

    /// Brings requests of others.
    fn bring(&mut self) {
        let agents = self.agents.iter().enumerate();
        let open = agents.filter(|(_, simulated)| simulated.is_connected);
        let open: Vec<_> = open
            .map(|(at, simulated)| (at, simulated.connection))
            .collect();
        let may_be_damaged = self.weather.damaged > 0;
        let frames = self
            .proxy
            .speak(self.now, &open, may_be_damaged, &mut self.rng);
        for (at, frame) in frames {
            let down = &mut self.agents[at].down;
            down.send(self.now, frame, self.weather, &mut self.rng);
        }
    }

    /// A request came in at an agent: it is answered now, later, or never.
    fn take_request(&mut self, number: usize, request: &IncomingRequest) {
        let connection = self.agents[number].connection;
        let names = ["Via", "From", "Call-ID", "CSeq"];
        let names = names.map(|name| request.first(name).unwrap_or_default().to_owned());
        let earlier = self
            .handed_over
            .insert((connection, names.to_vec()), self.now);
        let is_forgotten = earlier.is_none_or(|at| at + KEPT <= self.now);
        assert!(is_forgotten, "handed over twice: {names:?}");
        let wait = match self.rng.random_range(0..4) {
            0 => return,
            1 => Duration::from_millis(self.rng.random_range(0..15_000)),
            _ => Duration::ZERO,
        };
        self.answers
            .push((self.now + wait, number, connection, request.id));
    }

    fn answer_later_ones(&mut self) {
        let now = self.now;
        let due: Vec<_> = self.answers.extract_if(.., |(at, ..)| *at <= now).collect();
        for (_, number, connection, id) in due {
            let statuses = [StatusCode::OK, StatusCode::ACCEPTED, StatusCode::BUSY_HERE];
            let answer = OutgoingResponse::of(statuses[self.rng.random_range(0..3)]);
            let simulated = &mut self.agents[number];
            let answered = simulated.agent.answer(now, id, &answer);
            let is_over = !simulated.is_connected || simulated.connection != connection;
            assert!(
                answered.is_err() || !is_over,
                "answered over another connection"
            );
            self.drain(number);
        }
    }

    /// Cuts or opens a connection whose time has come.
    fn turn(&mut self, number: usize) {
        let kind = self.registrar.kind;
        let simulated = &mut self.agents[number];
        if simulated.turn > self.now {
            return;
        }
        let seconds = self.rng.random_range(0.1..120.0);
        if simulated.is_connected && !kind {
            simulated.is_connected = false;
            simulated.up.cut();
            simulated.down.cut();
            simulated.agent.handle_disconnected();
            self.proxy.handle_cut(simulated.connection);
            simulated.turn = self.now + Duration::from_secs_f64(seconds / 20.0);
        } else if simulated.is_connected {
            simulated.turn = self.now + PATIENCE;
        } else {
            simulated.is_connected = true;
            self.connections += 1;
            simulated.connection = self.connections;
            simulated.agent.handle_connected(self.now, Transport::Ws);
            simulated.turn = self.now + Duration::from_secs_f64(seconds);
            let frame = self.registrar.speak(&mut self.rng);
            simulated
                .down
                .send(self.now, frame, self.weather, &mut self.rng);
        }
    }

    /// Takes what comes out of the wires.
    fn listen(&mut self, number: usize) {
        let simulated = &mut self.agents[number];
        while let Some(frame) = simulated.up.receive(self.now) {
            self.proxy
                .handle_response(self.now, simulated.connection, &frame);
            for (pause, frame) in self.registrar.handle_frame(self.now, &frame, &mut self.rng) {
                let weather = Weather {
                    delay: self.weather.delay + pause,
                    ..self.weather
                };
                simulated.down.send(self.now, frame, weather, &mut self.rng);
            }
        }
        while let Some(frame) = simulated.down.receive(self.now) {
            simulated.agent.handle_frame(self.now, &frame);
        }
    }

    fn wake(&mut self, number: usize) {
        let agent = &mut self.agents[number].agent;
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
        while let Some(output) = self.agents[number].agent.poll() {
            let simulated = &mut self.agents[number];
            match output {
                Output::Transmit(frame, _) => {
                    assert!(simulated.is_connected, "it writes to nobody");
                    self.story
                        .push(String::from_utf8_lossy(&frame).into_owned());
                    simulated.count_register(self.now, &frame);
                    simulated
                        .up
                        .send(self.now, frame, self.weather, &mut self.rng);
                }
                Output::Event(Event::Ended { key, outcome }) => self.end(key, &outcome),
                Output::Event(Event::Left) => simulated.has_left = true,
                Output::Event(Event::Received(request)) => self.take_request(number, &request),
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
            let simulated = &mut self.agents[number];
            let lane = self.lanes.get_mut(&target).expect("it is one of its keys");
            let rash = self.rng.random_range(0..500) == 0;
            if lane.open.is_some() || !(simulated.agent.is_registered() || rash) {
                continue;
            }
            if let Some(key) = lane.waiting.pop_front() {
                lane.open = Some(key);
                let mut request = message_to(&target, &self.sent[&key].0);
                if self.rng.random() {
                    request.fallback = Some(Box::new(FallbackBody {
                        head: request.head.clone(),
                        body: "bare".into(),
                    }));
                }
                simulated.agent.send(self.now, key, request);
                self.drain(number);
            }
        }
    }
}

impl SimulatedAgent {
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
