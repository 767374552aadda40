//! `sipost listen`: events posted from this machine to any URL, signed as a webhook would be.

use std::process::ExitCode;
use std::time::Duration;

use jiff::tz::TimeZone;
use tokio::time::Instant;
use url::Url;

use super::client::{ConnectionArguments, GatewayClient, parse_url, reason, shown};
use super::follow::{EventFollower, NextEvent};
use super::lines::{EventLine, EventLines, GapBody};
use super::output::Printer;
use super::sse::ServerSentEvent;
use super::{CommandError, output, targets};
use crate::clock::Clock;
use crate::message::EventKind;
use crate::webhook::SigningSecret;

/// Follows the events and posts each to a URL, such as one of this machine: webhooks on a laptop.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sipost listen --forward-to http://127.0.0.1:3000/hook
  sipost listen --forward-to localhost:3000/hook --type received --secret whsec_…

Each post has the headers and the body of a webhook's post (docs/webhooks.md). Posts are made one
after the other and not repeated. The answer of the program is printed. The command posts by itself,
so the URL may be any that this machine reaches: webhooks.allowed_networks of the gateway does not
count. Ctrl-C ends the command, with exit code 0.")]
pub(super) struct Listen {
    /// Where the events are posted to.
    #[arg(long, value_name = "URL", value_parser = parse_url)]
    forward_to: Url,

    /// What the posts are signed with; without it, a new secret, which is printed.
    #[arg(
        long,
        env = "SIPOST_WEBHOOK_SECRET",
        hide_env_values = true,
        value_name = "whsec_…",
        value_parser = parse_secret
    )]
    secret: Option<ListenSecret>,

    /// Only events of this type; may be repeated.
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',', value_parser = EventKind::ALL.map(EventKind::as_str))]
    types: Vec<String>,

    /// Only events of messages from this account.
    #[arg(long, value_name = "URI")]
    from: Option<String>,

    #[command(flatten)]
    connection: ConnectionArguments,
}

/// A signing secret, which no formatter shows.
#[derive(Clone)]
struct ListenSecret(SigningSecret);

impl std::fmt::Debug for ListenSecret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("***")
    }
}

fn parse_secret(text: &str) -> Result<ListenSecret, String> {
    let wrong = || "whsec_ and the base64 of 24 to 64 bytes".to_owned();
    SigningSecret::parse(text)
        .map(ListenSecret)
        .ok_or_else(wrong)
}

/// How long the program may take to answer, as with a webhook.
const TIMEOUT: Duration = Duration::from_secs(15);

pub(super) async fn run(listen: &Listen) -> Result<ExitCode, CommandError> {
    tokio::select! {
        ended = forward(listen) => ended,
        _ = tokio::signal::ctrl_c() => Ok(ExitCode::SUCCESS),
    }
}

async fn forward(listen: &Listen) -> Result<ExitCode, CommandError> {
    let client = GatewayClient::new(&listen.connection)?;
    let mut query = Vec::new();
    if !listen.types.is_empty() {
        query.push(("type", listen.types.join(",")));
    }
    query.extend(listen.from.clone().map(|from| ("from", from)));
    let path = "/events".to_owned();
    let mut follower = EventFollower::new(client.clone(), path, query, None);
    follower.begin().await?;
    let mut forwarder = Forwarder::new(listen, client)?;
    let (from, to) = (shown(&listen.connection.url), shown(&listen.forward_to));
    output::print_note(&format!(
        "following {from}, posting to {to}; Ctrl-C ends it"
    ));
    if listen.secret.is_none() {
        output::print_note(&format!("the secret is {}", forwarder.secret.expose()));
    }
    loop {
        match follower.next().await? {
            NextEvent::Event(event) => forwarder.forward(&event).await?,
            NextEvent::Comment(_) => {}
            NextEvent::Waiting(time, reason) => super::wait(time, &reason).await,
            NextEvent::Over => return Ok(ExitCode::SUCCESS),
        }
    }
}

struct Forwarder {
    /// Where the events come from.
    gateway: GatewayClient,
    http: reqwest::Client,
    to: Url,
    secret: SigningSecret,
    clock: Clock,
    lines: EventLines,
    output: Printer,
}

impl Forwarder {
    fn new(listen: &Listen, gateway: GatewayClient) -> Result<Self, CommandError> {
        let clock = Clock::system();
        let now = super::wall_time(&clock);
        let http = super::http::client(&listen.forward_to, listen.connection.cacert.as_deref())?
            .timeout(TIMEOUT)
            .build()
            .map_err(|error| CommandError::Trouble(error.to_string()))?;
        let secret = listen.secret.clone().map(|secret| secret.0);
        Ok(Self {
            gateway,
            http,
            to: listen.forward_to.clone(),
            secret: secret.unwrap_or_else(SigningSecret::random),
            clock,
            lines: EventLines::new(TimeZone::system(), now, output::width()).with_ids(),
            output: Printer::new(),
        })
    }

    /// Posts an event, and prints it and what was answered.
    async fn forward(&mut self, event: &ServerSentEvent) -> Result<(), CommandError> {
        if event.name == "gap" {
            let gap: GapBody = serde_json::from_str(&event.data).unwrap_or_default();
            return self.output.line(&EventLines::gap(&gap));
        }
        let Ok(seen) = serde_json::from_str::<EventLine>(&event.data) else {
            return Ok(());
        };
        targets::look_up(&self.gateway, &mut self.lines, &seen).await;
        self.output.line(&self.lines.event(&seen))?;
        let begun = Instant::now();
        let answered = self.post(seen.id(), &event.data).await;
        let took = begun.elapsed().as_millis();
        let answered = match answered {
            Ok(status) => status.to_string(),
            Err(error) => reason(&error),
        };
        output::print_note(&format!("              → {answered}, {took} ms"));
        Ok(())
    }

    async fn post(&self, id: &str, body: &str) -> reqwest::Result<reqwest::StatusCode> {
        let at = self.clock.now();
        let response = self
            .http
            .post(self.to.clone())
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", at.as_millis().div_euclid(1000))
            .header(
                "webhook-signature",
                self.secret.sign(id, at, body.as_bytes()),
            )
            .body(body.to_owned())
            .send()
            .await?;
        Ok(response.status())
    }
}
