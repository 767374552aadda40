//! `sipost tail`: the events as they come.

use std::process::ExitCode;

use jiff::tz::TimeZone;
use serde_json::Value;

use super::client::{ConnectionArguments, GatewayClient};
use super::follow::{EventFollower, NextEvent};
use super::lines::{EventLine, EventLines, GapBody};
use super::output::Printer;
use super::since::Since;
use super::sse::ServerSentEvent;
use super::{CommandError, client, found, output, since, targets};
use crate::clock::Clock;
use crate::message::EventKind;

const EXAMPLES: &str = "\
Examples:
  sipost tail
  sipost tail --type failed --since 10m
  sipost tail --json | jq 'select(.response.statusCode == 503)'

Ctrl-C ends it, with exit code 0. A lost connection is resumed without a gap.";

/// Follows the events of all messages.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TailCommand {
    /// Only events of this type; may be repeated.
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',', value_parser = EventKind::ALL.map(EventKind::as_str))]
    types: Vec<String>,

    /// Only events of this message.
    #[arg(long, value_name = "ID")]
    message_id: Option<String>,

    /// Only events of messages to this target.
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,

    /// Only events of messages from this account.
    #[arg(long, value_name = "URI")]
    from: Option<String>,

    /// Begins as long ago as this (a number alone is seconds), with the earliest event that is
    /// kept, or after the event of this id. Without it, with what comes next.
    #[arg(long, value_name = "10m|earliest|ID", value_parser = since::parse)]
    since: Option<Since>,

    /// Prints each event as a JSON object on a line of its own.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connection: ConnectionArguments,
}

pub(super) async fn run(tail: &TailCommand) -> Result<ExitCode, CommandError> {
    tokio::select! {
        ended = follow(tail) => ended,
        _ = tokio::signal::ctrl_c() => Ok(ExitCode::SUCCESS),
    }
}

async fn follow(tail: &TailCommand) -> Result<ExitCode, CommandError> {
    let client = GatewayClient::new(&tail.connection)?;
    if let Some(id) = &tail.message_id {
        // Nothing would ever come of a message that does not exist.
        found::find(&client, id).await?;
    }
    let now = super::wall_time(&Clock::system());
    let since = match &tail.since {
        Some(since) => since.find(&client, now).await?,
        None => None,
    };
    let path = "/events".to_owned();
    let mut follower = EventFollower::new(client.clone(), path, tail.query(), since);
    follower.begin().await?;
    if !tail.json {
        let url = client::shown(&tail.connection.url);
        output::print_note(&format!("following {url}; Ctrl-C ends it"));
    }
    let mut lines = EventLines::new(TimeZone::system(), now, output::width()).with_ids();
    let mut output = Printer::new();
    loop {
        match follower.next().await? {
            NextEvent::Event(event) => {
                let shown = if tail.json {
                    object(&event)
                } else {
                    line(&event, &mut lines, &client).await
                };
                if let Some(shown) = shown {
                    output.line(&shown)?;
                }
            }
            NextEvent::Comment(_) => {}
            NextEvent::Waiting(time, reason) => super::wait(time, &reason).await,
            NextEvent::Over => return Ok(ExitCode::SUCCESS),
        }
    }
}

impl TailCommand {
    fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = Vec::new();
        if !self.types.is_empty() {
            query.push(("type", self.types.join(",")));
        }
        for (name, value) in [
            ("messageId", &self.message_id),
            ("target", &self.target),
            ("from", &self.from),
        ] {
            if let Some(value) = value {
                query.push((name, value.clone()));
            }
        }
        query
    }
}

/// The event as one line of JSON. A gap says what it is, as events do.
fn object(event: &ServerSentEvent) -> Option<String> {
    let mut object: Value = serde_json::from_str(&event.data).ok()?;
    if event.name != "gap" && !event.data.contains('\n') {
        return Some(event.data.clone());
    }
    if let Some(members) = object.as_object_mut() {
        members
            .entry("type")
            .or_insert_with(|| Value::String(event.name.clone()));
    }
    Some(object.to_string())
}

/// The event as a line for people.
async fn line(
    event: &ServerSentEvent,
    lines: &mut EventLines,
    client: &GatewayClient,
) -> Option<String> {
    if event.name == "gap" {
        let gap: GapBody = serde_json::from_str(&event.data).ok()?;
        return Some(EventLines::gap(&gap));
    }
    let seen: EventLine = serde_json::from_str(&event.data).ok()?;
    targets::look_up(client, lines, &seen).await;
    Some(lines.event(&seen))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, data: &str) -> ServerSentEvent {
        ServerSentEvent {
            name: name.to_owned(),
            data: data.to_owned(),
        }
    }

    #[test]
    fn json_is_passed_on_as_it_came() {
        let data = r#"{"id":"1-2","type":"sending", "x":1}"#;
        assert_eq!(object(&event("sending", data)).as_deref(), Some(data));
    }

    #[test]
    fn a_gap_says_in_json_that_it_is_one() {
        let gap = object(&event("gap", r#"{"requested":"1-1","reason":"expired"}"#)).unwrap();
        let gap: Value = serde_json::from_str(&gap).unwrap();
        assert_eq!(
            (&gap["type"], &gap["reason"]),
            (&"gap".into(), &"expired".into())
        );
    }

    #[tokio::test]
    async fn what_is_no_event_is_left_out() {
        let connection = ConnectionArguments {
            url: client::parse_url("127.0.0.1:1").unwrap(),
            token: None,
            cacert: None,
        };
        let client = GatewayClient::new(&connection).unwrap();
        let mut lines = EventLines::new(TimeZone::UTC, jiff::Timestamp::UNIX_EPOCH, None);
        let hello = event("message", "hello");
        assert_eq!(object(&hello), None);
        assert_eq!(line(&hello, &mut lines, &client).await, None);
    }
}
