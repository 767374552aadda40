//! Idempotency keys: what makes a repeated request the same request.

use super::TestStore;
use super::samples::{at, id, keyed, listed, message, reopen};
use crate::store::{MessageFilter, Verdict};

pub(crate) async fn a_key_makes_a_repeated_request_the_same_request(test_store: &dyn TestStore) {
    let store = test_store.open();
    let verdicts = store
        .accept(vec![
            keyed("app", "k", 1, vec![message(1), message(2)]),
            keyed("app", "k", 1, vec![message(3), message(4)]),
            keyed("app", "k", 2, vec![message(5)]),
            keyed("other", "k", 2, vec![message(6)]),
            keyed("app", "K", 2, vec![message(7)]),
        ])
        .await
        .unwrap();
    assert_eq!(
        verdicts,
        [
            Verdict::Accepted,
            Verdict::Replayed(vec![id(1), id(2)]),
            Verdict::KeyReused,
            Verdict::Accepted,
            Verdict::Accepted,
        ]
    );
    let all = listed(&store, &MessageFilter::default(), 10).await;
    assert_eq!(all, [id(7), id(6), id(2), id(1)]);
    store.close().await.unwrap();
}

pub(crate) async fn twenty_clients_with_one_key_make_one_message(test_store: &dyn TestStore) {
    let store = test_store.open();
    let mut clients = tokio::task::JoinSet::new();
    for number in 1..=20 {
        let store = store.clone();
        let request = keyed("app", "once", 9, vec![message(number)]);
        clients.spawn(async move { store.accept(vec![request]).await.unwrap().remove(0) });
    }
    let verdicts = clients.join_all().await;
    let all = listed(&store, &MessageFilter::default(), 30).await;
    assert_eq!(all.len(), 1);
    let replays = verdicts
        .iter()
        .filter(|verdict| **verdict == Verdict::Replayed(all.clone()));
    assert_eq!(replays.count(), 19);
    store.close().await.unwrap();
}

pub(crate) async fn keys_outlive_a_restart_and_are_forgotten_in_steps(test_store: &dyn TestStore) {
    let store = test_store.open();
    for number in 1..=5 {
        let request = keyed("app", &number.to_string(), 1, vec![message(number)]);
        store.accept(vec![request]).await.unwrap();
    }
    let store = reopen(test_store, store).await;
    assert_eq!(store.forget_keys(at(4), 2).await.unwrap(), 2);
    assert_eq!(store.forget_keys(at(4), 2).await.unwrap(), 1);
    assert_eq!(store.forget_keys(at(4), 2).await.unwrap(), 0);
    let again = |key: &str, number| vec![keyed("app", key, 1, vec![message(number)])];
    let kept = store.accept(again("4", 6)).await.unwrap();
    assert_eq!(kept, [Verdict::Replayed(vec![id(4)])]);
    let forgotten = store.accept(again("3", 7)).await.unwrap();
    // To the same target as what is left over, it waits behind that.
    assert!(matches!(
        forgotten.as_slice(),
        [Verdict::Accepted | Verdict::Elsewhere(_)]
    ));
    store.close().await.unwrap();
}
