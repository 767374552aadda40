//! A message by its id, whichever way it goes.

use reqwest::StatusCode;
use serde_json::Value;

use super::client::{GatewayClient, Trouble};

/// A message of this id: one that was to be sent, or one that came in.
#[derive(Debug)]
pub(super) enum Found {
    Sent(Value),
    Received(Value),
}

/// The message of this id. Where there is none, the error is that of `/messages`.
pub(super) async fn find(client: &GatewayClient, id: &str) -> Result<Found, Trouble> {
    let id = super::segment(id);
    match client.get(&format!("/messages/{id}"), &[]).await {
        Err(missing) if is_missing(&missing) => {
            match client.get(&format!("/received/{id}"), &[]).await {
                Err(other) if is_missing(&other) => Err(missing),
                received => received.map(Found::Received),
            }
        }
        sent => sent.map(Found::Sent),
    }
}

/// Whether the gateway has nothing of this id.
pub(super) fn is_missing(trouble: &Trouble) -> bool {
    trouble.status == Some(StatusCode::NOT_FOUND)
}
