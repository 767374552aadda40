//! Our words as the small numbers that both backends keep, and back.

use crate::message::{Contents, EventKind, OnUnknown, Priority, Status, Trace};

pub(super) fn status_number(status: Status) -> i16 {
    match status {
        Status::Scheduled => 0,
        Status::Queued => 1,
        Status::Sending => 2,
        Status::Succeeded => 3,
        Status::Failed => 4,
    }
}

pub(super) fn status(number: i64) -> Option<Status> {
    let number = usize::try_from(number).ok()?;
    Status::ALL.get(number).copied()
}

pub(super) fn kind_number(kind: EventKind) -> i16 {
    match kind {
        EventKind::Sending => 0,
        EventKind::Deferred => 1,
        EventKind::Succeeded => 2,
        EventKind::Failed => 3,
        EventKind::Received => 4,
        EventKind::Delivered => 5,
        EventKind::Displayed => 6,
        EventKind::Undelivered => 7,
        EventKind::AgentUp => 8,
        EventKind::AgentDown => 9,
    }
}

pub(super) fn kind(number: i64) -> Option<EventKind> {
    let number = usize::try_from(number).ok()?;
    EventKind::ALL.get(number).copied()
}

pub(super) fn on_unknown_number(on_unknown: OnUnknown) -> i16 {
    match on_unknown {
        OnUnknown::Resend => 0,
        OnUnknown::Fail => 1,
    }
}

pub(super) fn on_unknown(number: i64) -> Option<OnUnknown> {
    match number {
        0 => Some(OnUnknown::Resend),
        1 => Some(OnUnknown::Fail),
        _ => None,
    }
}

pub(super) fn priority_number(priority: Priority) -> i16 {
    match priority {
        Priority::NonUrgent => 0,
        Priority::Normal => 1,
        Priority::Urgent => 2,
        Priority::Emergency => 3,
    }
}

pub(super) fn priority(number: i64) -> Option<Priority> {
    let number = usize::try_from(number).ok()?;
    Priority::ALL.get(number).copied()
}

/// What of a message has no column of its own, as JSON.
pub(super) fn contents_text(contents: &Contents) -> String {
    // Text, numbers, lists and maps of text are always JSON.
    serde_json::to_string(contents).unwrap_or_default()
}

/// What [`contents_text`] wrote; `None` when it is something else.
pub(super) fn contents(text: &str) -> Option<Contents> {
    serde_json::from_str(text).ok()
}

/// `None` for none, else as `traceparent` is written.
pub(super) fn trace_text(trace: Option<Trace>) -> Option<String> {
    trace.map(|trace| trace.to_string())
}

/// What [`trace_text`] wrote. A trace is a convenience: any other text is read as none.
pub(super) fn trace(text: Option<&str>) -> Option<Trace> {
    text.and_then(Trace::parse)
}

/// `None` for an empty list, else JSON: `["succeeded","failed"]`.
pub(super) fn list_text<T: serde::Serialize>(items: &[T]) -> Option<String> {
    if items.is_empty() {
        return None;
    }
    // Strings are always JSON.
    serde_json::to_string(items).ok()
}

/// What [`list_text`] wrote; `None` when it is something else.
pub(super) fn list<T: serde::de::DeserializeOwned>(text: Option<&str>) -> Option<Vec<T>> {
    match text {
        Some(text) => serde_json::from_str(text).ok(),
        None => Some(Vec::new()),
    }
}
