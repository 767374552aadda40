//! The non-INVITE client transaction of RFC 3261 §17.1.2, on a reliable transport.
//!
//! | in         | 1xx        | 200 to 699 | Timer F | closed       |
//! |------------|------------|------------|---------|--------------|
//! | Trying     | Proceeding | Answered   | Silent  | Disconnected |
//! | Proceeding | Proceeding | Answered   | Stalled | Disconnected |
//!
//! SIP goes over WebSocket only, which is reliable, so two timers of the RFC are absent on
//! purpose: E, which retransmits on unreliable transports, and K, which is zero on reliable ones.
//! Without K, Completed lasts no time at all, so there is no such state: who owns the transaction
//! forgets it when it is over, and a second final response finds nobody.

use std::time::{Duration, Instant};

use super::status::StatusCode;

/// RFC 3261 §17.1.1.1: the round-trip estimate that other timers are multiples of.
const T1: Duration = Duration::from_millis(500);

/// RFC 3261 §17.1.2.2: how long a request may go without a final response.
pub const TIMER_F: Duration = T1.saturating_mul(64);

/// One request on its way, from its first write to its final response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub struct ClientTransaction {
    state: State,
    timer_f: Instant,
}

/// What an input led to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub enum Next {
    /// Still in flight. Feed it again, at the latest at [`ClientTransaction::deadline`].
    Waiting(ClientTransaction),
    /// Over.
    Done(End),
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// The peer gave a final response.
    Answered(StatusCode),
    /// Timer F fired and the peer had said nothing. Whether it acted is unknown.
    Silent,
    /// Timer F fired although the peer had said it was at work. Whether it acted is unknown.
    Stalled,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Trying,
    Proceeding,
}

impl ClientTransaction {
    /// Begins the transaction of a request written at `now`, with this Timer F.
    pub fn start(now: Instant, timer_f: Duration) -> Self {
        Self {
            state: State::Trying,
            timer_f: now + timer_f,
        }
    }

    /// Takes a response that belongs to this transaction. A provisional one does not restart
    /// Timer F (RFC 3261 §17.1.2.2).
    pub fn handle_response(self, status: StatusCode) -> Next {
        if status.is_provisional() {
            return Next::Waiting(Self {
                state: State::Proceeding,
                ..self
            });
        }
        Next::Done(End::Answered(status))
    }

    /// Lets time pass until `now`.
    pub fn handle_timeout(self, now: Instant) -> Next {
        if now < self.timer_f {
            return Next::Waiting(self);
        }
        Next::Done(match self.state {
            State::Trying => End::Silent,
            State::Proceeding => End::Stalled,
        })
    }

    /// When [`Self::handle_timeout`] next has something to do.
    pub fn deadline(&self) -> Instant {
        self.timer_f
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::testing::epoch;

    fn waiting(next: Next) -> ClientTransaction {
        match next {
            Next::Waiting(transaction) => transaction,
            Next::Done(end) => panic!("over: {end:?}"),
        }
    }

    #[test]
    fn t1_timer_f_fires_at_64_t1_and_not_before() {
        let start = epoch();
        let almost = start + Duration::from_millis(31_999);
        let transaction = ClientTransaction::start(start, TIMER_F);
        let transaction = waiting(transaction.handle_timeout(almost));
        let next = transaction.handle_timeout(start + Duration::from_secs(32));
        assert_eq!(next, Next::Done(End::Silent));
    }

    #[test]
    fn t1_a_provisional_response_does_not_restart_timer_f() {
        let start = epoch();
        let trying = StatusCode::new(100).unwrap();
        let transaction = ClientTransaction::start(start, TIMER_F);
        let transaction = waiting(transaction.handle_response(trying));
        assert_eq!(transaction.deadline(), start + TIMER_F);
        assert_eq!(
            transaction.handle_timeout(start + TIMER_F),
            Next::Done(End::Stalled)
        );
    }

    #[test]
    fn t2_any_final_response_ends_it_in_either_state() {
        for code in 200..700 {
            let status = StatusCode::new(code).unwrap();
            let transaction = ClientTransaction::start(epoch(), TIMER_F);
            assert_eq!(
                transaction.handle_response(status),
                Next::Done(End::Answered(status))
            );
            let transaction = waiting(transaction.handle_response(StatusCode::new(180).unwrap()));
            assert_eq!(
                transaction.handle_response(status),
                Next::Done(End::Answered(status))
            );
        }
    }

    #[test]
    fn t3_timer_f_can_be_set() {
        let start = epoch();
        let transaction = ClientTransaction::start(start, Duration::from_secs(2));
        assert_eq!(transaction.deadline(), start + Duration::from_secs(2));
    }
}
