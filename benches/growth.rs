//! What the store costs when much has piled up in it, beside what it costs when little has; and how
//! a gateway starts on it.
//!
//! `cargo bench --bench growth` fills one store with a million finished messages and a hundred
//! thousand queued ones, another with a hundredth of that, does the same things to both in turn,
//! and prints the medians and their ratio. Without `--bench` both are small: that it runs is all
//! this shows.

#![expect(clippy::expect_used, reason = "a benchmark that cannot run may panic")]
#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures the time that passes"
)]

#[path = "samples/gateway.rs"]
mod gateway;
mod samples;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use sipost::app::Gateway;
use sipost::clock::Clock;
use sipost::message::Status;
use sipost::message::Timestamp;
use sipost::store::EventFilter;
use sipost::store::MessageFilter;
use sipost::store::Plan;
use sipost::store::Store;
use sipost::store::sqlite;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::gateway::configuration;
use crate::gateway::post;
use crate::samples::accept;
use crate::samples::begun;
use crate::samples::finish;

/// Messages of one step: what a busy gateway commits at once.
const STEP: u64 = 256;
/// How often everything is done to each store.
const ROUNDS: usize = 15;
/// Messages handed over at once while a store is filled.
const FILL: u64 = 2_000;

struct FilledStore {
    runtime: Arc<Runtime>,
    folder: TempDir,
    store: Arc<dyn Store>,
    /// The number of the next message.
    next: u64,
    /// As many events as this were in the log when it was filled.
    events: u64,
}

/// The work done to a store; how long it took for each message or page.
type Act = fn(&mut FilledStore) -> Duration;

const ACTS: [(&str, Act); 7] = [
    ("accept a message", accepting),
    ("a whole life", living),
    ("list the newest 20", listing),
    ("list 20 that are queued", listing_queued),
    ("look at one", looking),
    ("resume: 100 events from the disk", resuming),
    ("retention: remove a message", purging),
];

fn main() {
    let measures = std::env::args().any(|argument| argument == "--bench");
    let (ended, queued) = if measures {
        (1_000_000, 100_000)
    } else {
        (4_000, 2_000)
    };
    let runtime = Runtime::new().expect("a runtime starts");
    let runtime = Arc::new(runtime);
    let mut small = FilledStore::new(&runtime, ended / 100, queued / 100);
    let mut large = FilledStore::new(&runtime, ended, queued);
    let few = format!("{} and {}", ended / 100, queued / 100);
    println!("| | {few} | {ended} ended and {queued} queued | ratio |");
    println!("|---|--:|--:|--:|");
    for (name, act) in ACTS {
        let (mut of_small, mut of_large) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            of_small.push(act(&mut small));
            of_large.push(act(&mut large));
        }
        print_row(name, median(of_small), median(of_large));
    }
    let (small, large) = (small.reopened(), large.reopened());
    print_row("claim a message", claiming(&small), claiming(&large));
    small.close();
    start(large, measures);
}

fn print_row(name: &str, small: Duration, large: Duration) {
    let ratio = large.as_secs_f64() / small.as_secs_f64();
    println!("| {name} | {small:.1?} | {large:.1?} | {ratio:.2} |");
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

impl FilledStore {
    /// A store with so many messages that have ended, and so many that wait.
    fn new(runtime: &Arc<Runtime>, ended: u64, queued: u64) -> Self {
        // Beside the build and not in /tmp, which may be memory: the store must meet a disk.
        let folder = tempfile::tempdir_in("target").expect("a folder is made");
        let store = open(folder.path());
        let mut filled = Self {
            runtime: runtime.clone(),
            folder,
            store,
            next: 0,
            events: ended * 2,
        };
        while filled.next < ended {
            let numbers = filled.take(FILL.min(ended - filled.next));
            filled.block_on(finish(&filled.store, numbers));
        }
        let all = ended + queued;
        while filled.next < all {
            let numbers = filled.take(FILL.min(all - filled.next));
            filled.block_on(accept(&filled.store, numbers));
        }
        filled
    }

    fn take(&mut self, count: u64) -> std::ops::Range<u64> {
        let begin = self.next;
        self.next += count;
        begin..self.next
    }

    fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    fn close(self) -> TempDir {
        self.block_on(self.store.close()).expect("the store closes");
        self.folder
    }

    /// Closed and opened again, so that open messages can be claimed.
    fn reopened(self) -> Self {
        self.block_on(self.store.close()).expect("the store closes");
        let store = open(self.folder.path());
        Self { store, ..self }
    }
}

fn open(folder: &Path) -> Arc<dyn Store> {
    let options = sqlite::Options::new(folder.join("sipost.db"));
    sqlite::open(options, begun()).expect("a store opens")
}

fn timed(act: impl FnOnce()) -> Duration {
    let began = Instant::now();
    act();
    began.elapsed()
}

fn accepting(filled: &mut FilledStore) -> Duration {
    let numbers = filled.take(STEP);
    let took = timed(|| filled.block_on(accept(&filled.store, numbers)));
    took / STEP as u32
}

fn living(filled: &mut FilledStore) -> Duration {
    let numbers = filled.take(STEP);
    let took = timed(|| filled.block_on(finish(&filled.store, numbers)));
    took / STEP as u32
}

fn listing(filled: &mut FilledStore) -> Duration {
    list(filled, MessageFilter::default())
}

fn listing_queued(filled: &mut FilledStore) -> Duration {
    let filter = MessageFilter {
        status: Some(Status::Queued),
        ..MessageFilter::default()
    };
    list(filled, filter)
}

fn list(filled: &FilledStore, filter: MessageFilter) -> Duration {
    timed(|| {
        let page = filled.block_on(filled.store.messages(filter, None, 20));
        assert_eq!(page.expect("the store reads").messages.len(), 20);
    })
}

fn looking(filled: &mut FilledStore) -> Duration {
    timed(|| {
        let found = filled.block_on(filled.store.message(samples::id(7_000 % filled.next)));
        assert!(found.expect("the store reads").is_some());
    })
}

/// From a place that is not in memory any more.
fn resuming(filled: &mut FilledStore) -> Duration {
    let after = filled.events / 4;
    timed(|| {
        let page = filled.block_on(
            filled
                .store
                .events(after, EventFilter::default(), 100.into()),
        );
        assert_eq!(page.expect("the store reads").events.len(), 100);
    })
}

/// Of messages whose time is over, and that no webhook is to be told of any more.
fn purging(filled: &mut FilledStore) -> Duration {
    filled.block_on(plan_nothing(&*filled.store));
    let before: Timestamp = begun().plus(Duration::from_secs(1));
    let took = timed(|| {
        let step = filled.block_on(filled.store.purge(before, STEP as usize));
        let removed = step.expect("the store removes").messages;
        assert_eq!(removed as u64, STEP);
    });
    took / STEP as u32
}

async fn plan_nothing(store: &dyn Store) {
    let planned_to = store.planned_to().await.expect("the store reads");
    let endpoints = store.endpoints().await.expect("the store reads");
    let bounds = store.bounds().await.expect("the store reads");
    let plan = Plan {
        from: planned_to,
        to: bounds.last,
        revision: endpoints.revision,
        now: begun(),
        deliveries: Vec::new(),
    };
    assert!(store.plan(plan).await.expect("the store plans"));
}

/// All that was left by who had the store before.
fn claiming(filled: &FilledStore) -> Duration {
    let mut claimed = 0;
    let took = timed(|| {
        loop {
            let some = filled
                .block_on(filled.store.claim(2_000))
                .expect("the store reads");
            if some.is_empty() {
                break;
            }
            claimed += some.len();
        }
    });
    took / u32::try_from(claimed.max(1)).expect("few enough")
}

/// One agent, which finds no server: nothing is sent, everything waits.
const ACCOUNT: &str = r#"
    uri = "sip:alice@example.com"
    servers = ["ws://127.0.0.1:9"]
"#;
const MESSAGE: &str = r#"{"target":"bob","body":"Hello"}"#;

/// Starts a gateway on a store, and prints how long it takes until it takes messages in, and what
/// it holds in memory for those that wait.
fn start(filled: FilledStore, measures: bool) {
    let runtime = filled.runtime.clone();
    let folder = filled.close();
    let config = configuration(folder.path(), ACCOUNT);
    let before = resident();
    let began = Instant::now();
    let gateway = runtime.block_on(Gateway::start(&config, Clock::system()));
    let gateway = gateway.expect("the gateway starts");
    let answer = post(gateway.address(), "/messages", MESSAGE);
    let took = began.elapsed();
    let status = answer.lines().next().unwrap_or_default();
    let status = status.trim_start_matches("HTTP/1.1 ");
    let grown = resident().saturating_sub(before) / 1024;
    println!(
        "\nA gateway on it answers the first message with {status} after {took:.2?}, and holds {grown} KiB more."
    );
    if measures {
        assert!(status.starts_with("202"), "{status}");
    }
    runtime.block_on(gateway.stop());
}

/// Bytes of memory that this process has.
fn resident() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0_u64) * 4096
}
