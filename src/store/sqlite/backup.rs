//! A copy of a store, and a store made of a copy.
//!
//! A copy is made while a gateway writes, in one read transaction (`VACUUM INTO`). Putting it back
//! begins a new epoch: ids of events that were given since the copy was made are not given again to
//! other events. What was open when the copy was made may have been sent since; see [`anew`].

use std::fs;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::params;
use rusqlite::{Connection, OpenFlags};

use super::header::begins_otherwise;
use super::lock::ProcessLock;
use super::{beside, schema};
use crate::message::{Timestamp, without_os_error};
use crate::store::StoreError;

/// Why a copy was not made, or not put back. What was there before still is.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file is not where it should be.
    #[error("{0} is not there")]
    Missing(PathBuf),
    /// A file is where it should not be.
    #[error("{0} is there already; name a file that is not")]
    Exists(PathBuf),
    /// The copy is the store itself.
    #[error("{0} is the store itself")]
    Same(PathBuf),
    /// The copy is none.
    #[error("{0} is no backup of sipost: {1}")]
    NoBackup(PathBuf, String),
    /// The copy is not whole.
    #[error("{0} is damaged: {1}")]
    Damaged(PathBuf, String),
    /// A file cannot be made, moved or removed.
    #[error("{0}: {error}", error = without_os_error(.1))]
    File(PathBuf, io::Error),
    /// A database cannot be read or written, or is none of ours.
    #[error("{0}: {1}")]
    Store(PathBuf, StoreError),
}

/// What became of a store that was put back.
#[derive(Debug)]
pub struct Restored {
    /// The number that names its log from now on.
    pub epoch: u64,
    /// Where the store is now that was there before.
    pub kept: Option<PathBuf>,
}

/// Copies a store to a new file, which its owner alone can read. A gateway may write meanwhile.
pub fn backup(store: &Path, file: &Path) -> Result<(), BackupError> {
    check_there(store)?;
    if exists(file) {
        return Err(BackupError::Exists(file.to_owned()));
    }
    let source = open(store, false).map_err(of(store))?;
    let new = NewFile::make(beside(file, ".partial"), file)?;
    copy(&source, &new.path).map_err(of(file))?;
    new.sync()?;
    new.appear_at(file)
}

/// Makes `store` of a copy. `now` names the new epoch.
pub fn restore(store: &Path, file: &Path, now: Timestamp) -> Result<Restored, BackupError> {
    check_there(file)?;
    if fs::canonicalize(file).ok() == fs::canonicalize(store).ok() {
        return Err(BackupError::Same(file.to_owned()));
    }
    let _lock = ProcessLock::take(store).map_err(of(store))?;
    let source = open_backup(file)?;
    if let Some(damage) = damage(&source).map_err(of(file))? {
        return Err(BackupError::Damaged(file.to_owned(), damage));
    }
    let new = NewFile::make(beside(store, ".restoring"), store)?;
    copy(&source, &new.path).map_err(of(store))?;
    let epoch = renew(&new.path, previous_epoch(store), now).map_err(of(store))?;
    new.give_to_owner_of(store)?;
    new.sync()?;
    // A log without its database is of a store that an earlier try did not quite set aside; beside
    // another database it would be taken for a part of it.
    let is_there = ["", "-wal", "-shm"].map(|end| exists(&beside(store, end)));
    let kept = is_there.contains(&true).then(|| set_aside(store, now));
    let kept = kept.transpose()?;
    new.appear_at(store)?;
    Ok(Restored { epoch, kept })
}

fn of(path: &Path) -> impl Fn(StoreError) -> BackupError {
    let path = path.to_owned();
    move |error| BackupError::Store(path.clone(), error)
}

/// Opens a database of ours that is there, of a version that this program knows.
fn open(path: &Path, is_only_read: bool) -> Result<Connection, StoreError> {
    // A store without a gateway has no `-shm`; a reader makes one, and so must be able to write.
    let access = if is_only_read {
        OpenFlags::SQLITE_OPEN_READ_ONLY
    } else {
        OpenFlags::SQLITE_OPEN_READ_WRITE
    };
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(schema::BUSY)?;
    schema::check_known(&connection)?;
    Ok(connection)
}

/// Opens what is to be put back.
fn open_backup(file: &Path) -> Result<Connection, BackupError> {
    if file.is_dir() {
        let reason = "it is a directory".to_owned();
        return Err(BackupError::NoBackup(file.to_owned(), reason));
    }
    if begins_otherwise(file) {
        let reason = "the file is no SQLite database".to_owned();
        return Err(BackupError::NoBackup(file.to_owned(), reason));
    }
    open(file, true).map_err(|error| match error {
        StoreError::Foreign(reason) => BackupError::NoBackup(file.to_owned(), reason),
        StoreError::Damaged(reason) => BackupError::Damaged(file.to_owned(), reason),
        other => of(file)(other),
    })
}

/// The first fault of a database; `None` when it is whole.
fn damage(connection: &Connection) -> Result<Option<String>, StoreError> {
    let said: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    Ok((said != "ok").then_some(said))
}

fn copy(source: &Connection, to: &Path) -> Result<(), StoreError> {
    let to = to.to_str().ok_or_else(|| {
        StoreError::Away("SQLite takes no name of a file that is not UTF-8".to_owned())
    })?;
    source.execute("VACUUM INTO ?1", [to])?;
    Ok(())
}

/// The epoch of a store that is to be replaced, if it can be read: it is not to come again.
fn previous_epoch(store: &Path) -> u64 {
    let epoch = open(store, true).and_then(|old| Ok(schema::fact(&old, "epoch")?));
    epoch.unwrap_or(0)
}

/// Brings a copy up to date, and begins its log anew.
fn renew(path: &Path, previous: u64, now: Timestamp) -> Result<u64, StoreError> {
    let mut connection = open(path, false)?;
    schema::migrate(&mut connection, now)?;
    let transaction = connection.transaction()?;
    let epoch = anew(&transaction, previous, now)?;
    transaction.commit()?;
    connection
        .close()
        .map_err(|(_, error)| StoreError::from(error))?;
    Ok(epoch)
}

/// Begins a new epoch, and accounts for what may have happened since the copy was made.
///
/// Open messages may have been sent. With `resend` they are sent again under their Call-ID, as
/// after a power failure. With `fail` they must not be: they count as being sent, so that the
/// dispatcher ends them as ambiguous, unless they were not due before `now`. Deliveries carry the
/// ids of their events, and so those of the new epoch.
fn anew(connection: &Connection, previous: u64, now: Timestamp) -> Result<u64, StoreError> {
    let old = schema::fact(connection, "epoch")?;
    let epoch = schema::epoch_of(now).max(old + 1).max(previous + 1);
    schema::set_fact(connection, "epoch", epoch)?;
    connection.execute(
        "UPDATE states SET status = 2, attempt = max(attempt, 1) \
         WHERE completed_at IS NULL AND EXISTS (SELECT 1 FROM messages m \
         WHERE m.number = states.number AND m.on_unknown = 1 \
         AND coalesce(states.not_before, m.send_at, 0) <= ?1)",
        [now.as_millis()],
    )?;
    let prefix = |epoch: u64| format!("{{\"id\":\"{epoch}-");
    connection.execute(
        "UPDATE deliveries SET json = CAST(?2 || substr(json, length(?1) + 1) AS BLOB) \
         WHERE substr(json, 1, length(?1)) = CAST(?1 AS BLOB)",
        params![prefix(old), prefix(epoch)],
    )?;
    Ok(epoch)
}

/// Moves a store away, with what SQLite has put beside it; where it is then.
fn set_aside(store: &Path, now: Timestamp) -> Result<PathBuf, BackupError> {
    let seconds = now.as_millis().div_euclid(1_000);
    let names = (0..1_000).map(|count| match count {
        0 => beside(store, &format!(".replaced-{seconds}")),
        _ => beside(store, &format!(".replaced-{seconds}-{count}")),
    });
    let mut free = names.filter(|name| !exists(name));
    let kept = free
        .next()
        .ok_or_else(|| BackupError::Exists(beside(store, ".replaced")))?;
    for end in ["", "-wal", "-shm"] {
        let (from, to) = (beside(store, end), beside(&kept, end));
        match fs::rename(&from, &to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(BackupError::File(from, error));
            }
            _ => {}
        }
    }
    Ok(kept)
}

fn check_there(path: &Path) -> Result<(), BackupError> {
    match fs::metadata(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(BackupError::Missing(path.to_owned()))
        }
        Err(error) => Err(BackupError::File(path.to_owned(), error)),
    }
}

/// Also a link to nowhere is there.
fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn remove(path: &Path) -> Result<(), BackupError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(BackupError::File(path.to_owned(), error))
        }
        _ => Ok(()),
    }
}

fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|path| *path != Path::new(""));
    folder.unwrap_or_else(|| Path::new("."))
}

/// A file on its way to its name; removed unless it gets there.
struct NewFile {
    path: PathBuf,
    /// The name that it is to get, which errors say: its user knows no other.
    name: PathBuf,
}

impl NewFile {
    /// Makes it, empty, for its owner alone. What an earlier try has left is removed.
    fn make(path: PathBuf, name: &Path) -> Result<Self, BackupError> {
        remove(&path)?;
        let made = schema::make_private(&path);
        made.map_err(|error| BackupError::File(name.to_owned(), error))?;
        let name = name.to_owned();
        Ok(Self { path, name })
    }

    fn sync(&self) -> Result<(), BackupError> {
        File::open(&self.path)
            .and_then(|file| file.sync_all())
            .map_err(|error| BackupError::File(self.name.clone(), error))
    }

    /// The gateway must be able to open a store that another user has put back.
    fn give_to_owner_of(&self, store: &Path) -> Result<(), BackupError> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            let owner = fs::metadata(store)
                .or_else(|_| fs::metadata(folder_of(store)))
                .map_err(|error| BackupError::File(store.to_owned(), error))?;
            for path in [&self.path, &beside(store, ".lock")] {
                let file_error = |error| BackupError::File(self.name.clone(), error);
                let own = fs::metadata(path).map_err(file_error)?;
                if (own.uid(), own.gid()) != (owner.uid(), owner.gid()) {
                    std::os::unix::fs::chown(path, Some(owner.uid()), Some(owner.gid()))
                        .map_err(file_error)?;
                }
            }
        }
        Ok(())
    }

    /// Gives it its name, unless that has been taken meanwhile.
    fn appear_at(self, path: &Path) -> Result<(), BackupError> {
        match fs::hard_link(&self.path, path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(BackupError::Exists(path.to_owned()));
            }
            // A file system without links.
            Err(_) => fs::rename(&self.path, path)
                .map_err(|error| BackupError::File(path.to_owned(), error))?,
        }
        // A folder that cannot be synced is one whose names are as durable as they get.
        let _ = File::open(folder_of(path)).and_then(|folder| folder.sync_all());
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        for end in ["", "-journal", "-wal", "-shm"] {
            let _ = fs::remove_file(beside(&self.path, end));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::message::{Message, OnUnknown, Status};
    use crate::store::sqlite::Options;
    use crate::store::suite::samples::{
        accept, at, deferred, id, message, sending, submission, succeeded,
    };
    use crate::store::suite::webhooks;
    use crate::store::{Claimed, Store, sqlite};

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn open(&self, name: &str) -> Arc<dyn Store> {
            sqlite::open(Options::new(self.path(name)), at(0)).unwrap()
        }

        fn names(&self) -> Vec<String> {
            let files = fs::read_dir(self.0.path()).unwrap();
            let mut names: Vec<_> = files
                .map(|file| file.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort_unstable();
            names
        }
    }

    #[cfg(unix)]
    fn mode(path: &Path) -> u32 {
        use std::os::unix::fs::PermissionsExt as _;
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn a_copy_is_whole_and_private_and_replaces_nothing() {
        let folder = Folder::new();
        let store = folder.open("a.db");
        accept(&store, 1..=50).await;
        let copy = folder.path("copy.db");
        backup(&folder.path("a.db"), &copy).unwrap();
        #[cfg(unix)]
        assert_eq!(mode(&copy), 0o600);
        accept(&store, [51]).await;
        let before = fs::read(&copy).unwrap();
        let again = backup(&folder.path("a.db"), &copy);
        assert!(matches!(again, Err(BackupError::Exists(_))), "{again:?}");
        assert_eq!(fs::read(&copy).unwrap(), before);
        store.close().await.unwrap();

        let names = folder.names();
        assert_eq!(names, ["a.db", "a.db.lock", "copy.db"]);
        let copy = folder.open("copy.db");
        assert!(copy.message(id(50)).await.unwrap().is_some());
        assert!(copy.message(id(51)).await.unwrap().is_none());
        copy.close().await.unwrap();
    }

    #[tokio::test]
    async fn a_store_that_was_put_back_has_another_epoch_each_time() {
        let folder = Folder::new();
        let (path, copy) = (folder.path("a.db"), folder.path("copy.db"));
        let store = folder.open("a.db");
        accept(&store, [1]).await;
        let mut epochs = vec![store.epoch()];
        backup(&path, &copy).unwrap();
        store.close().await.unwrap();
        // Within the second in which it was made, and with a clock that was set back.
        for now in [0, 0, -60_000] {
            let restored = restore(&path, &copy, at(now)).unwrap();
            let kept = restored.kept.unwrap();
            #[cfg(unix)]
            assert_eq!(mode(&path), 0o600);
            assert!(kept.is_file(), "{}", kept.display());
            let store = folder.open("a.db");
            assert_eq!(store.epoch(), restored.epoch);
            assert!(!epochs.contains(&restored.epoch), "{epochs:?}");
            epochs.push(restored.epoch);
            accept(&store, [2]).await;
            store.close().await.unwrap();
        }
        fs::remove_file(&path).unwrap();
        assert!(restore(&path, &copy, at(0)).unwrap().kept.is_none());
    }

    #[tokio::test]
    async fn what_was_not_yet_in_the_database_is_kept_with_it() {
        let folder = Folder::new();
        let (path, copy) = (folder.path("a.db"), folder.path("copy.db"));
        let store = folder.open("a.db");
        backup(&path, &copy).unwrap();
        accept(&store, [1]).await;
        // As after a crash: what was accepted is in the log alone, which outlives it.
        let crashed = folder.path("crashed.db");
        for end in ["", "-wal", "-shm"] {
            fs::copy(beside(&path, end), beside(&crashed, end)).unwrap();
        }
        store.close().await.unwrap();
        let restored = restore(&crashed, &copy, at(0)).unwrap();
        let store = folder.open("crashed.db");
        assert!(store.message(id(1)).await.unwrap().is_none());
        store.close().await.unwrap();
        let kept = sqlite::open(Options::new(restored.kept.unwrap()), at(0)).unwrap();
        assert!(kept.message(id(1)).await.unwrap().is_some());
        kept.close().await.unwrap();
    }

    #[tokio::test]
    async fn nothing_is_touched_where_something_is_wrong() {
        let folder = Folder::new();
        let (path, copy) = (folder.path("a.db"), folder.path("copy.db"));
        let store = folder.open("a.db");
        accept(&store, 1..=500).await;
        backup(&path, &copy).unwrap();
        let refusal = restore(&path, &copy, at(0)).unwrap_err();
        let is_locked = matches!(refusal, BackupError::Store(_, StoreError::Locked(_)));
        assert!(is_locked, "{refusal}");
        store.close().await.unwrap();

        let whole = fs::read(&copy).unwrap();
        let mut damaged = whole.clone();
        damaged[8_192..12_288].fill(0x5a);
        let mut newer = whole.clone();
        newer[60..64].copy_from_slice(&99_u32.to_be_bytes());
        let mut foreign = whole.clone();
        foreign[68..72].copy_from_slice(&7_u32.to_be_bytes());
        let other_program = foreign.clone();
        let half = whole[..whole.len() / 2].to_vec();
        let before = (fs::read(&path).unwrap(), folder.names().len());
        for wrong in [damaged, newer, foreign, half, Vec::new(), b"text".to_vec()] {
            fs::write(&copy, wrong).unwrap();
            let refusal = restore(&path, &copy, at(0)).unwrap_err();
            assert!(refusal.to_string().contains("copy.db"), "{refusal}");
        }
        let copies: [(&[u8], _); 4] = [
            (
                b"",
                "copy.db is no backup of sipost: the file has none of its tables",
            ),
            (
                b"text",
                "copy.db is no backup of sipost: the file is no SQLite database",
            ),
            (
                &other_program,
                "copy.db is no backup of sipost: the file is a database of another",
            ),
            (&whole[..whole.len() / 2], "copy.db is damaged: "),
        ];
        for (content, words) in copies {
            fs::write(&copy, content).unwrap();
            let refusal = restore(&path, &copy, at(0)).unwrap_err().to_string();
            assert!(refusal.contains(words), "{refusal}");
        }
        assert!(matches!(
            restore(&path, &path, at(0)),
            Err(BackupError::Same(_))
        ));
        let refusal = restore(&path, &folder.path(""), at(0)).unwrap_err();
        assert!(
            refusal.to_string().ends_with(" it is a directory"),
            "{refusal}"
        );
        for (from, to, named) in [("no.db", "x", "no.db"), ("a.db", "no/b.db", "no/b.db: ")] {
            let refusal = backup(&folder.path(from), &folder.path(to)).unwrap_err();
            assert!(refusal.to_string().contains(named), "{refusal}");
        }
        assert!(matches!(
            restore(&path, &folder.path("no.db"), at(0)),
            Err(BackupError::Missing(_))
        ));
        assert_eq!((fs::read(&path).unwrap(), folder.names().len()), before);
    }

    fn careful(number: u64) -> Message {
        message(number).with(|contents| contents.on_unknown = OnUnknown::Fail)
    }

    #[tokio::test]
    async fn what_may_have_been_sent_since_and_must_not_be_twice_counts_as_being_sent() {
        let folder = Folder::new();
        let (path, copy) = (folder.path("a.db"), folder.path("copy.db"));
        let store = folder.open("a.db");
        let later = |number| careful(number).with(|contents| contents.send_at = Some(at(9_000)));
        let messages = vec![
            message(1),
            careful(2),
            later(3),
            careful(4),
            careful(5),
            careful(6),
        ];
        store.accept(vec![submission(messages)]).await.unwrap();
        let records = vec![
            sending(4, 1, 1),
            deferred(4, 1, 2, at(9_000)),
            sending(5, 1, 1),
            sending(6, 1, 1),
            succeeded(6, 1, 2),
        ];
        store.record(records.into()).await.unwrap();
        backup(&path, &copy).unwrap();
        store.close().await.unwrap();
        restore(&path, &copy, at(5_000)).unwrap();
        let store = folder.open("a.db");
        let claimed = store.claim(10).await.unwrap();
        let told: Vec<_> = claimed
            .iter()
            .map(|one: &Claimed| (one.id, one.status, one.attempt))
            .collect();
        let expected = [
            (id(1), Status::Queued, 0),
            (id(2), Status::Sending, 1),
            (id(3), Status::Scheduled, 0),
            (id(4), Status::Queued, 1),
            (id(5), Status::Sending, 1),
        ];
        assert_eq!(told, expected);
        store.close().await.unwrap();
    }

    #[tokio::test]
    async fn what_is_still_to_be_posted_has_an_id_of_the_new_log() {
        let folder = Folder::new();
        let (path, copy) = (folder.path("a.db"), folder.path("copy.db"));
        let store = folder.open("a.db");
        accept(&store, [1]).await;
        store.record(vec![sending(1, 1, 1)].into()).await.unwrap();
        let page = store.events_of(id(1), 0, 9.into()).await.unwrap();
        let event = page.events[0].clone();
        let queue: Arc<str> = "https://app.example/hook".into();
        let mut delivery = webhooks::delivery(&queue, 1, 1);
        delivery.json = event.json;
        assert!(webhooks::plan(&store, 1, vec![delivery]).await);
        backup(&path, &copy).unwrap();
        store.close().await.unwrap();
        restore(&path, &copy, at(5_000)).unwrap();
        let store = folder.open("a.db");
        let page = store.events_of(id(1), 0, 9.into()).await.unwrap();
        let event = page.events[0].clone();
        let due = store.due(queue, at(10_000), 9.into()).await.unwrap();
        assert_eq!(due.deliveries[0].json, event.json);
        let json: serde_json::Value = serde_json::from_slice(&event.json).unwrap();
        assert_eq!(json["id"], format!("{}-{:016}", store.epoch(), 1));
        store.close().await.unwrap();
    }
}
