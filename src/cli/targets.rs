//! Targets of messages whose attempt a reader has not seen begin.
//!
//! Of the events of a message only `sending` has a target. A reader that begins later, or that asks
//! for other types, looks the message up.

use serde_json::Value;

use super::client::GatewayClient;
use super::lines::{EventLine, EventLines};

/// In place of a target that the gateway does not say: the message is no longer stored, or the
/// gateway cannot be asked.
const NOT_KNOWN: &str = "(target not known)";

/// Looks up the target of the message of an event, when its line would have none.
pub(super) async fn look_up(client: &GatewayClient, lines: &mut EventLines, event: &EventLine) {
    let Some(id) = lines.lacks_target(event) else {
        return;
    };
    let found = client
        .get(&format!("/messages/{}", super::segment(id)), &[])
        .await;
    let message = found.unwrap_or(Value::Null);
    lines.set_target(id, message["target"].as_str().unwrap_or(NOT_KNOWN));
}
