//! A gateway that says what a test wrote down.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use tokio::net::TcpListener;

/// Answers requests one after the other with what was written down, and notes what was asked.
pub(super) struct Scripted {
    pub(super) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// `POST /messages`.
    pub(super) line: String,
    pub(super) headers: http::HeaderMap,
    pub(super) body: Bytes,
}

/// An answer.
pub(super) struct Answer {
    status: u16,
    kind: &'static str,
    body: String,
    /// Whether the connection stays open after the body, as an event stream's does.
    open: bool,
    /// `Retry-After`.
    after: Option<u32>,
}

impl Answer {
    pub(super) fn json(status: u16, body: serde_json::Value) -> Self {
        let kind = match status {
            400.. => "application/problem+json",
            _ => "application/json",
        };
        let body = body.to_string();
        Self {
            status,
            kind,
            body,
            open: false,
            after: None,
        }
    }

    /// An event stream that ends after this.
    pub(super) fn stream(body: &str) -> Self {
        let (kind, body) = ("text/event-stream", body.to_owned());
        Self {
            status: 200,
            kind,
            body,
            open: false,
            after: None,
        }
    }

    /// An event stream that says this and then nothing.
    pub(super) fn open_stream(body: &str) -> Self {
        Self {
            open: true,
            ..Self::stream(body)
        }
    }

    /// With `Retry-After`, in seconds.
    pub(super) fn after(self, seconds: u32) -> Self {
        let after = Some(seconds);
        Self { after, ..self }
    }

    pub(super) fn html(status: u16) -> Self {
        let (kind, body) = ("text/html", "<h1>hello</h1>".to_owned());
        Self {
            status,
            kind,
            body,
            open: false,
            after: None,
        }
    }
}

type Script = Arc<Mutex<VecDeque<Answer>>>;
type Notes = Arc<Mutex<Vec<Asked>>>;

impl Scripted {
    pub(super) async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let script: Script = Arc::new(Mutex::new(answers.into_iter().collect()));
        let asked = Notes::default();
        let router = Router::new()
            .fallback(answer)
            .with_state((script, Arc::clone(&asked)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, asked }
    }

    /// What was asked so far.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn answer(State((script, notes)): State<(Script, Notes)>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let asked = Asked {
        line: format!("{} {}", head.method, head.uri),
        headers: head.headers,
        body: body.collect().await.unwrap().to_bytes(),
    };
    notes.lock().unwrap().push(asked);
    let answer = script.lock().unwrap().pop_front();
    let answer = answer.unwrap_or_else(|| Answer::html(500));
    let body = match answer.open {
        false => Body::from(answer.body),
        true => {
            use futures_util::StreamExt as _;
            let said = futures_util::stream::iter([Ok::<_, std::io::Error>(answer.body)]);
            Body::from_stream(said.chain(futures_util::stream::pending()))
        }
    };
    let mut response = Response::builder()
        .status(answer.status)
        .header("Content-Type", answer.kind);
    if let Some(seconds) = answer.after {
        response = response.header("Retry-After", seconds);
    }
    response.body(body).unwrap()
}
