//! The store on SQLite: one file, one writer, any number of readers, nothing to install.
//!
//! `number` orders messages as they were accepted, so pages and claims follow it; what grows
//! without bound is only ever appended to and read by key.

mod error;
mod rows;
mod schema;
mod writer;

use std::fs::File;
use std::fs::TryLockError;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::RwLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::Error;
use rusqlite::OptionalExtension as _;
use rusqlite::params;
use tokio::sync::Semaphore;
use tokio::sync::oneshot;
use tokio::sync::watch;

use super::Bounds;
use super::Claimed;
use super::EventFilter;
use super::Events;
use super::Logged;
use super::MessageFilter;
use super::Messages;
use super::Record;
use super::Recorded;
use super::Reply;
use super::Store;
use super::StoreError;
use super::Stored;
use super::Submission;
use super::Verdict;
use super::tail::Tail;
use crate::message::Message;
use crate::message::MessageId;
use crate::message::Status;
use crate::message::Timestamp;
use error::store_error;
use writer::Job;
use writer::Waiting;
use writer::Writer;

/// How a database is opened.
#[derive(Clone)]
pub struct Options {
    /// The file; made when it is not there.
    pub path: PathBuf,
    /// When a commit counts as durable.
    pub synchronous: Synchronous,
    /// Told of every commit.
    pub observer: Arc<dyn Observer>,
}

/// When a commit counts as durable.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Synchronous {
    /// When it is on the disk: it survives a power failure.
    Full,
    /// When the operating system has it: it survives a crash of the gateway, and a power failure
    /// may take the last commits although they were answered.
    Normal,
}

/// Who wants to know how commits go.
pub trait Observer: Send + Sync {
    /// A transaction with this many rows took so long, its sync included.
    fn committed(&self, took: Duration, rows: usize);
}

impl Observer for () {
    fn committed(&self, _took: Duration, _rows: usize) {}
}

/// Rows that may wait for the writer; of more, new messages are refused.
const MAX_PENDING_ROWS: usize = 200_000;
/// Events and bytes of events kept in memory for those who follow the log.
const TAIL_EVENTS: usize = 16_384;
const TAIL_BYTES: usize = 32 * 1024 * 1024;
/// Readers at work at the same time.
const READERS: usize = 4;
/// Rows a page looks at.
const SCAN: usize = 5_000;

/// What the writer and the readers share.
pub(super) struct Shared {
    epoch: u64,
    tail: RwLock<Tail>,
    last: watch::Sender<u64>,
    forgotten_to: AtomicU64,
    pending_rows: AtomicUsize,
    observer: Arc<dyn Observer>,
}

impl Shared {
    /// Shows events that have become durable.
    fn committed(&self, logged: Vec<Logged>, forgotten_to: Option<u64>) {
        if let Some(seq) = forgotten_to {
            self.forgotten_to.fetch_max(seq, Ordering::Release);
        }
        let Some(last) = logged.last().map(|event| event.seq) else {
            return;
        };
        self.tail
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(logged);
        self.last.send_replace(last);
    }
}

struct Sqlite {
    shared: Arc<Shared>,
    jobs: Mutex<mpsc::Sender<Job>>,
    readers: Arc<Readers>,
    /// Held for the life of the store: one process writes.
    _lock: File,
}

struct Readers {
    path: PathBuf,
    permits: Semaphore,
    idle: Mutex<Vec<Connection>>,
}

/// Opens a database, and makes it when it is not there. `now` names the epoch of a new one.
pub fn open(options: Options, now: Timestamp) -> Result<Arc<dyn Store>, StoreError> {
    let lock = lock(&options)?;
    let connection = schema::writer(&options, now)?;
    let known = |error: Error| store_error(&error);
    let epoch = schema::fact(&connection, "epoch").map_err(known)?;
    let forgotten_to = schema::fact(&connection, "forgotten_to").map_err(known)?;
    let last: u64 = connection
        .query_row("SELECT coalesce(max(seq), 0) FROM events", [], |row| {
            row.get(0)
        })
        .map_err(known)?;
    let shared = Arc::new(Shared {
        epoch,
        tail: RwLock::new(Tail::new(last, TAIL_EVENTS, TAIL_BYTES)),
        last: watch::Sender::new(last),
        forgotten_to: AtomicU64::new(forgotten_to),
        pending_rows: AtomicUsize::new(0),
        observer: options.observer.clone(),
    });
    let writer = Writer::new(connection, shared.clone(), last).map_err(known)?;
    let (jobs, inbox) = mpsc::channel();
    std::thread::Builder::new()
        .name("store-writer".to_owned())
        .spawn(move || writer.run(&inbox))
        .map_err(|error| StoreError::Away(error.to_string()))?;
    let readers = Readers {
        path: options.path,
        permits: Semaphore::new(READERS),
        idle: Mutex::new(Vec::new()),
    };
    Ok(Arc::new(Sqlite {
        shared,
        jobs: Mutex::new(jobs),
        readers: Arc::new(readers),
        _lock: lock,
    }))
}

/// Makes sure that no other process has the store open: two writers would each keep what they took
/// in for themselves, and after a restart send the other's messages again.
fn lock(options: &Options) -> Result<File, StoreError> {
    let mut path = options.path.clone().into_os_string();
    path.push(".lock");
    let away = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::ReadOnlyFilesystem | std::io::ErrorKind::PermissionDenied => {
            StoreError::ReadOnly(error.to_string())
        }
        std::io::ErrorKind::StorageFull => StoreError::Full(error.to_string()),
        _ => StoreError::Away(format!("{}: {error}", options.path.display())),
    };
    let file = File::options()
        .create(true)
        .write(true)
        .truncate(false)
        .open(path)
        .map_err(away)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked(format!(
            "{} is open in another sipost",
            options.path.display()
        ))),
        Err(TryLockError::Error(error)) => Err(away(error)),
    }
}

impl Sqlite {
    /// Hands a job to the writer, now: jobs take effect in the order of the calls.
    fn write<T: Send + 'static>(&self, job: impl FnOnce(Waiting<T>) -> Job) -> Reply<T> {
        let (waiting, answer) = oneshot::channel();
        let job = job(waiting);
        self.shared
            .pending_rows
            .fetch_add(job.rows(), Ordering::Relaxed);
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        // A writer that is gone drops the waiter, which reads `Closed`.
        let _ = jobs.send(job);
        Box::pin(async move { answer.await.unwrap_or(Err(StoreError::Closed)) })
    }

    fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Reply<T> {
        let readers = self.readers.clone();
        Box::pin(async move {
            let _permit = readers
                .permits
                .acquire()
                .await
                .map_err(|_| StoreError::Closed)?;
            let readers = readers.clone();
            tokio::task::spawn_blocking(move || readers.run(query))
                .await
                .unwrap_or(Err(StoreError::Closed))
        })
    }
}

impl Readers {
    fn run<T>(&self, query: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, StoreError> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let connection = match idle {
            Some(connection) => connection,
            None => schema::reader(&self.path).map_err(|error| store_error(&error))?,
        };
        // One that failed is not used again: its successor is opened on what is there then.
        let found = query(&connection).map_err(|error| store_error(&error))?;
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(connection);
        Ok(found)
    }
}

impl Store for Sqlite {
    fn epoch(&self) -> u64 {
        self.shared.epoch
    }

    fn accept(&self, submissions: Vec<Submission>) -> Reply<Vec<Verdict>> {
        if self.shared.pending_rows.load(Ordering::Relaxed) > MAX_PENDING_ROWS {
            return Box::pin(async { Err(StoreError::Overloaded) });
        }
        self.write(|waiting| Job::Accept(submissions, waiting))
    }

    fn record(&self, records: Vec<Record>) -> Reply<Vec<Recorded>> {
        self.write(|waiting| Job::Record(records, waiting))
    }

    fn claim(&self, limit: usize) -> Reply<Vec<Claimed>> {
        self.write(|waiting| Job::Claim(limit, waiting))
    }

    fn load(&self, ids: Vec<MessageId>) -> Reply<Vec<Arc<Message>>> {
        self.read(move |connection| {
            let sql = format!("SELECT {} FROM messages WHERE id = ?1", rows::MESSAGE);
            let mut statement = connection.prepare_cached(&sql)?;
            let mut found = Vec::with_capacity(ids.len());
            for id in ids {
                let message = statement
                    .query_row([id.as_bytes()], rows::message)
                    .optional()?;
                found.extend(message.map(Arc::new));
            }
            Ok(found)
        })
    }

    fn message(&self, id: MessageId) -> Reply<Option<Stored>> {
        let epoch = self.shared.epoch;
        self.read(move |connection| {
            let sql = format!("{} WHERE m.id = ?1", stored_query());
            connection
                .prepare_cached(&sql)?
                .query_row([id.as_bytes()], |row| stored(row, epoch))
                .map(|(stored, _)| stored)
                .optional()
        })
    }

    fn messages(
        &self,
        filter: MessageFilter,
        before: Option<MessageId>,
        limit: usize,
    ) -> Reply<Messages> {
        let epoch = self.shared.epoch;
        self.read(move |connection| list(connection, &filter, before, limit, epoch))
    }

    fn events(&self, after: u64, filter: EventFilter, limit: usize) -> Reply<Events> {
        let tail = self
            .shared
            .tail
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = tail.after(after, &filter, limit) {
            return Box::pin(async { Ok(found) });
        }
        drop(tail);
        let epoch = self.shared.epoch;
        let last = *self.shared.last.borrow();
        self.read(move |connection| events(connection, after, last, &filter, limit, epoch))
    }

    fn events_of(&self, id: MessageId) -> Reply<Vec<Logged>> {
        let epoch = self.shared.epoch;
        self.read(move |connection| {
            let sql = format!(
                "SELECT {} FROM events WHERE message_id = ?1 ORDER BY seq",
                rows::LOGGED
            );
            connection
                .prepare_cached(&sql)?
                .query_map([id.as_bytes()], |row| rows::logged(row, 0, epoch))?
                .collect()
        })
    }

    fn bounds(&self) -> Reply<Bounds> {
        let bounds = Bounds {
            forgotten_to: self.shared.forgotten_to.load(Ordering::Acquire),
            last: *self.shared.last.borrow(),
        };
        Box::pin(async move { Ok(bounds) })
    }

    fn committed(&self) -> watch::Receiver<u64> {
        self.shared.last.subscribe()
    }

    fn purge(&self, before: Timestamp, limit: usize) -> Reply<usize> {
        self.write(|waiting| Job::Purge(before, limit, waiting))
    }

    fn discard_bodies(&self, limit: usize) -> Reply<usize> {
        self.write(|waiting| Job::DiscardBodies(limit, waiting))
    }

    fn forget_keys(&self, before: Timestamp, limit: usize) -> Reply<usize> {
        self.write(|waiting| Job::ForgetKeys(before, limit, waiting))
    }

    fn check(&self) -> Reply<()> {
        self.write(Job::Check)
    }

    fn close(&self) -> Reply<()> {
        self.write(Job::Close)
    }
}

/// A message, where it stands, and its terminal event.
fn stored_query() -> String {
    let message: Vec<_> = rows::MESSAGE
        .split(',')
        .map(|name| format!("m.{}", name.trim()))
        .collect();
    let event: Vec<_> = rows::LOGGED
        .split(',')
        .map(|name| format!("e.{}", name.trim()))
        .collect();
    format!(
        "SELECT {}, m.status, m.attempt, m.completed_at, m.not_before, m.number, {} \
         FROM messages m LEFT JOIN events e ON e.seq = m.result",
        message.join(", "),
        event.join(", ")
    )
}

/// Reads a row of [`stored_query`], and the number of the message.
fn stored(row: &rusqlite::Row<'_>, epoch: u64) -> Result<(Stored, i64), Error> {
    let at = rows::MESSAGE_COLUMNS;
    let has_result = row.get::<_, Option<u64>>(at + 5)?.is_some();
    let stored = Stored {
        message: Arc::new(rows::message(row)?),
        status: rows::status(row, at)?,
        attempt: row.get(at + 1)?,
        completed_at: rows::optional_time(row, at + 2)?,
        not_before: rows::optional_time(row, at + 3)?,
        result: has_result
            .then(|| rows::logged(row, at + 5, epoch))
            .transpose()?,
    };
    Ok((stored, row.get(at + 4)?))
}

/// One page of messages, newest first. Where an index knows the status it is used; otherwise a
/// bounded number of rows is looked at.
fn list(
    connection: &Connection,
    filter: &MessageFilter,
    before: Option<MessageId>,
    limit: usize,
    epoch: u64,
) -> Result<Messages, Error> {
    let number = |id: MessageId| {
        connection
            .prepare_cached("SELECT number FROM messages WHERE id = ?1")?
            .query_row([id.as_bytes()], |row| row.get::<_, i64>(0))
            .optional()
    };
    let mut from = match before {
        None => i64::MAX,
        // A cursor whose message was removed meanwhile: everything older was, too.
        Some(id) => match number(id)? {
            Some(number) => number,
            None => return Ok(Messages::default()),
        },
    };
    let condition = match filter.status {
        None => "",
        Some(Status::Scheduled) => "AND m.status < 3 AND m.status = 0",
        Some(Status::Queued) => "AND m.status < 3 AND m.status = 1",
        Some(Status::Sending) => "AND m.status < 3 AND m.status = 2",
        Some(Status::Succeeded) => "AND m.status = 3",
        Some(Status::Failed) => "AND m.status = 4",
    };
    let sql = format!(
        "{} WHERE m.number < ?1 {condition} ORDER BY m.number DESC LIMIT ?2",
        stored_query()
    );
    let is_plain = filter.uri.is_none() && filter.account.is_none();
    let scan = if is_plain { limit + 1 } else { SCAN };
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![from, scan])?;
    let (mut page, mut looked_at, mut last) = (Messages::default(), 0, None);
    while let Some(row) = rows.next()? {
        if page.messages.len() == limit {
            page.next = last;
            return Ok(page);
        }
        let (stored, number) = stored(row, epoch)?;
        looked_at += 1;
        from = number;
        last = Some(stored.message.id);
        let same = |wanted: &Option<Arc<str>>, given: Option<&Arc<str>>| {
            wanted.as_ref().is_none_or(|wanted| Some(wanted) == given)
        };
        if same(&filter.uri, Some(&stored.message.uri))
            && same(&filter.account, stored.message.account.as_ref())
        {
            page.messages.push(stored);
        }
    }
    page.next = last.filter(|_| looked_at == scan && from > 1);
    Ok(page)
}

/// One page of the log, up to what is known to be durable.
fn events(
    connection: &Connection,
    after: u64,
    last: u64,
    filter: &EventFilter,
    limit: usize,
    epoch: u64,
) -> Result<Events, Error> {
    let condition = match filter.message_id {
        Some(_) => "message_id = ?4 AND",
        None => "?4 IS NULL AND",
    };
    let sql = format!(
        "SELECT {} FROM events WHERE {condition} seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3",
        rows::LOGGED
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let id = filter.message_id.map(|id| *id.as_bytes());
    let mut rows = statement.query(params![after, last, SCAN, id])?;
    let (mut found, mut looked_at) = (
        Events {
            events: Vec::new(),
            scanned_to: after,
        },
        0,
    );
    while let Some(row) = rows.next()? {
        if found.events.len() == limit {
            return Ok(found);
        }
        let event = rows::logged(row, 0, epoch)?;
        looked_at += 1;
        found.scanned_to = event.seq;
        if filter.passes(&event) {
            found.events.push(event);
        }
    }
    if looked_at < SCAN {
        found.scanned_to = found.scanned_to.max(last);
    }
    Ok(found)
}
