//! What an operator sees: figures, what a message waits for, logs, traces, the page.

mod dashboards;
mod metrics;
mod page;
mod prometheus;
#[cfg(feature = "otlp")]
mod traces;
mod waiting;

use std::future::Future;
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use serde_json::json;
use sipost::app::Gateway;
use sipost::clock::Clock;
use sipost::config::Config;
use tempfile::TempDir;

/// How long what must come may take on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// A gateway in this process, with the built-in SIP server to send to.
struct Watched {
    url: String,
    client: reqwest::Client,
    gateway: Gateway,
    _folder: TempDir,
}

impl Watched {
    /// Opens one with these settings besides.
    async fn open(settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("sipost.db");
        let text = format!(
            "http.listen = '127.0.0.1:0'\nstore.url = 'sqlite://{}'\n{settings}",
            store.display()
        );
        let config = Config::from_toml(&text).unwrap();
        let gateway = Gateway::start(&config, Clock::system()).await.unwrap();
        // reqwest wants a provider for TLS even when it is never used; another test may have
        // given it one.
        drop(rustls::crypto::ring::default_provider().install_default());
        Self {
            url: format!("http://{}", gateway.address()),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            gateway,
            _folder: folder,
        }
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    async fn get(&self, path: &str) -> Value {
        let answer = soon(self.request(Method::GET, path).send()).await.unwrap();
        soon(answer.json()).await.unwrap()
    }

    /// Posts a message that is accepted.
    async fn post(&self, message: Value) -> Value {
        let request = self.request(Method::POST, "/messages").json(&message);
        let answer = soon(request.send()).await.unwrap();
        assert_eq!(answer.status(), 202);
        soon(answer.json()).await.unwrap()
    }

    /// Sends a message to its end.
    async fn send(&self, target: &str) -> Value {
        let message = json!({"target": target, "body": "Hello"});
        let request = self.request(Method::POST, "/messages").json(&message);
        let answer = soon(request.header("Prefer", "wait=30").send()).await;
        let answer = answer.unwrap();
        assert_eq!(answer.status(), 200);
        soon(answer.json()).await.unwrap()
    }

    async fn stop(self) {
        soon(self.gateway.stop()).await;
    }
}

/// A time to come that a message may be scheduled for.
fn in_an_hour() -> String {
    from_now(Duration::from_secs(3_600))
}

fn in_half_an_hour() -> String {
    from_now(Duration::from_secs(1_800))
}

fn from_now(by: Duration) -> String {
    Clock::system().now().plus(by).to_string()
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.unwrap()
}
