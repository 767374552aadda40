//! Who calls, as handlers see them.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Grant, Used};
use crate::api::Api;
use crate::api::bytes::ClientKey;
use crate::api::error::ApiError;
use crate::api::peer::network;
use crate::dispatch::{Quota, QuotaPermit};
use crate::store::Accounts;

/// Who calls. [`super::guard`] finds out.
///
/// A caller with accounts of its own sends as these and sees nothing of the others: a message or an
/// event is its own when it was sent, or must be, as one of them. Others do not exist for it.
#[derive(Clone, Debug)]
pub(in crate::api) struct Caller {
    /// `None` for anyone.
    grant: Option<Arc<Grant>>,
    /// Who it is, for limits and figures by client.
    key: ClientKey,
    revoked: CancellationToken,
    /// How much it may have of what all share.
    share: f64,
}

impl Caller {
    pub(super) fn anyone(address: IpAddr, revoked: CancellationToken) -> Self {
        Self {
            grant: None,
            key: ClientKey::Address(network(address)),
            revoked,
            share: 1.0,
        }
    }

    pub(super) fn known(grant: Arc<Grant>, share: f64) -> Self {
        Self {
            key: ClientKey::Token(grant.token.name.clone()),
            revoked: grant.revoked.clone(),
            grant: Some(grant),
            share,
        }
    }

    /// The name of the caller's token; empty without one.
    pub(in crate::api) fn name(&self) -> Arc<str> {
        let named = self.grant.as_ref().map(|grant| grant.token.name.clone());
        named.unwrap_or_else(|| "".into())
    }

    /// The caller's key in limits and figures by client.
    pub(in crate::api) fn key(&self) -> &ClientKey {
        &self.key
    }

    /// The name of the token, when it has a secret of its own for the webhooks of its messages.
    pub(in crate::api) fn webhook_signer(&self) -> Option<Arc<str>> {
        let token = &self.grant.as_ref()?.token;
        token.signs_webhooks.then(|| token.name.clone())
    }

    /// Canceled when what this caller may do has changed.
    pub(in crate::api) fn revoked(&self) -> CancellationToken {
        self.revoked.clone()
    }

    /// The accounts of this caller; `None` when it has all.
    pub(in crate::api) fn accounts(&self) -> Option<&Arc<[Arc<str>]>> {
        self.grant.as_ref()?.token.accounts.as_ref()
    }

    /// The same, to look in.
    pub(in crate::api) fn account_set(&self) -> Option<&Accounts> {
        self.grant.as_ref()?.accounts.as_ref()
    }

    /// Whether what belongs to this account is for the caller to see.
    pub(in crate::api) fn sees(&self, account: Option<&str>) -> bool {
        self.account_set()
            .is_none_or(|own| account.is_some_and(|account| own.contains(account)))
    }

    /// The sender of a new message that names this one: for a caller with accounts of its own
    /// one of these, the first when it names none.
    pub(in crate::api) fn sender(
        &self,
        api: &Api,
        from: Option<String>,
    ) -> Result<Option<String>, ApiError> {
        let Some(own) = self.accounts() else {
            return Ok(from);
        };
        match from {
            None => Ok(own.first().map(|account| account.to_string())),
            Some(from) => {
                let account = api.accounts.account(&from);
                if self.sees(account.as_deref()) {
                    Ok(Some(from))
                } else {
                    Err(ApiError::Forbidden("the token is not for this account"))
                }
            }
        }
    }

    /// Room for so many more messages of this caller, of `max_queued` for all. Nothing is counted
    /// for one that may have them all.
    pub(in crate::api) fn message_permits(
        &self,
        count: usize,
        max_queued: usize,
    ) -> Result<Vec<QuotaPermit>, ApiError> {
        let words = "the token has as many messages waiting as its share of delivery.max_queued";
        self.permits(|used| &used.messages, count, max_queued, words)
    }

    /// Room for one more event stream of this caller, of `max_streams` for all.
    pub(in crate::api) fn stream_permits(
        &self,
        max_streams: usize,
    ) -> Result<Vec<QuotaPermit>, ApiError> {
        let words = "the token has as many event streams open as its share of http.max_streams";
        self.permits(|used| &used.streams, 1, max_streams, words)
    }

    fn permits(
        &self,
        quota: impl Fn(&Used) -> &Arc<Quota>,
        count: usize,
        max: usize,
        words: &'static str,
    ) -> Result<Vec<QuotaPermit>, ApiError> {
        let Some(grant) = self.grant.as_ref().filter(|_| self.share < 1.0) else {
            return Ok(Vec::new());
        };
        // A share is below one, so that what it is of the maximum is in range.
        let limit = (max as f64 * self.share).ceil() as usize;
        let permits = quota(&grant.used).take(count, limit);
        permits.ok_or(ApiError::ShareUsed(words))
    }

    /// Counts what a request turned out to be beyond one.
    pub(in crate::api) fn charge(&self, more: usize) {
        if let Some(meter) = self.grant.as_ref().and_then(|grant| grant.meter.as_ref()) {
            meter.charge(more, Instant::now());
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        // The guard has put a caller into every request that it lets pass.
        parts.extensions.get().cloned().ok_or(ApiError::NoToken)
    }
}
