//! What the store costs: whole lives of messages, with many who each wait until theirs is durable.
//!
//! One element is one message: accepted, `sending`, `succeeded`, each awaited. `cargo bench --bench
//! store`; the figures depend on the disk's sync more than on anything else.

#![expect(clippy::expect_used, reason = "a benchmark that cannot run may panic")]

mod samples;

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use criterion::BenchmarkId;
use criterion::Criterion;
use criterion::Throughput;
use criterion::criterion_group;
use criterion::criterion_main;
use sipost::message::Status;
use sipost::message::Timestamp;
use sipost::store::EventFilter;
use sipost::store::MessageFilter;
use sipost::store::Store;
use sipost::store::sqlite;
use tokio::runtime::Runtime;

use crate::samples::accept;
use crate::samples::finish;
use crate::samples::id;
use crate::samples::received as one_received;
use crate::samples::sending;
use crate::samples::succeeded;

criterion_group!(benches, lives, received, beside_many_others, reads, events);
criterion_main!(benches);

/// A store in a folder of its own, and what makes messages for it.
struct StoreFixture {
    runtime: Runtime,
    store: Arc<dyn Store>,
    next: Arc<AtomicU64>,
    _folder: tempfile::TempDir,
}

impl StoreFixture {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .build()
            .expect("a runtime starts");
        let folder = tempfile::tempdir().expect("a folder is made");
        let options = sqlite::Options::new(folder.path().join("bench.db"));
        let store = sqlite::open(options, Timestamp::from_millis(0)).expect("a store opens");
        Self {
            runtime,
            store,
            next: Arc::default(),
            _folder: folder,
        }
    }

    /// How long so many messages take, among so many clients.
    fn lives(&self, messages: u64, clients: u64) -> Duration {
        let began = now();
        self.runtime.block_on(async {
            let left = Arc::new(AtomicU64::new(messages));
            let mut tasks = tokio::task::JoinSet::new();
            for _ in 0..clients {
                let (store, left, next) = (self.store.clone(), left.clone(), self.next.clone());
                tasks.spawn(async move {
                    let take = |left: u64| left.checked_sub(1);
                    while left
                        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
                        .is_ok()
                    {
                        live(&store, next.fetch_add(1, Ordering::Relaxed)).await;
                    }
                });
            }
            tasks.join_all().await;
        });
        now() - began
    }

    /// How long so many messages take that come in, so many at once, with two such batches under
    /// way.
    fn received(&self, messages: u64, batch: u64) -> Duration {
        let began = now();
        self.runtime.block_on(async {
            let mut before = None;
            for _ in 0..messages.div_ceil(batch) {
                let first = self.next.fetch_add(batch, Ordering::Relaxed);
                let batch = (first..first + batch).map(one_received).collect();
                let reply = self.store.receive(batch);
                if let Some(before) = before.replace(reply) {
                    black_box(before.await.expect("the store takes them in"));
                }
            }
            if let Some(last) = before {
                black_box(last.await.expect("the store takes them in"));
            }
        });
        now() - began
    }

    /// Fills the store: so many messages that have ended, so many that wait.
    fn fill(&self, ended: u64, waiting: u64) {
        self.runtime.block_on(async {
            for _ in 0..ended / 1_000 {
                let begin = self.next.fetch_add(1_000, Ordering::Relaxed);
                finish(&self.store, begin..begin + 1_000).await;
            }
            for _ in 0..waiting / 1_000 {
                let begin = self.next.fetch_add(1_000, Ordering::Relaxed);
                accept(&self.store, begin..begin + 1_000).await;
            }
        });
    }
}

async fn live(store: &Arc<dyn Store>, number: u64) {
    accept(store, number..number + 1).await;
    for record in [sending(number), succeeded(number)] {
        let answers = store.record(vec![record].into()).await;
        black_box(answers.expect("the store records"));
    }
}

fn lives(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("store/lives");
    group.throughput(Throughput::Elements(1)).sample_size(10);
    for clients in [1, 16, 64, 256] {
        let fixture = StoreFixture::new();
        group.bench_function(BenchmarkId::from_parameter(clients), |bencher| {
            bencher.iter_custom(|messages| fixture.lives(messages, clients));
        });
    }
    group.finish();
}

/// Messages that come in, as the dispatcher hands them over: what has gathered, and then the next.
fn received(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("store/received");
    group.throughput(Throughput::Elements(1)).sample_size(10);
    for batch in [1, 16, 256] {
        let fixture = StoreFixture::new();
        group.bench_function(BenchmarkId::from_parameter(batch), |bencher| {
            bencher.iter_custom(|messages| fixture.received(messages, batch));
        });
    }
    group.finish();
}

/// With many others in the store everything costs what it costs in an empty one.
fn beside_many_others(criterion: &mut Criterion) {
    // Without `--bench` this only has to run, not to measure.
    let size = if std::env::args().any(|argument| argument == "--bench") {
        1_000_000
    } else {
        1_000
    };
    let mut group = criterion.benchmark_group("store/beside_1000000_ended_and_100000_waiting");
    group.sample_size(10);
    let fixture = StoreFixture::new();
    fixture.fill(size, size / 10);
    group.throughput(Throughput::Elements(1));
    group.bench_function("lives/256", |bencher| {
        bencher.iter_custom(|messages| fixture.lives(messages, 256));
    });
    let queued = MessageFilter {
        status: Some(Status::Queued),
        ..MessageFilter::default()
    };
    for (name, filter) in [("list", MessageFilter::default()), ("list/queued", queued)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let page = fixture.store.messages(filter.clone(), None, 20);
                fixture.runtime.block_on(page).expect("the store reads")
            });
        });
    }
    group.finish();
}

fn reads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("store/reads");
    group.sample_size(10);
    let fixture = StoreFixture::new();
    fixture.fill(20_000, 0);
    let cases = [("events/memory", 40_000 - 100), ("events/disk", 1_000)];
    for (name, after) in cases {
        group.throughput(Throughput::Elements(100));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let page = fixture
                    .store
                    .events(after, EventFilter::default(), 100.into());
                fixture.runtime.block_on(page).expect("the store reads")
            });
        });
    }
    group.throughput(Throughput::Elements(1));
    group.bench_function("message", |bencher| {
        bencher.iter(|| {
            let found = fixture.store.message(id(7));
            fixture.runtime.block_on(found).expect("the store reads")
        });
    });
    group.finish();
}

/// What every reader of the log is given is written once.
fn events(criterion: &mut Criterion) {
    for (name, record) in [("sending", sending(7)), ("succeeded", succeeded(7))] {
        let mut json = Vec::new();
        criterion.bench_function(&format!("write the JSON of `{name}`"), |bencher| {
            bencher.iter(|| {
                json.clear();
                black_box(&record).event.write_members(&mut json);
                json.len()
            });
        });
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn now() -> Instant {
    Instant::now()
}
