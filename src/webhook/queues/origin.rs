//! What queues share: the origin they post to, and the client that asked for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::PostEnd;
use super::queue::{ActivePost, LastOutcome, Queue};

/// Posts at once to an origin that has not answered yet, or did not last.
const FEW: usize = 4;

/// Whose a queue is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::webhook) struct QueueOwner {
    pub(in crate::webhook) asker: Asker,
    /// Scheme, host and port; of a standing endpoint its own id: no other delays it.
    pub(in crate::webhook) origin: Arc<str>,
}

/// Who asked for posts, as far as is known.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(in crate::webhook) enum Asker {
    /// The managers of standing endpoints.
    Standing,
    /// A client whose token has no secret for webhooks, or without a token.
    Anyone,
    /// The token whose secret signs.
    Token(Arc<str>),
}

/// What the last post showed of an origin, or of a queue there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Trust {
    /// None has ended yet.
    New,
    /// It is well, as far as is known.
    Proven,
    /// The origin did not answer, or the queue failed.
    Failing,
}

/// Posts under way, and bytes in memory for them: of a client, or of all.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Load {
    pub(super) posts: usize,
    pub(super) new: usize,
    pub(super) failing: usize,
    /// Deliveries that wait, and room for those that are being read.
    pub(super) bytes: usize,
}

/// A client with the origins of its queues.
#[derive(Debug, Default)]
pub(super) struct AskerQueues {
    pub(super) load: Load,
    pub(super) origins: BTreeMap<Arc<str>, Origin>,
    /// Whose turn it was last.
    pub(super) turn: Arc<str>,
    /// Queues at all of its origins.
    pub(super) queues: usize,
}

/// An origin with its queues. It is remembered for a while when it has none.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) queues: BTreeMap<Arc<str>, Queue>,
    pub(super) turn: Arc<str>,
    /// Posts under way, and those of them whose queue had not succeeded last.
    pub(super) posts: usize,
    pub(super) unproven: usize,
    pub(super) width: usize,
    trust: Trust,
    /// When a post to it ended last, counted in posts.
    pub(super) last_end: u64,
}

impl Load {
    pub(super) fn begin(&mut self, trust: Trust) {
        self.posts += 1;
        match trust {
            Trust::New => self.new += 1,
            Trust::Failing => self.failing += 1,
            Trust::Proven => {}
        }
    }

    pub(super) fn end(&mut self, trust: Trust) {
        self.posts = self.posts.saturating_sub(1);
        match trust {
            Trust::New => self.new = self.new.saturating_sub(1),
            Trust::Failing => self.failing = self.failing.saturating_sub(1),
            Trust::Proven => {}
        }
    }
}

impl Origin {
    pub(super) fn new(max_width: usize) -> Self {
        Self {
            queues: BTreeMap::new(),
            turn: "".into(),
            posts: 0,
            unproven: 0,
            width: FEW.min(max_width),
            trust: Trust::New,
            last_end: 0,
        }
    }

    /// How a post of this queue counts, should it begin now.
    pub(super) fn post_of(&self, queue: &Queue) -> ActivePost {
        let trust = match (self.trust, queue.record) {
            (Trust::Failing, _) | (_, LastOutcome::Failed) => Trust::Failing,
            (trust, LastOutcome::New | LastOutcome::Succeeded) => trust,
        };
        ActivePost {
            trust,
            is_unproven: !queue.is_well(),
        }
    }

    /// Whether it takes one more post of this queue.
    pub(super) fn has_room(&self, queue: &Queue) -> bool {
        self.posts < self.width && (queue.is_well() || self.unproven < (self.width * 3 / 4).max(1))
    }

    /// Learns how a post ended: an answer, whatever it says, makes the origin wider.
    pub(super) fn learn(&mut self, end: PostEnd, max_width: usize, last_end: u64) {
        self.last_end = last_end;
        match end.has_answered() {
            Some(true) => {
                self.trust = Trust::Proven;
                self.width = self.width.saturating_mul(2).min(max_width);
            }
            Some(false) => {
                self.trust = Trust::Failing;
                self.width = self.width.min(FEW);
            }
            None => {}
        }
    }
}
