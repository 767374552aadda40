//! One process per database.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use crate::message::without_os_error;
use crate::store::StoreError;

/// Keeps every other process from opening the same database, until it is dropped or its process
/// ends in whatever way.
///
/// Two gateways on one file would each take what the other accepted for left over and send it
/// again. The lock is on a file of its own, because SQLite loses its locks on a database when the
/// same process closes any other handle to it.
#[derive(Debug)]
pub(super) struct ProcessLock {
    file: File,
}

impl ProcessLock {
    pub(super) fn take(database: &Path) -> Result<Self, StoreError> {
        let path = super::beside(database, ".lock");
        let mut options = File::options();
        options.create(true).write(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options
            .open(&path)
            .map_err(|error| store_error(&error, database))?;
        make_private(&file);
        match file.try_lock() {
            Ok(()) => Ok(Self { file }),
            Err(TryLockError::WouldBlock) => Err(StoreError::Locked(
                "another sipost has it open; stop that one first".to_owned(),
            )),
            Err(TryLockError::Error(error)) => Err(store_error(&error, database)),
        }
    }

    /// Whether no process has the lock. The file of the lock is not made.
    pub(super) fn is_free(database: &Path) -> bool {
        match File::open(super::beside(database, ".lock")) {
            // The lock is had, and given back.
            Ok(file) => file.try_lock().map(|()| Self { file }).is_ok(),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }
}

impl Drop for ProcessLock {
    /// Gives the lock back at once. Closing the file is not enough: a child process has a copy of
    /// every descriptor from its fork to its exec, and the lock lasts until the last copy is
    /// closed.
    fn drop(&mut self) {
        // What fails here is given back with the file.
        let _ = self.file.unlock();
    }
}

/// A user who may open the file may hold the lock, and keep the gateway from its start. One that an
/// older version made was open to all.
fn make_private(file: &File) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if let Ok(found) = file.metadata()
            && found.permissions().mode() & 0o007 != 0
        {
            // The file of another user stays as it is.
            let _ = file.set_permissions(std::fs::Permissions::from_mode(0o600));
        }
    }
}

fn store_error(error: &io::Error, database: &Path) -> StoreError {
    let text = format!("{}: {}", database.display(), without_os_error(error));
    match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            StoreError::ReadOnly(text)
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full(text),
        _ => StoreError::Away(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_free_at_once_although_a_child_still_has_its_descriptor() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("sipost.db");
        let lock = ProcessLock::take(&database).unwrap();
        let _of_a_child = lock.file.try_clone().unwrap();
        assert!(!ProcessLock::is_free(&database));
        assert!(ProcessLock::take(&database).is_err());

        drop(lock);
        assert!(ProcessLock::is_free(&database));
        ProcessLock::take(&database).unwrap();
    }
}
