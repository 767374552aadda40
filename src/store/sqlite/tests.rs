//! What only SQLite has: files, and everything that can be wrong with them.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use rusqlite::Connection;

use super::*;
use crate::message::Status;
use crate::store::suite::TestStore;
use crate::store::suite::samples::{accept, at, id, message, sending, submission, succeeded};
use crate::store::{LogStore as _, MessageFilter, suite};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("sipost.db")
    }

    fn sqlite(&self) -> Result<Sqlite, StoreError> {
        Sqlite::open(Options::new(self.path()), at(0))
    }

    /// The store, and the same once more as what it is, for tests that reach into it.
    fn both(&self) -> (Arc<dyn Store>, Arc<Sqlite>) {
        let store = Arc::new(self.sqlite().unwrap());
        (store.clone(), store)
    }

    fn refusal(&self) -> StoreError {
        match self.sqlite() {
            Ok(_) => panic!("it was opened"),
            Err(error) => error,
        }
    }
}

impl TestStore for Folder {
    fn open(&self) -> Arc<dyn Store> {
        Arc::new(self.sqlite().unwrap())
    }

    fn refuse(&self, table: &str, column: &str) {
        let sql = format!(
            "CREATE TRIGGER refuse_{table} BEFORE INSERT ON {table} WHEN NEW.{column} = '{}' \
             BEGIN SELECT RAISE(ABORT, 'refused'); END",
            suite::REFUSED
        );
        Connection::open(self.path())
            .unwrap()
            .execute_batch(&sql)
            .unwrap();
    }
}

suite::store_suite!(Folder::new);

impl Sqlite {
    /// Runs a pragma on the connection that writes.
    async fn pragma(&self, sql: &str) {
        let sql = sql.to_owned();
        self.writer
            .submit(Urgency::Ongoing, Weight::SMALL, move |transaction| {
                transaction.connection.execute_batch(&sql)?;
                Ok(())
            })
            .await
            .unwrap();
    }

    /// Holds up the writer until the returned sender is dropped; what is submitted meanwhile makes
    /// one group.
    fn hold_up(&self) -> mpsc::Sender<()> {
        let (begin, begun) = mpsc::channel();
        let (release, released) = mpsc::channel();
        drop(
            self.writer
                .submit(Urgency::Ongoing, Weight::SMALL, move |_| {
                    begin.send(()).unwrap();
                    let _ = released.recv();
                    Ok(())
                }),
        );
        begun.recv().unwrap();
        release
    }
}

fn one(number: u64) -> Vec<Submission> {
    vec![submission(vec![message(number)])]
}

#[cfg(unix)]
#[tokio::test]
async fn a_new_database_is_for_nobody_else_to_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new();
    let store = folder.open();
    accept(&store, [1]).await;
    for file in [
        "sipost.db",
        "sipost.db-wal",
        "sipost.db-shm",
        "sipost.db.lock",
    ] {
        let file = folder.path().with_file_name(file);
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
    store.close().await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn a_lock_that_everybody_could_hold_is_made_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new();
    let lock = folder.path().with_file_name("sipost.db.lock");
    fs::write(&lock, "").unwrap();
    fs::set_permissions(&lock, fs::Permissions::from_mode(0o644)).unwrap();
    folder.open().close().await.unwrap();
    let mode = fs::metadata(&lock).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_second_process_is_told_who_has_the_store() {
    let folder = Folder::new();
    let store = folder.open();
    let refusal = folder.refusal();
    assert!(matches!(refusal, StoreError::Locked(_)), "{refusal}");
    assert!(refusal.to_string().contains("another sipost has it open"));
    store.close().await.unwrap();
    folder.open().close().await.unwrap();
}

#[tokio::test]
async fn a_full_disk_refuses_and_is_recovered_from() {
    let folder = Folder::new();
    let (store, sqlite) = folder.both();
    accept(&store, [1]).await;
    sqlite.pragma("PRAGMA max_page_count = 20").await;

    let large = message(2).with(|contents| contents.body = vec![b'x'; 100_000].into());
    let refusal = store.accept(vec![submission(vec![large])]).await;
    assert!(matches!(refusal, Err(StoreError::Full(_))), "{refusal:?}");
    assert!(store.message(id(2)).await.unwrap().is_none());
    // What is small enough still goes in, and what was there can be read.
    accept(&store, [3]).await;
    assert!(store.message(id(1)).await.unwrap().is_some());

    sqlite.pragma("PRAGMA max_page_count = 1000000").await;
    accept(&store, [2]).await;
    store.check().await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test]
async fn events_that_did_not_fit_are_seen_by_nobody_and_leave_no_gap() {
    let folder = Folder::new();
    let (store, sqlite) = folder.both();
    accept(&store, [1]).await;
    sqlite.pragma("PRAGMA max_page_count = 20").await;
    let mut large = sending(1, 1, 1);
    large
        .event
        .metadata
        .insert("k".to_owned(), "x".repeat(100_000));
    let refusal = store
        .record(vec![sending(1, 1, 1), large.clone()].into())
        .await;
    assert!(matches!(refusal, Err(StoreError::Full(_))), "{refusal:?}");
    assert_eq!(*store.committed().borrow(), 0);
    let stored = store.message(id(1)).await.unwrap().unwrap();
    assert_eq!((stored.status, stored.attempt), (Status::Queued, 0));

    sqlite.pragma("PRAGMA max_page_count = 1000000").await;
    let answers = store
        .record(vec![sending(1, 1, 1), large].into())
        .await
        .unwrap();
    assert_eq!(answers, [Recorded::Appended(1), Recorded::Appended(2)]);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_store_that_cannot_be_written_can_still_be_read() {
    let folder = Folder::new();
    let (store, sqlite) = folder.both();
    accept(&store, [1]).await;
    sqlite.pragma("PRAGMA query_only = ON").await;
    for refusal in [
        store.accept(one(2)).await.map(drop),
        store.record(vec![sending(1, 1, 1)].into()).await.map(drop),
        store.check().await,
    ] {
        assert!(
            matches!(refusal, Err(StoreError::ReadOnly(_))),
            "{refusal:?}"
        );
    }
    assert!(store.message(id(1)).await.unwrap().is_some());
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_database_that_another_program_writes_is_waited_for_and_recovered_from() {
    let folder = Folder::new();
    let (store, sqlite) = folder.both();
    sqlite.pragma("PRAGMA busy_timeout = 20").await;
    let other = Connection::open(folder.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refusal = store.accept(one(1)).await;
    assert!(matches!(refusal, Err(StoreError::Locked(_))), "{refusal:?}");

    other.execute_batch("COMMIT").unwrap();
    accept(&store, [1]).await;
    store.close().await.unwrap();
}

#[tokio::test]
async fn garbage_is_not_opened_and_not_touched() {
    let folder = Folder::new();
    let garbage = "no database at all; ".repeat(1_000);
    fs::write(folder.path(), &garbage).unwrap();
    let refusal = folder.refusal();
    assert!(matches!(refusal, StoreError::Damaged(_)), "{refusal}");
    assert_eq!(fs::read_to_string(folder.path()).unwrap(), garbage);
}

#[tokio::test]
async fn pages_that_went_bad_are_told_of() {
    let folder = Folder::new();
    let store = folder.open();
    accept(&store, 1..=400).await;
    store.close().await.unwrap();
    let mut bytes = fs::read(folder.path()).unwrap();
    let spoilt = bytes.len().saturating_sub(40 * 4_096);
    bytes[spoilt..].fill(0xa5);
    fs::write(folder.path(), bytes).unwrap();

    let refusal = match folder.sqlite() {
        Ok(store) => store
            .load((1..=400).map(id).collect())
            .await
            .expect_err("it was read"),
        Err(error) => error,
    };
    assert!(matches!(refusal, StoreError::Damaged(_)), "{refusal}");
}

#[tokio::test]
async fn a_database_of_another_program_is_refused_as_it_is() {
    let folder = Folder::new();
    let other = Connection::open(folder.path()).unwrap();
    other.execute_batch("CREATE TABLE t (a)").unwrap();
    drop(other);
    let before = fs::read(folder.path()).unwrap();
    let refusal = folder.refusal().to_string();
    assert!(refusal.contains("another program"), "{refusal}");
    assert_eq!(fs::read(folder.path()).unwrap(), before);
}

#[tokio::test]
async fn a_database_of_a_newer_sipost_is_refused() {
    let folder = Folder::new();
    folder.open().close().await.unwrap();
    let other = Connection::open(folder.path()).unwrap();
    other.pragma_update(None, "user_version", 99).unwrap();
    drop(other);
    let refusal = folder.refusal();
    assert!(matches!(refusal, StoreError::Newer { found: 99, .. }));
    assert!(refusal.to_string().contains("a newer sipost wrote it"));
}

/// What the version before the last migration left is read, and goes on.
#[tokio::test]
async fn a_database_of_an_older_sipost_is_brought_up_to_date_with_what_is_in_it() {
    let folder = Folder::new();
    let store = folder.open();
    accept(&store, [1]).await;
    let endpoint = suite::webhooks::endpoint(1);
    assert!(store.create_endpoint(endpoint, 9).await.unwrap());
    store.close().await.unwrap();
    let older = Connection::open(folder.path()).unwrap();
    older
        .execute_batch(
            "DROP TABLE agent_events; ALTER TABLE messages DROP COLUMN priority; \
             DROP TABLE received; DROP TABLE received_keys; DROP TABLE receipts; \
             DROP TABLE frames; ALTER TABLE states DROP COLUMN result; PRAGMA user_version = 3",
        )
        .unwrap();
    drop(older);

    let store = folder.open();
    let stored = store.message(id(1)).await.unwrap().unwrap();
    assert_eq!(*stored.message, message(1));
    let claimed = store.claim(10).await.unwrap();
    assert_eq!(claimed.len(), 1);
    accept(&store, [2]).await;
    // A webhook for all types is one for those that there were.
    let endpoints = store.endpoints().await.unwrap().endpoints;
    let kinds: Vec<_> = endpoints[0]
        .kinds
        .iter()
        .map(|kind| kind.as_str())
        .collect();
    assert_eq!(kinds, ["sending", "deferred", "succeeded", "failed"]);
    store.close().await.unwrap();
}

/// What is erased cannot be read from the file either, once what was written is in it.
#[tokio::test]
async fn what_is_erased_is_overwritten() {
    let folder = Folder::new();
    let store = folder.open();
    let mut received = suite::samples::incoming(1);
    // More than a page, so that it has pages of its own.
    received.body = "a secret ".repeat(2_000).into();
    store.receive(vec![received]).await.unwrap();
    store.close().await.unwrap();
    let finder = memchr::memmem::Finder::new(b"a secret");
    assert!(finder.find(&fs::read(folder.path()).unwrap()).is_some());
    let store = folder.open();
    assert!(store.erase(suite::samples::received_id(1)).await.unwrap());
    store.close().await.unwrap();
    assert_eq!(finder.find(&fs::read(folder.path()).unwrap()), None);
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_named() {
    let folder = Folder::new();
    let path = folder.path().join("nowhere.db");
    let refusal = match Sqlite::open(Options::new(&path), at(0)) {
        Ok(_) => panic!("it was opened"),
        Err(error) => error.to_string(),
    };
    assert!(refusal.contains(path.to_str().unwrap()), "{refusal}");
}

#[tokio::test]
async fn what_arrives_during_a_commit_is_committed_at_once() {
    #[derive(Default)]
    struct Commits(Mutex<Vec<usize>>);
    impl Observer for Commits {
        fn committed(&self, _took: Duration, rows: usize) {
            self.0.lock().unwrap().push(rows);
        }
    }
    let folder = Folder::new();
    let commits = Arc::new(Commits::default());
    let options = Options {
        observer: commits.clone(),
        ..Options::new(folder.path())
    };
    let store = Sqlite::open(options, at(0)).unwrap();
    let held = store.hold_up();
    let replies: Vec<_> = (1..=100).map(|number| store.accept(one(number))).collect();
    drop(held);
    for reply in replies {
        reply.await.unwrap();
    }
    let groups = commits.0.lock().unwrap().clone();
    assert_eq!(groups, [1, 100]);
    store.close().await.unwrap();
}

#[tokio::test]
async fn one_that_cannot_be_written_does_not_take_the_others_with_it() {
    let folder = Folder::new();
    let store = folder.sqlite().unwrap();
    let held = store.hold_up();
    let before = store.accept(one(1));
    let broken = store
        .writer
        .submit(Urgency::New, Weight::SMALL, |transaction| {
            transaction
                .connection
                .execute("INSERT INTO states (id) VALUES (NULL)", [])?;
            Ok(())
        });
    let after = store.accept(one(2));
    drop(held);
    before.await.unwrap();
    after.await.unwrap();
    let error = broken.await.unwrap_err();
    assert!(matches!(error, StoreError::Rejected(_)), "{error}");
    assert!(store.message(id(1)).await.unwrap().is_some());
    assert!(store.message(id(2)).await.unwrap().is_some());
    store.close().await.unwrap();
}

#[tokio::test]
async fn more_than_may_wait_is_refused_and_outcomes_are_not() {
    let folder = Folder::new();
    let (store, sqlite) = folder.both();
    accept(&store, [1]).await;
    let held = sqlite.hold_up();
    // Many times the same, so that the test is quick: what counts is how many there are.
    let same = Arc::new(message(2));
    let many = Submission {
        messages: vec![same; 40_000],
        key: None,
    };
    let first = store.accept(vec![many.clone()]);
    let second = store.accept(vec![many]);
    let outcome = store.record(vec![sending(1, 1, 1), succeeded(1, 1, 1)].into());
    drop(held);
    let refusal = second.await;
    assert!(
        matches!(refusal, Err(StoreError::Overloaded)),
        "{refusal:?}"
    );
    first.await.unwrap();
    outcome.await.unwrap();
    accept(&store, [3]).await;
    store.close().await.unwrap();
}

/// How the crash test tells its child where the store lies.
const CHILD_STORE: &str = "SIPOST_CRASH_TEST_STORE";

#[test]
fn what_was_answered_is_there_after_kill_9() {
    let folder = Folder::new();
    let mut answered = Vec::new();
    for round in 0..3 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--ignored", "--nocapture"])
            .arg("store::sqlite::tests::child_of_the_crash_test")
            .env(CHILD_STORE, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let words = lines.map_while(Result::ok).filter_map(|line| {
            let word = line.strip_prefix("durable ")?;
            word.parse::<u64>().ok()
        });
        answered.extend(words.take(200 + 50 * round));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let store = folder.open();
        for number in &answered {
            let stored = store.message(id(*number)).await.unwrap();
            let stored = stored.unwrap_or_else(|| panic!("{number} is gone"));
            assert_eq!(stored.status, Status::Succeeded, "{number}");
            assert_eq!(
                store
                    .events_of(id(*number), 0, 5_000.into())
                    .await
                    .unwrap()
                    .events
                    .len(),
                2
            );
        }
        let claimed = store.claim(100_000).await.unwrap();
        assert!(claimed.iter().all(|one| !one.status.is_final()));
        store.close().await.unwrap();
    });
    assert_eq!(answered.len(), 200 + 250 + 300);
}

/// Takes messages in, ends them, and says so, until it is killed.
#[tokio::test]
#[ignore = "run by the crash test, which kills it"]
async fn child_of_the_crash_test() {
    let Some(path) = std::env::var_os(CHILD_STORE) else {
        return;
    };
    let store: Arc<dyn Store> = open(Options::new(path), at(0)).unwrap();
    let page = store.messages(MessageFilter::default(), None, 1).await;
    let newest = page.unwrap().messages.pop();
    let begin = newest.map_or(0, |stored| stored.message.id.as_u128() & 0xffff_ffff);
    let begin = u64::try_from(begin).unwrap() + 1;
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..8 {
        let store = store.clone();
        clients.spawn(async move {
            for number in (begin + client..).step_by(8) {
                store.accept(one(number)).await.unwrap();
                let records = vec![sending(number, 1, 1), succeeded(number, 1, 1)];
                store.record(records.into()).await.unwrap();
                println!("durable {number}");
            }
        });
    }
    clients.join_all().await;
}
