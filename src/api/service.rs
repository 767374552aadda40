//! Where every request comes in.

use std::convert::Infallible;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::State;
use axum::http::{Method, Request};
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tower::{BoxError, Service};

use super::{Api, access, browser, middleware, post, router};

/// Answers requests. Cheap to clone.
///
/// `POST /messages` passes what the router's layers are, called in their order: each layer costs
/// every request two boxes, and this is the request that there are most of.
#[derive(Clone)]
pub struct ApiService {
    api: Api,
    router: Router,
    /// Pages of other origins may call: a layer writes the headers for them.
    has_cors: bool,
}

const MESSAGES: &str = "/messages";

impl ApiService {
    pub fn new(api: Api) -> Self {
        Self {
            router: router::router(api.clone()),
            has_cors: browser::cors(&api.settings.origins).is_some(),
            api,
        }
    }

    /// Answers a request.
    pub(super) async fn answer<B>(mut self, request: Request<B>) -> Response
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let is_message = request.method() == Method::POST && request.uri().path() == MESSAGES;
        if is_message && !self.has_cors {
            self.post_message(request.map(Body::new)).await
        } else {
            let Ok(response) = self.router.call(request).await;
            response
        }
    }

    async fn post_message(self, request: Request<Body>) -> Response {
        let api = &self.api;
        let create = async |request| {
            let created = post::create(State(api.clone()), request).await;
            created.into_response()
        };
        let guarded = async |request| access::guarded(api, Some(MESSAGES), request, create).await;
        middleware::observed(api, Some(MESSAGES), request, guarded).await
    }
}

/// As tower has it, so that a request needs no connection.
impl<B> Service<Request<B>> for ApiService
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.clone().answer(request).map(Ok).boxed()
    }
}
