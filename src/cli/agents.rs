//! `sipost agents`: the pool, for people.

use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use serde::Deserialize;
use serde_json::Value;

use super::client::{ConnectionArguments, GatewayClient};
use super::columns::{Cell, Column};
use super::output::Printer;
use super::style::DIM;
use super::table::Table;
use super::{CommandError, output};

/// Lists the agents: which are registered, and why the others are not.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 at least one agent is registered, 1 none is, 2 no gateway was reached."
)]
pub(super) struct Agents {
    /// Prints each agent as a JSON object on a line of its own.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connection: ConnectionArguments,
}

/// The members of an agent that are shown. Any may be missing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AgentLine {
    id: String,
    account: String,
    server: String,
    state: String,
    in_flight: u64,
    succeeded: u64,
    failed: u64,
    last_error: Option<String>,
}

pub(super) async fn run(arguments: &Agents) -> Result<ExitCode, CommandError> {
    let client = GatewayClient::new(&arguments.connection)?;
    let mut answer = client.get("/agents", &[]).await?;
    let found: Vec<Value> = answer["data"]
        .as_array_mut()
        .map(std::mem::take)
        .unwrap_or_default();
    let agents: Vec<AgentLine> = found
        .iter()
        .map(|agent| serde_json::from_value(agent.clone()).unwrap_or_default())
        .collect();
    if arguments.json {
        output::print_objects(&found)?;
    } else {
        print(&agents)?;
    }
    if agents.iter().any(|agent| agent.state == "registered") {
        Ok(ExitCode::SUCCESS)
    } else {
        Ok(ExitCode::FAILURE)
    }
}

fn print(agents: &[AgentLine]) -> Result<(), CommandError> {
    let table = Table::new(
        &[
            ("AGENT", Column::flexible(16, 24)),
            ("STATE", Column::fixed(11)),
            ("IN FLIGHT", Column::fixed(9).right()),
            ("SUCCEEDED", Column::fixed(9).right()),
            ("FAILED", Column::fixed(7).right()),
            ("ACCOUNT", Column::flexible(24, 40)),
            ("SERVER", Column::flexible(24, 40)),
            ("LAST ERROR", Column::flexible(40, 200)),
        ],
        2,
        output::width(),
    );
    let mut output = Printer::new();
    output.line(&table.head())?;
    for agent in agents {
        let style = match agent.state.as_str() {
            "registered" => AnsiColor::Green.on_default(),
            "backoff" => AnsiColor::Red.on_default(),
            _ => AnsiColor::Yellow.on_default(),
        };
        output.line(&table.line(&[
            Cell::new(&agent.id, Style::new()),
            Cell::new(&agent.state, style),
            Cell::new(agent.in_flight.to_string(), Style::new()),
            Cell::new(agent.succeeded.to_string(), Style::new()),
            Cell::new(agent.failed.to_string(), Style::new()),
            Cell::new(&agent.account, Style::new()),
            Cell::new(&agent.server, DIM),
            Cell::new(agent.last_error.as_deref().unwrap_or_default(), DIM),
        ]))?;
    }
    Ok(())
}
