//! Removes finished messages, deliveries and keys after their time, in steps too small to hold up
//! the store.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::store::{Store, StoreError};

/// How long finished messages are kept.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Finished messages and their events.
    pub finished: Duration,
    /// Received messages and their events.
    pub received: Duration,
    /// Whether their bodies go at once.
    pub discards_bodies: bool,
    pub idempotency: Duration,
    /// The SIP messages that were kept of messages.
    pub frames: Duration,
}

/// How long a request that comes again is the same message: proxies fork within seconds, and a
/// server that stores messages repeats them within hours.
const RECEIVED_KEYS: Duration = Duration::from_secs(24 * 60 * 60);
/// Messages, deliveries or keys removed in one step, at most.
const STEP: usize = 200;
/// Records of frames: of a busy gateway that keeps them all there are as many as messages.
const FRAMES_STEP: usize = 500;
/// Between steps while there is something to remove; then twice as long after each step in vain, up
/// to a rest. After a start the messages that ended before it are looked at soon.
const PAUSE: Duration = Duration::from_millis(20);
const REST: Duration = Duration::from_secs(10);

/// Removes what has expired, until the task is aborted.
pub(crate) async fn run(store: Arc<dyn Store>, settings: Settings, clock: Clock) {
    let mut has_warned = false;
    let mut wait = PAUSE;
    loop {
        let has_more = match step(&*store, &settings, &clock).await {
            Ok(has_more) => {
                has_warned = false;
                has_more
            }
            Err(error) => {
                if !std::mem::replace(&mut has_warned, true) {
                    tracing::warn!(%error, "failed to remove old messages; trying again");
                }
                false
            }
        };
        wait = if has_more { PAUSE } else { REST.min(wait * 2) };
        tokio::time::sleep(wait).await;
    }
}

/// Whether another step has something to remove.
async fn step(store: &dyn Store, settings: &Settings, clock: &Clock) -> Result<bool, StoreError> {
    let now = clock.now();
    let finished = now.minus(settings.finished);
    let mut has_more = store.purge(finished, STEP).await?.has_more;
    let received = now.minus(settings.received);
    has_more |= store.purge_received(received, STEP).await? > 0;
    has_more |= store.purge_agent_events(finished, STEP).await? > 0;
    let repeated = now.minus(RECEIVED_KEYS);
    has_more |= store.forget_received_keys(repeated, STEP).await? > 0;
    has_more |= store.forget_deliveries(finished, STEP).await? > 0;
    let used = now.minus(settings.idempotency);
    has_more |= store.forget_keys(used, STEP).await? > 0;
    let passed = now.minus(settings.frames);
    has_more |= store.forget_frames(passed, FRAMES_STEP).await? > 0;
    if settings.discards_bodies {
        has_more |= store.discard_bodies(STEP).await?.has_more;
    }
    Ok(has_more)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::suite::samples;
    use crate::store::suite::samples::{at, id};
    use crate::store::suite::webhooks::plan_nothing;
    use crate::store::{Arrived, sqlite};

    #[tokio::test]
    async fn received_messages_go_in_their_time_and_what_made_them_one_a_day_later() {
        let folder = tempfile::tempdir().unwrap();
        let options = sqlite::Options::new(folder.path().join("sipost.db"));
        let store = sqlite::open(options, at(0)).unwrap();
        let again = || vec![samples::incoming(1)];
        store.receive(again()).await.unwrap();
        plan_nothing(&store).await;
        let settings = Settings {
            finished: Duration::from_secs(7_200),
            received: Duration::from_secs(3_600),
            idempotency: Duration::from_secs(60),
            frames: Duration::from_secs(60),
            discards_bodies: false,
        };
        let gone = async |seconds: i64| {
            let clock = Clock::starting_at(at(seconds * 1_000));
            step(&*store, &settings, &clock).await.unwrap();
            let found = store.received_message(samples::received_id(1)).await;
            found.unwrap().is_none()
        };
        assert!(!gone(3_600).await);
        assert!(gone(3_601).await);
        let arrived = store.receive(again()).await.unwrap();
        assert_eq!(arrived, [Arrived::Repeated]);
        assert!(gone(86_401).await);
        let arrived = store.receive(again()).await.unwrap();
        assert_eq!(arrived, [Arrived::Appended(2)]);
        store.close().await.unwrap();
    }

    /// A step says that the next is to follow until all that is old is gone, not only while it
    /// removes something.
    #[tokio::test]
    async fn a_long_stretch_of_the_log_in_which_nothing_ends_is_passed_without_a_rest() {
        let folder = tempfile::tempdir().unwrap();
        let options = sqlite::Options::new(folder.path().join("sipost.db"));
        let store = sqlite::open(options, at(0)).unwrap();
        samples::accept(&store, 1..=2).await;
        let sending: Vec<_> = (0..15_000).map(|_| samples::sending(1, 1, 1)).collect();
        store.record(sending.into()).await.unwrap();
        samples::finish(&store, [2]).await;
        plan_nothing(&store).await;

        let settings = Settings {
            finished: Duration::from_secs(60),
            received: Duration::from_secs(60),
            idempotency: Duration::from_secs(60),
            frames: Duration::from_secs(60),
            discards_bodies: false,
        };
        let clock = Clock::starting_at(at(120_000));
        let mut steps = 0;
        while step(&*store, &settings, &clock).await.unwrap() {
            assert!(store.message(id(2)).await.unwrap().is_some());
            steps += 1;
        }
        // Two thousand events each, and the rest in the last.
        assert_eq!(steps, 7);
        assert!(store.message(id(2)).await.unwrap().is_none());
        store.close().await.unwrap();
    }
}
