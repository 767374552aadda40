//! `sipost tail`.

use rustix::process::Pid;
use rustix::process::Signal;
use tokio::io::AsyncBufReadExt as _;
use tokio::io::BufReader;

use super::finish;
use super::run;
use super::scripted::Answer;
use super::scripted::Scripted;
use super::sipost;

const EVENT: &str = concat!(
    "retry: 10\n\nid: 1-7\nevent: failed\ndata: {\"id\":\"1-7\",\"type\":\"failed\",",
    "\"time\":\"2026-11-22T05:00:00.131Z\",\"messageId\":\"m1\",\"attempt\":0,\"agent\":null,",
    "\"cause\":\"Connection Error\",\"response\":null}\n\n"
);
const GAP: &str = concat!(
    "event: gap\ndata: {\"requested\":\"1-7\",\"resumedFrom\":\"2-1\",",
    "\"reason\":\"a new store\"}\n\n"
);

#[tokio::test]
async fn it_follows_over_a_lost_connection_until_it_is_interrupted() {
    let message = Answer::json(200, serde_json::json!({"id": "m1", "target": "bob"}));
    let gateway = Scripted::start([Answer::stream(EVENT), message, Answer::open_stream(GAP)]).await;
    let arguments = [
        "tail",
        "--since",
        "earliest",
        "--type",
        "failed",
        "--url",
        &gateway.url,
    ];
    let mut child = sipost(&arguments).spawn().unwrap();

    let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    let mut told = Vec::new();
    while !told
        .last()
        .is_some_and(|line: &String| line.contains("missing"))
    {
        told.push(lines.next_line().await.unwrap().unwrap());
    }
    let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::INT).unwrap();
    let ended = finish(child).await;

    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let event =
        |line: &&String| line.starts_with("05:00:00.131  failed            Connection Error");
    let event = told
        .iter()
        .find(event)
        .unwrap_or_else(|| panic!("{told:#?}"));
    assert!(event.ends_with(" m1"), "{event}");
    let gap = "── events are missing after 1-7, going on from 2-1: a new store ──";
    assert!(told.contains(&gap.to_owned()), "{told:#?}");
    let asked = gateway.asked();
    assert_eq!(asked[0].line, "GET /events?type=failed");
    assert_eq!(asked[0].headers["Last-Event-ID"], "earliest");
    assert_eq!(asked[2].headers["Last-Event-ID"], "1-7");
}

/// The events of a message but `sending` have no target.
#[tokio::test]
async fn a_target_that_was_not_seen_is_looked_up_once() {
    let deferred = EVENT.replace("failed", "deferred").replace("1-7", "1-6");
    let other = EVENT.replace("m1", "m2").replace("1-7", "1-8");
    let stream = format!("{deferred}{EVENT}{other}");
    let message = Answer::json(200, serde_json::json!({"id": "m1", "target": "bob"}));
    let removed = Answer::json(404, serde_json::json!({"title": "Not found"}));
    let gateway = Scripted::start([Answer::open_stream(&stream), message, removed]).await;
    let mut child = sipost(&["tail", "--url", &gateway.url]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut told = Vec::new();
    while told.len() < 3 {
        let line = lines.next_line().await.unwrap().unwrap();
        told.extend((!line.starts_with('─')).then_some(line));
    }
    child.start_kill().unwrap();
    finish(child).await;
    for (line, target, id) in [
        (&told[0], " bob ", " m1"),
        (&told[1], " bob ", " m1"),
        (&told[2], " (target not known) ", " m2"),
    ] {
        assert!(line.contains(target) && line.ends_with(id), "{line}");
    }
    let asked: Vec<_> = gateway
        .asked()
        .into_iter()
        .map(|asked| asked.line)
        .collect();
    assert_eq!(
        asked,
        ["GET /events", "GET /messages/m1", "GET /messages/m2"]
    );
}

#[tokio::test]
async fn json_is_one_object_a_line_gaps_included() {
    let stream = format!("{EVENT}{GAP}");
    let gateway = Scripted::start([Answer::open_stream(&stream)]).await;
    let mut child = sipost(&["tail", "--json", "--url", &gateway.url])
        .spawn()
        .unwrap();

    let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    for kind in ["failed", "gap"] {
        let line = lines.next_line().await.unwrap().unwrap();
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(object["type"], kind);
    }
    child.start_kill().unwrap();
    assert_eq!(finish(child).await.stderr, "");
}

#[tokio::test]
async fn a_reader_that_had_enough_ends_it_quietly() {
    let stream = EVENT.repeat(2000);
    let gateway = Scripted::start([Answer::open_stream(&stream)]).await;
    let mut child = sipost(&["tail", "--json", "--url", &gateway.url])
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ended = finish(child).await;

    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

#[tokio::test]
async fn a_type_that_does_not_exist_is_wrong_usage() {
    let ended = run(&mut sipost(&["tail", "--type", "exploded"])).await;
    assert_eq!(ended.code, Some(2));
    assert!(
        ended
            .stderr
            .contains("sending, deferred, succeeded, failed"),
        "{}",
        ended.stderr
    );
}
