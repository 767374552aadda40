//! Traces: the steps of a message, as spans for an OpenTelemetry collector.
//!
//! ```text
//! POST /messages        the call; its parent is that of `traceparent`
//!  └ queue              from when the message could be sent until its attempt begins
//!     ├ POST webhook    each post of the `sending` of that attempt, with a `traceparent`
//!     └ SIP MESSAGE     the attempt, from when its agent is given it
//!        └ POST webhook each post of a later event of that attempt
//! ```
//!
//! No span begins before its parent. So the post of `sending` is no child of its attempt: it may
//! begin before the agent is given that.
//!
//! A message that is tried again has a `queue` and a `SIP MESSAGE` for each attempt. The trace is
//! stored with the message, and span ids are derived from its id ([`Step`]), so this module keeps
//! no state: a span is written once, when it has ended. Writing never waits: while the queue is
//! full, spans are dropped, and counted.
//!
//! Bodies, credentials, headers and the paths of webhooks are in no span; targets are shown as in
//! the log.

mod exporter;
mod span;
mod wall_clock;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::Method;
use opentelemetry::trace::SpanKind;
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::SpanData;
use rustls::ClientConfig;
use tokio::sync::mpsc;

use super::{Metrics, Otlp};
use crate::api::Answered;
use crate::clock;
use crate::clock::Clock;
use crate::dispatch::FinishedAttempt;
use crate::message::{
    Event, EventKind, MessageId, SpanId, Step, Targets, Timestamp, Trace, TraceId, What,
};
use crate::webhook::{PartOf, PostResult, Posted};
pub use exporter::{Exporter, TracesError};
use span::{Parent, Span};
use wall_clock::WallClock;

/// Writes spans of messages. Cheap to clone.
#[derive(Clone)]
pub struct Traces(Arc<TracesShared>);

struct TracesShared {
    spans: mpsc::Sender<SpanData>,
    metrics: Metrics,
    wall_clock: WallClock,
    targets: Targets,
    /// The share of the traces begun here that is exported.
    ratio: f64,
    scope: InstrumentationScope,
}

impl Traces {
    /// The writer of spans, and the exporter, which must be run. `instance` names this gateway
    /// among others.
    pub fn new(
        settings: &Otlp,
        tls: Arc<ClientConfig>,
        instance: String,
        targets: Targets,
        metrics: Metrics,
        clock: Clock,
    ) -> Result<(Self, Exporter), TracesError> {
        let (spans, waiting) = mpsc::channel(exporter::QUEUE);
        let exporter = Exporter::new(settings, tls, instance, waiting, metrics.clone())?;
        let scope = InstrumentationScope::builder("sipost").with_version(env!("CARGO_PKG_VERSION"));
        let shared = TracesShared {
            spans,
            metrics,
            wall_clock: WallClock::new(clock),
            targets,
            ratio: settings.ratio,
            scope: scope.build(),
        };
        Ok((Self(Arc::new(shared)), exporter))
    }

    /// The trace of the messages that a call posts; for other calls that of the client.
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
        self.write(Span {
            trace,
            parent: answered.client.map(|client| Parent::Remote(client.span)),
            kind: SpanKind::Server,
            name,
            begun,
            ended: begun + answered.took,
            // A mistake of the client is no error of this side.
            error: status
                .is_server_error()
                .then(|| status.as_u16().to_string().into()),
            attributes,
        });
    }

    /// The wait for an attempt is over.
    pub(super) fn begun(&self, sending: &Event, since: Timestamp, begun: Instant) {
        self.waited(sending, sending.attempt, (since, begun), None);
    }

    /// Writes the wait of a message that ended without an attempt.
    pub(super) fn finished(&self, event: &Event) {
        let What::Failed {
            cause, ambiguous, ..
        } = &event.what
        else {
            return;
        };
        if event.agent.is_none() && !ambiguous {
            // The begin of the wait is known for the first attempt only.
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
        // Of the acceptance only the millisecond is known. Its end is used, so that no span begins
        // before its parent.
        let begun = if since > message.made_at() {
            exact(since)
        } else {
            exact(since) + Duration::from_millis(1)
        };
        let target = self.0.targets.show(&event.uri).to_string();
        let mut attributes = of_message(message, attempt);
        attributes.push(KeyValue::new("sipost.message.target", target));
        attributes.extend(agent(event.agent.as_deref()));
        self.write(Span {
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

    pub(super) fn attempted(&self, attempted: &FinishedAttempt<'_>) {
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
        self.write(Span {
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

    /// The trace in the `traceparent` of a post: under the span of the post.
    pub(super) fn posting(&self, part_of: &PartOf) -> Trace {
        if part_of.trace.is_sampled {
            part_of.trace.under(new_span())
        } else {
            part_of.trace
        }
    }

    pub(super) fn posted(&self, posted: &Posted<'_>) {
        let Some((part_of, trace)) = posted.part_of.filter(|(_, trace)| trace.is_sampled) else {
            return;
        };
        let step = match (part_of.kind, part_of.attempt) {
            // A message that ended before any attempt has waited for the first.
            (_, 0) => Step::Queue(1),
            (EventKind::Sending, attempt) => Step::Queue(attempt),
            (_, attempt) => Step::Attempt(attempt),
        };
        let mut attributes = of_message(part_of.message, part_of.attempt);
        attributes.push(KeyValue::new("http.request.method", "POST"));
        attributes.push(KeyValue::new("sipost.event.id", posted.id.to_owned()));
        let host = posted.url.host_str().map(str::to_owned);
        attributes.extend(host.map(|host| KeyValue::new("server.address", host)));
        let port = posted.url.port_or_known_default().map(i64::from);
        attributes.extend(port.map(|port| KeyValue::new("server.port", port)));
        let error = match posted.answer {
            PostResult::Answered { status, .. } => {
                let value = i64::from(*status);
                attributes.push(KeyValue::new("http.response.status_code", value));
                (!(200..300).contains(status)).then(|| status.to_string().into())
            }
            // The reason may contain an address.
            PostResult::Silent(_) => Some("no answer".into()),
        };
        let (begun, ended) = self.ending_now(posted.took);
        self.write(Span {
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

    /// The begin and the end of a step that took so long and ends now.
    fn ending_now(&self, took: Duration) -> (SystemTime, SystemTime) {
        let ended = self.at(clock::now());
        (ended.checked_sub(took).unwrap_or(ended), ended)
    }

    /// The wall-clock time of a past moment.
    fn at(&self, moment: Instant) -> SystemTime {
        self.0.wall_clock.at(moment)
    }

    fn write(&self, span: Span) {
        let data = span.into_data(&self.0.scope);
        if self.0.spans.try_send(data).is_err() {
            self.0.metrics.span_dropped();
        }
    }
}

/// The name of the span of a call; `None` for calls that post no message.
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
    // As many as any span has.
    let mut attributes = Vec::with_capacity(8);
    attributes.push(KeyValue::new("sipost.message.id", message.to_string()));
    attributes.push(KeyValue::new("sipost.attempt", i64::from(attempt)));
    attributes
}

fn agent(agent: Option<&str>) -> Option<KeyValue> {
    agent.map(|agent| KeyValue::new("sipost.agent.id", Value::from(agent.to_owned())))
}

fn exact(time: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + time.since(Timestamp::EPOCH)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::dispatch::MessageObserver as _;
    use crate::telemetry::Watch;

    #[tokio::test]
    async fn spans_are_dropped_and_counted_while_the_queue_is_full() {
        // The exporter is not run, and the collector does not answer.
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
        let attempted = FinishedAttempt {
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
        // A trace that is not sampled takes no room.
        let unsampled = attempted.trace.map(|trace| Trace {
            is_sampled: false,
            ..trace
        });
        watch.attempted(&FinishedAttempt {
            trace: unsampled,
            ..attempted
        });
        assert_eq!(metrics.spans_dropped(), 3);
        drop(exporter);
    }
}
