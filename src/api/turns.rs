//! Pages that are being made: a client has two at a time, and its others wait for their turn. So
//! however many it asks for, another client waits for two of them and not for all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::bytes::ClientKey;

/// Pages of a client that are made at the same time.
const PAGES: usize = 2;

/// The clients that ask for pages now.
#[derive(Debug, Default)]
pub(super) struct PageTurns(Mutex<HashMap<ClientKey, ClientTurns>>);

#[derive(Debug)]
struct ClientTurns {
    free: Arc<Semaphore>,
    /// Requests of this client that have a turn, or wait for one.
    requests: usize,
}

/// The turn of a request, from its arrival on.
#[derive(Debug)]
pub(super) struct PageTurn {
    turns: Arc<PageTurns>,
    client: ClientKey,
    free: Arc<Semaphore>,
}

impl PageTurns {
    /// A request of this client has arrived.
    pub(super) fn arrive(self: &Arc<Self>, client: ClientKey) -> PageTurn {
        let mut clients = self.clients();
        let own = clients
            .entry(client.clone())
            .or_insert_with(|| ClientTurns {
                free: Arc::new(Semaphore::new(PAGES)),
                requests: 0,
            });
        own.requests += 1;
        PageTurn {
            turns: self.clone(),
            client,
            free: own.free.clone(),
        }
    }

    fn clients(&self) -> MutexGuard<'_, HashMap<ClientKey, ClientTurns>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PageTurn {
    /// Waits for the turn, which lasts until the permit is dropped.
    pub(super) async fn come(&self) -> Option<OwnedSemaphorePermit> {
        // It is never closed.
        self.free.clone().acquire_owned().await.ok()
    }
}

impl Drop for PageTurn {
    fn drop(&mut self) {
        let mut clients = self.turns.clients();
        if let Some(own) = clients.get_mut(&self.client) {
            own.requests -= 1;
            if own.requests == 0 {
                clients.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn pages_of_a_client_wait_for_its_own_and_not_for_those_of_others() {
        let turns = Arc::<PageTurns>::default();
        let arrive = |name: &str| turns.arrive(ClientKey::Token(name.into()));
        let many: Vec<_> = (0..10).map(|_| arrive("many")).collect();
        let permits: Vec<_> = many
            .iter()
            .filter_map(|turn| turn.come().now_or_never())
            .collect();
        assert_eq!(permits.len(), PAGES);
        let few = arrive("few");
        assert!(few.come().now_or_never().is_some());
        drop(permits);
        assert!(many[9].come().now_or_never().is_some());
        drop((many, few));
        assert!(turns.clients().is_empty());
    }
}
