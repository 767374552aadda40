//! The store on PostgreSQL: any number of replicas share the work, and share nothing else.
//!
//! | part          | does                                                              |
//! |---------------|-------------------------------------------------------------------|
//! | `writer`      | one session: takes messages in, appends to the log, in groups     |
//! | `transaction` | what a group is to the database: a trip while alone, else two     |
//! | `turn`        | how it begins, and what became of it when its answer was lost     |
//! | `memory`      | what need not be looked for while alone                           |
//! | `lease`       | this replica's right to what it holds                             |
//! | `membership`  | what it may do beside others, or alone                            |
//! | `lanes`       | locks the targets of new messages, and says whose they are        |
//! | `claim`       | picks up what others left here, takes over from dead replicas     |
//! | `follow`      | publishes the newest part of the log, also of other replicas      |
//! | `session`     | runs the verbs that both backends share                           |
//! | `pool`        | a few sessions for everything else                                |
//!
//! While the database is away every verb is refused; each session is opened anew when it is back.

mod accept;
mod address;
mod agent_events;
mod agent_leases;
mod agents;
mod append;
mod claim;
mod connection;
mod error;
mod follow;
mod group;
mod lanes;
mod lease;
mod membership;
mod memory;
mod pool;
mod receive;
mod record;
mod replicas;
mod report;
mod schema;
mod session;
mod share;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod transaction;
mod turn;
mod writer;
mod writes;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::backlog::{Urgency, Weight};
use super::engine::{Engine, ReadKind};
use super::session::{Session, SqlRow as _};
use super::tail::Tail;
use super::{
    Arrived, Bounds, Claimed, Observer, Record, Recorded, Reply, Reported, Store, StoreError,
    Submission, TailSize, Verdict, received,
};
use crate::message::{Event, Message, MessageId, Receipt, Received, Timestamp};
pub use address::Address;
use agent_leases::AgentHolders;
use connection::Connector;
use follow::{LogFollower, PublishedLog};
use group::Order;
use lease::Lease;
use memory::OwnMessages;
use pool::SessionPool;
pub use schema::begin_epoch;
use transaction::GroupWriter;
use writer::PostgresWriter;

/// How a database is used.
#[derive(Clone)]
pub struct Options {
    /// Its address, and the user for it.
    pub address: Address,
    /// How TLS is spoken with it; `None` for not at all.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// What this replica is called: for people, not for the database.
    pub replica: String,
    /// How long what this replica holds stays its own when nothing is heard from it.
    pub lease: Duration,
    /// Sessions for reading; there are four more: for writing, for following the log, for pages,
    /// and for scans.
    pub connections: usize,
    /// How much of the log is kept in memory for its followers.
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

/// Sessions for pages, and for scans.
const LISTS: usize = 1;
const SCANS: usize = 1;

struct Postgres {
    writer: PostgresWriter,
    pool: SessionPool,
    /// For pages, of which each may hold much: no look-up waits behind them.
    lists: SessionPool,
    /// For what may look at much and find little: nothing else waits behind that.
    scans: SessionPool,
    lease: Arc<Lease>,
    published: Arc<PublishedLog>,
    claimable: watch::Receiver<u64>,
    leads: watch::Receiver<bool>,
    agent_holders: Arc<AgentHolders>,
    follower: AbortHandle,
}

/// Opens a database, makes or updates its tables, and joins the replicas that work on it. `now`
/// names the epoch of a new one.
pub async fn open(options: Options, now: Timestamp) -> Result<Arc<dyn Store>, StoreError> {
    Ok(Arc::new(Postgres::open(options, now).await?))
}

impl Postgres {
    async fn open(options: Options, now: Timestamp) -> Result<Self, StoreError> {
        let connector = Connector::new(options.address, options.tls);
        let connection = connector.connect(None).await?;
        schema::migrate(&connection, now).await?;
        let epoch = schema::fact(&connection, "epoch").await?;
        let bounds = bounds(&connection).await?;
        let lease = Lease::enter(&connection, options.replica, options.lease).await?;
        lease.join(&connection, None).await?;
        let lease = Arc::new(lease);
        let published = Arc::new(PublishedLog::new(Arc::new(Tail::new(
            epoch,
            options.tail,
            bounds,
        ))));
        let (claimable, told) = watch::channel(0);
        let (leading, leads) = watch::channel(false);
        let follower = LogFollower {
            connector: connector.clone(),
            published: published.clone(),
            lease: lease.clone(),
            claimable,
            leading,
            epoch,
        };
        let follower = tokio::spawn(follower.run()).abort_handle();
        let agent_holders = Arc::new(AgentHolders::new(lease.clone()));
        let writer = PostgresWriter::start(writer::WriterParts {
            connector: connector.clone(),
            connection,
            group_writer: GroupWriter {
                lease: lease.clone(),
                agent_holders: agent_holders.clone(),
                epoch,
                turn: None,
                own: OwnMessages::default(),
            },
            published: published.clone(),
            observer: options.observer,
        });
        Ok(Self {
            writer,
            pool: SessionPool::new(connector.clone(), options.connections),
            lists: SessionPool::new(connector.clone(), LISTS),
            scans: SessionPool::new(connector, SCANS),
            lease,
            published,
            claimable: told,
            leads,
            agent_holders,
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
        last: row.number(0)?,
    })
}

impl Engine for Postgres {
    fn tail(&self) -> &Arc<Tail> {
        &self.published.tail
    }

    fn read_as<T: Send + 'static>(
        &self,
        kind: ReadKind,
        verb: impl FnOnce(&dyn Session) -> Result<T, StoreError> + Send + 'static,
    ) -> Reply<T> {
        let pool = match kind {
            ReadKind::LookUp => &self.pool,
            ReadKind::List => &self.lists,
            ReadKind::Scan => &self.scans,
        };
        pool.run(move |connection| session::run(connection, false, verb))
    }

    /// The pool's queue is bounded by itself.
    fn write<T: Send + 'static>(
        &self,
        _urgency: Urgency,
        _weight: Weight,
        verb: impl Fn(&dyn Session) -> Result<T, StoreError> + Send + Sync + 'static,
    ) -> Reply<T> {
        let verb = Arc::new(verb);
        self.pool.transact_apart(move |connection, is_apart| {
            let verb = verb.clone();
            session::run(connection, is_apart, move |session| verb(session))
        })
    }

    fn write_in_order<T: Send + 'static>(
        &self,
        urgency: Urgency,
        weight: Weight,
        verb: impl Fn(&dyn Session) -> Result<T, StoreError> + Send + Sync + 'static,
    ) -> Reply<T> {
        let verb = Arc::new(verb);
        self.writer
            .submit_alone(urgency, weight, move |connection| {
                let verb = verb.clone();
                session::run(connection, false, move |session| verb(session))
            })
    }
}

impl Store for Postgres {
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

    fn receive(&self, received: Vec<Received>) -> Reply<Vec<Arrived>> {
        let weight = Weight::of_received(&received);
        self.writer.submit(Urgency::New, weight, |answer| {
            Order::Receive(received, answer)
        })
    }

    fn report(&self, receipts: Vec<Receipt>) -> Reply<Vec<Reported>> {
        let weight = Weight::of_receipts(&receipts);
        self.writer.submit(Urgency::New, weight, |answer| {
            Order::Report(receipts, answer)
        })
    }

    fn append_agent_events(&self, events: Vec<Event>) -> Reply<()> {
        let (weight, lease) = (Weight::of_events(&events), self.lease.clone());
        let events: Arc<[Event]> = events.into();
        let appended = self
            .writer
            .submit_alone(Urgency::Ongoing, weight, move |connection| {
                let (lease, events) = (lease.clone(), events.clone());
                async move { agent_events::append(&connection, lease.number(), &events).await }
            });
        let published = self.published.clone();
        Box::pin(async move {
            appended.await?;
            published.read_on();
            Ok(())
        })
    }

    fn erase(&self, id: MessageId) -> Reply<bool> {
        let tail = self.published.tail.clone();
        let erased = self.write(Urgency::Ongoing, Weight::SMALL, move |session| {
            let erased = received::erase(session, tail.epoch(), id)?;
            if erased.is_some() {
                // Every replica looks then, this one too.
                let sql = "SELECT 1 FROM pg_notify('sipost_claims', '')";
                session.first(sql, &[], |_| Ok(()))?;
            }
            Ok(erased)
        });
        let tail = self.published.tail.clone();
        Box::pin(async move {
            let erased = erased.await?;
            let was_there = erased.is_some();
            erased.into_iter().for_each(|left| tail.erase(left));
            Ok(was_there)
        })
    }

    fn claim(&self, limit: usize) -> Reply<Vec<Claimed>> {
        let lease = self.lease.clone();
        self.writer
            .submit_alone(Urgency::Ongoing, Weight::SMALL, move |connection| {
                let lease = lease.clone();
                async move { claim::claim(&connection, &lease, limit).await }
            })
    }

    fn load(&self, ids: Vec<MessageId>) -> Reply<Vec<Arc<Message>>> {
        self.pool
            .run(move |c| async move { claim::load(&c, &ids).await })
    }

    fn check(&self) -> Reply<()> {
        self.writer
            .submit_alone(Urgency::Ongoing, Weight::SMALL, |_| async { Ok(()) })
    }

    fn close(&self) -> Reply<()> {
        self.pool.close();
        self.lists.close();
        self.scans.close();
        self.follower.abort();
        self.writer
            .submit(Urgency::Ongoing, Weight::default(), Order::Close)
    }
}
