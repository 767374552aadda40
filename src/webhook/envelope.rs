//! Where a delivery goes, and what signs it.

use std::time::Duration;

use url::Url;

use super::client::Answer;
use super::sender::Sender;
use super::sign::SigningSecret;
use crate::message::{Timestamp, webhook};
use crate::store::{Attempt, Attempted, DueDelivery};

impl Sender {
    /// Where to, and signed with what; `None` when nobody is there, and no signature when the
    /// secret is gone that it would be made with.
    pub(super) fn envelope(
        &self,
        delivery: &DueDelivery,
        id: &str,
        at: Timestamp,
    ) -> Option<(Url, Option<String>)> {
        if let Some(webhook) = &delivery.url {
            let url = webhook::url(webhook).parse().ok()?;
            let sign = |secret: &SigningSecret| secret.sign(id, at, &delivery.json);
            let Some(token) = webhook::token(webhook) else {
                return Some((url, Some(sign(self.own_secret.as_ref()?))));
            };
            let client = self.client.borrow();
            let signatures = client.secrets().get(&token).map(|secrets| {
                let each: Vec<String> = secrets.iter().map(sign).collect();
                each.join(" ")
            });
            return Some((url, signatures));
        }
        let endpoint = delivery.key.queue.parse().ok()?;
        let known = self.roster.known();
        let member = known.members.get(&endpoint)?;
        let url = member.url().filter(|_| member.is_enabled())?.clone();
        Some((url, Some(member.sign(id, at, &delivery.json))))
    }

    /// An attempt that failed for want of a secret: one that comes back signs the next. No other
    /// secret may sign, because somebody else's receiver may believe it.
    pub(super) fn unsigned(&self, delivery: DueDelivery, at: Timestamp) -> Attempted {
        let words = "the token that asked for this has no webhook_secret any more";
        let answer = Answer::Silent(words.to_owned());
        let fate = self
            .schedule
            .fate(&answer, delivery.tries, at, rand::random());
        Attempted {
            key: delivery.key,
            attempt: Attempt {
                number: 0,
                at,
                took: Duration::ZERO,
                status: None,
                answer: String::new(),
                error: Some(words.to_owned()),
            },
            fate,
        }
    }
}
