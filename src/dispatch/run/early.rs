//! Requests that were sent before their records were durable, until they are settled: another
//! replica that has come begins only then.
//!
//! | a request               | is settled when                    |
//! |-------------------------|------------------------------------|
//! | is in flight            | its record is durable              |
//! | has ended               | its record is durable, or refused  |
//! | is in flight, refused   | it has ended                       |

use std::collections::HashMap;

use super::super::board::AttemptKey;

#[derive(Debug, Default)]
pub(super) struct EarlyRequests {
    open: HashMap<AttemptKey, EarlyState>,
}

#[derive(Clone, Copy, Debug)]
enum EarlyState {
    InFlight,
    Ended,
    Refused,
}

impl EarlyRequests {
    /// Whether all that was sent early is settled.
    pub(super) fn are_settled(&self) -> bool {
        self.open.is_empty()
    }

    /// A request is sent, and its record is not durable.
    pub(super) fn sent(&mut self, key: AttemptKey) {
        self.open.insert(key, EarlyState::InFlight);
    }

    /// The record of this one is durable.
    pub(super) fn durable(&mut self, key: AttemptKey) {
        self.open.remove(&key);
    }

    /// The record of this one will not be written.
    pub(super) fn refused(&mut self, key: AttemptKey) {
        self.change(key, EarlyState::Ended, EarlyState::Refused);
    }

    /// This one has ended.
    pub(super) fn ended(&mut self, key: AttemptKey) {
        self.change(key, EarlyState::Refused, EarlyState::Ended);
    }

    /// Removes the one that is in this state, and puts another one in that.
    fn change(&mut self, key: AttemptKey, settled_by: EarlyState, to: EarlyState) {
        let Some(state) = self.open.get_mut(&key) else {
            return;
        };
        if std::mem::discriminant(state) == std::mem::discriminant(&settled_by) {
            self.open.remove(&key);
        } else {
            *state = to;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Step = fn(&mut EarlyRequests, AttemptKey);

    fn after(steps: &[Step]) -> bool {
        let mut early = EarlyRequests::default();
        early.sent(1);
        for step in steps {
            assert!(!early.are_settled());
            step(&mut early, 1);
            step(&mut early, 2);
        }
        early.are_settled()
    }

    #[test]
    fn a_request_is_settled_when_its_record_is_durable_or_when_it_has_ended_without() {
        let (durable, refused, ended): (Step, Step, Step) = (
            EarlyRequests::durable,
            EarlyRequests::refused,
            EarlyRequests::ended,
        );
        for settled in [
            &[durable] as &[Step],
            &[ended, durable],
            &[ended, refused],
            &[refused, ended],
        ] {
            assert!(after(settled));
        }
        for open in [&[] as &[Step], &[ended], &[refused]] {
            assert!(!after(open));
        }
    }
}
