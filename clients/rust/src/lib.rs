//! A client of sipost: messages by HTTP that go out as SIP MESSAGE requests, and what becomes of
//! them.
//!
//! ```no_run
//! use futures_util::TryStreamExt as _;
//! use sipost_client::{NewMessage, Sipost};
//!
//! # async fn run() -> Result<(), sipost_client::Error> {
//! let sipost = Sipost::new("http://127.0.0.1:8080");
//! let message = sipost.send(&NewMessage::new("ok", "Hello!")).await?;
//! let mut events = sipost.follow(&message.id);
//! while let Some(event) = events.try_next().await? {
//!     println!("{event:?}");
//! }
//! # Ok(())
//! # }
//! ```

mod client;
mod error;
mod http;
mod sse;
mod stream;
#[allow(
    missing_docs,
    reason = "the contract has no words for some inner types"
)]
pub mod types;
mod webhook;

pub use client::{EventQuery, Follow, ListQuery, ReceivedQuery, SendOptions, Sipost};
pub use error::{Error, ProblemError, WebhookError};
pub use types::*;
pub use webhook::{WebhookHeaders, verify_webhook, verify_webhook_at};

impl NewMessage {
    /// A text for a target.
    pub fn new(target: impl Into<String>, body: impl Into<String>) -> Self {
        Self {
            target: Some(target.into()),
            body: body.into(),
            ..Self::default()
        }
    }

    /// An answer to a message that came in.
    pub fn reply_to(received: &ReceivedEvent, body: impl Into<String>) -> Self {
        Self {
            in_reply_to: Some(received.message_id.clone()),
            body: body.into(),
            ..Self::default()
        }
    }
}

impl Event {
    /// Its id, from which a reader can go on.
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Sending(event) => Some(&event.id),
            Self::Deferred(event) => Some(&event.id),
            Self::Succeeded(event) => Some(&event.id),
            Self::Failed(event) => Some(&event.id),
            Self::Received(event) => Some(&event.id),
            Self::Erased(event) => Some(&event.id),
            Self::Receipt(event) => Some(&event.id),
            Self::Undelivered(event) => Some(&event.id),
            Self::AgentUp(event) => Some(&event.id),
            Self::AgentDown(event) => Some(&event.id),
            Self::Unknown(event) => event["id"].as_str(),
        }
    }
}
