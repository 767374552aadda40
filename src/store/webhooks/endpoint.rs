//! Standing webhooks: where events are posted, which, and why not.

use std::sync::Arc;

use bytes::Bytes;

use super::NewDelivery;
use crate::message::{EndpointId, EventKind, Timestamp, json_weight};
use crate::store::page::Filling;

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Endpoint {
    pub id: EndpointId,
    pub url: Arc<str>,
    /// Which types of events; empty for all.
    pub kinds: Vec<EventKind>,
    /// The events of which accounts; empty for all.
    pub accounts: Vec<Arc<str>>,
    /// The client's own words.
    pub description: Option<String>,
    /// Why nothing is posted to it; `None` when it is enabled.
    pub disabled: Option<Disabled>,
    /// What signs, in the form the webhook room gave it.
    pub secret: Bytes,
    /// What signs besides until that time, after a rotation.
    pub previous_secret: Option<(Bytes, Timestamp)>,
    /// It sees events after this one. Set by the store.
    pub after: u64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When a client changed it last.
    pub updated_at: Timestamp,
    /// Since when every attempt failed; `None` while the last one succeeded, or before any.
    pub failing_since: Option<Timestamp>,
    /// The stretch of the log that is being sent again.
    pub recovery: Option<Recovery>,
}

/// How many standing endpoints there are, by how they do.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct WebhookHealth {
    /// Enabled, and the last post to them was taken, or there was none.
    pub enabled: u64,
    /// Enabled, and the last post to them failed.
    pub failing: u64,
    /// Nothing is posted to them.
    pub disabled: u64,
}

impl WebhookHealth {
    /// The name of each state, and how many there are in it.
    pub fn by_state(self) -> [(&'static str, u64); 3] {
        [
            ("enabled", self.enabled),
            ("failing", self.failing),
            ("disabled", self.disabled),
        ]
    }
}

impl Endpoint {
    /// The name of its queue.
    pub fn queue(&self) -> Arc<str> {
        self.id.to_string().into()
    }

    /// How much it is on a page: no less than its JSON.
    fn weight(&self) -> usize {
        /// What its JSON has besides the client's texts.
        const FRAME: usize = 1_024;
        const PUNCTUATION: usize = 3;
        let text = |text: &str| json_weight(text.as_bytes()) + PUNCTUATION;
        let accounts = self.accounts.iter().map(|account| text(account));
        FRAME
            + text(&self.url)
            + accounts.sum::<usize>()
            + self.description.as_deref().map_or(0, text)
    }

    /// Makes a change. `last_event` is how far the log reaches.
    pub(in crate::store) fn apply(&mut self, change: &Change, last_event: u64) {
        if let Some(url) = &change.url {
            self.url = url.clone();
            // What the old address did says nothing about the new one.
            self.failing_since = None;
        }
        if let Some(kinds) = &change.kinds {
            self.kinds = kinds.clone();
        }
        if let Some(accounts) = &change.accounts {
            self.accounts = accounts.clone();
        }
        if let Some(description) = &change.description {
            self.description = description.clone();
        }
        match change.disabled {
            Some(Some(disabled)) => self.disabled = self.disabled.or(Some(disabled)),
            Some(None) if self.disabled.is_some() => {
                self.disabled = None;
                self.failing_since = None;
                self.after = last_event;
            }
            Some(None) | None => {}
        }
        if let Some((secret, until)) = &change.secret {
            let previous = std::mem::replace(&mut self.secret, secret.clone());
            self.previous_secret = Some((previous, *until));
        }
        if let Some(recovery) = change.recovery {
            self.recovery = Some(merge(self.recovery, recovery));
        }
        if let Some(updated_at) = change.updated_at {
            self.updated_at = updated_at;
        }
    }
}

/// Sending again what was sent again already does no harm, so the union is as good as both.
fn merge(under_way: Option<Recovery>, asked: Recovery) -> Recovery {
    under_way.map_or(asked, |other| Recovery {
        since: asked.since.min(other.since),
        until: asked.until.max(other.until),
        cursor: asked.cursor.min(other.cursor),
        end: asked.end.max(other.end),
    })
}

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Endpoints {
    /// Changes whenever what an endpoint wants to see changes.
    pub revision: u64,
    /// Oldest first.
    pub endpoints: Vec<Endpoint>,
}

/// A page of endpoints.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct EndpointPage {
    /// Oldest first.
    pub endpoints: Vec<Endpoint>,
    /// The last one of this page; `None` when no more follow.
    pub next: Option<EndpointId>,
}

impl Endpoints {
    /// Those after `after`, as many as a page holds and no more than `limit`.
    pub fn page(self, after: Option<EndpointId>, limit: usize) -> EndpointPage {
        let mut page = EndpointPage::default();
        let mut filling = Filling::new(limit.into());
        let endpoints = self.endpoints.into_iter();
        for endpoint in endpoints.filter(|endpoint| Some(endpoint.id) > after) {
            if !filling.takes(endpoint.weight()) {
                page.next = page.endpoints.last().map(|last| last.id);
                break;
            }
            page.endpoints.push(endpoint);
        }
        page
    }
}

/// Why and since when nothing is posted to an endpoint.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Disabled {
    pub because: DisabledBecause,
    pub at: Timestamp,
}

/// Why nothing is posted to an endpoint.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DisabledBecause {
    /// A client asked for it.
    Request,
    /// It answered 410.
    Gone,
    /// It only failed for longer than may be.
    Failing,
}

impl DisabledBecause {
    pub const ALL: [Self; 3] = [Self::Request, Self::Gone, Self::Failing];

    /// The word the outside uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Gone => "gone",
            Self::Failing => "failing",
        }
    }

    /// The cause of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.as_str() == word)
    }
}

/// A stretch of the log to be sent again: failed deliveries, and events that were never planned.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Recovery {
    /// Events of this time and later.
    pub since: Timestamp,
    /// Events before this time.
    pub until: Timestamp,
    /// The log was looked through up to this event.
    pub cursor: u64,
    /// Where the log ended when it was asked for.
    pub end: u64,
}

/// What becomes different about an endpoint. `None` leaves things as they are.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Change {
    pub url: Option<Arc<str>>,
    pub kinds: Option<Vec<EventKind>>,
    pub accounts: Option<Vec<Arc<str>>>,
    /// Other words, or none.
    pub description: Option<Option<String>>,
    /// Disables it, or enables it: then it sees events from now on, and has not failed yet. One
    /// that is disabled keeps its first cause.
    pub disabled: Option<Option<Disabled>>,
    /// Another secret; the one before signs besides until that time.
    pub secret: Option<(Bytes, Timestamp)>,
    /// Something is to be sent again. What was asked for before and is not over is merged into it.
    pub recovery: Option<Recovery>,
    /// When a client asked for this; `None` when none did.
    pub updated_at: Option<Timestamp>,
}

/// A stretch of the log that is looked at for a recovery: what failed in it is made due again, and
/// what was never planned is inserted.
#[derive(Clone, Debug)]
pub struct RecoveryStep {
    /// For which endpoint. When its recovery is not where this step begins, nothing is done.
    pub endpoint: EndpointId,
    /// [`Recovery::cursor`] from which the step was made.
    pub from: u64,
    /// Up to which event the log was looked at.
    pub to: u64,
    /// Deliveries of its events, in the order of the log; those that were planned before are left
    /// alone.
    pub wanted: Vec<NewDelivery>,
    /// When they become due.
    pub now: Timestamp,
    /// At most so many failed deliveries are made due; when there are more, the step ends there.
    pub limit: usize,
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn endpoint(number: u128) -> Endpoint {
        let account = format!("sip:{}@example.com", "x".repeat(100)).into();
        Endpoint {
            id: EndpointId::new(Uuid::from_u128(number)),
            url: "https://app.example/hook".into(),
            kinds: Vec::new(),
            accounts: vec![account; 100],
            description: Some("\u{1}".repeat(512)),
            disabled: None,
            secret: Bytes::new(),
            previous_secret: None,
            after: 0,
            created_at: Timestamp::EPOCH,
            updated_at: Timestamp::EPOCH,
            failing_since: None,
            recovery: None,
        }
    }

    #[test]
    fn a_page_of_endpoints_stays_below_4_mib() {
        const MIB: usize = 1024 * 1024;
        let all = || Endpoints {
            revision: 0,
            endpoints: (1..=1_000).map(endpoint).collect(),
        };
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = all().page(after, 500);
            let texts = page.endpoints.iter().map(|endpoint| {
                let accounts = serde_json::to_vec(&endpoint.accounts).unwrap().len();
                accounts + serde_json::to_vec(&endpoint.description).unwrap().len()
            });
            let texts: usize = texts.sum();
            assert!(texts < 4 * MIB);
            assert!(texts > 3 * MIB || page.next.is_none());
            found.extend(page.endpoints);
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        assert_eq!(found, all().endpoints);
    }
}
