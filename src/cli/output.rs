//! Standard output, line by line.

use std::io;
use std::io::Write as _;

use super::Failure;

/// Standard output. Colours are taken out where they are not wanted.
pub(super) struct Output(anstream::Stdout);

impl Output {
    /// The process's own.
    pub(super) fn new() -> Self {
        Self(anstream::stdout())
    }

    /// Writes a line, at once.
    pub(super) fn line(&mut self, line: &str) -> Result<(), Failure> {
        writeln!(self.0, "{line}")
            .and_then(|()| self.0.flush())
            .map_err(Failure::of_output)
    }
}

/// Says something beside the output, in a dim voice. Nobody may be there to hear it.
pub(super) fn aside(text: &str) {
    let dim = anstyle::Style::new().dimmed();
    _ = writeln!(anstream::stderr(), "{dim}{text}{dim:#}");
}

impl Failure {
    /// A reader that went away has had enough, and is no failure to tell of.
    fn of_output(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::NobodyReads,
            _ => Self::Trouble(format!("standard output cannot be written: {error}")),
        }
    }
}

/// Tells what went wrong on standard error.
pub(super) fn complain(text: &str) {
    let red = anstyle::AnsiColor::Red.on_default().bold();
    _ = writeln!(anstream::stderr(), "{red}error:{red:#} {text}");
}
