//! What comes in, over a real store, at an agent that the test plays.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::*;
use crate::agent::{AgentCommand, AgentHandle, AgentIndex, Arrivals, CommandReceiver, Identity};
use crate::dispatch::Command;
use crate::message::{EventKind, Timestamp};
use crate::store::suite::samples::{at, id, incoming, message, receipt, submission};
use crate::store::{EventFilter, sqlite};

const BOB: &str = "sip:bob@example.com";

struct Fixture {
    store: Arc<dyn Store>,
    arrivals: Arrivals,
    answers: CommandReceiver,
    commands: mpsc::Receiver<Command>,
    counts: Arc<Counts>,
    running: JoinHandle<()>,
    _agent: AgentHandle,
    _folder: TempDir,
}

#[derive(Default)]
struct Counts(Mutex<HashMap<InboundEnd, usize>>);

impl InboundObserver for Counts {
    fn took_in(&self, end: InboundEnd) {
        *self.0.lock().unwrap().entry(end).or_default() += 1;
    }
}

/// Whether anything listens.
struct Listening(bool);

impl Consumers for Listening {
    fn has_one_for(&self, _account: &str) -> bool {
        self.0
    }
}

const SETTINGS: InboundSettings = InboundSettings {
    rate: 1_000.0,
    rate_from: 1_000.0,
    require_consumer: false,
};

impl Fixture {
    fn new(settings: InboundSettings, listening: bool) -> Self {
        Self::at(at(3_600_000), settings, listening)
    }

    fn at(now: Timestamp, settings: InboundSettings, listening: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = sqlite::Options::new(folder.path().join("test.db"));
        let store = sqlite::open(options, Timestamp::EPOCH).unwrap();
        let identity = Identity {
            id: "alice-1".into(),
            account: "sip:alice@example.com".into(),
            from: "<sip:alice@example.com>".to_owned(),
            user_agent: "sipost".to_owned(),
            extra_headers: Vec::new(),
            receives: true,
        };
        let (agent, answers) = AgentHandle::new(AgentIndex(0), Arc::new(identity), 8);
        let (queue, arrivals) = mpsc::channel(64);
        let (dispatch, commands) = Handle::new(16);
        let counts = Arc::new(Counts::default());
        let parts = InboundParts {
            store: store.clone(),
            arrivals,
            dispatch,
            clock: Clock::starting_at(now),
            consumers: Arc::new(Listening(listening)),
            observer: counts.clone(),
            settings,
        };
        Self {
            store,
            arrivals: agent.arrivals(queue),
            answers,
            commands,
            counts,
            running: tokio::spawn(receive(parts)),
            _agent: agent,
            _folder: folder,
        }
    }

    /// How these are answered, which came in together, in their order.
    async fn answers_to(&mut self, arrived: Vec<Inbound>) -> Vec<InboundAnswer> {
        let count = arrived.len();
        for (number, what) in arrived.into_iter().enumerate() {
            let number = u64::try_from(number).unwrap();
            assert!(self.arrivals.hand_over(number, what));
        }
        let mut answers = Vec::new();
        for _ in 0..count {
            match self.answers.recv().await.unwrap() {
                AgentCommand::Answer(id, answer) => answers.push((id.request(), answer)),
                other => panic!("{other:?}"),
            }
        }
        answers.sort_unstable_by_key(|(number, _)| *number);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }

    fn count(&self, end: InboundEnd) -> usize {
        let counts = self.counts.0.lock().unwrap();
        counts.get(&end).copied().unwrap_or_default()
    }

    async fn events(&self) -> usize {
        let all = EventFilter::default();
        let page = self.store.events(0, all, 100.into()).await.unwrap();
        page.events.len()
    }
}

fn text(number: u64) -> Inbound {
    Inbound::Message(Box::new(incoming(number)))
}

#[tokio::test]
async fn a_message_is_in_the_log_before_it_is_answered_and_its_forks_are_answered_alike() {
    let mut fixture = Fixture::new(SETTINGS, false);
    let answers = fixture.answers_to(vec![text(1), text(2), text(1)]).await;
    let (taken, repeated) = (InboundAnswer::Taken, InboundAnswer::Repeated);
    assert_eq!(answers, [taken, taken, repeated]);
    assert_eq!(fixture.events().await, 2);
    assert_eq!(fixture.answers_to(vec![text(2)]).await, [repeated]);
    assert_eq!(fixture.events().await, 2);
    assert_eq!(fixture.count(InboundEnd::Stored), 2);
    assert_eq!(fixture.count(InboundEnd::Repeated), 2);
}

#[tokio::test]
async fn a_sender_beyond_the_rate_is_asked_to_come_again_and_forks_do_not_count() {
    let slow = InboundSettings {
        rate_from: 0.1,
        ..SETTINGS
    };
    let mut fixture = Fixture::new(slow, false);
    assert_eq!(
        fixture.answers_to(vec![text(1)]).await,
        [InboundAnswer::Taken]
    );
    let answers = fixture.answers_to(vec![text(2)]).await;
    assert_eq!(answers, [InboundAnswer::Overloaded]);
    let mut carol = incoming(3);
    carol.from.uri = "sip:carol@example.com".to_owned();
    let carol = Inbound::Message(Box::new(carol));
    assert_eq!(
        fixture.answers_to(vec![carol]).await,
        [InboundAnswer::Taken]
    );
    assert_eq!(fixture.events().await, 2);
}

#[tokio::test]
async fn forks_that_come_together_use_up_no_rate_and_are_not_refused_beyond_it() {
    let slow = InboundSettings {
        rate_from: 0.3,
        ..SETTINGS
    };
    let mut fixture = Fixture::new(slow, false);
    // Three may come at once.
    let forked = (1..=3).flat_map(|number| (0..3).map(move |_| text(number)));
    let answers = fixture.answers_to(forked.collect()).await;
    let (taken, repeated) = (InboundAnswer::Taken, InboundAnswer::Repeated);
    assert_eq!(answers, [taken, repeated, repeated].repeat(3));
    let answers = fixture.answers_to(vec![text(4), text(1)]).await;
    assert_eq!(answers, [InboundAnswer::Overloaded, repeated]);
    assert_eq!(fixture.count(InboundEnd::Repeated), 7);
}

#[tokio::test]
async fn while_nothing_listens_a_message_is_left_with_the_server_and_a_receipt_is_taken() {
    let wanting = InboundSettings {
        require_consumer: true,
        ..SETTINGS
    };
    for (listening, answer) in [
        (false, InboundAnswer::NoConsumer),
        (true, InboundAnswer::Taken),
    ] {
        let mut fixture = Fixture::new(wanting, listening);
        let receipt = Inbound::Receipt(receipt(7, BOB, 0));
        let answers = fixture.answers_to(vec![text(1), receipt]).await;
        assert_eq!(answers, [answer, InboundAnswer::Taken]);
        assert_eq!(fixture.count(InboundEnd::Unknown), 1);
    }
}

#[tokio::test]
async fn the_dispatcher_hears_of_a_receipt_once_it_is_in_the_log() {
    let mut fixture = Fixture::new(SETTINGS, false);
    let ours = message(1).with(|contents| contents.account = Some("sip:alice@example.com".into()));
    fixture
        .store
        .accept(vec![submission(vec![ours])])
        .await
        .unwrap();
    let delivered = || Inbound::Receipt(receipt(1, BOB, 5));
    assert_eq!(
        fixture.answers_to(vec![delivered()]).await,
        [InboundAnswer::Taken]
    );
    let Some(Command::Settle(told)) = fixture.commands.recv().await else {
        panic!("the dispatcher is told something else");
    };
    assert_eq!((told[0].message, &*told[0].recipient), (id(1), BOB));
    assert_eq!(told[0].receipt.seq, 1);
    assert_eq!(
        fixture.answers_to(vec![delivered()]).await,
        [InboundAnswer::Repeated]
    );
    assert!(fixture.commands.try_recv().is_err(), "it is told once");
    assert_eq!(fixture.count(InboundEnd::Delivered), 1);
    assert_eq!(fixture.count(InboundEnd::Repeated), 1);
}

#[tokio::test]
async fn what_cannot_be_stored_is_answered_with_500() {
    let mut fixture = Fixture::new(SETTINGS, false);
    fixture.store.close().await.unwrap();
    let receipt = Inbound::Receipt(receipt(7, BOB, 0));
    let answers = fixture.answers_to(vec![text(1), receipt]).await;
    assert_eq!(answers, [InboundAnswer::Failed; 2]);
    drop(fixture.arrivals);
    fixture.running.await.unwrap();
}

#[tokio::test]
async fn a_receipt_that_another_replica_stored_reaches_the_dispatcher_here() {
    let mut fixture = Fixture::new(SETTINGS, false);
    let (dispatch, mut commands) = Handle::new(16);
    let following = tokio::spawn(follow_receipts(fixture.store.clone(), dispatch));
    let ours = message(1).with(|contents| contents.account = Some("sip:alice@example.com".into()));
    fixture
        .store
        .accept(vec![submission(vec![ours])])
        .await
        .unwrap();
    assert_eq!(
        fixture.answers_to(vec![text(5)]).await,
        [InboundAnswer::Taken]
    );
    let stored = fixture
        .store
        .report(vec![receipt(1, BOB, 5)])
        .await
        .unwrap();
    assert_eq!(stored, [Reported::Appended(2)]);
    let Some(Command::Settle(told)) = commands.recv().await else {
        panic!("the dispatcher is told something else");
    };
    assert_eq!((told[0].message, &*told[0].recipient), (id(1), BOB));
    assert_eq!(told[0].receipt.seq, 2);
    following.abort();
}

/// A peer that is quicker than the commit of the message: phones report before they answer.
#[tokio::test]
async fn a_receipt_and_a_reply_that_come_before_their_message_is_stored_wait_for_it() {
    let soon = id(1).made_at().plus(Duration::from_secs(1));
    let mut fixture = Fixture::at(soon, SETTINGS, false);
    let mut reply = incoming(9);
    reply.answers = vec![id(1)];
    let delivered = Inbound::Receipt(receipt(1, BOB, 5));
    let arrived = vec![Inbound::Message(Box::new(reply)), delivered];
    for (number, what) in arrived.into_iter().enumerate() {
        assert!(
            fixture
                .arrivals
                .hand_over(u64::try_from(number).unwrap(), what)
        );
    }
    let mut is_stored = false;
    while fixture.count(InboundEnd::Delivered) + fixture.count(InboundEnd::Stored) < 2 {
        match fixture.commands.recv().await.unwrap() {
            Command::Flush { reply } => {
                if !std::mem::replace(&mut is_stored, true) {
                    let ours = message(1);
                    let ours = ours
                        .with(|contents| contents.account = Some("sip:alice@example.com".into()));
                    fixture
                        .store
                        .accept(vec![submission(vec![ours])])
                        .await
                        .unwrap();
                }
                reply.send(()).unwrap();
            }
            Command::Settle(told) => assert_eq!(told[0].message, id(1)),
            other => panic!("{other:?}"),
        }
    }
    let reply = fixture
        .store
        .events(0, EventFilter::default(), 10.into())
        .await
        .unwrap();
    let reply = reply
        .events
        .iter()
        .find(|event| event.kind == EventKind::Received);
    let reply: serde_json::Value = serde_json::from_slice(&reply.unwrap().json).unwrap();
    assert_eq!(reply["inReplyTo"], id(1).to_string());
    assert_eq!(fixture.count(InboundEnd::Unknown), 0);
}

#[tokio::test]
async fn a_receipt_that_is_stored_counts_although_the_one_beside_it_fails_when_asked_again() {
    let soon = id(2).made_at().plus(Duration::from_secs(1));
    let mut fixture = Fixture::at(soon, SETTINGS, false);
    let ours = message(1).with(|contents| contents.account = Some("sip:alice@example.com".into()));
    let ours = submission(vec![ours]);
    fixture.store.accept(vec![ours]).await.unwrap();
    for number in [1, 2] {
        let delivered = Inbound::Receipt(receipt(number, BOB, 5));
        assert!(fixture.arrivals.hand_over(number, delivered));
    }
    let Some(Command::Flush { reply }) = fixture.commands.recv().await else {
        panic!("the dispatcher is asked something else");
    };
    fixture.store.close().await.unwrap();
    reply.send(()).unwrap();
    let Some(Command::Settle(told)) = fixture.commands.recv().await else {
        panic!("the dispatcher is told something else");
    };
    assert_eq!((told.len(), told[0].message), (1, id(1)));
    assert_eq!(fixture.count(InboundEnd::Delivered), 1);
    assert_eq!(fixture.count(InboundEnd::Failed), 1);
}
