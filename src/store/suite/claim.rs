//! Taking over what was left behind.

use super::TestStore;
use super::samples::{
    ALICE, accept, at, deferred, finish, id, message, reopen, sending, submission,
};
use crate::message::{OnUnknown, Priority, Status};
use crate::store::Verdict;

pub(crate) async fn what_was_left_is_handed_out_once_oldest_first(test_store: &dyn TestStore) {
    let store = test_store.open();
    let scheduled = message(5).with(|contents| {
        contents.send_at = Some(at(90_000));
        contents.account = Some(ALICE.into());
        contents.on_unknown = OnUnknown::Fail;
    });
    accept(&store, 1..=4).await;
    store
        .accept(vec![submission(vec![scheduled.clone()])])
        .await
        .unwrap();
    finish(&store, [2]).await;
    let records = vec![
        sending(3, 1, 5),
        sending(4, 1, 5),
        deferred(4, 1, 6, at(700)),
    ];
    store.record(records.into()).await.unwrap();

    let store = reopen(test_store, store).await;
    let elsewhere = message(6).with(|contents| contents.uri = "sip:carol@example.com".into());
    let new = vec![submission(vec![elsewhere])];
    assert_eq!(store.accept(new).await.unwrap(), [Verdict::Accepted]);
    let mut claimed = Vec::new();
    loop {
        let some = store.claim(2).await.unwrap();
        if some.is_empty() {
            break;
        }
        claimed.extend(some);
    }
    let ids: Vec<_> = claimed.iter().map(|one| one.id).collect();
    assert_eq!(ids, [id(1), id(3), id(4), id(5)]);
    let [queued, sending, deferred, later] = claimed.as_slice() else {
        panic!("{claimed:?}");
    };
    assert_eq!((queued.status, queued.attempt), (Status::Queued, 0));
    assert_eq!((queued.not_before, queued.attempts), (None, 3));
    assert_eq!((sending.status, sending.attempt), (Status::Sending, 1));
    assert_eq!((deferred.status, deferred.attempt), (Status::Queued, 1));
    assert_eq!(deferred.not_before, Some(at(700)));
    assert_eq!((later.status, later.attempt), (Status::Scheduled, 0));
    assert_eq!(later.not_before, Some(at(90_000)));
    assert_eq!(later.on_unknown, OnUnknown::Fail);
    assert_eq!(later.uri, scheduled.contents.uri);
    assert_eq!(later.account, scheduled.contents.account);
    assert_eq!(later.expires_at, scheduled.expires_at);
    store.close().await.unwrap();
}

pub(crate) async fn a_message_keeps_its_class(test_store: &dyn TestStore) {
    let store = test_store.open();
    let given: Vec<_> = [None].into_iter().chain(Priority::ALL.map(Some)).collect();
    for (number, class) in (1..).zip(&given) {
        let message = message(number).with(|contents| contents.priority = *class);
        let verdicts = store.accept(vec![submission(vec![message])]).await;
        assert_eq!(verdicts.unwrap(), [Verdict::Accepted]);
    }

    let store = reopen(test_store, store).await;
    let mut claimed = store.claim(10).await.unwrap();
    claimed.sort_by_key(|one| one.id);
    let counts_as: Vec<_> = claimed.iter().map(|one| one.priority).collect();
    let classes: Vec<_> = given.iter().map(|one| one.unwrap_or_default()).collect();
    assert_eq!(counts_as, classes);
    let ids = claimed.iter().map(|one| one.id).collect();
    let loaded = store.load(ids).await.unwrap();
    let kept: Vec<_> = loaded.iter().map(|one| one.contents.priority).collect();
    assert_eq!(kept, given);
    store.close().await.unwrap();
}

pub(crate) async fn what_this_process_took_in_is_never_claimed(test_store: &dyn TestStore) {
    let store = test_store.open();
    accept(&store, 1..=3).await;
    assert_eq!(store.claim(10).await.unwrap(), []);
    accept(&store, 4..=6).await;
    assert_eq!(store.claim(10).await.unwrap(), []);
    store.close().await.unwrap();
}
