//! An agent on probation: its connection was lost with messages in flight, and its server may have
//! closed it because of one of them.
//!
//! | what happened                                | the agent takes                        |
//! |----------------------------------------------|----------------------------------------|
//! | nothing                                      | as many messages as it has room for    |
//! | a message was in flight when it was lost     | one at a time                          |
//! | a message ended in another way since         | as many as it has room for             |
//! | a message that must go alone took a slot     | no more, until all of its slots are free |

use crate::message::{Outcome, Unknown};

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Probation {
    after_loss: bool,
    is_isolated: bool,
}

impl Probation {
    /// How many of `capacity` requests may be open.
    pub(super) fn limit(self, capacity: u32) -> u32 {
        if self.is_isolated {
            0
        } else if self.after_loss {
            1
        } else {
            capacity
        }
    }

    /// A message that must go alone took a slot.
    pub(super) fn isolate(&mut self) {
        self.is_isolated = true;
    }

    /// A slot was given back, and so many are still taken.
    pub(super) fn released(&mut self, in_flight: u32) {
        if in_flight == 0 {
            self.is_isolated = false;
        }
    }

    /// An attempt through the agent ended.
    pub(super) fn ended(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Unknown(Unknown::Disconnected) => self.after_loss = true,
            // The connection outlived the request.
            Outcome::Answered(_) | Outcome::Unknown(Unknown::Silent) => self.after_loss = false,
            Outcome::NotWritten | Outcome::TooLarge | Outcome::Unknown(Unknown::Died) => {}
        }
    }
}
