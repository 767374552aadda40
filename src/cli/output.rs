//! Standard output, line by line.

use std::io;
use std::io::Write as _;

use super::CommandError;

/// Standard output; colours are removed where they are not wanted.
pub(super) struct Printer(anstream::Stdout);

impl Printer {
    pub(super) fn new() -> Self {
        Self(anstream::stdout())
    }

    /// Writes a line and flushes it.
    pub(super) fn line(&mut self, line: &str) -> Result<(), CommandError> {
        writeln!(self.0, "{line}")
            .and_then(|()| self.0.flush())
            .map_err(CommandError::of_output)
    }
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
            _ => Self::Trouble(format!("standard output cannot be written: {error}")),
        }
    }
}

/// Writes an error to standard error; failures are ignored.
pub(super) fn print_error(text: &str) {
    let red = anstyle::AnsiColor::Red.on_default().bold();
    _ = writeln!(anstream::stderr(), "{red}error:{red:#} {text}");
}
