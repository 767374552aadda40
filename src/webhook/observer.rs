//! Who wants to know how posts go.

use std::time::Duration;

use url::Url;

use super::client::Answer;
use crate::message::{MessageId, Trace};

/// Who wants to know how posts go.
pub trait Observer: Send + Sync {
    /// A post begins that is part of a trace. Gives the trace as its receiver is told of it.
    fn posting(&self, part_of: &PartOf) -> Trace {
        part_of.trace
    }

    /// An attempt ended.
    fn attempted(&self, _posted: &Posted<'_>) {}

    /// So many deliveries have not ended.
    fn pending(&self, _count: u64) {}
}

/// Nobody wants to know.
impl Observer for () {}

/// Where what is posted stands in a trace.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PartOf {
    /// The trace of its message.
    pub trace: Trace,
    /// Its message.
    pub message: MessageId,
    /// The attempt that the event belongs to; 0 when none was begun.
    pub attempt: u32,
}

/// An attempt to post that ended.
#[derive(Clone, Copy, Debug)]
pub struct Posted<'a> {
    /// Where to. Its path and its query may be secrets.
    pub url: &'a Url,
    /// The event.
    pub id: &'a str,
    /// What came back; `Silent` when nothing did.
    pub answer: &'a Answer,
    /// How long it took.
    pub took: Duration,
    /// What it was part of, and the trace as its receiver was told of it.
    pub part_of: Option<(PartOf, Trace)>,
}
