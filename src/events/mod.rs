//! The log as a feed.
//!
//! Everything is read from the log by cursor; a wake-up only says that it is worth looking. So
//! replayed and live events are one, and a reader that comes back at an id sees everything after it
//! once.

mod feed;
mod follow;
mod subscribers;

pub use feed::{CHUNK, Feed, FeedPage, FeedStart, Gap, Subscription};
pub use follow::{EndFollower, Follower, Heard, MessageEnd};
