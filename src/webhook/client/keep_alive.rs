//! Which posts may leave an idle connection behind, and which connections are given up.
//!
//! The HTTP client bounds idle connections of one host, and not those of all. So an origin is given
//! as many as it had posts under way at once, while there are any left of all; other posts go over
//! a connection of their own. Idle connections of many hosts stay within the reserve of
//! descriptors.
//!
//! A post that finds an idle connection after it began to open one would leave that to be opened in
//! the background, however long that takes and however many there are. It is given up instead.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::{Layer, Service};
use url::Origin;

/// How long a connection that nothing was asked on is kept.
pub(super) const IDLE: Duration = Duration::from_secs(30);
/// The HTTP client looks each [`IDLE`] for those that have been.
const FORGET: Duration = IDLE.saturating_mul(2);

/// Idle connections, as they are shared out among origins.
#[derive(Debug)]
pub(super) struct KeepAlive {
    max: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    origins: HashMap<Origin, KeptOrigin>,
    /// Connections of all of them.
    count: usize,
}

/// An origin that keeps connections.
#[derive(Debug)]
struct KeptOrigin {
    posts: usize,
    /// Posts that were under way at once: there are no more connections.
    connections: usize,
    last_end: Instant,
}

/// A post that may leave its connection behind.
#[derive(Debug)]
pub(super) struct KeepPermit {
    keep_alive: Arc<KeepAlive>,
    origin: Origin,
}

impl KeepAlive {
    /// At most so many connections are kept.
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            max: max.max(1),
            kept: Mutex::default(),
        })
    }

    /// A post to this origin begins; `None` when its connection must not stay.
    pub(super) fn begin(self: &Arc<Self>, origin: Origin, now: Instant) -> Option<KeepPermit> {
        let mut kept = self.kept();
        let known = kept.origins.get(&origin);
        if known.is_none_or(|known| known.posts == known.connections) {
            if kept.count >= self.max {
                kept.forget(now);
            }
            if kept.count >= self.max {
                return None;
            }
            kept.count += 1;
            let new = KeptOrigin {
                posts: 0,
                connections: 0,
                last_end: now,
            };
            let known = kept.origins.entry(origin.clone()).or_insert(new);
            known.connections += 1;
        }
        if let Some(known) = kept.origins.get_mut(&origin) {
            known.posts += 1;
        }
        Some(KeepPermit {
            keep_alive: self.clone(),
            origin,
        })
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Forgets the origins whose connections are closed by now.
    fn forget(&mut self, now: Instant) {
        let count = &mut self.count;
        self.origins.retain(|_, known| {
            let is_kept = known.posts > 0 || known.last_end + FORGET > now;
            if !is_kept {
                *count -= known.connections;
            }
            is_kept
        });
    }
}

impl Drop for KeepPermit {
    fn drop(&mut self) {
        let mut kept = self.keep_alive.kept();
        if let Some(known) = kept.origins.get_mut(&self.origin) {
            known.posts -= 1;
            known.last_end = Instant::now();
        }
    }
}

tokio::task_local! {
    /// Canceled when the post of this task is over.
    pub(super) static POST: CancellationToken;
}

/// Gives up connections whose post is over before they are open.
#[derive(Clone, Copy, Debug)]
pub(super) struct GiveUp;

/// What [`GiveUp`] makes of what opens connections.
#[derive(Clone, Debug)]
pub(super) struct GivingUp<S>(S);

/// Why a connection was not opened.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the post that this connection was for is over")]
struct PostOver;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl<S> Layer<S> for GiveUp {
    type Service = GivingUp<S>;

    fn layer(&self, inner: S) -> GivingUp<S> {
        GivingUp(inner)
    }
}

impl<S, R> Service<R> for GivingUp<S>
where
    S: Service<R, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        // Here the task is still that of the post.
        let over = POST.try_with(Clone::clone).unwrap_or_default();
        let opening = self.0.call(request);
        Box::pin(async move {
            tokio::select! {
                biased;
                opened = opening => opened,
                () = over.cancelled() => Err(PostOver.into()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn origin(host: &str) -> Origin {
        url::Url::parse(&format!("http://{host}/"))
            .unwrap()
            .origin()
    }

    #[tokio::test(start_paused = true)]
    async fn an_origin_keeps_as_many_connections_as_it_had_posts_at_once() {
        let keep_alive = KeepAlive::new(3);
        let begin = |host| keep_alive.begin(origin(host), Instant::now());
        let pair = [begin("a"), begin("a")];
        assert!(pair.iter().all(Option::is_some));
        drop(pair);
        let again = [begin("a"), begin("a"), begin("b")];
        assert!(again.iter().all(Option::is_some));
        assert!(begin("c").is_none() && begin("a").is_none());
        drop(again);
        // They may be there still, and are used by their own.
        assert!(begin("c").is_none());
        drop([begin("a"), begin("b")]);
        tokio::time::advance(FORGET).await;
        let others = [begin("c"), begin("d"), begin("e")];
        assert!(others.iter().all(Option::is_some));
        assert!(begin("a").is_none());
    }

    #[tokio::test]
    async fn a_connection_is_given_up_when_its_post_is_over() {
        let hangs = tower::service_fn(|()| std::future::pending::<Result<(), BoxError>>());
        let mut opens = GiveUp.layer(hangs);
        let over = CancellationToken::new();
        let mut opening = POST.sync_scope(over.clone(), || opens.call(()));
        assert!(opening.as_mut().now_or_never().is_none());
        over.cancel();
        let given_up = opening.await.unwrap_err();
        assert!(given_up.is::<PostOver>());
    }
}
