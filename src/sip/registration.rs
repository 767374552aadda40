//! The life of a registration: RFC 3261 §10.2, RFC 5626, and what keeps it alive.
//!
//! | in             | Offline | Asking  | Held               | Waiting | Leaving |
//! |----------------|---------|---------|--------------------|---------|---------|
//! | connected      | Asking, or Waiting after a refusal | – | –     | –       | –       |
//! | granted        | –       | Held    | Held (refreshed)   | –       | –       |
//! | refused        | –       | Waiting | Held until it ends | –       | –       |
//! | granted for 0 s, or not listed | – | Waiting | Waiting  | –       | –       |
//! | refresh due    | –       | –       | asks again         | –       | –       |
//! | retry due      | –       | –       | asks again         | Asking  | –       |
//! | expired        | –       | –       | Asking or Waiting  | –       | –       |
//! | told to leave  | Leaving | Leaving | Leaving            | Leaving | –       |
//! | disconnected   | Offline | Offline | Offline            | Offline | Offline |
//!
//! It asks by returning true from [`Registration::wants_request`]; the caller that writes the
//! REGISTER reports that it did, and later the result. It never gives up, and never asks twice
//! within [`LEAST_INTERVAL`] except to adopt a longer expiry that the registrar demands, three
//! times in a row at most.

use std::time::{Duration, Instant};

use super::status::StatusCode;

/// How a registration behaves.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// The expiry that is requested.
    pub expires: Duration,
    /// After the first refusal.
    pub retry_min: Duration,
    /// However many refusals there were.
    pub retry_max: Duration,
}

/// Between two REGISTERs that no 423 demanded.
const LEAST_INTERVAL: Duration = Duration::from_secs(1);
/// The longest expiry adopted from a 423: a registrar that wants more than a day is mistaken.
const LONGEST_EXPIRES: Duration = Duration::from_secs(86_400);
/// How often in a row a 423 is answered at once.
const MAX_ADOPTIONS: u32 = 3;
/// Refusals that another try soon will not change are retried this much slower.
const SLOW_FACTOR: u32 = 10;

/// A registration, on the way to or from its registrar.
#[derive(Debug)]
pub struct Registration {
    policy: Policy,
    state: RegistrationState,
    /// The expiry that is requested now: the policy's, or that of a 423.
    asked: Duration,
    failures: u32,
    adoptions: u32,
    /// A REGISTER is under way.
    pending: bool,
    /// Until when the registrar that refused is left alone, over a lost connection too: one that
    /// answers 503 and closes must not be asked again as often as it can be connected to.
    not_before: Option<Instant>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum RegistrationState {
    Offline,
    Asking,
    Held { ask_at: Instant, ends_at: Instant },
    Waiting { ask_at: Instant },
    Leaving,
}

/// A change of a registration.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RegistrationChange {
    /// It holds until then; reported at each refresh.
    Registered {
        /// When it ends unless it is refreshed.
        until: Instant,
    },
    /// It held and does not any more.
    Lost,
    /// It did not come about, or was not refreshed; another try follows.
    Failed {
        /// When.
        retry_at: Instant,
    },
    /// It held, and the registrar's answer to a refresh does not list it; another try follows.
    Dropped {
        /// When.
        retry_at: Instant,
    },
}

/// A response of a registrar that granted nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct RegistrationRefusal {
    /// The code; `None` when it said nothing.
    pub status: Option<StatusCode>,
    /// When it wants to be asked again (RFC 3261 §20.33).
    pub retry_after: Option<Duration>,
    /// The shortest expiry it grants (RFC 3261 §20.23), of a 423.
    pub min_expires: Option<Duration>,
}

impl Registration {
    /// Not connected yet.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            state: RegistrationState::Offline,
            asked: policy.expires,
            failures: 0,
            adoptions: 0,
            pending: false,
            not_before: None,
        }
    }

    /// Whether a REGISTER is to be written now. The one who does calls [`Self::asked`].
    pub fn wants_request(&self) -> bool {
        self.state == RegistrationState::Asking && !self.pending
    }

    /// What the REGISTER asks for.
    pub fn expires(&self) -> Duration {
        self.asked
    }

    /// A REGISTER was written.
    pub fn asked(&mut self) {
        self.pending = true;
    }

    /// Whether the registration holds.
    pub fn is_held(&self) -> bool {
        matches!(self.state, RegistrationState::Held { .. })
    }

    /// The connection is there.
    pub fn handle_connected(&mut self, now: Instant) {
        self.state = match self.not_before {
            Some(ask_at) if ask_at > now => RegistrationState::Waiting { ask_at },
            Some(_) | None => RegistrationState::Asking,
        };
        self.pending = false;
    }

    /// The next connection goes to another server, which has refused nothing.
    pub fn handle_other_server(&mut self) {
        self.not_before = None;
    }

    /// The connection is gone, and with it the flow (RFC 5626 §4.5).
    pub fn handle_disconnected(&mut self) -> Option<RegistrationChange> {
        let was_held = self.is_held();
        self.pending = false;
        self.state = RegistrationState::Offline;
        was_held.then_some(RegistrationChange::Lost)
    }

    /// Asks again at once, whatever the timers say.
    pub fn ask_now(&mut self, now: Instant) {
        self.state = match self.state {
            RegistrationState::Held { ends_at, .. } => RegistrationState::Held {
                ask_at: now,
                ends_at,
            },
            RegistrationState::Waiting { .. } | RegistrationState::Asking => {
                RegistrationState::Asking
            }
            RegistrationState::Offline => RegistrationState::Offline,
            RegistrationState::Leaving => RegistrationState::Leaving,
        };
    }

    /// The REGISTER was refused for something that the next one leaves out.
    pub fn ask_again(&mut self, now: Instant) {
        self.pending = false;
        self.ask_now(now);
    }

    /// When it asks again after a refusal; `None` while it does not wait for that.
    pub fn waits_until(&self) -> Option<Instant> {
        match self.state {
            RegistrationState::Waiting { ask_at } => Some(ask_at),
            RegistrationState::Held { .. }
            | RegistrationState::Offline
            | RegistrationState::Asking
            | RegistrationState::Leaving => None,
        }
    }

    /// Leaves, until the next connection; the caller writes the REGISTER that says so (RFC 3261
    /// §10.2.2).
    pub fn leave(&mut self) {
        self.state = RegistrationState::Leaving;
        self.pending = false;
        self.not_before = None;
    }

    /// The registrar granted this much. `jitter` is between 0 and 1.
    pub fn handle_granted(
        &mut self,
        now: Instant,
        granted: Duration,
        jitter: f64,
    ) -> Option<RegistrationChange> {
        self.pending = false;
        if self.state == RegistrationState::Leaving || self.state == RegistrationState::Offline {
            return None;
        }
        if granted.is_zero() {
            let was_held = self.is_held();
            self.state = RegistrationState::Asking;
            let refusal = RegistrationRefusal {
                status: Some(StatusCode::OK),
                ..RegistrationRefusal::default()
            };
            let change = self.handle_refused(now, refusal, jitter);
            return match change {
                Some(RegistrationChange::Failed { retry_at }) if was_held => {
                    Some(RegistrationChange::Dropped { retry_at })
                }
                change => change,
            };
        }
        self.failures = 0;
        self.adoptions = 0;
        self.not_before = None;
        let until = now + granted;
        self.state = RegistrationState::Held {
            ask_at: now + refresh_delay(granted, jitter),
            ends_at: until,
        };
        Some(RegistrationChange::Registered { until })
    }

    /// The registrar granted nothing, or said nothing. `jitter` is between 0 and 1.
    pub fn handle_refused(
        &mut self,
        now: Instant,
        refusal: RegistrationRefusal,
        jitter: f64,
    ) -> Option<RegistrationChange> {
        self.pending = false;
        if self.state == RegistrationState::Leaving || self.state == RegistrationState::Offline {
            return None;
        }
        if self.adopts(refusal) {
            self.state = match self.state {
                RegistrationState::Held { ends_at, .. } => RegistrationState::Held {
                    ask_at: now,
                    ends_at,
                },
                _ => RegistrationState::Asking,
            };
            return None;
        }
        self.failures = self.failures.saturating_add(1);
        let retry_at = now + self.wait(refusal, jitter);
        self.not_before = refusal.status.map(|_| retry_at);
        self.state = match self.state {
            RegistrationState::Held { ends_at, .. } if ends_at > now => RegistrationState::Held {
                ask_at: retry_at,
                ends_at,
            },
            _ => RegistrationState::Waiting { ask_at: retry_at },
        };
        Some(RegistrationChange::Failed { retry_at })
    }

    /// RFC 3261 §10.2.8: a 423 says what would be granted.
    fn adopts(&mut self, refusal: RegistrationRefusal) -> bool {
        let (Some(StatusCode::INTERVAL_TOO_BRIEF), Some(demanded)) =
            (refusal.status, refusal.min_expires)
        else {
            return false;
        };
        let is_more = demanded > self.asked && demanded <= LONGEST_EXPIRES;
        if !is_more || self.adoptions >= MAX_ADOPTIONS {
            return false;
        }
        self.adoptions += 1;
        self.asked = demanded;
        true
    }

    fn wait(&self, refusal: RegistrationRefusal, jitter: f64) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(16);
        let mut whole = self
            .policy
            .retry_min
            .saturating_mul(1 << doublings)
            .min(self.policy.retry_max);
        if matches!(
            refusal.status,
            Some(StatusCode::FORBIDDEN | StatusCode::NOT_FOUND)
        ) {
            whole = whole.saturating_mul(SLOW_FACTOR);
        }
        let spread = whole
            .mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0))
            .max(LEAST_INTERVAL);
        match refusal.retry_after {
            // A little later than asked, each at its own time, so that a fleet does not return as
            // one.
            Some(asked) => spread.max(asked + asked.mul_f64(0.1 * jitter.clamp(0.0, 1.0))),
            None => spread,
        }
    }

    /// Lets time pass until `now`.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<RegistrationChange> {
        match self.state {
            RegistrationState::Held { ends_at, ask_at } if ends_at <= now => {
                // Not refreshed in time. What was planned for then still holds, if it is later.
                self.state = if ask_at > now {
                    RegistrationState::Waiting { ask_at }
                } else {
                    RegistrationState::Asking
                };
                Some(RegistrationChange::Lost)
            }
            RegistrationState::Waiting { ask_at } if ask_at <= now => {
                self.state = RegistrationState::Asking;
                None
            }
            RegistrationState::Held { .. }
            | RegistrationState::Waiting { .. }
            | RegistrationState::Offline
            | RegistrationState::Asking
            | RegistrationState::Leaving => None,
        }
    }

    /// Whether a refresh is due: like [`Self::wants_request`], while the registration holds.
    pub fn wants_refresh(&self, now: Instant) -> bool {
        matches!(self.state, RegistrationState::Held { ask_at, .. } if ask_at <= now)
            && !self.pending
    }

    /// When [`Self::handle_timeout`] or [`Self::wants_refresh`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            RegistrationState::Held { ends_at, .. } if self.pending => Some(ends_at),
            RegistrationState::Held { ends_at, ask_at } => Some(ask_at.min(ends_at)),
            RegistrationState::Waiting { ask_at } => Some(ask_at),
            RegistrationState::Offline | RegistrationState::Asking | RegistrationState::Leaving => {
                None
            }
        }
    }
}

/// When a registration of this length is refreshed: between half of it and 32 seconds before its
/// end, each at its own time; a short one 5 seconds before its end, or halfway.
fn refresh_delay(granted: Duration, jitter: f64) -> Duration {
    let half = granted / 2;
    let delay = if granted > Duration::from_secs(64) {
        half + (half - Duration::from_secs(32)).mul_f64(jitter.clamp(0.0, 1.0))
    } else {
        granted.saturating_sub(Duration::from_secs(5)).max(half)
    };
    delay.max(LEAST_INTERVAL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::testing::epoch;

    const POLICY: Policy = Policy {
        expires: Duration::from_secs(600),
        retry_min: Duration::from_secs(1),
        retry_max: Duration::from_secs(30),
    };

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn asking() -> Registration {
        let mut registration = Registration::new(POLICY);
        registration.handle_connected(epoch());
        assert!(registration.wants_request());
        registration.asked();
        registration
    }

    fn refused(code: u16) -> RegistrationRefusal {
        RegistrationRefusal {
            status: StatusCode::new(code),
            ..RegistrationRefusal::default()
        }
    }

    #[test]
    fn r2_the_refresh_comes_between_half_time_and_32_seconds_before_the_end() {
        for (granted, earliest, latest) in [
            (10, 5, 5),
            (60, 55, 55),
            (120, 60, 88),
            (600, 300, 568),
            (3_600, 1_800, 3_568),
        ] {
            assert_eq!(refresh_delay(seconds(granted), 0.0), seconds(earliest));
            assert_eq!(refresh_delay(seconds(granted), 1.0), seconds(latest));
        }
        assert_eq!(refresh_delay(seconds(1), 0.0), LEAST_INTERVAL);
    }

    #[test]
    fn r1_nothing_granted_is_a_refusal_and_no_storm() {
        let mut registration = asking();
        let start = epoch();
        let change = registration.handle_granted(start, Duration::ZERO, 1.0);
        assert_eq!(
            change,
            Some(RegistrationChange::Failed {
                retry_at: start + seconds(1)
            })
        );
        assert!(!registration.is_held() && !registration.wants_request());
    }

    #[test]
    fn r3_a_423_is_adopted_three_times_at_most() {
        let mut registration = asking();
        let start = epoch();
        let mut requests = 0;
        for demanded in 700..800 {
            let refusal = RegistrationRefusal {
                min_expires: Some(seconds(demanded)),
                ..refused(423)
            };
            registration.handle_refused(start, refusal, 0.5);
            if !registration.wants_request() {
                break;
            }
            assert_eq!(registration.expires(), seconds(demanded));
            registration.asked();
            requests += 1;
        }
        assert_eq!(requests, 3);
        assert!(registration.deadline().unwrap() >= start + LEAST_INTERVAL);
    }

    #[test]
    fn r3_a_423_that_demands_nothing_sensible_is_a_refusal() {
        for min_expires in [
            None,
            Some(seconds(0)),
            Some(seconds(600)),
            Some(seconds(4_000_000)),
        ] {
            let mut registration = asking();
            let refusal = RegistrationRefusal {
                min_expires,
                ..refused(423)
            };
            let change = registration.handle_refused(epoch(), refusal, 0.5);
            assert!(
                matches!(change, Some(RegistrationChange::Failed { .. })),
                "{min_expires:?}"
            );
        }
    }

    #[test]
    fn r4_every_failure_is_tried_again_later_and_later() {
        let mut registration = asking();
        let mut now = epoch();
        let mut waits = Vec::new();
        for _ in 0..8 {
            let Some(RegistrationChange::Failed { retry_at }) =
                registration.handle_refused(now, refused(500), 1.0)
            else {
                panic!("no retry");
            };
            waits.push((retry_at - now).as_secs());
            now = retry_at;
            registration.handle_timeout(now);
            assert!(registration.wants_request());
            registration.asked();
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30, 30]);
    }

    #[test]
    fn r4_retry_after_is_honoured_for_any_code_and_403_is_slower() {
        let start = epoch();
        for code in [403, 404, 480, 500, 503, 600] {
            let refusal = RegistrationRefusal {
                retry_after: Some(seconds(600)),
                ..refused(code)
            };
            let change = asking().handle_refused(start, refusal, 0.0);
            assert_eq!(
                change,
                Some(RegistrationChange::Failed {
                    retry_at: start + seconds(600)
                })
            );
        }
        let change = asking().handle_refused(start, refused(403), 1.0);
        assert_eq!(
            change,
            Some(RegistrationChange::Failed {
                retry_at: start + seconds(10)
            })
        );
    }

    #[test]
    fn r9_a_registration_that_is_not_refreshed_ends_by_itself() {
        let mut registration = asking();
        let start = epoch();
        registration.handle_granted(start, seconds(60), 0.0);
        assert!(registration.wants_refresh(start + seconds(55)));
        registration.asked();
        assert_eq!(registration.handle_timeout(start + seconds(59)), None);
        assert_eq!(
            registration.handle_timeout(start + seconds(60)),
            Some(RegistrationChange::Lost)
        );
        assert!(!registration.is_held());
    }

    #[test]
    fn a_refused_refresh_leaves_the_registration_in_place_until_it_ends() {
        let mut registration = asking();
        let start = epoch();
        registration.handle_granted(start, seconds(600), 0.0);
        let change = registration.handle_refused(start + seconds(300), refused(503), 1.0);
        assert_eq!(
            change,
            Some(RegistrationChange::Failed {
                retry_at: start + seconds(301)
            })
        );
        assert!(registration.is_held());
        assert!(registration.wants_refresh(start + seconds(301)));
    }

    #[test]
    fn r6_a_refresh_that_does_not_list_us_ends_the_registration() {
        let mut registration = asking();
        let start = epoch();
        registration.handle_granted(start, seconds(600), 0.0);
        let change = registration.handle_granted(start, Duration::ZERO, 1.0);
        let retry_at = start + seconds(1);
        assert_eq!(change, Some(RegistrationChange::Dropped { retry_at }));
        assert!(!registration.is_held());
    }

    #[test]
    fn r10_who_left_registers_again_with_the_next_connection() {
        let mut registration = asking();
        registration.leave();
        registration.handle_disconnected();
        registration.handle_connected(epoch());
        assert!(registration.wants_request());
    }

    #[test]
    fn r4_a_registrar_that_refuses_and_closes_is_left_alone_all_the_same() {
        let mut registration = asking();
        let start = epoch();
        let refusal = RegistrationRefusal {
            retry_after: Some(seconds(60)),
            ..refused(503)
        };
        registration.handle_refused(start, refusal, 0.0);
        for second in [1, 20, 59] {
            registration.handle_disconnected();
            registration.handle_connected(start + seconds(second));
            assert!(!registration.wants_request());
            assert_eq!(registration.deadline(), Some(start + seconds(60)));
        }
        registration.handle_disconnected();
        registration.handle_other_server();
        registration.handle_connected(start + seconds(59));
        assert!(registration.wants_request());
    }

    #[test]
    fn r4_silence_is_not_held_against_the_next_connection() {
        let mut registration = asking();
        let start = epoch();
        registration.handle_refused(start, RegistrationRefusal::default(), 1.0);
        registration.handle_disconnected();
        registration.handle_connected(start);
        assert!(registration.wants_request());
    }

    #[test]
    fn r10_leaving_while_asking_is_leaving() {
        let mut registration = asking();
        registration.leave();
        assert_eq!(
            registration.handle_granted(epoch(), seconds(600), 0.5),
            None
        );
        assert!(!registration.is_held());
    }
}
