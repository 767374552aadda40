//! A server that webhooks are posted to.

use std::sync::Arc;
use std::sync::Mutex;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::Uri;
use axum::response::IntoResponse as _;
use axum::response::Response;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::sync::watch;

use crate::harness::PATIENCE;

/// Takes what is posted, notes it, and answers as the test wants.
#[derive(Clone)]
pub(crate) struct Receiver {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    posts: watch::Sender<Vec<Posted>>,
    answer: Mutex<Answerer>,
    /// Those who are to wait for a word wait here.
    held: Notify,
}

type Answerer = Box<dyn FnMut(&Posted) -> Reply + Send>;

/// What was posted.
#[derive(Clone, Debug)]
pub(crate) struct Posted {
    pub(crate) uri: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// How it is answered.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// With this status and these words.
    Status(u16, &'static str),
    /// Like this, and where to instead.
    Redirect(String),
    /// With this status, and not before the test says so.
    Held(u16),
}

impl Posted {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap().to_str().unwrap()
    }

    pub(crate) fn event(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Whether a receiver with this secret would take it, by a public implementation.
    pub(crate) fn is_signed_with(&self, secret: &str) -> bool {
        let verifier = standardwebhooks::Webhook::new(secret).unwrap();
        verifier.verify(&self.body, &self.headers).is_ok()
    }
}

impl Receiver {
    /// One that takes everything.
    pub(crate) async fn start() -> Self {
        Self::answering(|_| Reply::Status(200, "thanks")).await
    }

    pub(crate) async fn answering(answer: impl FnMut(&Posted) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            posts: watch::Sender::new(Vec::new()),
            answer: Mutex::new(Box::new(answer)),
            held: Notify::new(),
        });
        let router = Router::new().fallback(take).with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { port, shared }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Answers like this from now on.
    pub(crate) fn answer(&self, answer: impl FnMut(&Posted) -> Reply + Send + 'static) {
        *self.shared.answer.lock().unwrap() = Box::new(answer);
    }

    /// Answers those who are held.
    pub(crate) fn release(&self) {
        self.shared.held.notify_waiters();
    }

    /// Everything that was posted until now.
    pub(crate) fn posts(&self) -> Vec<Posted> {
        self.shared.posts.borrow().clone()
    }

    /// Waits until so much was posted.
    pub(crate) async fn posted(&self, count: usize) -> Vec<Posted> {
        self.wait_for(&format!("{count} posts"), |posts| posts.len() >= count)
            .await
    }

    /// Waits until what was posted is as the test wants it.
    pub(crate) async fn wait_for(
        &self,
        what: &str,
        is_it: impl Fn(&[Posted]) -> bool,
    ) -> Vec<Posted> {
        let mut posts = self.shared.posts.subscribe();
        let found = tokio::time::timeout(PATIENCE, posts.wait_for(|posts| is_it(posts))).await;
        match found {
            Ok(found) => found.unwrap().clone(),
            Err(_) => panic!("no {what}, but {:?}", self.posts()),
        }
    }
}

async fn take(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let posted = Posted {
        uri: uri.to_string(),
        headers,
        body,
    };
    let held = shared.held.notified();
    let reply = (shared.answer.lock().unwrap())(&posted);
    shared.posts.send_modify(|posts| posts.push(posted));
    match reply {
        Reply::Status(status, words) => {
            let status = axum::http::StatusCode::from_u16(status).unwrap();
            (status, words).into_response()
        }
        Reply::Redirect(to) => {
            let status = axum::http::StatusCode::TEMPORARY_REDIRECT;
            (status, [("location", to)]).into_response()
        }
        Reply::Held(status) => {
            held.await;
            let status = axum::http::StatusCode::from_u16(status).unwrap();
            (status, "at last").into_response()
        }
    }
}
