//! Single rules of the board, each by itself.

use std::time::Duration;

use uuid::Uuid;

use super::super::observer::WaitingFor;
use super::super::quota::Quota;
use super::*;
use crate::message::{
    Answer, Cause, Contents, HeaderMap, Originator, Outcome, ResponseView, Unknown, What, retry,
};
use crate::pool::Pool;

const ALICE: &str = "sip:alice@example.com";
const CAROL: &str = "sip:carol@example.com";
const SECOND: Duration = Duration::from_secs(1);

const RECEIPT: EventId = EventId { epoch: 1, seq: 42 };

fn on_the_wall() -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000)
}

struct Fixture {
    board: Board,
    pool: Pool,
    start: Instant,
}

impl Fixture {
    /// An agent of alice and one of carol; carol's is registered.
    fn new() -> Self {
        Self::with_reserved(0.0)
    }

    fn with_reserved(reserved: f64) -> Self {
        let backoff = Backoff {
            min: SECOND,
            max: SECOND,
        };
        let mut pool = Pool::new(reserved);
        for (index, account) in [(0, ALICE), (1, CAROL)] {
            pool.add_agent(AgentIndex(index), &account.into(), 10);
        }
        pool.up(AgentIndex(1));
        Self {
            board: Board::new(backoff, 1_000_000),
            pool,
            start: clock::now(),
        }
    }

    /// A message to bob that lives for three seconds is taken in.
    fn offer(&mut self, number: u64, account: Option<&str>) -> MessageId {
        let message = message(number, account);
        let id = message.id;
        self.board.offer(Arc::new(message), false, on_the_wall());
        self.board.confirm(id);
        id
    }

    /// What begins so long after the start, by the number of its message.
    fn begun(&mut self, after: Duration) -> Vec<(u64, AttemptKey)> {
        let (now, steady) = (on_the_wall().plus(after), self.start + after);
        let senders = |_| None;
        self.board
            .handle_timeout(&self.pool, senders, now, steady, 0.0);
        let starts = self.board.pump(&mut self.pool, steady);
        let begun = starts.into_iter().map(|start| {
            self.board.sending(start.key, steady);
            let number = start.message.id.as_u128() & u128::from(u32::MAX);
            (u64::try_from(number).unwrap(), start.key)
        });
        begun.collect()
    }

    fn answer(&mut self, key: AttemptKey, after: Duration) -> Option<EndedAttempt> {
        let response = ResponseView {
            status_code: 200,
            reason_phrase: String::new(),
            headers: HeaderMap::default(),
            truncated: false,
        };
        let outcome = Outcome::Answered(Answer {
            response,
            retry_after: None,
            is_bare: false,
        });
        let ended = self
            .board
            .ended(key, outcome, None, on_the_wall().plus(after), 0.0);
        self.records_settled();
        ended
    }

    /// The connection is lost with this attempt in flight.
    fn lose(&mut self, key: AttemptKey) -> Vec<What> {
        let outcome = Outcome::Unknown(Unknown::Disconnected);
        self.board.ended(key, outcome, None, on_the_wall(), 0.0);
        self.records_settled()
    }

    /// A receipt of this sender comes in.
    fn receipt(&mut self, id: MessageId, sender: &str) -> Vec<What> {
        self.board.settle(id, RECEIPT, sender, on_the_wall());
        self.records_settled()
    }

    fn records_settled(&mut self) -> Vec<What> {
        let work = self.board.take_work();
        for slot in work.released {
            self.pool.release(slot);
            self.board.slot_freed(&ALICE.into());
            self.board.slot_freed(&CAROL.into());
        }
        let records = work.records.into_iter();
        records.map(|record| record.event.what).collect()
    }
}

fn message(number: u64, account: Option<&str>) -> Message {
    let contents = Contents {
        uri: "sip:bob@example.com".into(),
        account: account.map(Into::into),
        ttl: 3 * SECOND,
        ..Contents::default()
    };
    let id = MessageId::new(Uuid::from_u64_pair(0x0193_0000_0000_7000, number));
    contents.accept(id, on_the_wall(), None)
}

#[test]
fn a_client_with_many_messages_is_not_before_one_with_few() {
    let mut fixture = Fixture::new();
    let (many, few) = (Arc::new(Quota::default()), Arc::new(Quota::default()));
    let offer = |fixture: &mut Fixture, client: &Arc<Quota>, number: u64| {
        let mut message = message(number, Some(CAROL));
        message.contents.uri = format!("sip:{number}@example.com").into();
        for permit in client.take(1, 1_000).unwrap() {
            fixture.board.hold(message.id, permit);
        }
        fixture.board.offer(Arc::new(message), false, on_the_wall());
    };
    for number in 0..1_000 {
        offer(&mut fixture, &many, number);
    }
    // Carol's agent has ten slots, and gets no answers.
    let silent = fixture.begun(Duration::ZERO);
    assert_eq!(silent.len(), 10);
    offer(&mut fixture, &few, 2_000);
    offer(&mut fixture, &few, 2_001);
    let mut next = Vec::new();
    for (_, key) in silent.into_iter().take(4) {
        fixture.answer(key, Duration::ZERO);
        next.extend(fixture.begun(Duration::ZERO));
    }
    let next: Vec<_> = next.into_iter().map(|(number, _)| number).collect();
    assert_eq!(next, [10, 2_000, 11, 2_001]);
}

#[test]
fn a_message_of_an_account_without_an_agent_holds_up_no_other_account() {
    let mut fixture = Fixture::new();
    fixture.offer(1, Some(ALICE));
    fixture.offer(2, Some(CAROL));
    fixture.offer(3, None);
    let begun = fixture.begun(Duration::ZERO);
    let [(2, key)] = begun[..] else {
        panic!("{begun:?}");
    };
    assert!(fixture.answer(key, Duration::ZERO).is_some());
    let begun = fixture.begun(Duration::ZERO);
    assert!(matches!(begun[..], [(3, _)]), "{begun:?}");
}

#[test]
fn of_messages_that_expire_at_once_a_part_ends_at_a_time() {
    let mut fixture = Fixture::new();
    for number in 0..1_200 {
        fixture.offer(number, Some(ALICE));
    }
    let ended = [(); 4].map(|()| {
        assert!(fixture.begun(4 * SECOND).is_empty());
        fixture.records_settled().len()
    });
    assert!(ended.iter().all(|count| *count <= 500), "{ended:?}");
    assert_eq!(ended.iter().sum::<usize>(), 1_200);
    assert_eq!(fixture.board.deadline(), None);
}

#[test]
fn a_head_whose_target_is_busy_says_that_it_waits_for_one() {
    let mut fixture = Fixture::new();
    fixture.offer(1, Some(CAROL));
    let waiting = fixture.offer(2, None);
    assert_eq!(fixture.begun(Duration::ZERO).len(), 1);
    let (pool, start) = (&fixture.pool, fixture.start);
    let told = fixture
        .board
        .waiting_for(&[waiting], pool, on_the_wall(), start);
    assert_eq!(told[&waiting], WaitingFor::Lane { before: 1 });
}

#[test]
fn a_page_of_messages_is_told_at_once_what_each_of_them_waits_for() {
    let mut fixture = Fixture::new();
    let sent = fixture.offer(1, Some(CAROL));
    let behind = [2, 3].map(|number| fixture.offer(number, Some(CAROL)));
    let other = [4, 5].map(|number| fixture.offer(number, None));
    assert_eq!(fixture.begun(Duration::ZERO).len(), 1);
    let gone = message(6, None).id;
    let page = [gone, other[1], other[0], behind[1], behind[0], sent];
    let told = fixture
        .board
        .waiting_for(&page, &fixture.pool, on_the_wall(), fixture.start);
    let lane = |id, before| (id, WaitingFor::Lane { before });
    let expected = [
        lane(behind[0], 1),
        lane(behind[1], 2),
        lane(other[0], 1),
        lane(other[1], 2),
    ];
    assert_eq!(told, expected.into_iter().collect());
}

#[test]
fn a_message_that_is_sent_when_its_time_is_over_ends_and_its_target_stays_busy() {
    let mut fixture = Fixture::new();
    fixture.offer(1, Some(CAROL));
    let [(1, key)] = fixture.begun(Duration::ZERO)[..] else {
        panic!("nothing began");
    };
    fixture.records_settled();
    assert!(fixture.begun(2 * SECOND).is_empty());
    assert!(fixture.records_settled().is_empty());
    assert!(fixture.board.deadline() == Some(on_the_wall().plus(3 * SECOND)));

    assert!(fixture.begun(3 * SECOND).is_empty());
    let told = fixture.records_settled();
    assert!(
        matches!(
            told[..],
            [What::Failed {
                originator: Originator::System,
                cause: Cause::Expires,
                response: None,
                ambiguous: true,
            }]
        ),
        "{told:?}"
    );
    assert_eq!((fixture.board.len(), fixture.board.in_flight()), (0, 0));

    // The transaction is still open, so the next to this target waits.
    let mut next = message(2, Some(CAROL));
    next.expires_at = on_the_wall().plus(60 * SECOND);
    fixture.board.offer(Arc::new(next), false, on_the_wall());
    assert!(fixture.begun(4 * SECOND).is_empty());
    let late = fixture.answer(key, 5 * SECOND).unwrap();
    assert_eq!(late.attempt, 1);
    assert!(fixture.records_settled().is_empty());
    assert_eq!(fixture.begun(5 * SECOND).len(), 1);
}

#[test]
fn an_attempt_that_is_not_written_before_its_message_expires_never_is() {
    let mut fixture = Fixture::new();
    fixture.offer(1, Some(CAROL));
    let starts = fixture.board.pump(&mut fixture.pool, fixture.start);
    let key = starts[0].key;
    assert!(!fixture.board.lapsed(key, on_the_wall().plus(2 * SECOND)));
    assert!(fixture.board.lapsed(key, on_the_wall().plus(3 * SECOND)));
    let told = fixture.records_settled();
    assert!(
        matches!(
            told[..],
            [What::Failed {
                cause: Cause::Expires,
                ambiguous: false,
                ..
            }]
        ),
        "{told:?}"
    );
    assert!(fixture.board.lanes.is_empty() && fixture.board.attempts.is_empty());
}

#[test]
fn a_rate_does_not_wait_for_a_wall_clock_that_was_set_back() {
    let mut fixture = Fixture::new();
    fixture.pool.add_account(&CAROL.into(), Some(1.0));
    fixture.offer(1, Some(CAROL));
    let [(1, key)] = fixture.begun(Duration::ZERO)[..] else {
        panic!("nothing began");
    };
    fixture.answer(key, Duration::ZERO);
    fixture.offer(2, Some(CAROL));
    assert!(fixture.begun(Duration::ZERO).is_empty());
    let (hour_ago, steady) = (
        Timestamp::from_millis(on_the_wall().as_millis() - 3_600_000),
        fixture.start + SECOND,
    );
    assert_eq!(fixture.board.steady_deadline(), Some(steady));
    let (board, pool) = (&mut fixture.board, &mut fixture.pool);
    board.handle_timeout(pool, |_| None, hour_ago, steady, 0.0);
    assert_eq!(board.pump(pool, steady).len(), 1);
}

#[test]
fn contents_that_are_read_when_nothing_may_begin_wait_for_their_turn_again() {
    let mut fixture = Fixture::new();
    fixture.board.max_held_bytes = 0;
    let id = fixture.offer(1, Some(CAROL));
    assert!(fixture.begun(Duration::ZERO).is_empty());
    assert_eq!(fixture.board.take_work().loads, [id]);
    let content = Some(Arc::new(message(1, Some(CAROL))));
    let starts = fixture.board.loaded(id, content, false, on_the_wall(), 0.0);
    assert!(starts.is_empty() && fixture.board.in_flight() == 0);
    fixture.records_settled();
    assert_eq!(fixture.begun(Duration::ZERO).len(), 1);
}

#[test]
fn a_canceled_message_that_is_gone_from_the_store_is_told_as_forgotten() {
    let mut fixture = Fixture::new();
    fixture.board.max_held_bytes = 0;
    let id = fixture.offer(1, Some(ALICE));
    assert_eq!(fixture.board.cancel(id, on_the_wall()), Cancel::Canceled);
    assert_eq!(fixture.board.take_work().loads, [id]);
    fixture.board.loaded(id, None, true, on_the_wall(), 0.0);
    assert_eq!(fixture.board.take_work().forgotten, [id]);
    assert_eq!(fixture.board.len(), 0);
}

#[test]
fn a_target_with_a_request_in_flight_is_not_handed_over() {
    let mut fixture = Fixture::new();
    fixture.offer(1, Some(CAROL));
    let [(1, key)] = fixture.begun(Duration::ZERO)[..] else {
        panic!("nothing began");
    };
    fixture.pool.remove_agent(AgentIndex(0));
    fixture.offer(2, Some(ALICE));
    fixture.begun(Duration::ZERO);
    assert!(fixture.board.stranded(&fixture.pool, 10).is_empty());
    fixture.answer(key, Duration::ZERO);
    fixture.begun(Duration::ZERO);
    let stranded = fixture.board.stranded(&fixture.pool, 10);
    assert_eq!(stranded.len(), 1);
    fixture.board.abandon(&[stranded[0].uri.clone()]);
    assert!(fixture.board.lanes.is_empty() && fixture.board.len() == 0);
}

#[test]
fn a_receipt_before_the_connection_is_lost_ends_the_message_as_succeeded() {
    let mut fixture = Fixture::new();
    let id = fixture.offer(1, None);
    let begun = fixture.begun(Duration::ZERO);
    assert_eq!(fixture.receipt(id, "sip:bob@example.com"), []);
    assert_eq!(fixture.lose(begun[0].1), [retry::settled_by(RECEIPT)]);
    assert_eq!(fixture.board.len(), 0);
}

#[test]
fn a_receipt_while_another_attempt_is_waited_for_ends_the_message_as_succeeded() {
    let mut fixture = Fixture::new();
    let id = fixture.offer(1, None);
    let begun = fixture.begun(Duration::ZERO);
    let deferred = fixture.lose(begun[0].1);
    assert!(
        matches!(deferred[..], [What::Deferred { .. }]),
        "{deferred:?}"
    );
    assert_eq!(
        fixture.receipt(id, "sip:bob@example.com"),
        [retry::settled_by(RECEIPT)]
    );
    assert!(fixture.begun(2 * SECOND).is_empty());
    assert_eq!(fixture.board.len(), 0);
}

#[test]
fn a_receipt_before_the_end_of_the_time_of_a_message_in_flight_ends_it_as_succeeded() {
    let mut fixture = Fixture::new();
    let id = fixture.offer(1, None);
    fixture.begun(Duration::ZERO);
    assert_eq!(fixture.receipt(id, "sip:bob@example.com"), []);
    fixture.begun(2 * SECOND);
    fixture.begun(3 * SECOND);
    assert_eq!(fixture.records_settled(), [retry::settled_by(RECEIPT)]);
}

#[test]
fn a_receipt_of_somebody_else_or_before_the_first_attempt_changes_nothing() {
    let mut fixture = Fixture::new();
    let waiting = fixture.offer(1, Some(ALICE));
    assert_eq!(fixture.receipt(waiting, "sip:bob@example.com"), []);
    assert_eq!(fixture.board.len(), 1);
    let id = fixture.offer(2, Some(CAROL));
    let begun = fixture.begun(Duration::ZERO);
    assert_eq!(fixture.receipt(id, "sip:mallory@example.com"), []);
    let deferred = fixture.lose(begun[0].1);
    assert!(
        matches!(deferred[..], [What::Deferred { .. }]),
        "{deferred:?}"
    );
}

#[test]
fn a_receipt_that_the_store_knows_settles_what_was_sending_when_the_gateway_ended() {
    let mut fixture = Fixture::new();
    let message = Arc::new(message(1, None));
    fixture.board.claim(
        Claimed {
            id: message.id,
            uri: message.contents.uri.clone(),
            account: None,
            status: Status::Sending,
            attempt: 1,
            attempts: 3,
            on_unknown: OnUnknown::Fail,
            not_before: None,
            expires_at: message.expires_at,
            priority: Priority::Normal,
        },
        on_the_wall(),
    );
    fixture
        .board
        .has_arrived(message.id, RECEIPT, on_the_wall());
    let id = message.id;
    fixture
        .board
        .loaded(id, Some(message), true, on_the_wall(), 0.0);
    assert_eq!(fixture.records_settled(), [retry::settled_by(RECEIPT)]);
}

/// Numbers of what begins now, with every answer there before the next begins.
fn begun_in_turn(fixture: &mut Fixture) -> Vec<u64> {
    let mut numbers = Vec::new();
    loop {
        let begun = fixture.begun(Duration::ZERO);
        if begun.is_empty() {
            return numbers;
        }
        for (number, key) in begun {
            numbers.push(number);
            fixture.answer(key, Duration::ZERO);
        }
    }
}

impl Fixture {
    fn offer_classed(&mut self, number: u64, class: Priority, user: u64) -> MessageId {
        let mut message = message(number, Some(CAROL));
        message.contents.priority = Some(class);
        message.contents.uri = format!("sip:{user}@example.com").into();
        message.expires_at = on_the_wall().plus(1_000 * SECOND);
        let id = message.id;
        self.board.offer(Arc::new(message), false, on_the_wall());
        self.board.confirm(id);
        id
    }

    fn waits_for(&self, id: MessageId) -> Option<WaitingFor> {
        let (now, steady) = (on_the_wall(), self.start);
        let mut waiting = self.board.waiting_for(&[id], &self.pool, now, steady);
        waiting.remove(&id)
    }
}

#[test]
fn in_a_lane_a_higher_class_overtakes_what_waits_and_not_what_is_in_flight() {
    let mut fixture = Fixture::new();
    fixture.offer_classed(1, Priority::Normal, 7);
    let [(1, key)] = fixture.begun(Duration::ZERO)[..] else {
        panic!("the first begins");
    };
    for (number, class) in [
        (2, Priority::Normal),
        (3, Priority::NonUrgent),
        (4, Priority::Urgent),
        (5, Priority::Emergency),
        (6, Priority::Urgent),
        (7, Priority::Normal),
    ] {
        fixture.offer_classed(number, class, 7);
    }
    assert_eq!(fixture.begun(Duration::ZERO), []);
    fixture.answer(key, Duration::ZERO);
    assert_eq!(begun_in_turn(&mut fixture), [5, 4, 6, 2, 7, 3]);
    assert!(fixture.board.lanes.is_empty());
}

#[test]
fn a_message_that_waits_for_its_next_attempt_is_overtaken_by_a_higher_class_alone() {
    let mut fixture = Fixture::new();
    let first = fixture.offer_classed(1, Priority::Normal, 7);
    let [(1, key)] = fixture.begun(Duration::ZERO)[..] else {
        panic!("the first begins");
    };
    let deferred = fixture.lose(key);
    assert!(matches!(deferred[..], [What::Deferred { .. }]));
    let second = fixture.offer_classed(2, Priority::Normal, 7);
    assert_eq!(fixture.begun(Duration::ZERO), []);
    fixture.offer_classed(3, Priority::Urgent, 7);
    for overtaken in [first, second] {
        let reason = Some(WaitingFor::Priority(Priority::Urgent));
        assert_eq!(fixture.waits_for(overtaken), reason);
    }
    assert_eq!(begun_in_turn(&mut fixture), [3]);
    assert!(matches!(
        fixture.waits_for(first),
        Some(WaitingFor::Retry(_))
    ));
    assert_eq!(
        fixture.waits_for(second),
        Some(WaitingFor::Lane { before: 1 })
    );
    // The same when the higher one came while the first was in flight.
    let [(1, key)] = fixture.begun(2 * SECOND)[..] else {
        panic!("the first is tried again");
    };
    fixture.offer_classed(4, Priority::Emergency, 7);
    fixture.lose(key);
    assert_eq!(begun_in_turn(&mut fixture), [4]);
    assert!(matches!(
        fixture.waits_for(first),
        Some(WaitingFor::Retry(_))
    ));
}

#[test]
fn a_message_waits_for_a_higher_class_that_goes_before_it() {
    let mut fixture = Fixture::new();
    fixture.pool.add_account(&CAROL.into(), Some(1.0));
    let first = fixture.offer_classed(1, Priority::Normal, 1);
    assert_eq!(fixture.begun(Duration::ZERO).len(), 1);
    let normal = fixture.offer_classed(2, Priority::Normal, 2);
    assert_eq!(fixture.begun(Duration::ZERO), []);
    assert!(matches!(
        fixture.waits_for(normal),
        Some(WaitingFor::Rate(_))
    ));
    let urgent = fixture.offer_classed(3, Priority::Urgent, 3);
    let any = fixture.offer_classed(4, Priority::Emergency, 4);
    assert_eq!(fixture.begun(Duration::ZERO), []);
    for id in [normal, urgent] {
        let reason = Some(WaitingFor::Priority(Priority::Emergency));
        assert_eq!(fixture.waits_for(id), reason);
    }
    assert!(matches!(fixture.waits_for(any), Some(WaitingFor::Rate(_))));
    assert_eq!(fixture.waits_for(first), None);
}

/// What a begin costs, counted in heads that are looked at.
#[test]
fn an_emergency_before_100_000_messages_that_wait_for_a_rate_is_begun_in_one_turn() {
    let mut fixture = Fixture::with_reserved(0.1);
    fixture.board.max_held_bytes = usize::MAX;
    fixture
        .pool
        .add_agent(AgentIndex(2), &CAROL.into(), 1_000_000);
    fixture.pool.up(AgentIndex(2));
    fixture.pool.add_account(&CAROL.into(), Some(50.0));
    for number in 0..100_000 {
        fixture.offer_classed(number, Priority::Normal, number);
    }
    let mut begun = fixture.begun(Duration::ZERO).len();
    fixture.board.looked_at = 0;
    fixture.offer_classed(100_000, Priority::Emergency, 100_000);
    // To a target that others wait for, too.
    fixture.offer_classed(100_001, Priority::Urgent, 99_999);
    let [(100_000, _)] = fixture.begun(Duration::ZERO)[..] else {
        panic!("the emergency begins at once");
    };
    assert!(fixture.board.looked_at <= 4, "{}", fixture.board.looked_at);
    let mut second = Vec::new();
    let before = fixture.board.looked_at;
    for millis in (20..20_000).step_by(20) {
        let numbers = fixture.begun(Duration::from_millis(millis));
        begun += numbers.len();
        second.extend(numbers.into_iter().map(|(number, _)| number));
    }
    assert_eq!(second[0], 100_001);
    let looked_at = fixture.board.looked_at - before;
    assert!(
        begun > 800 && looked_at <= 2 * 1_000 + begun,
        "{begun} {looked_at}"
    );
}
