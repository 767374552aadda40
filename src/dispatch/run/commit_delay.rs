//! When a commit waits a moment for the outcomes of what has just begun.
//!
//! A near peer answers in about the time that a commit takes. When the commit waits for its answer,
//! the whole life of a message is one commit in place of two, and several clients that each wait
//! for the end of a message share it. When much is under way commits fill by themselves: then only
//! a store whose commits are dear lets them wait, and not for long.
//!
//! | the next commit                                    | is handed to the store              |
//! |----------------------------------------------------|--------------------------------------|
//! | holds a message that begins when it is durable     | at once                              |
//! | holds no message that is on its way                | at once                              |
//! | any, when peers take longer than two commits       | at once                              |
//! | any, when many are on their way                    | at once; where commits are dear when |
//! |                                                    | all of them have ended, or as long   |
//! |                                                    | after as half a commit takes         |
//! | any other                                          | when all that is on its way has      |
//! |                                                    | ended, or as long after as two       |
//! |                                                    | commits take                         |

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::super::board::AttemptKey;

/// With more under way than this, commits fill by themselves.
const FEW: usize = 16;
/// How many commits a wait may take. More than one, because what it gains is shared by all.
const WORTH: u32 = 2;
/// What part of a commit a wait may take that holds up many.
const WORTH_OF_MANY: u32 = 2;

/// The attempts that the next commit waits for, and how long attempts and commits take.
#[derive(Debug, Default)]
pub(super) struct CommitDelay {
    /// Whether commits cost much beside what they write.
    are_dear: bool,
    /// Handed to their agents since the last commit, and not ended.
    awaited: HashSet<AttemptKey>,
    /// When the wait that has begun is over at the latest.
    until: Option<Instant>,
    answers: Average,
    commits: Average,
    /// When the commit that is under way began.
    committing: Option<Instant>,
}

/// How long something has taken of late; `None` before the first time.
#[derive(Debug, Default)]
struct Average(Option<Duration>);

impl Average {
    /// The newest counts an eighth.
    fn add(&mut self, took: Duration) {
        self.0 = Some(self.0.map_or(took, |mean| (mean * 7 + took) / 8));
    }
}

impl CommitDelay {
    /// For a store whose commits cost much beside what they write, or do not.
    pub(super) fn new(are_dear: bool) -> Self {
        Self {
            are_dear,
            ..Self::default()
        }
    }

    /// An attempt was handed to its agent, and its record will be in the next commit.
    pub(super) fn begun(&mut self, key: AttemptKey) {
        self.awaited.insert(key);
    }

    /// An attempt has ended, so long after it was handed to its agent.
    pub(super) fn ended(&mut self, key: AttemptKey, took: Option<Duration>) {
        self.awaited.remove(&key);
        if let (Some(took), Some(commit)) = (took, self.commits.0) {
            // One slow answer is no measure of the others.
            self.answers.add(took.min(commit * 2 * WORTH));
        }
    }

    /// Begins the wait when so many attempts in flight make one worth while, and ends it when they
    /// do not. `has_jobs`: attempts begin when the commit is durable.
    pub(super) fn update(&mut self, in_flight: usize, has_jobs: bool, now: Instant) {
        let are_few = in_flight <= FEW;
        let is_of_use = !self.awaited.is_empty() && !has_jobs && (are_few || self.are_dear);
        let longest = |commit| {
            if are_few {
                commit * WORTH
            } else {
                commit / WORTH_OF_MANY
            }
        };
        self.until = match (self.until, self.answers.0, self.commits.0) {
            _ if !is_of_use => None,
            (Some(until), _, _) => Some(until),
            (None, Some(answer), Some(commit)) if answer < commit * WORTH => {
                Some(now + longest(commit))
            }
            (None, _, _) => None,
        };
    }

    /// Whether the next commit waits now.
    pub(super) fn should_wait(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// When the wait is over at the latest; `None` when there is none.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// The next commit was handed to the store.
    pub(super) fn committing(&mut self, now: Instant) {
        self.awaited.clear();
        self.until = None;
        self.committing = Some(now);
    }

    pub(super) fn committed(&mut self, now: Instant) {
        if let Some(began) = self.committing.take() {
            self.commits.add(now.saturating_duration_since(began));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: Duration = Duration::from_millis(4);
    const QUICK: Duration = Duration::from_millis(1);

    /// After a few messages whose peers took so long to answer.
    fn after(answer: Duration, now: Instant) -> CommitDelay {
        let mut delay = CommitDelay::new(false);
        for key in 0..8 {
            delay.committing(now);
            delay.committed(now + COMMIT);
            delay.begun(key);
            delay.ended(key, Some(answer));
        }
        delay
    }

    fn waits(delay: &mut CommitDelay, in_flight: usize, has_jobs: bool, now: Instant) -> bool {
        delay.update(in_flight, has_jobs, now);
        delay.should_wait(now)
    }

    fn now() -> Instant {
        crate::clock::now()
    }

    #[test]
    fn a_commit_waits_for_a_quick_peer_until_it_has_answered() {
        let mut delay = after(QUICK, now());
        let now = now();
        delay.begun(8);
        assert!(waits(&mut delay, 1, false, now));
        assert_eq!(delay.until(), Some(now + COMMIT * WORTH));
        assert!(waits(&mut delay, 1, false, now + QUICK));
        delay.ended(8, Some(QUICK));
        assert!(!waits(&mut delay, 0, false, now + QUICK));
        assert_eq!(delay.until(), None);
    }

    #[test]
    fn a_peer_that_is_quick_as_a_rule_is_waited_for_no_longer_than_it_is_worth() {
        let mut delay = after(QUICK, now());
        let now = now();
        delay.begun(8);
        assert!(waits(&mut delay, 1, false, now));
        // What comes meanwhile is waited for too, and makes the wait no longer.
        delay.begun(9);
        delay.ended(8, Some(QUICK));
        let end = now + COMMIT * WORTH;
        assert!(waits(&mut delay, 1, false, end - QUICK));
        assert!(!waits(&mut delay, 1, false, end));
        delay.committing(end);
        assert_eq!(delay.until(), None);
    }

    #[test]
    fn no_commit_waits_for_peers_that_take_longer_than_it_is_worth() {
        for answer in [COMMIT * WORTH, Duration::from_secs(32)] {
            let mut delay = after(answer, now());
            delay.begun(8);
            assert!(!waits(&mut delay, 1, false, now()));
        }
    }

    #[test]
    fn one_that_timed_out_does_not_hide_for_long_that_the_others_are_quick() {
        let mut delay = after(QUICK, now());
        let quick_again = (8..).find(|key| {
            let took = if *key == 8 {
                Duration::from_secs(32)
            } else {
                QUICK
            };
            delay.ended(*key, Some(took));
            delay.begun(1_000);
            waits(&mut delay, 1, false, now())
        });
        assert!(quick_again.is_some_and(|key| key < 12), "{quick_again:?}");
    }

    #[test]
    fn no_commit_waits_where_something_begins_only_after_the_commit() {
        let mut delay = after(QUICK, now());
        delay.begun(8);
        assert!(!waits(&mut delay, 1, true, now()));
    }

    #[test]
    fn no_commit_waits_when_much_is_under_way_or_nothing() {
        let mut delay = after(QUICK, now());
        assert!(!waits(&mut delay, 0, false, now()));
        delay.begun(8);
        assert!(!waits(&mut delay, FEW + 1, false, now()));
        assert!(waits(&mut delay, FEW, false, now()));
    }

    #[test]
    fn a_dear_commit_waits_for_many_no_longer_than_half_of_one() {
        let mut delay = after(QUICK, now());
        delay.are_dear = true;
        let now = now();
        delay.begun(8);
        assert!(waits(&mut delay, FEW + 1, false, now));
        assert_eq!(delay.until(), Some(now + COMMIT / WORTH_OF_MANY));
        // Nor does it begin anew when few are left.
        assert!(waits(&mut delay, 1, false, now + QUICK));
        assert_eq!(delay.until(), Some(now + COMMIT / WORTH_OF_MANY));
        assert!(!waits(&mut delay, FEW + 1, true, now + QUICK));
        delay.ended(8, Some(QUICK));
        assert!(!waits(&mut delay, FEW, false, now + QUICK));
    }

    #[test]
    fn no_commit_waits_before_it_is_known_how_long_it_takes() {
        let mut delay = CommitDelay::default();
        delay.begun(0);
        assert!(!waits(&mut delay, 1, false, now()));
    }
}
