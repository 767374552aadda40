//! `sipost send`: one message, followed to its end.

use std::cell::Cell;
use std::io::Read as _;
use std::process::ExitCode;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;
use serde_json::{Map, Value};

use super::client::{ConnectionArguments, GatewayClient};
use super::follow::{EventFollower, NextEvent};
use super::lines::{EventLine, EventLines};
use super::output::Printer;
use super::style::printable;
use super::table::local_time;
use super::waiting::comment_words;
use super::{CommandError, output};
use crate::clock::Clock;
use crate::message::{Priority, without_os_error};

const EXAMPLES: &str = "\
Examples:
  sipost send sip:bob@example.com 'Hello Bob!'
  sipost send bob 'Is it on?' --header 'X-Order: 42' --from sip:alice@example.com
  sipost send bob 'Lunch?' --until displayed
  sipost send bob 'Fire on the third floor' --priority emergency
  sipost send bob 'Good morning' --send-at 2026-12-24T07:00:00Z --no-wait
  echo '{\"ring\":true}' | sipost send bob - --content-type application/json --json

Exit codes: 0 the message succeeded, 1 it failed, 2 it could not be handed in or followed, \
130 Ctrl-C ended the command, and the message goes on. \
With --until, 0 means that the receipt came, and 1 that the message failed, was not delivered, or \
that its time is over. With --no-wait, 0 means that the message is on disk.

A message that ends with the cause `Expires` was not answered within its --ttl.

Which answers of a SIP server are tried again, up to --attempts, on another agent where there is \
one: 429, 500, 502, 503 and 504. So is a connection that was lost before the request was written; \
after that, and when no answer comes, --on-unknown decides. Every other code from 300 on fails at \
once: 480, 486 and 404 mean what they say.";

/// Sends one message and follows it to its end.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Send {
    /// The recipient: a user name, or a sip:, sips: or tel: URI.
    target: String,

    /// The text; - reads it from standard input.
    #[arg(allow_hyphen_values = true)]
    body: String,

    /// A header of the SIP request; may be repeated.
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    headers: Vec<String>,

    /// The media type of the body.
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,

    /// The account to send as.
    #[arg(long, value_name = "URI")]
    from: Option<String>,

    /// How long the message may take: 30s, 10m, 1h, or a number of seconds.
    #[arg(long, value_name = "DURATION", value_parser = super::parse_duration)]
    ttl: Option<Duration>,

    /// When it is sent, in RFC 3339, or after which time: 10m.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    send_at: Option<Timestamp>,

    /// Tries at an outcome that may pass; 1 is none after the first.
    #[arg(long, value_name = "NUMBER")]
    attempts: Option<u64>,

    /// How urgent it is: a higher class goes before those that wait.
    #[arg(long, value_name = "CLASS", value_parser = Priority::ALL.map(Priority::as_str))]
    priority: Option<String>,

    /// What follows when it is unknown whether the message arrived: `resend` it (at least once), or
    /// `fail` (at most once).
    #[arg(long, value_name = "WHAT", value_parser = ["resend", "fail"])]
    on_unknown: Option<String>,

    /// A URL that the events of this message are posted to.
    #[arg(long, value_name = "URL")]
    webhook: Option<String>,

    /// Asks for these receipts, without waiting for them.
    #[arg(
        long,
        value_name = "RECEIPT",
        value_delimiter = ',',
        value_parser = ["delivered", "displayed"]
    )]
    receipts: Vec<String>,

    /// How BODY is written: `base64` for bytes. What comes from standard input and is no text is
    /// sent as base64 anyway.
    #[arg(long, value_name = "ENCODING", value_parser = ["utf-8", "base64"])]
    body_encoding: Option<String>,

    /// A pair that comes back in every event; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_pair)]
    metadata: Vec<(String, String)>,

    /// Makes it safe to send the same message again.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,

    /// The id of the received message that this one answers.
    #[arg(long, value_name = "ID")]
    in_reply_to: Option<String>,

    /// Asks for this receipt, and follows the message until it is there: `delivered` to a device,
    /// or `displayed` to a person.
    #[arg(
        long,
        value_name = "RECEIPT",
        value_parser = ["delivered", "displayed"],
        conflicts_with = "no_wait"
    )]
    until: Option<String>,

    /// Ends as soon as the message is on disk.
    #[arg(long)]
    no_wait: bool,

    /// Prints each event as a JSON object on a line of its own.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connection: ConnectionArguments,
}

/// The most that is read from standard input; the gateway's own limit is far below.
const MAX_INPUT: u64 = 64 << 20;

pub(super) async fn run(send: &Send) -> Result<ExitCode, CommandError> {
    let message = send.message(&read_body(&send.body)?);
    if let Some(note) = send.at_once(super::wall_time(&Clock::system())) {
        output::print_note(&note);
    }
    let client = GatewayClient::new(&send.connection)?;
    let accepted = client
        .post(&message, send.idempotency_key.as_deref())
        .await?;
    let id = accepted["id"].as_str().unwrap_or_default().to_owned();
    if send.no_wait {
        return end_at_once(send, &accepted, &id);
    }
    let is_sent = Cell::new(false);
    tokio::select! {
        ended = follow(send, client, &accepted, &id, &is_sent) => ended,
        _ = tokio::signal::ctrl_c() => {
            output::print_note(&send.left_behind(&printable(&id), is_sent.get()));
            Ok(ExitCode::from(130))
        }
    }
}

async fn follow(
    send: &Send,
    client: GatewayClient,
    accepted: &Value,
    id: &str,
    is_sent: &Cell<bool>,
) -> Result<ExitCode, CommandError> {
    let mut output = Printer::new();
    let mut lines = lines();
    if !send.json {
        let time = time_of(accepted, "createdAt");
        output.line(&lines.accepted(time, &send.target, id))?;
    }
    let mut last_comment = String::new();
    // From the first event: some may have come before the stream is open.
    let path = format!("/messages/{id}/events");
    let until = send.until.iter().map(|receipt| ("until", receipt.clone()));
    let mut follower = EventFollower::new(client, path, until.collect(), None);
    loop {
        let event = match follower.next().await? {
            NextEvent::Event(event) => event,
            NextEvent::Comment(comment) => {
                // A heartbeat says again what has not changed.
                if comment != last_comment {
                    say_waiting(&comment);
                    last_comment = comment;
                }
                continue;
            }
            NextEvent::Waiting(time, reason) => {
                super::wait(time, &reason).await;
                continue;
            }
            NextEvent::Over => return send.over(is_sent.get()),
        };
        let Ok(seen) = serde_json::from_str::<EventLine>(&event.data) else {
            continue;
        };
        if send.json {
            output.line(&event.data)?;
        } else {
            output.line(&lines.event(&seen))?;
        }
        let end = match &send.until {
            Some(receipt) => seen.end_until(receipt),
            None => seen.end(),
        };
        match end {
            Some(true) => return Ok(ExitCode::SUCCESS),
            Some(false) => return Ok(ExitCode::FAILURE),
            None => {}
        }
        // Only a receipt is waited for after that.
        if let (Some(receipt), Some(true)) = (&send.until, seen.end()) {
            is_sent.set(true);
            output::print_note(&waits_for(receipt, time_of(accepted, "expiresAt")));
        }
    }
}

/// Prints what a message waits for, where the comment says that.
fn say_waiting(comment: &str) {
    if let Some(words) = comment_words(comment) {
        output::print_note(&printable(&words));
    }
}

/// What a message that was sent is still followed for.
fn waits_for(receipt: &str, until: Option<Timestamp>) -> String {
    let until = until.map(local_time);
    let until = until.map(|time| format!(" until {time}"));
    format!(
        "the message is sent; waiting for the receipt `{receipt}`{}",
        until.unwrap_or_default()
    )
}

/// Prints the message as it was accepted.
fn end_at_once(send: &Send, accepted: &Value, id: &str) -> Result<ExitCode, CommandError> {
    let line = if send.json {
        accepted.to_string()
    } else {
        lines().accepted(time_of(accepted, "createdAt"), &send.target, id)
    };
    Printer::new().line(&line)?;
    Ok(ExitCode::SUCCESS)
}

fn lines() -> EventLines {
    let now = super::wall_time(&Clock::system());
    EventLines::new(TimeZone::system(), now, output::width())
}

fn time_of(accepted: &Value, member: &str) -> Option<Timestamp> {
    accepted[member].as_str()?.parse().ok()
}

impl Send {
    /// What is said of a time that is over: the gateway sends such a message at once.
    fn at_once(&self, now: Timestamp) -> Option<String> {
        let at = self.send_at.filter(|at| *at < now)?;
        let at = local_time(at);
        Some(format!("{at} is in the past: the message is sent at once"))
    }

    /// What becomes of a message that is no longer followed.
    fn left_behind(&self, id: &str, is_sent: bool) -> String {
        match &self.until {
            Some(receipt) if is_sent => format!(
                "no longer followed; the message is sent, and `sipost get {id}` shows its receipt \
                 `{receipt}` when it has come"
            ),
            Some(_) | None => format!(
                "no longer followed; the message goes on: `sipost get {id}` shows it, `sipost \
                 cancel {id}` cancels it while it waits"
            ),
        }
    }

    /// The stream has ended, and what was waited for was not in it.
    fn over(&self, is_sent: bool) -> Result<ExitCode, CommandError> {
        let Some(receipt) = &self.until else {
            return Err(CommandError::Trouble("its events are gone".to_owned()));
        };
        let sent = if is_sent {
            "the message is sent, but "
        } else {
            ""
        };
        output::print_note(&format!(
            "{sent}its time is over, and the receipt `{receipt}` has not come"
        ));
        Ok(ExitCode::FAILURE)
    }

    fn message(&self, body: &[u8]) -> Value {
        let mut message = Map::new();
        message.insert("target".to_owned(), json!(self.target));
        match std::str::from_utf8(body) {
            Ok(text) => drop(message.insert("body".to_owned(), json!(text))),
            Err(_) => {
                message.insert("body".to_owned(), json!(BASE64_STANDARD.encode(body)));
                message.insert("bodyEncoding".to_owned(), json!("base64"));
            }
        }
        let mut add = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                message.insert(name.to_owned(), value);
            }
        };
        add("contentType", self.content_type.as_ref().map(|v| json!(v)));
        add("from", self.from.as_ref().map(|v| json!(v)));
        // A part of a second is a second.
        let seconds = |ttl: Duration| ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
        add("ttl", self.ttl.map(|ttl| json!(seconds(ttl))));
        add("sendAt", self.send_at.map(|at| json!(at.to_string())));
        add("onUnknown", self.on_unknown.as_ref().map(|v| json!(v)));
        add("webhook", self.webhook.as_ref().map(|v| json!(v)));
        add(
            "bodyEncoding",
            self.body_encoding.as_ref().map(|v| json!(v)),
        );
        add("inReplyTo", self.in_reply_to.as_ref().map(|v| json!(v)));
        add("priority", self.priority.as_ref().map(|v| json!(v)));
        let mut receipts: Vec<&String> = self.receipts.iter().chain(&self.until).collect();
        receipts.sort();
        receipts.dedup();
        add("receipts", (!receipts.is_empty()).then(|| json!(receipts)));
        add("attempts", self.attempts.map(|v| json!(v)));
        let headers = (!self.headers.is_empty()).then(|| json!(self.headers));
        add("extraHeaders", headers);
        let pairs = self.metadata.iter();
        let pairs: Map<String, Value> = pairs.map(|(k, v)| (k.clone(), json!(v))).collect();
        add("metadata", (!pairs.is_empty()).then(|| json!(pairs)));
        Value::Object(message)
    }
}

fn read_body(body: &str) -> Result<Vec<u8>, CommandError> {
    if body != "-" {
        return Ok(body.as_bytes().to_vec());
    }
    let mut bytes = Vec::new();
    std::io::stdin()
        .take(MAX_INPUT)
        .read_to_end(&mut bytes)
        .map_err(|error| {
            let error = without_os_error(error);
            CommandError::Trouble(format!("standard input cannot be read: {error}"))
        })?;
    Ok(bytes)
}

/// A time in RFC 3339, or as long from now as a duration says.
fn parse_time(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let accepted = "a time such as 2026-12-24T18:00:00Z, or a duration such as 10m";
    let after = super::parse_duration(text).map_err(|_| accepted.to_owned())?;
    super::wall_time(&Clock::system())
        .checked_add(after)
        .map_err(|_| accepted.to_owned())
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("written KEY=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests;
