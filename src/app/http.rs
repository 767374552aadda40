//! What the API is made of, and how its connections are treated.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::reload::{HttpSide, Live};
use super::{AppError, ShutdownTokens, certificates, descriptors};
use crate::api;
use crate::api::{Api, ApiService};
use crate::clock::Clock;
use crate::config::Config;
use crate::dispatch::SipTraces;
use crate::events::Feed;
use crate::store::Store;
use crate::telemetry::Watch;
use crate::webhook::Webhooks;

/// The address by which this machine reaches a listener.
pub fn reached_at(listen: SocketAddr) -> SocketAddr {
    let address = match listen.ip() {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    };
    SocketAddr::new(address, listen.port())
}

pub(super) fn api(
    live: &Live,
    store: &Arc<dyn Store>,
    feed: Feed,
    webhooks: Webhooks,
    (watch, traces): (Watch, SipTraces),
    clock: Clock,
    ends: &ShutdownTokens,
) -> Api {
    Api::new(api::Parts {
        store: store.clone(),
        dispatch: live.dispatch.clone(),
        feed,
        webhooks,
        accounts: live.accounts.clone(),
        agents: live.supervisor.directory(),
        traces,
        observer: Arc::new(watch),
        clock,
        access: live.access.subscribe(),
        limits: live.limits.subscribe(),
        settings: live.config.http.settings.clone(),
        draining: ends.draining.clone(),
        closing: ends.closing.clone(),
    })
}

/// The certificate for clients; a task watches its files.
pub(super) fn https(
    config: &Config,
    background: &mut JoinSet<()>,
) -> Result<Option<HttpSide>, AppError> {
    let Some(tls) = &config.http.tls else {
        return Ok(None);
    };
    // Before they are read, so that no change is missed.
    let known = certificates::stamps(tls);
    let side = HttpSide {
        files: watch::Sender::new(tls.clone()),
        shown: watch::Sender::new(certificates::read(tls)?),
    };
    let files = side.files.subscribe();
    background.spawn(certificates::keep_fresh(files, side.shown.clone(), known));
    Ok(Some(side))
}

/// Answers requests until the streams are to end.
pub(super) fn serve(
    listener: TcpListener,
    api: Api,
    live: &Live,
    ends: &ShutdownTokens,
) -> JoinHandle<()> {
    let (closing, cut) = (ends.closing.clone(), ends.grace_over.clone());
    let service = ApiService::new(api);
    tokio::spawn(api::serve(listener, service, server(live), closing, cut))
}

/// How connections are treated: with the certificate, and no more of them than there are
/// descriptors for.
fn server(live: &Live) -> api::Server {
    let mut server = live.config.http.server.clone();
    server.tls = live.tls.as_ref().map(|side| side.shown.subscribe());
    server.places.total = descriptors::max_connections(&live.config);
    server
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_listens_everywhere_is_reached_on_loopback() {
        let at = |text: &str| reached_at(text.parse().unwrap()).to_string();
        assert_eq!(at("0.0.0.0:8080"), "127.0.0.1:8080");
        assert_eq!(at("[::]:8080"), "[::1]:8080");
        assert_eq!(at("192.0.2.1:80"), "192.0.2.1:80");
    }
}
