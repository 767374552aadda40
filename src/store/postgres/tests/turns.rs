//! Transactions of a replica: how many trips they take, and what becomes of one whose answer is
//! lost or that comes late.

use std::sync::Mutex;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;

use super::*;

/// What a way to the database does to the session that writes, with its next transaction.
#[derive(Default)]
enum Fault {
    #[default]
    None,
    /// No answer is passed on while a transaction is under way, until its commit has passed.
    OneTrip,
    /// The answers to a commit are lost, and to what was sent along with it, and the connection.
    LosesAnswers,
    /// The connection is lost at once. The transaction arrives when it is told to, and tells what
    /// it was answered.
    ComesLate(oneshot::Receiver<()>, oneshot::Sender<Vec<u8>>),
}

/// A way to the database that has faults. Its folder lives as long as it does.
struct Way {
    _folder: tempfile::TempDir,
    database: Database,
    fault: Arc<Mutex<Fault>>,
}

impl Way {
    fn to(database: &Database) -> Self {
        let (user, rest) = database.0.split_once('@').unwrap();
        let (host, name) = rest.split_once('/').unwrap();
        let folder = tempfile::tempdir().unwrap();
        let socket = |folder: &std::path::Path| folder.join(".s.PGSQL.5432");
        let real = socket(std::path::Path::new(&host.replace("%2F", "/")));
        let faulty = socket(folder.path());
        let fault = Arc::new(Mutex::new(Fault::None));
        let next = fault.clone();
        elsewhere(async move {
            let listener = UnixListener::bind(faulty).unwrap();
            tokio::spawn(async move {
                loop {
                    let (client, _) = listener.accept().await.unwrap();
                    let server = UnixStream::connect(&real).await.unwrap();
                    tokio::spawn(pass_on(client, server, next.clone()));
                }
            });
        });
        let host = folder.path().to_str().unwrap().replace('/', "%2F");
        Self {
            database: Database(format!("{user}@{host}/{name}")),
            _folder: folder,
            fault,
        }
    }

    fn set(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }
}

fn holds(bytes: &[u8], word: &str) -> bool {
    let word = [word.as_bytes(), b"\0"].concat();
    bytes.windows(word.len()).any(|part| part == word)
}

async fn pass_on(mut client: UnixStream, mut server: UnixStream, next: Arc<Mutex<Fault>>) {
    let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
    let mut fault = Fault::None;
    let mut late = Vec::new();
    let mut commits = false;
    loop {
        let waits = matches!(fault, Fault::OneTrip) && !commits;
        let is_late = matches!(fault, Fault::ComesLate(..));
        tokio::select! {
            count = client.read(&mut asked) => {
                let Ok(count @ 1..) = count else { return };
                let bytes = &asked[..count];
                if holds(bytes, "BEGIN") {
                    fault = std::mem::take(&mut *next.lock().unwrap());
                    commits = false;
                }
                commits |= holds(bytes, "COMMIT");
                match fault {
                    Fault::ComesLate(comes, came) if commits => {
                        late.extend_from_slice(bytes);
                        drop(client);
                        return come_late(server, &late, comes, came).await;
                    }
                    Fault::ComesLate(..) => late.extend_from_slice(bytes),
                    _ => server.write_all(bytes).await.unwrap(),
                }
            }
            count = server.read(&mut answered), if !waits && !is_late => {
                let Ok(count @ 1..) = count else { return };
                let bytes = &answered[..count];
                let is_lost = commits && matches!(fault, Fault::LosesAnswers);
                if is_lost && holds(bytes, "COMMIT") {
                    return;
                }
                if !is_lost && client.write_all(bytes).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// A transaction arrives, and is answered.
async fn come_late(
    mut server: UnixStream,
    transaction: &[u8],
    comes: oneshot::Receiver<()>,
    came: oneshot::Sender<Vec<u8>>,
) {
    comes.await.unwrap();
    server.write_all(transaction).await.unwrap();
    let (mut answers, mut part) = (Vec::new(), vec![0; 65_536]);
    while !holds(&answers, "COMMIT") && !holds(&answers, "ROLLBACK") {
        let count = server.read(&mut part).await.unwrap();
        assert!(count > 0, "the session ended");
        answers.extend_from_slice(&part[..count]);
    }
    came.send(answers).unwrap();
}

/// A replica that has written before, and is not told of what it appends by another.
async fn only_one_on(database: &Database) -> Arc<Postgres> {
    let replica = database.replica("only", LEASE);
    replica.follower.abort();
    let store: Arc<dyn Store> = replica.clone();
    accept(&store, [1]).await;
    let first = store.record(vec![sending(1, 1, 1)].into()).await.unwrap();
    assert_eq!(first, [Recorded::Appended(1)]);
    replica
}

/// The same, and it knows that it is alone.
async fn alone_on(database: &Database) -> Arc<Postgres> {
    let replica = only_one_on(database).await;
    let connector = Connector::new(Address::parse(&database.0, None).unwrap(), None);
    let session = elsewhere(async move { connector.connect(None).await.unwrap() });
    replica.lease.renew(&session).await.unwrap();
    replica.lease.look_around(&session).await.unwrap();
    assert!(replica.is_alone());
    let new = vec![submission(vec![alone(9)])];
    assert_eq!(replica.accept(new).await.unwrap(), [Verdict::Accepted]);
    let recorded = replica.record(vec![sending(1, 2, 1)].into()).await.unwrap();
    assert_eq!(recorded, [Recorded::Appended(2)]);
    replica
}

/// What a replica showed of its events is what another one reads after it.
async fn has_told_what_is_there(replica: &Arc<Postgres>, database: &Database) {
    let shown = replica.events(0, EventFilter::default(), 9.into()).await;
    replica.close().await.unwrap();
    let other = database.replica("other", LEASE);
    let read = other.events(0, EventFilter::default(), 9.into()).await;
    assert_eq!(shown.unwrap().events, read.unwrap().events);
}

#[tokio::test]
async fn what_a_replica_writes_that_is_alone_takes_one_trip() {
    let database = Database::new();
    let way = Way::to(&database);
    let replica = alone_on(&way.database).await;
    let answered = async {
        way.set(Fault::OneTrip);
        let new = vec![submission(vec![alone(2)]), submission(vec![alone(3)])];
        let (accepted, recorded) = replica.accept_and_record(new, vec![sending(2, 1, 2)].into());
        assert_eq!(accepted.await.unwrap(), [const { Verdict::Accepted }; 2]);
        assert_eq!(recorded.await.unwrap(), [Recorded::Appended(3)]);
        way.set(Fault::OneTrip);
        // The newest event of one is in the log, of one in the batch, and one has none.
        let records = vec![succeeded(1, 1, 3), sending(3, 1, 4), succeeded(3, 1, 5)];
        let recorded = replica.record(records.into()).await.unwrap();
        assert_eq!(recorded, [4, 5, 6].map(Recorded::Appended));
        way.set(Fault::OneTrip);
        let recorded = replica.record(vec![succeeded(2, 1, 6)].into()).await;
        assert_eq!(recorded.unwrap(), [Recorded::Appended(7)]);
    };
    let answered = tokio::time::timeout(Duration::from_secs(20), answered).await;
    answered.expect("no answer is needed before the commit");
    assert!(matches!(*way.fault.lock().unwrap(), Fault::None));
    has_told_what_is_there(&replica, &database).await;
}

#[tokio::test]
async fn what_was_committed_although_its_answer_was_lost_is_known_with_its_numbers() {
    for is_alone in [true, false] {
        let database = Database::new();
        let way = Way::to(&database);
        let (replica, last) = if is_alone {
            (alone_on(&way.database).await, 2)
        } else {
            (only_one_on(&way.database).await, 1)
        };
        way.set(Fault::LosesAnswers);
        let new = vec![submission(vec![alone(2)])];
        let records = vec![sending(2, 1, 2), succeeded(1, 1, 3), succeeded(1, 1, 4)];
        let (accepted, recorded) = replica.accept_and_record(new, records.into());
        assert_eq!(accepted.await.unwrap(), [Verdict::Accepted]);
        let answers = [
            Recorded::Appended(last + 1),
            Recorded::Appended(last + 2),
            Recorded::Ended,
        ];
        assert_eq!(recorded.await.unwrap(), answers);
        assert!(matches!(*way.fault.lock().unwrap(), Fault::None));
        has_told_what_is_there(&replica, &database).await;
    }
}

#[tokio::test]
async fn a_transaction_that_arrives_after_it_was_asked_about_changes_nothing() {
    let database = Database::new();
    let way = Way::to(&database);
    let replica = alone_on(&way.database).await;
    let (comes, told) = oneshot::channel();
    let (came, answered) = oneshot::channel();
    way.set(Fault::ComesLate(told, came));
    let refused = replica.record(vec![succeeded(1, 1, 2)].into()).await;
    assert!(matches!(refused, Err(StoreError::Away(_))), "{refused:?}");
    comes.send(()).unwrap();
    assert!(holds(&answered.await.unwrap(), "ROLLBACK"));
    let recorded = replica.record(vec![succeeded(1, 1, 3)].into()).await;
    assert_eq!(recorded.unwrap(), [Recorded::Appended(3)]);
}

#[tokio::test]
async fn a_replica_that_is_not_alone_any_more_finds_what_the_other_one_has() {
    let database = Database::new();
    let replica = alone_on(&database).await;
    database.execute(
        "INSERT INTO replicas (name, lease_until) \
         VALUES ('newcomer', clock_timestamp() + interval '1 minute'); \
         UPDATE states SET owner = (SELECT max(number) FROM replicas)"
            .to_owned(),
    );
    assert!(replica.is_alone(), "it has not heard of it");
    let new = vec![submission(vec![message(2)])];
    let verdicts = replica.accept(new).await.unwrap();
    assert_eq!(verdicts, [Verdict::Elsewhere(vec![id(2)])]);
    assert!(!replica.is_alone());
}

#[tokio::test]
async fn a_replica_that_was_alone_and_is_fenced_goes_on_under_another_number() {
    let database = Database::new();
    let replica = alone_on(&database).await;
    database.execute("UPDATE replicas SET fenced = true".to_owned());
    assert!(replica.is_alone(), "it has not heard of it");
    let late = replica.record(vec![succeeded(1, 1, 2)].into()).await;
    assert_eq!(late.unwrap(), [Recorded::Ended]);
    let new = vec![submission(vec![alone(2)])];
    assert_eq!(replica.accept(new).await.unwrap(), [Verdict::Accepted]);
}

#[tokio::test]
async fn a_message_that_is_not_where_its_replica_left_it_is_looked_for() {
    let database = Database::new();
    let replica = alone_on(&database).await;
    let new = vec![submission(vec![alone(2)])];
    assert_eq!(replica.accept(new).await.unwrap(), [Verdict::Accepted]);
    database.execute("UPDATE states SET status = 3, completed_at = 5".to_owned());
    let late = replica.record(vec![succeeded(1, 1, 2)].into()).await;
    assert_eq!(late.unwrap(), [Recorded::Ended]);
    let late = replica.record(vec![sending(2, 1, 2)].into()).await;
    assert_eq!(late.unwrap(), [Recorded::Ended]);
}
