//! `sipost check` and `sipost config`, and the file they read.

use std::fs;

use super::run;
use super::sipost;

const FILE: &str = r#"
[http]
listen = "0.0.0.0:8080"

[[account]]
uri = "alice"
password = "open sesame"
servers = []
"#;

#[tokio::test]
async fn check_tells_every_mistake_and_ends_with_78() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sipost.toml");
    fs::write(&file, FILE).unwrap();
    let mut command = sipost(&["check"]);
    command
        .env("SIPOST_CONFIG", &file)
        .env("SIPOST__SIP__TIMER_F", "soon");
    let ended = run(&mut command).await;

    assert_eq!((ended.code, ended.stdout.as_str()), (Some(78), ""));
    let told = ended.stderr;
    assert!(
        told.starts_with("error: there are 4 mistakes in the configuration:\n"),
        "{told}"
    );
    let file = file.display();
    for line in [
        format!(
            "account[0].uri: invalid value \"alice\"; accepted: a SIP URI with a user, such as \"sip:alice@example.com\" (in {file}:6)"
        ),
        format!(
            "account[0].servers: names no server; accepted: at least one server, such as [{{ url = \"wss://example.com/ws\", weight = 10 }}] (in {file}:8)"
        ),
        "sip.timer_f: invalid value \"soon\"; accepted: a duration".to_owned(),
        "(in $SIPOST__SIP__TIMER_F)".to_owned(),
        "http.listen: without http.tokens".to_owned(),
    ] {
        assert!(told.contains(&line), "{line}\n{told}");
    }
    assert!(!told.contains("sesame"), "{told}");
}

#[tokio::test]
async fn check_says_what_a_right_configuration_leads_to() {
    // An empty variable counts as not set.
    let ended = run(sipost(&["check"]).env("SIPOST_CONFIG", "")).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(
        ended
            .stdout
            .contains("no account, so the sandbox stands in"),
        "{}",
        ended.stdout
    );
}

#[tokio::test]
async fn a_file_that_was_named_must_exist() {
    let ended = run(&mut sipost(&["check", "--config", "/nowhere/sipost.toml"])).await;
    assert_eq!(ended.code, Some(78));
    let told = "error: there is a mistake in the configuration:\n  /nowhere/sipost.toml: cannot be \
                read: No such file or directory; name another one with --config or SIPOST_CONFIG, \
                or none: then /etc/sipost/sipost.toml or config/sipost.toml is read, if there is \
                one. `sipost config --defaults` prints a file to begin with\n";
    assert_eq!(ended.stderr, told);
}

#[tokio::test]
async fn check_names_the_file_and_the_variables_that_were_used() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sipost.toml");
    fs::write(&file, "[sip]\ntimer_f = '10s'\n").unwrap();
    let file = file.display().to_string();
    let variables = [
        ("SIPOST__SIP__TIMER_F", "20s"),
        ("SIPOST__SIP__PING_INTERVAL", "20s"),
        ("SIPOST__DELIVERY__ATTEMPTS", "2"),
        ("SIPOST__HTTP__LISTEN", "127.0.0.1:0"),
    ];
    for (arguments, count, words) in [
        (&["check"][..], 0, "(no file, the defaults hold)".to_owned()),
        (&["check"], 1, "(no file, $SIPOST__SIP__TIMER_F)".to_owned()),
        (
            &["check"],
            4,
            "(no file, $SIPOST__DELIVERY__ATTEMPTS, $SIPOST__HTTP__LISTEN, \
             $SIPOST__SIP__PING_INTERVAL, 1 more variable)"
                .to_owned(),
        ),
        (&["check", "--config", &file], 0, format!("({file})")),
        (
            &["check", "--config", &file],
            1,
            format!("({file}, $SIPOST__SIP__TIMER_F)"),
        ),
    ] {
        let variables = variables.iter().take(count).copied();
        let mut command = sipost(arguments);
        let ended = run(command.current_dir(folder.path()).envs(variables)).await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(ended.stdout.contains(&words), "{words}: {}", ended.stdout);
    }
}

/// The start refuses it, too, with what SQLite says.
#[tokio::test]
async fn check_refuses_a_store_that_is_no_database() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.db");
    fs::write(&text, "root:x:0:0:root:/root:/bin/sh\n").unwrap();
    let url = format!("sqlite://{}", text.display());
    let ended = run(sipost(&["check"]).env("SIPOST__STORE__URL", &url)).await;
    assert_eq!(ended.code, Some(78), "{}", ended.stdout);
    let told = format!(
        "store.url: {} is no SQLite database; accepted: ",
        text.display()
    );
    assert!(ended.stderr.contains(&told), "{}", ended.stderr);
    let served = run(sipost(&["serve"]).env("SIPOST__STORE__URL", &url)).await;
    assert_eq!(served.code, Some(1), "{}", served.stderr);
    fs::write(&text, "").unwrap();
    let ended = run(sipost(&["check"]).env("SIPOST__STORE__URL", &url)).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_with_the_setting_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = sipost(&["serve"]);
    command
        .current_dir(folder.path())
        .env("SIPOST__HTTP__LISTEN", &address);
    let ended = run(&mut command).await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let told = format!(
        "\"failed to listen on {address} (http.listen): Address already in use; stop the program \
         that listens there, or choose another port\""
    );
    assert!(ended.stderr.contains(&told), "{}", ended.stderr);
    // An address for documentation (RFC 5737), which no machine has.
    command
        .env("SIPOST__HTTP__LISTEN", "192.0.2.1:8080")
        .env("SIPOST__HTTP__AUTH", "none");
    let ended = run(&mut command).await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let told = "Cannot assign requested address; choose an address of this machine, or 0.0.0.0 for \
                all of them";
    assert!(ended.stderr.contains(told), "{}", ended.stderr);
}

#[tokio::test]
async fn a_sandbox_that_cannot_listen_says_where_and_why() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (listen, told) in [
        (
            &*address,
            format!("error: failed to listen on {address} (--listen): Address already in use\n"),
        ),
        (
            "localhost",
            "error: invalid value 'localhost' for '--listen <ADDRESS>': an IP address and a port, \
             such as 127.0.0.1:5080\n\nFor more information, try '--help'.\n"
                .to_owned(),
        ),
    ] {
        let ended = run(&mut sipost(&["sandbox", "--listen", listen])).await;
        assert_eq!((ended.code, ended.stderr), (Some(2), told));
    }
}

#[tokio::test]
async fn config_masks_secrets_and_names_origins() {
    let mut command = sipost(&["config"]);
    command
        .env("SIPOST__ACCOUNT__0__URI", "sip:alice@example.com")
        .env("SIPOST__ACCOUNT__0__SERVERS", "wss://example.com/ws")
        .env("SIPOST__ACCOUNT__0__PASSWORD", "open sesame");
    let ended = run(&mut command).await;

    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let line = ended
        .stdout
        .lines()
        .find(|line| line.starts_with("password "))
        .unwrap();
    assert!(line.starts_with("password = \"***\" "), "{line}");
    assert!(line.ends_with("# SIPOST__ACCOUNT__0__PASSWORD"), "{line}");
    let head =
        "# A line without a comment has its default: sipost config --defaults says what it means.";
    assert_eq!(ended.stdout.lines().next(), Some(head));
    assert!(!ended.stdout.contains("sesame"));
}

#[tokio::test]
async fn config_can_print_every_key_with_its_comment() {
    let ended = run(&mut sipost(&["config", "--defaults"])).await;
    assert_eq!(ended.code, Some(0));
    assert!(
        ended.stdout.contains("\n# The User-Agent header."),
        "{}",
        ended.stdout
    );
}

#[tokio::test]
async fn help_and_version_end_with_0_and_wrong_usage_with_2() {
    for (arguments, code) in [
        (&["--help"][..], 0),
        (&["--version"], 0),
        (&["send", "--help"], 0),
        (&["send"], 2),
        (&["dance"], 2),
        (&["tail", "--url", "ftp://a"], 2),
    ] {
        let ended = run(&mut sipost(arguments)).await;
        assert_eq!(ended.code, Some(code), "{arguments:?}: {}", ended.stderr);
    }
}

/// What the gateway would stop at is said by `check` first, with the same words and code.
#[tokio::test]
async fn check_and_serve_say_no_to_the_same_with_78() {
    let folder = tempfile::tempdir().unwrap();
    let fixtures = format!("{}/tests/fixtures/tls", env!("CARGO_MANIFEST_DIR"));
    let empty = folder.path().join("empty.pem");
    fs::write(&empty, "").unwrap();
    let good = folder.path().join("sipost.db").display().to_string();
    let missing = folder.path().join("missing/sipost.db");
    let store = |path: &str| format!("store.url = 'sqlite://{path}'\n");
    for (text, problem) in [
        (store(&missing.display().to_string()), "store.url: "),
        (
            "store.url = 'postgres://u@h/d?sslmode=sometimes'\n".to_owned(),
            "store.url: ",
        ),
        (
            format!("{}sip.ca_file = '{}'", store(&good), empty.display()),
            "sip.ca_file: ",
        ),
        (
            format!(
                "{}[http.tls]\ncertificate_file = '{fixtures}/first.key'\nkey_file = '{fixtures}/first.key'",
                store(&good)
            ),
            "http.tls.certificate_file: ",
        ),
        (
            format!(
                "{}[http.tls]\ncertificate_file = '{fixtures}/first.pem'\nkey_file = '{fixtures}/second.key'",
                store(&good)
            ),
            "http.tls.key_file: ",
        ),
        (
            format!("{}http.listen = 'localhost:80'", store(&good)),
            "http.listen: ",
        ),
    ] {
        let file = folder.path().join("sipost.toml");
        fs::write(&file, &text).unwrap();
        let file = file.display().to_string();
        let checked = run(&mut sipost(&["check", "--config", &file])).await;
        let served = run(&mut sipost(&["serve", "--config", &file])).await;
        assert_eq!(checked.code, Some(78), "{text}\n{}", checked.stderr);
        assert!(checked.stderr.contains(problem), "{}", checked.stderr);
        assert!(
            checked.stderr.contains("sipost.toml:"),
            "{}",
            checked.stderr
        );
        assert_eq!((served.code, served.stderr), (Some(78), checked.stderr));
    }
}

#[tokio::test]
async fn neither_check_nor_config_prints_what_stands_in_a_broken_line_or_in_a_url() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sipost.toml");
    fs::write(&file, "[[account]]\npassword = \"open sesame\n").unwrap();
    for command in ["check", "config", "serve", "health"] {
        let ended = run(sipost(&[command]).env("SIPOST_CONFIG", &file)).await;
        assert_eq!(ended.code, Some(78), "{command}: {}", ended.stderr);
        let told = ended.stderr + &ended.stdout;
        assert!(told.contains("sipost.toml:2:"), "{command}: {told}");
        assert!(!told.contains("sesame"), "{command}: {told}");
    }
    let servers = "wss://a.example/ws?token=sesame";
    let ended = run(sipost(&["config"])
        .env("SIPOST__ACCOUNT__0__URI", "sip:alice@example.com")
        .env("SIPOST__ACCOUNT__0__SERVERS", servers)
        .env("SIPOST__STORE__URL", "postgres://u@db/d?password=sesame"))
    .await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(
        ended.stdout.contains("wss://a.example/ws?***"),
        "{}",
        ended.stdout
    );
    assert!(
        ended.stdout.contains("postgres://***@db/d?***"),
        "{}",
        ended.stdout
    );
    assert!(!ended.stdout.contains("sesame"), "{}", ended.stdout);
}
