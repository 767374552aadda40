//! The life of a store: its name, and its end.

use std::collections::HashSet;

use super::TestStore;
use super::samples::{id, message, reopen, submission};
use crate::store::{StoreError, Verdict};

pub(crate) async fn an_epoch_lasts(test_store: &dyn TestStore) {
    let store = test_store.open();
    let epoch = store.epoch();
    assert!(epoch > 0);
    let store = reopen(test_store, store).await;
    assert_eq!(store.epoch(), epoch);
    store.close().await.unwrap();
}

pub(crate) async fn closing_makes_durable_what_was_handed_over(test_store: &dyn TestStore) {
    let store = test_store.open();
    let replies: Vec<_> = (1..=50)
        .map(|number| store.accept(vec![submission(vec![message(number)])]))
        .collect();
    store.close().await.unwrap();
    for reply in replies {
        assert_eq!(reply.await.unwrap(), [Verdict::Accepted]);
    }
    let refused = store.accept(vec![submission(vec![message(99)])]).await;
    assert!(matches!(refused, Err(StoreError::Closed)));
    let refused = store.message(id(1)).await;
    assert!(matches!(refused, Err(StoreError::Closed)));
    assert!(matches!(store.check().await, Err(StoreError::Closed)));

    drop(store);
    let store = test_store.open();
    let claimed = store.claim(100).await.unwrap();
    let ids: HashSet<_> = claimed.iter().map(|one| one.id).collect();
    assert_eq!(ids, (1..=50).map(id).collect());
    store.close().await.unwrap();
}
