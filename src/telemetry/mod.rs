//! Log lines, metrics for monitoring, and traces that follow one message through many programs.
//!
//! | file      | is about                                                       |
//! |-----------|----------------------------------------------------------------|
//! | `log`     | lines on standard error                                        |
//! | `metrics` | counted where they arise and read at `GET /metrics`            |
//! | `traces`  | the steps of a message, as spans for a collector               |
//! | `watch`   | the observer of the rooms: counts and traces                   |
//!
//! Bodies, credentials and tokens are never written, at any level: types that hold a secret format
//! themselves as `***`, and no log line takes a body.

mod log;
mod metrics;
mod traces;
mod watch;

pub use log::start;
pub use log::{LogFormat, TelemetryError};
pub use metrics::Metrics;
pub use traces::{Exporter, Otlp, Traces, TracesError};
pub use watch::Watch;

use crate::message::Targets;

/// What the operator sets.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How log lines look.
    pub log_format: LogFormat,
    /// A level, or directives for parts of the program; known to be well-formed.
    pub log_level: String,
    /// How log lines and spans name targets.
    pub targets: Targets,
    /// Where spans go; `None` when there are none.
    pub otlp: Option<Otlp>,
}
