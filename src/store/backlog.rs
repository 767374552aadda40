//! What waits to become durable, and how much of it may.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::{NewDelivery, Record, Submission};
use crate::message::{Event, FrameRecord, Receipt, Received};

/// How much a verb writes, near enough to bound the queue and a group.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::store) struct Weight {
    pub(in crate::store) rows: usize,
    pub(in crate::store) bytes: usize,
}

impl Weight {
    /// Of messages to be taken in.
    pub(in crate::store) fn of_submissions(submissions: &[Submission]) -> Self {
        let messages = submissions.iter().flat_map(|one| &one.messages);
        messages.fold(Self::default(), |sum, message| Self {
            rows: sum.rows + 1,
            bytes: sum.bytes + message.weight(),
        })
    }

    /// Of events to be appended.
    pub(in crate::store) fn of_records(records: &[Record]) -> Self {
        Self {
            rows: records.len(),
            bytes: records.iter().map(|record| record.event.weight()).sum(),
        }
    }

    /// Of events without a message.
    pub(in crate::store) fn of_events(events: &[Event]) -> Self {
        Self {
            rows: events.len(),
            bytes: events.iter().map(Event::weight).sum(),
        }
    }

    /// Of messages that came in.
    pub(in crate::store) fn of_received(received: &[Received]) -> Self {
        Self {
            rows: received.len(),
            bytes: received.iter().map(Received::weight).sum(),
        }
    }

    /// Of receipts.
    pub(in crate::store) fn of_receipts(receipts: &[Receipt]) -> Self {
        Self {
            rows: receipts.len(),
            bytes: receipts.iter().map(Receipt::weight).sum(),
        }
    }

    /// Of frames to be kept.
    pub(in crate::store) fn of_frames(records: &[FrameRecord]) -> Self {
        Self {
            rows: records.len(),
            bytes: records.iter().map(FrameRecord::weight).sum(),
        }
    }

    /// Of deliveries to be kept; each has its event.
    pub(in crate::store) fn of_deliveries(deliveries: &[NewDelivery]) -> Self {
        deliveries.iter().fold(Self::SMALL, |sum, delivery| Self {
            rows: sum.rows + 1,
            bytes: sum.bytes + delivery.weight(),
        })
    }

    /// Of what hardly counts.
    pub(in crate::store) const SMALL: Self = Self { rows: 1, bytes: 0 };

    /// Of rows that are changed or removed.
    pub(in crate::store) fn of_rows(rows: usize) -> Self {
        Self { rows, bytes: 0 }
    }
}

/// Whether a verb may be refused when too much waits for the disk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::store) enum Urgency {
    /// Takes on new work.
    New,
    /// Brings work that was taken on further: refused only when several times as much waits.
    Ongoing,
}

/// What may wait for the disk. In a second of standstill a busy gateway gathers less.
const MAX_WAITING: Weight = Weight {
    rows: 50_000,
    bytes: 64 * 1024 * 1024,
};
/// What waits now.
#[derive(Debug, Default)]
pub(in crate::store) struct Backlog {
    rows: AtomicUsize,
    bytes: AtomicUsize,
}

impl Backlog {
    /// Counts a verb in, unless too much waits already. Nothing is too large for an empty queue.
    pub(in crate::store) fn admit(&self, urgency: Urgency, weight: Weight) -> bool {
        let times = match urgency {
            Urgency::New => 1,
            Urgency::Ongoing => 4,
        };
        let rows = self.rows.fetch_add(weight.rows, Ordering::Relaxed);
        let bytes = self.bytes.fetch_add(weight.bytes, Ordering::Relaxed);
        let fits = rows + weight.rows <= MAX_WAITING.rows * times
            && bytes + weight.bytes <= MAX_WAITING.bytes * times;
        if fits || rows == 0 {
            return true;
        }
        self.leave(weight);
        false
    }

    pub(in crate::store) fn leave(&self, weight: Weight) {
        self.rows.fetch_sub(weight.rows, Ordering::Relaxed);
        self.bytes.fetch_sub(weight.bytes, Ordering::Relaxed);
    }
}
