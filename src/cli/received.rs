//! `sipost received`: the messages that came in, for people.

use std::process::ExitCode;

use super::client::{ConnectionArguments, GatewayClient};
use super::lines::EventLines;
use super::output::Printer;
use super::{CommandError, output};
use crate::clock::Clock;

/// Lists the messages that came in, newest first.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "The ids are those that `sipost send --in-reply-to` takes.")]
pub(super) struct ReceivedCommand {
    /// Only messages to this account.
    #[arg(long, value_name = "URI")]
    account: Option<String>,

    /// Only messages from this sender.
    #[arg(long, value_name = "URI")]
    from: Option<String>,

    /// How many at most.
    #[arg(long, value_name = "NUMBER", default_value_t = 50)]
    limit: usize,

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
    let found = client.list("/received", &query, arguments.limit).await?;
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
