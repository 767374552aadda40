//! The real service over a real store, with a dispatcher and agents that do as the test says: the
//! answers of bad days.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use axum::body::to_bytes;
use axum::http::Method;
use axum::http::Request;
use sha2::Digest as _;
use sha2::Sha256;
use sipost::agent::Accounts;
use sipost::agent::SenderAccount;
use sipost::api::Access;
use sipost::api::AccessParts;
use sipost::api::Answered;
use sipost::api::Api;
use sipost::api::ApiService;
use sipost::api::Hosts;
use sipost::api::MetricsFormat;
use sipost::api::Observer;
use sipost::api::Parts;
use sipost::api::Readings;
use sipost::api::Rights;
use sipost::api::Settings;
use sipost::api::Token;
use sipost::clock::Clock;
use sipost::config::Config;
use sipost::dispatch;
use sipost::dispatch::AcceptError;
use sipost::dispatch::Admission;
use sipost::dispatch::CancelError;
use sipost::dispatch::Command;
use sipost::dispatch::QueueCounts;
use sipost::dispatch::SipTraces;
use sipost::events::Feed;
use sipost::message::AgentError;
use sipost::message::AgentList;
use sipost::message::AgentState;
use sipost::message::AgentStatus;
use sipost::message::Agents;
use sipost::message::ByMessage;
use sipost::sip::uri::Uri;
use sipost::store;
use sipost::store::Store;
use sipost::store::StoreError;
use sipost::trace::Recorder;
use sipost::webhook;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::answers::Answer;
use crate::answers::Seen;
use crate::document::Operation;
use crate::routes;

/// An id that no message has.
const NOBODY: &str = "/messages/01930000-0000-7000-8000-000000000001";
const NOT_RECEIVED: &str = "/received/01930000-0000-7000-8000-000000000001";
const MESSAGE: &str = r#"{"target": "sip:bob@example.com", "body": ""}"#;
const BATCH: &str = r#"{"messages": [{"target": "sip:bob@example.com", "body": ""}]}"#;

/// The service, and what is behind it.
pub(crate) struct ApiFixture {
    service: ApiService,
    pub(crate) store: Arc<dyn Store>,
    draining: CancellationToken,
    _folder: tempfile::TempDir,
}

/// Webhooks that may be posted nowhere.
fn webhooks(store: &Arc<dyn Store>, clock: &Clock) -> webhook::Webhooks {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let guard = webhook::AddressGuard::default();
    let second = Duration::from_secs(1);
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

/// What the dispatcher says to whatever it is asked.
type Says = fn() -> (Result<Admission, AcceptError>, Result<(), CancelError>);

impl ApiFixture {
    /// With a dispatcher that is gone.
    pub(crate) fn new() -> Self {
        Self::with(dispatch::Handle::new(1).0)
    }

    /// With a dispatcher that says this.
    fn saying(says: Says) -> Self {
        let (handle, mut commands) = dispatch::Handle::new(1);
        tokio::spawn(async move {
            while let Some(command) = commands.recv().await {
                let (accept, cancel) = says();
                // When the test is over nothing waits for the answer.
                match command {
                    Command::Accept(request) => request.reply.send(accept),
                    Command::Cancel { reply, .. } => drop(reply.send(cancel)),
                    Command::Rates(_) | Command::Settle(_) | Command::Flush { .. } => {}
                    Command::WaitingFor { reply, .. } => drop(reply.send(ByMessage::default())),
                    Command::Counts { reply } => drop(reply.send(QueueCounts::default())),
                }
            }
        });
        Self::with(handle)
    }

    fn with(dispatch: dispatch::Handle) -> Self {
        Self::guarded(dispatch, None)
    }

    /// With tokens to be shown.
    fn guarded(dispatch: dispatch::Handle, tokens: Option<Vec<Token>>) -> Self {
        let access = Access::new(AccessParts {
            tokens,
            open_metrics: false,
            refused_rate: 1_000,
            hosts: Hosts::default(),
        });
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::system();
        let options = store::sqlite::Options {
            path: folder.path().join("api.db"),
            synchronous: store::sqlite::Synchronous::Normal,
            tail: store::TailSize {
                events: 16,
                bytes: 1 << 16,
            },
            observer: Arc::new(()),
        };
        let store = store::sqlite::open(options, clock.now()).unwrap();
        let config = Config::from_toml("").unwrap();
        let draining = CancellationToken::new();
        let account = Uri::parse("sip:alice@example.com").unwrap();
        let service = ApiService::new(Api::new(Parts {
            store: store.clone(),
            dispatch,
            feed: Feed::new(store.clone()),
            webhooks: webhooks(&store, &clock),
            accounts: Arc::new(Accounts::new([SenderAccount {
                uri: account,
                max_message: 16_384,
                setting: "sip.max_message",
                reserved: 1_500,
                from_len: 30,
            }])),
            agents: Arc::new(Gone(clock.clone())),
            traces: SipTraces::new(Arc::new(Recorder::off()), store.clone()),
            observer: Arc::new(Lengthy),
            clock,
            access: watch::channel(Arc::new(access)).1,
            limits: watch::channel(config.delivery.limits).1,
            settings: Settings {
                request_timeout: Duration::from_millis(1),
                max_streams: 0,
                ..config.http.settings
            },
            draining: draining.clone(),
            closing: CancellationToken::new(),
        }));
        Self {
            service,
            store,
            draining,
            _folder: folder,
        }
    }

    /// Calls the service, without a connection between.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in [("host", "localhost"), ("content-type", "application/json")] {
            if !headers.iter().any(|(given, _)| *given == name) {
                request = request.header(name, value);
            }
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).unwrap();
        let response = self.service.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: to_bytes(body, usize::MAX).await.unwrap().to_vec(),
        }
    }

    /// The path of a webhook that there is.
    async fn webhook(&self) -> String {
        let body = r#"{"url": "https://app.example/"}"#;
        let created = self.post("/webhooks", body).await.json();
        format!("/webhooks/{}", created["id"].as_str().unwrap())
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, &[], "").await
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.call(Method::POST, path, &[], body).await
    }
}

/// Tells figures at length.
struct Lengthy;

impl Observer for Lengthy {
    fn answered(&self, _: &Answered<'_>) {}

    fn report(&self, _: Readings, _: MetricsFormat) -> String {
        "# HELP sipost_up\n".repeat(LONG)
    }
}

/// Enough for an answer that is counted.
const LONG: usize = 20_000;

/// An agent that has ended, one that cannot be looked at, and others that never were.
struct Gone(Clock);

impl Agents for Gone {
    fn list(&self) -> AgentList {
        Box::new(self.get("gone-1").into_iter())
    }

    fn get(&self, id: &str) -> Option<AgentStatus> {
        assert_ne!(id, "panic-1", "this one panics");
        ["gone-1", "far-1"].contains(&id).then(|| AgentStatus {
            id: id.into(),
            account: "sip:gone@example.com".into(),
            server: "ws://example.com/".into(),
            state: AgentState::Stopped,
            since: self.0.now(),
            registered_until: None,
            next_attempt_at: None,
            in_flight: 0,
            sent: 0,
            succeeded: 0,
            failed: 0,
            last_error: Some("it has ended; ".repeat(LONG)),
            replica: Some("east-1".into()),
        })
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

/// Gives the answers that a gateway in good health does not.
pub(crate) async fn answer_everything(seen: &mut Seen) {
    while_stopping(seen).await;
    without_a_store(seen).await;
    with_a_dispatcher_that_refuses(seen).await;
    with_slow_clients(seen).await;
    with_too_many_streams(seen).await;
    with_clients_that_take_nothing(seen).await;
    with_tokens(seen).await;
}

async fn while_stopping(seen: &mut Seen) {
    let api = ApiFixture::new();
    api.draining.cancel();
    seen.note("ready", 503, &api.get("/readyz").await);
    seen.note("sendMessage", 503, &api.post("/messages", MESSAGE).await);
    let answer = api.post("/messages/batch", BATCH).await;
    seen.note("sendBatch", 503, &answer);
    let answer = api.call(Method::DELETE, NOBODY, &[], "").await;
    seen.note("cancelMessage", 503, &answer);
    for (id, what) in [
        ("drainAgent", "drain"),
        ("resumeAgent", "resume"),
        ("reregisterAgent", "reregister"),
    ] {
        let answer = api.post(&format!("/agents/gone-1/{what}"), "").await;
        seen.note(id, 503, &answer);
    }
}

async fn without_a_store(seen: &mut Seen) {
    let api = ApiFixture::saying(|| {
        let closed = || StoreError::Closed;
        (Err(closed().into()), Err(closed().into()))
    });
    api.store.close().await.unwrap();
    for (id, path) in [
        ("listMessages", "/messages"),
        ("getMessage", NOBODY),
        ("listMessageEvents", &format!("{NOBODY}/events")),
        ("getMessageSip", &format!("{NOBODY}/sip")),
        ("listReceived", "/received"),
        ("getReceived", NOT_RECEIVED),
        ("getReceivedSip", &format!("{NOT_RECEIVED}/sip")),
        ("ready", "/readyz"),
    ] {
        seen.note(id, 503, &api.get(path).await);
    }
    let answer = api.call(Method::DELETE, NOT_RECEIVED, &[], "").await;
    seen.note("eraseReceived", 503, &answer);
    seen.note("sendMessage", 503, &api.post("/messages", MESSAGE).await);
    let answer = api.post("/messages/batch", BATCH).await;
    seen.note("sendBatch", 503, &answer);
    let answer = api.call(Method::DELETE, NOBODY, &[], "").await;
    seen.note("cancelMessage", 503, &answer);
    webhooks_without_a_store(&api, seen).await;
}

async fn webhooks_without_a_store(api: &ApiFixture, seen: &mut Seen) {
    let webhook = "/webhooks/01930000-0000-7000-8000-000000000001";
    seen.note("listWebhooks", 503, &api.get("/webhooks").await);
    seen.note("getWebhook", 503, &api.get(webhook).await);
    let answer = api.get(&format!("{webhook}/deliveries")).await;
    seen.note("listDeliveries", 503, &answer);
    for (id, method) in [
        ("changeWebhook", Method::PATCH),
        ("deleteWebhook", Method::DELETE),
    ] {
        seen.note(id, 503, &api.call(method, webhook, &[], "{}").await);
    }
    let body = r#"{"url": "https://app.example/"}"#;
    seen.note("createWebhook", 503, &api.post("/webhooks", body).await);
    for (id, what) in [
        ("testWebhook", "test"),
        ("recoverWebhook", "recover"),
        ("rotateWebhookSecret", "rotate-secret"),
        ("retryDelivery", "deliveries/1-1/retry"),
    ] {
        let answer = api.post(&format!("{webhook}/{what}"), "").await;
        seen.note(id, 503, &answer);
    }
}

async fn with_a_dispatcher_that_refuses(seen: &mut Seen) {
    let overloaded = ApiFixture::saying(|| {
        let retry_after = Duration::from_secs(1);
        (Err(AcceptError::Overloaded { retry_after }), Ok(()))
    });
    let answer = overloaded.post("/messages", MESSAGE).await;
    seen.note("sendMessage", 503, &answer);
    let answer = overloaded.post("/messages/batch", BATCH).await;
    seen.note("sendBatch", 503, &answer);

    let busy = ApiFixture::saying(|| (Err(AcceptError::KeyInProgress), Err(CancelError::TooLate)));
    let key = [("idempotency-key", "k")];
    let answer = busy.call(Method::POST, "/messages", &key, MESSAGE).await;
    seen.note("sendMessage", 409, &answer);
    let answer = busy
        .call(Method::POST, "/messages/batch", &key, BATCH)
        .await;
    seen.note("sendBatch", 409, &answer);

    // The message that the key named was removed meanwhile.
    let forgotten = ApiFixture::saying(|| {
        let id = "01930000-0000-7000-8000-000000000001".parse().unwrap();
        (Ok(Admission::Replayed(vec![id])), Ok(()))
    });
    let answer = forgotten
        .call(Method::POST, "/messages", &key, MESSAGE)
        .await;
    seen.note("sendMessage", 404, &answer);

    // Handlers that panic, with layers around them and without.
    let api = ApiFixture::new();
    let body = futures_util::stream::poll_fn(|_| -> Poll<Option<Result<Vec<u8>, String>>> {
        panic!("this body panics")
    });
    let answer = api.post("/messages", Body::from_stream(body)).await;
    seen.note("sendMessage", 500, &answer);
    seen.note("getAgent", 500, &api.get("/agents/panic-1").await);
}

async fn with_slow_clients(seen: &mut Seen) {
    let api = ApiFixture::new();
    let never = || Body::from_stream(futures_util::stream::pending::<Result<Vec<u8>, String>>());
    seen.note("sendMessage", 408, &api.post("/messages", never()).await);
    let answer = api.post("/messages/batch", never()).await;
    seen.note("sendBatch", 408, &answer);
    let answer = api.post("/webhooks", never()).await;
    seen.note("createWebhook", 408, &answer);
    let webhook = api.webhook().await;
    let answer = api.call(Method::PATCH, &webhook, &[], never()).await;
    seen.note("changeWebhook", 408, &answer);
    let answer = api.post(&format!("{webhook}/recover"), never()).await;
    seen.note("recoverWebhook", 408, &answer);
}

async fn with_too_many_streams(seen: &mut Seen) {
    let api = ApiFixture::new();
    let stream = [("accept", "text/event-stream")];
    let answer = api.call(Method::GET, "/events", &stream, "").await;
    seen.note("listEvents", 503, &answer);
    let answer = api.get("/agents/gone-1/sip").await;
    seen.note("followAgentSip", 503, &answer);
    // It is at another replica: it is shown, and is not here.
    let answer = api.get("/agents/far-1/sip").await;
    seen.note("followAgentSip", 421, &answer);
    let answer = api.call(Method::POST, "/messages", &stream, MESSAGE).await;
    seen.note("sendMessage", 503, &answer);
}

/// Answers are held, and not taken, until there is no room for another.
async fn with_clients_that_take_nothing(seen: &mut Seen) {
    let api = ApiFixture::new();
    let mut held = Vec::new();
    for (id, path) in [("listAgents", "/agents"), ("getMetrics", "/metrics")] {
        loop {
            let request = Request::builder().uri(path).header("host", "localhost");
            let request = request.body(Body::empty()).unwrap();
            let response = api.service.clone().oneshot(request).await.unwrap();
            if response.status() == 503 {
                break;
            }
            held.push(response);
        }
        seen.note(id, 503, &api.get(path).await);
    }
}

/// Every call that a token is asked for is asked without one, with one that is not for it, and with
/// one that has asked too often.
async fn with_tokens(seen: &mut Seen) {
    let token = |name: &str, rights, rate| Token {
        name: name.into(),
        sha256: Sha256::digest(name).into(),
        accounts: None,
        rights,
        rate,
        signs_webhooks: false,
        share: None,
    };
    let own = Token {
        accounts: Some([Arc::from("sip:alice@example.com")].into()),
        ..token("own", Rights::Full, None)
    };
    let spent = token("spent", Rights::Full, Some(0.001));
    let tokens = vec![own, token("reader", Rights::Read, None), spent];
    let api = ApiFixture::guarded(dispatch::Handle::new(1).0, Some(tokens));

    // It may ask once.
    let spent = [("authorization", "Bearer spent")];
    api.call(Method::GET, "/agents", &spent, "").await;
    for call in Operation::all() {
        let method = Method::from_bytes(call.method.as_bytes()).unwrap();
        let path = routes::filled(call.path);
        let answer = api.call(method.clone(), &path, &[], "").await;
        let is_open = call.value["security"] == serde_json::json!([]);
        assert_eq!(answer.status != 401, is_open, "{}", call.id());
        if is_open {
            continue;
        }
        seen.note(call.id(), 401, &answer);
        let answer = api.call(method.clone(), &path, &spent, "").await;
        seen.note(call.id(), 429, &answer);
        assert!(answer.headers.contains_key("ratelimit"));
        if method != Method::GET {
            let reader = [("authorization", "Bearer reader")];
            let answer = api.call(method, &path, &reader, "").await;
            seen.note(call.id(), 403, &answer);
        }
    }
    let own = [("authorization", "Bearer own")];
    // Figures are about every account.
    let answer = api.call(Method::GET, "/metrics", &own, "").await;
    seen.note("getMetrics", 403, &answer);
    for (id, path) in [("listMessages", "/messages"), ("listEvents", "/events")] {
        let path = format!("{path}?from=sip:bob@example.com");
        let answer = api.call(Method::GET, &path, &own, "").await;
        seen.note(id, 403, &answer);
    }
    let path = "/received?account=sip:bob@example.com";
    let answer = api.call(Method::GET, path, &own, "").await;
    seen.note("listReceived", 403, &answer);
}
