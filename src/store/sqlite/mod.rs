//! The store on SQLite: one file, one writer, a few readers, nothing to install.
//!
//! One thread owns the connection that writes; see [`writer`]. Queries run on connections of their
//! own and hold up neither it nor each other, and followers of the log are served from memory.

mod accept;
mod agent_events;
mod backup;
mod checkpoints;
mod claim;
mod error;
mod header;
mod lock;
mod log;
mod readers;
mod receive;
mod record;
mod report;
mod schema;
mod session;
#[cfg(test)]
mod tests;
mod transaction;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use super::Observer;
use super::engine::{Engine, ReadKind};
use super::session::Session;
use super::tail::Tail;
use super::{
    Arrived, Bounds, Claimed, Record, Recorded, ReplicaStore, Reply, Reported, Store, StoreError,
    Submission, TailSize, Verdict,
};
use crate::message::{Event, Message, MessageId, Receipt, Received, Timestamp};
pub use backup::backup;
pub use backup::restore;
pub use backup::{BackupError, Restored};
pub use header::is_other_file;
use lock::ProcessLock;
use readers::Readers;
use session::SqliteSession;
use transaction::Positions;
use writer::{SqliteWriter, Urgency, Weight};

/// How a database is opened.
#[derive(Clone)]
pub struct Options {
    /// The file; made when it is not there.
    pub path: PathBuf,
    /// When a commit counts as durable.
    pub synchronous: Synchronous,
    /// How much of the log is kept in memory for its followers.
    pub tail: TailSize,
    /// Told of every commit.
    pub observer: Arc<dyn Observer>,
}

impl Options {
    /// A database in this file, and what suits most.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            synchronous: Synchronous::Full,
            tail: TailSize {
                events: 16_384,
                bytes: 32 * 1024 * 1024,
            },
            observer: Arc::new(()),
        }
    }
}

/// When a commit counts as durable.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Synchronous {
    /// When it is on the disk: it survives a power failure.
    Full,
    /// When the operating system has it: it survives the end of the gateway in whatever way. When
    /// the power fails, or the kernel, the last seconds may be missing although they were
    /// answered: messages with a 202 would never be sent, and others sent again.
    Normal,
}

/// Connections for look-ups, for pages, and for scans.
const READERS: usize = 4;
const LISTS: usize = 2;
const SCANS: usize = 2;

struct Sqlite {
    writer: SqliteWriter,
    readers: Readers,
    /// For pages, of which each may hold much: no look-up waits behind them.
    lists: Readers,
    /// For what may look at much and find little: nothing else waits behind that.
    scans: Readers,
    tail: Arc<Tail>,
}

/// Opens a database, and makes it when it is not there. `now` names the epoch of a new one.
///
/// Blocks while it reads, and for as long as an older database takes to be brought up to date.
pub fn open(options: Options, now: Timestamp) -> Result<Arc<dyn Store>, StoreError> {
    Ok(Arc::new(Sqlite::open(options, now)?))
}

impl Sqlite {
    fn open(options: Options, now: Timestamp) -> Result<Self, StoreError> {
        let lock = ProcessLock::take(&options.path)?;
        let connection = schema::writer(&options, now)?;
        let epoch = schema::fact(&connection, "epoch")?;
        let positions = Positions::read(&connection)?;
        let bounds = Bounds {
            forgotten_to: schema::fact(&connection, "forgotten_to")?,
            last: positions.last_event,
        };
        let tail = Arc::new(Tail::new(epoch, options.tail, bounds));
        let writer = SqliteWriter::start(
            connection,
            lock,
            epoch,
            positions,
            tail.clone(),
            options.observer,
        )?;
        Ok(Self {
            writer,
            readers: Readers::new(options.path.clone(), READERS),
            lists: Readers::new(options.path.clone(), LISTS),
            scans: Readers::new(options.path, SCANS),
            tail,
        })
    }
}

impl Engine for Sqlite {
    fn tail(&self) -> &Arc<Tail> {
        &self.tail
    }

    fn read_as<T: Send + 'static>(
        &self,
        kind: ReadKind,
        verb: impl FnOnce(&dyn Session) -> Result<T, StoreError> + Send + 'static,
    ) -> Reply<T> {
        let readers = match kind {
            ReadKind::LookUp => &self.readers,
            ReadKind::List => &self.lists,
            ReadKind::Scan => &self.scans,
        };
        readers.read(move |connection| {
            // One view of the database for all that the verb reads.
            let view = connection.unchecked_transaction()?;
            verb(&SqliteSession {
                connection: &view,
                is_apart: false,
            })
        })
    }

    fn write<T: Send + 'static>(
        &self,
        urgency: Urgency,
        weight: Weight,
        verb: impl Fn(&dyn Session) -> Result<T, StoreError> + Send + Sync + 'static,
    ) -> Reply<T> {
        self.writer.submit(urgency, weight, move |transaction| {
            verb(&SqliteSession::of(transaction))
        })
    }
}

/// No other process has the database open.
impl ReplicaStore for Sqlite {}

impl Store for Sqlite {
    fn accept(&self, submissions: Vec<Submission>) -> Reply<Vec<Verdict>> {
        let weight = Weight::of_submissions(&submissions);
        self.writer
            .submit(Urgency::New, weight, move |transaction| {
                accept::accept(transaction, &submissions)
            })
    }

    fn record(&self, records: Arc<[Record]>) -> Reply<Vec<Recorded>> {
        let weight = Weight::of_records(&records);
        self.writer
            .submit(Urgency::Ongoing, weight, move |transaction| {
                record::record(transaction, &records)
            })
    }

    fn accept_and_record(
        &self,
        submissions: Vec<Submission>,
        records: Arc<[Record]>,
    ) -> (Reply<Vec<Verdict>>, Reply<Vec<Recorded>>) {
        let weight = Weight::of_submissions(&submissions);
        let (accept, accepted) = self
            .writer
            .prepare(Urgency::New, weight, move |transaction| {
                accept::accept(transaction, &submissions)
            });
        let weight = Weight::of_records(&records);
        let (record, recorded) =
            self.writer
                .prepare(Urgency::Ongoing, weight, move |transaction| {
                    record::record(transaction, &records)
                });
        self.writer
            .order(accept.into_iter().chain(record).collect());
        (accepted, recorded)
    }

    fn receive(&self, received: Vec<Received>) -> Reply<Vec<Arrived>> {
        let weight = Weight::of_received(&received);
        self.writer
            .submit(Urgency::New, weight, move |transaction| {
                receive::receive(transaction, &received)
            })
    }

    fn append_agent_events(&self, events: Vec<Event>) -> Reply<()> {
        let weight = Weight::of_events(&events);
        self.writer
            .submit(Urgency::Ongoing, weight, move |transaction| {
                agent_events::append(transaction, &events)
            })
    }

    fn report(&self, receipts: Vec<Receipt>) -> Reply<Vec<Reported>> {
        let weight = Weight::of_receipts(&receipts);
        self.writer
            .submit(Urgency::New, weight, move |transaction| {
                report::report(transaction, &receipts)
            })
    }

    fn erase(&self, id: MessageId) -> Reply<bool> {
        self.writer
            .submit(Urgency::Ongoing, Weight::SMALL, move |transaction| {
                receive::erase(transaction, id)
            })
    }

    fn claim(&self, limit: usize) -> Reply<Vec<Claimed>> {
        self.writer
            .submit(Urgency::Ongoing, Weight::SMALL, move |transaction| {
                claim::claim(transaction, limit)
            })
    }

    fn load(&self, ids: Vec<MessageId>) -> Reply<Vec<Arc<Message>>> {
        self.readers
            .read(move |connection| claim::load(connection, &ids))
    }

    fn check(&self) -> Reply<()> {
        self.writer
            .submit(Urgency::Ongoing, Weight::SMALL, |transaction| {
                schema::count_check(transaction.connection)?;
                Ok(())
            })
    }

    fn close(&self) -> Reply<()> {
        self.readers.close();
        self.lists.close();
        self.scans.close();
        self.writer.close()
    }
}

/// The path of a file beside this one, whose name goes on with `end`.
fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}
