//! Every row of what JsSIP lets one configure, with a valid, an invalid and an empty value; the
//! layers; and the telling of mistakes.

use std::fs;
use std::time::Duration;

use super::*;
use crate::api::{Rights, Token};
use crate::sip::digest::Credentials;
use crate::store::sqlite::Synchronous;

/// A gateway with one account, to which `lines` are added.
fn account(lines: &str) -> Result<Account, Vec<String>> {
    let text = format!("[[account]]\n{lines}");
    match Config::from_toml(&text) {
        Ok(config) => Ok(config.accounts[0].clone()),
        Err(mistakes) => Err(lines_of(&mistakes)),
    }
}

/// The least an account needs.
const LEAST: &str = "uri = \"sip:alice@example.com\"\nservers = [\"wss://example.com/ws\"]\n";

fn with(line: &str) -> Result<Account, Vec<String>> {
    account(&format!("{LEAST}{line}"))
}

fn sip(line: &str) -> Result<SipSettings, Vec<String>> {
    match Config::from_toml(&format!("[sip]\n{line}")) {
        Ok(config) => Ok(config.sip),
        Err(mistakes) => Err(lines_of(&mistakes)),
    }
}

fn lines_of(mistakes: &Mistakes) -> Vec<String> {
    mistakes.0.iter().map(Mistake::to_string).collect()
}

fn mistakes(text: &str) -> Vec<String> {
    lines_of(&Config::from_toml(text).unwrap_err())
}

fn variables(given: &[(&str, &str)]) -> Sources {
    let variables = given
        .iter()
        .map(|(name, value)| (name.into(), value.into()));
    Sources {
        variables: variables.collect(),
        ..Sources::default()
    }
}

/// `default.toml` has no account, so what counts for one without a setting stands in comments.
#[test]
fn the_defaults_of_an_account_are_what_the_comments_say() {
    let defaults = include_str!("../../config/default.toml");
    let account = defaults.split("# [[account]]").nth(1).unwrap();
    let account = account.split("\n[").next().unwrap();
    let told = account.lines().filter_map(|line| {
        let line = line.strip_prefix("# ")?;
        line.strip_suffix("  # the default")
    });
    let told: Vec<_> = told.collect();
    assert_eq!(told.len(), 5, "{told:?}");
    assert_eq!(with(&told.join("\n")).unwrap(), with("").unwrap());
}

/// Whether there is one mistake, and it begins like this.
fn is_one<T: std::fmt::Debug>(result: Result<T, Vec<String>>, start: &str) {
    let mistakes = result.unwrap_err();
    assert!(
        mistakes.len() == 1 && mistakes[0].starts_with(start),
        "{mistakes:#?}"
    );
}

#[test]
fn the_compiled_in_file_is_a_whole_configuration() {
    let config = Config::from_toml("").unwrap();
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.store.backend, Backend::Sqlite("sipost.db".into()));
    assert_eq!(config.store.synchronous, Synchronous::Full);
    assert!(
        config.accounts.is_empty() && config.http.access.tokens.is_none() && !config.http.is_open
    );
    assert_eq!(config.sip.timer_f, Duration::from_secs(32));
    assert_eq!(config.webhooks.schedule.waits.len(), 9);
    assert_eq!(config.sip.max_message, 16384);
}

#[test]
fn every_key_stands_in_the_compiled_in_file_with_its_default() {
    let account = "[[account]]\nuri = \"sip:alice@example.com\"\nservers = [\"ws://a\"]\n";
    let sources = Sources {
        text: Some(account.to_owned()),
        ..Sources::default()
    };
    for setting in load(&sources).unwrap().settings {
        let line = |prefix: &str| format!("\n{prefix}{} = ", setting.key);
        let set = setting.origin == Origin::Default
            && setting.value.is_some()
            && !setting.section.starts_with("account");
        let stands = if set {
            DEFAULTS.contains(&line(""))
        } else {
            DEFAULTS.contains(&line("# "))
        };
        assert!(stands, "{setting:?}");
        if let (Some(value), true) = (&setting.value, setting.section.starts_with("account"))
            && setting.origin == Origin::Default
        {
            assert!(
                DEFAULTS.contains(&format!("{}{value}  # the default\n", line("# "))),
                "{setting:?}"
            );
        }
    }
}

#[test]
fn uri_is_a_sip_uri_with_a_user() {
    let servers = "servers = [\"ws://a\"]\npassword = \"x\"\n";
    let account_of = |uri: &str| account(&format!("uri = \"{uri}\"\n{servers}"));
    let account = account_of("alice@Example.com").unwrap();
    assert_eq!(account.uri.as_str(), "sip:alice@example.com");
    assert_eq!(account.credentials.unwrap().username(), "alice");
    assert_eq!(account.registrar.as_str(), "sip:example.com");
    is_one(
        account_of("sips:gw@example.com"),
        "account[0].uri: invalid value \"sips:gw@example.com\"",
    );
    is_one(account_of("example.com"), "account[0].uri:");
    is_one(account_of(""), "account[0].uri: is missing");
    is_one(self::account(servers), "account[0].uri: is missing");
}

#[test]
fn servers_are_websocket_urls_with_weights() {
    let account_of = |servers: &str| account(&format!("uri = \"a@b.c\"\nservers = {servers}"));
    let servers = account_of("[\"WSS://Example.com/ws\", { url = \"ws://h:8080\", weight = 10 }]");
    let servers = servers.unwrap().servers;
    assert_eq!(servers[0].url.as_str(), "wss://example.com/ws");
    assert_eq!((servers[0].weight, servers[1].weight), (0, 10));
    assert!(servers[0].url.scheme() == "wss" && servers[1].url.scheme() == "ws");

    is_one(account_of("[]"), "account[0].servers: names no server");
    is_one(account_of("\"\""), "account[0].servers: is missing");
    is_one(
        account_of("\"wss://a\""),
        "account[0].servers: invalid value \"wss://a\"",
    );
    for url in [
        "http://a",
        "wss:a",
        "ws:///a",
        "ws://",
        "ws://u:p@a",
        "ws://a#b",
        "ws://a:0",
        "sip.example",
    ] {
        let servers = format!("[{{ url = \"{url}\" }}]");
        is_one(account_of(&servers), "account[0].servers[0].url: ");
    }
    for weight in ["-1", "\"heavy\"", "1.5", "65536"] {
        let servers = format!("[{{ url = \"ws://a\", weight = {weight} }}]");
        is_one(account_of(&servers), "account[0].servers[0].weight: ");
    }
    is_one(
        account_of("[{ weight = 1 }]"),
        "account[0].servers[0].url: is missing",
    );
    let account = account_of("[{ url = \"ws://a\", weight = \"\" }]").unwrap();
    assert_eq!(account.servers[0].weight, 0);
}

#[test]
fn authorization_user_may_differ_from_the_user() {
    let user = |line: &str| {
        let account = with(&format!("password = \"x\"\n{line}")).unwrap();
        account.credentials.unwrap().username().to_owned()
    };
    let line = "authorization_user = \"a \\\"quoted\\\" one\"";
    assert_eq!(user(line), "a \"quoted\" one");
    assert_eq!(user("authorization_user = \"\""), "alice");
    is_one(
        with("authorization_user = \"a\\nb\""),
        "account[0].authorization_user: ",
    );
    is_one(
        with("authorization_user = 7"),
        "account[0].authorization_user: invalid value 7",
    );
}

#[test]
fn display_name_is_one_line() {
    let name = |line: &str| with(line).unwrap().display_name;
    assert_eq!(name("display_name = \"Alice\"").as_deref(), Some("Alice"));
    assert_eq!(name("display_name = \"\""), None);
    is_one(
        with("display_name = \"A\\r\\nB\""),
        "account[0].display_name: ",
    );
}

#[test]
fn password_is_a_secret_or_a_file() {
    let credentials = |line: &str| with(line).unwrap().credentials;
    let password = |password: &str| Some(Credentials::password("alice", password));
    assert_eq!(credentials("password = \"se cret\""), password("se cret"));
    assert_eq!(credentials("password = \"\""), None);
    is_one(
        with("password = 7"),
        "account[0].password: invalid value (not shown",
    );
    is_one(with("password = \"a\\nb\""), "account[0].password: ");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    fs::write(&file, "from a file\r\n").unwrap();
    let line = format!("password_file = \"{}\"", file.display());
    assert_eq!(credentials(&line), password("from a file"));
    is_one(
        with(&format!("{line}\npassword = \"x\"")),
        "account[0].password: password and",
    );
    fs::write(&file, "\n").unwrap();
    is_one(with(&line), "account[0].password_file: the file");
    is_one(
        with("password_file = \"/nowhere\""),
        "account[0].password_file: the file",
    );
}

#[test]
fn ha1_needs_the_realm_it_was_made_for() {
    let ha1 = "ha1 = \"939E7578ED9E3C518A452ACEE763BCE9\"";
    let account = with(&format!("{ha1}\nrealm = \"example.com\"")).unwrap();
    let hash = "939e7578ed9e3c518a452acee763bce9";
    let expected = Credentials::ha1("alice", "example.com", hash).unwrap();
    assert_eq!(account.credentials, Some(expected));
    is_one(with(ha1), "account[0].realm: is missing");
    is_one(
        with(&format!("{ha1}\nrealm = \"\"")),
        "account[0].realm: is missing",
    );
    is_one(
        with("realm = \"example.com\""),
        "account[0].realm: needs a secret",
    );
    is_one(
        with("ha1 = \"secret\"\n"),
        "account[0].ha1: invalid value (not shown",
    );
    assert_eq!(with("ha1 = \"\"").unwrap().credentials, None);
    let both = format!("{ha1}\nrealm = \"a\"\npassword = \"x\"");
    is_one(with(&both), "account[0].ha1: password is set as well");
}

#[test]
fn a_password_may_be_for_one_realm_or_for_more_than_the_registrar_s() {
    let one = with("password = \"x\"\nrealm = \"asterisk\"").unwrap();
    let password = Credentials::password("alice", "x");
    assert_eq!(one.credentials, Some(password.clone().only_for("asterisk")));
    let more = with("password = \"x\"\nrealms = [\"a\", \"b\"]").unwrap();
    assert_eq!(more.credentials, Some(password.also_for(["a", "b"])));
    is_one(
        with("password = \"x\"\nrealm = \"a\"\nrealms = [\"b\"]"),
        "account[0].realms: realm is set",
    );
    let many = format!("password = \"x\"\nrealms = [{}]", "\"a\",".repeat(17));
    is_one(with(&many), "account[0].realms: has too many");
}

#[test]
fn an_account_takes_messages_unless_it_says_otherwise() {
    assert!(with("").unwrap().receive);
    assert!(!with("receive = false").unwrap().receive);
}

#[test]
fn what_comes_in_is_answered_with_202_or_200_and_fits_into_a_frame() {
    let receive = |text: &str| match Config::from_toml(&format!("[receive]\n{text}")) {
        Ok(config) => Ok(config.receive),
        Err(mistakes) => Err(lines_of(&mistakes)),
    };
    let default = receive("").unwrap();
    assert_eq!(default.agents.answer.as_u16(), 202);
    assert_eq!(default.agents.accepts, ["*/*"]);
    assert_eq!(receive("answer = 200").unwrap().agents.answer.as_u16(), 200);
    let texts = receive("accepts = [\"Text/*\", \"image/png\"]").unwrap();
    assert_eq!(texts.agents.accepts, ["text/*", "image/png"]);
    for (text, key) in [
        ("answer = 204", "receive.answer:"),
        ("accepts = [\"*/plain\"]", "receive.accepts[0]:"),
        (
            "accepts = [\"text/plain;charset=utf-8\"]",
            "receive.accepts[0]:",
        ),
        ("max_body = \"90KiB\"", "receive.max_body:"),
        ("rate = 0", "receive.rate:"),
    ] {
        is_one(receive(text), key);
    }
    let larger = "[receive]\nmax_body = \"100KiB\"\n[sip]\nmax_frame = \"128KiB\"";
    assert_eq!(
        Config::from_toml(larger).unwrap().receive.agents.max_body,
        100 << 10
    );
}

#[test]
fn outbound_is_a_flag() {
    assert!(with("").unwrap().outbound);
    assert!(!with("outbound = false").unwrap().outbound);
    is_one(with("outbound = \"no\""), "account[0].outbound:");
}

#[test]
fn register_expires_is_a_duration() {
    let expires = |line: &str| with(line).unwrap().register_expires.as_secs();
    assert_eq!(expires("register_expires = 300"), 300);
    assert_eq!(expires("register_expires = \"1h\""), 3600);
    assert_eq!(expires("register_expires = \"\""), 600);
    for value in ["0", "-5", "\"soon\"", "true"] {
        is_one(
            with(&format!("register_expires = {value}")),
            "account[0].register_expires: ",
        );
    }
}

#[test]
fn registrar_is_a_sip_uri_without_a_user() {
    let registrar = |line: &str| with(line).unwrap().registrar;
    assert_eq!(
        registrar("registrar = \"sip:reg.example\"").as_str(),
        "sip:reg.example"
    );
    assert_eq!(registrar("registrar = \"\"").as_str(), "sip:example.com");
    is_one(
        with("registrar = \"sip:a@reg.example\""),
        "account[0].registrar: ",
    );
    is_one(
        with("registrar = \"sips:reg.example\""),
        "account[0].registrar: ",
    );
}

#[test]
fn a_count_is_not_asked_for_in_bytes() {
    for (section, key) in [
        ("http", "max_connections"),
        ("http", "max_streams"),
        ("delivery", "max_queued"),
        ("webhooks", "concurrency"),
    ] {
        for value in ["\"abc\"", "\"1KiB\"", "-1"] {
            let mistakes = mistakes(&format!("[{section}]\n{key} = {value}"));
            let start = format!("{section}.{key}: invalid value {value}; accepted: a whole number");
            is_one(Err::<(), _>(mistakes), &start);
        }
    }
    let size = mistakes("[http]\nmax_request = \"abc\"");
    let start = "http.max_request: invalid value \"abc\"; accepted: a size in bytes";
    is_one(Err::<(), _>(size), start);
}

#[test]
fn extra_headers_are_headers_that_we_do_not_own() {
    let headers = |line: &str| with(line).unwrap().extra_headers;
    assert_eq!(headers("extra_headers = [\"X-A: b\", \"X-C: d\"]").len(), 2);
    assert_eq!(headers("extra_headers = []").len(), 0);
    is_one(
        with("extra_headers = [\"X-A: b\", \"Via: x\"]"),
        "account[0].extra_headers[1]: ",
    );
    is_one(
        with("extra_headers = [\"X-A: b\\r\\nX-B: c\"]"),
        "account[0].extra_headers[0]: ",
    );
    is_one(
        with("extra_headers = [7]"),
        "account[0].extra_headers[0]: invalid value 7",
    );
    is_one(
        with("extra_headers = \"X-A: b\""),
        "account[0].extra_headers: ",
    );
}

#[test]
fn connections_in_flight_and_rate_are_above_zero() {
    let account = with("connections = 3\nin_flight = 8\nrate = 0.5").unwrap();
    assert_eq!(
        (account.connections, account.in_flight, account.rate),
        (3, 8, Some(0.5))
    );
    let account = with("connections = \"\"\nin_flight = \"\"\nrate = \"\"").unwrap();
    assert_eq!(
        (account.connections, account.in_flight, account.rate),
        (1, 64, None)
    );
    for line in [
        "connections = 0",
        "in_flight = 0",
        "rate = 0",
        "rate = -1",
        "rate = nan",
    ] {
        let key = line.split(' ').next().unwrap();
        is_one(with(line), &format!("account[0].{key}: "));
    }
}

#[test]
fn recovery_intervals_are_positive_and_in_order() {
    let intervals = sip("recovery_min = 1\nrecovery_max = \"1m\"").unwrap();
    assert_eq!(intervals.recovery.min, Duration::from_secs(1));
    assert_eq!(intervals.recovery.max, Duration::from_secs(60));
    let intervals = sip("recovery_min = \"\"\nrecovery_max = \"\"").unwrap();
    assert_eq!(intervals.recovery.min, Duration::from_secs(2));
    assert_eq!(intervals.recovery.max, Duration::from_secs(30));
    for key in ["recovery_min", "recovery_max"] {
        for value in ["0", "-1", "\"a while\"", "[]"] {
            let mistakes = sip(&format!("{key} = {value}")).unwrap_err();
            assert!(
                mistakes[0].starts_with(&format!("sip.{key}: ")),
                "{mistakes:#?}"
            );
        }
    }
    is_one(
        sip("recovery_min = \"40s\""),
        "sip.recovery_min: is longer than sip.recovery_max",
    );
}

#[test]
fn user_agent_is_one_line_or_our_name_and_version() {
    assert_eq!(sip("user_agent = \"Mine/1\"").unwrap().user_agent, "Mine/1");
    assert!(
        sip("user_agent = \"\"")
            .unwrap()
            .user_agent
            .starts_with("sipost/")
    );
    is_one(sip("user_agent = \"a\\nb\""), "sip.user_agent: ");
}

#[test]
fn what_only_sessions_need_is_no_key_of_ours() {
    for key in [
        "no_answer_timeout",
        "session_timers",
        "contact_uri",
        "use_preloaded_route",
    ] {
        let path = format!("account[0].{key}: unknown setting");
        is_one(with(&format!("{key} = 60")), &path);
    }
}

#[test]
fn upgrade_headers_are_secrets_and_leave_the_handshake_alone() {
    let headers = sip("upgrade_headers = [\"Cookie: a=b\"]")
        .unwrap()
        .upgrade_headers;
    assert_eq!(
        (headers[0].0.as_str(), headers[0].1.to_str().unwrap()),
        ("cookie", "a=b")
    );
    let mistakes = sip("upgrade_headers = [\"Upgrade: top-secret\"]").unwrap_err();
    assert!(
        mistakes[0].starts_with("sip.upgrade_headers[0]: "),
        "{mistakes:?}"
    );
    assert!(!mistakes[0].contains("top-secret"), "{mistakes:?}");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("headers");
    fs::write(&file, "Cookie: a=b\n\nX-Key: c\n").unwrap();
    let headers = sip(&format!("upgrade_headers_file = \"{}\"", file.display())).unwrap();
    assert_eq!(headers.upgrade_headers.len(), 2);
}

#[cfg(not(feature = "otlp"))]
#[test]
fn a_binary_that_exports_no_spans_says_where_there_is_one() {
    let text = "[telemetry]\notlp_endpoint = \"http://127.0.0.1:4318\"";
    let mistakes = mistakes(text);
    assert_eq!(mistakes.len(), 1, "{mistakes:?}");
    for words in [
        "telemetry.otlp_endpoint: this sipost was built without OpenTelemetry",
        "--features otlp",
    ] {
        assert!(mistakes[0].contains(words), "{mistakes:?}");
    }
}

#[cfg(feature = "otlp")]
#[test]
fn spans_go_below_the_address_of_a_collector() {
    let otlp = |text: &str| {
        let text = format!("[telemetry]\n{text}");
        Config::from_toml(&text).map(|config| config.telemetry.otlp)
    };
    assert!(otlp("").unwrap().is_none());
    for (endpoint, url) in [
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
        ("https://c.example/", "https://c.example/v1/traces"),
        (
            "https://c.example/otlp/",
            "https://c.example/otlp/v1/traces",
        ),
        ("http://c.example/v1/traces", "http://c.example/v1/traces"),
    ] {
        let text = format!("otlp_endpoint = \"{endpoint}\"\notlp_headers = [\"X-Key: a: b\"]");
        let otlp = otlp(&text).unwrap().unwrap();
        assert_eq!((otlp.url.as_str(), otlp.ratio), (url, 1.0));
        assert_eq!(
            (
                otlp.headers[0].0.as_str(),
                otlp.headers[0].1.to_str().unwrap()
            ),
            ("x-key", "a: b")
        );
        assert!(!format!("{otlp:?}").contains("a: b"), "{otlp:?}");
    }
    for (text, place) in [
        ("otlp_endpoint = \"c.example:4318\"", "otlp_endpoint"),
        ("otlp_endpoint = \"ftp://c.example\"", "otlp_endpoint"),
        (
            "otlp_endpoint = \"http://u:top-secret@c.example\"",
            "otlp_endpoint",
        ),
        ("otlp_endpoint = \"http://c.example/?a=b\"", "otlp_endpoint"),
        ("otlp_headers = [\"top-secret\"]", "otlp_headers[0]"),
        ("trace_ratio = 1.01", "trace_ratio"),
        ("trace_ratio = -1", "trace_ratio"),
    ] {
        let mistakes = mistakes(&format!("[telemetry]\n{text}"));
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        let is_told = mistakes[0].starts_with(&format!("telemetry.{place}: "));
        assert!(
            is_told && !mistakes[0].contains("top-secret"),
            "{mistakes:?}"
        );
    }
}

fn fixture(name: &str) -> String {
    format!("{}/tests/fixtures/tls/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn a_client_certificate_has_a_key() {
    let line = |key: &str, name: &str| format!("{key} = \"{}\"\n", fixture(name));
    let certificate = line("client_cert_file", "first.pem");
    let key = line("client_key_file", "first.key");
    let both = sip(&format!("{certificate}{key}")).unwrap();
    assert!(both.client_certificate.is_some());
    is_one(sip(&certificate), "sip.client_key_file: is missing");
    is_one(sip(&key), "sip.client_cert_file: is missing");
}

#[test]
fn certificates_and_keys_are_what_they_are_given_as_and_go_together() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.pem");
    let text = "-----BEGIN CERTIFICATE-----\ntop-secret!\n-----END CERTIFICATE-----\n";
    fs::write(&broken, text).unwrap();
    let broken = broken.display().to_string();
    let (first, key, second) = (
        fixture("first.pem"),
        fixture("first.key"),
        fixture("second.key"),
    );
    for (section, certificate_key, key_key) in [
        ("http.tls", "certificate_file", "key_file"),
        ("sip", "client_cert_file", "client_key_file"),
    ] {
        let read = |certificate: &str, key: &str| {
            let certificate = format!("{certificate_key} = '{certificate}'");
            let text = format!("[{section}]\n{certificate}\n{key_key} = '{key}'\n");
            Config::from_toml(&text).map_err(|mistakes| lines_of(&mistakes))
        };
        read(&first, &key).unwrap();
        let of_certificate = |problem: String| format!("{section}.{certificate_key}: {problem}");
        let of_key = |problem: String| format!("{section}.{key_key}: {problem}");
        for (certificate, key, wrong, line) in [
            (
                &first,
                &second,
                of_key("does not belong to the certificate".to_owned()),
                3,
            ),
            (
                &key,
                &key,
                of_certificate(format!("the file {key:?} has no certificate in it")),
                2,
            ),
            (
                &first,
                &first,
                of_key(format!("the file {first:?} has no private key in it")),
                3,
            ),
            (
                &broken,
                &key,
                of_certificate(format!("the file {broken:?} is not")),
                2,
            ),
        ] {
            let found = read(certificate, key).unwrap_err();
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].starts_with(&wrong), "{wrong}\n{found:?}");
            let place = format!("(in sipost.toml:{line})");
            assert!(found[0].ends_with(&place), "{found:?}");
            assert!(!found[0].contains("top-secret"), "{found:?}");
        }
    }
}

#[test]
fn a_file_of_authorities_has_at_least_one_and_each_can_be_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let none = folder.path().join("none.pem");
    fs::write(&none, "# nothing yet\n").unwrap();
    let odd = folder.path().join("odd.pem");
    let text = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    fs::write(&odd, text).unwrap();
    let (none, odd) = (none.display().to_string(), odd.display().to_string());
    for (section, key) in [
        ("sip", "ca_file"),
        ("store", "ca_file"),
        ("webhooks", "ca_file"),
        ("telemetry", "otlp_ca_file"),
    ] {
        let read = |path: &str| {
            let config = Config::from_toml(&format!("[{section}]\n{key} = '{path}'"));
            config.map_err(|mistakes| lines_of(&mistakes))
        };
        read(&fixture("authority.pem")).unwrap();
        for (path, problem) in [
            ("/nowhere", "the file \"/nowhere\" cannot be read"),
            (&none, "the file"),
            (&fixture("first.key"), "the file"),
            (&odd, "a certificate in it cannot be used"),
        ] {
            is_one(read(path), &format!("{section}.{key}: {problem}"));
        }
    }
}

#[test]
fn a_file_with_a_relative_path_says_where_it_was_looked_for() {
    let folder = std::env::current_dir().unwrap();
    let told = format!("(a relative path counts from {})", folder.display());
    let account = "[[account]]\nuri = 'sip:alice@example.com'\nservers = ['wss://a.example']\n";
    for text in [
        format!("{account}password_file = 'nowhere.secret'"),
        "[sip]\nca_file = 'nowhere.pem'".to_owned(),
    ] {
        let found = mistakes(&text);
        assert!(found[0].contains(&told), "{found:?}");
        let absolute = mistakes(&text.replace("nowhere.", "/nowhere."));
        assert!(!absolute[0].contains("relative"), "{absolute:?}");
    }
}

#[test]
fn a_store_in_a_file_has_a_directory_that_can_be_written_to() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain");
    fs::write(&plain, "").unwrap();
    let check = |path: &std::path::Path| {
        let sources = Sources {
            text: Some(format!("[store]\nurl = 'sqlite://{}'", path.display())),
            checks_store: true,
            ..Sources::default()
        };
        load(&sources).map_err(|mistakes| lines_of(&mistakes))
    };
    check(&folder.path().join("new.db")).unwrap();
    check(&plain).unwrap();
    assert!(!folder.path().join("new.db").exists());
    for (path, problem) in [
        (
            folder.path().join("missing/new.db"),
            "cannot be used: No such file",
        ),
        (plain.join("new.db"), "is not a directory"),
        (folder.path().to_owned(), "is a directory"),
    ] {
        let found = check(&path).unwrap_err();
        assert!(found[0].starts_with("store.url: "), "{found:?}");
        assert!(found[0].contains(problem), "{found:?}");
        assert!(found[0].ends_with("(in sipost.toml:2)"), "{found:?}");
    }
}

#[test]
fn without_a_token_only_loopback_is_listened_on() {
    let open = "[http]\nlisten = \"0.0.0.0:8080\"\n";
    is_one(
        Err::<(), _>(mistakes(open)),
        "http.listen: without http.tokens, others",
    );
    let config = Config::from_toml(&format!("{open}auth = \"none\"")).unwrap();
    assert!(config.http.access.tokens.is_none() && config.http.is_open);
    let token = format!(
        "tokens = [{{ name = \"a\", sha256 = \"{}\" }}]\n",
        "0f".repeat(32)
    );
    let config = Config::from_toml(&format!("{open}{token}")).unwrap();
    let tokens = config.http.access.tokens.unwrap();
    assert_eq!((&*tokens[0].name, tokens[0].sha256), ("a", [0x0f; 32]));
    let both = mistakes(&format!("{open}auth = \"none\"\n{token}"));
    is_one(Err::<(), _>(both), "http.auth: \"none\" would not ask");
    let short = mistakes("[http]\ntokens = [{ name = \"a\", sha256 = \"abc\" }]");
    is_one(Err::<(), _>(short), "http.tokens[0].sha256: invalid value");
    let text = mistakes("[http]\ntokens = [\"abc\"]");
    is_one(
        Err::<(), _>(text),
        "http.tokens[0]: is not a table; accepted: a table such as { name = \"backend\", sha256 =",
    );
}

#[test]
fn a_key_that_was_mistyped_is_told_the_one_that_was_meant() {
    is_one(
        sip("timerf = 3"),
        "sip.timerf: unknown setting; did you mean timer_f? (in ",
    );
    is_one(
        Err::<(), _>(mistakes("[webhook]\n")),
        "webhook: unknown setting; did you mean webhooks? (in ",
    );
    is_one(
        sip("colour = 3"),
        "sip.colour: unknown setting; accepted: ca_file,",
    );
}

#[test]
fn every_mistake_is_told_at_once_with_its_place() {
    let found = mistakes(
        r#"
        typo = 1
        [http]
        listen = "localhost"
        lisen = "127.0.0.1:1"
        [sip]
        timer_f = "32 parsecs"
        keepalive = "shout"
        [[account]]
        uri = "example.com"
        password = "top-secret"
        pasword = "x"
        [nonsense]
        "#,
    );
    let paths: Vec<&str> = found
        .iter()
        .map(|m| m.split(": ").next().unwrap())
        .collect();
    assert_eq!(
        paths,
        [
            "http.listen",
            "http.lisen",
            "account[0].uri",
            "account[0].servers",
            "account[0].pasword",
            "sip.keepalive",
            "sip.timer_f",
            "nonsense",
            "typo"
        ]
    );
    assert!(!found.concat().contains("top-secret"));
    assert_eq!(
        found[5],
        "sip.keepalive: invalid value \"shout\"; accepted: \"ping\", \"crlf\", \"none\" (in sipost.toml:8)"
    );
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sipost.toml");
    fs::write(
        &file,
        "[sip]\ntimer_f = 20\nping_interval = 20\n[[account]]\nuri = \"a@b.c\"\n",
    )
    .unwrap();
    let mut sources = variables(&[
        ("SIPOST__SIP__TIMER_F", "10s"),
        ("SIPOST__SIP__PONG_TIMEOUT", ""),
        ("SIPOST__ACCOUNT__0__SERVERS", "wss://a,wss://b"),
        ("SIPOST__ACCOUNT__0__PASSWORD", "[a, b]"),
        ("SIPOST__ACCOUNT__0__RATE", "50"),
        ("SIPOST__ACCOUNT__1__URI", "sip:c@b.c"),
        (
            "SIPOST__ACCOUNT__1__SERVERS",
            "[{ url = \"wss://a\", weight = 3 }]",
        ),
        ("SIPOST__WEBHOOKS__SCHEDULE", "1s,2s"),
        ("SIPOST__DELIVERY__ATTEMPTS", "5"),
        ("SIPOST_CONFIG", "not ours"),
        ("HOME", "/root"),
    ]);
    sources.file = Some(file.clone());
    let loaded = load(&sources).unwrap();
    let config = &loaded.config;

    assert_eq!(config.sip.timer_f, Duration::from_secs(10));
    assert_eq!(config.sip.keepalive.interval, Duration::from_secs(20));
    assert_eq!(config.sip.keepalive.timeout, Duration::from_secs(10));
    assert_eq!(config.accounts[0].servers.len(), 2);
    assert_eq!(config.accounts[0].rate, Some(50.0));
    let user = config.accounts[0].user();
    assert_eq!(
        config.accounts[0].credentials,
        Some(Credentials::password(user, "[a, b]"))
    );
    assert_eq!(config.accounts[1].servers[0].weight, 3);
    assert_eq!(
        config.webhooks.schedule.waits,
        [1, 2].map(Duration::from_secs)
    );
    assert_eq!(config.delivery.limits.attempts, 5);

    let origin = |section: &str, key: &str| {
        let found = loaded
            .settings
            .iter()
            .find(|s| s.section == section && s.key == key);
        found.unwrap().origin.to_string()
    };
    assert_eq!(origin("sip", "timer_f"), "SIPOST__SIP__TIMER_F");
    let line = format!("{}:3", file.display());
    assert_eq!(origin("sip", "ping_interval"), line);
    assert_eq!(origin("sip", "pong_timeout"), "default");
    assert_eq!(origin("account[1]", "uri"), "SIPOST__ACCOUNT__1__URI");
}

#[test]
fn accounts_can_be_written_as_one_variable() {
    let account = "[{ uri = \"a@b.c\", servers = [\"ws://d\"] }]";
    let config = load(&variables(&[("SIPOST__ACCOUNT", account)]))
        .unwrap()
        .config;
    assert_eq!(config.accounts[0].servers[0].url.as_str(), "ws://d/");
    let found = load(&variables(&[("SIPOST__ACCOUNT", "alice")])).unwrap_err();
    assert_eq!(
        found.0[0].to_string(),
        "account: is not a list of tables; accepted: [[account]] above each (in $SIPOST__ACCOUNT)"
    );
    let found = load(&variables(&[("SIPOST__ACCOUNT__URI", "sip:a@b.c")])).unwrap_err();
    assert_eq!(
        found.0[0].to_string(),
        "account: is not a list of tables; accepted: [[account]] above each; variables count from \
         0: SIPOST__ACCOUNT__0__… (in $SIPOST__ACCOUNT__URI)"
    );
}

#[test]
fn a_stronger_layer_decides_between_a_secret_and_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sipost.toml");
    fs::write(
        &file,
        format!("[[account]]\n{LEAST}password_file = \"/nowhere\"\n"),
    )
    .unwrap();
    let mut sources = variables(&[("SIPOST__ACCOUNT__0__PASSWORD", "x")]);
    sources.file = Some(file);
    assert!(load(&sources).is_ok());
}

/// Each line of a file in which something is wrong is named, and so is each variable.
#[test]
fn a_mistake_says_in_which_line_or_variable_it_is() {
    let text = "typo = 1\n[webhook]\n\n[http.tsl]\n[htp]\nlisten = 'x'\n[sip]\n\
                extra.deep = 1\n[[account]]\nuri = 'sip:a@b.c'\n\
                servers = [\n  { url = 'wss://a' },\n  { weight = 1 },\n  { url = 'ftp://a' },\n]\n";
    let mut sources = variables(&[
        ("SIPOST__HTP__LISTEN", "127.0.0.1:1"),
        ("SIPOST__SPI__TIMER_F", "10s"),
        ("SIPOST__ACCOUNT__1__URI", "sip:x@y.z"),
    ]);
    sources.text = Some(text.to_owned());
    let found = lines_of(&load(&sources).unwrap_err());
    for (start, end) in [
        ("typo: unknown setting", "(in sipost.toml:1)"),
        (
            "webhook: unknown setting; did you mean webhooks?",
            "(in sipost.toml:2)",
        ),
        (
            "http.tsl: unknown setting; did you mean tls?",
            "(in sipost.toml:4)",
        ),
        (
            "htp: unknown setting; did you mean http?",
            "(in sipost.toml:5)",
        ),
        (
            "spi: unknown setting; did you mean sip?",
            "(in $SIPOST__SPI__TIMER_F)",
        ),
        ("sip.extra: unknown setting", "(in sipost.toml:8)"),
        (
            "account[0].servers[1].url: is missing",
            "(in sipost.toml:13)",
        ),
        ("account[0].servers[2].url: ", "(in sipost.toml:14)"),
        (
            "account[1].servers: is missing",
            "(in $SIPOST__ACCOUNT__1__URI)",
        ),
    ] {
        let told = found.iter().find(|line| line.starts_with(start));
        let is_there = told.is_some_and(|line| line.ends_with(end));
        assert!(is_there, "{start} {end}\n{found:#?}");
    }
    assert_eq!(found.len(), 9, "{found:#?}");
}

#[test]
fn what_is_not_toml_is_told_with_its_line_and_without_its_text() {
    for (text, line) in [
        ("[[account]]\npassword = \"top-secret\nuri = 1", 2),
        ("[[account]]\npassword = top-secret", 2),
        ("[[account]]\npassword \"top-secret\"", 2),
        ("[[account]]\npassword = \"top-secret\" top-secret", 2),
        (
            "[[account]]\npassword = \"a\"\npassword = \"top-secret\"",
            3,
        ),
        ("[[account]]\n\n  top-secret\n", 3),
        ("[[account]]\npassword = \"\\q top-secret\"", 2),
        ("[sip]\ntimer_f = 99999999999999999999", 2),
        ("[sip]\r\n\r\ntimer_f = top-secret", 3),
        ("password = [\"top-secret\"", 1),
        ("[account.top-secret", 1),
        ("\u{e4}\u{e4}\u{e4}top-secret", 1),
    ] {
        let found = mistakes(text);
        assert_eq!(found.len(), 1, "{found:?}");
        let start = format!("sipost.toml:{line}:");
        assert!(found[0].starts_with(&start), "{text:?}\n{found:?}");
        assert!(found[0].contains(": is not TOML: "), "{text:?}\n{found:?}");
        assert!(!found[0].contains("secret"), "{found:?}");
        assert!(!found[0].contains('\n'), "{found:?}");
    }
    let found = mistakes("[sip]\ntimer_f = \u{e4} 1");
    assert!(found[0].starts_with("sipost.toml:2:11: "), "{found:?}");
}

#[test]
fn a_variable_with_the_wrong_underscores_is_told_the_one_that_was_meant() {
    for (name, meant) in [
        ("SIPOST_HTTP_LISTEN", "SIPOST__HTTP__LISTEN"),
        ("SIPOST__HTTP_LISTEN", "SIPOST__HTTP__LISTEN"),
        ("SIPOST_HTTP__LISTEN", "SIPOST__HTTP__LISTEN"),
        ("SIPOST___HTTP__LISTEN", "SIPOST__HTTP__LISTEN"),
        ("Sipost__Http__Listen", "SIPOST__HTTP__LISTEN"),
        ("SIPOST_SIP_TIMER_F", "SIPOST__SIP__TIMER_F"),
        ("SIPOST_STORE_URL_FILE", "SIPOST__STORE__URL_FILE"),
        ("SIPOST_HTTP_TLS_KEY_FILE", "SIPOST__HTTP__TLS__KEY_FILE"),
        ("SIPOST_ACCOUNT_0_PASSWORD", "SIPOST__ACCOUNT__0__PASSWORD"),
        ("SIPOST_ACCOUNT_12_URI", "SIPOST__ACCOUNT__12__URI"),
    ] {
        let found = load(&variables(&[(name, "top-secret")])).unwrap_err();
        let expected = format!("{name}: unknown variable; did you mean {meant}?");
        assert_eq!(lines_of(&found), [expected]);
        assert!(load(&variables(&[(name, "")])).is_ok());
    }
    // Kubernetes sets these for services named sipost or sipost-http; the others are ours.
    for name in [
        "SIPOST_SERVICE_HOST",
        "SIPOST_PORT",
        "SIPOST_PORT_8080_TCP_ADDR",
        "SIPOST_HTTP_SERVICE_HOST",
        "SIPOST_HTTP_PORT",
        "SIPOST_CONFIG",
        "SIPOST_URL",
        "SIPOST_TOKEN",
        "SIPOSTHTTPLISTEN",
    ] {
        assert!(load(&variables(&[(name, "x")])).is_ok(), "{name}");
    }
    assert!(load(&variables(&[("SIPOST__sip__timer_f", "10s")])).is_ok());
}

#[test]
fn a_file_may_begin_with_a_byte_order_mark_and_end_its_lines_as_windows_does() {
    let config = Config::from_toml("\u{feff}[sip]\r\ntimer_f = \"10s\"\r\n").unwrap();
    assert_eq!(config.sip.timer_f, Duration::from_secs(10));
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let file = folder.path().join(name);
        fs::write(&file, format!("\u{feff}{text}\r\n")).unwrap();
        format!("{name} = '{}'\n", file.display())
    };
    let url = write("url_file", "sqlite://a.db");
    let password = write("password_file", "open sesame");
    let headers = write("upgrade_headers_file", "X-A: b\r\nX-C: d");
    let hash = write("sha256_file", &"0f".repeat(32)).replace('\n', "");
    let secret = write("secret_file", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let key = write("encryption_key_file", key);
    let config = Config::from_toml(&format!(
        "http.tokens = [{{ name = 'a', {hash} }}]\n[store]\n{url}[sip]\n{headers}\
         [webhooks]\n{secret}{key}[[account]]\n{LEAST}{password}"
    ))
    .unwrap();
    assert_eq!(config.store.backend, Backend::Sqlite("a.db".into()));
    let headers = &config.sip.upgrade_headers;
    assert_eq!(
        (headers[0].0.as_str(), headers[1].1.to_str().unwrap()),
        ("x-a", "d")
    );
    let password = Credentials::password("alice", "open sesame");
    assert_eq!(config.accounts[0].credentials, Some(password));
    // Nothing but a mark is an empty file.
    let file = folder.path().join("password_file");
    fs::write(&file, "\u{feff}\r\n").unwrap();
    is_one(
        with(&format!("password_file = '{}'", file.display())),
        "account[0].password_file: the file",
    );
}

#[test]
fn a_variable_that_names_no_setting_is_a_mistake() {
    for (name, start) in [
        ("SIPOST__HTTP__PORT", "http.port: unknown setting"),
        ("SIPOST__HTTP", "http: is not a table"),
        ("SIPOST__0__A", "SIPOST__0__A: names no setting"),
        ("SIPOST__HTTP____A", "SIPOST__HTTP____A: names no setting"),
        (
            "SIPOST__ACCOUNT__99999__URI",
            "SIPOST__ACCOUNT__99999__URI: names no setting",
        ),
        ("SIPOST__PORT", "port: unknown setting"),
    ] {
        let found = load(&variables(&[(name, "1")])).unwrap_err();
        is_one(Err::<(), _>(lines_of(&found)), start);
        assert!(found.to_string().contains(name), "{found}");
    }
}

#[test]
fn a_file_that_cannot_be_read_or_is_not_toml_is_a_mistake() {
    let mut sources = Sources {
        file: Some("/nowhere/sipost.toml".into()),
        ..Sources::default()
    };
    let found = load(&sources).unwrap_err();
    assert!(found.to_string().contains("cannot be read"), "{found}");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sipost.toml");
    fs::write(&file, "[http\nlisten = 1").unwrap();
    sources.file = Some(file);
    let found = load(&sources).unwrap_err();
    assert!(found.to_string().contains("is not TOML"), "{found}");
}

#[test]
fn a_file_without_an_end_is_a_mistake() {
    let sources = Sources {
        file: Some("/dev/zero".into()),
        ..Sources::default()
    };
    let found = load(&sources).unwrap_err().to_string();
    assert!(found.contains("it has more than 16 MiB"), "{found}");

    let found = with("password_file = \"/dev/zero\"")
        .unwrap_err()
        .join("\n");
    assert!(found.contains("it is not a regular file"), "{found}");
}

#[test]
fn two_accounts_do_not_share_an_address() {
    let text = format!("[[account]]\n{LEAST}[[account]]\n{LEAST}");
    is_one(
        Err::<(), _>(mistakes(&text)),
        "account[1].uri: another account has this address",
    );
}

#[test]
fn no_secret_is_shown_by_settings_or_by_debug() {
    let hash = "0f".repeat(32);
    let text = format!(
        "[http]\ntokens = [{{ name = \"t\", sha256 = \"{hash}\" }}]\n\
         [webhooks]\nsecret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\n\
         [sip]\nupgrade_headers = [\"Cookie: session=0f0f\"]\n\
         [[account]]\n{LEAST}password = \"0f0f\"\n"
    );
    let sources = Sources {
        text: Some(text),
        ..Sources::default()
    };
    let loaded = load(&sources).unwrap();
    let settings = format!("{:?}", loaded.settings);
    let config = format!("{:?}", loaded.config.accounts);
    let sip = format!("{:?}{:?}", loaded.config.sip, loaded.config.webhooks);
    for shown in [settings, config, sip] {
        assert!(
            !shown.contains("0f0f") && !shown.contains("MfKQ"),
            "{shown}"
        );
        assert!(shown.contains("***"), "{shown}");
    }
}

#[test]
fn no_secret_is_quoted_by_a_mistake() {
    let text = "[http]\ntokens = \"top-secret\"\n[store]\nurl = \"db://u:top-secret@h/db\"\n\
                [[account]]\nuri = \"a@b.c\"\nservers = [\"ws://u:top-secret@h\"]\n";
    let found = mistakes(text);
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(!found.concat().contains("top-secret"), "{found:#?}");
}

#[test]
fn log_level_is_a_level_or_directives() {
    let level = |text: &str| Config::from_toml(&format!("[telemetry]\nlog_level = \"{text}\""));
    assert!(level("debug").is_ok() && level("info,sipost::agent=debug").is_ok());
    assert!(level("chatty").is_err() && level("info,sipost=chatty").is_err());
}

#[test]
fn the_sandbox_is_for_this_machine_only() {
    let found = mistakes("[sandbox]\nlisten = \"0.0.0.0:5060\"");
    is_one(
        Err::<(), _>(found),
        "sandbox.listen: the passwords of the sandbox are public",
    );
}

#[test]
fn the_example_is_a_configuration() {
    let config = Config::from_toml(include_str!("../../config/example.toml")).unwrap();
    assert_eq!(config.accounts[0].servers.len(), 2);
}

#[test]
fn a_token_may_be_limited_to_accounts_that_there_are() {
    let hash = "0f".repeat(32);
    let with = |more: &str| {
        let token = format!("tokens = [{{ name = \"t\", sha256 = \"{hash}\", {more} }}]");
        let text = format!("[http]\n{token}\n[[account]]\n{LEAST}");
        Config::from_toml(&text).map_err(|mistakes| lines_of(&mistakes))
    };
    let uri = account(LEAST).unwrap().uri;
    let config = with(&format!(
        "from = [\"{uri}\"], access = \"read\", rate = 0.5"
    ));
    let tokens: Vec<Token> = config.unwrap().http.access.tokens.unwrap();
    let accounts = tokens[0].accounts.as_deref();
    assert_eq!(accounts, Some(&[uri.as_str().into()][..]));
    assert_eq!(tokens[0].rights, Rights::Read);
    assert_eq!(tokens[0].rate, Some(0.5));

    is_one(
        with("from = [\"sip:mallory@example.com\"]"),
        "http.tokens[0].from: sip:mallory@example.com is not a configured account",
    );
    is_one(with("from = []"), "http.tokens[0].from: names no account");
    is_one(with("access = \"write\""), "http.tokens[0].access:");
    is_one(with("rate = 0"), "http.tokens[0].rate:");
}

#[test]
fn a_token_with_a_mistake_is_the_only_mistake_of_an_address_that_others_reach() {
    let listen = "[http]\nlisten = \"0.0.0.0:80\"\n";
    let token = "tokens = [{ name = \"backend\", sha256 = \"…\" }]";
    is_one(
        Err::<(), _>(mistakes(&format!("{listen}{token}"))),
        "http.tokens[0].sha256:",
    );
    is_one(
        Err::<(), _>(mistakes(listen)),
        "http.listen: without http.tokens, others could send messages through this address",
    );
}

#[test]
fn two_tokens_share_neither_name_nor_hash() {
    let token = |name: &str, byte: &str| {
        format!("{{ name = \"{name}\", sha256 = \"{}\" }}", byte.repeat(32))
    };
    let both = |a: String, b: String| mistakes(&format!("[http]\ntokens = [{a}, {b}]"));
    let names = both(token("a", "00"), token("a", "11"));
    is_one(
        Err::<(), _>(names),
        "http.tokens: two tokens have the same name",
    );
    let hashes = both(token("a", "00"), token("b", "00"));
    is_one(
        Err::<(), _>(hashes),
        "http.tokens: two names have the same token",
    );
}
