//! A bounded set of texts.

use std::collections::{HashSet, VecDeque};

/// Texts in one set at most.
const MAX_REMEMBERED: usize = 10_000;

/// A bounded set of texts: the oldest makes room.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    known: HashSet<String>,
    order: VecDeque<String>,
}

impl Remembered {
    /// Adds a text; whether it is new.
    pub(super) fn insert(&mut self, text: &str) -> bool {
        if self.known.contains(text) {
            return false;
        }
        if self.order.len() >= MAX_REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.known.insert(text.to_owned());
        self.order.push_back(text.to_owned());
        true
    }

    /// Whether it is there.
    pub(super) fn contains(&self, text: &str) -> bool {
        self.known.contains(text)
    }
}
