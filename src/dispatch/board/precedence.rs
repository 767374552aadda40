//! Which of several waiting messages begins first, as a table.
//!
//! | class        | begins before                                                                |
//! |--------------|------------------------------------------------------------------------------|
//! | `emergency`  | every message of another class                                               |
//! | `urgent`     | what has counted as urgent for a shorter time                                |
//! | `normal`     | the same, one minute after it began to wait                                  |
//! | `non-urgent` | the same, two minutes after it began to wait: for one it counts as normal    |
//!
//! A message that rises joins the next class behind those that are there. So the order of two
//! messages never changes while they wait, and nothing has to be moved when time passes. Within a
//! class the lane decides, and among the heads of lanes the turn ([`super::ready`]).

use std::cmp::Reverse;
use std::time::Duration;

use crate::message::{Priority, Timestamp};

/// A waiting message rises one class in this time.
pub(super) const RISE: Duration = Duration::from_secs(60);

/// Where a message stands among those of other classes: the lowest begins first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Rank {
    is_below_emergency: bool,
    /// When it counts as urgent.
    urgent_from: Timestamp,
    /// At the same time the higher class.
    class: Reverse<Priority>,
}

impl Rank {
    /// The rank of a message of this class that waits `since` then.
    pub(super) fn of(class: Priority, since: Timestamp) -> Self {
        let rises = match class {
            Priority::NonUrgent => 2,
            Priority::Normal => 1,
            Priority::Urgent | Priority::Emergency => 0,
        };
        Self {
            is_below_emergency: class < Priority::Emergency,
            urgent_from: since.plus(RISE * rises),
            class: Reverse(class),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rank(class: Priority, seconds: i64) -> Rank {
        Rank::of(class, Timestamp::from_millis(seconds * 1_000))
    }

    #[test]
    fn of_messages_that_begin_to_wait_together_the_higher_class_is_first() {
        let ranks = Priority::ALL.map(|class| rank(class, 0));
        assert!(ranks.is_sorted_by(|lower, higher| lower > higher));
    }

    #[test]
    fn a_message_rises_one_class_a_minute_up_to_urgent() {
        for (low, high) in [
            (Priority::NonUrgent, Priority::Normal),
            (Priority::Normal, Priority::Urgent),
        ] {
            // What came within the minute goes before it, and what comes later does not.
            assert!(rank(high, 60) < rank(low, 0));
            assert!(rank(low, 0) < rank(high, 61));
        }
        assert!(rank(Priority::Urgent, 120) < rank(Priority::NonUrgent, 0));
        assert!(rank(Priority::NonUrgent, 0) < rank(Priority::Urgent, 121));
        for class in [Priority::NonUrgent, Priority::Normal, Priority::Urgent] {
            assert!(rank(Priority::Emergency, 3_600) < rank(class, 0));
        }
    }

    #[test]
    fn within_a_class_the_one_that_waits_longer_is_first() {
        for class in Priority::ALL {
            assert!(rank(class, 0) < rank(class, 1));
        }
    }
}
