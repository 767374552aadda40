//! `sipost webhooks`: the standing webhooks, for people.

use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use jiff::Timestamp;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::client::{ConnectionArguments, GatewayClient};
use super::columns::{Cell, Column};
use super::lines::{DIM, printable};
use super::output::Printer;
use super::table::{Table, local_time};
use super::{CommandError, output};
use crate::message::EventKind;

/// Lists the webhooks, and adds and removes them.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sipost webhooks
  sipost webhooks add https://app.example/hook --type failed --description 'on call'
  sipost webhooks remove 0193a1b2-0000-7000-8000-000000000000")]
pub(super) struct WebhooksCommand {
    #[command(subcommand)]
    action: Option<Action>,

    /// Prints each webhook as a JSON object on a line of its own.
    #[arg(long, global = true)]
    json: bool,

    #[command(flatten)]
    connection: ConnectionArguments,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Action {
    /// Adds a webhook and prints its secret, which is shown this once.
    Add {
        /// Where events are posted to.
        to: String,
        /// Only events of this type; may be repeated.
        #[arg(long = "type", value_name = "TYPE", value_delimiter = ',', value_parser = EventKind::ALL.map(EventKind::as_str))]
        types: Vec<String>,
        /// Only events of this account; may be repeated.
        #[arg(long, value_name = "URI")]
        from: Vec<String>,
        /// What it is for.
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
    },
    /// Removes a webhook.
    Remove {
        /// The id of the webhook.
        id: String,
    },
}

/// The members of a webhook that are shown. Any may be missing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WebhookLine {
    id: String,
    url: String,
    types: Vec<String>,
    description: Option<String>,
    enabled: bool,
    disabled: Option<DisabledLine>,
    failing_since: Option<Timestamp>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct DisabledLine {
    detail: String,
}

pub(super) async fn run(arguments: &WebhooksCommand) -> Result<ExitCode, CommandError> {
    let client = GatewayClient::new(&arguments.connection)?;
    match &arguments.action {
        None => list(&client, arguments.json).await,
        Some(Action::Add {
            to,
            types,
            from,
            description,
        }) => {
            let mut webhook = Map::new();
            webhook.insert("url".to_owned(), json!(to));
            if !types.is_empty() {
                webhook.insert("types".to_owned(), json!(types));
            }
            if !from.is_empty() {
                webhook.insert("from".to_owned(), json!(from));
            }
            if let Some(description) = description {
                webhook.insert("description".to_owned(), json!(description));
            }
            let webhook = Value::Object(webhook);
            let added = client
                .call(Method::POST, "/webhooks", &[], Some(&webhook))
                .await?;
            let line = if arguments.json {
                added.to_string()
            } else {
                let word = |name: &str| printable(added[name].as_str().unwrap_or_default());
                format!("added {}; its secret is {}", word("id"), word("secret"))
            };
            Printer::new().line(&line)?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Action::Remove { id }) => {
            let path = format!("/webhooks/{}", super::segment(id));
            client.call(Method::DELETE, &path, &[], None).await?;
            Printer::new().line(&format!("removed {}", printable(id)))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn list(client: &GatewayClient, is_json: bool) -> Result<ExitCode, CommandError> {
    let mut answer = client.get("/webhooks", &[]).await?;
    let found: Vec<Value> = answer["data"]
        .as_array_mut()
        .map(std::mem::take)
        .unwrap_or_default();
    if is_json {
        return output::print_objects(&found);
    }
    let table = Table::new(
        &[
            ("STATE", Column::fixed(8)),
            ("URL", Column::flexible(30, 60)),
            ("ID", Column::fixed(36)),
            ("TYPES", Column::flexible(20, 60)),
            ("ABOUT", Column::flexible(20, 80)),
        ],
        2,
        output::width(),
    );
    let mut output = Printer::new();
    output.line(&table.head())?;
    for webhook in found {
        let webhook: WebhookLine = serde_json::from_value(webhook).unwrap_or_default();
        let (state, style) = webhook.state();
        output.line(&table.line(&[
            Cell::new(state, style),
            Cell::new(&webhook.url, Style::new()),
            Cell::new(&webhook.id, DIM),
            Cell::new(webhook.types.join(","), DIM),
            Cell::new(webhook.about(), DIM),
        ]))?;
    }
    Ok(ExitCode::SUCCESS)
}

impl WebhookLine {
    fn state(&self) -> (&'static str, Style) {
        if !self.enabled {
            ("disabled", AnsiColor::Red.on_default())
        } else if self.failing_since.is_some() {
            ("failing", AnsiColor::Yellow.on_default())
        } else {
            ("enabled", AnsiColor::Green.on_default())
        }
    }

    /// Why it is not well, and what it is for.
    fn about(&self) -> String {
        let disabled = self
            .disabled
            .as_ref()
            .map(|disabled| disabled.detail.clone());
        let failing = self
            .failing_since
            .map(|since| format!("fails since {}", local_time(since)));
        let parts = [disabled, failing, self.description.clone()];
        parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
    }
}
