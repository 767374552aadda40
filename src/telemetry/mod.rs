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
//! itself as `***` ([`crate::config::Secret`]), and nobody hands a body to a log line.

mod log;
mod metrics;
mod pretty;
mod traces;
mod watch;

pub use log::TelemetryError;
pub use log::start;
pub use metrics::Metrics;
pub use traces::{Exporter, Traces, TracesError};
pub use watch::Watch;
