//! Standard output, line by line.

use std::io;
use std::io::Write as _;
use std::process::ExitCode;

use super::CommandError;
use crate::message::without_os_error;

/// Standard output; colours are removed where they are not wanted.
pub(super) struct Printer(anstream::Stdout);

impl Printer {
    pub(super) fn new() -> Self {
        Self(anstream::stdout())
    }

    /// Writes what programs read, as it is.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), CommandError> {
        let mut output = io::stdout().lock();
        output
            .write_all(bytes)
            .and_then(|()| output.flush())
            .map_err(CommandError::of_output)
    }

    /// Writes a line and flushes it.
    pub(super) fn line(&mut self, line: &str) -> Result<(), CommandError> {
        writeln!(self.0, "{line}")
            .and_then(|()| self.0.flush())
            .map_err(CommandError::of_output)
    }
}

/// Prints what `--json` of a list shows: an object on each line.
pub(super) fn print_objects(objects: &[serde_json::Value]) -> Result<ExitCode, CommandError> {
    let mut output = Printer::new();
    for object in objects {
        output.line(&object.to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// How wide the terminal is that standard output goes to; `None` where it goes elsewhere.
pub(super) fn width() -> Option<usize> {
    use std::io::IsTerminal as _;
    if !io::stdout().is_terminal() {
        return None;
    }
    let set = std::env::var("COLUMNS").ok();
    let set = set.and_then(|columns| columns.parse().ok());
    let found = terminal_size::terminal_size_of(io::stdout());
    let found = found.map(|(terminal_size::Width(width), _)| usize::from(width));
    Some(set.or(found).unwrap_or(80))
}

/// Writes a dimmed line to standard error; failures are ignored.
pub(super) fn print_note(text: &str) {
    let dim = anstyle::Style::new().dimmed();
    _ = writeln!(anstream::stderr(), "{dim}{text}{dim:#}");
}

impl CommandError {
    /// A closed pipe is no failure: its reader has had enough.
    fn of_output(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => {
                let error = without_os_error(error);
                Self::Trouble(format!("standard output cannot be written: {error}"))
            }
        }
    }
}

/// Writes an error to standard error; failures are ignored.
pub(super) fn print_error(text: &str) {
    let red = anstyle::AnsiColor::Red.on_default().bold();
    _ = writeln!(anstream::stderr(), "{red}error:{red:#} {text}");
}
