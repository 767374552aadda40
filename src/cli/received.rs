//! `sipost received`: the messages that came in, for people.

use std::process::ExitCode;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::body::{Body, members};
use super::client::{ConnectionArguments, GatewayClient};
use super::limit::ListLimit;
use super::lines::EventLines;
use super::output::Printer;
use super::table::local_time;
use super::{CommandError, output};
use crate::clock::Clock;

/// Lists the messages that came in, newest first.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "The ids are those that `sipost get` and `sipost send --in-reply-to` take.")]
pub(super) struct ReceivedCommand {
    /// Only messages to this account.
    #[arg(long, value_name = "URI")]
    account: Option<String>,

    /// Only messages from this sender.
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

pub(super) async fn run(arguments: &ReceivedCommand) -> Result<ExitCode, CommandError> {
    let client = GatewayClient::new(&arguments.connection)?;
    let mut query = Vec::new();
    for (name, value) in [("account", &arguments.account), ("from", &arguments.from)] {
        query.extend(value.clone().map(|value| (name, value)));
    }
    let found = client
        .list("/received", &query, arguments.limit.get())
        .await?;
    if arguments.json {
        return output::print_objects(&found);
    }
    let (zone, now) = (
        jiff::tz::TimeZone::system(),
        super::wall_time(&Clock::system()),
    );
    let mut lines = EventLines::new(zone, now, output::width()).with_ids();
    let mut output = Printer::new();
    if found.is_empty() {
        output::print_note("no message has come in");
    }
    for received in found {
        if let Ok(event) = serde_json::from_value(received) {
            output.line(&lines.event(&event))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The members of a message that came in. Any may be missing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ReceivedMessage {
    message_id: String,
    account: String,
    agent: String,
    time: Option<Timestamp>,
    from: Sender,
    to: String,
    content_type: String,
    body: String,
    body_encoding: String,
    in_reply_to: Option<String>,
    expired: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Sender {
    uri: String,
    display_name: Option<String>,
}

/// The members of a message that came in, one on each line.
pub(super) fn details(received: &Value) -> String {
    let found = ReceivedMessage::deserialize(received).unwrap_or_default();
    let body = Body {
        text: &found.body,
        encoding: &found.body_encoding,
        content_type: &found.content_type,
    };
    let from = match &found.from.display_name {
        Some(name) => format!("{name} <{}>", found.from.uri),
        None => found.from.uri.clone(),
    };
    let expired = if found.expired {
        "yes: a server kept it on its way"
    } else {
        ""
    };
    members(&[
        ("id", found.message_id),
        ("status", "received".to_owned()),
        ("from", from),
        ("to", found.to),
        ("account", found.account),
        ("body", body.described()),
        ("received", found.time.map(local_time).unwrap_or_default()),
        ("agent", found.agent),
        ("in reply to", found.in_reply_to.unwrap_or_default()),
        ("expired", expired.to_owned()),
    ])
}
