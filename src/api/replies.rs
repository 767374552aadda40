//! Replies: what a message takes from the received one that it answers.
//!
//! Messages are read without waiting, and the store is asked in between: those that were named are
//! looked up together, and what named them is read once more.

use std::collections::{BTreeSet, HashMap};

use super::Api;
use super::access::Caller;
use super::error::ApiError;
use crate::message::{InReplyTo, MessageId, Place, Violations};
use crate::store::ReceivedOrigin;

/// The received messages that a request names.
#[derive(Debug, Default)]
pub(super) struct Replies {
    /// `None` for one that is not there for this caller.
    known: HashMap<MessageId, Option<ReceivedOrigin>>,
    wanted: BTreeSet<MessageId>,
}

impl Replies {
    /// Looks for what was named and is not known yet; whether there was anything. Then what named
    /// it is to be read again.
    pub(super) async fn look(&mut self, api: &Api, caller: &Caller) -> Result<bool, ApiError> {
        if self.wanted.is_empty() {
            return Ok(false);
        }
        let wanted = std::mem::take(&mut self.wanted);
        let found = api.store.origins(wanted.iter().copied().collect()).await?;
        self.known.extend(wanted.into_iter().map(|id| (id, None)));
        let seen = found
            .into_iter()
            .filter(|one| caller.sees(Some(&one.account)));
        self.known.extend(seen.map(|one| (one.id, Some(one))));
        Ok(true)
    }

    /// Gives a reply its target and its sender, as far as it names none. `None` when that is a
    /// mistake, or the message that it answers is not known yet.
    pub(super) fn address(
        &mut self,
        id: MessageId,
        target: &mut Option<String>,
        from: &mut Option<String>,
        api: &Api,
        place: Place<'_>,
        violations: &mut Violations,
    ) -> Option<InReplyTo> {
        let Some(known) = self.known.get(&id) else {
            self.wanted.insert(id);
            return None;
        };
        let Some(origin) = known else {
            let words = "no received message has this id, or it was erased";
            violations.add(place.member("inReplyTo"), words);
            return None;
        };
        if let Some(from) = from
            && api.accounts.account(from).as_ref() != Some(&origin.account)
        {
            let words = format!(
                "a reply is from the account that received: {}",
                origin.account
            );
            violations.add(place.member("from"), words);
            return None;
        }
        target.get_or_insert_with(|| origin.sender.to_string());
        *from = Some(origin.account.to_string());
        Some(InReplyTo {
            id,
            call_id: origin.call_id.clone(),
        })
    }
}
