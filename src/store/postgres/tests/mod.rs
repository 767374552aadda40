//! What only PostgreSQL has: replicas, leases, and a database that can go away.

mod turns;

use std::sync::{OnceLock, mpsc};

use tokio::runtime::Runtime;

use super::*;
use crate::clock::Clock;
use crate::message::{Disposition, EventKind, OnUnknown, Priority, Receipt, Received, Status};
use crate::store::suite::TestStore;
use crate::store::suite::samples::{
    accept, at, deferred, id, incoming, keyed, message, receipt, received_id, sending, submission,
    succeeded,
};
use crate::store::{AgentLease, EventFilter, LogStore as _, ReplicaStore as _, Stranded, suite};

/// Long enough that no busy machine lets it lapse by chance.
const LEASE: Duration = Duration::from_secs(60);

/// Does something on a runtime that outlives the test's.
fn elsewhere<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap()
    });
    let (done, result) = mpsc::channel();
    runtime.spawn(async move { done.send(work.await).ok() });
    result.recv().unwrap()
}

struct Database(String);

impl Database {
    fn new() -> Self {
        Self(testing::database())
    }

    fn options(&self, replica: &str, lease: Duration) -> Options {
        let mut options = Options::new(Address::parse(&self.0, None).unwrap(), replica);
        options.lease = lease;
        options
    }

    /// A replica on a runtime that outlives the test's: stores have tasks of their own.
    fn replica(&self, name: &str, lease: Duration) -> Arc<Postgres> {
        let options = self.options(name, lease);
        let opened = elsewhere(async { Postgres::open(options, at(0)).await });
        Arc::new(opened.unwrap())
    }

    fn execute(&self, sql: String) {
        let connector = Connector::new(Address::parse(&self.0, None).unwrap(), None);
        elsewhere(async move {
            let session = connector.connect(None).await.unwrap();
            session.client().batch_execute(&sql).await.unwrap();
        });
    }
}

impl TestStore for Database {
    fn open(&self) -> Arc<dyn Store> {
        self.replica("only", LEASE)
    }

    fn refuse(&self, table: &str, column: &str) {
        self.execute(format!(
            "ALTER TABLE {table} ADD CHECK ({column} <> '{}')",
            suite::REFUSED
        ));
    }
}

suite::store_suite!(Database::new);

/// A message of this number to a target of its own.
fn alone(number: u64) -> Message {
    let uri = format!("sip:user{number}@example.com");
    message(number).with(|contents| contents.uri = uri.into())
}

/// The next messages that are to be claimed, when there are some.
async fn claim(replica: &Arc<Postgres>) -> Vec<MessageId> {
    let mut claimable = replica.claimable();
    loop {
        claimable.borrow_and_update();
        let claimed = replica.claim(100).await.unwrap();
        if !claimed.is_empty() {
            return claimed.into_iter().map(|one| one.id).collect();
        }
        claimable.changed().await.unwrap();
    }
}

#[tokio::test]
async fn readers_that_hop_between_four_writing_replicas_see_every_event_once() {
    const MESSAGES: u64 = 60;
    let database = Database::new();
    let replicas: Vec<_> = (0..4)
        .map(|number| database.replica(&format!("r{number}"), LEASE))
        .collect();
    let mut writers = tokio::task::JoinSet::new();
    for (place, replica) in (0..).zip(replicas.clone()) {
        writers.spawn(async move {
            for number in place * MESSAGES..(place + 1) * MESSAGES {
                let new = vec![submission(vec![alone(number)])];
                assert_eq!(replica.accept(new).await.unwrap(), [Verdict::Accepted]);
                let records = vec![sending(number, 1, 1), succeeded(number, 1, 2)];
                let recorded = replica.record(records.into()).await.unwrap();
                assert!(!recorded.contains(&Recorded::Ended));
            }
        });
    }
    let expected = 4 * MESSAGES * 2;
    let mut readers = tokio::task::JoinSet::new();
    for offset in 0..3 {
        let replicas = replicas.clone();
        readers.spawn(async move {
            let (mut seen, mut after) = (Vec::new(), 0);
            for replica in replicas.iter().cycle().skip(offset) {
                if after == expected {
                    break;
                }
                let mut committed = replica.committed();
                let all = EventFilter::default();
                let page = replica.events(after, all, 7.into()).await.unwrap();
                seen.extend(page.events.iter().map(|event| event.seq));
                if page.scanned_to == after {
                    committed.wait_for(|last| *last > after).await.unwrap();
                }
                after = page.scanned_to;
            }
            seen
        });
    }
    for seen in readers.join_all().await {
        assert_eq!(seen, (1..=expected).collect::<Vec<_>>());
    }
    writers.join_all().await;
}

#[tokio::test]
async fn an_event_of_another_replica_is_known_before_it_is_heard_of() {
    let database = Database::new();
    let (writes, reads) = (
        database.replica("writes", LEASE),
        database.replica("reads", LEASE),
    );
    reads.follower.abort();
    let new = vec![submission(vec![message(1)])];
    writes.accept(new).await.unwrap();
    writes.record(vec![sending(1, 1, 1)].into()).await.unwrap();
    assert_eq!(reads.newest().await.unwrap(), 1);
}

/// The API refuses most of these; the store relies on no caller.
#[tokio::test]
async fn a_text_that_postgresql_does_not_hold_harms_only_its_submission() {
    let store = Database::new().open();
    let nul = || "a\0b".to_owned();
    let bad = [
        message(2).with(|contents| contents.uri = nul().into()),
        message(4).with(|contents| contents.account = Some(nul().into())),
    ];
    let mut submissions: Vec<_> = bad.map(|bad| submission(vec![bad])).into();
    submissions.push(keyed("a\0b", "k", 1, vec![message(6)]));
    submissions.push(keyed("app", "a\0b", 1, vec![message(8)]));
    // Larger than an index takes, however well it is compressed.
    let long = uuid::Uuid::from_u128(7).to_string().repeat(9_000);
    submissions.push(keyed("app", &long, 1, vec![message(10)]));
    let records: Vec<_> = (2..=11).map(|number| sending(number, 1, 1)).collect();
    for (place, odd) in (3..=11).step_by(2).enumerate() {
        submissions.insert(2 * place + 1, submission(vec![message(odd)]));
    }
    let (accepted, recorded) = store.accept_and_record(submissions, records.into());
    let accepted = accepted.await.unwrap();
    for pair in accepted.chunks(2) {
        let [Verdict::Rejected(text), Verdict::Accepted] = pair else {
            panic!("{accepted:?}");
        };
        assert!(text.contains("SQLSTATE"), "{text}");
    }
    let mut expected = Vec::new();
    for seq in 1..=5 {
        expected.extend([Recorded::Ended, Recorded::Appended(seq)]);
    }
    assert_eq!(recorded.await.unwrap(), expected);
    store.close().await.unwrap();
}

#[tokio::test]
async fn messages_to_one_target_belong_to_one_replica_in_their_order() {
    let database = Database::new();
    let (one, two) = (
        database.replica("one", LEASE),
        database.replica("two", LEASE),
    );
    let take = async |replica: &Arc<Postgres>, number| {
        let new = vec![submission(vec![message(number)])];
        replica.accept(new).await.unwrap().remove(0)
    };
    assert_eq!(take(&one, 1).await, Verdict::Accepted);
    // It may have begun with it already, before it knew that it is not for it to send.
    let new = vec![submission(vec![message(2)])];
    let (taken, recorded) = two.accept_and_record(new, vec![sending(2, 1, 2)].into());
    assert_eq!(taken.await.unwrap(), [Verdict::Elsewhere(vec![id(2)])]);
    assert_eq!(recorded.await.unwrap(), [Recorded::Ended]);
    // The owner itself has to wait for what it does not know of yet.
    assert_eq!(take(&one, 3).await, Verdict::Elsewhere(vec![id(3)]));
    assert_eq!(two.claim(9).await.unwrap(), []);
    assert_eq!(claim(&one).await, [id(2), id(3)]);
    assert_eq!(take(&one, 4).await, Verdict::Accepted);
    // Only the owner can tell what becomes of them.
    let ended = two.record(vec![succeeded(1, 1, 5)].into()).await.unwrap();
    assert_eq!(ended, [Recorded::Ended]);
    let records: Vec<_> = (1..=4).map(|number| succeeded(number, 1, 5)).collect();
    let recorded = one.record(records.into()).await.unwrap();
    assert!(!recorded.contains(&Recorded::Ended));
    assert_eq!(take(&two, 5).await, Verdict::Accepted);
}

/// An index of all that is open is small, and is another one than that of the ids.
#[tokio::test]
async fn the_messages_of_records_are_found_by_their_ids() {
    let database = Database::new();
    let store: Arc<dyn Store> = database.replica("only", LEASE);
    let ids = 1..=200;
    accept(&store, ids.clone()).await;
    let records: Vec<_> = ids.skip(1).map(|number| succeeded(number, 1, 5)).collect();
    store.record(records.into()).await.unwrap();
    let connector = Connector::new(Address::parse(&database.0, None).unwrap(), None);
    let session = connector.connect(None).await.unwrap();
    let client = session.client();
    client.batch_execute("VACUUM ANALYZE states").await.unwrap();
    for (name, sql) in ["look", "append"].iter().zip(record::STATEMENTS) {
        let params = (1..).take_while(|number| sql.contains(&format!("${number}")));
        let nulls = vec!["NULL"; params.count()].join(", ");
        let explain = format!("PREPARE {name} AS {sql}; EXPLAIN EXECUTE {name} ({nulls})");
        let plan = client.simple_query(&explain).await.unwrap();
        let lines = plan.iter().filter_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        let plan = lines.collect::<Vec<_>>().join("\n");
        assert!(plan.contains("states_pkey on states"), "{plan}");
        assert!(!plan.contains("states_open"), "{plan}");
        assert!(!plan.contains("states_lanes"), "{plan}");
    }
}

/// Its recipient would otherwise have two messages at once, and one of them twice.
#[tokio::test]
async fn what_is_another_replicas_to_send_does_not_begin_where_it_was_taken_in() {
    let database = Database::new();
    let (one, two) = (
        database.replica("one", LEASE),
        database.replica("two", LEASE),
    );
    one.accept(vec![submission(vec![message(1)])])
        .await
        .unwrap();
    let begin = async |replica: &Arc<Postgres>, number| {
        let new = vec![
            submission(vec![message(number)]),
            submission(vec![alone(9)]),
        ];
        let records = vec![sending(number, 1, 5), sending(9, 1, 5)];
        let (accepted, recorded) = replica.accept_and_record(new, records.into());
        (accepted.await.unwrap(), recorded.await.unwrap())
    };
    let (accepted, recorded) = begin(&two, 2).await;
    assert_eq!(
        accepted,
        [Verdict::Elsewhere(vec![id(2)]), Verdict::Accepted]
    );
    assert_eq!(recorded, [Recorded::Ended, Recorded::Appended(1)]);
    // Nor where what came before it is still to be picked up.
    let new = vec![submission(vec![message(3)])];
    let (accepted, recorded) = one.accept_and_record(new, vec![sending(3, 1, 5)].into());
    assert_eq!(accepted.await.unwrap(), [Verdict::Elsewhere(vec![id(3)])]);
    assert_eq!(recorded.await.unwrap(), [Recorded::Ended]);
    let claimed = one.claim(9).await.unwrap();
    let told = claimed.iter().map(|one| (one.id, one.attempt));
    assert_eq!(told.collect::<Vec<_>>(), [(id(2), 0), (id(3), 0)]);
}

#[tokio::test]
async fn a_replica_says_which_one_has_a_message_to_send_and_until_when() {
    let database = Database::new();
    let (one, two) = (
        database.replica("one", LEASE),
        database.replica("two", LEASE),
    );
    let holder = async |replica: &Arc<Postgres>, number| {
        let mut holders = replica.holders(vec![id(number)]).await.unwrap();
        holders.remove(&id(number)).map(|holder| holder.replica)
    };
    one.accept(vec![submission(vec![message(1)])])
        .await
        .unwrap();
    let now = Clock::system().now();
    let told = &two.holders(vec![id(1)]).await.unwrap()[&id(1)];
    assert_eq!(told.replica, "one");
    assert!(told.until > now && told.until < now.plus(2 * LEASE));
    // The one that has it can say more than that.
    assert_eq!(holder(&one, 1).await, None);
    // Until it has taken it up it knows no more than others do.
    two.accept(vec![submission(vec![message(2)])])
        .await
        .unwrap();
    assert_eq!(holder(&one, 2).await.as_deref(), Some("one"));
    // All of a page in one query: two waits at one, three never was.
    let page = two.holders(vec![id(3), id(2), id(1)]).await.unwrap();
    assert!(page.len() == 2 && page.values().all(|holder| holder.replica == "one"));
    assert_eq!(claim(&one).await, [id(2)]);
    assert_eq!(holder(&one, 2).await, None);
    // A message that is being sent, has ended, or is unknown waits for no replica.
    one.record(vec![sending(1, 1, 5)].into()).await.unwrap();
    assert_eq!(holder(&two, 1).await, None);
    one.record(vec![succeeded(1, 1, 6)].into()).await.unwrap();
    assert_eq!(holder(&two, 1).await, None);
    assert_eq!(holder(&two, 3).await, None);
}

#[tokio::test]
async fn what_a_silent_replica_holds_goes_to_another_and_it_can_do_nothing_about_it() {
    let database = Database::new();
    let lease = Duration::from_secs(1);
    let (gone, left) = (
        database.replica("gone", lease),
        database.replica("left", lease),
    );
    let new = (1..=3)
        .map(|number| submission(vec![message(number)]))
        .collect();
    gone.accept(new).await.unwrap();
    gone.record(vec![sending(1, 1, 1)].into()).await.unwrap();
    assert!(gone.is_held());
    // Its process stands still: nothing renews the lease.
    gone.follower.abort();
    assert_eq!(claim(&left).await, [id(1), id(2), id(3)]);
    assert!(!gone.is_held());
    let late = vec![succeeded(1, 1, 9), sending(2, 1, 9)];
    assert_eq!(
        gone.record(late.into()).await.unwrap(),
        [Recorded::Ended; 2]
    );
    // It is back under another number, and what it takes in now is its own.
    let new = vec![submission(vec![alone(4)])];
    assert_eq!(gone.accept(new).await.unwrap(), [Verdict::Accepted]);
    let recorded = gone.record(vec![sending(4, 1, 9)].into()).await.unwrap();
    assert_ne!(recorded, [Recorded::Ended]);
}

#[tokio::test]
async fn what_a_replica_held_that_left_is_taken_over_at_once_by_one_other() {
    let database = Database::new();
    let replicas = ["a", "b", "c"].map(|name| database.replica(name, LEASE));
    let store: Arc<dyn Store> = replicas[0].clone();
    accept(&store, 1..=20).await;
    let new = (21..=60)
        .map(|number| submission(vec![alone(number)]))
        .collect();
    store.accept(new).await.unwrap();
    store.close().await.unwrap();
    let (b, c) = tokio::join!(replicas[1].claim(100), replicas[2].claim(100));
    let (b, c) = (b.unwrap(), c.unwrap());
    let mut ids: Vec<_> = b.iter().chain(&c).map(|one| one.id).collect();
    ids.sort_unstable();
    assert_eq!(ids, (1..=60).map(id).collect::<Vec<_>>());
    // A lane is never divided.
    let of_bob = |claimed: &[Claimed]| {
        let bob = message(1).contents.uri;
        claimed.iter().filter(|one| one.uri == bob).count()
    };
    assert!([0, 20].contains(&of_bob(&b)), "{}", of_bob(&b));
}

#[tokio::test]
async fn what_is_urgent_is_claimed_before_what_is_older() {
    let database = Database::new();
    let (left, other) = (database.replica("a", LEASE), database.replica("b", LEASE));
    let of_class = |number, class| alone(number).with(|contents| contents.priority = Some(class));
    let new = [
        of_class(1, Priority::NonUrgent),
        alone(2),
        of_class(3, Priority::Urgent),
        alone(4),
        of_class(5, Priority::Emergency),
    ];
    left.accept(vec![submission(new.into())]).await.unwrap();
    left.close().await.unwrap();
    let mut claimed = Vec::new();
    for _ in 0..5 {
        let one = other.claim(1).await.unwrap();
        claimed.extend(one.iter().map(|one| one.id));
    }
    claimed[..2].sort_unstable();
    claimed[2..].sort_unstable();
    assert_eq!(claimed, [3, 5, 1, 2, 4].map(id));
}

#[tokio::test]
async fn one_key_at_two_replicas_makes_one_message() {
    let database = Database::new();
    let replicas = ["a", "b"].map(|name| database.replica(name, LEASE));
    let mut clients = tokio::task::JoinSet::new();
    for number in 1..=20 {
        let replica = replicas[number as usize % 2].clone();
        let request = keyed("app", "once", 9, vec![message(number)]);
        clients.spawn(async move { replica.accept(vec![request]).await.unwrap().remove(0) });
    }
    let verdicts = clients.join_all().await;
    let new = verdicts
        .iter()
        .filter(|one| !matches!(one, Verdict::Replayed(_)));
    assert_eq!(new.count(), 1);
}

#[tokio::test]
async fn a_database_that_was_away_is_used_again() {
    let mut cluster = testing::Cluster::start();
    let database = Database(cluster.database());
    let store = database.replica("only", Duration::from_secs(1));
    store
        .accept(vec![submission(vec![message(1)])])
        .await
        .unwrap();
    cluster.stop_server();
    let refused = store.accept(vec![submission(vec![message(2)])]).await;
    assert!(matches!(refused, Err(StoreError::Away(_))), "{refused:?}");
    assert!(matches!(
        store.message(id(1)).await,
        Err(StoreError::Away(_))
    ));
    assert!(matches!(store.check().await, Err(StoreError::Away(_))));
    cluster.start_server();
    let back = async {
        while store.check().await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    let back = tokio::time::timeout(Duration::from_secs(30), back).await;
    back.expect("the database is used again");
    // The commit failed for no fault of a message, so none is lost.
    let recorded = store.record(vec![sending(1, 1, 1)].into()).await.unwrap();
    assert_eq!(recorded, [Recorded::Appended(1)]);
    assert!(store.message(id(1)).await.unwrap().is_some());
    assert!(store.message(id(2)).await.unwrap().is_none());
}

#[tokio::test]
async fn a_commit_of_unknown_fate_is_asked_about() {
    let database = Database::new();
    let store = database.replica("only", LEASE);
    let other = Connector::new(Address::parse(&database.0, None).unwrap(), None);
    let other = other.connect(None).await.unwrap();
    // Whatever is committed is committed, and the session is gone before it can say so.
    let written = store.accept(vec![submission(vec![message(1)])]).await;
    written.unwrap();
    other
        .client()
        .batch_execute(
            "CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$; \
             CREATE CONSTRAINT TRIGGER cut AFTER INSERT ON events DEFERRABLE INITIALLY DEFERRED \
             FOR EACH ROW EXECUTE FUNCTION cut()",
        )
        .await
        .unwrap();
    // The session ends within its commit, before it counts.
    let refused = store.record(vec![sending(1, 1, 1)].into()).await;
    assert!(matches!(refused, Err(StoreError::Away(_))), "{refused:?}");
    other
        .client()
        .batch_execute("DROP TRIGGER cut ON events")
        .await
        .unwrap();
    let recorded = store.record(vec![sending(1, 1, 1)].into()).await.unwrap();
    assert_eq!(recorded, [Recorded::Appended(1)]);
}

#[tokio::test]
async fn replicas_that_start_together_make_the_tables_once() {
    let database = Arc::new(Database::new());
    let starting: Vec<_> = (0..4)
        .map(|number| {
            let database = database.clone();
            std::thread::spawn(move || database.replica(&format!("r{number}"), LEASE))
        })
        .collect();
    // None is gone before all are there: they would wait for the end of its lease.
    let replicas: Vec<_> = starting
        .into_iter()
        .map(|one| one.join().unwrap())
        .collect();
    let mut epochs: Vec<_> = replicas.iter().map(|one| one.epoch()).collect();
    epochs.dedup();
    assert_eq!(epochs.len(), 1);
}

/// As a database is that was put back from a dump: what follows it is up to chance and to us.
#[tokio::test]
async fn a_database_that_was_put_back_begins_a_new_epoch_while_nobody_works_on_it() {
    let database = Database::new();
    let store: Arc<dyn Store> = database.replica("only", LEASE);
    let careful = |number| alone(number).with(|contents| contents.on_unknown = OnUnknown::Fail);
    let later = careful(3).with(|contents| contents.send_at = Some(at(9_000)));
    let messages = vec![alone(1), careful(2), later];
    store.accept(vec![submission(messages)]).await.unwrap();
    store.record(vec![sending(1, 1, 1)].into()).await.unwrap();
    let page = store.events_of(id(1), 0, 9.into()).await.unwrap();
    let event = page.events[0].clone();
    let queue: Arc<str> = "https://app.example/hook".into();
    let mut delivery = suite::webhooks::delivery(&queue, 1, 1);
    delivery.json = event.json;
    assert!(suite::webhooks::plan(&store, 1, vec![delivery]).await);
    let old = store.epoch();

    let address = || Address::parse(&database.0, None).unwrap();
    let refused = begin_epoch(address(), None, at(5_000)).await;
    let Err(StoreError::Locked(why)) = refused else {
        panic!("{refused:?}");
    };
    assert!(why.contains("work on it: only."), "{why}");
    assert!(why.contains(" s here"), "{why}");
    store.close().await.unwrap();
    drop(store);
    let first = begin_epoch(address(), None, at(0)).await.unwrap();
    let second = begin_epoch(address(), None, at(5_000)).await.unwrap();
    assert!(old < first && first < second, "{old} {first} {second}");

    let store: Arc<dyn Store> = database.replica("only", LEASE);
    assert_eq!(store.epoch(), second);
    let page = store.events_of(id(1), 0, 9.into()).await.unwrap();
    let event = page.events[0].clone();
    let due = store.due(queue, at(10_000), 9.into()).await.unwrap();
    assert_eq!(due.deliveries[0].json, event.json);
    let expected = [
        (id(1), Status::Sending, 1),
        (id(2), Status::Sending, 1),
        (id(3), Status::Scheduled, 0),
    ];
    let mut claimed = store.claim(10).await.unwrap();
    claimed.sort_unstable_by_key(|one| one.id);
    let told: Vec<_> = claimed
        .iter()
        .map(|one| (one.id, one.status, one.attempt))
        .collect();
    assert_eq!(told, expected);
    store.close().await.unwrap();
}

/// The steps of docs/operating.md.
#[tokio::test]
async fn a_dump_that_is_put_back_is_the_store_of_when_it_was_made_in_a_new_epoch() {
    let database = Database::new();
    let folder = tempfile::tempdir().unwrap();
    let dump = folder.path().join("dump");
    let store: Arc<dyn Store> = database.replica("only", LEASE);
    accept(&store, [1]).await;
    store.record(vec![sending(1, 1, 1)].into()).await.unwrap();
    let mut pg_dump = testing::program("pg_dump");
    pg_dump.args(["--format=custom", "--file"]).arg(&dump);
    assert!(pg_dump.arg(&database.0).status().unwrap().success());
    accept(&store, [2]).await;
    store.record(vec![succeeded(1, 1, 2)].into()).await.unwrap();
    let old = store.epoch();
    store.close().await.unwrap();
    drop(store);

    let mut pg_restore = testing::program("pg_restore");
    pg_restore.args(["--clean", "--if-exists", "--dbname", &database.0]);
    assert!(pg_restore.arg(&dump).status().unwrap().success());
    // After some seconds the lease in a dump is over, and after some more its replica is fenced.
    let fence = "UPDATE replicas SET fenced = true, lease_until = clock_timestamp()";
    database.execute(fence.to_owned());
    let address = Address::parse(&database.0, None).unwrap();
    let new = begin_epoch(address, None, at(5_000)).await.unwrap();
    assert!(old < new, "{old} {new}");

    let store: Arc<dyn Store> = database.replica("only", LEASE);
    assert_eq!(store.epoch(), new);
    assert!(store.message(id(2)).await.unwrap().is_none());
    let claimed = store.claim(10).await.unwrap();
    let told: Vec<_> = claimed.iter().map(|one| (one.id, one.status)).collect();
    assert_eq!(told, [(id(1), Status::Sending)]);
    let recorded = store.record(vec![succeeded(1, 1, 3)].into()).await.unwrap();
    assert_eq!(recorded, [Recorded::Appended(2)]);
    store.close().await.unwrap();
}

#[tokio::test]
async fn what_is_no_store_of_ours_begins_no_epoch() {
    let database = Database::new();
    let address = Address::parse(&database.0, None).unwrap();
    let refused = begin_epoch(address, None, at(0)).await;
    assert!(
        matches!(refused, Err(StoreError::Foreign(_))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn the_version_before_goes_on_beside_a_newer_one_and_the_one_before_that_does_not() {
    let database = Database::new();
    let running: Arc<dyn Store> = database.replica("running", LEASE);
    let newer = Connector::new(Address::parse(&database.0, None).unwrap(), None);
    let newer = newer.connect(None).await.unwrap();
    let known = schema::fact(&newer, "version").await.unwrap();
    let next = "UPDATE facts SET value = value + 1 WHERE name = 'version'";

    newer.client().batch_execute(next).await.unwrap();
    let restarted: Arc<dyn Store> = database.replica("restarted", LEASE);
    accept(&running, [1]).await;
    accept(&restarted, [2]).await;
    // What the newer one did is not taken back, else it would be done twice.
    assert_eq!(schema::fact(&newer, "version").await.unwrap(), known + 1);

    newer.client().batch_execute(next).await.unwrap();
    let Err(refusal) = Postgres::open(database.options("late", LEASE), at(0)).await else {
        panic!("it was opened");
    };
    assert!(matches!(refusal, StoreError::Newer { .. }), "{refusal}");
}

fn leases(count: u32) -> Vec<AgentLease> {
    let lease = |number| AgentLease {
        account: "sip:alice@example.com".into(),
        number,
    };
    (1..=count).map(lease).collect()
}

#[tokio::test]
async fn agents_are_shared_out_and_given_up_before_they_are_taken() {
    let database = Database::new();
    let (one, two) = (
        database.replica("one", LEASE),
        database.replica("two", LEASE),
    );
    let all = leases(4);
    assert_eq!(one.leases(all.clone(), Vec::new()).await.unwrap(), all);
    // What the first one runs is not for the second before it has ended.
    assert_eq!(two.leases(all.clone(), Vec::new()).await.unwrap(), []);
    let stays = one.leases(all.clone(), all.clone()).await.unwrap();
    assert_eq!(stays.len(), 2);
    assert_eq!(two.leases(all.clone(), Vec::new()).await.unwrap(), []);
    assert_eq!(one.leases(all.clone(), stays.clone()).await.unwrap(), stays);
    let taken = two.leases(all.clone(), Vec::new()).await.unwrap();
    let mut both = [stays, taken].concat();
    both.sort_unstable();
    assert_eq!(both, all);
    // One that leaves has nothing any more.
    one.close().await.unwrap();
    assert_eq!(two.leases(all.clone(), Vec::new()).await.unwrap(), all);
}

#[tokio::test]
async fn a_message_goes_to_a_replica_that_has_its_account() {
    let database = Database::new();
    let (with, without) = (
        database.replica("with", LEASE),
        database.replica("without", LEASE),
    );
    let take = async |number, account: Option<&str>| {
        let new = alone(number).with(|contents| contents.account = account.map(Into::into));
        let verdicts = without.accept(vec![submission(vec![new])]).await.unwrap();
        verdicts[0] == Verdict::Accepted
    };
    // While no replica has an agent, each keeps what it takes in.
    assert!(take(1, Some("sip:alice@example.com")).await);
    assert_eq!(with.leases(leases(1), Vec::new()).await.unwrap(), leases(1));
    assert_eq!(without.leases(leases(1), Vec::new()).await.unwrap(), []);
    assert!(!take(2, Some("sip:alice@example.com")).await);
    assert!(!take(3, None).await);
    assert!(take(4, Some("sip:carol@example.com")).await);
    let mut claimed = claim(&with).await;
    claimed.sort_unstable();
    assert_eq!(claimed, [id(2), id(3)]);
    // What was kept is given to who can send it.
    let lane = |number, account: &str| Stranded {
        uri: alone(number).contents.uri,
        account: Some(account.into()),
    };
    let stranded = vec![
        lane(1, "sip:alice@example.com"),
        lane(4, "sip:carol@example.com"),
    ];
    let given = without.hand_over(stranded).await.unwrap();
    assert_eq!(given, [alone(1).contents.uri]);
    assert_eq!(claim(&with).await, [id(1)]);
    let recorded = without.record(vec![sending(1, 1, 1)].into()).await.unwrap();
    assert_eq!(recorded, [Recorded::Ended]);
}

#[tokio::test]
async fn replicas_tell_each_other_of_their_agents_and_pass_on_what_those_are_asked_for() {
    use crate::message::{AgentOrder, AgentState, AgentStatus};
    let database = Database::new();
    let (one, two) = (
        database.replica("one", LEASE),
        database.replica("two", LEASE),
    );
    let agent = |id: &str, replica: Option<&str>| AgentStatus {
        id: id.into(),
        since: at(1),
        registered_until: Some(at(2)),
        in_flight: 3,
        sent: 4,
        succeeded: 5,
        failed: 6,
        last_error: Some("a \"quoted\" one".to_owned()),
        replica: replica.map(Into::into),
        ..AgentStatus::sample(AgentState::Registered)
    };
    let own = vec![agent("alice-1", None)];
    let shared = one.share_agents(own, Vec::new()).await.unwrap();
    assert_eq!((shared.agents, shared.orders), (Vec::new(), Vec::new()));
    let orders = vec![
        ("alice-1".into(), AgentOrder::Drain),
        ("nobody-1".into(), AgentOrder::Drain),
        ("alice-1".into(), AgentOrder::Resume),
    ];
    let shared = two.share_agents(Vec::new(), orders).await.unwrap();
    assert_eq!(shared.agents, [agent("alice-1", Some("one"))]);
    let shared = one.share_agents(Vec::new(), Vec::new()).await.unwrap();
    let asked = [
        ("alice-1".into(), AgentOrder::Drain),
        ("alice-1".into(), AgentOrder::Resume),
    ];
    assert_eq!(shared.orders, asked);
    let shared = two.share_agents(Vec::new(), Vec::new()).await.unwrap();
    assert_eq!(shared.agents, []);
}

#[tokio::test]
async fn one_replica_does_what_is_done_once_and_then_another() {
    let database = Database::new();
    let one = database.replica("one", LEASE);
    one.leads().wait_for(|leads| *leads).await.unwrap();
    let two = database.replica("two", LEASE);
    // It has looked at least once.
    let mut claimable = two.claimable();
    let store: Arc<dyn Store> = one.clone();
    accept(&store, [1]).await;
    two.accept(vec![submission(vec![message(2)])])
        .await
        .unwrap();
    assert!(!*two.leads().borrow());
    store.close().await.unwrap();
    claimable.changed().await.unwrap();
    two.leads().wait_for(|leads| *leads).await.unwrap();
}

/// A proxy forks a request to the agents of an account, which are at several replicas.
#[tokio::test]
async fn forks_that_reach_two_replicas_at_once_are_one_message() {
    const MESSAGES: u64 = 200;
    let database = Database::new();
    let replicas = [
        database.replica("one", LEASE),
        database.replica("two", LEASE),
    ];
    let mut asked = Vec::new();
    for number in 1..=MESSAGES {
        for (place, replica) in (0..).zip(&replicas) {
            let fork = Received {
                id: received_id(number + place * 1_000),
                ..incoming(number)
            };
            asked.push(replica.receive(vec![fork]));
            // Other writers of the log go on meanwhile.
            let own = message(number + place * 1_000);
            drop(replica.accept(vec![submission(vec![own])]));
        }
    }
    let mut seqs = Vec::new();
    let mut repeated = 0;
    for arrived in asked {
        match arrived.await.unwrap()[..] {
            [Arrived::Appended(seq)] => seqs.push(seq),
            [Arrived::Repeated] => repeated += 1,
            ref other => panic!("{other:?}"),
        }
    }
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=MESSAGES).collect::<Vec<_>>());
    assert_eq!(repeated, MESSAGES);
    for replica in replicas {
        let mut committed = replica.committed();
        committed.wait_for(|last| *last == MESSAGES).await.unwrap();
        let all = EventFilter::default();
        let page = replica.events(0, all, 1_000.into()).await.unwrap();
        assert_eq!(page.events.len() as u64, MESSAGES);
        replica.close().await.unwrap();
    }
}

/// Receipts reach any replica, while the one that sends a message goes on with it.
#[tokio::test]
async fn receipts_at_another_replica_break_no_chain_of_events() {
    const ATTEMPTS: u32 = 60;
    const RECIPIENTS: usize = 16;
    let database = Database::new();
    let sender = database.replica("sender", LEASE);
    let other = database.replica("other", LEASE);
    sender
        .accept(vec![submission(vec![message(1)])])
        .await
        .unwrap();
    sender.record(vec![sending(1, 1, 1)].into()).await.unwrap();
    let attempts = async {
        for attempt in 1..ATTEMPTS {
            let again = vec![deferred(1, attempt, 2, at(2)), sending(1, attempt + 1, 2)];
            let recorded = sender.record(again.into()).await.unwrap();
            assert!(matches!(
                recorded[..],
                [Recorded::Appended(_), Recorded::Appended(_)]
            ));
        }
        let end = vec![succeeded(1, ATTEMPTS, 3)];
        sender.record(end.into()).await.unwrap();
    };
    let receipts = async {
        for number in 0..RECIPIENTS {
            let recipient = format!("sip:user{number}@example.com");
            let displayed = Receipt {
                disposition: Disposition::Displayed,
                ..receipt(1, &recipient, 2)
            };
            for receipt in [receipt(1, &recipient, 2), displayed] {
                let at_both = vec![receipt];
                let here = other.report(at_both.clone());
                let there = sender.report(at_both);
                let mut all = here.await.unwrap();
                all.extend(there.await.unwrap());
                let is_new = |one: &&Reported| matches!(one, Reported::Appended(_));
                assert_eq!(all.iter().filter(is_new).count(), 1, "{all:?}");
            }
        }
    };
    futures_util::future::join(attempts, receipts).await;
    let events = 2 * u64::from(ATTEMPTS) + 2 * RECIPIENTS as u64;
    assert_eq!(sender.newest().await.unwrap(), events);
    for replica in [&sender, &other] {
        let page = replica.events_of(id(1), 0, 1_000.into()).await.unwrap();
        assert_eq!(page.events.len() as u64, events);
        let stored = replica.message(id(1)).await.unwrap().unwrap();
        assert_eq!(
            (stored.status, stored.attempt),
            (Status::Succeeded, ATTEMPTS)
        );
        assert_eq!(stored.result.unwrap().kind, EventKind::Succeeded);
    }
    sender.close().await.unwrap();
    other.close().await.unwrap();
}

#[tokio::test]
async fn what_is_erased_at_one_replica_is_gone_from_the_memory_of_the_others() {
    let database = Database::new();
    let one = database.replica("one", LEASE);
    let other = database.replica("other", LEASE);
    one.receive(vec![incoming(1), incoming(2)]).await.unwrap();
    let mut committed = other.committed();
    committed.wait_for(|last| *last == 2).await.unwrap();
    let shown = async || {
        let page = other.events(0, EventFilter::default(), 9.into()).await;
        page.unwrap().events
    };
    assert_eq!(shown().await.len(), 2);
    assert!(one.erase(received_id(1)).await.unwrap());
    assert!(!other.erase(received_id(1)).await.unwrap());
    let left = loop {
        let events = shown().await;
        assert_eq!(events.len(), 2);
        if events[0].uri.is_empty() {
            break events;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(&*left[1].uri, "sip:bob@example.com");
    let here = one
        .events(0, EventFilter::default(), 9.into())
        .await
        .unwrap();
    assert_eq!(here.events, left);
    one.close().await.unwrap();
    other.close().await.unwrap();
}
