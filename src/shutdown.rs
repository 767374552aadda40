//! What signals ask for: the end, of which the first begins it and the second does not wait for it,
//! and reading the configuration again.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Whether the end was asked for, to await from anywhere. Cheap to clone; clones are one.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    begun: CancellationToken,
    forced: CancellationToken,
}

impl Shutdown {
    /// Not asked for yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for the end: in order at first, at once when asked again.
    pub fn ask(&self) {
        if self.begun.is_cancelled() {
            self.forced.cancel();
        }
        self.begun.cancel();
    }

    /// Whether the end was asked for.
    pub fn has_begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// Waits until the end is asked for.
    pub async fn begun(&self) {
        self.begun.cancelled().await;
    }

    /// Waits until the end is asked for a second time.
    pub async fn forced(&self) {
        self.forced.cancelled().await;
    }

    /// The token that is canceled when the end is asked for.
    pub fn token(&self) -> CancellationToken {
        self.begun.clone()
    }

    /// Asks for the end at each SIGINT and SIGTERM. Runs until the second of them.
    pub async fn run(self) -> std::io::Result<()> {
        let mut signals = Signals::new()?;
        let mut first = None;
        while !self.forced.is_cancelled() {
            let name = signals.next().await;
            let now = Instant::now();
            match first {
                Some(first) if is_the_same(first, now) => continue,
                Some(_) => {}
                None => first = Some(now),
            }
            tracing::info!(signal = name, "{}", self.sentence());
            self.ask();
        }
        Ok(())
    }

    fn sentence(&self) -> &'static str {
        if self.has_begun() {
            "ending at once"
        } else {
            "stopping in order; a second signal ends at once"
        }
    }
}

/// A terminal and what runs in it may both pass on one Ctrl-C: what comes in this time after the
/// first signal is the first one again.
const ECHO: Duration = Duration::from_millis(300);

fn is_the_same(first: Instant, now: Instant) -> bool {
    now.saturating_duration_since(first) < ECHO
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> &'static str {
        match tokio::signal::ctrl_c().await {
            Ok(()) => "Ctrl-C",
            // Without signals the end is asked for in another way, or not at all.
            Err(_) => std::future::pending().await,
        }
    }
}

/// Times to read the configuration again: at each SIGHUP, where there is such a signal.
pub struct Reloads {
    #[cfg(unix)]
    hangup: tokio::signal::unix::Signal,
}

impl Reloads {
    /// From now on the signal does not end the process.
    pub fn new() -> std::io::Result<Self> {
        #[cfg(unix)]
        let reloads = Self {
            hangup: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())?,
        };
        #[cfg(not(unix))]
        let reloads = Self {};
        Ok(reloads)
    }

    /// The next of them. Several that come while one is answered are one.
    pub async fn next(&mut self) {
        #[cfg(unix)]
        if self.hangup.recv().await.is_some() {
            return;
        }
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn a_second_signal_at_once_is_the_first_one_again() {
        let first = Instant::now();
        assert!(is_the_same(first, first + Duration::from_millis(299)));
        assert!(!is_the_same(first, first + Duration::from_millis(300)));
    }

    #[test]
    fn the_first_time_begins_the_end_and_the_second_forces_it() {
        let shutdown = Shutdown::new();
        let everywhere = shutdown.clone();
        assert!(!everywhere.has_begun() && everywhere.begun().now_or_never().is_none());

        shutdown.ask();
        assert!(everywhere.has_begun() && everywhere.begun().now_or_never().is_some());
        assert!(everywhere.forced().now_or_never().is_none());

        shutdown.ask();
        assert!(everywhere.forced().now_or_never().is_some());
    }
}
