//! `sipost restore` at a database that replicas share.

use std::process::Stdio;

use tokio::process::Command;

use crate::fleet::Fleet;
use crate::harness::Peer;
use crate::postgres;

/// Runs the command without a file; its exit code, and what it said.
async fn restore(database: &str) -> (Option<i32>, String) {
    let ended = Command::new(env!("CARGO_BIN_EXE_sipost"))
        .arg("restore")
        .env("SIPOST__STORE__URL", database)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let said = [ended.stdout, ended.stderr].concat();
    (ended.status.code(), String::from_utf8(said).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_file_it_begins_a_new_epoch_when_no_replica_runs() {
    let peer = Peer::start().await;
    let database = postgres::database();
    let mut fleet = Fleet::start(1, &database, &peer, |setup| setup).await;
    let (code, said) = restore(&database).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("nothing was restored"), "{said}");
    fleet.end().await;

    let epoch = |said: &str| -> u64 {
        let (_, epoch) = said.trim_end().rsplit_once(' ').unwrap();
        epoch.parse().unwrap()
    };
    let mut last = 0;
    for _ in 0..2 {
        let (code, said) = restore(&database).await;
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("the database has begun epoch"), "{said}");
        assert!(last < epoch(&said), "{last}: {said}");
        last = epoch(&said);
    }
    fleet.launch(0).await;
    fleet.end().await;
}
