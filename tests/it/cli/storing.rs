//! `sipost backup` and `sipost restore`, where there is nothing to do or the wrong thing is asked.

use super::run;
use super::sipost;
use crate::operating::Running;

#[tokio::test]
async fn with_postgresql_it_says_what_copies_it() {
    for (arguments, words) in [
        (["backup", "copy.db"], "pg_dump"),
        (["restore", "copy.db"], "pg_restore"),
    ] {
        let mut command = sipost(&arguments);
        command.env("SIPOST__STORE__URL", "postgres://sipost@localhost/sipost");
        let ended = run(&mut command).await;
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn what_is_not_there_is_neither_copied_nor_put_back() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/no.db", folder.path().display());
    for (arguments, code) in [
        (&["backup", "copy.db"][..], 1),
        (&["restore", "no-copy.db"], 1),
        (&["restore"], 2),
        (&["backup"], 2),
    ] {
        let mut command = sipost(arguments);
        command.env("SIPOST__STORE__URL", &url);
        let ended = run(&mut command).await;
        assert_eq!(ended.code, Some(code), "{arguments:?}: {}", ended.stderr);
        assert_eq!(ended.stdout, "");
        let names_it = ended.stderr.contains("FILE") || code == 1;
        assert!(names_it, "{arguments:?}: {}", ended.stderr);
    }
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 0);
}

#[cfg(unix)]
#[tokio::test]
async fn a_store_that_everybody_may_read_is_told_of_with_the_command() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sipost.db");
    std::fs::write(&file, "").unwrap();
    let mode = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(&file, mode).unwrap();
    let gateway = Running::start_in(folder, "").await;
    let said = gateway.output();
    assert!(said.contains("chmod o= 'sipost.db'*"), "{said}");
}
