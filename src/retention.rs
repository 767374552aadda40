//! What has ended is kept for a while, and then goes, in steps so small that nobody waits for them.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::config::Bodies;
use crate::config::Retention;
use crate::store::Store;

/// Messages, deliveries or keys let go of in one step, at most.
const STEP: usize = 200;
/// Between steps while there is something to do, and between rounds when there is not.
const PAUSE: Duration = Duration::from_millis(20);
const REST: Duration = Duration::from_secs(10);

/// Removes what is older than it may be, for ever.
pub(crate) async fn run(store: Arc<dyn Store>, retention: Retention, clock: Clock) {
    let mut complained = false;
    loop {
        let removed = match step(&*store, &retention, &clock).await {
            Ok(removed) => {
                complained = false;
                removed
            }
            Err(error) => {
                if !std::mem::replace(&mut complained, true) {
                    tracing::warn!(%error, "what is old cannot be removed; trying again");
                }
                0
            }
        };
        tokio::time::sleep(if removed > 0 { PAUSE } else { REST }).await;
    }
}

async fn step(
    store: &dyn Store,
    retention: &Retention,
    clock: &Clock,
) -> Result<usize, crate::store::StoreError> {
    let now = clock.now();
    let mut removed = store.purge(now.minus(retention.finished), STEP).await?;
    removed += store
        .forget_deliveries(now.minus(retention.finished), STEP)
        .await?;
    removed += store
        .forget_keys(now.minus(retention.idempotency), STEP)
        .await?;
    match retention.bodies {
        Bodies::Discard => removed += store.discard_bodies(STEP).await?,
        Bodies::Keep => {}
    }
    Ok(removed)
}
