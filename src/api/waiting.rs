//! What a message waits for, as JSON.

use serde::Serialize;

use super::Api;
use super::error::ApiError;
use crate::dispatch::WaitingFor;
use crate::message::{ByMessage, Priority, Status, Timestamp};
use crate::store::{Holder, Stored};

/// What a message waits for, as far as this replica can tell.
#[derive(Debug)]
pub(super) enum Waiting {
    /// Something that is known here.
    Here(WaitingFor),
    /// What only the dispatcher of the replica that has it knows.
    Elsewhere(Holder),
}

impl Waiting {
    /// What this message waits for; `None` when it does not.
    pub(super) async fn of(api: &Api, stored: &Stored) -> Result<Option<Self>, ApiError> {
        let waiting = Self::of_all(api, std::slice::from_ref(stored)).await?;
        Ok(waiting.into_values().next())
    }

    /// What these messages wait for. Messages that do not wait are left out.
    ///
    /// The dispatcher of this replica is asked first, and once for all of them. Of a message that
    /// another replica has, the store knows its next attempt and who has it.
    pub(super) async fn of_all(api: &Api, page: &[Stored]) -> Result<ByMessage<Self>, ApiError> {
        let id = |stored: &Stored| stored.message.id;
        let waits: Vec<_> = page.iter().filter(|stored| waits(stored.status)).collect();
        let mut waiting = ByMessage::default();
        if waits.is_empty() {
            return Ok(waiting);
        }
        let ids = waits.iter().map(|stored| id(stored)).collect();
        let known = api.dispatch.waiting_for(ids).await;
        waiting.extend(known.into_iter().map(|(id, known)| (id, Self::Here(known))));
        let unknown = waits.iter().map(|stored| id(stored));
        let unknown: Vec<_> = unknown.filter(|id| !waiting.contains_key(id)).collect();
        if unknown.is_empty() {
            return Ok(waiting);
        }
        let mut holders = api.store.holders(unknown).await?;
        let now = api.clock.now();
        for stored in waits {
            if let Some(holder) = holders.remove(&id(stored)) {
                let time = time_of(stored, now);
                waiting.insert(id(stored), time.map_or(Self::Elsewhere(holder), Self::Here));
            }
        }
        Ok(waiting)
    }
}

fn waits(status: Status) -> bool {
    match status {
        Status::Scheduled | Status::Queued => true,
        Status::Sending | Status::Succeeded | Status::Failed => false,
    }
}

/// The time that a message waits for, at whichever replica.
fn time_of(stored: &Stored, now: Timestamp) -> Option<WaitingFor> {
    let (at, time): (_, fn(_) -> _) = match stored.attempt {
        0 => (stored.message.contents.send_at, WaitingFor::Schedule),
        _ => (stored.not_before, WaitingFor::Retry),
    };
    at.filter(|at| *at > now).map(time)
}

/// `waitingFor` of a message: a `kind`, and what belongs to it.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(super) enum WaitingView<'a> {
    Schedule { until: Timestamp },
    Lane { before: usize },
    Agent { account: Option<&'a str> },
    Slot,
    Rate { until: Timestamp },
    Priority { class: Priority },
    Retry { at: Timestamp },
    Store,
    Replica { replica: &'a str, until: Timestamp },
}

impl<'a> From<&'a Waiting> for WaitingView<'a> {
    fn from(waiting: &'a Waiting) -> Self {
        let known = match waiting {
            Waiting::Here(known) => known,
            Waiting::Elsewhere(holder) => {
                return Self::Replica {
                    replica: &holder.replica,
                    until: holder.until,
                };
            }
        };
        match known {
            WaitingFor::Schedule(until) => Self::Schedule { until: *until },
            WaitingFor::Lane { before } => Self::Lane { before: *before },
            WaitingFor::Agent(account) => Self::Agent {
                account: account.as_deref(),
            },
            WaitingFor::Slot => Self::Slot,
            WaitingFor::Rate(until) => Self::Rate { until: *until },
            WaitingFor::Priority(class) => Self::Priority { class: *class },
            WaitingFor::Retry(at) => Self::Retry { at: *at },
            WaitingFor::Store => Self::Store,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::message::{Contents, MessageId};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    /// Taken in at 0 s, to be sent at 60 s.
    fn stored() -> Stored {
        let contents = Contents {
            send_at: Some(at(60)),
            ..Contents::default()
        };
        let message = contents.accept(MessageId::new(Uuid::nil()), at(0), None);
        Stored {
            message: Arc::new(message),
            account: None,
            status: Status::Queued,
            attempt: 0,
            completed_at: None,
            not_before: None,
            result: None,
            receipts: crate::store::ReceiptTimes::default(),
        }
    }

    #[test]
    fn a_message_waits_for_its_time_at_whichever_replica() {
        let scheduled = stored();
        assert_eq!(
            time_of(&scheduled, at(59)),
            Some(WaitingFor::Schedule(at(60)))
        );
        assert_eq!(time_of(&scheduled, at(60)), None);
        let deferred = Stored {
            attempt: 1,
            not_before: Some(at(90)),
            ..stored()
        };
        assert_eq!(time_of(&deferred, at(59)), Some(WaitingFor::Retry(at(90))));
        assert_eq!(time_of(&deferred, at(90)), None);
    }

    #[test]
    fn what_another_replica_has_is_said_with_the_end_of_its_lease() {
        let waiting = Waiting::Elsewhere(Holder {
            replica: "east-1".to_owned(),
            until: at(10),
        });
        assert_eq!(
            json!(WaitingView::from(&waiting)),
            json!({"kind": "replica", "replica": "east-1", "until": "1970-01-01T00:00:10.000Z"})
        );
    }
}
