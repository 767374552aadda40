//! The figures in the text form of OpenMetrics 1.0, which Prometheus reads.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::EncodeGaugeValue;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::MetricEncoder;
use prometheus_client::encoding::NoLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use prometheus_client::registry::Unit;

use super::Figures;
use super::histogram::Histogram;
use super::process::Process;
use crate::api::Readings;
use crate::message::AgentState;
use crate::message::Cause;

/// Writes everything down.
pub(super) fn write(figures: &Arc<Figures>, readings: Readings) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Page {
        figures: figures.clone(),
        readings,
        process: Process::read(),
    }));
    let mut text = String::with_capacity(16 * 1024);
    // Writing to memory cannot fail, and nothing here refuses to be written.
    let _ = encode(&mut text, &registry);
    text
}

/// What one answer shows.
#[derive(Debug)]
struct Page {
    figures: Arc<Figures>,
    readings: Readings,
    process: Process,
}

impl Collector for Page {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut lines = Lines(encoder);
        self.messages(&mut lines)?;
        self.sip(&mut lines)?;
        self.http(&mut lines)?;
        self.webhooks(&mut lines)?;
        self.store(&mut lines)?;
        self.traces(&mut lines)?;
        self.process(&mut lines)
    }
}

impl Page {
    fn messages(&self, lines: &mut Lines<'_>) -> fmt::Result {
        let figures = &self.figures;
        let help = "Messages taken in";
        lines.counter("sipost_messages_accepted", help, &figures.accepted)?;
        let finished = lines.family(
            "sipost_messages_finished",
            "Messages that ended, by how they did and why",
            MetricType::Counter,
        );
        let mut finished = finished?;
        let succeeded = [("result", "succeeded"), ("cause", "")];
        put_counter(&mut finished, &succeeded, &figures.succeeded)?;
        for (cause, counter) in Cause::ALL.iter().zip(&figures.failed) {
            let labels = [("result", "failed"), ("cause", cause.as_str())];
            put_counter(&mut finished, &labels, counter)?;
        }
        if let Some(standing) = self.readings.standing {
            let help = "Messages whose sendAt has not come";
            lines.gauge("sipost_messages_scheduled", help, standing.scheduled)?;
            let help = "Messages that wait for their lane, an agent or their next attempt";
            lines.gauge("sipost_messages_queued", help, standing.queued)?;
            let help = "Messages with an attempt under way";
            lines.gauge("sipost_messages_sending", help, standing.sending)?;
            let age = standing
                .oldest
                .map_or(0.0, |since| self.readings.now.since(since).as_secs_f64());
            let help = "How long the oldest queued message has waited";
            lines.seconds("sipost_message_oldest_queued", help, age)?;
        }
        let help = "From the acceptance of a message to its end";
        lines.times("sipost_message", help, &figures.message_seconds)
    }

    fn sip(&self, lines: &mut Lines<'_>) -> fmt::Result {
        let figures = &self.figures;
        let help = "Final responses to MESSAGE requests, by code";
        let mut responses = lines.family("sipost_sip_responses", help, MetricType::Counter)?;
        for (code, counter) in (100_u32..).zip(&figures.responses) {
            if counter.load(Ordering::Relaxed) > 0 {
                put_counter(&mut responses, &[("code", code)], counter)?;
            }
        }
        let help = "Attempts that ended without a final response";
        lines.counter("sipost_sip_unanswered", help, &figures.unanswered)?;
        let help = "From handing a request to its agent to the end of the attempt";
        let times = &figures.transaction_seconds;
        lines.times("sipost_sip_transaction", help, times)?;
        let help = "Agents, by what they are doing";
        let mut agents = lines.family("sipost_agents", help, MetricType::Gauge)?;
        for state in AgentState::ALL {
            let in_state = self.readings.agents.iter().filter(|other| **other == state);
            let labels = [("state", state.as_str())];
            agents
                .encode_family(&labels)?
                .encode_gauge(&in_state.count())?;
        }
        let help = "Times an agent had to open its connection again";
        lines.counter("sipost_reconnects", help, &figures.reconnects)
    }

    fn http(&self, lines: &mut Lines<'_>) -> fmt::Result {
        let requests = &self.figures.requests;
        let help = "Event streams that are open";
        lines.gauge("sipost_sse_connections", help, self.readings.streams)?;
        let help = "HTTP requests that were answered, by route, method and status";
        let mut counts = lines.family("sipost_http_requests", help, MetricType::Counter)?;
        for (route, method, status, count) in requests.counts() {
            let status = status.to_string();
            let labels = [("route", route), ("method", method), ("status", &status)];
            let mut encoder = counts.encode_family(&labels)?;
            encoder.encode_counter::<NoLabelSet, u64, f64>(&count, None)?;
        }
        let help = "From the head of a request to the head of its answer, by route and method";
        let mut times = lines.family_of_times("sipost_http_request", help)?;
        for (route, method, seconds) in requests.times() {
            let labels = [("route", route), ("method", method)];
            seconds.encode(times.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn webhooks(&self, lines: &mut Lines<'_>) -> fmt::Result {
        let figures = &self.figures;
        let help = "Posts to webhooks, by what came back: 2xx, something else, nothing";
        let mut attempts = lines.family("sipost_webhook_attempts", help, MetricType::Counter)?;
        for (outcome, counter) in [
            ("delivered", &figures.webhooks_delivered),
            ("rejected", &figures.webhooks_rejected),
            ("unanswered", &figures.webhooks_unanswered),
        ] {
            let labels = [("outcome", outcome)];
            let count = counter.load(Ordering::Relaxed);
            let mut encoder = attempts.encode_family(&labels)?;
            encoder.encode_counter::<NoLabelSet, u64, f64>(&count, None)?;
        }
        let help = "Deliveries to webhooks that have not ended, counted every ten seconds";
        let pending = figures.webhooks_pending.load(Ordering::Relaxed);
        lines.gauge("sipost_webhook_pending", help, pending)
    }

    fn store(&self, lines: &mut Lines<'_>) -> fmt::Result {
        let figures = &self.figures;
        let help = "How long commits took, their sync included";
        lines.times("sipost_store_commit", help, &figures.commit_seconds)?;
        let help = "Rows in a commit";
        let sizes = lines.family("sipost_store_batch_size", help, MetricType::Histogram)?;
        figures.batch_size.encode(sizes)?;
        let help = "Commits that failed; what they had is kept and tried again";
        lines.counter("sipost_store_commits_failed", help, &figures.commits_failed)
    }

    fn traces(&self, lines: &mut Lines<'_>) -> fmt::Result {
        let figures = &self.figures;
        let help = "Spans of messages: taken by the collector, not taken, dropped before";
        let mut spans = lines.family("sipost_spans", help, MetricType::Counter)?;
        for (outcome, counter) in [
            ("exported", &figures.spans_exported),
            ("failed", &figures.spans_failed),
            ("dropped", &figures.spans_dropped),
        ] {
            put_counter(&mut spans, &[("outcome", outcome)], counter)?;
        }
        Ok(())
    }

    fn process(&self, lines: &mut Lines<'_>) -> fmt::Result {
        if let Some(bytes) = self.process.resident_bytes {
            let help = "Memory in use";
            lines.bytes("process_resident_memory", help, bytes)?;
        }
        if let Some(seconds) = self.process.cpu_seconds {
            let help = "Time spent on processors";
            lines
                .0
                .encode_descriptor(
                    "process_cpu",
                    help,
                    Some(&Unit::Seconds),
                    MetricType::Counter,
                )?
                .encode_counter::<NoLabelSet, f64, f64>(&seconds, None)?;
        }
        if let Some(count) = self.process.open_fds {
            lines.gauge("process_open_fds", "Open files and sockets", count)?;
        }
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        let help = "What this program is";
        let mut info = lines.family("sipost_build", help, MetricType::Info)?;
        info.encode_info(&version)
    }
}

fn put_counter(
    encoder: &mut MetricEncoder<'_>,
    labels: &impl EncodeLabelSet,
    counter: &AtomicU64,
) -> fmt::Result {
    let count = counter.load(Ordering::Relaxed);
    let mut encoder = encoder.encode_family(labels)?;
    encoder.encode_counter::<NoLabelSet, u64, f64>(&count, None)
}

/// Writes one figure after the other. Units go to the end of the names; `_total` is added to
/// counters.
struct Lines<'a>(DescriptorEncoder<'a>);

impl Lines<'_> {
    fn family<'s>(
        &'s mut self,
        name: &'s str,
        help: &str,
        kind: MetricType,
    ) -> Result<MetricEncoder<'s>, fmt::Error> {
        self.0.encode_descriptor(name, help, None, kind)
    }

    fn family_of_times<'s>(
        &'s mut self,
        name: &'s str,
        help: &str,
    ) -> Result<MetricEncoder<'s>, fmt::Error> {
        let unit = Some(&Unit::Seconds);
        self.0
            .encode_descriptor(name, help, unit, MetricType::Histogram)
    }

    fn times(&mut self, name: &str, help: &str, times: &Histogram) -> fmt::Result {
        times.encode(self.family_of_times(name, help)?)
    }

    fn counter(&mut self, name: &str, help: &str, counter: &AtomicU64) -> fmt::Result {
        let count = counter.load(Ordering::Relaxed);
        let mut encoder = self.family(name, help, MetricType::Counter)?;
        encoder.encode_counter::<NoLabelSet, u64, f64>(&count, None)
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl EncodeGaugeValue) -> fmt::Result {
        let mut encoder = self.family(name, help, MetricType::Gauge)?;
        encoder.encode_gauge(&value)
    }

    fn seconds(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        self.unit(name, help, &Unit::Seconds, value)
    }

    fn bytes(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.unit(name, help, &Unit::Bytes, value)
    }

    fn unit(
        &mut self,
        name: &str,
        help: &str,
        unit: &Unit,
        value: impl EncodeGaugeValue,
    ) -> fmt::Result {
        let mut encoder = self
            .0
            .encode_descriptor(name, help, Some(unit), MetricType::Gauge)?;
        encoder.encode_gauge(&value)
    }
}
