//! Which messages and which events are looked for.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Logged;
use crate::message::{EventKinds, MessageId, Status};

/// Accounts that are looked for: each row is compared with all of them, however many they are.
pub type Accounts = Arc<BTreeSet<Arc<str>>>;

/// Which messages to list. Everything `None` lists all.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct MessageFilter {
    /// Where they stand.
    pub status: Option<Status>,
    /// Their normalized target.
    pub uri: Option<Arc<str>>,
    /// The accounts that sent them last, or must send them; one of these.
    pub accounts: Option<Accounts>,
}

impl MessageFilter {
    /// Whether messages of this account pass.
    pub fn admits(&self, account: Option<&str>) -> bool {
        is_one_of(self.accounts.as_deref(), account)
    }

    /// Whether many messages may be looked at for each that passes.
    pub(in crate::store) fn is_scan(&self) -> bool {
        let is_rare = match self.status {
            None | Some(Status::Failed) => false,
            Some(Status::Scheduled | Status::Queued | Status::Sending | Status::Succeeded) => true,
        };
        is_rare || self.uri.is_some() || self.accounts.is_some()
    }
}

/// Which events to read. Everything `None` or empty reads all.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct EventFilter {
    /// Their types; empty for all.
    pub kinds: EventKinds,
    pub message_id: Option<MessageId>,
    /// Their normalized target.
    pub uri: Option<Arc<str>>,
    /// The accounts that sent or must send the message, one of these.
    pub accounts: Option<Accounts>,
    /// Only those of messages that name a webhook of their own.
    pub has_webhook: bool,
}

impl EventFilter {
    /// Whether this event passes.
    pub fn passes(&self, event: &Logged) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(event.kind))
            && self.message_id.is_none_or(|id| id == event.message_id)
            && self.uri.as_ref().is_none_or(|uri| *uri == event.uri)
            && self.admits(event.account.as_deref())
            && (!self.has_webhook || event.webhook.is_some())
    }

    /// Whether events of this account pass.
    pub fn admits(&self, account: Option<&str>) -> bool {
        is_one_of(self.accounts.as_deref(), account)
    }

    /// Whether many events may be looked at for each that passes. What only the gateway itself asks
    /// for is none of it.
    pub(in crate::store) fn is_scan(&self) -> bool {
        let takes_most =
            self.kinds.is_empty() || self.kinds.contains_all(EventKinds::of_messages());
        self.message_id.is_none() && (!takes_most || self.uri.is_some() || self.accounts.is_some())
    }
}

/// Whether `account` is one of these; without any to look for it always is.
pub(super) fn is_one_of(accounts: Option<&BTreeSet<Arc<str>>>, account: Option<&str>) -> bool {
    accounts.is_none_or(|wanted| account.is_some_and(|account| wanted.contains(account)))
}
