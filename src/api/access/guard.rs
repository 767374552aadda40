//! Lets requests pass, or not. A path that is on no list here takes a token.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tokio::time::Instant;

use super::{Access, Caller, Grant, Rights, bearer};
use crate::api::error::ApiError;
use crate::api::peer::ClientAddress;
use crate::api::{Api, answer, origin};

/// Given to anyone: whether we live, and how we are called. Nothing here tells of messages.
pub(in crate::api) const OPEN: &[&str] = &[
    "/",
    "/page/{file}",
    "/favicon.ico",
    "/livez",
    "/readyz",
    "/openapi.yaml",
    "/openapi.json",
    "/docs",
    "/docs/{file}",
    "/problems/{slug}",
];

/// Where a token with accounts of its own has something to do. The rest concerns the whole gateway.
const OWN: &[&str] = &[
    "/messages",
    "/messages/batch",
    "/messages/{id}",
    "/messages/{id}/events",
    "/messages/{id}/sip",
    "/received",
    "/received/{id}",
    "/received/{id}/sip",
    "/events",
    "/agents",
    "/agents/{id}",
    "/agents/{id}/sip",
];

/// Where pages are given, of which each may hold much.
const PAGES: &[&str] = &[
    "/messages",
    "/messages/{id}/events",
    "/messages/{id}/sip",
    "/received",
    "/received/{id}/sip",
    "/events",
    "/webhooks",
    "/webhooks/{id}/deliveries",
];

/// Where a request comes from that came over no connection.
const NOWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

const METRICS: &str = "/metrics";

/// [`guarded`] as a layer.
pub(in crate::api) async fn guard(
    State(api): State<Api>,
    request: Request,
    next: Next,
) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map(MatchedPath::as_str);
    guarded(&api, route, request, |request| next.run(request)).await
}

/// Answers requests that may not pass, and tells the handlers of the others who calls.
pub(in crate::api) async fn guarded<F: Future<Output = Response>>(
    api: &Api,
    path: Option<&str>,
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    let access = api.access.borrow().clone();
    let hosts = access.takes_anyone().then_some(&access.hosts);
    if let Err(error) = origin::check(&request, hosts, &api.settings.origins) {
        return error.into_response();
    }
    if path.is_some_and(|path| OPEN.contains(&path)) {
        return next(request).await;
    }
    if access.takes_anyone() || (access.open_metrics && path == Some(METRICS)) {
        let caller = Caller::anyone(client_of(&request), access.anyone.clone());
        return pass(api, &caller, path, request, next).await;
    }
    let now = Instant::now();
    let grant = match known(&access, &request, now) {
        Ok(grant) => grant,
        Err(error) => return error.into_response(),
    };
    let meter = grant.meter.as_ref();
    let admitted = allow(&grant, request.method(), path).and_then(|()| match meter {
        Some(meter) => meter.take(now).map_err(ApiError::RateLimited),
        None => Ok(()),
    });
    let caller = Caller::known(grant.clone(), access.share(&grant));
    let mut response = match admitted {
        Ok(()) => pass(api, &caller, path, request, next).await,
        Err(error) => error.into_response(),
    };
    if let Some(meter) = meter {
        meter.tell(response.headers_mut(), Instant::now());
    }
    response.extensions_mut().insert(caller);
    response
}

/// Lets a request pass, with its caller. A page waits for its turn.
async fn pass<F: Future<Output = Response>>(
    api: &Api,
    caller: &Caller,
    path: Option<&str>,
    mut request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    request.extensions_mut().insert(caller.clone());
    let only_looks = looks(request.method());
    let is_page = only_looks && path.is_some_and(|path| PAGES.contains(&path));
    let turn = is_page.then(|| api.0.pages.arrive(caller.key().clone()));
    let _permit = match &turn {
        Some(turn) => turn.come().await,
        None => None,
    };
    let response = next(request).await;
    answer::counted(api, caller, only_looks, response)
}

fn looks(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

fn client_of(request: &Request) -> IpAddr {
    let client = request.extensions().get::<ClientAddress>();
    client.map_or(NOWHERE, |ClientAddress(address)| *address)
}

/// Whose token the request shows.
fn known(access: &Access, request: &Request, now: Instant) -> Result<Arc<Grant>, ApiError> {
    let shown = bearer::token(request.headers());
    let refusal = match shown {
        Ok(Some(token)) => match access.find(token) {
            Some(grant) => return Ok(grant.clone()),
            None => ApiError::UnknownToken,
        },
        Ok(None) => ApiError::NoToken,
        Err(error) => error,
    };
    let counted = access.refusals.count(client_of(request), now);
    Err(counted.map_or_else(ApiError::RateLimited, |()| refusal))
}

/// Whether the token is for this.
fn allow(grant: &Grant, method: &Method, path: Option<&str>) -> Result<(), ApiError> {
    if grant.token.rights == Rights::Read && !looks(method) {
        return Err(ApiError::Forbidden("the token is for reading only"));
    }
    let is_own = path.is_none_or(|path| OWN.contains(&path));
    if grant.token.accounts.is_some() && !is_own {
        let words = "the token is for accounts of its own, and this concerns the whole gateway";
        return Err(ApiError::Forbidden(words));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::PATHS;

    #[test]
    fn every_path_on_a_list_is_one_of_ours() {
        for path in OPEN.iter().chain(OWN).chain(PAGES) {
            assert!(PATHS.contains(path), "{path}");
        }
    }
}
