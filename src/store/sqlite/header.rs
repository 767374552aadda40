//! The first bytes of a database, read without opening it.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::lock::ProcessLock;

/// What every SQLite database begins with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Whether a store cannot be opened at this path because the file there is no database.
///
/// No for a file that a gateway has open. No, too, for one with a log beside it: after a kill the
/// log has the newest pages, and the file without it may be no database.
pub fn is_other_file(path: &Path) -> bool {
    let has_log = ["-wal", "-journal"]
        .iter()
        .any(|end| !is_empty(&super::beside(path, end)));
    // The lock comes last: while it is looked at, no gateway could start.
    begins_otherwise(path) && !has_log && ProcessLock::is_free(path)
}

/// Whether there is something in a file, and it begins as no database does.
pub(super) fn begins_otherwise(path: &Path) -> bool {
    let mut first = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(MAGIC.len() as u64).read_to_end(&mut first));
    read.is_ok() && !first.is_empty() && first != MAGIC
}

/// Whether there is nothing in a file, or no file.
fn is_empty(path: &Path) -> bool {
    path.metadata().map_or(true, |found| found.len() == 0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_of_another_kind_is_found_unless_a_log_or_a_gateway_may_have_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        assert!(!is_other_file(&path));
        for (content, is_other) in [
            ("", false),
            ("SQLite format 3\0 and what follows", false),
            ("SQLite format 3", true),
            ("root:x:0:0:root:/root:/bin/sh\n", true),
        ] {
            fs::write(&path, content).unwrap();
            assert_eq!(is_other_file(&path), is_other, "{content:?}");
        }
        // Nothing was made beside it.
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

        let log = super::super::beside(&path, "-wal");
        fs::write(&log, "pages").unwrap();
        assert!(!is_other_file(&path));
        fs::write(&log, "").unwrap();
        let lock = ProcessLock::take(&path).unwrap();
        assert!(!is_other_file(&path));
        drop(lock);
        assert!(is_other_file(&path));
    }
}
