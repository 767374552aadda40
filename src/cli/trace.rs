//! `sipost trace`: the SIP messages of a message, as a diagram.

use std::process::ExitCode;

use super::CommandError;
use super::client::{ConnectionArguments, GatewayClient};
use super::found::is_missing;
use super::output::Printer;

/// Shows the SIP messages that were exchanged for a message, or for one that came in.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct TraceCommand {
    #[command(flatten)]
    connection: ConnectionArguments,
    /// Prints JSON, with the whole of each SIP message.
    #[arg(long)]
    json: bool,
    /// The id of the message, or of one that came in.
    #[arg(value_name = "ID")]
    id: String,
}

pub(super) async fn run(command: &TraceCommand) -> Result<ExitCode, CommandError> {
    let client = GatewayClient::new(&command.connection)?;
    let accept = if command.json {
        "application/json"
    } else {
        "text/plain"
    };
    let ask = async |list| client.text(&[list, &command.id, "sip"], accept).await;
    let text = match ask("messages").await {
        // One that came in has a trace, too.
        Err(missing) if is_missing(&missing) => match ask("received").await {
            Err(other) if is_missing(&other) => Err(missing),
            received => received,
        },
        text => text,
    }?;
    Printer::new().line(text.trim_end_matches('\n'))?;
    Ok(ExitCode::SUCCESS)
}
