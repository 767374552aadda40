//! `--since`: where in the log a reader begins.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::client::{GatewayClient, Trouble};

/// Where to begin.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Since {
    /// With the earliest event that is kept.
    Earliest,
    /// After the event of this id.
    Event(String),
    /// With what happened in this time.
    Ago(Duration),
}

pub(super) fn parse(text: &str) -> Result<Since, String> {
    let accepted =
        "earliest, a duration such as 10m, or the id of an event such as 1-0000000000000042";
    if text == "earliest" {
        return Ok(Since::Earliest);
    }
    if let Ok(ago) = super::parse_duration(text) {
        return Ok(Since::Ago(ago));
    }
    match text.split_once('-') {
        Some((epoch, seq)) if is_number(epoch) && is_number(seq) => {
            Ok(Since::Event(text.to_owned()))
        }
        _ => Err(accepted.to_owned()),
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl Since {
    /// What `Last-Event-ID` of the first connection says.
    pub(super) async fn find(
        &self,
        client: &GatewayClient,
        now: Timestamp,
    ) -> Result<Option<String>, Trouble> {
        match self {
            Self::Earliest => Ok(Some("earliest".to_owned())),
            Self::Event(id) => known(client, id).await.map(Some),
            Self::Ago(ago) => {
                let since = now.checked_sub(*ago).unwrap_or(Timestamp::MIN);
                before(client, since).await.map(Some)
            }
        }
    }
}

/// The reason of a gap that is no mistake: the event was there once.
const FORGOTTEN: &str = "events after the id are not kept any more";

/// The id, if the log knows it, or knew it once.
async fn known(client: &GatewayClient, id: &str) -> Result<String, Trouble> {
    let page = page(client, id).await?;
    match page["gap"]["reason"].as_str() {
        Some(reason) if reason != FORGOTTEN => {
            Err(Trouble::lasting(format!("--since {id}: {reason}")))
        }
        Some(_) | None => Ok(id.to_owned()),
    }
}

/// One event after this one, or what the gateway says instead.
async fn page(client: &GatewayClient, after: &str) -> Result<Value, Trouble> {
    let query = [("after", after.to_owned()), ("limit", "1".to_owned())];
    client.get("/events", &query).await
}

/// The first event after `after`: its number, and whether it happened at `since` or later.
async fn first_after(
    client: &GatewayClient,
    after: &str,
    since: Timestamp,
) -> Result<Option<(Position, bool)>, Trouble> {
    let page = page(client, after).await?;
    if page["gap"]["reason"].is_string() {
        return Ok(None);
    }
    let event = &page["data"][0];
    let id = event["id"].as_str().and_then(Position::parse);
    let time: Option<Timestamp> = event["time"].as_str().and_then(|time| time.parse().ok());
    Ok(id.zip(time).map(|(id, time)| (id, time >= since)))
}

/// An id in its parts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Position {
    epoch: u64,
    seq: u64,
}

impl Position {
    fn parse(text: &str) -> Option<Self> {
        let (epoch, seq) = text.split_once('-')?;
        let (epoch, seq) = (epoch.parse().ok()?, seq.parse().ok()?);
        Some(Self { epoch, seq })
    }

    fn at(self, seq: u64) -> String {
        format!("{}-{seq:016}", self.epoch)
    }
}

/// The id before the first event at `since` or later. Ids are in the order of time, so steps that
/// double, and then a search by halves, find it with two questions for each bit of a number.
async fn before(client: &GatewayClient, since: Timestamp) -> Result<String, Trouble> {
    let Some((first, is_late)) = first_after(client, "earliest", since).await? else {
        return Ok("earliest".to_owned());
    };
    if is_late {
        return Ok("earliest".to_owned());
    }
    // The event `early` is too early. What follows `late` is not, or there is nothing.
    let (mut early, mut step) = (first.seq, 1_u64);
    let mut late = loop {
        let asked = early.saturating_add(step);
        match first_after(client, &first.at(asked), since).await? {
            Some((found, false)) => early = found.seq,
            Some((_, true)) | None => break asked,
        }
        step = step.saturating_mul(2);
    };
    while early < late {
        let asked = early + (late - early) / 2;
        match first_after(client, &first.at(asked), since).await? {
            Some((found, false)) => early = found.seq.clamp(asked + 1, late),
            Some((_, true)) | None => late = asked,
        }
    }
    Ok(first.at(early))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_word_a_time_or_the_id_of_an_event() {
        assert_eq!(parse("earliest"), Ok(Since::Earliest));
        assert_eq!(parse("10m"), Ok(Since::Ago(Duration::from_secs(600))));
        let id = "1-0000000000000042";
        assert_eq!(parse(id), Ok(Since::Event(id.to_owned())));
        for text in [
            "",
            "yesterday",
            "-5m",
            "1-",
            "0193a1b2-0000-7000-8000-000000000000",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
