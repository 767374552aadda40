//! The webhooks as a table.

use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::Webhooks;
use crate::cli::columns::{Cell, Column};
use crate::cli::output::Printer;
use crate::cli::style::DIM;
use crate::cli::table::{Table, local_time};
use crate::cli::{CommandError, output};

/// Webhooks of a gateway, at most.
const MOST: usize = 1_000;

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
    recovery: Option<RecoveryLine>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct DisabledLine {
    detail: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct RecoveryLine {
    since: Option<Timestamp>,
}

pub(super) async fn print(webhooks: &Webhooks) -> Result<ExitCode, CommandError> {
    let found: Vec<Value> = webhooks.client.list("/webhooks", &[], MOST).await?;
    if webhooks.is_json {
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
    if found.is_empty() {
        output::print_note("there is no webhook");
    }
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

    /// Why nothing is posted to it, since when it fails, what is sent again, and what it is for.
    fn about(&self) -> String {
        let disabled = self
            .disabled
            .as_ref()
            .map(|disabled| disabled.detail.clone());
        let failing = self
            .failing_since
            .map(|since| format!("fails since {}", local_time(since)));
        let recovery = self.recovery.as_ref().and_then(|recovery| recovery.since);
        let recovery = recovery.map(|since| format!("sends again from {}", local_time(since)));
        let parts = [disabled, failing, recovery, self.description.clone()];
        parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
    }
}
