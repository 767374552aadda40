//! The newest part of the log, in memory: what this replica appended, and what others did.
//!
//! Events that this replica appended are published at once, unless earlier ones of others have yet
//! to be read. Those are read when a notification comes, and twice a second in case one was lost.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};

use super::connection::{Connection, Connector, Notified};
use super::lease::Lease;
use super::{claim, schema, session};
use crate::clock;
use crate::store::events::{LOGGED, logged};
use crate::store::tail::Tail;
use crate::store::{Logged, StoreError};

/// How often the log is read without a notification.
const POLL: Duration = Duration::from_millis(500);
/// How long a database that is away is left alone.
const PAUSE: Duration = Duration::from_millis(250);
/// Events read at once.
const FOLLOWED: usize = 2_048;
/// Wake-ups that wait: one is as good as many.
const WAKES: usize = 64;

/// Where durable events are published, in the order of the log.
pub(super) struct PublishedLog {
    pub(super) tail: Arc<Tail>,
    showing: Mutex<()>,
    behind: Notify,
}

impl PublishedLog {
    pub(super) fn new(tail: Arc<Tail>) -> Self {
        Self {
            tail,
            showing: Mutex::new(()),
            behind: Notify::new(),
        }
    }

    /// Shows what this replica appended; what others appended before it is read first.
    pub(super) fn own(&self, events: Vec<Logged>) {
        let _showing = self.showing.lock().unwrap_or_else(PoisonError::into_inner);
        let next = self.tail.bounds().last + 1;
        match events.first() {
            Some(first) if first.seq == next => self.tail.publish(events),
            Some(_) => self.behind.notify_one(),
            None => {}
        }
    }

    /// Has the log read: this replica has appended to it elsewhere.
    pub(super) fn read_on(&self) {
        self.behind.notify_one();
    }

    /// Shows a stretch of the log as it was read.
    fn read(&self, mut events: Vec<Logged>) {
        let _showing = self.showing.lock().unwrap_or_else(PoisonError::into_inner);
        let last = self.tail.bounds().last;
        events.retain(|event| event.seq > last);
        self.tail.publish(events);
    }
}

/// How often received messages were erased, as this replica has seen it.
#[derive(Debug, Default)]
struct Erasures {
    seen: Option<u64>,
    has_changed: bool,
}

impl Erasures {
    /// Whether events in memory may show erased bodies. A transaction that was committed
    /// before an erasure may be published after this look, so the next look says the same again.
    fn may_show(&mut self, count: u64) -> bool {
        let is_new = self.seen.replace(count) != Some(count);
        std::mem::replace(&mut self.has_changed, is_new) || is_new
    }
}

/// What there may be to do.
enum Woken {
    /// Something to claim.
    Claims,
    /// The lease is to be renewed: a replica has come.
    Replicas,
    /// Events to read.
    Log,
}

/// What the follower works with.
pub(super) struct LogFollower {
    pub(super) connector: Connector,
    pub(super) published: Arc<PublishedLog>,
    pub(super) lease: Arc<Lease>,
    pub(super) claimable: watch::Sender<u64>,
    pub(super) leading: watch::Sender<bool>,
    pub(super) epoch: u64,
}

impl LogFollower {
    /// Follows the log, renews the lease, and signals what can be claimed. Never returns.
    pub(super) async fn run(self) {
        let mut is_known = false;
        loop {
            if let Err(error) = self.session().await {
                // Two statements, so that the borrow has ended before the channel is written.
                let leads = self.lease.is_valid() && *self.leading.borrow();
                self.lead(leads);
                if std::mem::replace(&mut is_known, true) {
                    tracing::debug!(%error, "failed to follow the log; trying again");
                } else {
                    tracing::warn!(%error, "failed to follow the log; trying again");
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn session(&self) -> Result<(), StoreError> {
        let (notify, mut notified) = mpsc::channel(WAKES);
        let connection = self.connector.connect(Some(notify)).await?;
        connection
            .client()
            .batch_execute("LISTEN sipost_events; LISTEN sipost_claims; LISTEN sipost_replicas")
            .await?;
        let length = self.lease.length();
        let poll = POLL.min(length / 6);
        let mut renew_at = clock::now();
        let mut look_at = renew_at;
        // What was erased while there was no session is not known.
        let mut erasures = Erasures::default();
        loop {
            if renew_at <= clock::now() {
                renew_at = clock::now() + length / 3;
                self.lease.renew(&connection).await?;
            }
            if self.read_on(&connection).await? {
                continue;
            }
            if look_at <= clock::now() {
                look_at = clock::now() + poll;
                let forgotten_to = schema::fact(&connection, "forgotten_to").await?;
                self.published.tail.forget(forgotten_to);
                if erasures.may_show(schema::fact(&connection, "erasures").await?) {
                    self.published.tail.clear();
                }
                self.lead(self.lease.leads(&connection).await?);
                self.lease.look_around(&connection).await?;
                if claim::is_claimable(&connection, &self.lease).await? {
                    self.claimable.send_modify(|count| *count += 1);
                }
            }
            match self.woken(&mut notified, poll).await? {
                Woken::Claims => look_at = clock::now(),
                Woken::Replicas => renew_at = clock::now(),
                Woken::Log => {}
            }
        }
    }

    /// Waits until there may be something to do, at most `poll`.
    async fn woken(
        &self,
        notified: &mut mpsc::Receiver<Notified>,
        poll: Duration,
    ) -> Result<Woken, StoreError> {
        let timer = tokio::time::sleep(poll);
        tokio::pin!(timer);
        let me = self.lease.number().to_string();
        loop {
            tokio::select! {
                told = notified.recv() => match told {
                    Some(told) if told.channel == "sipost_claims" => return Ok(Woken::Claims),
                    Some(told) if told.channel == "sipost_replicas" => {
                        return Ok(Woken::Replicas);
                    }
                    // What this replica appended is published already.
                    Some(told) if told.payload == me => {}
                    Some(_) => return Ok(Woken::Log),
                    None => return Err(StoreError::Away("the session has ended".to_owned())),
                },
                () = self.published.behind.notified() => return Ok(Woken::Log),
                () = self.lease.has_news() => return Ok(Woken::Replicas),
                () = &mut timer => return Ok(Woken::Log),
            }
        }
    }

    fn lead(&self, leads: bool) {
        self.leading
            .send_if_modified(|led| std::mem::replace(led, leads) != leads);
    }

    /// Reads what follows the published events; whether there may be more.
    async fn read_on(&self, connection: &Connection) -> Result<bool, StoreError> {
        let after = self.published.tail.bounds().last;
        let events = following(connection, after, self.epoch).await?;
        let is_full = events.len() >= FOLLOWED;
        self.published.read(events);
        Ok(is_full)
    }
}

/// What follows `after`, whatever it is.
async fn following(
    connection: &Connection,
    after: u64,
    epoch: u64,
) -> Result<Vec<Logged>, StoreError> {
    let sql = format!("SELECT {LOGGED} FROM events e WHERE e.seq > $1 ORDER BY e.seq LIMIT $2");
    let statement = connection.prepare(&sql).await?;
    let (after, limit) = (session::from_seq(after), session::limit(FOLLOWED));
    let found = connection
        .client()
        .query(&statement, &[&after, &limit])
        .await?;
    found.iter().map(|row| logged(row, 0, epoch)).collect()
}
