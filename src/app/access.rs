//! Who may call, from the configuration.

use std::sync::Arc;

use crate::api;
use crate::config;
use crate::config::Auth;
use crate::config::Config;

/// What the configuration says of who may call.
pub(super) fn access(config: &Config) -> api::AccessParts {
    let tokens = match &config.http.auth {
        Auth::Tokens(tokens) => Some(tokens.iter().map(token).collect()),
        Auth::Loopback | Auth::Anyone => None,
    };
    api::AccessParts {
        tokens,
        open_metrics: config.http.open_metrics,
        refused_rate: config.http.refused_rate,
    }
}

fn token(token: &config::Token) -> api::Token {
    let own = token.from.as_ref();
    let accounts = own.map(|own| own.iter().map(|uri| Arc::from(uri.as_str())).collect());
    api::Token {
        name: token.name.as_str().into(),
        sha256: token.sha256,
        accounts,
        rights: match token.access {
            config::TokenAccess::Full => api::Rights::Full,
            config::TokenAccess::Read => api::Rights::Read,
        },
        rate: token.rate,
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
