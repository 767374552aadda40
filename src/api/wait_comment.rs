//! The comment for a client that follows a message which does not move: a comment in its event
//! stream, `: waiting for agent: …`, after two seconds and then in place of heartbeats.

use std::fmt::Write as _;
use std::time::Duration;

use tokio::time::Instant;

use super::Api;
use super::waiting::Waiting;
use crate::dispatch::WaitingFor;
use crate::message::{AgentStatus, MessageId, Status};

/// Without an event for so long, the comment says why.
const QUIET: Duration = Duration::from_secs(2);
/// The longest comment, in characters.
const LENGTH: usize = 400;
/// How many agents are named.
const AGENTS: usize = 3;

/// The comments in the stream of one message, and when each is due.
pub(super) struct WaitComment {
    api: Api,
    message: MessageId,
    due: Instant,
}

impl WaitComment {
    pub(super) fn new(api: &Api, message: MessageId) -> Self {
        Self {
            api: api.clone(),
            message,
            due: Instant::now() + QUIET,
        }
    }

    /// The id, for a client that has no event yet.
    pub(super) fn first(&self) -> String {
        format!(": accepted {}\n\n", self.message)
    }

    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Something has happened.
    pub(super) fn postpone(&mut self) {
        self.due = Instant::now() + QUIET;
    }

    /// The comment; an empty one when there is nothing to say. The next is due after `pause`.
    pub(super) async fn comment(&mut self, pause: Duration) -> String {
        let words = self.words().await;
        self.due = Instant::now() + pause;
        match words {
            Some(words) => format!(": {}\n\n", one_line(&words)),
            None => ":\n\n".to_owned(),
        }
    }

    async fn words(&self) -> Option<String> {
        let stored = self.api.store.message(self.message).await.ok()??;
        match stored.status {
            Status::Sending => Some(format!(
                "waiting for response: attempt {} was sent",
                stored.attempt
            )),
            Status::Scheduled | Status::Queued => {
                let waiting = Waiting::of(&self.api, &stored).await.ok()??;
                Some(self.waiting(&waiting))
            }
            Status::Succeeded | Status::Failed => None,
        }
    }

    fn waiting(&self, waiting: &Waiting) -> String {
        let waiting = match waiting {
            Waiting::Here(waiting) => waiting,
            Waiting::Elsewhere(holder) => {
                return format!(
                    "waiting for replica: {} has it until {}",
                    holder.replica, holder.until
                );
            }
        };
        match waiting {
            WaitingFor::Schedule(until) => format!("waiting for schedule: sent at {until}"),
            WaitingFor::Lane { before: 1 } => {
                "waiting for lane: an earlier message to the same target".to_owned()
            }
            WaitingFor::Lane { before } => {
                format!("waiting for lane: {before} earlier messages to the same target")
            }
            WaitingFor::Agent(account) => {
                let agents = self.api.agents.list_all();
                no_agent(account.as_deref(), agents)
            }
            WaitingFor::Slot => {
                "waiting for slot: every agent has all the requests it may".to_owned()
            }
            WaitingFor::Rate(until) => {
                format!("waiting for rate: the account has sent its share until {until}")
            }
            WaitingFor::Priority(class) => {
                format!(
                    "waiting for priority: messages with priority {} go first",
                    class.as_str()
                )
            }
            WaitingFor::Retry(at) => format!("waiting for retry: the next attempt is at {at}"),
            WaitingFor::Store => "waiting for store: it is written to the disk".to_owned(),
        }
    }
}

/// `waiting for agent: no agent of sip:a@b is registered; a-1: backoff, 403 Forbidden`.
fn no_agent(account: Option<&str>, agents: impl Iterator<Item = AgentStatus>) -> String {
    let mut words = String::from("waiting for agent: no agent");
    if let Some(account) = account {
        _ = write!(words, " of {account}");
    }
    words.push_str(" is registered");
    let of_account = |agent: &AgentStatus| account.is_none_or(|account| *agent.account == *account);
    for agent in agents.filter(of_account).take(AGENTS) {
        _ = write!(words, "; {}: {}", agent.id, agent.state.as_str());
        if let Some(error) = &agent.last_error {
            _ = write!(words, ", {error}");
        }
    }
    words
}

/// A comment ends with its line, and servers write what they like.
fn one_line(words: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    words.chars().map(plain).take(LENGTH).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::AgentState;

    fn agent(id: &str, account: &str, error: Option<&str>) -> AgentStatus {
        AgentStatus {
            id: id.into(),
            account: account.into(),
            last_error: error.map(str::to_owned),
            ..AgentStatus::sample(AgentState::Backoff)
        }
    }

    #[test]
    fn a_message_without_an_agent_says_why() {
        let agents = || {
            [
                agent("alice-1", "sip:alice@a", Some("403 Forbidden")),
                agent("bob-1", "sip:bob@a", Some("404")),
            ]
            .into_iter()
        };
        assert_eq!(
            no_agent(Some("sip:alice@a"), agents()),
            "waiting for agent: no agent of sip:alice@a is registered; alice-1: backoff, 403 Forbidden"
        );
        assert!(no_agent(None, agents()).ends_with("bob-1: backoff, 404"));
    }

    #[test]
    fn what_a_server_wrote_stays_in_its_line() {
        let line = one_line(&format!("a\r\n\ndata: x{}", "y".repeat(1_000)));
        assert!(line.starts_with("a   data: xy"), "{line}");
        assert_eq!(line.chars().count(), LENGTH);
    }
}
