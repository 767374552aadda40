//! Messages that were admitted lately: forks and retransmissions of them are not refused.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;

use hashlink::LruCache;

use crate::message::Received;

/// Messages remembered at most: forks of one follow it within moments. An older one counts as new
/// until the store has said that it is not.
const MAX_KEYS: usize = 4_096;

/// See the module. Hashes with a key of their own, so that no peer can make two messages meet.
#[derive(Debug)]
pub(super) struct Recent {
    hasher: RandomState,
    keys: LruCache<u64, ()>,
}

impl Default for Recent {
    fn default() -> Self {
        Self {
            hasher: RandomState::default(),
            keys: LruCache::new(MAX_KEYS),
        }
    }
}

impl Recent {
    /// What makes a message that comes again the same one, as the store sees it.
    pub(super) fn key(&self, message: &Received) -> u64 {
        let request = &message.request;
        let once = (&message.account, &request.call_id, &message.from_tag);
        self.hasher.hash_one((once, request.cseq))
    }

    pub(super) fn contains(&self, key: u64) -> bool {
        self.keys.contains_key(&key)
    }

    /// Remembers one; forgets the oldest when there are too many.
    pub(super) fn insert(&mut self, key: u64) {
        self.keys.insert(key, ());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::suite::samples::incoming;

    #[test]
    fn the_oldest_are_forgotten() {
        let mut recent = Recent::default();
        let one = recent.key(&incoming(1));
        assert_eq!(one, recent.key(&incoming(1)));
        assert_ne!(one, recent.key(&incoming(2)));
        recent.insert(one);
        for key in 0..MAX_KEYS as u64 - 1 {
            recent.insert(key);
            recent.insert(key);
        }
        assert!(recent.contains(one));
        recent.insert(u64::MAX);
        assert!(!recent.contains(one));
        assert_eq!(recent.keys.len(), MAX_KEYS);
    }
}
