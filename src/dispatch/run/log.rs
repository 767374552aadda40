//! Lines about messages in the log of the process: one for each change, when it is durable. Never a
//! body or a header, and a target only as the operator wants it shown.

use std::time::Duration;

use tracing::field::display;

use crate::message::{Event, Targets, What};

/// Logs an event: a failed message at `info`, the rest at `debug`. `took` is from the acceptance of
/// the message.
pub(super) fn write(event: &Event, took: Duration, targets: &Targets) {
    let target = display(targets.show(&event.uri));
    let id = event.message_id;
    let (agent, attempt) = (event.agent.as_deref(), event.attempt);
    let trace = event.trace.map(|trace| display(trace.id));
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    match &event.what {
        What::Sending { .. } => {
            tracing::debug!(
                message.id = %id, message.target = target, agent.id = agent, attempt, duration_ms,
                trace.id = trace, "sending"
            );
        }
        What::Deferred {
            cause,
            response,
            next_attempt_at,
            ..
        } => {
            let status = response.as_ref().map(|response| response.status_code);
            let (cause, next) = (cause.as_str(), display(next_attempt_at));
            tracing::debug!(
                message.id = %id, message.target = target, agent.id = agent, attempt, status, cause,
                next_attempt_at = next, duration_ms, trace.id = trace, "deferred"
            );
        }
        What::Succeeded { response, receipt } => {
            let status = response.as_ref().map(|response| response.status_code);
            let receipt = receipt.map(display);
            tracing::debug!(
                message.id = %id, message.target = target, agent.id = agent, attempt, status,
                receipt, duration_ms, trace.id = trace, "succeeded"
            );
        }
        What::Failed {
            cause,
            response,
            ambiguous,
            ..
        } => {
            let status = response.as_ref().map(|response| response.status_code);
            let ambiguous = ambiguous.then_some(true);
            let cause = cause.as_str();
            tracing::info!(
                message.id = %id, message.target = target, agent.id = agent, attempt, status, cause,
                ambiguous, duration_ms, trace.id = trace, "a message failed"
            );
        }
        // The dispatcher's own events are those of attempts.
        What::Received(_) | What::Receipt { .. } => {}
        What::AgentUp { .. } | What::AgentDown { .. } => {}
    }
}
