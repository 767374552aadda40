//! The dispatcher over a real store, with agents that the test plays.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    AcceptError, Admission, DispatchParts, FinishedAttempt, Handle, MessageObserver, QueueCounts,
    Settings, SipTraces, WaitingFor,
};
use crate::agent;
use crate::agent::{AgentIndex, Identity, Job, Report};
use crate::clock;
use crate::clock::Clock;
use crate::message::retry::Backoff;
use crate::message::{
    Answer, Contents, Event, EventKind, HeaderMap, Message, MessageId, OnUnknown, Outcome,
    ReceiptRequest, ResponseView, Status, Targets, Timestamp, Unknown,
};
use crate::store::{IdempotencyKey, Store, StoreError, sqlite};
use crate::trace;
use crate::trace::{Keep, Recorder};

const NOW: Timestamp = Timestamp::EPOCH;
const AGENT: AgentIndex = AgentIndex(0);

/// A dispatcher on a real store, with one agent that is played by the test.
struct TestDispatcher {
    dispatch: Handle,
    store: Arc<dyn Store>,
    commits: Arc<Mutex<Vec<usize>>>,
    commands: agent::CommandReceiver,
    reports: mpsc::UnboundedSender<Report>,
    drain: CancellationToken,
    running: JoinHandle<()>,
    folder: TempDir,
    recorder: Arc<Recorder>,
    traces: SipTraces,
    observed: Arc<Observed>,
}

/// What was observed of attempts, in words.
#[derive(Default)]
struct Observed(Mutex<Vec<String>>);

impl Observed {
    fn add(&self, words: String) {
        self.0.lock().unwrap().push(words);
    }
}

impl MessageObserver for Observed {
    fn accepted(&self, _messages: usize) {}

    fn begun(&self, sending: &Event, _since: Timestamp, begun: Instant) {
        let message = sending.message_id;
        assert!(begun <= clock::now());
        self.add(format!("{message} {} begun", sending.attempt));
    }

    fn attempted(&self, attempted: &FinishedAttempt<'_>) {
        let (message, attempt) = (attempted.message, attempted.attempt);
        self.add(format!("{message} {attempt} {:?}", attempted.code));
    }

    fn finished(&self, event: &Event, _took: Duration) {
        self.add(format!("{} finished", event.message_id));
    }
}

struct Rows(Arc<Mutex<Vec<usize>>>);

impl sqlite::Observer for Rows {
    fn committed(&self, _took: Duration, rows: usize) {
        self.0.lock().unwrap().push(rows);
    }
}

impl TestDispatcher {
    /// With an agent that may have this many requests open, registered.
    fn new(capacity: u32) -> Self {
        Self::with(capacity, Duration::from_secs(20))
    }

    /// Retries come after so long at least.
    fn with(capacity: u32, backoff: Duration) -> Self {
        Self::keeping(capacity, backoff, Keep::Off)
    }

    fn keeping(capacity: u32, backoff: Duration, keep: Keep) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let commits = Arc::new(Mutex::new(Vec::new()));
        let options = sqlite::Options {
            observer: Arc::new(Rows(commits.clone())),
            ..sqlite::Options::new(folder.path().join("test.db"))
        };
        let store = sqlite::open(options, NOW).unwrap();
        let account: Arc<str> = "sip:alice@example.com".into();
        let identity = Identity {
            id: "alice-1".into(),
            account: account.clone(),
            from: "<sip:alice@example.com>".to_owned(),
            user_agent: "sipost".to_owned(),
            extra_headers: Vec::new(),
            receives: true,
        };
        let (handle, commands) = agent::AgentHandle::new(AGENT, Arc::new(identity), capacity);
        let (reports, told) = mpsc::unbounded_channel();
        let (dispatch, inbox) = Handle::new(16);
        let drain = CancellationToken::new();
        let settings = trace::Settings {
            keep,
            retention: Duration::ZERO,
            bodies: false,
        };
        let recorder = Arc::new(Recorder::new(settings, None, Arc::new(())));
        let traces = SipTraces::new(recorder.clone(), store.clone());
        let observed = Arc::new(Observed::default());
        let parts = DispatchParts {
            store: store.clone(),
            accounts: vec![(account, None)],
            reports: told,
            drain: drain.clone(),
            clock: Clock::starting_at(NOW),
            observer: observed.clone(),
            traces: traces.clone(),
            seed: 1,
            settings: Settings {
                max_queued: 1_000,
                targets: Targets::Plain,
                max_held_bytes: 1_000_000,
                reserved: 0.1,
                backoff: Backoff {
                    min: backoff,
                    max: backoff * 3,
                },
            },
        };
        let running = tokio::spawn(super::run(parts, inbox));
        let _ = reports.send(Report::Here(handle));
        let _ = reports.send(Report::Up(AGENT));
        Self {
            dispatch,
            store,
            commits,
            commands,
            reports,
            drain,
            running,
            folder,
            recorder,
            traces,
            observed,
        }
    }

    /// Takes these messages in, one after the other.
    async fn takes(&self, messages: impl IntoIterator<Item = Message>) {
        for message in messages {
            let accepted = self.dispatch.accept(vec![message], None, Vec::new()).await;
            assert!(accepted.is_ok(), "{accepted:?}");
        }
    }

    /// The jobs that the agent is handed next.
    async fn jobs(&mut self) -> Vec<Job> {
        match self.commands.recv().await.unwrap() {
            agent::AgentCommand::Send(jobs) => jobs,
            other => panic!("{other:?}"),
        }
    }

    fn answer(&self, jobs: Vec<Job>) {
        let response = ResponseView {
            status_code: 200,
            reason_phrase: "OK".to_owned(),
            headers: HeaderMap::default(),
            truncated: false,
        };
        let answer = Answer {
            response,
            retry_after: None,
            is_bare: false,
        };
        let ended = jobs
            .into_iter()
            .map(|job| (job.key, Outcome::Answered(answer.clone())))
            .collect();
        let _ = self.reports.send(Report::Ended(AGENT, ended));
    }

    /// A message from its beginning to its end, to a target of its own: the store is known to be
    /// well, and every commit that it took is counted.
    async fn warm_up(&mut self) {
        self.takes([message(1, "zoe")]).await;
        let jobs = self.jobs().await;
        self.answer(jobs);
        // What was there before is read, the message is taken in and begun, and its end is told.
        while self.commits.lock().unwrap().len() < 3 {
            tokio::task::yield_now().await;
        }
    }

    /// Makes commits wait, and fail at last.
    fn hold_the_database(&self) -> rusqlite::Connection {
        let other = rusqlite::Connection::open(self.folder.path().join("test.db")).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        other
    }

    /// What the log says of a message, once it says so much.
    async fn told(&self, number: u64, count: usize) -> Vec<EventKind> {
        let mut committed = self.store.committed();
        loop {
            committed.borrow_and_update();
            let events = self
                .store
                .events_of(message(number, "").id, 0, 5_000.into())
                .await
                .unwrap()
                .events;
            if events.len() >= count {
                return events.iter().map(|event| event.kind).collect();
            }
            committed.changed().await.unwrap();
        }
    }

    /// Lets everything end; what the agent was handed meanwhile.
    async fn end(mut self) -> usize {
        self.drain.cancel();
        self.running.await.unwrap();
        self.store.close().await.unwrap();
        let mut handed = 0;
        while let Ok(agent::AgentCommand::Send(jobs)) = self.commands.try_recv() {
            handed += jobs.len();
        }
        handed
    }
}

fn message(number: u64, user: &str) -> Message {
    let contents = Contents {
        target: user.to_owned(),
        uri: format!("sip:{user}@example.com").into(),
        body: Bytes::from_static(b"Hello"),
        ..Contents::default()
    };
    let id = MessageId::new(Uuid::from_u64_pair(0x0193_0000_0000_7000, number | 1 << 63));
    contents.accept(id, NOW, None)
}

fn key() -> Option<IdempotencyKey> {
    Some(IdempotencyKey {
        owner: "app".into(),
        key: "k".into(),
        fingerprint: [1; 32],
    })
}

/// One that waits until it is known to be durable before it is written to a peer.
fn careful(number: u64, user: &str) -> Message {
    message(number, user).with(|contents| contents.on_unknown = OnUnknown::Fail)
}

#[tokio::test]
async fn a_message_whose_lane_is_free_is_taken_in_and_begun_by_one_commit() {
    let mut dispatcher = TestDispatcher::new(8);
    let accepted = dispatcher
        .dispatch
        .accept(vec![careful(1, "bob")], None, Vec::new())
        .await;
    let Ok(Admission::Accepted(messages)) = accepted else {
        panic!("{accepted:?}");
    };
    let jobs = dispatcher.jobs().await;
    let call_id = messages[0].id.to_string();
    assert_eq!(jobs[0].request.call_id, call_id);
    // Durable before it is written: whatever happens now, it is known as being sent.
    let stored = dispatcher
        .store
        .message(messages[0].id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((stored.status, stored.attempt), (Status::Sending, 1));
    dispatcher.answer(jobs);
    let (store, commits) = (dispatcher.store.clone(), dispatcher.commits.clone());
    let mut committed = store.committed();
    while *committed.borrow_and_update() < 2 {
        committed.changed().await.unwrap();
    }
    assert_eq!(dispatcher.end().await, 0);
    // Reading what was there before, then the message with its `sending`, then its end.
    assert_eq!(*commits.lock().unwrap(), [1, 2, 1]);
}

fn answered(status_code: u16) -> Outcome {
    let response = ResponseView {
        status_code,
        reason_phrase: String::new(),
        headers: HeaderMap::default(),
        truncated: false,
    };
    Outcome::Answered(Answer {
        response,
        retry_after: None,
        is_bare: false,
    })
}

/// What is told of a message whose attempts end like this, in order; and the last of it as JSON.
async fn told_of(message: Message, outcomes: Vec<Outcome>) -> (Vec<EventKind>, serde_json::Value) {
    let mut dispatcher = TestDispatcher::with(8, Duration::from_millis(1));
    let id = message.id;
    dispatcher.takes([message]).await;
    for outcome in outcomes {
        let jobs = dispatcher.jobs().await;
        assert_eq!(jobs[0].request.call_id, id.to_string());
        let ended = vec![(jobs[0].key, outcome)];
        let _ = dispatcher.reports.send(Report::Ended(AGENT, ended));
    }
    let store = dispatcher.store.clone();
    let mut committed = store.committed();
    let events = loop {
        committed.borrow_and_update();
        let events = store.events_of(id, 0, 5_000.into()).await.unwrap().events;
        let ends = [EventKind::Succeeded, EventKind::Failed];
        if events.iter().any(|event| ends.contains(&event.kind)) {
            break events;
        }
        committed.changed().await.unwrap();
    };
    let last = serde_json::from_slice(&events.last().unwrap().json).unwrap();
    assert_eq!(dispatcher.end().await, 0);
    (events.iter().map(|event| event.kind).collect(), last)
}

/// One `sending` for each attempt; `deferred` between them; and one end, the last.
#[tokio::test]
async fn e1_and_e6_each_attempt_is_told_and_the_end_is_told_once_and_last() {
    use EventKind::{Deferred, Failed, Sending, Succeeded};

    let lost = || Outcome::Unknown(Unknown::Disconnected);
    let silent = || Outcome::Unknown(Unknown::Silent);
    let resent = [Sending, Deferred, Sending, Succeeded];
    let once = |number| message(number, "bob").with(|contents| contents.attempts = 1);
    let careful = |number| careful(number, "bob");
    let (ok, accepted, gone, transient, unwritten, unknown, last, unsure) = tokio::join!(
        told_of(message(1, "bob"), vec![answered(200)]),
        told_of(message(2, "bob"), vec![answered(202)]),
        told_of(message(3, "bob"), vec![answered(404)]),
        told_of(message(4, "bob"), vec![answered(503), answered(200)]),
        told_of(message(5, "bob"), vec![Outcome::NotWritten, answered(200)]),
        told_of(message(6, "bob"), vec![silent(), answered(200)]),
        told_of(once(7), vec![answered(503)]),
        told_of(careful(8), vec![lost()]),
    );
    assert_eq!(ok.0, [Sending, Succeeded]);
    assert_eq!(ok.1["response"]["statusCode"], 200);
    assert_eq!(accepted.0, [Sending, Succeeded]);
    assert_eq!(accepted.1["response"]["statusCode"], 202);
    assert_eq!(gone.0, [Sending, Failed]);
    assert_eq!(
        (&gone.1["cause"], &gone.1["ambiguous"]),
        (&"Not Found".into(), &false.into())
    );
    for told in [transient, unwritten, unknown] {
        assert_eq!(told.0, resent);
        assert_eq!(told.1["attempt"], 2);
    }
    assert_eq!(last.0, [Sending, Failed]);
    assert_eq!(unsure.0, [Sending, Failed]);
    assert_eq!(unsure.1["ambiguous"], true);
    assert_eq!(unsure.1["response"], serde_json::Value::Null);
}

#[tokio::test]
async fn messages_to_one_target_follow_each_other_however_they_came() {
    let mut dispatcher = TestDispatcher::new(8);
    let (first, second) = tokio::join!(
        dispatcher
            .dispatch
            .accept(vec![message(1, "bob")], key(), Vec::new()),
        dispatcher
            .dispatch
            .accept(vec![message(2, "bob"), message(3, "bob")], None, Vec::new()),
    );
    assert!(first.is_ok() && second.is_ok());
    for number in 1..=3 {
        let jobs = dispatcher.jobs().await;
        let calls: Vec<_> = jobs.iter().map(|job| job.request.call_id.clone()).collect();
        assert_eq!(calls, [message(number, "bob").id.to_string()]);
        dispatcher.answer(jobs);
    }
    assert_eq!(dispatcher.end().await, 0);
}

#[tokio::test]
async fn a_repeated_request_is_not_sent_again_and_holds_nobody_up() {
    let mut dispatcher = TestDispatcher::new(1);
    let first = dispatcher
        .dispatch
        .accept(vec![message(1, "bob")], key(), Vec::new())
        .await;
    assert!(matches!(first, Ok(Admission::Accepted(_))), "{first:?}");
    let jobs = dispatcher.jobs().await;
    dispatcher.answer(jobs);

    let again = dispatcher
        .dispatch
        .accept(vec![message(2, "bob")], key(), Vec::new())
        .await;
    let Ok(Admission::Replayed(ids)) = again else {
        panic!("{again:?}");
    };
    assert_eq!(ids, [message(1, "bob").id]);
    // To the same target, through the only slot of the only agent.
    let other = dispatcher
        .dispatch
        .accept(vec![message(3, "bob")], None, Vec::new())
        .await;
    assert!(matches!(other, Ok(Admission::Accepted(_))), "{other:?}");
    let jobs = dispatcher.jobs().await;
    assert_eq!(jobs[0].request.call_id, message(3, "bob").id.to_string());
    dispatcher.answer(jobs);
    let store = dispatcher.store.clone();
    assert!(store.message(message(2, "bob").id).await.unwrap().is_none());
    assert_eq!(dispatcher.end().await, 0);
}

#[tokio::test]
async fn what_the_store_does_not_take_and_must_not_be_sent_twice_is_never_written_to_a_peer() {
    let mut dispatcher = TestDispatcher::new(1);
    dispatcher.takes([message(1, "bob")]).await;
    let jobs = dispatcher.jobs().await;
    dispatcher.answer(jobs);
    // Another program holds the database, for longer than we wait for it.
    let other = dispatcher.hold_the_database();
    let refused = dispatcher
        .dispatch
        .accept(vec![careful(2, "bob")], None, Vec::new())
        .await;
    assert!(
        matches!(refused, Err(AcceptError::Store(StoreError::Locked(_)))),
        "{refused:?}"
    );
    other.execute_batch("ROLLBACK").unwrap();

    let accepted = dispatcher
        .dispatch
        .accept(vec![message(3, "bob")], None, Vec::new())
        .await;
    assert!(
        matches!(accepted, Ok(Admission::Accepted(_))),
        "{accepted:?}"
    );
    let jobs = dispatcher.jobs().await;
    assert_eq!(jobs[0].request.call_id, message(3, "bob").id.to_string());
    dispatcher.answer(jobs);
    assert_eq!(dispatcher.end().await, 0);
}

/// Its `sending` is in the log, so its attempt is counted, and its trace has all of its spans.
#[tokio::test]
async fn an_attempt_whose_time_is_over_before_it_is_durable_is_not_made_and_ends_all_the_same() {
    let mut dispatcher = TestDispatcher::new(1);
    dispatcher.warm_up().await;
    let mut brief = careful(3, "bob");
    brief.expires_at = NOW.plus(Duration::from_secs(3_600));
    let id = brief.id;
    dispatcher.takes([message(2, "bob"), brief]).await;
    let before = dispatcher.jobs().await;
    let other = dispatcher.hold_the_database();
    dispatcher.answer(before);
    // The message before it has ended, so it is begun; both are in the commit that is held.
    while waiting_for(&dispatcher, 3).await.is_some() {
        tokio::task::yield_now().await;
    }
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(3_600)).await;
    tokio::time::resume();
    other.execute_batch("ROLLBACK").unwrap();

    let told = dispatcher.told(3, 2).await;
    assert_eq!(told, [EventKind::Sending, EventKind::Failed]);
    let observed = dispatcher.observed.clone();
    assert_eq!(dispatcher.end().await, 0);
    let observed = observed.0.lock().unwrap();
    let of_it = observed.iter().filter_map(|words| {
        let of_it = words.strip_prefix(&id.to_string());
        of_it.map(str::trim)
    });
    let expected = ["1 begun", "1 Err(\"not written\")", "finished"];
    assert_eq!(of_it.collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn what_the_store_rejects_is_refused_alone_and_the_next_is_sent_at_once() {
    let mut dispatcher = TestDispatcher::new(4);
    let other = dispatcher.hold_the_database();
    other
        .execute_batch(
            "CREATE TRIGGER refuse BEFORE INSERT ON messages WHEN NEW.uri LIKE '%bad%' \
             BEGIN SELECT RAISE(ABORT, 'refused'); END; \
             CREATE TRIGGER lose BEFORE INSERT ON events WHEN NEW.kind = 2 AND \
             NEW.uri = 'sip:lost@example.com' BEGIN SELECT RAISE(ABORT, 'refused'); END; COMMIT",
        )
        .unwrap();
    let accept = |message| dispatcher.dispatch.accept(vec![message], None, Vec::new());
    let (good, bad, lost) = tokio::join!(
        accept(careful(1, "bob")),
        accept(careful(2, "bad")),
        accept(careful(3, "lost")),
    );
    assert!(good.is_ok() && lost.is_ok(), "{good:?} {lost:?}");
    assert!(
        matches!(bad, Err(AcceptError::Store(StoreError::Rejected(_)))),
        "{bad:?}"
    );
    let mut count = 0;
    while count < 2 {
        let jobs = dispatcher.jobs().await;
        count += jobs.len();
        dispatcher.answer(jobs);
    }
    // The end of one cannot be recorded; it holds up nothing.
    let next = dispatcher
        .dispatch
        .accept(vec![careful(4, "lost")], None, Vec::new())
        .await;
    assert!(next.is_ok(), "{next:?}");
    let jobs = dispatcher.jobs().await;
    assert_eq!(jobs[0].request.call_id, message(4, "lost").id.to_string());
    dispatcher.answer(jobs);
    let ended = [EventKind::Sending, EventKind::Succeeded];
    assert_eq!(dispatcher.told(1, 2).await, ended);
    assert_eq!(dispatcher.told(3, 1).await, [EventKind::Sending]);
    let rejected = dispatcher
        .store
        .message(message(2, "bad").id)
        .await
        .unwrap();
    assert!(rejected.is_none());
    assert_eq!(dispatcher.end().await, 0);
}

#[tokio::test]
async fn what_happens_while_the_store_fails_is_told_when_it_is_well_again() {
    let mut dispatcher = TestDispatcher::new(4);
    let first = dispatcher
        .dispatch
        .accept(vec![message(1, "bob")], None, Vec::new())
        .await;
    assert!(first.is_ok());
    let jobs = dispatcher.jobs().await;
    let other = dispatcher.hold_the_database();
    // Its end and a request that is refused share the commit that fails.
    dispatcher.answer(jobs);
    let refused = dispatcher
        .dispatch
        .accept(vec![careful(2, "carol")], None, Vec::new())
        .await;
    assert!(refused.is_err(), "{refused:?}");
    other.execute_batch("ROLLBACK").unwrap();

    let third = dispatcher
        .dispatch
        .accept(vec![message(3, "bob")], None, Vec::new())
        .await;
    assert!(third.is_ok(), "{third:?}");
    let jobs = dispatcher.jobs().await;
    assert_eq!(jobs[0].request.call_id, message(3, "bob").id.to_string());
    let events = dispatcher
        .store
        .events_of(message(1, "bob").id, 0, 5_000.into())
        .await
        .unwrap()
        .events;
    let kinds: Vec<_> = events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::Sending, EventKind::Succeeded]);
    dispatcher.answer(jobs);
    assert_eq!(dispatcher.end().await, 0);
}

/// A commit of nothing but a new message and its first event leaves nothing to try again, and once
/// left the dispatcher waiting for that for ever.
#[tokio::test]
async fn after_a_commit_that_took_nothing_in_the_next_is_as_if_it_had_not_been() {
    let mut dispatcher = TestDispatcher::new(4);
    let first = dispatcher
        .dispatch
        .accept(vec![message(1, "bob")], None, Vec::new())
        .await;
    assert!(first.is_ok());
    let jobs = dispatcher.jobs().await;
    dispatcher.answer(jobs);
    dispatcher.told(1, 2).await;
    let other = dispatcher.hold_the_database();
    let refused = dispatcher
        .dispatch
        .accept(vec![message(2, "bob")], key(), Vec::new())
        .await;
    assert!(refused.is_err(), "{refused:?}");
    other.execute_batch("ROLLBACK").unwrap();

    let third = dispatcher
        .dispatch
        .accept(vec![message(3, "bob")], key(), Vec::new())
        .await;
    assert!(matches!(third, Ok(Admission::Accepted(_))), "{third:?}");
    let jobs = dispatcher.jobs().await;
    assert_eq!(jobs[0].request.call_id, message(3, "bob").id.to_string());
    dispatcher.answer(jobs);
    assert_eq!(dispatcher.end().await, 0);
}

#[tokio::test]
async fn what_may_be_sent_again_is_on_its_way_while_it_is_made_durable() {
    let mut dispatcher = TestDispatcher::new(8);
    dispatcher.warm_up().await;
    let commits = dispatcher.commits.lock().unwrap().len();

    let other = dispatcher.hold_the_database();
    let dispatch = dispatcher.dispatch.clone();
    let post = |number, user: &'static str, key| {
        let dispatch = dispatch.clone();
        tokio::spawn(async move {
            dispatch
                .accept(vec![message(number, user)], key, Vec::new())
                .await
        })
    };
    let second = post(2, "bob", None);
    let jobs = dispatcher.jobs().await;
    assert_eq!(jobs[0].request.call_id, message(2, "").id.to_string());
    // While the commit of the second is under way, the whole life of a third goes by.
    let third = post(3, "carol", None);
    let jobs_of_third = dispatcher.jobs().await;
    dispatcher.answer(jobs);
    dispatcher.answer(jobs_of_third);
    // What was asked for with a key may be known, and waits.
    let keyed = post(4, "dan", key());
    let fifth = post(5, "erin", None);
    let jobs_of_fifth = dispatcher.jobs().await;
    let calls: Vec<_> = jobs_of_fifth
        .iter()
        .map(|job| &job.request.call_id)
        .collect();
    assert_eq!(calls, [&message(5, "").id.to_string()]);
    other.execute_batch("ROLLBACK").unwrap();

    for accepted in [second, third, keyed, fifth] {
        let accepted = accepted.await.unwrap();
        assert!(
            matches!(accepted, Ok(Admission::Accepted(_))),
            "{accepted:?}"
        );
    }
    dispatcher.answer(jobs_of_fifth);
    let jobs = dispatcher.jobs().await;
    assert_eq!(jobs[0].request.call_id, message(4, "").id.to_string());
    dispatcher.answer(jobs);
    for number in 2..=5 {
        assert_eq!(
            dispatcher.told(number, 2).await,
            [EventKind::Sending, EventKind::Succeeded]
        );
    }
    // The second with its `sending`, and what came while it waited for its answer; then all that
    // gathered. Both together: the second and the third from their beginning to their end, and the
    // others with their `sending`.
    let commits = dispatcher.commits.lock().unwrap()[commits..].to_vec();
    let rows = 3 + 3 + 2 + 2;
    assert!(
        commits[0] == rows || commits[0] + commits[1] == rows,
        "{commits:?}"
    );
    assert_eq!(dispatcher.end().await, 0);
}

#[tokio::test]
async fn the_life_of_a_message_to_a_quick_peer_is_one_commit() {
    let mut dispatcher = TestDispatcher::new(8);
    dispatcher.warm_up().await;
    let is_one_commit =
        |dispatcher: &TestDispatcher| dispatcher.commits.lock().unwrap().contains(&3);
    assert!(!is_one_commit(&dispatcher));
    // How quick the peer is becomes known little by little.
    for number in 2..100 {
        let dispatch = dispatcher.dispatch.clone();
        let posted = tokio::spawn(async move {
            dispatch
                .accept(vec![message(number, "bob")], None, Vec::new())
                .await
        });
        let jobs = dispatcher.jobs().await;
        dispatcher.answer(jobs);
        assert!(posted.await.unwrap().is_ok());
        dispatcher.told(number, 2).await;
        if is_one_commit(&dispatcher) {
            break;
        }
    }
    assert!(
        is_one_commit(&dispatcher),
        "{:?}",
        dispatcher.commits.lock().unwrap()
    );
    assert_eq!(dispatcher.end().await, 0);
}

#[tokio::test]
async fn of_what_was_on_its_way_in_a_commit_that_failed_nothing_is_told_and_nothing_more_is_sent() {
    let mut dispatcher = TestDispatcher::new(8);
    dispatcher.warm_up().await;

    let other = dispatcher.hold_the_database();
    let refused = dispatcher
        .dispatch
        .accept(vec![message(2, "bob")], None, Vec::new())
        .await;
    assert!(refused.is_err(), "{refused:?}");
    let jobs = dispatcher.jobs().await;
    assert_eq!(jobs[0].request.call_id, message(2, "").id.to_string());
    // From now on a message is durable before it is sent.
    let refused = dispatcher
        .dispatch
        .accept(vec![message(3, "carol")], None, Vec::new())
        .await;
    assert!(refused.is_err(), "{refused:?}");
    other.execute_batch("ROLLBACK").unwrap();
    let fourth = dispatcher
        .dispatch
        .accept(vec![message(4, "dan")], None, Vec::new())
        .await;
    assert!(fourth.is_ok(), "{fourth:?}");
    let jobs_of_fourth = dispatcher.jobs().await;
    let fourth = message(4, "").id.to_string();
    assert_eq!(jobs_of_fourth[0].request.call_id, fourth);

    // Bob has one request at a time, also when it gets no answer.
    let fifth = dispatcher
        .dispatch
        .accept(vec![message(5, "bob")], None, Vec::new())
        .await;
    assert!(fifth.is_ok(), "{fifth:?}");
    assert_eq!(
        waiting_for(&dispatcher, 5).await,
        Some(WaitingFor::Lane { before: 1 })
    );
    dispatcher.answer(jobs);
    let jobs = dispatcher.jobs().await;
    assert_eq!(jobs[0].request.call_id, message(5, "").id.to_string());
    dispatcher.answer(jobs);
    dispatcher.answer(jobs_of_fourth);
    for number in [4, 5] {
        assert_eq!(
            dispatcher.told(number, 2).await,
            [EventKind::Sending, EventKind::Succeeded]
        );
    }
    let store = dispatcher.store.clone();
    for number in [2, 3] {
        let id = message(number, "").id;
        assert!(store.message(id).await.unwrap().is_none());
        assert!(
            store
                .events_of(id, 0, 5_000.into())
                .await
                .unwrap()
                .events
                .is_empty()
        );
    }
    assert_eq!(dispatcher.end().await, 0);
}

#[tokio::test]
async fn a_job_for_an_agent_that_ended_meanwhile_goes_to_the_next() {
    let mut dispatcher = TestDispatcher::new(1);
    dispatcher.commands.close();
    let first = dispatcher
        .dispatch
        .accept(vec![message(1, "bob")], None, Vec::new())
        .await;
    assert!(first.is_ok());
    let events = async || {
        dispatcher
            .store
            .events_of(message(1, "bob").id, 0, 5_000.into())
            .await
            .unwrap()
            .events
    };
    while events().await.len() < 2 {
        tokio::task::yield_now().await;
    }
    let kinds: Vec<_> = events().await.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::Sending, EventKind::Deferred]);
    assert_eq!(dispatcher.end().await, 0);
}

/// What a message of this number waits for, once the dispatcher has done what there was to do.
async fn waiting_for(dispatcher: &TestDispatcher, number: u64) -> Option<WaitingFor> {
    let id = message(number, "").id;
    dispatcher.dispatch.waiting_for(vec![id]).await.remove(&id)
}

#[tokio::test]
async fn whoever_waits_is_told_what_for() {
    let mut dispatcher = TestDispatcher::new(1);
    let later = message(5, "erin");
    let later = later.with(|contents| contents.send_at = Some(NOW.plus(Duration::from_secs(60))));
    dispatcher
        .takes([
            message(1, "bob"),
            message(2, "bob"),
            message(3, "bob"),
            message(4, "carol"),
            later,
        ])
        .await;
    let jobs = dispatcher.jobs().await;
    assert_eq!(waiting_for(&dispatcher, 1).await, None);
    let lane = |before| Some(WaitingFor::Lane { before });
    assert_eq!(waiting_for(&dispatcher, 2).await, lane(1));
    assert_eq!(waiting_for(&dispatcher, 3).await, lane(2));
    assert_eq!(waiting_for(&dispatcher, 4).await, Some(WaitingFor::Slot));
    let time = NOW.plus(Duration::from_secs(60));
    assert_eq!(
        waiting_for(&dispatcher, 5).await,
        Some(WaitingFor::Schedule(time))
    );
    assert_eq!(waiting_for(&dispatcher, 6).await, None);
    let counts = dispatcher.dispatch.counts().await.unwrap();
    let expected = QueueCounts {
        scheduled: 1,
        queued: 3,
        sending: 1,
        oldest: Some(message(2, "").id.made_at()),
        by_class: [0, 5, 0, 0],
    };
    assert_eq!(counts, expected);

    // The agent goes, and gives back what it had.
    let _ = dispatcher.reports.send(Report::Down(AGENT));
    let back = jobs.into_iter().map(|job| (job.key, Outcome::NotWritten));
    let _ = dispatcher
        .reports
        .send(Report::Ended(AGENT, back.collect()));
    let waiting = loop {
        match waiting_for(&dispatcher, 1).await {
            Some(waiting) => break waiting,
            None => tokio::task::yield_now().await,
        }
    };
    assert!(
        matches!(waiting, WaitingFor::Retry(at) if at > NOW),
        "{waiting:?}"
    );
    assert_eq!(waiting_for(&dispatcher, 2).await, lane(1));
    assert_eq!(
        waiting_for(&dispatcher, 4).await,
        Some(WaitingFor::Agent(None))
    );
    dispatcher.end().await;
}

#[tokio::test]
async fn a_message_that_its_account_may_not_send_yet_says_from_when_it_may() {
    let mut dispatcher = TestDispatcher::new(8);
    let account: Arc<str> = "sip:alice@example.com".into();
    let hour = Duration::from_secs(3_600);
    let rate = Some(1.0 / hour.as_secs_f64());
    dispatcher
        .dispatch
        .set_rates(vec![(account.clone(), rate)])
        .await;
    dispatcher.takes([message(1, "bob")]).await;
    let jobs = dispatcher.jobs().await;

    // One from any account and one from this one wait for the same.
    let from_alice = message(3, "dave").with(|contents| contents.account = Some(account.clone()));
    dispatcher.takes([message(2, "carol"), from_alice]).await;
    for number in [2, 3] {
        let waiting = waiting_for(&dispatcher, number).await;
        // The first went when the test had begun, which is at most a few moments ago.
        let (least, most) = (NOW.plus(hour), NOW.plus(hour * 2));
        assert!(
            matches!(waiting, Some(WaitingFor::Rate(until)) if (least..most).contains(&until)),
            "{waiting:?}"
        );
    }

    // Without a rate both are sent.
    dispatcher.dispatch.set_rates(vec![(account, None)]).await;
    dispatcher.answer(jobs);
    let mut handed = 0;
    while handed < 2 {
        let jobs = dispatcher.jobs().await;
        handed += jobs.len();
        dispatcher.answer(jobs);
    }
    assert_eq!(dispatcher.end().await, 0);
}

/// The agents have room, and the messages have their turn: only what happened cannot be written
/// down.
#[tokio::test]
async fn messages_that_the_store_holds_up_say_so() {
    let mut dispatcher = TestDispatcher::new(8);
    let targets = ["bob", "carol", "bob", "carol", "bob"];
    let mut jobs = Vec::new();
    for (number, target) in (1..).zip(targets) {
        let accepted = dispatcher
            .dispatch
            .accept(vec![message(number, target)], None, Vec::new())
            .await;
        assert!(accepted.is_ok(), "{accepted:?}");
        if number <= 2 {
            jobs.push(dispatcher.jobs().await);
        }
    }
    let other = rusqlite::Connection::open(dispatcher.folder.path().join("test.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let becomes_store = async |number| {
        while waiting_for(&dispatcher, number).await != Some(WaitingFor::Store) {
            tokio::task::yield_now().await;
        }
    };
    // The first ends, and the next to its target is begun by the commit that fails.
    dispatcher.answer(jobs.remove(0));
    becomes_store(3).await;
    // While it fails the second ends: what comes after that is not begun at all.
    dispatcher.answer(jobs.remove(0));
    becomes_store(4).await;
    let lane = Some(WaitingFor::Lane { before: 1 });
    assert_eq!(waiting_for(&dispatcher, 5).await, lane);
    assert_eq!(waiting_for(&dispatcher, 3).await, Some(WaitingFor::Store));

    other.execute_batch("ROLLBACK").unwrap();
    let mut handed = Vec::new();
    while handed.len() < 3 {
        let jobs = dispatcher.jobs().await;
        handed.extend(jobs.iter().map(|job| job.request.call_id.clone()));
        dispatcher.answer(jobs);
    }
    handed.sort();
    let rest = [3, 4, 5].map(|number| message(number, "").id.to_string());
    assert_eq!(handed, rest);
    assert_eq!(dispatcher.end().await, 0);
}

#[tokio::test]
async fn a_target_that_refused_an_envelope_is_sent_none_again() {
    let mut dispatcher = TestDispatcher::new(8);
    let asking = |number| {
        message(number, "bob").with(|contents| contents.receipts = vec![ReceiptRequest::Delivered])
    };
    for (number, has_envelope) in [(1, true), (2, false)] {
        let accepted = dispatcher
            .dispatch
            .accept(vec![asking(number)], None, Vec::new());
        assert!(accepted.await.is_ok());
        let jobs = dispatcher.jobs().await;
        assert_eq!(jobs[0].request.fallback.is_some(), has_envelope);
        let Outcome::Answered(answer) = answered(200) else {
            unreachable!();
        };
        let outcome = Outcome::Answered(Answer {
            is_bare: true,
            ..answer
        });
        let _ = dispatcher
            .reports
            .send(Report::Ended(AGENT, vec![(jobs[0].key, outcome)]));
        dispatcher.told(number, 2).await;
    }
    assert_eq!(dispatcher.end().await, 0);
}

/// A frame of an attempt at this message, as its agent hands it over.
fn traced(dispatcher: &TestDispatcher, message: MessageId, micros: i64) -> agent::TracedFrames {
    let mut held = dispatcher.recorder.hold();
    held.push(trace::RawFrame {
        micros,
        direction: crate::message::Direction::Sent,
        source: Arc::new(trace::FrameSource {
            agent: "alice-1".into(),
            hidden_headers: [].into(),
        }),
        ends: trace::SocketAddresses {
            local: "127.0.0.1:1".parse().unwrap(),
            remote: "127.0.0.1:2".parse().unwrap(),
        },
        bytes: Bytes::from_static(b"MESSAGE sip:bob@example.com SIP/2.0\r\n\r\n"),
    });
    agent::TracedFrames::OfAttempt(message, held)
}

/// What is kept of a message whose attempts end like this, in order: when the frame of each passed.
async fn kept_of(keep: Keep, outcomes: Vec<Outcome>) -> Vec<i64> {
    let mut dispatcher = TestDispatcher::keeping(8, Duration::from_millis(1), keep);
    let message = message(1, "bob");
    let id = message.id;
    dispatcher.takes([message]).await;
    for (micros, outcome) in (1..).zip(outcomes) {
        let jobs = dispatcher.jobs().await;
        let frames = vec![traced(&dispatcher, id, micros)];
        let _ = dispatcher.reports.send(Report::Frames(frames));
        let ended = vec![(jobs[0].key, outcome)];
        let _ = dispatcher.reports.send(Report::Ended(AGENT, ended));
    }
    let mut committed = dispatcher.store.committed();
    while !is_over(&*dispatcher.store, id).await {
        committed.changed().await.unwrap();
    }
    // Nothing has written it yet: it is there with the event that it explains.
    let waiting = dispatcher.traces.of_message(id).await.unwrap();
    let stop = CancellationToken::new();
    stop.cancel();
    dispatcher
        .traces
        .clone()
        .write(Clock::starting_at(NOW), stop)
        .await;
    let written = dispatcher.store.frames(id).await.unwrap();
    let written = written.into_iter().flat_map(|record| record.frames);
    assert_eq!(written.collect::<Vec<_>>(), waiting);
    assert_eq!(dispatcher.traces.of_message(id).await.unwrap(), waiting);
    assert_eq!(dispatcher.end().await, 0);
    waiting.iter().map(|frame| frame.micros).collect()
}

async fn is_over(store: &dyn Store, id: MessageId) -> bool {
    let stored = store.message(id).await.unwrap();
    stored.is_some_and(|stored| stored.completed_at.is_some())
}

#[tokio::test]
async fn the_frames_of_every_attempt_are_kept_with_a_message_that_failed() {
    let busy = || answered(503);
    let kept = kept_of(Keep::Failed, vec![busy(), answered(404)]).await;
    assert_eq!(kept, [1, 2]);
    let kept = kept_of(Keep::Failed, vec![busy(), answered(200)]).await;
    assert!(kept.is_empty(), "{kept:?}");
    assert_eq!(
        kept_of(Keep::All, vec![busy(), answered(200)]).await,
        [1, 2]
    );
}

/// A message that fails while it is sent has frames when that attempt ends.
#[tokio::test]
async fn the_frames_of_an_attempt_that_its_message_did_not_outlive_are_kept() {
    let mut dispatcher = TestDispatcher::keeping(8, Duration::from_millis(1), Keep::Failed);
    let mut message = careful(1, "bob");
    message.expires_at = NOW.plus(Duration::from_millis(50));
    let id = message.id;
    dispatcher.takes([message]).await;
    let jobs = dispatcher.jobs().await;
    let mut committed = dispatcher.store.committed();
    while !is_over(&*dispatcher.store, id).await {
        committed.changed().await.unwrap();
    }
    assert!(dispatcher.traces.of_message(id).await.unwrap().is_empty());
    let frames = vec![traced(&dispatcher, id, 1)];
    let _ = dispatcher.reports.send(Report::Frames(frames));
    let ended = vec![(jobs[0].key, answered(404))];
    let _ = dispatcher.reports.send(Report::Ended(AGENT, ended));
    dispatcher.drain.cancel();
    (&mut dispatcher.running).await.unwrap();
    assert_eq!(dispatcher.traces.of_message(id).await.unwrap().len(), 1);
    dispatcher.store.close().await.unwrap();
}
