//! An OpenTelemetry collector on loopback, and beside it a server that webhooks are posted to.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::routing::post;
use axum::serve::Listener;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::certificates::acceptor;
use crate::certificates::fixture;
use crate::harness::PATIENCE;

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Collector {
    scheme: &'static str,
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    seen: watch::Sender<Seen>,
    behaviour: watch::Sender<Behaviour>,
}

/// What the collector does with what it is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Behaviour {
    /// Takes it.
    Takes,
    /// Says that it does not want it.
    Refuses,
    /// Says nothing until it behaves otherwise.
    Hangs,
}

/// Everything that came until now.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// In the order of their beginnings.
    pub(super) spans: Vec<Told>,
    /// The headers of posts to webhooks.
    pub(super) hooks: Vec<HeaderMap>,
    /// What the collector was sent, byte by byte.
    pub(super) bytes: Vec<u8>,
    /// The headers it came with.
    pub(super) headers: HeaderMap,
    /// Of the gateway that told of it.
    pub(super) resource: BTreeMap<String, String>,
}

/// A span that was told of.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) name: String,
    pub(super) trace: String,
    pub(super) id: String,
    /// Empty for the first of a trace.
    pub(super) parent: String,
    /// As the protocol numbers them: 1 internal, 2 server, 3 client.
    pub(super) kind: i32,
    pub(super) begun: u64,
    pub(super) ended: u64,
    /// What went wrong, if anything did.
    pub(super) error: Option<String>,
    pub(super) attributes: BTreeMap<String, String>,
}

impl Collector {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        Self::serve("http", port, listener)
    }

    /// One that shows a certificate, which [`authority`] has signed.
    pub(super) async fn start_tls() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = acceptor();
        Self::serve("https", port, Tls { listener, acceptor })
    }

    fn serve<L: Listener<Addr: Debug>>(scheme: &'static str, port: u16, listener: L) -> Self {
        let shared = Arc::new(Shared {
            seen: watch::Sender::default(),
            behaviour: watch::Sender::new(Behaviour::Takes),
        });
        let router = Router::new()
            .route("/v1/traces", post(take))
            .route("/hook/secret-path", post(hook))
            .with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            scheme,
            port,
            shared,
        }
    }

    /// The setting that makes a gateway tell it.
    pub(super) fn setting(&self) -> String {
        let Self { scheme, port, .. } = self;
        format!("telemetry.otlp_endpoint = '{scheme}://127.0.0.1:{port}'")
    }

    pub(super) fn webhook(&self) -> String {
        let port = self.port;
        format!("http://127.0.0.1:{port}/hook/secret-path?key=secret-query")
    }

    pub(super) fn behave(&self, behaviour: Behaviour) {
        self.shared.behaviour.send_replace(behaviour);
    }

    pub(super) fn seen(&self) -> Seen {
        self.shared.seen.borrow().clone()
    }

    /// Waits until what was seen is as the test wants it.
    pub(super) async fn sees(&self, what: &str, is_it: impl Fn(&Seen) -> bool) -> Seen {
        let mut seen = self.shared.seen.subscribe();
        let found = tokio::time::timeout(PATIENCE, seen.wait_for(|seen| is_it(seen))).await;
        match found {
            Ok(found) => found.unwrap().clone(),
            Err(_) => {
                let Seen { spans, hooks, .. } = self.seen();
                panic!("no {what}, but {} posts and {spans:#?}", hooks.len());
            }
        }
    }

    /// Waits until so many spans were told of.
    pub(super) async fn spans(&self, count: usize) -> Vec<Told> {
        let what = format!("{count} spans are told of");
        self.sees(&what, |seen| seen.spans.len() >= count)
            .await
            .spans
    }
}

impl Seen {
    /// The spans of this name, in the order of their beginnings.
    pub(super) fn named(&self, name: &str) -> Vec<&Told> {
        self.spans.iter().filter(|span| span.name == name).collect()
    }
}

/// The file of who signed what [`Collector::start_tls`] shows.
pub(super) fn authority() -> String {
    fixture("authority.pem")
}

/// Connections that were agreed on with TLS; of the others nothing is heard.
struct Tls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = self.listener.accept().await.unwrap();
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

async fn take(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(), StatusCode> {
    let mut behaviour = shared.behaviour.subscribe();
    let now = behaviour.wait_for(|now| *now != Behaviour::Hangs).await;
    if *now.unwrap() == Behaviour::Refuses {
        return Err(StatusCode::BAD_REQUEST);
    }
    let told = ExportTraceServiceRequest::decode(body.clone()).unwrap();
    shared.seen.send_modify(|seen| {
        seen.bytes.extend_from_slice(&body);
        seen.headers = headers;
        for of_resource in told.resource_spans {
            seen.resource = attributes(&of_resource.resource.unwrap().attributes);
            let scopes = of_resource.scope_spans.into_iter();
            seen.spans
                .extend(scopes.flat_map(|scope| scope.spans).map(Told::of));
        }
        seen.spans.sort_by_key(|span| (span.begun, span.ended));
    });
    Ok(())
}

async fn hook(State(shared): State<Arc<Shared>>, headers: HeaderMap) {
    shared.seen.send_modify(|seen| seen.hooks.push(headers));
}

impl Told {
    fn of(span: Span) -> Self {
        let status = span.status.unwrap_or_default();
        Self {
            name: span.name,
            trace: hexadecimal(&span.trace_id),
            id: hexadecimal(&span.span_id),
            parent: hexadecimal(&span.parent_span_id),
            kind: span.kind,
            begun: span.start_time_unix_nano,
            ended: span.end_time_unix_nano,
            error: (status.code == 2).then_some(status.message),
            attributes: attributes(&span.attributes),
        }
    }

    pub(super) fn attribute(&self, name: &str) -> &str {
        let found = self.attributes.get(name);
        found.unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }
}

fn attributes(pairs: &[KeyValue]) -> BTreeMap<String, String> {
    let read = |pair: &KeyValue| {
        let value = match pair.value.as_ref().unwrap().value.as_ref().unwrap() {
            any_value::Value::StringValue(text) => text.clone(),
            any_value::Value::IntValue(number) => number.to_string(),
            other => panic!("{other:?}"),
        };
        (pair.key.clone(), value)
    };
    pairs.iter().map(read).collect()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
