//! Keeps a message that must go alone apart from the others of its agent.
//!
//! | in flight                    | next job goes alone | next job does not |
//! |------------------------------|---------------------|-------------------|
//! | nothing                      | is sent             | is sent           |
//! | others                       | waits               | is sent           |
//! | one that goes alone          | waits               | waits             |
//!
//! Jobs pass in the order in which they came. The pool gives an agent no more jobs after one that
//! goes alone, so that no more wait here than had a slot before.

use std::collections::VecDeque;

use crate::agent::handle::Job;

#[derive(Debug, Default)]
pub(super) struct Isolation {
    waiting: VecDeque<Job>,
    /// What was sent last goes alone.
    is_alone: bool,
}

impl Isolation {
    /// Whether a job can be sent at once, whatever is in flight.
    pub(super) fn is_open(&self, job: &Job) -> bool {
        !job.alone && !self.is_closed()
    }

    /// Whether any job has to wait here.
    pub(super) fn is_closed(&self) -> bool {
        self.is_alone || !self.waiting.is_empty()
    }

    /// Nothing waits here.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn push(&mut self, job: Job) {
        self.waiting.push_back(job);
    }

    /// The next job that may be sent beside so many in flight.
    pub(super) fn pop(&mut self, in_flight: usize) -> Option<Job> {
        if in_flight == 0 {
            self.is_alone = false;
        }
        let may_pass = if self.waiting.front()?.alone {
            in_flight == 0
        } else {
            !self.is_alone
        };
        let job = may_pass.then(|| self.waiting.pop_front()).flatten()?;
        self.is_alone = job.alone;
        Some(job)
    }

    /// Gives back what waits when the connection is gone.
    pub(super) fn clear(&mut self) -> VecDeque<Job> {
        self.is_alone = false;
        std::mem::take(&mut self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::testing::message_to;

    fn job(key: u64, alone: bool) -> Job {
        Job {
            key,
            alone,
            message: crate::message::MessageId::new(uuid::Uuid::nil()),
            request: message_to("sip:bob@example.com", "a"),
        }
    }

    fn pop(isolation: &mut Isolation, in_flight: usize) -> Option<u64> {
        isolation.pop(in_flight).map(|job| job.key)
    }

    #[test]
    fn a_job_that_goes_alone_waits_for_the_others_and_the_others_for_it() {
        let mut isolation = Isolation::default();
        assert!(isolation.is_open(&job(0, false)));
        assert!(!isolation.is_open(&job(1, true)));
        isolation.push(job(1, true));
        assert!(!isolation.is_open(&job(2, false)));
        isolation.push(job(2, false));
        isolation.push(job(3, false));
        assert_eq!(pop(&mut isolation, 2), None);
        assert_eq!(pop(&mut isolation, 0), Some(1));
        assert_eq!(pop(&mut isolation, 1), None);
        assert_eq!(pop(&mut isolation, 0), Some(2));
        assert_eq!(pop(&mut isolation, 1), Some(3));
        assert_eq!(pop(&mut isolation, 2), None);
        assert!(isolation.is_empty() && isolation.is_open(&job(4, false)));
    }
}
