//! The store on PostgreSQL: any number of replicas share the work, and share nothing else.
//!
//! | part          | does                                                              |
//! |---------------|-------------------------------------------------------------------|
//! | `writer`      | one session: takes messages in, appends to the log, in groups     |
//! | `transaction` | what a group is to the database: three trips                      |
//! | `lease`       | this replica's right to what it holds                             |
//! | `claim`       | picks up what others left here, takes over what nobody holds      |
//! | `follow`      | shows the newest part of the log, also what others append         |
//! | `pool`        | a few sessions for everything else                                |
//!
//! While the database is away every verb is refused; each session is opened anew when it is back.

mod accept;
mod address;
mod agents;
mod claim;
mod connection;
mod error;
mod events;
mod follow;
mod group;
mod lease;
mod messages;
mod pool;
mod record;
mod renewal;
mod replicas;
mod retention;
mod rows;
mod schema;
mod seats;
mod share;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod transaction;
mod webhooks;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::tail::Tail;
use super::waiting::{Urgency, Weight};
use super::{
    Bounds, Claimed, EventFilter, Events, MessageFilter, Messages, Observer, PageSize, Record,
    Recorded, Reply, Step, Store, StoreError, Stored, Submission, TailSize, Verdict,
};
use crate::message::{Message, MessageId, Timestamp};
pub use address::Address;
use connection::Door;
use follow::{Follower, Shown};
use group::Order;
use lease::Lease;
use pool::Pool;
pub use renewal::begin_epoch;
use seats::Seating;
use transaction::Desk;
use writer::Writer;

/// How a database is used.
#[derive(Clone)]
pub struct Options {
    /// Where it is and who we are there.
    pub address: Address,
    /// How TLS is spoken with it; `None` for not at all.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// What this replica is called: for people, not for the database.
    pub replica: String,
    /// How long what this replica holds stays its own when nothing is heard from it.
    pub lease: Duration,
    /// Sessions for reading; there are three more, for writing, for following the log, and for
    /// scans of it.
    pub connections: usize,
    /// How much of the log is kept in memory for those who follow it.
    pub tail: TailSize,
    /// Told of every commit.
    pub observer: Arc<dyn Observer>,
}

impl Options {
    /// This database, and what suits most. TLS is not spoken.
    pub fn new(address: Address, replica: &str) -> Self {
        Self {
            address,
            tls: None,
            replica: replica.to_owned(),
            lease: Duration::from_secs(10),
            connections: 4,
            tail: TailSize {
                events: 16_384,
                bytes: 32 * 1024 * 1024,
            },
            observer: Arc::new(()),
        }
    }
}

/// Sessions for scans.
const SCANS: usize = 1;

struct Postgres {
    epoch: u64,
    writer: Writer,
    pool: Pool,
    /// For what may look at much and find little: nothing else waits behind that.
    scans: Pool,
    lease: Arc<Lease>,
    shown: Arc<Shown>,
    claimable: watch::Receiver<u64>,
    leads: watch::Receiver<bool>,
    seating: Arc<Seating>,
    follower: AbortHandle,
}

/// Opens a database, makes or updates its tables, and joins the replicas that work on it. `now`
/// names the epoch of a new one.
pub async fn open(options: Options, now: Timestamp) -> Result<Arc<dyn Store>, StoreError> {
    Ok(Arc::new(Postgres::open(options, now).await?))
}

impl Postgres {
    async fn open(options: Options, now: Timestamp) -> Result<Self, StoreError> {
        let door = Door::new(options.address, options.tls);
        let connection = door.connect(None).await?;
        schema::migrate(&connection, now).await?;
        let epoch = schema::fact(&connection, "epoch").await?;
        let bounds = bounds(&connection).await?;
        let lease = Lease::join(&connection, options.replica, options.lease).await?;
        let lease = Arc::new(lease);
        let shown = Arc::new(Shown::new(Arc::new(Tail::new(options.tail, bounds))));
        let (claimable, told) = watch::channel(0);
        let (leading, leads) = watch::channel(false);
        let follower = Follower {
            door: door.clone(),
            shown: shown.clone(),
            lease: lease.clone(),
            claimable,
            leading,
            epoch,
        };
        let follower = tokio::spawn(follower.run()).abort_handle();
        let seating = Arc::new(Seating::new(lease.clone()));
        let writer = Writer::start(writer::Parts {
            door: door.clone(),
            connection,
            desk: Desk {
                lease: lease.clone(),
                seating: seating.clone(),
                epoch,
            },
            shown: shown.clone(),
            observer: options.observer,
        });
        Ok(Self {
            epoch,
            writer,
            pool: Pool::new(door.clone(), options.connections),
            scans: Pool::new(door, SCANS),
            lease,
            shown,
            claimable: told,
            leads,
            seating,
            follower,
        })
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

async fn bounds(connection: &connection::Connection) -> Result<Bounds, StoreError> {
    let row = connection
        .client()
        .query_one("SELECT last FROM log", &[])
        .await?;
    Ok(Bounds {
        forgotten_to: schema::fact(connection, "forgotten_to").await?,
        last: rows::to_seq(row.try_get(0)?),
    })
}

impl Store for Postgres {
    fn epoch(&self) -> u64 {
        self.epoch
    }

    fn accept(&self, submissions: Vec<Submission>) -> Reply<Vec<Verdict>> {
        let weight = Weight::of_submissions(&submissions);
        self.writer.submit(Urgency::New, weight, |answer| {
            Order::Accept(submissions, answer)
        })
    }

    fn record(&self, records: Arc<[Record]>) -> Reply<Vec<Recorded>> {
        let weight = Weight::of_records(&records);
        self.writer.submit(Urgency::Ongoing, weight, |answer| {
            Order::Record(records, answer)
        })
    }

    fn accept_and_record(
        &self,
        submissions: Vec<Submission>,
        records: Arc<[Record]>,
    ) -> (Reply<Vec<Verdict>>, Reply<Vec<Recorded>>) {
        let weight = Weight::of_submissions(&submissions);
        let (accept, accepted) = self.writer.prepare(Urgency::New, weight, |answer| {
            Order::Accept(submissions, answer)
        });
        let weight = Weight::of_records(&records);
        let (record, recorded) = self.writer.prepare(Urgency::Ongoing, weight, |answer| {
            Order::Record(records, answer)
        });
        self.writer
            .order(accept.into_iter().chain(record).collect());
        (accepted, recorded)
    }

    fn claim(&self, limit: usize) -> Reply<Vec<Claimed>> {
        self.writer
            .submit(Urgency::Ongoing, Weight::SMALL, |answer| {
                Order::Claim(limit, answer)
            })
    }

    fn load(&self, ids: Vec<MessageId>) -> Reply<Vec<Arc<Message>>> {
        self.pool
            .run(move |c| async move { messages::load(&c, &ids).await })
    }

    fn message(&self, id: MessageId) -> Reply<Option<Stored>> {
        let epoch = self.epoch;
        self.pool
            .run(move |c| async move { messages::message(&c, id, epoch).await })
    }

    fn messages(
        &self,
        filter: MessageFilter,
        before: Option<MessageId>,
        limit: usize,
    ) -> Reply<Messages> {
        let epoch = self.epoch;
        let pool = if filter.is_scan() {
            &self.scans
        } else {
            &self.pool
        };
        pool.run(
            move |c| async move { messages::messages(&c, &filter, before, limit, epoch).await },
        )
    }

    fn events(&self, after: u64, filter: EventFilter, size: PageSize) -> Reply<Events> {
        if let Some(page) = self.shown.tail.after(after, &filter, size) {
            return Box::pin(async { Ok(page) });
        }
        let (epoch, shown) = (self.epoch, self.shown.clone());
        let pool = if filter.is_scan() {
            &self.scans
        } else {
            &self.pool
        };
        pool.run(move |c| async move {
            let last = shown.tail.bounds().last;
            let page = events::events(&c, after, last, &filter, size, epoch).await?;
            // After the look, so that nobody takes what was removed meanwhile for never there.
            shown.tail.forget(schema::fact(&c, "forgotten_to").await?);
            Ok(page)
        })
    }

    fn events_of(&self, id: MessageId, after: u64, size: PageSize) -> Reply<Events> {
        let epoch = self.epoch;
        self.pool
            .run(move |c| async move { events::events_of(&c, id, after, size, epoch).await })
    }

    fn bounds(&self) -> Reply<Bounds> {
        let bounds = self.shown.tail.bounds();
        Box::pin(async move { Ok(bounds) })
    }

    fn committed(&self) -> watch::Receiver<u64> {
        self.shown.tail.committed()
    }

    fn purge(&self, before: Timestamp, limit: usize) -> Reply<Step> {
        let shown = self.shown.clone();
        let purged = self
            .pool
            .transact(move |c| async move { retention::purge(&c, before, limit).await });
        Box::pin(async move {
            let (step, forgotten_to) = purged.await?;
            if let Some(forgotten_to) = forgotten_to {
                shown.tail.forget(forgotten_to);
            }
            Ok(step)
        })
    }

    fn discard_bodies(&self, limit: usize) -> Reply<Step> {
        self.pool
            .transact(move |c| async move { retention::discard_bodies(&c, limit).await })
    }

    fn forget_keys(&self, before: Timestamp, limit: usize) -> Reply<usize> {
        self.pool
            .transact(move |c| async move { retention::forget_keys(&c, before, limit).await })
    }

    fn check(&self) -> Reply<()> {
        self.writer
            .submit(Urgency::Ongoing, Weight::SMALL, Order::Check)
    }

    fn close(&self) -> Reply<()> {
        self.pool.close();
        self.scans.close();
        self.follower.abort();
        self.writer
            .submit(Urgency::Ongoing, Weight::default(), Order::Close)
    }
}
