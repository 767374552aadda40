//! The SIP messages that were kept of messages.

use std::sync::Arc;

use super::TestStore;
use super::samples::{accept, at, finish, id, incoming, received_id, reopen};
use super::webhooks::plan_nothing;
use crate::message::{Direction, Frame, FrameRecord, MessageId};
use crate::store::Store;

fn frame(micros: i64) -> Frame {
    Frame {
        micros,
        direction: Direction::Received,
        agent: "alice-1".into(),
        local: "[::1]:40312".parse().unwrap(),
        remote: "192.0.2.1:443".parse().unwrap(),
        bytes: vec![0, 0xff, b'\r', b'\n'].into(),
    }
}

fn record(message: MessageId, begun: i64) -> FrameRecord {
    let sent = Frame {
        direction: Direction::Sent,
        ..frame(begun)
    };
    FrameRecord {
        message,
        frames: vec![sent, frame(begun + 1)],
    }
}

async fn kept(store: &Arc<dyn Store>, message: MessageId) -> Vec<FrameRecord> {
    store.frames(message).await.unwrap()
}

pub(crate) async fn frames_are_read_back_with_their_message_and_are_there_once(
    test_store: &dyn TestStore,
) {
    let store = test_store.open();
    let records = || vec![record(id(1), 20), record(id(2), 5), record(id(1), 10)];
    store.keep_frames(records(), at(0)).await.unwrap();
    // What is written again, because it was not known whether it was written.
    store.keep_frames(records(), at(1)).await.unwrap();
    let store = reopen(test_store, store).await;
    let first = kept(&store, id(1)).await;
    assert_eq!(first, [record(id(1), 10), record(id(1), 20)]);
    assert_eq!(kept(&store, id(2)).await, [record(id(2), 5)]);
    assert_eq!(kept(&store, id(3)).await, []);
    store.close().await.unwrap();
}

pub(crate) async fn frames_are_forgotten_in_steps_oldest_first(test_store: &dyn TestStore) {
    let store = test_store.open();
    for number in 1..=4 {
        let time = i64::try_from(number).unwrap();
        let records = vec![record(id(number), 100 - time)];
        store.keep_frames(records, at(time)).await.unwrap();
    }
    assert_eq!(store.forget_frames(at(4), 2).await.unwrap(), 2);
    assert_eq!(kept(&store, id(2)).await, []);
    assert_eq!(kept(&store, id(3)).await.len(), 1);
    assert_eq!(store.forget_frames(at(4), 2).await.unwrap(), 1);
    assert_eq!(store.forget_frames(at(4), 2).await.unwrap(), 0);
    assert_eq!(kept(&store, id(4)).await.len(), 1);
    store.close().await.unwrap();
}

pub(crate) async fn frames_go_with_their_message(test_store: &dyn TestStore) {
    let store = test_store.open();
    accept(&store, 1..=2).await;
    store.receive(vec![incoming(1), incoming(9)]).await.unwrap();
    let all = [id(1), id(2), received_id(1), received_id(9)];
    let records = all.map(|message| record(message, 1));
    store.keep_frames(records.to_vec(), at(0)).await.unwrap();
    finish(&store, [1]).await;
    plan_nothing(&store).await;
    store.purge(at(5), 9).await.unwrap();
    store.purge_received(at(5), 9).await.unwrap();
    for (message, count) in all.into_iter().zip([0, 1, 0, 1]) {
        assert_eq!(kept(&store, message).await.len(), count, "{message}");
    }
    store.close().await.unwrap();
}

pub(crate) async fn frames_of_what_is_erased_are_erased_and_never_kept_again(
    test_store: &dyn TestStore,
) {
    let store = test_store.open();
    store.receive(vec![incoming(1), incoming(2)]).await.unwrap();
    let records = |begun| vec![record(received_id(1), begun), record(received_id(2), begun)];
    store.keep_frames(records(1), at(0)).await.unwrap();
    assert!(store.erase(received_id(1)).await.unwrap());
    assert_eq!(kept(&store, received_id(1)).await, []);
    // An agent hands over what it held when its response has passed.
    store.keep_frames(records(2), at(0)).await.unwrap();
    assert_eq!(kept(&store, received_id(1)).await, []);
    assert_eq!(kept(&store, received_id(2)).await.len(), 2);
    store.close().await.unwrap();
}
