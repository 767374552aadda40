//! What this replica knows of its open messages because it wrote it.
//!
//! While it is alone no other replica moves them, so records of them need no look at the database.
//! What is wrong here does no harm: the statement that appends fails when a message is not where it
//! is believed to be, and then it is looked for.

use super::record::{KnownMessage, KnownMessages};
use crate::message::{ByMessage, MessageId};
use crate::store::{Record, Submission};

/// Messages that are remembered at most. Who has more begins anew.
const MAX: usize = 32_768;

#[derive(Default)]
pub(super) struct OwnMessages {
    known: KnownMessages,
}

impl OwnMessages {
    /// The messages of these records, but for those that are taken in with them. `None` when one is
    /// not known.
    pub(super) fn of(
        &self,
        records: &[&Record],
        submissions: &[&Submission],
    ) -> Option<KnownMessages> {
        let submitted = submissions.iter().flat_map(|one| &one.messages);
        let new: ByMessage<()> = submitted.map(|message| (message.id, ())).collect();
        let mut known = KnownMessages::default();
        known.reserve(records.len() + new.len());
        for record in records {
            let id = record.event.message_id;
            if !new.contains_key(&id) {
                known.insert(id, self.known.get(&id)?.clone());
            }
        }
        Some(known)
    }

    /// A message is open, and this is where it is.
    pub(super) fn is_open(&mut self, id: MessageId, message: KnownMessage) {
        if self.known.len() >= MAX {
            self.known.clear();
        }
        self.known.insert(id, message);
    }

    /// A message has ended, or others may have moved it.
    pub(super) fn forget(&mut self, id: MessageId) {
        self.known.remove(&id);
    }

    pub(super) fn forget_all(&mut self) {
        self.known.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::suite::samples::{id, message, sending, submission};

    #[test]
    fn what_is_remembered_is_bounded_and_what_is_not_known_is_looked_for() {
        let mut own = OwnMessages::default();
        for number in 1..=40_000 {
            own.is_open(id(number), KnownMessage::without_event());
            assert!(own.known.len() <= MAX);
        }
        let (last, first, new) = (
            sending(40_000, 1, 1),
            sending(1, 1, 1),
            sending(40_001, 1, 1),
        );
        assert_eq!(own.of(&[&last], &[]).unwrap().len(), 1);
        assert!(own.of(&[&last, &first], &[]).is_none());
        assert!(own.of(&[&last, &new], &[]).is_none());
        let taken_in = submission(vec![message(40_001)]);
        assert_eq!(own.of(&[&last, &new], &[&taken_in]).unwrap().len(), 1);
        own.forget(id(40_000));
        assert!(own.of(&[&last], &[]).is_none());
    }
}
