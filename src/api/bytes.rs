//! Bytes in memory for clients: bodies of requests, and answers that were not taken yet.
//!
//! Each has a budget. A client has no more of it than it leaves to others, but for one request or
//! one answer: so no client that sends slowly, or reads slowly, keeps others from being served.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of each body, and of each answer, that are not counted: connections bound those. So
/// however much is under way, a message comes through.
pub(super) const FREE: usize = 16 * 1024;

/// Who has bytes in memory.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) enum ClientKey {
    /// The token of this name.
    Token(Arc<str>),
    /// The address of a client without one; of IPv6, its /64.
    Address(IpAddr),
}

/// How many bytes there may be of one kind.
#[derive(Debug)]
pub(super) struct ByteBudget {
    total: usize,
    held: Mutex<HeldBytes>,
}

#[derive(Debug, Default)]
struct HeldBytes {
    all: usize,
    by_client: HashMap<ClientKey, usize>,
}

/// Bytes of one body or answer; they are given back when it is dropped.
#[derive(Debug)]
pub(super) struct ByteRoom {
    budget: Arc<ByteBudget>,
    client: ClientKey,
    bytes: usize,
}

impl ByteBudget {
    pub(super) fn new(total: usize) -> Arc<Self> {
        Arc::new(Self {
            total,
            held: Mutex::default(),
        })
    }

    /// Room for something of this client that has no bytes yet.
    pub(super) fn room(self: &Arc<Self>, client: ClientKey) -> ByteRoom {
        ByteRoom {
            budget: self.clone(),
            client,
            bytes: 0,
        }
    }

    fn held(&self) -> MutexGuard<'_, HeldBytes> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ByteRoom {
    /// Makes room for something of so many bytes in all, if there is any. It never shrinks.
    pub(super) fn grow(&mut self, size: usize) -> bool {
        let bytes = size.saturating_sub(FREE);
        if bytes <= self.bytes {
            return true;
        }
        let mut held = self.budget.held();
        let others = held.all - self.bytes;
        let sum = others.saturating_add(bytes);
        let left = self.budget.total.saturating_sub(sum);
        let own = held.by_client.get(&self.client).copied();
        let own = own.unwrap_or_default() - self.bytes;
        // Whatever its size, one is served when it is alone.
        let fits = others == 0 || sum <= self.budget.total;
        let is_fair = own == 0 || own.saturating_add(bytes) <= left;
        if fits && is_fair {
            held.change(&self.client, self.bytes, bytes);
            self.bytes = bytes;
        }
        fits && is_fair
    }

    /// Whether nothing is counted.
    pub(super) fn is_free(&self) -> bool {
        self.bytes == 0
    }

    /// Counts something of so many bytes in all, whether there is room or not.
    pub(super) fn set(&mut self, size: usize) {
        let bytes = size.saturating_sub(FREE);
        // Most answers are small: they neither take the lock nor are looked up.
        if bytes != self.bytes {
            self.budget.held().change(&self.client, self.bytes, bytes);
            self.bytes = bytes;
        }
    }
}

impl HeldBytes {
    fn change(&mut self, client: &ClientKey, from: usize, to: usize) {
        self.all = self.all - from + to;
        let own = self.by_client.entry(client.clone()).or_default();
        *own = *own - from + to;
        if *own == 0 {
            self.by_client.remove(client);
        }
    }
}

impl Drop for ByteRoom {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
impl ByteBudget {
    /// Bytes that are counted now.
    pub(super) fn used(&self) -> usize {
        self.held().all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(name: &str) -> ClientKey {
        ClientKey::Token(name.into())
    }

    fn room(budget: &Arc<ByteBudget>, name: &str, bytes: usize) -> Option<ByteRoom> {
        let mut room = budget.room(token(name));
        room.grow(FREE + bytes).then_some(room)
    }

    #[test]
    fn what_is_small_is_not_counted() {
        let budget = ByteBudget::new(0);
        let mut rooms: Vec<_> = (0..10).map(|_| budget.room(token("a"))).collect();
        assert!(rooms.iter_mut().all(|room| room.grow(FREE)));
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_client_has_no_more_than_it_leaves_to_others() {
        let budget = ByteBudget::new(100);
        let of_a: Vec<_> = (0..10).filter_map(|_| room(&budget, "a", 10)).collect();
        assert_eq!(of_a.len(), 5);
        let of_b: Vec<_> = (0..10).filter_map(|_| room(&budget, "b", 10)).collect();
        assert_eq!(of_b.len(), 2);
        let of_c = room(&budget, "c", 30);
        assert!(of_c.is_some() && room(&budget, "d", 1).is_none());
        drop((of_a, of_b, of_c));
        assert_eq!(budget.used(), 0);
        assert!(budget.held().by_client.is_empty());
    }

    #[test]
    fn one_that_is_alone_has_room_whatever_its_size() {
        let budget = ByteBudget::new(100);
        let large = room(&budget, "a", 1_000).unwrap();
        assert!(room(&budget, "b", 1).is_none());
        drop(large);
        let mut room = room(&budget, "b", 60).unwrap();
        assert!(room.grow(FREE + 100) && room.grow(FREE));
        room.set(FREE + 7);
        assert_eq!(budget.used(), 7);
    }
}
