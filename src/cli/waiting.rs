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
            "slot" => "an agent with room for one more request".to_owned(),
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
}
