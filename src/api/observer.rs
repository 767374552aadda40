//! Who wants to know what clients ask for, and writes down the figures of `GET /metrics`.

use std::time::Duration;

use axum::http::Method;
use axum::http::StatusCode;

use crate::dispatch::Standing;
use crate::message::AgentState;
use crate::message::Timestamp;

/// Told of every answer. Called with every request, so it must neither block nor be slow.
pub trait Observer: Send + Sync {
    /// A request to this route, if there is one, was answered. `took` ends with the head of the
    /// answer; an event stream goes on after that.
    fn answered(&self, method: &Method, route: Option<&str>, status: StatusCode, took: Duration);

    /// Everything that was counted, with what stands now, in the text form of OpenMetrics.
    fn report(&self, readings: Readings) -> String;
}

/// Nobody wants to know.
impl Observer for () {
    fn answered(&self, _: &Method, _: Option<&str>, _: StatusCode, _: Duration) {}

    fn report(&self, _: Readings) -> String {
        String::new()
    }
}

/// What stands somewhere at the moment, and is not counted.
#[derive(Clone, Debug)]
pub struct Readings {
    /// How many messages are where; `None` when the dispatcher has ended.
    pub standing: Option<Standing>,
    /// What each agent is doing.
    pub agents: Vec<AgentState>,
    /// Event streams that are open.
    pub streams: usize,
    /// The time.
    pub now: Timestamp,
}
