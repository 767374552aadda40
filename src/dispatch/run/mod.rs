//! The dispatcher's loop: the only task that owns the board and the pool.
//!
//! Each turn takes in everything that has arrived, lets the board decide, and hands the store one
//! commit: the messages to take in, and the records of what happened. A message whose lane is free
//! is taken in and begun by the same commit. While that is being made durable the next one gathers,
//! so the busier the gateway, the fuller the commits. One is under way at a time: what the log says
//! about one lane is in the order it happened, also when the store fails and records are tried
//! again.

mod beginning;
mod claiming;
mod commit;
mod deadline;
mod intake;
mod lingering;
mod loading;
mod parts;
mod recording;
mod telling;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::board::{Board, Teller};
use super::handle::{CancelError, Command};
use super::observer::Observer;
use crate::agent::{AgentIndex, Handle as Agent, Report};
use crate::clock;
use crate::clock::Clock;
use crate::message::{Message, MessageId, Outcome, Unknown};
use crate::pool::Pool;
use crate::store::{IdempotencyKey, Record, Store, StoreError};
use beginning::Unsettled;
use claiming::Looking;
use commit::{Committed, Committing};
use intake::{Offered, Request};
use lingering::Lingering;
use loading::Loading;
pub use parts::{Parts, Settings};
use recording::{After, Failing};

/// Commands and reports taken in at once.
const TURN: usize = 1024;

/// Runs the dispatcher until it is drained.
pub async fn run(parts: Parts, mut commands: mpsc::Receiver<Command>) {
    let Parts {
        store,
        accounts,
        mut reports,
        drain,
        clock,
        observer,
        seed,
        settings,
    } = parts;
    let mut pool = Pool::new();
    for (account, rate) in &accounts {
        pool.add_account(account, *rate);
    }
    let is_alone = store.agreeing().is_none();
    let mut dispatcher = Dispatcher {
        store,
        board: Board::new(settings.backoff, settings.max_held_bytes),
        pool,
        agents: HashMap::new(),
        clock,
        observer,
        rng: SmallRng::seed_from_u64(seed),
        settings,
        incoming: VecDeque::new(),
        offered: Offered::default(),
        unsettled: Unsettled::default(),
        lingering: Lingering::default(),
        is_well: false,
        is_alone,
        admitted: 0,
        keys: HashSet::new(),
        gathered: Vec::new(),
        committing: None,
        failing: None,
        canceling: HashMap::new(),
        to_load: VecDeque::new(),
        loading: None,
        load_after: tokio::time::Instant::now(),
        draining: false,
        claim_after: tokio::time::Instant::now(),
    };
    let mut looking = Looking::at(&*dispatcher.store);
    dispatcher.claim_all(&drain).await;
    dispatcher
        .turns(&mut commands, &mut reports, &mut looking, &drain)
        .await;
}

struct Dispatcher {
    store: Arc<dyn Store>,
    board: Board,
    pool: Pool,
    agents: HashMap<AgentIndex, Agent>,
    clock: Clock,
    observer: Arc<dyn Observer>,
    rng: SmallRng,
    settings: Settings,
    /// Let through, and not handed to the store yet.
    incoming: VecDeque<Request>,
    offered: Offered,
    unsettled: Unsettled,
    lingering: Lingering,
    /// The last commit went through.
    is_well: bool,
    /// No other replica may be sending to the same targets.
    is_alone: bool,
    /// Messages in `incoming`: they count against `max_queued` before the board has them.
    admitted: usize,
    /// Keys of requests that have no answer yet.
    keys: HashSet<IdempotencyKey>,
    /// What the next commit will record.
    gathered: Vec<(Record, After)>,
    committing: Option<Committing>,
    failing: Option<Failing>,
    /// Clients that wait for a cancellation whose record is not gathered yet.
    canceling: HashMap<MessageId, oneshot::Sender<Result<(), CancelError>>>,
    to_load: VecDeque<MessageId>,
    loading: Option<Loading>,
    /// After a failed read, no other before this time.
    load_after: tokio::time::Instant,
    draining: bool,
    /// After a failed claim, no other before this time.
    claim_after: tokio::time::Instant,
}

/// What woke the loop.
enum Input {
    Arrived,
    Committed(Committed),
    Loaded(Result<Vec<Arc<Message>>, StoreError>),
    Claimable,
    Time,
    Drain,
}

impl Dispatcher {
    async fn turns(
        &mut self,
        commands: &mut mpsc::Receiver<Command>,
        reports: &mut mpsc::UnboundedReceiver<Report>,
        looking: &mut Looking,
        drain: &CancellationToken,
    ) {
        let mut inbox = Vec::with_capacity(TURN);
        let mut told = Vec::with_capacity(TURN);
        // A channel that everybody has left is always ready and never again of interest.
        let (mut asked, mut reported) = (true, true);
        loop {
            self.decide();
            if self.draining && self.is_idle() {
                return;
            }
            // What arrives during a commit is left to gather, for being woken for each would cost
            // more than the commit. What is to be sent, though, may be on its way meanwhile.
            let (free, sleep) = (self.committing.is_none(), self.time_to_deadline());
            let early = free || self.may_begin_early();
            let input = tokio::select! {
                biased;
                committed = commit::committed(&mut self.committing) => Input::Committed(committed),
                () = looking.due(), if free && !self.draining => Input::Claimable,
                count = reports.recv_many(&mut told, TURN), if reported && free => {
                    reported = count > 0;
                    Input::Arrived
                }
                count = commands.recv_many(&mut inbox, TURN), if asked && early => {
                    asked = count > 0;
                    Input::Arrived
                }
                result = loading::loaded(&mut self.loading), if free => Input::Loaded(result),
                () = sleep_for(sleep), if free => Input::Time,
                () = drain.cancelled(), if !self.draining => Input::Drain,
            };
            match input {
                Input::Committed(committed) => self.committed(committed),
                Input::Loaded(result) => self.loaded(result),
                Input::Claimable => self.claim_some().await,
                Input::Arrived if self.more_may_arrive(free) => tokio::task::yield_now().await,
                Input::Arrived | Input::Time => {}
                Input::Drain => self.draining = true,
            }
            // Whatever woke us, what else has arrived is taken along.
            while told.len() < TURN
                && let Ok(report) = reports.try_recv()
            {
                told.push(report);
            }
            while inbox.len() + self.incoming.len() < TURN
                && let Ok(command) = commands.try_recv()
            {
                inbox.push(command);
            }
            self.take_reports(&mut told);
            self.take_commands(&mut inbox);
        }
    }

    /// Whoever is told of something runs next, before the tasks that have as much to tell. Where
    /// there may be such, they are to get on board: what begins together shares a write to the
    /// server.
    fn more_may_arrive(&self, is_free: bool) -> bool {
        !is_free || self.board.in_flight() > 1
    }

    /// Lets the board decide with what it knows now, and hands over what follows.
    fn decide(&mut self) {
        let is_free = self.committing.is_none();
        if !is_free && !self.may_begin_early() {
            return;
        }
        let now = self.clock.now();
        let jitter = self.jitter();
        let tellers = |agent| self.agents.get(&agent).map(teller);
        self.board
            .handle_timeout(&self.pool, tellers, now, clock::now(), jitter);
        self.collect();
        self.offer_incoming(now);
        if self.may_begin() {
            let starts = self.board.pump(&mut self.pool, clock::now());
            self.begin(starts, now);
            self.collect();
        }
        if is_free {
            if !self.lingers() {
                self.commit();
            }
            self.load_wanted();
        }
    }

    /// Whether attempts may begin. While the store fails they could not be recorded.
    pub(super) fn may_begin(&self) -> bool {
        !self.draining && self.failing.is_none()
    }

    /// Whether what has gathered waits a moment for more.
    fn lingers(&mut self) -> bool {
        if !self.may_begin_early() {
            return false;
        }
        let mut gathered = self.gathered.iter();
        let is_awaited = gathered.any(|(_, after)| matches!(after, After::Transmit { .. }));
        let in_flight = self.board.in_flight();
        self.lingering.goes_on(in_flight, is_awaited, clock::now())
    }

    /// Takes over what the board wants done.
    fn collect(&mut self) {
        let work = self.board.take_work();
        for record in work.records {
            let waiting = match record.status.is_final() {
                true => {
                    self.unsettled.insert(record.event.uri.clone());
                    self.canceling.remove(&record.event.message_id)
                }
                false => None,
            };
            self.gathered
                .push((record, waiting.map_or(After::Nothing, After::Canceled)));
        }
        for id in work.forgotten {
            if let Some(reply) = self.canceling.remove(&id) {
                self.refuse_to_cancel(id, reply);
            }
        }
        for ended in work.died {
            let code = Outcome::Unknown(Unknown::Died).code();
            self.tell_attempt(&ended, None, code);
        }
        self.to_load.extend(work.loads);
        for agent in work.released {
            self.pool.release(agent);
            self.offer(agent);
        }
    }

    /// Tells the board that this agent may have a slot.
    fn offer(&mut self, agent: AgentIndex) {
        if let Some(agent) = self.agents.get(&agent) {
            self.board.slot_freed(&agent.identity.account);
        }
    }

    /// Takes over how many messages a second accounts may send from now on.
    fn set_rates(&mut self, rates: &[(Arc<str>, Option<f64>)]) {
        for (account, rate) in rates {
            self.pool.add_account(account, *rate);
            self.board.slot_freed(account);
        }
    }

    fn take_reports(&mut self, told: &mut Vec<Report>) {
        let now = self.clock.now();
        for report in told.drain(..) {
            match report {
                Report::Here(agent) => {
                    self.pool
                        .add_agent(agent.index, &agent.identity.account, agent.capacity);
                    self.agents.insert(agent.index, agent);
                }
                Report::Up(agent) => {
                    self.pool.up(agent);
                    self.offer(agent);
                }
                Report::Down(agent) => self.pool.down(agent),
                Report::Ended(agent, ended) => {
                    let Some(teller) = self.agents.get(&agent).map(teller) else {
                        continue;
                    };
                    for (key, outcome) in ended {
                        self.pool.ended(agent, &outcome);
                        self.end_attempt(key, outcome, Some(&teller), now);
                    }
                }
                Report::Gone(agent) => {
                    self.pool.remove_agent(agent);
                    self.agents.remove(&agent);
                }
            }
        }
    }

    /// Whether nothing is under way: no attempt, nothing unwritten, nobody waiting for an answer.
    fn is_idle(&self) -> bool {
        self.board.in_flight() == 0
            && self.gathered.is_empty()
            && self.incoming.is_empty()
            && self.offered.requests.is_empty()
            && self.committing.is_none()
            && self.failing.is_none()
    }

    fn jitter(&mut self) -> f64 {
        self.rng.random()
    }
}

fn teller(agent: &Agent) -> Teller {
    Teller {
        agent: agent.identity.id.clone(),
        account: agent.identity.account.clone(),
    }
}

async fn sleep_for(duration: Duration) {
    tokio::time::sleep(duration).await;
}
