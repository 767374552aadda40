//! What is told of what goes on: log lines, figures for who watches over many gateways, and
//! traces for who follows one message through many programs.
//!
//! | file      | is about                                                      |
//! |-----------|---------------------------------------------------------------|
//! | `log`     | lines on standard error                                       |
//! | `pretty`  | how they look to a person                                     |
//! | `metrics` | figures, counted where they arise and read at `GET /metrics`  |
//! | `traces`  | what is done with a message, as spans for a collector         |
//! | `watch`   | what observers tell, counted and traced                       |
//!
//! Bodies, credentials and tokens are never written, at any level: what holds a secret formats
//! itself as `***` (a `Secret`), and nobody hands a body to a log line.

mod log;
mod metrics;
mod pretty;
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
