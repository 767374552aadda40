//! Files that the configuration names, read as far as a bound.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use crate::message::without_os_error;

/// More than any configuration, certificate or secret has.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// Reads a regular file. A pipe would hold up a reload until its other end is closed.
pub(super) fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    read(path)
}

/// Reads a file, or a pipe until its end.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = File::open(path)?
        .take(MAX_FILE + 1)
        .read_to_end(&mut bytes)?;
    if read as u64 > MAX_FILE {
        return Err(io::Error::other("it has more than 16 MiB"));
    }
    Ok(bytes)
}

/// The text of bytes that were read.
pub(super) fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8"))
}

/// That the file of a setting cannot be read, and why.
pub(super) fn unreadable(path: &Path, error: io::Error) -> String {
    format!("the file {path:?} cannot be read: {}", reason(path, error))
}

/// Why a file cannot be read. A relative path counts from the working directory, and a service has
/// another one than a shell.
pub(super) fn reason(path: &Path, error: io::Error) -> String {
    let error = without_os_error(error);
    if path.is_absolute() {
        return error;
    }
    match std::env::current_dir() {
        Ok(folder) => format!("{error} (a relative path counts from {})", folder.display()),
        Err(_) => format!("{error} (a relative path counts from the working directory)"),
    }
}
