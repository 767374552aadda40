//! What a message waits for, as JSON.

use serde::Serialize;

use crate::dispatch::WaitingFor;
use crate::message::Timestamp;

/// `waitingFor` of a message: a `kind`, and what belongs to it.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(super) enum WaitingView<'a> {
    Schedule { until: Timestamp },
    Lane { before: usize },
    Agent { account: Option<&'a str> },
    Slot,
    Rate { until: Timestamp },
    Retry { at: Timestamp },
    Store,
}

impl<'a> From<&'a WaitingFor> for WaitingView<'a> {
    fn from(waiting: &'a WaitingFor) -> Self {
        match waiting {
            WaitingFor::Schedule(until) => Self::Schedule { until: *until },
            WaitingFor::Lane { before } => Self::Lane { before: *before },
            WaitingFor::Agent(account) => Self::Agent {
                account: account.as_deref(),
            },
            WaitingFor::Slot => Self::Slot,
            WaitingFor::Rate(until) => Self::Rate { until: *until },
            WaitingFor::Retry(at) => Self::Retry { at: *at },
            WaitingFor::Store => Self::Store,
        }
    }
}
