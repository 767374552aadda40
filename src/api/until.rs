//! When the event stream of one message ends.
//!
//! | `until`     | ends at                                                        |
//! |-------------|----------------------------------------------------------------|
//! | –           | `succeeded`, `failed`                                          |
//! | `delivered` | `delivered`, `displayed`, `undelivered`, `failed`, or in time  |
//! | `displayed` | `displayed`, `undelivered`, `failed`, or in time               |
//!
//! In time: when the message has ended and its ttl is over. What was displayed was delivered,
//! whatever its recipient says of that.

use tokio::time::Instant;

use super::Api;
use super::error::ApiError;
use super::negotiate::Form;
use crate::message::{EventKind, Message, MessageId};
use crate::store::{StoreError, Stored};

/// What a client waits for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Until {
    #[default]
    End,
    /// A receipt that a device has the message.
    Delivered,
    /// A receipt that the message was shown.
    Displayed,
}

impl Until {
    /// `until=`, of a stream alone.
    pub(super) fn read(given: Option<&str>, form: Form) -> Result<Self, ApiError> {
        let until = match given {
            None => return Ok(Self::End),
            Some("delivered") => Self::Delivered,
            Some("displayed") => Self::Displayed,
            Some(_) => {
                let words = "until: expected delivered or displayed";
                return Err(ApiError::Query(words.to_owned()));
            }
        };
        match form {
            Form::Stream => Ok(until),
            Form::Json => {
                let words = "until: only for an event stream (Accept: text/event-stream)";
                Err(ApiError::Query(words.to_owned()))
            }
        }
    }

    /// Whether a stream ends at such an event.
    pub(super) fn is_reached_by(self, kind: EventKind) -> bool {
        match kind {
            EventKind::Sending | EventKind::Deferred | EventKind::Received => false,
            EventKind::AgentUp | EventKind::AgentDown => false,
            EventKind::Failed => true,
            EventKind::Succeeded => self == Self::End,
            EventKind::Delivered => self == Self::Delivered,
            EventKind::Displayed | EventKind::Undelivered => self != Self::End,
        }
    }

    /// Whether a client that has seen the events of a message up to this one has seen the last.
    pub(super) async fn is_reached_at(
        self,
        api: &Api,
        id: MessageId,
        seen: u64,
    ) -> Result<bool, StoreError> {
        let mut after = 0;
        while after < seen {
            let page = api.store.events_of(id, after, crate::events::CHUNK).await?;
            let mut events = page.events.iter().take_while(|event| event.seq <= seen);
            if events.any(|event| self.is_reached_by(event.kind)) {
                return Ok(true);
            }
            if !page.is_cut {
                break;
            }
            after = page.scanned_to;
        }
        Ok(false)
    }
}

/// Where the stream of one message ends.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StreamEnd {
    pub(super) until: Until,
    /// When the message's ttl is over, where that matters.
    pub(super) at: Option<Instant>,
    /// Whether the client knows that the message has ended.
    pub(super) has_ended: bool,
}

impl StreamEnd {
    /// Of a message that nothing is known of yet.
    pub(super) fn of(api: &Api, message: &Message, until: Until) -> Self {
        let left = message.expires_at.since(api.clock.now());
        Self {
            until,
            at: (until != Until::End).then(|| Instant::now() + left),
            has_ended: false,
        }
    }

    /// Of a message whose events were seen up to this one.
    pub(super) fn after(api: &Api, stored: &Stored, until: Until, seen: u64) -> Self {
        let result = stored.result.as_ref();
        Self {
            has_ended: result.is_some_and(|result| result.seq <= seen),
            ..Self::of(api, &stored.message, until)
        }
    }

    /// Whether nothing but the time was waited for, and that is over.
    pub(super) fn is_past(&self) -> bool {
        self.has_ended && self.at.is_some_and(|at| at <= Instant::now())
    }
}
