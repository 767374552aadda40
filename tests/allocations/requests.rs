//! What a request may cost: at most eight bytes for each of its own, whatever is in it.

use std::sync::Arc;
use std::time::Duration;

use allocation_counter::measure;
use axum::body::Body;
use axum::body::to_bytes;
use axum::http::Method;
use axum::http::Request;
use sipost::agent::Accounts;
use sipost::agent::SenderAccount;
use sipost::api::Access;
use sipost::api::AccessParts;
use sipost::api::Api;
use sipost::api::ApiService;
use sipost::api::Hosts;
use sipost::api::Parts;
use sipost::api::Settings;
use sipost::api::Token;
use sipost::clock::Clock;
use sipost::config::Config;
use sipost::dispatch;
use sipost::dispatch::Admission;
use sipost::dispatch::Command;
use sipost::dispatch::SipTraces;
use sipost::events::Feed;
use sipost::message::AgentError;
use sipost::message::AgentList;
use sipost::message::AgentStatus;
use sipost::message::Agents;
use sipost::sip::uri::Uri;
use sipost::store;
use sipost::trace::Recorder;
use sipost::webhook;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// Allocated bytes for each byte of a request.
const PER_BYTE: usize = 8;

/// What a message costs however short it is: its answer, its place in lists, and those of 64
/// headers, each of which is larger than `"X:"`.
const PER_MESSAGE: usize = 12 * 1024;

/// The sizes of requests, in bytes: the smallest for which a hundred told mistakes are nothing, and
/// one beyond which nothing new happens.
const SIZES: [usize; 2] = [40_000, 150_000];

const MESSAGE: [&str; 13] = [
    "target",
    "body",
    "bodyEncoding",
    "contentType",
    "extraHeaders",
    "from",
    "ttl",
    "sendAt",
    "attempts",
    "onUnknown",
    "webhook",
    "metadata",
    "unknown",
];
const WEBHOOK: [&str; 6] = ["url", "types", "from", "description", "enabled", "unknown"];

#[test]
fn a_message_costs_at_most_eight_times_its_request() {
    let gateway = Gateway::new();
    for member in MESSAGE {
        for (what, value) in values() {
            let body = format!(r#"{{"target":"ok","body":"x","{member}":{value}}}"#);
            gateway.check(Method::POST, "/messages", &body, 1, member, what);
        }
    }
}

#[test]
fn a_batch_costs_at_most_eight_times_its_request() {
    let gateway = Gateway::new();
    let path = "/messages/batch";
    for (what, value) in values() {
        for member in ["messages", "unknown"] {
            let body = format!(r#"{{"{member}":{value}}}"#);
            gateway.check(Method::POST, path, &body, 1, member, what);
        }
        for member in MESSAGE {
            let message = format!(r#"{{"target":"ok","body":"x","{member}":{value}}}"#);
            let body = format!(r#"{{"messages":[{{"target":"ok","body":""}},{message}]}}"#);
            gateway.check(Method::POST, path, &body, 2, member, what);
        }
    }
}

#[test]
fn many_messages_cost_at_most_eight_times_their_request() {
    let gateway = Gateway::new();
    for member in MESSAGE {
        for (what, value) in values_of(2_000) {
            let message = format!(r#"{{"target":"ok","body":"x","{member}":{value}}}"#);
            let messages = vec![message; 100].join(",");
            let body = format!(r#"{{"messages":[{messages}]}}"#);
            gateway.check(Method::POST, "/messages/batch", &body, 100, member, what);
        }
    }
}

#[test]
fn a_webhook_costs_at_most_eight_times_its_request() {
    let gateway = Gateway::new();
    let webhook = gateway.webhook();
    for (what, value) in values() {
        for member in WEBHOOK {
            let body = format!(r#"{{"url":"https://app.example/","{member}":{value}}}"#);
            gateway.check(Method::POST, "/webhooks", &body, 1, member, what);
            let body = format!(r#"{{"{member}":{value}}}"#);
            gateway.check(Method::PATCH, &webhook, &body, 1, member, what);
        }
        for member in ["since", "until", "unknown"] {
            let body = format!(r#"{{"{member}":{value}}}"#);
            let path = format!("{webhook}/recover");
            gateway.check(Method::POST, &path, &body, 1, member, what);
        }
    }
}

#[test]
fn a_body_that_is_no_object_costs_at_most_eight_times_its_size() {
    let gateway = Gateway::new();
    let webhook = gateway.webhook();
    for (what, value) in values() {
        for (method, path) in [
            (Method::POST, "/messages".to_owned()),
            (Method::POST, "/messages/batch".to_owned()),
            (Method::POST, "/webhooks".to_owned()),
            (Method::PATCH, webhook.clone()),
            (Method::POST, format!("{webhook}/recover")),
        ] {
            gateway.check(method.clone(), &path, &value, 1, "", what);
            // And what is not even JSON.
            let broken = value.get(..value.len() - 1).unwrap_or_default();
            gateway.check(method, &path, broken, 1, "", what);
        }
    }
}

/// Values of every kind that may cost more than they are long, in all [`SIZES`].
fn values() -> Vec<(&'static str, String)> {
    SIZES.into_iter().flat_map(values_of).collect()
}

fn values_of(size: usize) -> Vec<(&'static str, String)> {
    let list = |item: &str| vec![item; size / (item.len() + 1)].join(",");
    let numbered = |item: &dyn Fn(usize) -> String| {
        let items: Vec<String> = (0..size / item(size).len()).map(item).collect();
        items.join(",")
    };
    let name = "n".repeat(size / 4);
    let headers = numbered(&|n| format!(r#""X-{n}":["",""]"#));
    vec![
        ("text", format!("\"{}\"", "x".repeat(size))),
        ("escapes", format!("\"{}\"", "\\u0041".repeat(size / 6))),
        (
            "control characters",
            format!("\"{}\"", "\\u0001".repeat(size / 6)),
        ),
        ("digits", "1".repeat(size)),
        (
            "depth",
            format!("{}{}", "[".repeat(size / 2), "]".repeat(size / 2)),
        ),
        ("numbers", format!("[{}]", list("1"))),
        ("empty strings", format!("[{}]", list("\"\""))),
        ("empty lists", format!("[{}]", list("[]"))),
        ("headers without a value", format!("[{}]", list("\"X:\""))),
        ("words", format!("[{}]", list("\"sending\""))),
        (
            "accounts",
            format!("[{}]", list("\"sip:alice@example.com\"")),
        ),
        ("one name", format!("{{{}}}", list("\"\":\"\""))),
        (
            "names",
            format!("{{{}}}", numbered(&|n| format!(r#""{n}":"""#))),
        ),
        (
            "escaped names",
            format!("{{{}}}", numbered(&|n| format!(r#""\u0041{n}":1"#))),
        ),
        (
            "long names",
            format!(
                "{{{}}}",
                numbered(&|n| format!(r#""{n}{}":1"#, "x/~".repeat(40)))
            ),
        ),
        ("headers", format!("{{{headers}}}")),
        (
            "one header of a long name",
            format!("{{\"{name}\":[{}]}}", list("\"\"")),
        ),
        (
            "one header of many values",
            format!("{{\"X-A\":[{}]}}", list("\"b\"")),
        ),
        (
            "one pair of a long name",
            format!("{{\"{name}\":\"{name}\"}}"),
        ),
        (
            "more members",
            format!("1,{}", numbered(&|n| format!(r#""m{n}":1"#))),
        ),
        ("the same members", format!("1,{}", list("\"target\":1"))),
    ]
}

/// The real service over a real store, on this thread, so that what it allocates is counted.
struct Gateway {
    runtime: Runtime,
    service: ApiService,
    _folder: tempfile::TempDir,
}

impl Gateway {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let service = {
            let _entered = runtime.enter();
            router_in(folder.path())
        };
        Self {
            runtime,
            service,
            _folder: folder,
        }
    }

    /// The path of a webhook that there is.
    fn webhook(&self) -> String {
        let body = r#"{"url":"https://app.example/"}"#;
        let answer = self.call(Method::POST, "/webhooks", body.to_owned());
        let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
        format!("/webhooks/{}", answer["id"].as_str().unwrap())
    }

    fn call(&self, method: Method, path: &str, body: String) -> Vec<u8> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("content-type", "application/json")
            .body(Body::from(body))
            .unwrap();
        let service = self.service.clone();
        self.runtime.block_on(async {
            let response = service.oneshot(request).await.unwrap();
            let body = to_bytes(response.into_body(), usize::MAX).await;
            body.unwrap().to_vec()
        })
    }

    /// Posts what has so many messages, and holds what that costs against its size.
    fn check(
        &self,
        method: Method,
        path: &str,
        body: &str,
        messages: usize,
        member: &str,
        what: &str,
    ) {
        let given = body.to_owned();
        let mut answer = Vec::new();
        let cost = measure(|| answer = self.call(method, path, given));
        let most = PER_BYTE * body.len() + PER_MESSAGE * messages;
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            cost.bytes_total <= most as u64,
            "{path}: `{member}` of {what} has {} bytes and costs {}: {:.500}",
            body.len(),
            cost.bytes_total,
            answer,
        );
    }
}

fn router_in(folder: &std::path::Path) -> ApiService {
    let change = |settings: &mut Settings| {
        settings.request_timeout = Duration::from_secs(60);
        settings.max_streams = 0;
    };
    let tail = store::TailSize {
        events: 16,
        bytes: 1 << 16,
    };
    gateway_in(folder, tail, None, change).service
}

/// The service, and what is behind it.
pub(crate) struct Parted {
    pub(crate) service: ApiService,
    pub(crate) store: Arc<dyn store::Store>,
    pub(crate) feed: Feed,
}

pub(crate) fn gateway_in(
    folder: &std::path::Path,
    tail: store::TailSize,
    tokens: Option<Vec<Token>>,
    change: impl FnOnce(&mut Settings),
) -> Parted {
    let clock = Clock::system();
    let options = store::sqlite::Options {
        path: folder.join("cost.db"),
        synchronous: store::sqlite::Synchronous::Normal,
        tail,
        observer: Arc::new(()),
    };
    let store = store::sqlite::open(options, clock.now()).unwrap();
    let config = Config::from_toml("").unwrap();
    let account = Uri::parse("sip:alice@example.com").unwrap();
    let access = Access::new(AccessParts {
        tokens,
        open_metrics: false,
        refused_rate: 1_000,
        hosts: Hosts::default(),
    });
    let mut settings = config.http.settings;
    change(&mut settings);
    let feed = Feed::new(store.clone());
    let service = ApiService::new(Api::new(Parts {
        store: store.clone(),
        dispatch: dispatcher(),
        feed: feed.clone(),
        webhooks: webhooks(&store, &clock),
        accounts: Arc::new(Accounts::new([SenderAccount {
            uri: account,
            // So that bodies are not refused for what a server takes.
            max_message: usize::MAX,
            setting: "sip.max_message",
            reserved: 0,
            from_len: 0,
        }])),
        agents: Arc::new(NoAgents),
        traces: SipTraces::new(Arc::new(Recorder::off()), store.clone()),
        observer: Arc::new(()),
        clock,
        access: watch::channel(Arc::new(access)).1,
        limits: watch::channel(config.delivery.limits).1,
        settings,
        draining: CancellationToken::new(),
        closing: CancellationToken::new(),
    }));
    Parted {
        service,
        store,
        feed,
    }
}

/// Accepts everything, and sends nothing.
fn dispatcher() -> dispatch::Handle {
    let (handle, mut commands) = dispatch::Handle::new(1);
    tokio::spawn(async move {
        while let Some(command) = commands.recv().await {
            if let Command::Accept(request) = command {
                // The client waits until it is answered.
                let accepted = Admission::Accepted(request.messages);
                request.reply.send(Ok(accepted));
            }
        }
    });
    handle
}

fn webhooks(store: &Arc<dyn store::Store>, clock: &Clock) -> webhook::Webhooks {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let second = Duration::from_secs(1);
    let guard = webhook::AddressGuard::default();
    let client = webhook::Client::new(guard, webhook::SystemResolver, &tls, second, 1);
    webhook::Webhooks::new(webhook::Dependencies {
        store: store.clone(),
        client: watch::channel(client.unwrap()).1,
        vault: webhook::Vault::plain(),
        own_secret: None,
        schedule: webhook::Schedule {
            waits: Vec::new(),
            disable_after: second,
        },
        concurrency: 1,
        clock: clock.clone(),
        observer: Arc::new(()),
    })
}

struct NoAgents;

impl Agents for NoAgents {
    fn list(&self) -> AgentList {
        Box::new(std::iter::empty())
    }

    fn get(&self, _: &str) -> Option<AgentStatus> {
        None
    }

    fn drain(&self, _: &str) -> Result<(), AgentError> {
        Err(AgentError::Stopped)
    }

    fn resume(&self, _: &str) -> Result<(), AgentError> {
        Err(AgentError::Stopped)
    }

    fn reregister(&self, _: &str) -> Result<(), AgentError> {
        Err(AgentError::Stopped)
    }
}
