//! What is told of what goes on: log lines, and figures for who watches over many gateways.
//!
//! | file      | is about                                                      |
//! |-----------|---------------------------------------------------------------|
//! | `log`     | lines on standard error                                       |
//! | `pretty`  | how they look to a person                                     |
//! | `metrics` | figures, counted where they arise and read at `GET /metrics`  |
//!
//! Bodies, credentials and tokens are never written, at any level: what holds a secret formats
//! itself as `***` ([`crate::config::Secret`]), and nobody hands a body to a log line.

mod log;
mod metrics;
mod pretty;

pub use log::TelemetryError;
pub use log::start;
pub use metrics::Metrics;
