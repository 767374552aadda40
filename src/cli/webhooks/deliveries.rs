//! `sipost webhooks deliveries`: what is and was posted to a webhook.

use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::Webhooks;
use crate::cli::columns::{Cell, Column};
use crate::cli::limit::ListLimit;
use crate::cli::output::Printer;
use crate::cli::style::{DIM, printable};
use crate::cli::table::{TIME_WIDTH, Table, local_time};
use crate::cli::{CommandError, output};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Deliveries {
    /// The id of the webhook.
    id: String,

    /// Only deliveries of this status: `pending` ones wait for their first or next attempt, and
    /// `failed` ones have had their last.
    #[arg(long, value_parser = ["pending", "delivered", "failed"])]
    status: Option<String>,

    #[command(flatten)]
    limit: ListLimit,
}

/// The members of a delivery that are shown. Any may be missing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DeliveryLine {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    message_id: String,
    status: String,
    created_at: Option<Timestamp>,
    next_attempt_at: Option<Timestamp>,
    attempts: Vec<Value>,
}

pub(super) async fn print(
    webhooks: &Webhooks,
    asked: &Deliveries,
) -> Result<ExitCode, CommandError> {
    let status = asked.status.clone().map(|status| ("status", status));
    let query: Vec<_> = status.into_iter().collect();
    let path = super::path(&asked.id, "/deliveries");
    let found = webhooks
        .client
        .list(&path, &query, asked.limit.get())
        .await?;
    if webhooks.is_json {
        return output::print_objects(&found);
    }
    let table = Table::new(
        &[
            ("CREATED", Column::fixed(TIME_WIDTH)),
            ("STATUS", Column::fixed(9)),
            ("TYPE", Column::fixed(11)),
            ("LAST ANSWER", Column::flexible(28, 60)),
            ("EVENT", Column::fixed(27)),
            ("MESSAGE", Column::fixed(36)),
            ("NEXT ATTEMPT", Column::fixed(TIME_WIDTH)),
        ],
        3,
        output::width(),
    );
    let mut output = Printer::new();
    output.line(&table.head())?;
    if found.is_empty() {
        output::print_note("no delivery is listed");
    }
    for delivery in found {
        let delivery: DeliveryLine = serde_json::from_value(delivery).unwrap_or_default();
        output.line(&table.line(&delivery.cells()))?;
    }
    Ok(ExitCode::SUCCESS)
}

impl DeliveryLine {
    fn cells(&self) -> [Cell; 7] {
        let style = match self.status.as_str() {
            "delivered" => AnsiColor::Green.on_default(),
            "failed" => AnsiColor::Red.on_default(),
            _ => AnsiColor::Yellow.on_default(),
        };
        let time = |time: Option<Timestamp>| time.map(local_time).unwrap_or_default();
        let last = self.attempts.last().map(answer).unwrap_or_default();
        [
            Cell::new(time(self.created_at), DIM),
            Cell::new(&self.status, style),
            Cell::new(&self.kind, Style::new()),
            Cell::new(last, style),
            Cell::new(&self.id, DIM),
            Cell::new(&self.message_id, DIM),
            Cell::new(time(self.next_attempt_at), DIM),
        ]
    }
}

/// What came back of a post: `204 in 12 ms`, `500 in 3 ms: no room`, `no answer after 3 ms: …`.
pub(super) fn answer(attempt: &Value) -> String {
    let time = attempt["durationMs"].as_u64().unwrap_or_default();
    let (mut text, more) = match attempt["status"].as_u64() {
        Some(status) => (format!("{status} in {time} ms"), &attempt["answer"]),
        None => (format!("no answer after {time} ms"), &attempt["error"]),
    };
    let more = more.as_str().unwrap_or_default().trim();
    if !more.is_empty() {
        text.push_str(": ");
        text.push_str(&printable(more));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_is_told_in_a_line() {
        let posted = |status: Value, body: &str, error: Value| json!({"durationMs": 12, "status": status, "answer": body, "error": error});
        let said = |attempt| answer(&attempt);
        assert_eq!(said(posted(json!(204), "", Value::Null)), "204 in 12 ms");
        assert_eq!(
            said(posted(json!(500), "no\nroom\n", Value::Null)),
            "500 in 12 ms: no\u{fffd}room"
        );
        assert_eq!(
            said(posted(Value::Null, "", json!("connection refused"))),
            "no answer after 12 ms: connection refused"
        );
    }
}
