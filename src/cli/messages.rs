//! `sipost get`, `list` and `cancel`: messages as the API shows them, for people.

use std::process::ExitCode;

use anstyle::Style;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use reqwest::{Method, StatusCode};
use serde::Deserialize;

use super::body::{Body, members};
use super::client::{ConnectionArguments, GatewayClient};
use super::columns::{Cell, Column};
use super::found::Found;
use super::limit::ListLimit;
use super::lines::{EventLine, EventLines};
use super::output::Printer;
use super::style::{DIM, printable, style_of};
use super::table::{TIME_WIDTH, Table, local_time};
use super::waiting::WaitingLine;
use super::{CommandError, found, output, received};
use crate::clock::Clock;

/// Shows a message: its status, what it waits for, and its events. Shows one that came in, too.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 shown, 2 there is no such message, or no gateway.")]
pub(super) struct Get {
    /// The id of the message, or of one that came in.
    id: String,

    /// Prints the message as the gateway answers it, in JSON.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connection: ConnectionArguments,
}

/// Lists messages, newest first.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sipost list --status queued
  sipost list --target bob --limit 1000 --json | jq -r .id")]
pub(super) struct List {
    /// Only messages of this status.
    #[arg(long, value_parser = ["scheduled", "queued", "sending", "succeeded", "failed"])]
    status: Option<String>,

    /// Only messages to this target.
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,

    /// Only messages from this account.
    #[arg(long, value_name = "URI")]
    from: Option<String>,

    #[command(flatten)]
    limit: ListLimit,

    /// Prints each message as a JSON object on a line of its own.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connection: ConnectionArguments,
}

/// Cancels a message that is not being sent yet.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 canceled, 1 it is being sent or has ended, 2 there is no such \
                  message, or no gateway."
)]
pub(super) struct Cancel {
    /// The id of the message.
    id: String,

    /// Prints the message as the gateway answers it, in JSON.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connection: ConnectionArguments,
}

/// The members of a message that are shown. Any may be missing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct MessageLine {
    id: String,
    status: String,
    target: String,
    from: Option<String>,
    body: String,
    content_type: String,
    body_encoding: String,
    attempt: u32,
    attempts: u32,
    created_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    completed_at: Option<Timestamp>,
    next_attempt_at: Option<Timestamp>,
    waiting_for: Option<WaitingLine>,
    result: Option<EventLine>,
}

pub(super) async fn get(arguments: &Get) -> Result<ExitCode, CommandError> {
    let client = GatewayClient::new(&arguments.connection)?;
    let found = found::find(&client, &arguments.id).await?;
    let mut output = Printer::new();
    let found = match found {
        Found::Sent(found) | Found::Received(found) if arguments.json => {
            output.line(&found.to_string())?;
            return Ok(ExitCode::SUCCESS);
        }
        Found::Received(received) => {
            output.line(received::details(&received).trim_end_matches('\n'))?;
            return Ok(ExitCode::SUCCESS);
        }
        Found::Sent(found) => found,
    };
    let path = path_of(&arguments.id);
    let message: MessageLine = serde_json::from_value(found).unwrap_or_default();
    let reason = match &message.waiting_for {
        Some(waiting) => waiting.reason(&client).await,
        None => None,
    };
    output.line(&message.details(reason.as_deref()))?;
    let events = client.get(&format!("{path}/events"), &[]).await?;
    let now = super::wall_time(&Clock::system());
    let mut lines = EventLines::new(TimeZone::system(), now, output::width());
    // An event of a message that no attempt was made at has no target.
    lines.set_target(&message.id, &message.target);
    for event in events["data"].as_array().into_iter().flatten() {
        if let Ok(event) = serde_json::from_value(event.clone()) {
            output.line(&lines.event(&event))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn list(arguments: &List) -> Result<ExitCode, CommandError> {
    let client = GatewayClient::new(&arguments.connection)?;
    let mut query = Vec::new();
    for (name, value) in [
        ("status", &arguments.status),
        ("target", &arguments.target),
        ("from", &arguments.from),
    ] {
        query.extend(value.clone().map(|value| (name, value)));
    }
    let found = client
        .list("/messages", &query, arguments.limit.get())
        .await?;
    if arguments.json {
        return output::print_objects(&found);
    }
    let mut output = Printer::new();
    let table = Table::new(
        &[
            ("CREATED", Column::fixed(TIME_WIDTH)),
            ("STATUS", Column::fixed(9)),
            ("OUTCOME", Column::flexible(28, 40)),
            ("TARGET", Column::flexible(24, 40)),
            ("ID", Column::fixed(36)),
        ],
        2,
        output::width(),
    );
    output.line(&table.head())?;
    if found.is_empty() {
        output::print_note("no message is listed");
    }
    for message in found {
        let message: MessageLine = serde_json::from_value(message).unwrap_or_default();
        output.line(&table.line(&message.cells()))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn cancel(arguments: &Cancel) -> Result<ExitCode, CommandError> {
    let client = GatewayClient::new(&arguments.connection)?;
    let path = path_of(&arguments.id);
    let canceled = match client.call(Method::DELETE, &path, &[], None).await {
        Ok(canceled) => canceled,
        Err(trouble) if trouble.status == Some(StatusCode::CONFLICT) => {
            output::print_error(&trouble.to_string());
            return Ok(ExitCode::FAILURE);
        }
        Err(trouble) => return Err(trouble.into()),
    };
    let line = if arguments.json {
        canceled.to_string()
    } else {
        format!("canceled {}", printable(&arguments.id))
    };
    Printer::new().line(&line)?;
    Ok(ExitCode::SUCCESS)
}

fn path_of(id: &str) -> String {
    format!("/messages/{}", super::segment(id))
}

impl MessageLine {
    fn outcome(&self) -> String {
        match (&self.result, &self.waiting_for) {
            (Some(result), _) => result.outcome(),
            (None, Some(waiting)) => format!("waiting for {}", waiting.words()),
            (None, None) => String::new(),
        }
    }

    fn cells(&self) -> [Cell; 5] {
        let style = style_of(&self.status);
        let created = self.created_at.map(local_time).unwrap_or_default();
        [
            Cell::new(created, DIM),
            Cell::new(&self.status, style),
            Cell::new(self.outcome(), style),
            Cell::new(&self.target, Style::new()),
            Cell::new(&self.id, DIM),
        ]
    }

    /// Its members, one on each line.
    fn details(&self, reason: Option<&str>) -> String {
        let mut rows = Vec::new();
        let mut add = |name: &'static str, value: String| rows.push((name, value));
        let time = |time: Option<Timestamp>| time.map(local_time).unwrap_or_default();
        add("id", self.id.clone());
        add("status", self.status.clone());
        add("target", self.target.clone());
        add("from", self.from.clone().unwrap_or_default());
        add("body", self.body());
        add("created", time(self.created_at));
        add("expires", time(self.expires_at));
        add("completed", time(self.completed_at));
        add("attempt", self.attempt());
        add("next attempt", time(self.next_attempt_at));
        if let Some(waiting) = &self.waiting_for {
            add("waiting for", waiting.words());
            add("because", reason.unwrap_or_default().to_owned());
        }
        if let Some(result) = &self.result {
            add("outcome", result.outcome());
        }
        members(&rows)
    }

    /// The end of the gateway uses up no attempt, so there can be more than were asked for.
    fn attempt(&self) -> String {
        let (attempt, attempts) = (self.attempt, self.attempts);
        let more = if attempt > attempts {
            ", because one that the gateway's end interrupts is made again"
        } else {
            ""
        };
        format!("{attempt} of {attempts}{more}")
    }

    fn body(&self) -> String {
        let body = Body {
            text: &self.body,
            encoding: &self.body_encoding,
            content_type: &self.content_type,
        };
        body.described()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_never_reaches_another_path() {
        assert_eq!(path_of("0193-a"), "/messages/0193-a");
        assert_eq!(path_of("../agents?x#y"), "/messages/___agents_x_y");
    }

    #[test]
    fn more_attempts_than_were_asked_for_are_explained() {
        let attempt = |attempt| {
            let message = MessageLine {
                attempt,
                attempts: 3,
                ..MessageLine::default()
            };
            message.attempt()
        };
        assert_eq!(attempt(3), "3 of 3");
        assert!(attempt(4).starts_with("4 of 3, because "));
    }

    #[test]
    fn one_character_is_one_character() {
        let body = |body: &str| {
            let message = MessageLine {
                body: body.to_owned(),
                content_type: "text/plain".to_owned(),
                ..MessageLine::default()
            };
            message.body()
        };
        assert_eq!(body("x"), "“x” (text/plain, 1 character)");
        assert_eq!(body("xy"), "“xy” (text/plain, 2 characters)");
    }
}
