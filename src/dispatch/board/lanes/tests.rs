//! The order of a lane, and who is at its head.

use uuid::Uuid;

use super::*;

const NON_URGENT: Priority = Priority::NonUrgent;
const NORMAL: Priority = Priority::Normal;
const URGENT: Priority = Priority::Urgent;
const EMERGENCY: Priority = Priority::Emergency;

fn id(number: u128) -> MessageId {
    MessageId::new(Uuid::from_u128(number))
}

fn lane() -> Lane {
    ("sip:bob@example.com".into(), None)
}

fn message(number: u128, class: Priority, seconds: i64) -> LaneMessage {
    LaneMessage {
        id: id(number),
        class,
        since: Timestamp::from_millis(seconds * 1_000),
    }
}

fn lanes(messages: &[(u128, Priority, i64)]) -> Lanes {
    let mut lanes = Lanes::default();
    for (number, class, seconds) in messages {
        lanes.push(lane(), message(*number, *class, *seconds));
    }
    lanes
}

/// Removes heads until there are none.
fn order(mut lanes: Lanes) -> Vec<u128> {
    let mut order = Vec::new();
    while let Some(queue) = lanes.get(&lane()) {
        let head = queue.head();
        order.push(Uuid::from_bytes(*head.id.as_bytes()).as_u128());
        lanes.remove(&lane(), head.id, head.class);
    }
    assert!(lanes.is_empty());
    order
}

#[test]
fn behind_the_head_higher_classes_go_first_and_each_class_in_its_order() {
    let lanes = lanes(&[
        (1, NORMAL, 0),
        (2, NORMAL, 1),
        (3, NON_URGENT, 2),
        (4, EMERGENCY, 3),
        (5, URGENT, 4),
        (6, EMERGENCY, 5),
        (7, NORMAL, 6),
        (8, URGENT, 7),
    ]);
    assert_eq!(order(lanes), [1, 4, 6, 5, 8, 2, 7, 3]);
}

#[test]
fn a_message_that_has_waited_goes_before_higher_ones_that_have_not() {
    let lanes = lanes(&[
        (1, NORMAL, 0),
        (2, NON_URGENT, 0),
        (3, NORMAL, 10),
        (4, URGENT, 69),
        (5, URGENT, 71),
        (6, NORMAL, 61),
        (7, EMERGENCY, 600),
    ]);
    assert_eq!(order(lanes), [1, 7, 4, 3, 5, 2, 6]);
}

#[test]
fn a_head_that_is_not_in_flight_goes_back_to_the_front_of_its_class() {
    let mut lanes = lanes(&[(1, NORMAL, 0), (2, NORMAL, 0)]);
    assert_eq!(lanes.overtake(&lane()), None);
    let pushed = lanes.push(lane(), message(3, URGENT, 5));
    assert_eq!(pushed, Pushed::Outranks(id(1)));
    assert_eq!(lanes.overtake(&lane()), Some(id(3)));
    assert_eq!(lanes.overtake(&lane()), None);
    let pushed = lanes.push(lane(), message(4, URGENT, 5));
    assert_eq!(pushed, Pushed::Behind);
    assert_eq!(order(lanes), [3, 4, 1, 2]);
}

#[test]
fn within_a_class_the_order_holds_although_times_do_not() {
    let mut lanes = lanes(&[(1, NORMAL, 10), (2, NORMAL, 5), (3, NORMAL, 7)]);
    assert_eq!(lanes.overtake(&lane()), None);
    assert_eq!(order(lanes), [1, 2, 3]);
}

#[test]
fn a_head_that_was_overtaken_waits_for_its_target_no_more() {
    let mut lanes = lanes(&[(1, NORMAL, 0), (2, URGENT, 0)]);
    lanes.take_target(lane().0);
    assert!(lanes.wait_for_target(&lane().0, id(1)));
    assert_eq!(lanes.overtake(&lane()), Some(id(2)));
    assert!(lanes.wait_for_target(&lane().0, id(2)));
    assert_eq!(lanes.free_target(&lane().0), [id(2)]);
}

#[test]
fn a_lane_is_walked_from_its_end_in_the_opposite_of_its_order() {
    let messages: Vec<_> = (0..200_u128)
        .map(|number| {
            let class = Priority::ALL[(number * 7 % 11) as usize % 4];
            (number, class, number as i64 * 3)
        })
        .collect();
    let walked = lanes(&messages);
    let walked: Vec<_> = walked.get(&lane()).unwrap().backwards().collect();
    let mut expected: Vec<_> = order(lanes(&messages)).into_iter().map(id).collect();
    assert_eq!(expected.remove(0), id(0));
    expected.reverse();
    assert_eq!(walked, expected);
}
