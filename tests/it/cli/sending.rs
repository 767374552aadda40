//! `sipost send`.

use rustix::process::Pid;
use rustix::process::Signal;
use serde_json::Value;
use serde_json::json;
use tokio::io::AsyncBufReadExt as _;
use tokio::io::BufReader;

use super::finish;
use super::run;
use super::run_with_input;
use super::scripted::Answer;
use super::scripted::Scripted;
use super::sipost;

const SENDING: &str = concat!(
    "retry: 10\n\nid: 1-1\nevent: sending\ndata: {\"id\":\"1-1\",\"type\":\"sending\",",
    "\"time\":\"2026-11-22T05:00:00.123Z\",\"messageId\":\"m1\",\"attempt\":1,",
    "\"agent\":\"alice-1\",\"request\":{\"method\":\"MESSAGE\",\"uri\":\"sip:bob@example.com\"}}\n\n"
);
const SUCCEEDED: &str = concat!(
    "id: 1-2\nevent: succeeded\ndata: {\"id\":\"1-2\",\"type\":\"succeeded\",",
    "\"time\":\"2026-11-22T05:00:00.131Z\",\"messageId\":\"m1\",\"attempt\":1,",
    "\"agent\":\"alice-1\",\"response\":{\"statusCode\":200,\"reasonPhrase\":\"OK\"}}\n\n"
);
const FAILED: &str = concat!(
    "id: 1-2\nevent: failed\ndata: {\"id\":\"1-2\",\"type\":\"failed\",",
    "\"time\":\"2026-11-22T05:00:00.131Z\",\"messageId\":\"m1\",\"attempt\":1,",
    "\"agent\":\"alice-1\",\"cause\":\"Busy\",",
    "\"response\":{\"statusCode\":486,\"reasonPhrase\":\"Busy Here\"}}\n\n"
);

fn accepted() -> Answer {
    Answer::json(
        202,
        json!({"id": "m1", "status": "queued", "createdAt": "2026-11-22T05:00:00.120Z"}),
    )
}

#[tokio::test]
async fn a_message_that_succeeds_ends_with_0_and_aligned_lines() {
    let stream = format!("{SENDING}{SUCCEEDED}");
    let gateway = Scripted::start([accepted(), Answer::stream(&stream)]).await;
    let ended = run(&mut sipost(&[
        "send",
        "bob",
        "Hello",
        "--url",
        &gateway.url,
    ]))
    .await;

    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let day = "── 2026-11-22 ──\n";
    let lines = ended.stdout.strip_prefix(day).unwrap_or(&ended.stdout);
    assert_eq!(
        lines,
        "\
05:00:00.120  accepted                                        bob                                                                   m1
05:00:00.123  sending      #1   MESSAGE                       sip:bob@example.com                  alice-1
05:00:00.131  succeeded    #1   200 OK                        sip:bob@example.com            8 ms  alice-1
"
    );
    let asked = gateway.asked();
    assert_eq!(asked[0].line, "POST /messages");
    let message: Value = serde_json::from_slice(&asked[0].body).unwrap();
    assert_eq!(message, json!({"target": "bob", "body": "Hello"}));
    assert_eq!(asked[1].line, "GET /messages/m1/events");
}

#[tokio::test]
async fn a_message_that_fails_ends_with_1() {
    let stream = format!("{SENDING}{FAILED}");
    let gateway = Scripted::start([accepted(), Answer::stream(&stream)]).await;
    let mut command = sipost(&["send", "bob", "Hello", "--url", &gateway.url]);
    let ended = run(command.env("CLICOLOR_FORCE", "1")).await;

    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(
        ended.stdout.contains("\u{1b}[31mfailed     \u{1b}[0m"),
        "{}",
        ended.stdout
    );
    assert!(
        ended.stdout.contains("Busy: 486 Busy Here"),
        "{}",
        ended.stdout
    );
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_resumed_behind_the_last_event() {
    let gateway = Scripted::start([
        accepted(),
        Answer::stream(SENDING),
        Answer::html(502),
        Answer::stream(SUCCEEDED),
    ])
    .await;
    let ended = run(&mut sipost(&[
        "send",
        "bob",
        "-",
        "--json",
        "--url",
        &gateway.url,
    ]))
    .await;

    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let types: Vec<Value> = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["type"].take())
        .collect();
    assert_eq!(types, ["sending", "succeeded"]);
    let asked = gateway.asked();
    assert_eq!(asked[1].headers.get("Last-Event-ID"), None);
    assert_eq!(asked[3].headers["Last-Event-ID"], "1-1");
    assert!(ended.stderr.contains("trying again in"), "{}", ended.stderr);
}

#[tokio::test]
async fn the_body_can_come_from_standard_input() {
    let stream = format!("{SENDING}{SUCCEEDED}");
    let gateway = Scripted::start([accepted(), Answer::stream(&stream)]).await;
    let mut command = sipost(&["send", "bob", "-", "--content-type", "application/json"]);
    command
        .env("SIPOST_URL", &gateway.url)
        .env("SIPOST_TOKEN", "t0p");
    let ended = run_with_input(&mut command, "{\"grüße\":1}".as_bytes()).await;

    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let asked = gateway.asked();
    let message: Value = serde_json::from_slice(&asked[0].body).unwrap();
    assert_eq!(message["body"], "{\"grüße\":1}");
    assert_eq!(message["contentType"], "application/json");
    assert_eq!(asked[0].headers["Authorization"], "Bearer t0p");
}

#[tokio::test]
async fn what_is_refused_is_told_in_one_sentence_and_ends_with_2() {
    let problem = json!({
        "title": "The message cannot be sent", "status": 422,
        "errors": [{"pointer": "/target", "detail": "the scheme im is not one of ours"}],
    });
    let gateway = Scripted::start([Answer::json(422, problem)]).await;
    let ended = run(&mut sipost(&["send", "im:bob", "x", "--url", &gateway.url])).await;

    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""));
    assert_eq!(
        ended.stderr,
        "error: The message cannot be sent: /target: the scheme im is not one of ours\n"
    );
}

#[tokio::test]
async fn a_gateway_that_is_not_there_is_told_in_one_sentence_and_ends_with_2() {
    // No program listens at a port that was just given back.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let ended = run(&mut sipost(&["send", "bob", "x", "--url", &url])).await;

    assert_eq!(ended.code, Some(2));
    assert!(
        ended.stderr.starts_with(&format!(
            "error: nothing answers at {url}/: Connection refused;"
        )),
        "{}",
        ended.stderr
    );
    assert_eq!(ended.stderr.lines().count(), 1);
}

#[tokio::test]
async fn a_server_that_is_no_gateway_is_told_so() {
    let gateway = Scripted::start([Answer::html(404)]).await;
    let ended = run(&mut sipost(&["send", "bob", "x", "--url", &gateway.url])).await;

    assert_eq!(ended.code, Some(2));
    assert!(
        ended
            .stderr
            .contains("is not sipost: it answers 404 Not Found"),
        "{}",
        ended.stderr
    );
}

/// Answers each connection with this head, and then with a body that goes on until the client
/// stops reading.
async fn endless(head: &'static str, piece: &'static str) -> String {
    use tokio::io::AsyncReadExt as _;
    use tokio::io::AsyncWriteExt as _;

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut request = [0; 1024];
                let _ = connection.read(&mut request).await;
                let _ = connection.write_all(head.as_bytes()).await;
                let body = piece.repeat(1024);
                while connection.write_all(body.as_bytes()).await.is_ok() {}
            });
        }
    });
    url
}

#[tokio::test]
async fn an_answer_without_an_end_is_given_up() {
    const LINE: &str = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\ndata: ";
    let accepted = "HTTP/1.1 202 Accepted\r\ncontent-type: application/json\r\n\r\n{\"id\":\"";
    let refused = "HTTP/1.1 400 Bad Request\r\n\r\n{\"title\":\"";
    let stream = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: ";
    for (head, piece, arguments, told) in [
        (
            accepted,
            "xxxxxxxx",
            &["send", "bob", "Hello"][..],
            "more than",
        ),
        (
            refused,
            "xxxxxxxx",
            &["send", "bob", "Hello"],
            "400 Bad Request",
        ),
        (stream, "xxxxxxxx", &["tail"], "more than"),
        (stream, LINE, &["tail"], "more than"),
    ] {
        let url = endless(head, piece).await;
        let ended = run(sipost(arguments).env("SIPOST_URL", &url)).await;
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(
            ended.stderr.contains(told),
            "{arguments:?}: {}",
            ended.stderr
        );
    }
}

#[tokio::test]
async fn neither_a_proxy_nor_the_screen_is_told_what_this_machine_is_asked() {
    let proxy = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy_url = format!("http://{}", proxy.local_addr().unwrap());
    let stream = format!("{SENDING}{SUCCEEDED}");
    let gateway = Scripted::start([accepted(), Answer::stream(&stream)]).await;
    let port = gateway.url.rsplit(':').next().unwrap();
    let url = format!("http://u:sesame@127.0.0.1:{port}");
    let mut command = sipost(&["send", "bob", "Hello", "--url", &url]);
    for name in [
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "all_proxy",
    ] {
        command.env(name, &proxy_url);
    }
    let ended = run(&mut command).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let asked = tokio::time::timeout(std::time::Duration::ZERO, proxy.accept()).await;
    assert!(asked.is_err(), "the proxy was asked");

    let nobody = format!("http://u:sesame@{}", proxy.local_addr().unwrap());
    drop(proxy);
    for arguments in [&["send", "bob", "Hello"][..], &["tail"]] {
        let ended = run(sipost(arguments).env("SIPOST_URL", &nobody)).await;
        assert_eq!(ended.code, Some(2));
        assert!(
            ended.stderr.contains("nothing answers at"),
            "{}",
            ended.stderr
        );
        assert!(!ended.stderr.contains("sesame"), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn a_gateway_that_wants_a_token_is_told_how_it_is_given() {
    let refusal = || {
        Answer::json(
            401,
            json!({"title": "Unauthorized", "detail": "a token is missing"}),
        )
    };
    let gateway = Scripted::start([refusal(), refusal(), refusal()]).await;
    let arguments = ["send", "bob", "x", "--url", &gateway.url];
    let ended = run(&mut sipost(&arguments)).await;
    assert_eq!(ended.code, Some(2));
    let told =
        "error: Unauthorized: a token is missing; give it one with --token or SIPOST_TOKEN\n";
    assert_eq!(ended.stderr, told);
    let mut empty = sipost(&arguments);
    empty.env("SIPOST_TOKEN", "").env("SIPOST_CACERT", "");
    assert_eq!(run(&mut empty).await.stderr, told);
    let ended = run(sipost(&arguments).env("SIPOST_TOKEN", "t0p")).await;
    assert!(
        ended
            .stderr
            .contains("the token is that of --token or SIPOST_TOKEN")
    );
    assert!(!ended.stderr.contains("t0p"), "{}", ended.stderr);
}

#[tokio::test]
async fn what_a_message_waits_for_is_told_once_and_ctrl_c_says_what_goes_on() {
    let waits = ": waiting for agent: no agent of sip:a@b is registered\n\n";
    let stream = format!("retry: 10\n\n: accepted m1\n\n{waits}:\n\n{waits}{SENDING}");
    let gateway = Scripted::start([accepted(), Answer::open_stream(&stream)]).await;
    let mut child = sipost(&["send", "bob", "x", "--url", &gateway.url])
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while !lines
        .next_line()
        .await
        .unwrap()
        .unwrap()
        .contains("sending")
    {}
    let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::INT).unwrap();
    let ended = finish(child).await;
    assert_eq!(ended.code, Some(130));
    let told: Vec<&str> = ended.stderr.lines().collect();
    let [waits, leaves] = told.as_slice() else {
        panic!("{told:?}");
    };
    assert_eq!(
        *waits,
        "waiting for agent: no agent of sip:a@b is registered"
    );
    for words in ["the message goes on", "sipost get m1", "sipost cancel m1"] {
        assert!(leaves.contains(words), "{leaves}");
    }
}

/// Runs a `send --until displayed` to its end; interrupts it after the line with these words, if
/// there are any.
async fn until_displayed(stream: Answer, interrupt_after: Option<&str>) -> super::Ended {
    let accepted = json!({
        "id": "m1", "status": "queued", "createdAt": "2026-11-22T05:00:00.120Z",
        "expiresAt": "2026-11-22T06:00:00.120Z",
    });
    let gone = Answer::json(204, Value::Null);
    let gateway = Scripted::start([Answer::json(202, accepted), stream, gone]).await;
    let arguments = [
        "send",
        "bob",
        "x",
        "--until",
        "displayed",
        "--url",
        &gateway.url,
    ];
    let mut child = sipost(&arguments).spawn().unwrap();
    let mut told = Vec::new();
    if let Some(words) = interrupt_after {
        let mut lines = BufReader::new(child.stderr.as_mut().unwrap()).lines();
        while !told
            .last()
            .is_some_and(|line: &String| line.contains(words))
        {
            told.push(lines.next_line().await.unwrap().unwrap());
        }
        let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
        rustix::process::kill_process(pid, Signal::INT).unwrap();
    }
    let mut ended = finish(child).await;
    told.push(ended.stderr);
    ended.stderr = told.join("\n");
    ended
}

const WAITS: &str =
    "the message is sent; waiting for the receipt `displayed` until 2026-11-22 06:00:00+00:00";

#[tokio::test]
async fn what_was_sent_is_told_to_wait_for_its_receipt_and_is_not_offered_to_be_canceled() {
    let stream = format!("{SENDING}{SUCCEEDED}");
    let ended = until_displayed(Answer::open_stream(&stream), Some(WAITS)).await;
    assert_eq!(ended.code, Some(130));
    let told: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!(
        told,
        [
            WAITS,
            "no longer followed; the message is sent, and `sipost get m1` shows its receipt \
             `displayed` when it has come"
        ]
    );
}

#[tokio::test]
async fn a_receipt_that_does_not_come_in_time_is_told_so() {
    let stream = format!("{SENDING}{SUCCEEDED}");
    let ended = until_displayed(Answer::stream(&stream), None).await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let (first, last) = (ended.stderr.lines().next(), ended.stderr.lines().last());
    assert_eq!(first, Some(WAITS));
    let over =
        "the message is sent, but its time is over, and the receipt `displayed` has not come";
    assert_eq!(last, Some(over));
}

#[tokio::test]
async fn a_gateway_that_stops_says_when_to_try_again() {
    let problem = json!({"title": "The gateway is stopping", "detail": "repeat the request"});
    let refusal = Answer::json(503, problem).after(5);
    let gateway = Scripted::start([refusal]).await;
    let ended = run(&mut sipost(&["send", "bob", "x", "--url", &gateway.url])).await;
    assert_eq!(ended.code, Some(2));
    assert_eq!(
        ended.stderr,
        "error: The gateway is stopping: repeat the request (Retry-After: 5 s)\n"
    );
}
