//! Webhooks, deliveries and attempts as JSON.

use std::sync::Arc;

use serde::Serialize;

use crate::api::Api;
use crate::message::{EndpointId, EventKind, MessageId, Timestamp};
use crate::store::{Attempt, Delivery, Disabled, DisabledBecause, Endpoint};

/// A webhook as every answer shows it; the secret only where it is new.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EndpointView<'a> {
    id: EndpointId,
    url: &'a str,
    types: Vec<&'static str>,
    from: &'a [Arc<str>],
    description: Option<&'a str>,
    enabled: bool,
    disabled: Option<DisabledView>,
    failing_since: Option<Timestamp>,
    recovery: Option<RecoveryView>,
    created_at: Timestamp,
    updated_at: Timestamp,
    previous_secret_until: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DisabledView {
    reason: &'static str,
    detail: &'static str,
    at: Timestamp,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RecoveryView {
    since: Timestamp,
    until: Timestamp,
}

impl<'a> EndpointView<'a> {
    pub(super) fn of(endpoint: &'a Endpoint) -> Self {
        Self {
            id: endpoint.id,
            url: &endpoint.url,
            types: endpoint.kinds.iter().map(|kind| kind.as_str()).collect(),
            from: &endpoint.accounts,
            description: endpoint.description.as_deref(),
            enabled: endpoint.disabled.is_none(),
            disabled: endpoint.disabled.map(DisabledView::from),
            failing_since: endpoint.failing_since,
            recovery: endpoint.recovery.map(|recovery| RecoveryView {
                since: recovery.since,
                until: recovery.until,
            }),
            created_at: endpoint.created_at,
            updated_at: endpoint.updated_at,
            previous_secret_until: endpoint.previous_secret.as_ref().map(|(_, until)| *until),
            secret: None,
        }
    }

    pub(super) fn with_secret(endpoint: &'a Endpoint, secret: String) -> Self {
        Self {
            secret: Some(secret),
            ..Self::of(endpoint)
        }
    }
}

impl From<Disabled> for DisabledView {
    fn from(disabled: Disabled) -> Self {
        let detail = match disabled.because {
            DisabledBecause::Request => "a client asked for it",
            DisabledBecause::Gone => "it answered 410 Gone",
            DisabledBecause::Failing => {
                "every attempt failed for longer than webhooks.disable_after"
            }
        };
        Self {
            reason: disabled.because.as_str(),
            detail,
            at: disabled.at,
        }
    }
}

/// A delivery as every answer shows it. It is named after its event, as `webhook-id` is.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeliveryView<'a> {
    id: String,
    r#type: &'static str,
    message_id: MessageId,
    status: &'static str,
    created_at: Timestamp,
    next_attempt_at: Option<Timestamp>,
    completed_at: Option<Timestamp>,
    attempts: Vec<AttemptView<'a>>,
}

impl<'a> DeliveryView<'a> {
    pub(super) fn of(api: &Api, delivery: &'a Delivery) -> Self {
        let kind: EventKind = delivery.kind;
        Self {
            id: api.webhooks.event_id(delivery.seq),
            r#type: kind.as_str(),
            message_id: delivery.message_id,
            status: delivery.state.as_str(),
            created_at: delivery.created_at,
            next_attempt_at: delivery.next_at,
            completed_at: delivery.completed_at,
            attempts: delivery.attempts.iter().map(AttemptView::of).collect(),
        }
    }
}

/// An attempt as every answer shows it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AttemptView<'a> {
    number: u32,
    at: Timestamp,
    duration_ms: u64,
    status: Option<u16>,
    answer: &'a str,
    error: Option<&'a str>,
}

impl<'a> AttemptView<'a> {
    pub(super) fn of(attempt: &'a Attempt) -> Self {
        Self {
            number: attempt.number,
            at: attempt.at,
            duration_ms: u64::try_from(attempt.took.as_millis()).unwrap_or(u64::MAX),
            status: attempt.status,
            answer: &attempt.answer,
            error: attempt.error.as_deref(),
        }
    }
}
