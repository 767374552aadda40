//! What only SQLite has: files, and everything that can be wrong with them.

use super::*;
use crate::store::suite;
use crate::store::suite::Bed;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("sipost.db")
    }

    fn options(&self) -> Options {
        Options::new(self.path())
    }
}

impl Bed for Folder {
    fn open(&self) -> Arc<dyn Store> {
        open(self.options(), suite::at(0)).unwrap()
    }
}

suite::store_suite!(Folder::new);
