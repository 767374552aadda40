//! One span, as OTLP has it.

use std::borrow::Cow;
use std::time::SystemTime;

use opentelemetry::trace::{SpanContext, SpanKind, Status, TraceFlags, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use crate::message::{SpanId, Trace};

pub(super) struct Span {
    /// Its trace, with its own span id.
    pub(super) trace: Trace,
    /// `None` for the first of its trace.
    pub(super) parent: Option<Parent>,
    pub(super) kind: SpanKind,
    pub(super) name: &'static str,
    pub(super) begun: SystemTime,
    pub(super) ended: SystemTime,
    /// The error, in a word or a code.
    pub(super) error: Option<Cow<'static, str>>,
    pub(super) attributes: Vec<KeyValue>,
}

/// The span that caused another.
#[derive(Clone, Copy, Debug)]
pub(super) enum Parent {
    /// A span of the gateway.
    Own(SpanId),
    /// A span of another program.
    Remote(SpanId),
}

impl Span {
    pub(super) fn into_data(mut self, scope: &InstrumentationScope) -> SpanData {
        let span_context = SpanContext::new(
            self.trace.id.get().into(),
            self.trace.span.get().into(),
            TraceFlags::SAMPLED,
            false,
            TraceState::NONE,
        );
        let (parent, parent_span_is_remote) = match self.parent {
            None => (0, false),
            Some(Parent::Own(span)) => (span.get(), false),
            Some(Parent::Remote(span)) => (span.get(), true),
        };
        let status = match self.error {
            None => Status::Unset,
            Some(error) => {
                let kind = KeyValue::new("error.type", error.clone().into_owned());
                self.attributes.push(kind);
                Status::Error { description: error }
            }
        };
        SpanData {
            span_context,
            parent_span_id: parent.into(),
            parent_span_is_remote,
            span_kind: self.kind,
            name: self.name.into(),
            start_time: self.begun.min(self.ended),
            end_time: self.ended,
            attributes: self.attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status,
            instrumentation_scope: scope.clone(),
        }
    }
}
