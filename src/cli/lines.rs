//! Events as lines that a person reads: columns, colours by outcome, the time here.
//!
//! ```text
//! 07:12:03.123  sending    #1   MESSAGE              sip:bob@example.com              alice-1
//! 07:12:03.131  succeeded  #1   200 OK               sip:bob@example.com        8 ms  alice-1
//! ```
//!
//! How they fit the terminal is in [`super::columns`].
//!
//! Control characters of peers and clients never reach the terminal.

use std::fmt::Write as _;

use anstyle::Style;
use hashlink::LruCache;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Deserialize;

use super::body::Body;
use super::columns::{Cell, Column, Columns};
use super::style::{DIM, YELLOW, printable, style_of};

/// The members of an event that lines show. Any may be missing, so that a newer gateway can be
/// followed.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct EventLine {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    time: Option<Timestamp>,
    message_id: String,
    attempt: u32,
    agent: Option<String>,
    cause: Option<String>,
    ambiguous: bool,
    request: Option<RequestLine>,
    response: Option<ResponseLine>,
    next_attempt_at: Option<Timestamp>,
    /// Of a receipt.
    recipient: Option<String>,
    status: Option<String>,
    reason: Option<String>,
    /// Of a message that came in.
    from: Option<SenderLine>,
    content_type: Option<String>,
    body: Option<String>,
    body_encoding: Option<String>,
    erased: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct SenderLine {
    uri: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct RequestLine {
    method: String,
    uri: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ResponseLine {
    status_code: u16,
    reason_phrase: String,
}

/// A `gap` event.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct GapBody {
    requested: Option<String>,
    resumed_from: Option<String>,
    reason: String,
}

/// The cause of a message whose time to live was over before it was answered.
const EXPIRES: &str = "Expires";

impl EventLine {
    /// The id of the event.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Whether the message has ended, and if so whether well.
    pub(super) fn end(&self) -> Option<bool> {
        match self.kind.as_str() {
            "succeeded" => Some(true),
            "failed" => Some(false),
            _ => None,
        }
    }

    /// The same where this receipt is waited for: success alone is no end then.
    pub(super) fn end_until(&self, receipt: &str) -> Option<bool> {
        match self.kind.as_str() {
            kind if kind == receipt => Some(true),
            "failed" | "undelivered" => Some(false),
            _ => None,
        }
    }

    /// `200 OK`, `Busy: 486 Busy Here`, `Connection Error`.
    pub(super) fn outcome(&self) -> String {
        if self.erased {
            return "erased".to_owned();
        }
        if let Some(body) = self.body_line() {
            return body;
        }
        let undelivered = self.reason.as_ref().or(self.status.as_ref());
        let mut text = match (&self.response, &self.request) {
            (Some(response), _) => response.after(self.cause.as_deref()),
            (None, Some(request)) => request.method.clone(),
            (None, None) if self.cause.as_deref() == Some(EXPIRES) => {
                format!("{EXPIRES}: its ttl is over")
            }
            (None, None) => self
                .cause
                .as_ref()
                .or(undelivered)
                .cloned()
                .unwrap_or_default(),
        };
        if self.ambiguous {
            text.push_str(", ambiguous");
        }
        text
    }

    /// Whom the event is about, where it says so: the sender of what came in, and of a receipt.
    fn peer(&self) -> Option<&str> {
        let sender = self.from.as_ref().map(|from| from.uri.as_str());
        sender.or(self.recipient.as_deref())
    }

    /// The first line of a body that is text, else its type and size.
    fn body_line(&self) -> Option<String> {
        self.body()?.first_line()
    }

    /// The body of a message that came in.
    fn body(&self) -> Option<Body<'_>> {
        Some(Body {
            text: self.body.as_ref()?,
            encoding: self.body_encoding.as_deref().unwrap_or_default(),
            content_type: self.content_type.as_deref().unwrap_or_default(),
        })
    }
}

const COLUMNS: [Column; 8] = [
    // The time here, the type and the number of the attempt.
    Column::fixed(12),
    Column::fixed(11),
    Column::fixed(3),
    // The outcome: the cause before the phrase, because the end of it may be cut.
    Column::flexible(28, 40),
    // The target, or the sender of what came in.
    Column::flexible(24, 40),
    Column::fixed(9).right(),
    // The agent, and when the next attempt begins.
    Column::fixed(31),
    // The id of the message.
    Column::fixed(36),
];
/// The columns that are on the first line of every event.
const FIRST: usize = 4;
/// What follows below stands under the type.
const INDENT: usize = 14;

/// How many attempts are remembered, for the target and the duration when they end.
const REMEMBERED: usize = 10_000;

/// Formats events as lines; remembers what later events of a message do not repeat.
#[derive(Debug)]
pub(super) struct EventLines {
    zone: TimeZone,
    columns: Columns,
    /// Whether every line names its message.
    has_ids: bool,
    /// The day of the line before.
    day: Date,
    begun: LruCache<String, Begun>,
}

/// The latest attempt of a message.
#[derive(Debug)]
struct Begun {
    target: String,
    attempt: u32,
    time: Option<Timestamp>,
}

impl EventLines {
    /// For a terminal of this width, or for none.
    pub(super) fn new(zone: TimeZone, now: Timestamp, width: Option<usize>) -> Self {
        let day = zone.to_datetime(now).date();
        Self {
            zone,
            columns: Columns::new(&COLUMNS, FIRST, INDENT, width),
            has_ids: false,
            day,
            begun: LruCache::new(REMEMBERED),
        }
    }

    /// Each line names its message.
    pub(super) fn with_ids(self) -> Self {
        Self {
            has_ids: true,
            ..self
        }
    }

    /// The line of an accepted message.
    pub(super) fn accepted(&mut self, time: Option<Timestamp>, target: &str, id: &str) -> String {
        self.remember(id, target, 0, time);
        let shown = EventCells {
            kind: "accepted",
            style: DIM,
            attempt: 0,
            outcome: "",
            target,
            duration: "",
            rest: "",
            id,
        };
        let day = self.day_line(time);
        format!("{day}{}", self.line(time, &shown))
    }

    /// The id of the message whose target the line of this event would lack.
    pub(super) fn lacks_target<'e>(&self, event: &'e EventLine) -> Option<&'e str> {
        let is_known = event.peer().is_some() || self.begun.peek(&event.message_id).is_some();
        let has_target = matches!(event.kind.as_str(), "deferred" | "succeeded" | "failed");
        (has_target && !is_known).then_some(&event.message_id)
    }

    /// The target of a message whose attempt was not seen to begin.
    pub(super) fn set_target(&mut self, id: &str, target: &str) {
        self.remember(id, target, 0, None);
    }

    /// The line of an event, after a line with the date when it differs from the one before.
    pub(super) fn event(&mut self, event: &EventLine) -> String {
        if let (Some(request), None) = (&event.request, &event.from) {
            self.remember(&event.message_id, &request.uri, event.attempt, event.time);
        }
        let begun = self.begun.peek(&event.message_id);
        let target = event.peer().map(str::to_owned);
        let target = target.or_else(|| begun.map(|begun| begun.target.clone()));
        let target = target.unwrap_or_default();
        let duration = begun
            .filter(|begun| event.request.is_none() && begun.attempt == event.attempt.max(1))
            .and_then(|begun| Some(event.time?.duration_since(begun.time?)))
            .map(|duration| milliseconds(duration.as_millis()))
            .unwrap_or_default();
        let (outcome, rest) = (event.outcome(), self.rest(event));
        let shown = EventCells {
            kind: &event.kind,
            style: style_of(&event.kind),
            attempt: event.attempt,
            outcome: &outcome,
            target: &target,
            duration: &duration,
            rest: &rest,
            id: if self.has_ids { &event.message_id } else { "" },
        };
        let day = self.day_line(event.time);
        let line = format!("{day}{}", self.line(event.time, &shown));
        if event.end().is_some() {
            self.begun.remove(&event.message_id);
        }
        line
    }

    /// The line of a gap.
    pub(super) fn gap(gap: &GapBody) -> String {
        let mut text = String::from("events are missing");
        if let Some(requested) = &gap.requested {
            _ = write!(text, " after {requested}");
        }
        if let Some(resumed) = &gap.resumed_from {
            _ = write!(text, ", going on from {resumed}");
        }
        if !gap.reason.is_empty() {
            _ = write!(text, ": {}", gap.reason);
        }
        format!("{YELLOW}── {} ──{YELLOW:#}", printable(&text))
    }

    /// `alice-1`, `alice-1, again at 07:12:04.000`.
    fn rest(&self, event: &EventLine) -> String {
        let next = event.next_attempt_at.map(|next| self.clock_time(next));
        match (&event.agent, next) {
            (Some(agent), Some(next)) => format!("{agent}, again at {next}"),
            (Some(agent), None) => agent.clone(),
            (None, Some(next)) => format!("again at {next}"),
            (None, None) => String::new(),
        }
    }

    fn line(&self, time: Option<Timestamp>, shown: &EventCells<'_>) -> String {
        let clock = time.map_or_else(String::new, |time| self.clock_time(time));
        let attempt = match shown.attempt {
            0 => String::new(),
            attempt => format!("#{attempt}"),
        };
        self.columns.line(&[
            Cell::new(clock, DIM),
            Cell::new(shown.kind, shown.style),
            Cell::new(attempt, Style::new()),
            Cell::new(shown.outcome, shown.style),
            Cell::new(shown.target, Style::new()),
            Cell::new(shown.duration, DIM),
            Cell::new(shown.rest, DIM),
            Cell::new(shown.id, DIM),
        ])
    }

    fn clock_time(&self, time: Timestamp) -> String {
        let local = self.zone.to_datetime(time);
        local.strftime("%H:%M:%S.%3f").to_string()
    }

    fn day_line(&mut self, time: Option<Timestamp>) -> String {
        let Some(time) = time else {
            return String::new();
        };
        let day = self.zone.to_datetime(time).date();
        if std::mem::replace(&mut self.day, day) == day {
            String::new()
        } else {
            format!("{DIM}── {day} ──{DIM:#}\n")
        }
    }

    fn remember(&mut self, id: &str, target: &str, attempt: u32, time: Option<Timestamp>) {
        let begun = Begun {
            target: target.to_owned(),
            attempt,
            time,
        };
        self.begun.insert(id.to_owned(), begun);
    }
}

/// What stands in a line after the time.
struct EventCells<'a> {
    kind: &'a str,
    style: Style,
    attempt: u32,
    outcome: &'a str,
    target: &'a str,
    duration: &'a str,
    rest: &'a str,
    id: &'a str,
}

impl ResponseLine {
    /// The cause, the code and the phrase, without what would be said twice.
    fn after(&self, cause: Option<&str>) -> String {
        let (code, phrase) = (self.status_code, &self.reason_phrase);
        match cause {
            // This cause repeats the code.
            None | Some("SIP Failure Code") => format!("{code} {phrase}"),
            Some(cause) if cause == phrase => format!("{cause}: {code}"),
            Some(cause) => format!("{cause}: {code} {phrase}"),
        }
    }
}

fn milliseconds(millis: i128) -> String {
    match millis.max(0) {
        millis @ 0..10_000 => format!("{millis} ms"),
        millis => format!("{}.{} s", millis / 1000, millis % 1000 / 100),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lines() -> EventLines {
        let now = "2026-11-22T05:00:00Z".parse().unwrap();
        EventLines::new(TimeZone::fixed(jiff::tz::offset(1)), now, None)
    }

    /// On a terminal of this width, with ids.
    fn lines_on(width: usize) -> EventLines {
        let now = "2026-11-22T05:00:00Z".parse().unwrap();
        EventLines::new(TimeZone::fixed(jiff::tz::offset(1)), now, Some(width)).with_ids()
    }

    fn seen(event: serde_json::Value) -> EventLine {
        serde_json::from_value(event).unwrap()
    }

    fn sending() -> EventLine {
        seen(json!({
            "id": "1-0000000000000041", "type": "sending", "time": "2026-11-22T05:00:00.123Z",
            "messageId": "m1", "attempt": 1, "agent": "alice-1", "originator": "local",
            "request": {"method": "MESSAGE", "uri": "sip:bob@example.com", "callId": "c", "cseq": 1},
        }))
    }

    fn ended(kind: &str, code: u16, reason: &str, cause: Option<&str>) -> EventLine {
        seen(json!({
            "type": kind, "time": "2026-11-22T05:00:00.131Z", "messageId": "m1", "attempt": 1,
            "agent": "alice-1", "cause": cause,
            "response": {"statusCode": code, "reasonPhrase": reason, "headers": {}},
        }))
    }

    fn plain(line: &str) -> String {
        anstream::adapter::strip_str(line).to_string()
    }

    #[test]
    fn the_columns_of_all_events_stand_under_each_other() {
        let mut lines = lines();
        let shown = [
            lines.accepted("2026-11-22T05:00:00.120Z".parse().ok(), "bob", "m1"),
            lines.event(&sending()),
            lines.event(&ended("succeeded", 200, "OK", None)),
        ];
        let shown: Vec<String> = shown.iter().map(|line| plain(line)).collect();
        assert_eq!(
            shown.join("\n"),
            "\
06:00:00.120  accepted                                        bob                                                                   m1
06:00:00.123  sending      #1   MESSAGE                       sip:bob@example.com                  alice-1
06:00:00.131  succeeded    #1   200 OK                        sip:bob@example.com            8 ms  alice-1"
        );
    }

    #[test]
    fn every_line_fits_the_terminal_and_no_id_is_cut() {
        let id = "0193a1b2-0000-7000-8000-00000000abcd";
        for (width, rows) in [(60, 3), (100, 2), (130, 2), (170, 1)] {
            let mut lines = lines_on(width);
            let mut begun = sending();
            begun.message_id = id.to_owned();
            lines.event(&begun);
            let mut failed = ended(
                "failed",
                403,
                "Forbidden by policy",
                Some("Authentication Error"),
            );
            failed.message_id = id.to_owned();
            let shown = plain(&lines.event(&failed));
            assert_eq!(shown.lines().count(), rows, "{width}:\n{shown}");
            for line in shown.lines() {
                assert!(line.chars().count() <= width, "{width}:\n{shown}");
            }
            for words in [
                "Authentication Error: 403",
                "sip:bob@example.com",
                "8 ms",
                "alice-1",
                id,
            ] {
                assert!(shown.contains(words), "{width}: no {words} in\n{shown}");
            }
        }
    }

    #[test]
    fn an_outcome_has_its_colour() {
        let mut lines = lines();
        lines.event(&sending());
        let line = lines.event(&ended("failed", 486, "Busy Here", Some("Busy")));
        assert!(line.contains("\u{1b}[31mfailed     \u{1b}[0m"), "{line:?}");
        assert!(plain(&line).contains("  Busy: 486 Busy Here  "), "{line:?}");
        let line = lines.event(&ended("succeeded", 200, "OK", None));
        assert!(line.contains("\u{1b}[32msucceeded  \u{1b}[0m"), "{line:?}");
        let line = lines.event(&sending());
        assert!(line.contains("\u{1b}[36msending    \u{1b}[0m"), "{line:?}");
    }

    #[test]
    fn a_receipt_says_how_long_it_took_and_why_a_message_did_not_arrive() {
        let mut lines = lines();
        lines.event(&sending());
        let receipt = |kind: &str, members: serde_json::Value| {
            let mut event = json!({
                "type": kind, "time": "2026-11-22T05:00:00.130Z", "messageId": "m1",
                "recipient": "sip:bob@example.com",
            });
            event
                .as_object_mut()
                .unwrap()
                .extend(members.as_object().unwrap().clone());
            seen(event)
        };
        let delivered = lines.event(&receipt("delivered", json!({})));
        assert!(
            delivered.contains("\u{1b}[32mdelivered  \u{1b}"),
            "{delivered:?}"
        );
        let delivered = plain(&delivered);
        assert!(
            delivered.ends_with("  sip:bob@example.com            7 ms"),
            "{delivered:?}"
        );
        let why = json!({"status": "failed", "reason": "415 Unsupported"});
        let undelivered = receipt("undelivered", why);
        let shown = plain(&lines.event(&undelivered));
        assert!(
            shown.contains("  undelivered       415 Unsupported  "),
            "{shown:?}"
        );
        assert_eq!(undelivered.end_until("displayed"), Some(false));
        assert_eq!(undelivered.end(), None);
    }

    #[test]
    fn a_message_that_came_in_shows_its_first_line_and_its_sender() {
        let mut lines = lines();
        let mut event = json!({
            "type": "received", "time": "2026-11-22T05:00:00.130Z", "messageId": "m2",
            "account": "sip:alice@example.com", "agent": "alice-1",
            "from": {"uri": "sip:bob@example.com"}, "contentType": "image/png",
            "body": "Yes,\u{1b}at noon.\nBob", "bodyEncoding": "utf-8",
            "request": {"method": "MESSAGE", "uri": "sip:x@y.invalid", "callId": "c", "cseq": 1},
        });
        let shown = plain(&lines.event(&seen(event.clone())));
        assert!(shown.contains("  “Yes,\u{fffd}at noon.”  "), "{shown:?}");
        assert!(shown.contains("  sip:bob@example.com  "), "{shown:?}");
        event["bodyEncoding"] = "base64".into();
        let shown = plain(&lines.event(&seen(event)));
        assert!(shown.contains("  image/png  "), "{shown:?}");
        assert!(lines.begun.is_empty());
        let tombstone = json!({
            "type": "received", "time": "2026-11-22T05:00:00.130Z", "messageId": "m2",
            "account": "sip:alice@example.com", "erased": true,
        });
        let shown = plain(&lines.event(&seen(tombstone)));
        assert!(shown.contains("  received          erased"), "{shown:?}");
    }

    #[test]
    fn a_deferred_attempt_says_when_the_next_begins() {
        let event = seen(json!({
            "type": "deferred", "time": "2026-11-22T05:00:00.131Z", "messageId": "m1",
            "attempt": 1, "cause": "SIP Failure Code", "nextAttemptAt": "2026-11-22T05:00:01.500Z",
            "response": {"statusCode": 503, "reasonPhrase": "Wait"}, "agent": "alice-1",
        }));
        let line = plain(&lines().event(&event));
        assert!(line.contains("  503 Wait   "), "{line:?}");
        assert!(
            line.ends_with("  alice-1, again at 06:00:01.500"),
            "{line:?}"
        );
        let line = lines().event(&event);
        assert!(line.contains("\u{1b}[33mdeferred "), "{line:?}");
    }

    #[test]
    fn without_a_response_the_cause_stands_alone() {
        let event = seen(json!({
            "type": "failed", "time": "2026-11-22T05:00:00.131Z", "messageId": "m1", "attempt": 0,
            "agent": null, "originator": "system", "cause": "Connection Error", "response": null,
            "ambiguous": true,
        }));
        assert_eq!(
            plain(&lines().event(&event)),
            "06:00:00.131  failed            Connection Error, ambiguous"
        );
    }

    #[test]
    fn a_message_that_expired_says_what_is_over() {
        let event = seen(json!({
            "type": "failed", "time": "2026-11-22T05:00:00.131Z", "messageId": "m1", "attempt": 0,
            "originator": "system", "cause": "Expires", "response": null,
        }));
        assert_eq!(event.outcome(), "Expires: its ttl is over");
    }

    #[test]
    fn what_a_peer_wrote_cannot_steer_the_terminal_or_break_the_columns() {
        let reason = format!("\u{1b}]0;x\u{7}\r\n{}", "long ".repeat(20));
        let line = lines_on(60).event(&ended("failed", 480, &reason, None));
        let shown = plain(&line);
        let steers = |c: char| c.is_control() && c != '\n';
        assert!(!shown.chars().any(steers), "{shown:?}");
        assert!(
            shown.contains("480 �]0;x���long long long …\n"),
            "{shown:?}"
        );
    }

    #[test]
    fn another_day_is_told_once() {
        let mut lines = lines();
        let mut event = sending();
        event.time = "2026-11-20T05:00:00Z".parse().ok();
        assert!(plain(&lines.event(&event)).starts_with("── 2026-11-20 ──\n06:00:00.000  sending"));
        assert!(plain(&lines.event(&event)).starts_with("06:00:00.000  sending"));
    }

    #[test]
    fn a_gap_says_what_is_missing_and_why() {
        let gap = json!({"requested": "1-5", "resumedFrom": "1-9", "reason": "expired"});
        assert_eq!(
            plain(&EventLines::gap(&serde_json::from_value(gap).unwrap())),
            "── events are missing after 1-5, going on from 1-9: expired ──"
        );
    }

    #[test]
    fn long_durations_are_told_in_seconds() {
        assert_eq!(milliseconds(9_999), "9999 ms");
        assert_eq!(milliseconds(32_040), "32.0 s");
        assert_eq!(milliseconds(-5), "0 ms");
    }

    #[test]
    fn only_so_many_attempts_are_remembered() {
        let mut lines = lines();
        for number in 0..REMEMBERED + 10 {
            lines.remember(&number.to_string(), "sip:a@b", 1, None);
        }
        assert_eq!(lines.begun.len(), REMEMBERED);
    }
}
