//! `sipost webhooks`: the standing webhooks, for people.

mod deliveries;
mod list;

use std::process::ExitCode;

use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::CommandError;
use super::client::{ConnectionArguments, GatewayClient};
use super::output::Printer;
use super::style::printable;
use super::table::local_time;
use crate::clock::Clock;
use crate::message::EventKind;

/// Lists the webhooks; the subcommands add, test, change and remove them.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sipost webhooks
  sipost webhooks add https://app.example/hook --type failed --description 'on call'
  sipost webhooks test 0193a1b2-0000-7000-8000-000000000000
  sipost webhooks deliveries 0193a1b2-0000-7000-8000-000000000000 --status failed
  sipost webhooks recover 0193a1b2-0000-7000-8000-000000000000 --since 2h

Exit codes: 0 done, 1 the answer to a test was not 2xx, 2 there is no such webhook, or no gateway.")]
pub(super) struct WebhooksCommand {
    #[command(subcommand)]
    action: Option<Action>,

    /// Prints what the gateway answers as JSON: each entry of a list on a line of its own.
    #[arg(long, global = true)]
    json: bool,

    #[command(flatten)]
    connection: ConnectionArguments,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Action {
    /// Adds a webhook and prints its secret, which is shown this once.
    Add(NewWebhook),
    /// Removes a webhook, and what was to be posted to it.
    Remove(OneWebhook),
    /// Posts an event of the type `test` once, and prints the answer.
    Test(OneWebhook),
    /// Enables a webhook: events from now on are posted to it, and those that waited.
    ///
    /// Of a webhook that is enabled, what waits for its next attempt is posted at once.
    Enable(OneWebhook),
    /// Disables a webhook: nothing is posted to it, and events from now on are not kept for it.
    Disable(OneWebhook),
    /// Lists what is and was posted to a webhook, the newest event first.
    Deliveries(deliveries::Deliveries),
    /// Sends one event again, delivered or not.
    Retry {
        /// The id of the webhook.
        id: String,
        /// The id of the event, as `deliveries` shows it.
        event: String,
    },
    /// Posts what failed or was missed in some time.
    ///
    /// That is each event of the webhook's types and accounts in this time that was not delivered:
    /// those that failed for good, those that happened while it was disabled, and those from before
    /// the webhook was there. While it is disabled nothing is posted: enable it, before or after.
    Recover {
        /// The id of the webhook.
        id: String,
        /// Events of this time and later: RFC 3339, or how long ago, such as 2h.
        #[arg(long, value_name = "TIME", value_parser = parse_past)]
        since: Timestamp,
        /// Events before this time. Without it, until now.
        #[arg(long, value_name = "TIME", value_parser = parse_past)]
        until: Option<Timestamp>,
    },
    /// Makes another secret and prints it, this once. The old one signs besides for 24 hours.
    RotateSecret(OneWebhook),
}

#[derive(Clone, Debug, clap::Args)]
struct NewWebhook {
    /// Where events are posted to.
    #[arg(value_name = "WEBHOOK_URL")]
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
}

#[derive(Clone, Debug, clap::Args)]
struct OneWebhook {
    /// The id of the webhook.
    id: String,
}

pub(super) async fn run(arguments: &WebhooksCommand) -> Result<ExitCode, CommandError> {
    let webhooks = Webhooks {
        client: GatewayClient::new(&arguments.connection)?,
        is_json: arguments.json,
    };
    match &arguments.action {
        None => list::print(&webhooks).await,
        Some(Action::Add(new)) => webhooks.add(new).await,
        Some(Action::Remove(webhook)) => webhooks.remove(&webhook.id).await,
        Some(Action::Test(webhook)) => webhooks.test(&webhook.id).await,
        Some(Action::Enable(webhook)) => webhooks.enable(&webhook.id, true).await,
        Some(Action::Disable(webhook)) => webhooks.enable(&webhook.id, false).await,
        Some(Action::Deliveries(asked)) => deliveries::print(&webhooks, asked).await,
        Some(Action::Retry { id, event }) => webhooks.retry(id, event).await,
        Some(Action::Recover { id, since, until }) => webhooks.recover(id, *since, *until).await,
        Some(Action::RotateSecret(webhook)) => webhooks.rotate_secret(&webhook.id).await,
    }
}

/// The calls of one command, and how their answers are printed.
struct Webhooks {
    client: GatewayClient,
    is_json: bool,
}

impl Webhooks {
    async fn add(&self, new: &NewWebhook) -> Result<ExitCode, CommandError> {
        let mut webhook = Map::new();
        webhook.insert("url".to_owned(), json!(new.to));
        if !new.types.is_empty() {
            webhook.insert("types".to_owned(), json!(new.types));
        }
        if !new.from.is_empty() {
            webhook.insert("from".to_owned(), json!(new.from));
        }
        if let Some(description) = &new.description {
            webhook.insert("description".to_owned(), json!(description));
        }
        let webhook = Value::Object(webhook);
        let added = self.post("/webhooks", Some(&webhook)).await?;
        let line = format!(
            "added {}; its secret is {}",
            word(&added, "id"),
            word(&added, "secret")
        );
        self.say(&added, &line)
    }

    async fn remove(&self, id: &str) -> Result<ExitCode, CommandError> {
        self.client
            .call(Method::DELETE, &path(id, ""), &[], None)
            .await?;
        Printer::new().line(&format!("removed {}", printable(id)))?;
        Ok(ExitCode::SUCCESS)
    }

    async fn test(&self, id: &str) -> Result<ExitCode, CommandError> {
        let tested = self.post(&path(id, "/test"), None).await?;
        self.say(&tested, &deliveries::answer(&tested))?;
        let status = tested["status"].as_u64();
        let is_taken = status.is_some_and(|status| (200..300).contains(&status));
        Ok(if is_taken {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    async fn enable(&self, id: &str, is_enabled: bool) -> Result<ExitCode, CommandError> {
        let change = json!({ "enabled": is_enabled });
        let changed = self
            .client
            .call(Method::PATCH, &path(id, ""), &[], Some(&change))
            .await?;
        let verb = if is_enabled { "enabled" } else { "disabled" };
        self.say(&changed, &format!("{verb} {}", printable(id)))
    }

    async fn retry(&self, id: &str, event: &str) -> Result<ExitCode, CommandError> {
        let path = path(id, &format!("/deliveries/{}/retry", super::segment(event)));
        let delivery = self.post(&path, None).await?;
        self.say(
            &delivery,
            &format!("event {} is sent again", printable(event)),
        )
    }

    async fn recover(
        &self,
        id: &str,
        since: Timestamp,
        until: Option<Timestamp>,
    ) -> Result<ExitCode, CommandError> {
        let mut time = json!({ "since": since.to_string() });
        if let Some(until) = until {
            time["until"] = json!(until.to_string());
        }
        let webhook = self.post(&path(id, "/recover"), Some(&time)).await?;
        let until = until.map_or_else(|| "now".to_owned(), local_time);
        let since = local_time(since);
        let mut line = format!(
            "what failed or was missed from {since} until {until} is sent again, and so is what \
             happened before the webhook was there; what waits for its next attempt is posted at once"
        );
        if webhook["enabled"] == false {
            line.push_str(&format!(
                "; the webhook is disabled, and nothing is posted before `sipost webhooks enable \
                 {}`",
                printable(id)
            ));
        }
        self.say(&webhook, &line)
    }

    async fn rotate_secret(&self, id: &str) -> Result<ExitCode, CommandError> {
        let rotated = self.post(&path(id, "/rotate-secret"), None).await?;
        let line = format!(
            "the new secret of {} is {}; the old one signs besides for 24 hours",
            printable(id),
            word(&rotated, "secret")
        );
        self.say(&rotated, &line)
    }

    async fn post(&self, path: &str, body: Option<&Value>) -> Result<Value, CommandError> {
        Ok(self.client.call(Method::POST, path, &[], body).await?)
    }

    /// Prints an answer, or what it means.
    fn say(&self, answer: &Value, line: &str) -> Result<ExitCode, CommandError> {
        let mut output = Printer::new();
        if self.is_json {
            output.line(&answer.to_string())?;
        } else {
            output.line(line)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn path(id: &str, below: &str) -> String {
    format!("/webhooks/{}{below}", super::segment(id))
}

/// A member that is a text.
fn word(answer: &Value, name: &str) -> String {
    printable(answer[name].as_str().unwrap_or_default())
}

/// A time in RFC 3339, or as long ago as a duration says.
fn parse_past(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let accepted = "a time such as 2026-12-24T18:00:00Z, or how long ago, such as 2h";
    let ago = super::parse_duration(text).map_err(|_| accepted.to_owned())?;
    super::wall_time(&Clock::system())
        .checked_sub(ago)
        .map_err(|_| accepted.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_past_time_is_rfc_3339_or_a_duration() {
        let time = parse_past("2026-12-24T18:00:00Z").unwrap();
        assert_eq!(time.to_string(), "2026-12-24T18:00:00Z");
        assert!(parse_past("2h").unwrap() < parse_past("1h").unwrap());
        assert!(parse_past("yesterday").unwrap_err().contains("2h"));
    }
}
