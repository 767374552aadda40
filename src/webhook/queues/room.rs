//! How much room a client has for more posts, and for more deliveries in memory.

use super::origin::{Load, Origin, Trust};
use super::queue::Queue;
use super::{LOOK, MAX_LOADED};
use crate::message::Timestamp;

/// A client has no more under way than so many times what it leaves to others.
const CLIENT: usize = 7;
/// And no more to origins that have not answered yet than so many times what it leaves of those.
const NEW: usize = 3;

/// What a client may do now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    /// Posts that it may begin.
    posts: usize,
    /// Whether one of them may be to an origin that has not answered yet.
    takes_new: bool,
    /// Whether one may be to what failed last.
    takes_failing: bool,
    takes_look: bool,
}

impl Allowance {
    /// The room of a client that has `own` of `all`.
    pub(super) fn of(concurrency: usize, all: &Load, own: &Load) -> Self {
        let left = concurrency.saturating_sub(all.posts);
        let ahead = (CLIENT * left).saturating_sub(own.posts);
        let unproven = concurrency - concurrency / 4;
        let unproven = unproven.saturating_sub(all.new + all.failing);
        let failing = (concurrency / 2).max(1).saturating_sub(all.failing);
        let bytes = MAX_LOADED.saturating_sub(all.bytes + LOOK);
        Self {
            posts: ahead.div_ceil(CLIENT + 1),
            takes_new: own.new < NEW * unproven,
            takes_failing: own.failing < failing.min(unproven),
            takes_look: own.bytes + LOOK <= bytes,
        }
    }

    /// Whether a post of this queue may begin.
    pub(super) fn takes(&self, origin: &Origin, queue: &Queue) -> bool {
        let has_room_for_its_kind = match origin.post_of(queue).trust {
            Trust::New => self.takes_new,
            Trust::Failing => self.takes_failing,
            Trust::Proven => true,
        };
        has_room_for_its_kind
            && origin.has_room(queue)
            && origin.posts < self.posts
            && queue.in_flight < queue.width.min(self.posts)
    }

    /// Whether the queue has something to post, or to look for.
    pub(super) fn has_work(&self, queue: &Queue, now: Timestamp) -> bool {
        let is_due = queue.look_at.is_some_and(|at| at <= now);
        !queue.waiting.is_empty() || (is_due && !queue.is_looking && self.takes_look)
    }
}
