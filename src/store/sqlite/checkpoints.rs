//! Moves the WAL into the database beside the writer, on a thread and a connection of its own: a
//! thousand pages take milliseconds, for which every commit would wait.
//!
//! | when                                      | which                         | is moved by                     |
//! |-------------------------------------------|-------------------------------|---------------------------------|
//! | so many pages are in the WAL alone        | those that are there          | the thread                      |
//! | at the first look after that              | the few that came meanwhile   | the writer, which can then begin the WAL anew |
//! | the WAL has [`WAL_PAGES`] all the same    | all                           | the writer, which waits for the thread |
//!
//! A reader that holds an old view keeps pages in the WAL for as long as it does.

use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;

use rusqlite::{Connection, Error, OpenFlags};

use super::schema::BUSY;
use super::writer::Weight;
use crate::store::StoreError;

/// Pages in the WAL alone for which the thread is woken.
const PAGES: i64 = 1_000;

/// What is committed between two looks at the WAL, in rows and in pages of bytes. A look costs as
/// much as a small commit, and a commit of one row writes a handful of pages.
const UNSEEN: usize = 16;

/// Changes that count as a row, at most: some verbs change many rows and weigh little. What a
/// message brings is in several tables.
const CHANGES: u64 = 4;

/// Bytes of a page.
const PAGE_BYTES: usize = 4_096;

/// Pages of the WAL from which on the writer waits for the thread, and moves them itself
/// (`wal_autocheckpoint`) when that has failed.
pub(super) const WAL_PAGES: i64 = 4_000;

/// The writer's side of the thread.
pub(super) struct Checkpoints {
    orders: mpsc::Sender<()>,
    done: mpsc::Receiver<()>,
    is_running: bool,
    /// Rows and pages of bytes that were committed since the WAL was looked at last.
    unseen: usize,
    /// Changes of the writer until its last commit.
    changes: u64,
    thread: JoinHandle<()>,
}

impl Checkpoints {
    /// Starts the thread, for the database that this connection writes to.
    pub(super) fn start(writer: &Connection) -> Result<Self, StoreError> {
        let synchronous: i64 = writer.pragma_query_value(None, "synchronous", |row| row.get(0))?;
        let path = writer.path().unwrap_or_default();
        let connection = open(Path::new(path), synchronous)?;
        let (orders, inbox) = mpsc::channel();
        let (outbox, done) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("store-checkpoint".to_owned())
            .spawn(move || {
                while inbox.recv().is_ok() {
                    // A failure shows at the writer, which has to move the pages then.
                    let _ = move_pages(&connection);
                    if outbox.send(()).is_err() {
                        return;
                    }
                }
            })
            .map_err(|error| StoreError::Away(error.to_string()))?;
        Ok(Self {
            orders,
            done,
            is_running: false,
            unseen: 0,
            changes: writer.total_changes(),
            thread,
        })
    }

    /// To be called by the writer after each commit, when its callers have their answers.
    pub(super) fn after_commit(&mut self, writer: &Connection, committed: Weight) {
        let changes = writer.total_changes();
        let changed = changes.saturating_sub(std::mem::replace(&mut self.changes, changes));
        let changed = usize::try_from(changed / CHANGES).unwrap_or(usize::MAX);
        let weighed = committed.rows + committed.bytes / PAGE_BYTES;
        self.unseen = self.unseen.saturating_add(weighed.max(changed));
        if self.unseen < UNSEEN {
            return;
        }
        self.unseen = 0;
        let Ok(wal) = WalPages::of(writer) else {
            return;
        };
        if !self.is_running {
            let is_due = wal.written - wal.moved >= PAGES;
            self.is_running = is_due && self.orders.send(()).is_ok();
            return;
        }
        let is_done = if wal.written >= WAL_PAGES {
            self.done.recv().is_ok()
        } else {
            self.done.try_recv().is_ok()
        };
        if is_done {
            self.is_running = false;
            let _ = move_pages(writer);
        }
    }

    /// Ends the thread, and closes its connection.
    pub(super) fn close(self) {
        drop(self.orders);
        // It has told before that it panicked.
        let _ = self.thread.join();
    }
}

fn open(path: &Path, synchronous: i64) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "synchronous", synchronous)?;
    Ok(connection)
}

/// Moves what no reader needs, without waiting for any.
fn move_pages(connection: &Connection) -> Result<(), Error> {
    let mut moving = connection.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?;
    moving.query_row([], |_| Ok(()))
}

/// Pages of the WAL, and how many of them are in the database too.
struct WalPages {
    written: i64,
    moved: i64,
}

impl WalPages {
    fn of(connection: &Connection) -> Result<Self, Error> {
        let mut asking = connection.prepare_cached("PRAGMA wal_checkpoint(NOOP)")?;
        asking.query_row([], |row| {
            Ok(Self {
                written: row.get(1)?,
                moved: row.get(2)?,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    struct WalFixture {
        folder: TempDir,
        writer: Connection,
        checkpoints: Checkpoints,
    }

    impl WalFixture {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let writer = Connection::open(folder.path().join("test.db")).unwrap();
            writer.pragma_update(None, "journal_mode", "WAL").unwrap();
            writer
                .pragma_update(None, "wal_autocheckpoint", WAL_PAGES)
                .unwrap();
            writer.execute_batch("CREATE TABLE t (x BLOB)").unwrap();
            let checkpoints = Checkpoints::start(&writer).unwrap();
            Self {
                folder,
                writer,
                checkpoints,
            }
        }

        /// Commits a hundred pages.
        fn commit(&mut self) {
            let insert = "INSERT INTO t VALUES (zeroblob(400000))";
            let bytes = 400_000;
            self.commit_by(insert, Weight { rows: 1, bytes });
        }

        fn commit_by(&mut self, insert: &str, committed: Weight) {
            self.writer.execute(insert, []).unwrap();
            self.checkpoints.after_commit(&self.writer, committed);
        }

        fn unmoved(&self) -> i64 {
            let wal = WalPages::of(&self.writer).unwrap();
            wal.written - wal.moved
        }

        fn wal(&self) -> u64 {
            let file = self.folder.path().join("test.db-wal");
            file.metadata().unwrap().len() / PAGE_BYTES as u64
        }

        /// Commits until the thread has moved pages; how many commits there were.
        fn commit_until_moved(&mut self) -> u32 {
            let mut count = 0;
            while !self.checkpoints.is_running {
                self.commit();
                count += 1;
            }
            self.checkpoints.done.recv().unwrap();
            self.checkpoints.is_running = false;
            count
        }
    }

    #[test]
    fn the_thread_moves_what_is_in_the_wal_alone() {
        let mut fixture = WalFixture::new();
        let commits = fixture.commit_until_moved();
        assert!((9..12).contains(&commits), "{commits}");
        assert_eq!(fixture.unmoved(), 0);
    }

    #[test]
    fn rows_that_a_verb_does_not_weigh_are_seen_in_the_wal() {
        let mut fixture = WalFixture::new();
        let insert = "WITH RECURSIVE n (x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM n LIMIT 100) \
             INSERT INTO t SELECT zeroblob(4000) FROM n";
        let mut commits = 0;
        while !fixture.checkpoints.is_running {
            fixture.commit_by(insert, Weight::SMALL);
            commits += 1;
        }
        assert!((9..12).contains(&commits), "{commits}");
    }

    #[test]
    fn the_wal_begins_anew_however_much_is_written() {
        let mut fixture = WalFixture::new();
        for _ in 0..200 {
            fixture.commit();
        }
        // Twenty thousand pages were written, by commits of a hundred.
        assert!(
            fixture.wal() < u64::try_from(WAL_PAGES).unwrap() + 200,
            "{}",
            fixture.wal()
        );
    }

    #[test]
    fn a_reader_keeps_pages_in_the_wal_no_longer_than_it_needs_them() {
        let mut fixture = WalFixture::new();
        let path = fixture.writer.path().unwrap().to_owned();
        let reader = Connection::open(path).unwrap();
        let count = "SELECT count(*) FROM t";
        let view = reader.unchecked_transaction().unwrap();
        let seen: i64 = view.query_row(count, [], |row| row.get(0)).unwrap();
        for _ in 0..2 {
            fixture.commit_until_moved();
        }
        let kept: i64 = view.query_row(count, [], |row| row.get(0)).unwrap();
        assert_eq!(kept, seen);
        assert!(fixture.unmoved() >= PAGES);
        drop(view);
        fixture.commit_until_moved();
        assert_eq!(fixture.unmoved(), 0);
    }

    #[test]
    fn closing_ends_the_thread_with_its_connection() {
        let mut fixture = WalFixture::new();
        fixture.commit_until_moved();
        fixture.checkpoints.close();
        let path = fixture.writer.path().unwrap().to_owned();
        drop(fixture.writer);
        // The last connection to a database removes its WAL.
        assert!(!Path::new(&format!("{path}-wal")).exists());
    }
}
