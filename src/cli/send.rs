//! `sipost send`: one message, followed to its end.

use std::io::Read as _;
use std::process::ExitCode;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::tz::TimeZone;
use serde_json::json;
use serde_json::{Map, Value};

use super::client::{ConnectionArguments, GatewayClient};
use super::follow::{EventFollower, NextEvent};
use super::lines::{EventLine, EventLines};
use super::output::Printer;
use super::{CommandError, client, output};
use crate::clock::Clock;
use crate::message::Priority;

const EXAMPLES: &str = "\
Examples:
  sipost send sip:bob@example.com 'Hello Bob!'
  sipost send bob 'Is it on?' --header 'X-Order: 42' --from sip:alice@example.com
  sipost send bob 'Lunch?' --until displayed
  sipost send bob 'Fire on the third floor' --priority emergency
  echo '{\"ring\":true}' | sipost send bob - --content-type application/json --json

Exit codes: 0 the message succeeded, 1 it failed, 2 it could not be handed in or followed. With --until,
0 means that the receipt came, and 1 that the message failed, was not delivered, or that its time is over.";

/// Sends one message and follows it to its end.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Send {
    /// Whom to send to: a user name, or a sip:, sips: or tel: URI.
    target: String,

    /// What to send; - reads it from standard input.
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

    /// How many seconds the message may take.
    #[arg(long, value_name = "SECONDS")]
    ttl: Option<u64>,

    /// Tries at an outcome that may pass.
    #[arg(long, value_name = "NUMBER")]
    attempts: Option<u64>,

    /// How urgent it is: a higher class goes before those that wait.
    #[arg(long, value_name = "CLASS", value_parser = Priority::ALL.map(Priority::as_str))]
    priority: Option<String>,

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
    #[arg(long, value_name = "RECEIPT", value_parser = ["delivered", "displayed"])]
    until: Option<String>,

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
    let client = GatewayClient::new(&send.connection)?;
    let accepted = client
        .post(&message, send.idempotency_key.as_deref())
        .await?;
    let id = accepted["id"].as_str().unwrap_or_default().to_owned();
    let address = client::shown(&client.at(&format!("/messages/{id}")));
    tokio::select! {
        ended = follow(send, client, &accepted, &id) => ended,
        _ = tokio::signal::ctrl_c() => {
            output::print_note(&format!("no longer followed; the message is at {address}"));
            Ok(ExitCode::from(130))
        }
    }
}

async fn follow(
    send: &Send,
    client: GatewayClient,
    accepted: &Value,
    id: &str,
) -> Result<ExitCode, CommandError> {
    let mut output = Printer::new();
    let mut lines = EventLines::new(TimeZone::system(), super::wall_time(&Clock::system()));
    if !send.json {
        let created = accepted["createdAt"].as_str();
        let created = created.and_then(|time| time.parse().ok());
        output.line(&lines.accepted(created, &send.target, id))?;
    }
    // From the first event: some may have come before the stream is open.
    let path = format!("/messages/{id}/events");
    let until = send.until.iter().map(|receipt| ("until", receipt.clone()));
    let mut follower = EventFollower::new(client, path, until.collect(), None);
    loop {
        let event = match follower.next().await? {
            NextEvent::Event(event) => event,
            NextEvent::Waiting(time, reason) => {
                super::wait(time, &reason).await;
                continue;
            }
            NextEvent::Over if send.until.is_some() => {
                output::print_note("the time of the message is over, and no receipt came");
                return Ok(ExitCode::FAILURE);
            }
            NextEvent::Over => return Err(CommandError::Trouble("its events are gone".to_owned())),
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
    }
}

impl Send {
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
        add("ttl", self.ttl.map(|v| json!(v)));
        add("inReplyTo", self.in_reply_to.as_ref().map(|v| json!(v)));
        add("receipts", self.until.as_ref().map(|v| json!([v])));
        add("priority", self.priority.as_ref().map(|v| json!(v)));
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
            CommandError::Trouble(format!("standard input cannot be read: {error}"))
        })?;
    Ok(bytes)
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("written KEY=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        send: Send,
    }

    fn message(arguments: &[&str], body: &[u8]) -> Value {
        let line = Line::try_parse_from([&["send"], arguments].concat()).unwrap();
        line.send.message(body)
    }

    #[test]
    fn only_what_was_given_is_sent() {
        assert_eq!(
            message(&["bob", "-5 degrees"], b"-5 degrees"),
            json!({"target": "bob", "body": "-5 degrees"})
        );
    }

    #[test]
    fn every_option_has_its_member() {
        let arguments = [
            "bob",
            "{}",
            "-H",
            "X-A: b",
            "--header",
            "X-C: d",
            "--content-type",
            "application/json",
            "--from",
            "alice",
            "--ttl",
            "60",
            "--attempts",
            "1",
            "--metadata",
            "order=4=2",
            "--in-reply-to",
            "0193",
            "--until",
            "displayed",
            "--priority",
            "emergency",
        ];
        assert_eq!(
            message(&arguments, b"{}"),
            json!({
                "target": "bob", "body": "{}", "contentType": "application/json",
                "from": "alice", "ttl": 60, "attempts": 1, "extraHeaders": ["X-A: b", "X-C: d"],
                "metadata": {"order": "4=2"}, "inReplyTo": "0193", "receipts": ["displayed"],
                "priority": "emergency",
            })
        );
    }

    #[test]
    fn bytes_that_are_no_text_go_as_base64() {
        assert_eq!(
            message(&["bob", "-"], b"\xff\x00"),
            json!({"target": "bob", "body": "/wA=", "bodyEncoding": "base64"})
        );
    }
}
