//! States for the service manager (`sd_notify(3)`), where there is one: `NOTIFY_SOCKET` says.

use sd_notify::NotifyState;

/// The gateway takes messages.
pub(super) fn ready(url: &str) {
    let status = format!("taking messages at {url}");
    tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
}

/// The configuration is being read again. [`reloaded`] follows, whatever comes of it.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "failed to tell the service manager"),
    }
}

pub(super) fn reloaded() {
    tell(&[NotifyState::Ready]);
}

/// The shutdown has begun.
pub(super) fn stopping() {
    let status = "shutting down: open requests end first";
    tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "failed to tell the service manager");
    }
}
