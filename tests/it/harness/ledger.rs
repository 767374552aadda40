//! What clients were promised, what the log says, and what the recipient got, held against each
//! other.

use std::collections::HashMap;

use serde_json::Value;

use super::Got;

/// A message that got its 202.
pub(crate) struct Accepted {
    pub(crate) id: String,
    pub(crate) user: String,
    pub(crate) body: String,
    pub(crate) may_resend: bool,
}

/// Every message that was accepted, and every event there is.
pub(crate) struct Ledger {
    pub(crate) accepted: Vec<Accepted>,
    pub(crate) log: Vec<Value>,
}

impl Ledger {
    /// The events of messages; the others are of agents.
    pub(crate) fn of_messages(&self) -> impl Iterator<Item = &Value> {
        let is_of_agent = |event: &&Value| {
            let kind = event["type"].as_str().unwrap();
            ["agentUp", "agentDown"].contains(&kind)
        };
        self.log.iter().filter(move |event| !is_of_agent(event))
    }

    /// Every message is accounted for, by what the log says and by what the recipient got. Prints
    /// how much that was.
    pub(crate) fn account(&self, got: &[Got]) {
        self.check_numbers();
        let mut events: HashMap<&str, Vec<&Value>> = HashMap::new();
        for event in self.of_messages() {
            events
                .entry(event["messageId"].as_str().unwrap())
                .or_default()
                .push(event);
        }
        for (id, events) in &events {
            check_history(id, events);
        }
        let mut received: HashMap<(&str, &str), Vec<&Got>> = HashMap::new();
        for one in got {
            received
                .entry((&one.user, &one.body))
                .or_default()
                .push(one);
        }
        let mut ids = HashMap::new();
        for one in &self.accepted {
            assert!(
                ids.insert(&one.id, one).is_none(),
                "{} was accepted twice",
                one.id
            );
            let end = events[&*one.id].last().unwrap();
            let got = received
                .get(&(&*one.user, &*one.body))
                .map_or(&[][..], |got| got);
            assert!(
                got.iter().all(|again| again.call_id == got[0].call_id),
                "{end}"
            );
            if one.may_resend {
                assert!(!got.is_empty(), "never received: {end}");
            } else {
                check_at_most_once(end, got.len());
            }
        }
        check_order(got);

        let (messages, events) = (self.accepted.len(), self.log.len());
        let is_ambiguous = |event: &&Value| event["ambiguous"] == true;
        let ambiguous = self.log.iter().filter(is_ambiguous).count();
        println!("{messages} messages accepted, {events} events, {ambiguous} ambiguous");
    }

    /// The log has no gap, and nothing twice.
    fn check_numbers(&self) {
        for (number, event) in (1_u64..).zip(&self.log) {
            assert!(
                event["id"]
                    .as_str()
                    .unwrap()
                    .ends_with(&format!("-{number:016}")),
                "{event}"
            );
        }
    }
}

/// `sending`, any number of `deferred` and `sending`, and one end.
fn check_history(id: &str, events: &[&Value]) {
    let types: Vec<_> = events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    let (end, before) = types.split_last().unwrap();
    assert!(["succeeded", "failed"].contains(end), "{id}: {types:?}");
    for (at, kind) in before.iter().enumerate() {
        assert_eq!(*kind, ["sending", "deferred"][at % 2], "{id}: {types:?}");
    }
    let begun = types.iter().filter(|kind| **kind == "sending").count();
    assert_eq!(events.last().unwrap()["attempt"], begun, "{id}: {types:?}");
}

fn check_at_most_once(end: &Value, received: usize) {
    let (kind, is_ambiguous) = (end["type"].as_str().unwrap(), end["ambiguous"] == true);
    let expected = match (kind, is_ambiguous, end["response"].is_null()) {
        ("succeeded", ..) | ("failed", false, false) => received == 1,
        // `ambiguous` is for an outcome that is unknown.
        ("failed", true, _) => received <= 1,
        // It was never written.
        _ => received == 0,
    };
    assert!(expected, "received {received} times: {end}");
}

/// The message that waited longest came first, also through an end of the gateway. The body is a
/// number that grows from message to message of a user.
fn check_order(got: &[Got]) {
    let mut newest: HashMap<&str, u64> = HashMap::new();
    for one in got {
        let number: u64 = one.body.parse().unwrap();
        let newest = newest.entry(&one.user).or_insert(number);
        assert!(
            number >= *newest,
            "{} overtook {newest} on the way to {}",
            one.body,
            one.user
        );
        *newest = number;
    }
}
