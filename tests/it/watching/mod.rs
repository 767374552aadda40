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

use crate::harness::own_address;

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
        Self::open_at("127.0.0.1:0", Clock::system(), settings).await
    }

    /// Opens one at an address that another can take over.
    async fn open_to_replace() -> Self {
        let address = format!("{}:0", own_address());
        Self::open_at(&address, Clock::system(), "").await
    }

    /// Opens another one at its address, with another log.
    async fn replaced(self) -> Self {
        let address = self.url.trim_start_matches("http://").to_owned();
        self.stop().await;
        // The number of a log is the second in which it began.
        let later = Clock::system().now().plus(Duration::from_secs(60));
        Self::open_at(&address, Clock::starting_at(later), "").await
    }

    async fn open_at(address: &str, clock: Clock, settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("sipost.db");
        let text = format!(
            "http.listen = '{address}'\nstore.url = 'sqlite://{}'\n{settings}",
            store.display()
        );
        let config = Config::from_toml(&text).unwrap();
        let gateway = Gateway::start(&config, clock).await.unwrap();
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

    /// Makes a call to an agent, `drain` or `resume`, and waits until the log has what it did.
    async fn change_agent(&self, call: &str) {
        let kind = match call {
            "drain" => "agentDown",
            _ => "agentUp",
        };
        let path = format!("/events?type={kind}&before=latest&limit=1");
        let before = self.get(&path).await["data"][0]["id"].clone();
        let path_of_call = format!("/agents/sipost-1/{call}");
        let answer = soon(self.request(Method::POST, &path_of_call).send()).await;
        assert!(answer.unwrap().status().is_success());
        let is_logged = async { while self.get(&path).await["data"][0]["id"] == before {} };
        soon(is_logged).await;
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
