//! The gateway itself, as its users run it.

use std::fs;

use reqwest::Client;
use reqwest::StatusCode;
use reqwest::header;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::timeout;

use crate::kamailio::Kamailio;
use crate::process::PATIENCE;
use crate::process::Process;

/// A running `sipost` with one account: `sip:alice@example.test`, where nothing else is said.
pub(crate) struct Gateway {
    /// What the test says to it and reads from it.
    client: Client,
    url: String,
    process: Process,
    /// Its configuration and its store.
    _folder: TempDir,
}

impl Gateway {
    /// Starts one with a user agent that registers with `kamailio`, and waits until it listens.
    pub(crate) async fn start(kamailio: &Kamailio) -> Self {
        Self::start_with_agents(kamailio, 1).await
    }

    /// Starts one with several user agents for the account.
    pub(crate) async fn start_with_agents(kamailio: &Kamailio, agents: u32) -> Self {
        let (uri, password) = ("sip:alice@example.test", "alice-secret");
        Self::start_at(&kamailio.url(), uri, password, agents).await
    }

    /// Starts one that sends SIP messages of this size.
    pub(crate) async fn start_with_size(kamailio: &Kamailio, max_message: &str) -> Self {
        let account = format!("max_message = \"{max_message}\"");
        let (uri, password) = ("sip:alice@example.test", "alice-secret");
        Self::start_with(&kamailio.url(), uri, password, &account).await
    }

    /// Starts one with an account at some server.
    pub(crate) async fn start_at(server: &str, uri: &str, password: &str, agents: u32) -> Self {
        Self::start_with(server, uri, password, &format!("connections = {agents}")).await
    }

    /// Starts one that tells a HEP server at this URL of every frame.
    pub(crate) async fn start_telling(kamailio: &Kamailio, homer: &str) -> Self {
        let (uri, password) = ("sip:alice@example.test", "alice-secret");
        let hep = format!("[hep]\nserver = \"{homer}\"\nnode = \"edge-1\"\npassword = \"key\"\n");
        Self::start_configured(&kamailio.url(), uri, password, "", &hep).await
    }

    async fn start_with(server: &str, uri: &str, password: &str, account: &str) -> Self {
        Self::start_configured(server, uri, password, account, "").await
    }

    async fn start_configured(
        server: &str,
        uri: &str,
        password: &str,
        account: &str,
        more: &str,
    ) -> Self {
        let folder = TempDir::new().unwrap();
        let config = folder.path().join("sipost.toml");
        let text = format!(
            r#"
            [http]
            listen = "127.0.0.1:0"

            [store]
            url = "sqlite://{store}"

            [[account]]
            uri = "{uri}"
            password = "{password}"
            {account}
            servers = [{{ url = "{server}" }}]

            [sip]
            recovery_min = "200ms"
            recovery_max = "1s"

            {more}
            "#,
            store = folder.path().join("sipost.db").display(),
        );
        fs::write(&config, text).unwrap();

        let arguments = ["serve", "--config", &config.display().to_string()].map(str::to_owned);
        let program = env!("CARGO_BIN_EXE_sipost");
        let mut process = Process::start("sipost", "sipost", program, &arguments);
        let url = process.line(listening_url).await;
        Self {
            client: client(),
            url,
            process,
            _folder: folder,
        }
    }

    /// Posts a message and waits for its end: the finished message.
    pub(crate) async fn send(&self, message: &Value) -> Value {
        let request = self
            .client
            .post(format!("{}/messages", self.url))
            .header("Prefer", "wait=30")
            .json(message);
        let response = request.send().await.unwrap();
        let status = response.status();
        let answer: Value = response.json().await.unwrap();
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer
    }

    /// Posts a message; what is said to it.
    pub(crate) async fn post(&self, message: &Value) -> Value {
        let request = self.client.post(format!("{}/messages", self.url));
        request
            .json(message)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap()
    }

    /// Posts messages together; their ids in the same order.
    pub(crate) async fn accept(&self, messages: &[Value]) -> Vec<String> {
        let request = self
            .client
            .post(format!("{}/messages/batch", self.url))
            .json(&serde_json::json!({ "messages": messages }));
        let response = request.send().await.unwrap();
        let status = response.status();
        let answer: Value = response.json().await.unwrap();
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
        let accepted = answer["data"].as_array().unwrap();
        let id = |message: &Value| message["id"].as_str().unwrap().to_owned();
        accepted.iter().map(id).collect()
    }

    /// The message of an event, when it has ended.
    pub(crate) async fn ended(&self, event: &Value) -> Value {
        let id = event["messageId"].as_str().unwrap();
        self.follow(id).await;
        self.get(&format!("/messages/{id}")).await
    }

    /// Follows a message's event stream until the gateway ends it, which it does with the
    /// terminal event; the types of its events.
    pub(crate) async fn follow(&self, id: &str) -> Vec<String> {
        let request = self
            .client
            .get(format!("{}/messages/{id}/events", self.url))
            .header(header::ACCEPT, "text/event-stream");
        let text = request.send().await.unwrap().text().await.unwrap();
        text.lines()
            .filter_map(|line| line.strip_prefix("event:"))
            .map(|kind| kind.trim().to_owned())
            .collect()
    }

    /// Posts a message and follows it until this receipt, which may precede its end; its events.
    pub(crate) async fn send_until(&self, message: &Value, until: &str) -> Vec<Value> {
        let request = self
            .client
            .post(format!("{}/messages?until={until}", self.url))
            .header(header::ACCEPT, "text/event-stream")
            .json(message);
        let text = request.send().await.unwrap().text().await.unwrap();
        events_of(&text)
    }

    /// The first event of this type in the log, when there is one.
    pub(crate) async fn event(&self, kind: &str) -> Value {
        let path = format!("/events?type={kind}&lastEventId=earliest");
        let request = self
            .client
            .get(format!("{}{path}", self.url))
            .header(header::ACCEPT, "text/event-stream");
        let mut response = request.send().await.unwrap();
        let first = async {
            let mut text = Vec::new();
            while let Some(chunk) = response.chunk().await.unwrap() {
                text.extend_from_slice(&chunk);
                // An event is whole when its blank line is there.
                let whole = String::from_utf8_lossy(&text);
                let whole = whole.rfind("\n\n").map_or("", |end| &whole[..end]);
                if let Some(event) = events_of(whole).into_iter().next() {
                    return event;
                }
            }
            panic!("the log ended")
        };
        let first = timeout(PATIENCE, first).await;
        first.unwrap_or_else(|_| panic!("no event was {kind}"))
    }

    /// What came in, newest first.
    pub(crate) async fn received(&self) -> Vec<Value> {
        let page = self.get("/received").await;
        page["data"].as_array().unwrap().clone()
    }

    /// Waits until every agent has registered; how many there are.
    pub(crate) async fn all_registered(&self) -> usize {
        let registered = async {
            loop {
                let agents = self.get("/agents").await;
                let agents = agents["data"].as_array().unwrap();
                if agents.iter().all(|agent| agent["state"] == "registered") {
                    return agents.len();
                }
            }
        };
        timeout(PATIENCE, registered).await.unwrap()
    }

    /// The value of this series at `/metrics`.
    pub(crate) async fn metric(&self, series: &str) -> u64 {
        let request = self.client.get(format!("{}/metrics", self.url));
        let text = request.send().await.unwrap().text().await.unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(series));
        value.unwrap().trim().parse().unwrap()
    }

    /// Asks it to stop, as an operator does, and waits until it has.
    pub(crate) async fn stop(&mut self) {
        self.process.terminate();
        self.process.finished().await;
    }

    /// What a GET answers.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let request = self.client.get(format!("{}{path}", self.url));
        request.send().await.unwrap().json().await.unwrap()
    }
}

/// The events of a stream.
fn events_of(text: &str) -> Vec<Value> {
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|event| serde_json::from_str(event).unwrap())
        .collect()
}

fn client() -> Client {
    // reqwest wants a provider for TLS even when it is never used; a second test finds it there.
    drop(rustls::crypto::ring::default_provider().install_default());
    Client::builder().no_proxy().build().unwrap()
}

/// The gateway says where it listens, which is news when it was asked for port 0.
fn listening_url(line: &str) -> Option<String> {
    let at = line.find("http://127.0.0.1:")?;
    let url: String = line[at..]
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || ":/.".contains(*c))
        .collect();
    Some(url.trim_end_matches('/').to_owned())
}
