//! What a message waits for, in words.

use jiff::Timestamp;
use serde::Deserialize;

use super::client::GatewayClient;
use super::table::local_time;

/// `waitingFor` of a message. Any member may be missing, so that a newer gateway can be asked.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WaitingLine {
    kind: String,
    account: Option<String>,
    before: u64,
    until: Option<Timestamp>,
    at: Option<Timestamp>,
    replica: String,
    class: String,
}

const SLOT: &str = "an agent with room for one more request";

impl WaitingLine {
    pub(super) fn words(&self) -> String {
        let time = |time: Option<Timestamp>| time.map(local_time).unwrap_or_default();
        match self.kind.as_str() {
            "schedule" => format!("its time, {}", time(self.until)),
            "lane" if self.before == 1 => "an earlier message to the same target".to_owned(),
            "lane" => format!("{} earlier messages to the same target", self.before),
            "agent" => match &self.account {
                Some(account) => format!("a registered agent of {account}"),
                None => "a registered agent".to_owned(),
            },
            "slot" => SLOT.to_owned(),
            "rate" => format!("the rate of its account, until {}", time(self.until)),
            "retry" => format!("its next attempt, at {}", time(self.at)),
            "priority" => format!("messages with priority {}, which go first", self.class),
            "store" => "the store".to_owned(),
            "replica" => format!("replica {}, until {}", self.replica, time(self.until)),
            other => other.to_owned(),
        }
    }

    /// Why there is no agent, as far as the agents say: `alice-1: backoff, 403 Forbidden`.
    pub(super) async fn reason(&self, client: &GatewayClient) -> Option<String> {
        if self.kind != "agent" {
            return None;
        }
        let agents = client.get("/agents", &[]).await.ok()?;
        let mut reasons = Vec::new();
        for agent in agents["data"].as_array()? {
            let account = self.account.as_deref();
            if account.is_some_and(|account| agent["account"] != account) {
                continue;
            }
            let word = |name: &str| agent[name].as_str().unwrap_or_default();
            let error = agent["lastError"].as_str();
            let error = error.map(|error| format!(", {error}")).unwrap_or_default();
            reasons.push(format!("{}: {}{error}", word("id"), word("state")));
        }
        if reasons.is_empty() {
            return Some("there is no agent of this account".to_owned());
        }
        Some(reasons.join("; "))
    }
}

/// The comment of a stream that says what its message waits for, as [`WaitingLine::words`] would:
/// `waiting for lane: an earlier message to the same target` has the kind for programs.
pub(super) fn comment_words(comment: &str) -> Option<String> {
    let waiting = comment.strip_prefix("waiting for ")?;
    Some(match waiting.split_once(": ") {
        Some(("lane", reason)) => format!("waiting for {reason}"),
        Some(("slot", _)) => format!("waiting for {SLOT}"),
        Some(("schedule", reason)) => format!("waiting for its time: {}", in_local_time(reason)),
        _ => in_local_time(comment),
    })
}

/// The words with the times in them as every other line has them.
fn in_local_time(words: &str) -> String {
    let each = words.split(' ').map(|word| {
        let time = word.trim_end_matches([',', ';']);
        match time.parse() {
            Ok(at) => local_time(at) + &word[time.len()..],
            Err(_) => word.to_owned(),
        }
    });
    each.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn words(waiting: serde_json::Value) -> String {
        serde_json::from_value::<WaitingLine>(waiting)
            .unwrap()
            .words()
    }

    #[test]
    fn every_kind_has_its_words_and_an_unknown_one_its_name() {
        let account = json!({"kind": "agent", "account": "sip:alice@example.com"});
        assert_eq!(
            words(account),
            "a registered agent of sip:alice@example.com"
        );
        let lane = json!({"kind": "lane", "before": 3});
        assert_eq!(words(lane), "3 earlier messages to the same target");
        let next = json!({"kind": "lane", "before": 1});
        assert_eq!(words(next), "an earlier message to the same target");
        assert_eq!(words(json!({"kind": "moon"})), "moon");
        for kind in [
            "schedule", "slot", "rate", "retry", "store", "replica", "priority",
        ] {
            assert_ne!(words(json!({ "kind": kind })), kind);
        }
    }

    #[test]
    fn a_comment_of_a_stream_has_the_words_of_the_list() {
        for (comment, words) in [
            (
                "waiting for lane: 3 earlier messages to the same target",
                "waiting for 3 earlier messages to the same target",
            ),
            (
                "waiting for slot: every agent has all the requests it may",
                "waiting for an agent with room for one more request",
            ),
            (
                "waiting for agent: no agent is registered; alice-1: backoff",
                "waiting for agent: no agent is registered; alice-1: backoff",
            ),
        ] {
            assert_eq!(comment_words(comment).as_deref(), Some(words));
        }
        assert_eq!(comment_words("accepted m1"), None);
    }

    #[test]
    fn the_times_of_a_comment_are_those_of_the_other_lines() {
        let at: Timestamp = "2026-07-01T09:00:00.000Z".parse().unwrap();
        for (comment, begin, end) in [
            ("schedule: sent at AT", "its time: sent at ", ""),
            (
                "retry: the next attempt is at AT",
                "retry: the next attempt is at ",
                "",
            ),
            (
                "replica: r2 has it until AT",
                "replica: r2 has it until ",
                "",
            ),
            (
                "agent: a-1: backoff, again at AT; a-2",
                "agent: a-1: backoff, again at ",
                "; a-2",
            ),
        ] {
            let comment = format!("waiting for {}", comment.replace("AT", &at.to_string()));
            let words = format!("waiting for {begin}{}{end}", local_time(at));
            assert_eq!(comment_words(&comment), Some(words));
        }
    }
}
