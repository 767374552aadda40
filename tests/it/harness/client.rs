//! An HTTP client that speaks JSON and event streams.

use reqwest::Method;
use serde_json::Value;
use serde_json::json;

use super::Stream;
use super::soon;

/// Speaks to one gateway. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Client {
    base: String,
    http: reqwest::Client,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    /// Null when the body is no JSON.
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The last part of the problem's type.
    pub(crate) fn problem(&self) -> &str {
        let kind = self.body["type"].as_str().unwrap_or_default();
        kind.rsplit('/').next().unwrap_or_default()
    }
}

impl Client {
    pub(crate) fn new(base: String) -> Self {
        // reqwest wants a provider for TLS even when none is used; a second test finds it there.
        drop(rustls::crypto::ring::default_provider().install_default());
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { base, http }
    }

    /// Host and port.
    pub(crate) fn address(&self) -> String {
        self.base.trim_start_matches("http://").to_owned()
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    /// Sends a request that may fail on its way, as when the gateway is killed meanwhile.
    pub(crate) async fn try_send(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<Answer, reqwest::Error> {
        let response = soon("an answer", request.send()).await?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let bytes = soon("the whole answer", response.bytes()).await?;
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Ok(Answer {
            status,
            headers,
            body,
        })
    }

    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        self.try_send(request).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    pub(crate) async fn post(&self, message: &Value) -> Answer {
        let request = self.request(Method::POST, "/messages").json(message);
        self.send(request).await
    }

    pub(crate) async fn post_with_key(&self, message: &Value, key: &str) -> Answer {
        let request = self.request(Method::POST, "/messages").json(message);
        self.send(request.header("Idempotency-Key", key)).await
    }

    pub(crate) async fn post_batch(&self, messages: &[Value]) -> Answer {
        let request = self.request(Method::POST, "/messages/batch");
        self.send(request.json(&json!({ "messages": messages })))
            .await
    }

    /// Posts a message that must be accepted; its id.
    pub(crate) async fn accepted(&self, message: &Value) -> String {
        let answer = self.post(message).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        id_of(&answer.body)
    }

    /// Posts a message that must be accepted, and waits for its end: the finished message.
    pub(crate) async fn delivered(&self, message: &Value) -> Value {
        let id = self.accepted(message).await;
        self.finished(&id).await
    }

    /// Waits for the end of a message: the finished message.
    pub(crate) async fn finished(&self, id: &str) -> Value {
        self.stream(&format!("/messages/{id}/events"))
            .await
            .rest()
            .await;
        let message = self.get(&format!("/messages/{id}")).await.body;
        assert!(!message["result"].is_null(), "{message}");
        message
    }

    /// Every event of a message, as a page.
    pub(crate) async fn events_of(&self, id: &str) -> Vec<Value> {
        let answer = self.get(&format!("/messages/{id}/events")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body["data"].as_array().unwrap().clone()
    }

    /// Opens an event stream that must be given.
    pub(crate) async fn stream(&self, path: &str) -> Stream {
        let request = self.request(Method::GET, path);
        self.stream_of(request).await
    }

    /// Opens an event stream behind this event.
    pub(crate) async fn stream_after(&self, path: &str, id: &str) -> Stream {
        let request = self.request(Method::GET, path).header("Last-Event-ID", id);
        self.stream_of(request).await
    }

    /// Opens an event stream behind this event; `None` when the gateway is not there, or says that
    /// it has none for a while.
    pub(crate) async fn try_stream_after(&self, path: &str, id: &str) -> Option<Stream> {
        let request = self.request(Method::GET, path).header("Last-Event-ID", id);
        let request = request.header("Accept", "text/event-stream");
        let response = soon("a stream", request.send()).await.ok()?;
        (response.status() != 503).then(|| Stream::of(response))
    }

    pub(crate) async fn stream_of(&self, request: reqwest::RequestBuilder) -> Stream {
        let request = request.header("Accept", "text/event-stream");
        let response = soon("a stream", request.send()).await.unwrap();
        Stream::of(response)
    }
}

pub(crate) fn id_of(message: &Value) -> String {
    message["id"].as_str().unwrap().to_owned()
}

pub(crate) fn types_of(events: &[Value]) -> Vec<&str> {
    let types = events.iter().map(|event| event["type"].as_str().unwrap());
    types.collect()
}
