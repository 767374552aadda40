//! The dispatcher's loop: the only task that owns the board and the pool.
//!
//! Each turn takes in everything that has arrived, lets the board decide, and hands the store one
//! commit: the messages to take in, and the records of what happened. A message whose lane is free
//! is taken in and begun by the same commit. While that commit runs the next one gathers, so the
//! busier the gateway, the fuller the commits. One commit runs at a time: what the log says about a
//! lane is in the order in which it happened, also when the store fails and records are retried.

mod attempts;
mod bare_targets;
mod commit_delay;
mod early;
mod frames;
mod intake;
mod journal;
mod loads;
mod log;
mod reports;
mod takeover;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::board::{Board, Cancel};
use super::handle::{CancelError, Command, DispatchParts, Settings};
use super::observer::{MessageObserver, WaitingFor};
use crate::agent::{AgentHandle, AgentIndex, Report};
use crate::clock;
use crate::clock::Clock;
use crate::message::{ByMessage, Message, MessageId, Outcome, Unknown};
use crate::pool::Pool;
use crate::store::Store;
use attempts::sent_by;
use bare_targets::BareTargets;
use frames::AttemptFrames;
use intake::{Cancellations, Intake};
use journal::{After, Committed, Journal};
use loads::Loads;
use takeover::Takeover;

/// Commands and reports taken in at once.
const TURN: usize = 1024;

/// The longest sleep: the clock on the wall may have been set meanwhile.
const MAX_SLEEP: Duration = Duration::from_secs(30);

/// Runs the dispatcher until it is drained.
pub async fn run(parts: DispatchParts, mut commands: mpsc::Receiver<Command>) {
    let store = parts.store;
    let settings = parts.settings;
    let drain = parts.drain;
    let mut reports = parts.reports;
    let mut pool = Pool::new(settings.reserved);
    for (account, rate) in &parts.accounts {
        pool.add_account(account, *rate);
    }
    let mut dispatcher = Dispatcher {
        board: Board::new(settings.backoff, settings.max_held_bytes),
        pool,
        agents: HashMap::new(),
        intake: Intake::new(settings.max_queued),
        cancellations: Cancellations::new(store.clone()),
        journal: Journal::new(store.clone()),
        loads: Loads::new(store.clone()),
        takeover: Takeover::new(store.clone()),
        bare_targets: BareTargets::default(),
        frames: AttemptFrames::new(parts.traces),
        store,
        clock: parts.clock,
        observer: parts.observer,
        rng: SmallRng::seed_from_u64(parts.seed),
        settings,
        is_draining: false,
    };
    dispatcher
        .takeover
        .claim_all(&mut dispatcher.board, &dispatcher.clock, &drain)
        .await;
    dispatcher.run(&mut commands, &mut reports, &drain).await;
}

struct Dispatcher {
    /// Which message is where.
    board: Board,
    /// Which agent takes the next message.
    pool: Pool,
    agents: HashMap<AgentIndex, AgentHandle>,
    /// Requests to take messages in.
    intake: Intake,
    /// Requests to cancel a message.
    cancellations: Cancellations,
    /// Records of the next commit, and the commit that runs.
    journal: Journal,
    /// Contents to be read from the store.
    loads: Loads,
    /// Messages of before a restart, and of other replicas.
    takeover: Takeover,
    /// Targets that are sent no envelopes.
    bare_targets: BareTargets,
    /// Frames of attempts whose messages go on.
    frames: AttemptFrames,
    store: Arc<dyn Store>,
    clock: Clock,
    observer: Arc<dyn MessageObserver>,
    rng: SmallRng,
    settings: Settings,
    is_draining: bool,
}

/// What woke the loop.
enum Input {
    Arrived,
    Committed(Committed),
    Loaded(Vec<(MessageId, Option<Arc<Message>>)>),
    Claimable,
    Time,
    Drain,
}

impl Dispatcher {
    async fn run(
        &mut self,
        commands: &mut mpsc::Receiver<Command>,
        reports: &mut mpsc::UnboundedReceiver<Report>,
        drain: &CancellationToken,
    ) {
        let mut inbox = Vec::with_capacity(TURN);
        let mut told = Vec::with_capacity(TURN);
        // A channel without senders is always ready: it is not asked again.
        let (mut commands_open, mut reports_open) = (true, true);
        loop {
            self.decide();
            if self.is_draining && self.is_idle() {
                return;
            }
            // While a commit runs what arrives is left to gather: being woken for each would cost
            // more than the commit. Commands are taken when their messages may be sent meanwhile.
            let is_commit_idle = !self.journal.is_committing();
            let takes_commands = is_commit_idle || self.may_send_early();
            let sleep = self.time_to_deadline();
            let input = tokio::select! {
                biased;
                committed = self.journal.committed() => Input::Committed(committed),
                () = self.takeover.due(), if is_commit_idle && !self.is_draining => Input::Claimable,
                count = reports.recv_many(&mut told, TURN), if reports_open && is_commit_idle => {
                    reports_open = count > 0;
                    Input::Arrived
                }
                count = commands.recv_many(&mut inbox, TURN), if commands_open && takes_commands => {
                    commands_open = count > 0;
                    Input::Arrived
                }
                contents = self.loads.loaded(), if is_commit_idle => Input::Loaded(contents),
                () = tokio::time::sleep(sleep), if is_commit_idle => Input::Time,
                () = drain.cancelled(), if !self.is_draining => Input::Drain,
            };
            match input {
                Input::Committed(committed) => self.handle_committed(committed),
                Input::Loaded(contents) => self.handle_loaded(contents),
                Input::Claimable => self.take_over().await,
                // A woken task runs before tasks that are ready to send. Yield once so that they
                // can join this batch: attempts that begin together share one write.
                Input::Arrived if !is_commit_idle || self.board.in_flight() > 1 => {
                    tokio::task::yield_now().await;
                }
                Input::Arrived | Input::Time => {}
                Input::Drain => self.is_draining = true,
            }
            // Everything else that has arrived is taken along.
            let room = TURN.saturating_sub(told.len());
            told.extend(std::iter::from_fn(|| reports.try_recv().ok()).take(room));
            let room = TURN.saturating_sub(inbox.len() + self.intake.requests_waiting());
            inbox.extend(std::iter::from_fn(|| commands.try_recv().ok()).take(room));
            told.drain(..).for_each(|report| self.handle_report(report));
            inbox
                .drain(..)
                .for_each(|command| self.handle_command(command));
        }
    }

    /// Lets the board decide with what it knows now, and hands over what follows.
    fn decide(&mut self) {
        let is_commit_idle = !self.journal.is_committing();
        if !is_commit_idle && !self.may_send_early() {
            return;
        }
        let now = self.clock.now();
        let jitter = self.rng.random();
        let senders = |agent| self.agents.get(&agent).map(sent_by);
        self.board
            .handle_timeout(&self.pool, senders, now, clock::now(), jitter);
        self.take_work();
        self.intake.offer(&mut self.board, now);
        if self.may_begin() {
            let starts = self.board.pump(&mut self.pool, clock::now());
            self.begin(starts, now);
            self.take_work();
        }
        if is_commit_idle {
            let in_flight = self.board.in_flight();
            let may_wait = self.may_send_early();
            if !(may_wait && self.journal.delay_commit(in_flight, clock::now())) {
                self.journal.commit(self.intake.take_offered());
            }
            self.loads.begin();
        }
    }

    /// Whether attempts may begin. While the store fails they could not be recorded.
    fn may_begin(&self) -> bool {
        !self.is_draining && !self.journal.is_failing()
    }

    /// Whether requests may be written before their records are durable.
    fn may_send_early(&self) -> bool {
        !self.is_draining && self.journal.may_send_early()
    }

    /// Takes over what the board wants done.
    fn take_work(&mut self) {
        let work = self.board.take_work();
        for record in work.records {
            self.frames.record(&record);
            let reply = self.cancellations.ended_by(&record);
            let after = reply.map_or(After::Nothing, After::Canceled);
            self.journal.push(record, after);
        }
        for id in work.forgotten {
            self.cancellations.forgotten(id);
        }
        for ended in work.died {
            let code = Outcome::Unknown(Unknown::Died).code();
            self.observe_attempt(&ended, None, code);
        }
        self.loads.want(work.loads);
        for slot in work.released {
            self.pool.release(slot);
            self.slot_freed(slot.agent);
        }
    }

    fn handle_committed(&mut self, committed: Committed) {
        let Committed {
            requests,
            accepted,
            batch,
            recorded,
        } = committed;
        let now = self.clock.now();
        let withdrawn =
            self.intake
                .answer(requests, accepted, &mut self.board, &*self.observer, now);
        let unbegun = self.journal.withdraw(&withdrawn);
        self.supersede(unbegun);
        if batch.is_empty() {
            return;
        }
        match recorded {
            Ok(answers) => {
                self.journal.recorded();
                self.follow_up(batch, answers);
            }
            Err(error) => {
                let unbegun = self.journal.keep(batch, &withdrawn, &error);
                self.supersede(unbegun);
            }
        }
    }

    fn handle_loaded(&mut self, contents: Vec<(MessageId, Option<Arc<Message>>)>) {
        let (now, may_begin) = (self.clock.now(), self.may_begin());
        for (id, message) in contents {
            let jitter = self.rng.random();
            let starts = self.board.loaded(id, message, may_begin, now, jitter);
            self.begin(starts, now);
        }
    }

    /// Takes over what other replicas left, as much as there is room for, and gives them the lanes
    /// that no agent here can send. Not before everything that happened is recorded: nothing is
    /// recorded of a message that belongs to another replica by then.
    async fn take_over(&mut self) {
        if self.journal.is_failing() {
            return;
        }
        self.takeover.hand_over(&mut self.board, &self.pool).await;
        let queued = self.board.len() + self.intake.messages_waiting();
        let room = self.settings.max_queued.saturating_sub(queued);
        self.takeover
            .claim(&mut self.board, &self.clock, room)
            .await;
    }

    /// The sender of a command may be gone when it is answered.
    fn handle_command(&mut self, command: Command) {
        match command {
            Command::Accept(request) => {
                self.intake
                    .admit(request, self.board.len(), self.is_draining);
            }
            Command::Cancel { id, reply } => self.cancel(id, reply),
            Command::Rates(rates) => {
                for (account, rate) in &rates {
                    self.pool.add_account(account, *rate);
                    self.board.slot_freed(account);
                }
            }
            Command::Flush { reply } => self.journal.flush(self.intake.has_offered(), reply),
            Command::Settle(receipts) => {
                let now = self.clock.now();
                for one in receipts {
                    self.board
                        .settle(one.message, one.receipt, &one.recipient, now);
                }
            }
            Command::WaitingFor { ids, reply } => drop(reply.send(self.waiting_for(&ids))),
            Command::Counts { reply } => drop(reply.send(self.board.counts())),
        }
    }

    fn cancel(&mut self, id: MessageId, reply: oneshot::Sender<Result<(), CancelError>>) {
        match self.board.cancel(id, self.clock.now()) {
            Cancel::TooLate => drop(reply.send(Err(CancelError::TooLate))),
            Cancel::Canceled => self.cancellations.await_end(id, reply),
            Cancel::Unknown => self.cancellations.refuse(id, reply),
        }
    }

    fn waiting_for(&self, ids: &[MessageId]) -> ByMessage<WaitingFor> {
        // In this order, so that no time shown is too early.
        let steady = clock::now();
        let now = self.clock.now();
        let mut waiting = self.board.waiting_for(ids, &self.pool, now, steady);
        if self.journal.is_failing() {
            for reason in waiting.values_mut() {
                if *reason == WaitingFor::Slot {
                    *reason = WaitingFor::Store;
                }
            }
        } else {
            waiting.retain(|_, reason| *reason != WaitingFor::Store);
        }
        waiting
    }

    /// Whether no attempt is under way, nothing is unrecorded, and no client waits for an answer.
    fn is_idle(&self) -> bool {
        self.board.in_flight() == 0 && self.journal.is_idle() && self.intake.is_idle()
    }

    /// When there is something to do although nothing arrives.
    fn time_to_deadline(&self) -> Duration {
        let now = clock::now();
        let on_the_wall = self.board.deadline();
        let deadlines = [
            on_the_wall.map(|time| now + time.since(self.clock.now()).min(MAX_SLEEP)),
            self.board.steady_deadline(),
            self.journal.deadline(),
            self.loads.deadline(),
        ];
        let first = deadlines.into_iter().flatten().min();
        first.map_or(MAX_SLEEP, |time| {
            time.saturating_duration_since(now).min(MAX_SLEEP)
        })
    }
}
