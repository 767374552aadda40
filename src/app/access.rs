//! Who may call, and from where, as the configuration says.

use std::sync::Arc;

use http::HeaderValue;

use crate::api;
use crate::config;
use crate::config::{Auth, Config, PageOrigin};

/// What the configuration says of who may call.
pub(super) fn access(config: &Config) -> api::AccessParts {
    let tokens = match &config.http.auth {
        Auth::Tokens(tokens) => Some(tokens.iter().map(|own| token(config, own)).collect()),
        Auth::Loopback | Auth::Anyone => None,
    };
    api::AccessParts {
        tokens,
        open_metrics: config.http.open_metrics,
        refused_rate: config.http.refused_rate,
        hosts: api::Hosts {
            names: config.http.hosts.clone(),
            any_address: !config.http.listen.ip().is_loopback(),
        },
    }
}

fn token(config: &Config, token: &config::Token) -> api::Token {
    // As the account spells it: that is what messages carry.
    let named = |from: &config::AddressOfRecord| {
        let mut accounts = config.accounts.iter().map(|account| &account.uri);
        Arc::from(
            accounts
                .find(|uri| uri.is_same(from))
                .unwrap_or(from)
                .as_str(),
        )
    };
    let own = token.from.as_ref();
    let accounts = own.map(|own| own.iter().map(named).collect());
    api::Token {
        name: token.name.as_str().into(),
        sha256: token.sha256,
        accounts,
        rights: match token.access {
            config::TokenAccess::Full => api::Rights::Full,
            config::TokenAccess::Read => api::Rights::Read,
        },
        rate: token.rate,
        share: token.share,
        signs_webhooks: !token.webhook_secrets.is_empty(),
    }
}

/// What the configuration says of the proxies before us.
pub(super) fn proxies(config: &Config) -> api::Proxies {
    api::Proxies {
        trusted: config.http.trusted_proxies.clone(),
        header: match config.http.proxy_header {
            config::ProxyHeader::XForwardedFor => api::ProxyHeader::XForwardedFor,
            config::ProxyHeader::Forwarded => api::ProxyHeader::Forwarded,
        },
    }
}

/// What the configuration says of pages that may call.
pub(super) fn origins(config: &Config) -> api::Origins {
    let mut listed = Vec::new();
    for origin in &config.http.cors_origins {
        match origin {
            PageOrigin::Any => return api::Origins::Any,
            // An origin has only characters that a header may have.
            PageOrigin::One(text) => listed.extend(HeaderValue::try_from(text)),
        }
    }
    match listed.is_empty() {
        true => api::Origins::Own,
        false => api::Origins::Listed(listed),
    }
}
