//! Traces: what is done with a message, as spans that an OpenTelemetry collector is told of.
//!
//! ```text
//! POST /messages        the call; its parent is what `traceparent` says
//!  └ queue              from when the message could be sent until its attempt begins
//!     └ SIP MESSAGE     the attempt
//!        └ POST webhook each post of an event of that attempt; it tells its receiver of itself
//! ```
//!
//! A message that is tried again has a `queue` and a `SIP MESSAGE` for each attempt. The trace is
//! kept with the message, and the spans of a message are named after it ([`Step`]), so nothing has
//! to be remembered here: a span is told of once, when it has ended, by whoever saw it end. Telling
//! never waits: what finds the queue full is dropped, and counted.
//!
//! Bodies, credentials, headers and the paths of webhooks are in no span, and targets are shown as
//! the log shows them.

mod exporter;
mod span;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::Method;
use opentelemetry::trace::SpanKind;
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::SpanData;
use rustls::ClientConfig;
use tokio::sync::mpsc;

use super::Metrics;
use crate::api::Answered;
use crate::clock;
use crate::clock::Clock;
use crate::dispatch::Attempted;
use crate::message::{Event, MessageId, SpanId, Step, Targets, Timestamp, Trace, TraceId, What};
use crate::webhook::{Answer, PartOf, Posted};
pub use exporter::{Exporter, Otlp, TracesError};
use span::{Parent, Span};

/// Tells of messages as spans. Cheap to clone.
#[derive(Clone)]
pub struct Traces(Arc<Shared>);

struct Shared {
    spans: mpsc::Sender<SpanData>,
    metrics: Metrics,
    clock: Clock,
    targets: Targets,
    /// The share of the traces begun here that is kept.
    ratio: f64,
    scope: InstrumentationScope,
}

impl Traces {
    /// What tells, and what has to be run so that it is heard. `instance` is what this gateway is
    /// called among others.
    pub fn new(
        settings: &Otlp,
        tls: Arc<ClientConfig>,
        instance: String,
        targets: Targets,
        metrics: Metrics,
        clock: Clock,
    ) -> Result<(Self, Exporter), TracesError> {
        let (spans, told) = mpsc::channel(exporter::QUEUE);
        let exporter = Exporter::new(settings, tls, instance, told, metrics.clone())?;
        let scope = InstrumentationScope::builder("sipost").with_version(env!("CARGO_PKG_VERSION"));
        let shared = Shared {
            spans,
            metrics,
            clock,
            targets,
            ratio: settings.ratio,
            scope: scope.build(),
        };
        Ok((Self(Arc::new(shared)), exporter))
    }

    /// The trace of what a call takes in; that of the client for all other calls.
    pub(super) fn asked(
        &self,
        method: &Method,
        route: Option<&str>,
        client: Option<Trace>,
    ) -> Option<Trace> {
        if name_of_call(method, route).is_none() {
            return client;
        }
        Some(match client {
            Some(trace) => trace.under(new_span()),
            None => Trace {
                id: TraceId::new(rand::random()),
                span: new_span(),
                is_sampled: rand::random::<f64>() < self.0.ratio,
            },
        })
    }

    pub(super) fn answered(&self, answered: &Answered<'_>) {
        let Some(trace) = answered.trace.filter(|trace| trace.is_sampled) else {
            return;
        };
        let Some(name) = name_of_call(answered.method, answered.route) else {
            return;
        };
        let status = answered.status;
        let attributes = vec![
            KeyValue::new("http.request.method", answered.method.as_str().to_owned()),
            KeyValue::new("http.route", answered.route.unwrap_or_default().to_owned()),
            KeyValue::new("http.response.status_code", i64::from(status.as_u16())),
            KeyValue::new("sipost.request.id", answered.id.to_owned()),
        ];
        let begun = self.at(answered.begun);
        self.tell(Span {
            trace,
            parent: answered.client.map(|client| Parent::Remote(client.span)),
            kind: SpanKind::Server,
            name,
            begun,
            ended: begun + answered.took,
            // What the client got wrong is no error of this side.
            error: status
                .is_server_error()
                .then(|| status.as_u16().to_string().into()),
            attributes,
        });
    }

    /// The wait for an attempt is over.
    pub(super) fn begun(&self, sending: &Event, since: Timestamp, given: Instant) {
        self.waited(sending, sending.attempt, (since, given), None);
    }

    /// A message that ends without an attempt has waited for one until now.
    pub(super) fn finished(&self, event: &Event) {
        let What::Failed {
            cause, ambiguous, ..
        } = &event.what
        else {
            return;
        };
        if event.agent.is_none() && !ambiguous {
            // Since when it waited is known of the first attempt alone.
            let since = match event.attempt {
                0 => event.message_id.made_at(),
                _ => event.time,
            };
            let time = (since, clock::now());
            self.waited(event, event.attempt + 1, time, Some(cause.as_str()));
        }
    }

    fn waited(
        &self,
        event: &Event,
        attempt: u32,
        (since, until): (Timestamp, Instant),
        error: Option<&'static str>,
    ) {
        let Some(trace) = event.trace.filter(|trace| trace.is_sampled) else {
            return;
        };
        let message = event.message_id;
        // Of a message's acceptance only the millisecond is known. Its end is taken, so that
        // nothing begins before what it follows from.
        let begun = match since > message.made_at() {
            true => exact(since),
            false => exact(since) + Duration::from_millis(1),
        };
        let target = self.0.targets.show(&event.uri).to_string();
        let mut attributes = of_message(message, attempt);
        attributes.push(KeyValue::new("sipost.message.target", target));
        attributes.extend(agent(event.agent.as_deref()));
        self.tell(Span {
            trace: trace.under(Step::Queue(attempt).span_of(message)),
            parent: Some(Parent::Own(trace.span)),
            kind: SpanKind::Internal,
            name: "queue",
            begun,
            ended: self.at(until),
            error: error.map(Into::into),
            attributes,
        });
    }

    pub(super) fn attempted(&self, attempted: &Attempted<'_>) {
        let Some(trace) = attempted.trace.filter(|trace| trace.is_sampled) else {
            return;
        };
        let (message, attempt) = (attempted.message, attempted.attempt);
        let mut attributes = of_message(message, attempt);
        attributes.push(KeyValue::new("sip.request.method", "MESSAGE"));
        attributes.push(KeyValue::new("sip.call_id", crate::agent::call_id(message)));
        attributes.extend(agent(attempted.agent));
        let error = match attempted.code {
            Ok(code) => {
                let value = i64::from(code);
                attributes.push(KeyValue::new("sip.response.status_code", value));
                (code >= 300).then(|| code.to_string().into())
            }
            Err(word) => Some(word.into()),
        };
        let begun = attempted.given.unwrap_or(attempted.ended);
        self.tell(Span {
            trace: trace.under(Step::Attempt(attempt).span_of(message)),
            parent: Some(Parent::Own(Step::Queue(attempt).span_of(message))),
            kind: SpanKind::Client,
            name: "SIP MESSAGE",
            begun: self.at(begun),
            ended: self.at(attempted.ended),
            error,
            attributes,
        });
    }

    /// The trace as the receiver of a post is told of it: under the span of the post.
    pub(super) fn posting(&self, part_of: &PartOf) -> Trace {
        match part_of.trace.is_sampled {
            true => part_of.trace.under(new_span()),
            false => part_of.trace,
        }
    }

    pub(super) fn posted(&self, posted: &Posted<'_>) {
        let Some((part_of, trace)) = posted.part_of.filter(|(_, trace)| trace.is_sampled) else {
            return;
        };
        // What ended before any attempt has waited for the first.
        let step = match part_of.attempt {
            0 => Step::Queue(1),
            attempt => Step::Attempt(attempt),
        };
        let mut attributes = of_message(part_of.message, part_of.attempt);
        attributes.push(KeyValue::new("http.request.method", "POST"));
        attributes.push(KeyValue::new("sipost.event.id", posted.id.to_owned()));
        let host = posted.url.host_str().map(str::to_owned);
        attributes.extend(host.map(|host| KeyValue::new("server.address", host)));
        let port = posted.url.port_or_known_default().map(i64::from);
        attributes.extend(port.map(|port| KeyValue::new("server.port", port)));
        let error = match posted.answer {
            Answer::Answered { status, .. } => {
                let value = i64::from(*status);
                attributes.push(KeyValue::new("http.response.status_code", value));
                (!(200..300).contains(status)).then(|| status.to_string().into())
            }
            // The reason can name an address, which is nobody's business here.
            Answer::Silent(_) => Some("no answer".into()),
        };
        let (begun, ended) = self.ending_now(posted.took);
        self.tell(Span {
            trace,
            parent: Some(Parent::Own(step.span_of(part_of.message))),
            kind: SpanKind::Client,
            name: "POST webhook",
            begun,
            ended,
            error,
            attributes,
        });
    }

    /// When something began that took so long and ends now.
    fn ending_now(&self, took: Duration) -> (SystemTime, SystemTime) {
        let ended = self.0.clock.exact();
        (ended.checked_sub(took).unwrap_or(ended), ended)
    }

    /// The time on the wall at a moment that is over.
    ///
    /// Spans that follow from each other are told at different times, and must not seem to begin in
    /// another order. So both clocks are read until nothing came between.
    fn at(&self, moment: Instant) -> SystemTime {
        let read = || {
            let before = clock::now();
            let wall = self.0.clock.exact();
            (wall, before, clock::now().saturating_duration_since(before))
        };
        let mut best = read();
        for _ in 0..MAX_READS {
            if best.2 < EXACT {
                break;
            }
            let again = read();
            if again.2 < best.2 {
                best = again;
            }
        }
        let (wall, now, _) = best;
        let ago = now.saturating_duration_since(moment);
        wall.checked_sub(ago).unwrap_or(wall)
    }

    fn tell(&self, span: Span) {
        let data = span.into_data(&self.0.scope);
        if self.0.spans.try_send(data).is_err() {
            self.0.metrics.span_dropped();
        }
    }
}

/// What the span of a call is called; `None` for calls that take no message in.
fn name_of_call(method: &Method, route: Option<&str>) -> Option<&'static str> {
    match (method, route) {
        (&Method::POST, Some("/messages")) => Some("POST /messages"),
        (&Method::POST, Some("/messages/batch")) => Some("POST /messages/batch"),
        _ => None,
    }
}

fn new_span() -> SpanId {
    SpanId::new(rand::random())
}

fn of_message(message: MessageId, attempt: u32) -> Vec<KeyValue> {
    // The most that any span has.
    let mut attributes = Vec::with_capacity(8);
    attributes.push(KeyValue::new("sipost.message.id", message.to_string()));
    attributes.push(KeyValue::new("sipost.attempt", i64::from(attempt)));
    attributes
}

fn agent(agent: Option<&str>) -> Option<KeyValue> {
    agent.map(|agent| KeyValue::new("sipost.agent.id", Value::from(agent.to_owned())))
}

/// How close to each other two clocks are read, so that one stands for the other; and how often
/// that is tried, for a busy machine can come between each time.
const EXACT: Duration = Duration::from_micros(10);
const MAX_READS: usize = 8;

fn exact(time: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + time.since(Timestamp::EPOCH)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::dispatch::Observer as _;
    use crate::telemetry::Watch;

    #[tokio::test]
    async fn what_finds_no_room_is_dropped_and_counted() {
        // Nobody hands anything over, and nobody is at the other end.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
        let settings = Otlp {
            url: url.parse().unwrap(),
            headers: Vec::new(),
            authorities: Default::default(),
            ratio: 1.0,
            is_this_machine: true,
        };
        let metrics = Metrics::new();
        let (traces, exporter) = Traces::new(
            &settings,
            crate::agent::client_config(&[], None).unwrap(),
            "one".to_owned(),
            Targets::Plain,
            metrics.clone(),
            Clock::system(),
        )
        .unwrap();
        let watch = Watch {
            metrics: metrics.clone(),
            traces: Some(traces),
        };
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let attempted = Attempted {
            message: MessageId::new(uuid::Uuid::from_u128(1)),
            trace: Trace::parse(trace),
            attempt: 1,
            agent: Some("alice-1"),
            code: Ok(200),
            given: None,
            ended: clock::now(),
        };
        for _ in 0..exporter::QUEUE + 3 {
            watch.attempted(&attempted);
        }
        assert_eq!(metrics.spans_dropped(), 3);
        // What nobody keeps takes no room.
        let unsampled = attempted.trace.map(|trace| Trace {
            is_sampled: false,
            ..trace
        });
        watch.attempted(&Attempted {
            trace: unsampled,
            ..attempted
        });
        assert_eq!(metrics.spans_dropped(), 3);
        drop(exporter);
    }
}
