//! What the command makes of its arguments.

use clap::Parser as _;

use super::*;

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    send: Send,
}

fn message(arguments: &[&str], body: &[u8]) -> Value {
    let line = Line::try_parse_from([&["send"], arguments].concat()).unwrap();
    line.send.message(body)
}

#[test]
fn only_what_was_given_is_sent() {
    assert_eq!(
        message(&["bob", "-5 degrees"], b"-5 degrees"),
        json!({"target": "bob", "body": "-5 degrees"})
    );
}

/// One of each.
const OPTIONS: &[&str] = &[
    "-H",
    "X-A: b",
    "--header",
    "X-C: d",
    "--content-type",
    "application/json",
    "--from",
    "alice",
    "--ttl",
    "1m",
    "--send-at",
    "2026-12-24T18:00:00Z",
    "--attempts",
    "1",
    "--on-unknown",
    "fail",
    "--webhook",
    "https://app.example/hook",
    "--metadata",
    "order=4=2",
    "--in-reply-to",
    "0193",
    "--receipts",
    "delivered",
    "--until",
    "displayed",
    "--body-encoding",
    "utf-8",
    "--priority",
    "emergency",
];

#[test]
fn every_option_has_its_member() {
    let arguments = [&["bob", "{}"], OPTIONS].concat();
    assert_eq!(
        message(&arguments, b"{}"),
        json!({
            "target": "bob", "body": "{}", "bodyEncoding": "utf-8",
            "contentType": "application/json", "from": "alice", "ttl": 60,
            "sendAt": "2026-12-24T18:00:00Z", "attempts": 1, "onUnknown": "fail",
            "webhook": "https://app.example/hook", "extraHeaders": ["X-A: b", "X-C: d"],
            "metadata": {"order": "4=2"}, "inReplyTo": "0193",
            "receipts": ["delivered", "displayed"], "priority": "emergency",
        })
    );
}

#[test]
fn every_member_of_the_contract_has_its_option() {
    let contract = include_str!("../../../openapi.yaml");
    let contract: Value = serde_yaml_ng::from_str(contract).unwrap();
    let members = &contract["components"]["schemas"]["NewMessage"]["properties"];
    let sent = message(&[&["bob", "{}"], OPTIONS].concat(), b"{}");
    for member in members.as_object().unwrap().keys() {
        assert!(
            sent.get(member).is_some(),
            "`sipost send` cannot say {member}"
        );
    }
}

#[test]
fn durations_and_times_are_written_as_in_the_configuration() {
    for (text, seconds) in [("90", 90), ("1.5s", 2), ("2m", 120), ("1h", 3600)] {
        assert_eq!(
            message(&["bob", "", "--ttl", text], b"")["ttl"],
            seconds,
            "{text}"
        );
    }
    let later = parse_time("10m").unwrap();
    let now = crate::cli::wall_time(&Clock::system());
    let ahead = later.duration_since(now).as_secs();
    assert!((590..=600).contains(&ahead), "{ahead}");
    assert!(parse_time("soon").is_err());
}

#[test]
fn the_codes_that_are_tried_again_are_those_that_help_names() {
    let (_, again) = EXAMPLES.split_once("where there is one: ").unwrap();
    let (again, rest) = again.split_once(". So is").unwrap();
    let again = again.replace('\n', " ").replace(" and ", ", ");
    let named: Vec<u16> = again
        .split(", ")
        .map(|code| code.parse().unwrap())
        .collect();
    assert_eq!(named, crate::message::retry::TRANSIENT);
    assert!(rest.contains("fails at once: 480"));
}

#[test]
fn bytes_that_are_no_text_go_as_base64() {
    assert_eq!(
        message(&["bob", "-"], b"\xff\x00"),
        json!({"target": "bob", "body": "/wA=", "bodyEncoding": "base64"})
    );
}
