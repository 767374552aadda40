//! What follows an outcome: the end, or another attempt.
//!
//! | outcome                          | attempts left          | none left          |
//! |----------------------------------|------------------------|--------------------|
//! | 2xx                              | succeeded              | succeeded          |
//! | 429, 500, 502, 503, 504          | deferred               | failed             |
//! | any other final response         | failed                 | failed             |
//! | not written                      | deferred               | failed             |
//! | larger than `max_message`        | failed                 | failed             |
//! | unknown, `onUnknown: resend`     | deferred               | failed, ambiguous  |
//! | unknown, `onUnknown: fail`       | failed, ambiguous      | failed, ambiguous  |
//! | unknown because we died, `resend`| deferred               | deferred           |
//! | unknown, and a receipt came      | succeeded              | succeeded          |
//!
//! Our own death does not use up an attempt, so that `resend` keeps its promise through any number
//! of them. A next attempt that would begin after the message expires is not waited for: what the
//! peer said is the end at once.

use std::time::Duration;

use super::cause::{Cause, Originator};
use super::contents::OnUnknown;
use super::event::What;
use super::event_id::EventId;
use super::outcome::{Answer, Outcome, Unknown};
use super::time::Timestamp;
use super::view::ResponseView;

/// How long to stay away between attempts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Backoff {
    /// Before the second attempt.
    pub min: Duration,
    /// However many attempts there were.
    pub max: Duration,
}

/// What the decision depends on besides the outcome.
#[derive(Clone, Copy, Debug)]
pub struct Situation {
    /// The attempt that ended, from 1.
    pub attempt: u32,
    /// How many may be made.
    pub attempts: u32,
    /// What the client wants done about unknown outcomes.
    pub on_unknown: OnUnknown,
    /// When the message's time is over.
    pub expires_at: Timestamp,
    /// Now.
    pub now: Timestamp,
    /// The event of a receipt that says that the message has arrived.
    pub receipt: Option<EventId>,
    /// Between 0 and 1, drawn afresh for each decision.
    pub jitter: f64,
}

/// Responses that say "not now", to which another attempt is an answer.
pub const TRANSIENT: [u16; 5] = [429, 500, 502, 503, 504];

/// Decides what an attempt's outcome leads to. [`What::Sending`] is never the answer.
pub fn decide(outcome: Outcome, situation: Situation, backoff: Backoff) -> What {
    match outcome {
        Outcome::Answered(answer) => after_answer(answer, situation, backoff),
        Outcome::NotWritten => {
            let (originator, cause) = (Originator::System, Cause::ConnectionError);
            let may_retry = situation.attempt < situation.attempts;
            defer_or_fail(originator, cause, None, may_retry, None, situation, backoff)
        }
        Outcome::TooLarge => What::Failed {
            originator: Originator::System,
            cause: Cause::InternalError,
            response: None,
            ambiguous: false,
        },
        Outcome::Unknown(unknown) => after_unknown(unknown, situation, backoff),
    }
}

fn after_answer(answer: Answer, situation: Situation, backoff: Backoff) -> What {
    let Answer {
        response,
        retry_after,
        is_bare: _,
    } = answer;
    let code = response.status_code;
    if (200..300).contains(&code) {
        return What::Succeeded {
            response: Some(response),
            receipt: None,
        };
    }
    let may_retry = TRANSIENT.contains(&code) && situation.attempt < situation.attempts;
    let cause = Cause::of_status(code);
    let (originator, response) = (Originator::Remote, Some(response));
    defer_or_fail(
        originator,
        cause,
        response,
        may_retry,
        retry_after,
        situation,
        backoff,
    )
}

/// The end of a message whose outcome a receipt has settled.
pub fn settled_by(receipt: EventId) -> What {
    What::Succeeded {
        response: None,
        receipt: Some(receipt),
    }
}

fn after_unknown(unknown: Unknown, situation: Situation, backoff: Backoff) -> What {
    if let Some(receipt) = situation.receipt {
        return settled_by(receipt);
    }
    let cause = match unknown {
        Unknown::Disconnected | Unknown::Died => Cause::ConnectionError,
        Unknown::Silent => Cause::RequestTimeout,
    };
    let counts = match unknown {
        Unknown::Disconnected | Unknown::Silent => true,
        Unknown::Died => false,
    };
    let may_retry = match situation.on_unknown {
        OnUnknown::Resend => !counts || situation.attempt < situation.attempts,
        OnUnknown::Fail => false,
    };
    let decided = defer_or_fail(
        Originator::System,
        cause,
        None,
        may_retry,
        None,
        situation,
        backoff,
    );
    match decided {
        What::Failed {
            originator,
            cause,
            response,
            ..
        } => What::Failed {
            originator,
            cause,
            response,
            ambiguous: true,
        },
        other => other,
    }
}

fn defer_or_fail(
    originator: Originator,
    cause: Cause,
    response: Option<ResponseView>,
    may_retry: bool,
    retry_after: Option<Duration>,
    situation: Situation,
    backoff: Backoff,
) -> What {
    let wait = backoff
        .wait(situation.attempt, situation.jitter)
        .max(retry_after.unwrap_or_default());
    let next_attempt_at = situation.now.plus(wait);
    if may_retry && next_attempt_at < situation.expires_at {
        return What::Deferred {
            originator,
            cause,
            response,
            next_attempt_at,
        };
    }
    What::Failed {
        originator,
        cause,
        response,
        ambiguous: false,
    }
}

impl Backoff {
    /// The wait after this attempt: doubled each time, and between half and the whole of it, so
    /// that messages deferred together do not come back together.
    pub fn wait(self, attempt: u32, jitter: f64) -> Duration {
        let doublings = attempt.saturating_sub(1).min(20);
        let whole = self.min.saturating_mul(1 << doublings).min(self.max);
        whole.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::super::header_map::HeaderMap;
    use super::*;

    const BACKOFF: Backoff = Backoff {
        min: Duration::from_secs(1),
        max: Duration::from_secs(30),
    };

    fn first_of_three() -> Situation {
        Situation {
            attempt: 1,
            attempts: 3,
            on_unknown: OnUnknown::Resend,
            expires_at: Timestamp::from_millis(3_600_000),
            now: Timestamp::from_millis(0),
            receipt: None,
            jitter: 1.0,
        }
    }

    fn answered(status_code: u16, retry_after: Option<u64>) -> Outcome {
        let response = ResponseView {
            status_code,
            reason_phrase: String::new(),
            headers: HeaderMap::default(),
            truncated: false,
        };
        Outcome::Answered(Answer {
            response,
            retry_after: retry_after.map(Duration::from_secs),
            is_bare: false,
        })
    }

    fn next_attempt(what: &What) -> Option<i64> {
        match what {
            What::Deferred {
                next_attempt_at, ..
            } => Some(next_attempt_at.as_millis()),
            What::Sending { .. }
            | What::Succeeded { .. }
            | What::Failed { .. }
            | What::Received(_)
            | What::Receipt { .. }
            | What::AgentUp { .. }
            | What::AgentDown { .. } => None,
        }
    }

    fn is_ambiguous(what: &What) -> bool {
        matches!(
            what,
            What::Failed {
                ambiguous: true,
                ..
            }
        )
    }

    #[test]
    fn any_2xx_is_success_and_every_other_code_but_the_transient_ones_fails_at_once() {
        for code in 200..700 {
            let what = decide(answered(code, None), first_of_three(), BACKOFF);
            match code {
                200..300 => assert!(matches!(what, What::Succeeded { .. }), "{code}"),
                429 | 500 | 502 | 503 | 504 => assert!(next_attempt(&what).is_some(), "{code}"),
                _ => assert!(
                    matches!(
                        what,
                        What::Failed {
                            ambiguous: false,
                            ..
                        }
                    ),
                    "{code}"
                ),
            }
        }
    }

    #[test]
    fn the_last_attempt_is_not_deferred() {
        let situation = Situation {
            attempt: 3,
            ..first_of_three()
        };
        let what = decide(answered(503, None), situation, BACKOFF);
        let What::Failed {
            originator,
            cause,
            response,
            ambiguous,
        } = what
        else {
            panic!("deferred after the last attempt");
        };
        assert_eq!(
            (originator, cause, ambiguous),
            (Originator::Remote, Cause::SipFailureCode, false)
        );
        assert_eq!(response.unwrap().status_code, 503);
    }

    #[test]
    fn retry_after_is_waited_for_and_backoff_doubles() {
        let what = decide(answered(503, Some(7)), first_of_three(), BACKOFF);
        assert_eq!(next_attempt(&what), Some(7_000));
        let second = Situation {
            attempt: 2,
            ..first_of_three()
        };
        assert_eq!(
            next_attempt(&decide(answered(503, None), second, BACKOFF)),
            Some(2_000)
        );
        let late = Situation {
            attempt: 60,
            attempts: 100,
            ..first_of_three()
        };
        assert_eq!(
            next_attempt(&decide(Outcome::NotWritten, late, BACKOFF)),
            Some(30_000)
        );
    }

    #[test]
    fn an_attempt_after_the_end_of_its_time_is_not_waited_for() {
        let what = decide(answered(503, Some(3_600)), first_of_three(), BACKOFF);
        assert!(matches!(
            what,
            What::Failed {
                originator: Originator::Remote,
                ..
            }
        ));
    }

    #[test]
    fn what_is_unknown_is_resent_or_told_as_ambiguous() {
        for unknown in [Unknown::Disconnected, Unknown::Silent, Unknown::Died] {
            let resend = decide(Outcome::Unknown(unknown), first_of_three(), BACKOFF);
            assert!(next_attempt(&resend).is_some());
            let fail = Situation {
                on_unknown: OnUnknown::Fail,
                ..first_of_three()
            };
            assert!(is_ambiguous(&decide(
                Outcome::Unknown(unknown),
                fail,
                BACKOFF
            )));
        }
        let last = Situation {
            attempt: 3,
            ..first_of_three()
        };
        assert!(is_ambiguous(&decide(
            Outcome::Unknown(Unknown::Silent),
            last,
            BACKOFF
        )));
    }

    #[test]
    fn our_own_death_uses_up_no_attempt() {
        let last = Situation {
            attempt: 3,
            ..first_of_three()
        };
        assert!(next_attempt(&decide(Outcome::Unknown(Unknown::Died), last, BACKOFF)).is_some());
    }

    #[test]
    fn a_connection_lost_before_the_write_is_not_ambiguous() {
        let last = Situation {
            attempt: 3,
            on_unknown: OnUnknown::Fail,
            ..first_of_three()
        };
        let what = decide(Outcome::NotWritten, last, BACKOFF);
        assert!(matches!(
            what,
            What::Failed {
                originator: Originator::System,
                cause: Cause::ConnectionError,
                ambiguous: false,
                ..
            }
        ));
    }

    #[test]
    fn a_receipt_settles_an_unknown_outcome_and_no_other() {
        for on_unknown in [OnUnknown::Resend, OnUnknown::Fail] {
            let receipt = EventId { epoch: 1, seq: 42 };
            let situation = Situation {
                attempt: 3,
                on_unknown,
                receipt: Some(receipt),
                ..first_of_three()
            };
            for unknown in [Unknown::Disconnected, Unknown::Silent, Unknown::Died] {
                let what = decide(Outcome::Unknown(unknown), situation, BACKOFF);
                assert_eq!(what, settled_by(receipt), "{unknown:?}");
            }
            let what = decide(answered(486, None), situation, BACKOFF);
            assert!(matches!(what, What::Failed { .. }), "{what:?}");
        }
    }
}
