//! Who may call, and what for.
//!
//! A token is known by its SHA-256 only. A token that a client shows is hashed and compared with
//! every hash there is, so that the time it takes says nothing about any of them. The token stands
//! in the `Authorization` header alone (RFC 6750 §2.1): one in the address (§2.3) would stay behind
//! in logs, histories and `Referer` headers, which RFC 9700 §4.3.2 forbids for that reason. A page
//! that follows events with a token therefore uses `fetch` and not `EventSource`.
//!
//! [`Access`] is what one reading of the configuration says. It is replaced whole; a token that is
//! unchanged keeps what it has used up, and the streams of one that is not are ended.

mod bearer;
mod caller;
mod guard;
mod meter;
mod refusals;

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::dispatch::Quota;

pub(super) use caller::Caller;
pub(super) use guard::{guard, guarded};
pub(super) use meter::Meter;
use refusals::Refusals;

use super::origin::Hosts;
use crate::store::Accounts;

/// Who may call, as one reading of the configuration says.
#[derive(Debug)]
pub struct Access {
    entry: Entry,
    open_metrics: bool,
    hosts: Hosts,
    /// Outlives a reload, so that addresses that guess tokens stay known.
    refusals: Arc<Refusals>,
    /// Canceled when those who call without a token may not any more.
    anyone: CancellationToken,
}

/// A token, known by its hash, and what it allows.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// Whose it is; not empty.
    pub name: Arc<str>,
    /// SHA-256 of the token.
    pub sha256: [u8; 32],
    /// The accounts it may send as and see, at least one, in the spelling of the configuration;
    /// `None` for all.
    pub accounts: Option<Arc<[Arc<str>]>>,
    /// Whether it may look only.
    pub rights: Rights,
    /// Requests a second; `None` for any number.
    pub rate: Option<f64>,
    /// Its share of the messages that may wait and of the streams; `None` for half of them, or all
    /// when it is the only token.
    pub share: Option<f64>,
    /// Whether it has a secret of its own for the webhooks of its messages.
    pub signs_webhooks: bool,
}

/// What a token may do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Rights {
    /// Look and change.
    Full,
    Read,
}

/// What an [`Access`] is made of.
#[derive(Clone, Debug)]
pub struct AccessParts {
    /// The tokens; `None` when none is asked for.
    pub tokens: Option<Vec<Token>>,
    /// Whether metrics are given to anyone.
    pub open_metrics: bool,
    /// Requests a second that one address may send without a known token.
    pub refused_rate: u32,
    /// What a request may be for while no token is asked for.
    pub hosts: Hosts,
}

/// What a token has of what all share; it stays when the token changes.
#[derive(Debug, Default)]
struct Used {
    messages: Arc<Quota>,
    streams: Arc<Quota>,
}

#[derive(Debug)]
enum Entry {
    Anyone,
    Tokens(Vec<Arc<Grant>>),
}

/// A token at work.
#[derive(Debug)]
struct Grant {
    token: Token,
    /// The accounts of the token, to look in.
    accounts: Option<Accounts>,
    meter: Option<Meter>,
    used: Arc<Used>,
    /// Canceled when the token is taken back, or allows something else from now on.
    revoked: CancellationToken,
}

impl Access {
    /// What these parts say.
    pub fn new(parts: AccessParts) -> Self {
        Self::after(parts, None)
    }

    /// Replaces what held until now: the streams of tokens that are gone or changed are ended.
    pub fn replace(current: &watch::Sender<Arc<Self>>, parts: AccessParts) {
        let before = current.borrow().clone();
        let next = Arc::new(Self::after(parts, Some(&before)));
        current.send_replace(next.clone());
        before.revoke_all_but(&next);
    }

    fn after(parts: AccessParts, before: Option<&Self>) -> Self {
        let grant = |token: Token| {
            let same = before.and_then(|before| before.grants().find(|old| old.token == token));
            same.cloned().unwrap_or_else(|| {
                let namesake = before.and_then(|before| {
                    let mut grants = before.grants();
                    grants.find(|old| old.token.name == token.name)
                });
                let used = namesake.map(|old| old.used.clone());
                Arc::new(Grant::new(token, used.unwrap_or_default()))
            })
        };
        let entry = match parts.tokens {
            None => Entry::Anyone,
            Some(tokens) => Entry::Tokens(tokens.into_iter().map(grant).collect()),
        };
        let anyone = before
            .filter(|before| before.takes_anyone())
            .map_or_else(CancellationToken::new, |before| before.anyone.clone());
        let refusals = before.map(|before| &before.refusals);
        let refusals = refusals.filter(|same| same.is_of_rate(parts.refused_rate));
        let refusals = refusals.cloned();
        Self {
            entry,
            open_metrics: parts.open_metrics,
            hosts: parts.hosts,
            refusals: refusals.unwrap_or_else(|| Arc::new(Refusals::new(parts.refused_rate))),
            anyone,
        }
    }

    fn revoke_all_but(&self, next: &Self) {
        for grant in self.grants() {
            if !next.grants().any(|kept| Arc::ptr_eq(kept, grant)) {
                grant.revoked.cancel();
            }
        }
        if !next.takes_anyone() {
            self.anyone.cancel();
        }
    }

    /// How much of what all share a token may have.
    fn share(&self, grant: &Grant) -> f64 {
        let is_only = self.grants().nth(1).is_none();
        grant.token.share.unwrap_or(if is_only { 1.0 } else { 0.5 })
    }

    fn takes_anyone(&self) -> bool {
        matches!(self.entry, Entry::Anyone)
    }

    fn grants(&self) -> impl Iterator<Item = &Arc<Grant>> {
        match &self.entry {
            Entry::Anyone => [].iter(),
            Entry::Tokens(grants) => grants.iter(),
        }
    }

    /// Whose token this is.
    fn find(&self, shown: &[u8]) -> Option<&Arc<Grant>> {
        let digest: [u8; 32] = Sha256::digest(shown).into();
        let mut found = None;
        for grant in self.grants() {
            if grant.token.sha256.ct_eq(&digest).into() {
                found = Some(grant);
            }
        }
        found
    }
}

impl Grant {
    fn new(token: Token, used: Arc<Used>) -> Self {
        Self {
            used,
            meter: token.rate.map(Meter::new),
            accounts: token
                .accounts
                .as_ref()
                .map(|accounts| Arc::new(accounts.iter().cloned().collect())),
            token,
            revoked: CancellationToken::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(name: &str, secret: &str) -> Token {
        Token {
            name: name.into(),
            sha256: Sha256::digest(secret).into(),
            accounts: None,
            rights: Rights::Full,
            rate: Some(1.0),
            share: None,
            signs_webhooks: false,
        }
    }

    fn parts(tokens: Option<Vec<Token>>) -> AccessParts {
        AccessParts {
            tokens,
            open_metrics: false,
            refused_rate: 1,
            hosts: Hosts::default(),
        }
    }

    #[test]
    fn a_token_is_found_by_its_hash_and_no_other_is() {
        let tokens = vec![token("a", "open"), token("b", "sesame")];
        let access = Access::new(parts(Some(tokens)));
        let name = |shown: &str| {
            let grant = access.find(shown.as_bytes());
            grant.map(|grant| grant.token.name.to_string())
        };
        assert_eq!(name("open").as_deref(), Some("a"));
        assert_eq!(name("sesame").as_deref(), Some("b"));
        assert_eq!(name("sesam"), None);
        assert_eq!(name(""), None);
    }

    #[test]
    fn a_token_that_stays_goes_on_and_the_others_are_taken_back() {
        let before = vec![token("a", "1"), token("b", "2"), token("c", "3")];
        let (sender, _) = watch::channel(Arc::new(Access::new(parts(Some(before)))));
        let old = sender.borrow().clone();
        let changed = Token {
            rights: Rights::Read,
            ..token("b", "2")
        };

        Access::replace(&sender, parts(Some(vec![token("a", "1"), changed])));

        let revoked: Vec<bool> = old.grants().map(|g| g.revoked.is_cancelled()).collect();
        assert_eq!(revoked, [false, true, true]);
        let now = sender.borrow().clone();
        assert!(Arc::ptr_eq(
            now.find(b"1").unwrap(),
            old.find(b"1").unwrap()
        ));
        assert!(now.find(b"3").is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_reload_forgets_nobody_who_guesses() {
        let tokens = || Some(vec![token("a", "1")]);
        let (sender, _) = watch::channel(Arc::new(Access::new(parts(tokens()))));
        let count = || {
            let now = tokio::time::Instant::now();
            sender.borrow().refusals.count([192, 0, 2, 1].into(), now)
        };
        assert!(count().is_ok() && count().is_err());
        Access::replace(&sender, parts(Some(vec![token("b", "2")])));
        assert!(count().is_err());
        Access::replace(&sender, parts(None));
        Access::replace(&sender, parts(tokens()));
        assert!(count().is_err());
    }

    #[test]
    fn who_called_without_a_token_is_sent_away_when_tokens_are_asked_for() {
        let (sender, _) = watch::channel(Arc::new(Access::new(parts(None))));
        let anyone = sender.borrow().anyone.clone();
        Access::replace(&sender, parts(None));
        assert!(!anyone.is_cancelled());
        Access::replace(&sender, parts(Some(vec![token("a", "1")])));
        assert!(anyone.is_cancelled());
    }
}
