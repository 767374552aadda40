//! Who may call, and what for.

use reqwest::Method;
use reqwest::Response;
use reqwest::header;
use serde_json::Value;
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::Running;
use super::json_of;
use super::message;
use super::token;
use super::unreachable_account;

const ALICE: &str = "sip:alice@example.com";
const CAROL: &str = "sip:carol@example.com";

/// A gateway with two accounts and these tokens.
async fn with_tokens(tokens: &[String], more: &str) -> Running {
    let tokens = tokens.join(", ");
    let (alice, carol) = (unreachable_account(ALICE), unreachable_account(CAROL));
    let text = format!("[http]\ntokens = [{tokens}]\n{more}\n{alice}{carol}");
    Running::start(&text).await
}

fn text_of<'a>(response: &'a Response, name: &str) -> &'a str {
    let value = response.headers().get(name);
    value.map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn who_shows_no_token_is_told_that_one_is_needed() {
    let gateway = with_tokens(&[token("backend", "open sesame", "")], "").await;

    for path in ["/messages", "/events", "/agents", "/nowhere", "/messages/x"] {
        let response = gateway.get(path).send().await.unwrap();
        assert_eq!(response.status(), 401, "{path}");
        let challenge = text_of(&response, "www-authenticate");
        assert_eq!(challenge, "Bearer realm=\"sipost\"", "{path}");
        let kind = text_of(&response, "content-type");
        assert_eq!(kind, "application/problem+json", "{path}");
        let problem: Value = response.json().await.unwrap();
        assert_eq!(problem["type"], "/problems/unauthorized");
    }
    let posted = gateway.post("/messages").json(&message("bob")).send().await;
    assert_eq!(posted.unwrap().status(), 401);
    for path in [
        "/livez",
        "/readyz",
        "/openapi.json",
        "/problems/unauthorized",
    ] {
        let response = gateway.get(path).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
    }
}

#[tokio::test]
async fn a_token_is_known_or_not() {
    let gateway = with_tokens(&[token("backend", "open sesame", "")], "").await;

    let known = gateway.get("/messages").bearer_auth("open sesame");
    assert_eq!(known.send().await.unwrap().status(), 200);
    let posted = gateway.post("/messages").bearer_auth("open sesame");
    let (status, accepted) = json_of(posted.json(&message("bob"))).await;
    assert_eq!(status, 202, "{accepted}");

    let unknown = gateway.get("/messages").bearer_auth("open sesam");
    let response = unknown.send().await.unwrap();
    assert_eq!(response.status(), 401);
    let challenge = text_of(&response, "www-authenticate");
    assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");

    let other_scheme = gateway.get("/messages").basic_auth("open", Some("sesame"));
    let response = other_scheme.send().await.unwrap();
    assert_eq!(response.status(), 401);
    let challenge = text_of(&response, "www-authenticate");
    assert_eq!(challenge, "Bearer realm=\"sipost\"");

    let twice = gateway.get("/messages").bearer_auth("a").bearer_auth("b");
    let response = twice.send().await.unwrap();
    assert_eq!(response.status(), 400);
    let challenge = text_of(&response, "www-authenticate");
    assert!(
        challenge.contains("error=\"invalid_request\""),
        "{challenge}"
    );

    // RFC 6750 §2.3 is not offered.
    let in_the_address = gateway.get("/messages?access_token=open%20sesame");
    assert_eq!(in_the_address.send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn a_token_for_reading_changes_nothing() {
    let tokens = [token("viewer", "v", ", access = \"read\"")];
    let gateway = with_tokens(&tokens, "").await;

    let looked = gateway.get("/messages").bearer_auth("v").send().await;
    assert_eq!(looked.unwrap().status(), 200);
    for (method, path) in [
        (Method::POST, "/messages"),
        (Method::POST, "/messages/batch"),
        (Method::DELETE, "/messages/0193"),
        (Method::POST, "/agents/alice-1/drain"),
    ] {
        let request = gateway.request(method, path).bearer_auth("v");
        let response = request.json(&message("bob")).send().await.unwrap();
        assert_eq!(response.status(), 403, "{path}");
        let challenge = text_of(&response, "www-authenticate");
        assert!(
            challenge.contains("error=\"insufficient_scope\""),
            "{challenge}"
        );
        let problem: Value = response.json().await.unwrap();
        assert_eq!(problem["type"], "/problems/forbidden");
    }
}

#[tokio::test]
async fn a_token_with_accounts_sends_as_these_and_sees_nothing_of_the_others() {
    let own = format!(", from = [\"{CAROL}\"]");
    let tokens = [token("all", "a", ""), token("carol", "c", &own)];
    let gateway = with_tokens(&tokens, "").await;
    let send = async |secret: &str, from: Option<&str>| {
        let mut message = message("bob");
        if let Some(from) = from {
            message["from"] = json!(from);
        }
        let request = gateway.post("/messages").bearer_auth(secret);
        json_of(request.json(&message)).await
    };
    let get = async |secret: &str, path: &str| json_of(gateway.get(path).bearer_auth(secret)).await;

    let (status, of_alice) = send("a", Some(ALICE)).await;
    assert_eq!(status, 202, "{of_alice}");
    let (status, refused) = send("c", Some(ALICE)).await;
    assert_eq!(
        (status, &refused["type"]),
        (403, &json!("/problems/forbidden"))
    );
    let (status, unknown) = send("c", Some("sip:nobody@example.com")).await;
    assert_eq!((status, &unknown["detail"]), (403, &refused["detail"]));
    let (status, of_carol) = send("c", None).await;
    assert_eq!((status, &of_carol["from"]), (202, &json!(CAROL)));

    let path_of = |message: &Value| format!("/messages/{}", message["id"].as_str().unwrap());
    let (hidden, shown) = (path_of(&of_alice), path_of(&of_carol));
    assert_eq!(get("c", &shown).await.0, 200);
    assert_eq!(get("a", &hidden).await.0, 200);
    let (status, nothing) = get("c", &hidden).await;
    assert_eq!(
        (status, &nothing["type"]),
        (404, &json!("/problems/not-found"))
    );
    assert_eq!(get("c", &format!("{hidden}/events")).await.0, 404);
    assert_eq!(get("c", &format!("{shown}/events")).await.0, 200);
    assert_eq!(get("c", &format!("{hidden}/sip")).await.0, 404);
    assert_eq!(get("c", &format!("{shown}/sip")).await.0, 200);
    let canceled = gateway.request(Method::DELETE, &hidden).bearer_auth("c");
    assert_eq!(json_of(canceled).await.0, 404);

    let (_, list) = get("c", "/messages").await;
    let seen = list["data"].as_array().unwrap();
    assert!(seen.len() == 1 && seen[0]["id"] == of_carol["id"], "{list}");
    assert_eq!(
        get("a", "/messages").await.1["data"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(get("c", &format!("/messages?from={ALICE}")).await.0, 403);

    for path in [&hidden, &shown] {
        let canceled = gateway.request(Method::DELETE, path).bearer_auth("a");
        assert_eq!(json_of(canceled).await.0, 200);
    }
    let (_, log) = get("c", "/events").await;
    let seen = log["data"].as_array().unwrap();
    assert!(
        seen.len() == 1 && seen[0]["messageId"] == of_carol["id"],
        "{log}"
    );
    assert_eq!(
        get("a", "/events").await.1["data"]
            .as_array()
            .unwrap()
            .len(),
        2
    );

    let (_, agents) = get("c", "/agents").await;
    let seen = agents["data"].as_array().unwrap();
    assert!(seen.len() == 1 && seen[0]["id"] == "carol-1", "{agents}");
    assert_eq!(get("c", "/agents/alice-1").await.0, 404);
    assert_eq!(get("c", "/agents/alice-1/sip").await.0, 404);
    let drained = gateway.post("/agents/carol-1/drain").bearer_auth("c");
    assert_eq!(json_of(drained).await.0, 403);
}

#[tokio::test]
async fn a_batch_with_an_account_of_others_is_refused_whole() {
    let own = format!(", from = [\"{CAROL}\"]");
    let gateway = with_tokens(&[token("carol", "c", &own)], "").await;
    let batch = json!({ "messages": [
        message("bob"),
        { "target": "bob", "body": "", "from": ALICE },
    ]});
    let request = gateway
        .post("/messages/batch")
        .bearer_auth("c")
        .json(&batch);
    assert_eq!(json_of(request).await.0, 403);
    let (_, list) = json_of(gateway.get("/messages").bearer_auth("c")).await;
    assert_eq!(list["data"], json!([]));
}

#[tokio::test]
async fn a_rate_is_told_and_kept() {
    let tokens = [token("slow", "s", ", rate = 0.01"), token("fast", "f", "")];
    let gateway = with_tokens(&tokens, "").await;

    let first = gateway
        .get("/messages")
        .bearer_auth("s")
        .send()
        .await
        .unwrap();
    assert_eq!(first.status(), 200);
    assert_eq!(text_of(&first, "ratelimit-policy"), "\"token\";q=1;w=100");
    assert!(text_of(&first, "ratelimit").starts_with("\"token\";r=0;t="));

    let second = gateway
        .get("/messages")
        .bearer_auth("s")
        .send()
        .await
        .unwrap();
    assert_eq!(second.status(), 429);
    let wait: u64 = text_of(&second, "retry-after").parse().unwrap();
    assert!((1..=100).contains(&wait), "{wait}");
    assert!(text_of(&second, "ratelimit").starts_with("\"token\";r=0;t="));
    let problem: Value = second.json().await.unwrap();
    assert_eq!(problem["type"], "/problems/rate-limited");

    let other = gateway
        .get("/messages")
        .bearer_auth("f")
        .send()
        .await
        .unwrap();
    assert_eq!(
        (other.status().as_u16(), text_of(&other, "ratelimit")),
        (200, "")
    );
    let health = gateway.get("/livez").bearer_auth("s").send().await.unwrap();
    assert_eq!(health.status(), 200);
}

#[tokio::test]
async fn a_batch_uses_up_as_much_as_it_has_messages() {
    let gateway = with_tokens(&[token("slow", "s", ", rate = 5")], "").await;
    let batch = json!({ "messages": vec![message("bob"); 500] });
    let request = gateway
        .post("/messages/batch")
        .bearer_auth("s")
        .json(&batch);
    assert_eq!(json_of(request).await.0, 202);
    let next = gateway
        .get("/messages")
        .bearer_auth("s")
        .send()
        .await
        .unwrap();
    assert_eq!(next.status(), 429);
}

#[tokio::test]
async fn guesses_from_one_address_are_slowed_and_hold_nobody_up() {
    let more = "refused_rate = 1\ntrusted_proxies = [\"127.0.0.1\"]";
    let gateway = with_tokens(&[token("backend", "b", "")], more).await;
    let guess = async |from: &str| {
        let request = gateway.get("/messages").bearer_auth("guess");
        let request = request.header("x-forwarded-for", from);
        request.send().await.unwrap().status().as_u16()
    };

    // More often than once a second, however slow the machine is.
    let mut answers = Vec::new();
    while !answers.contains(&429) {
        assert!(answers.len() < 1_000, "{answers:?}");
        answers.push(guess("192.0.2.1").await);
    }
    assert_eq!(answers[0], 401);
    assert_eq!(guess("192.0.2.2").await, 401);
    let known = gateway.get("/messages").bearer_auth("b");
    let known = known.header("x-forwarded-for", "192.0.2.1");
    assert_eq!(known.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn idempotency_keys_belong_to_their_token() {
    let tokens = [token("one", "1", ""), token("two", "2", "")];
    let gateway = with_tokens(&tokens, "").await;
    let send = async |secret: &str| {
        let request = gateway.post("/messages").bearer_auth(secret);
        let request = request.header("idempotency-key", "k").json(&message("bob"));
        json_of(request).await.1["id"].clone()
    };
    let first = send("1").await;
    assert_eq!(send("1").await, first);
    assert_ne!(send("2").await, first);
}

#[tokio::test]
async fn pages_of_others_may_call_when_their_origin_is_listed() {
    let more = "cors_origins = [\"https://app.example\"]";
    let gateway = with_tokens(&[token("backend", "b", "")], more).await;
    let preflight = async |origin: &str| {
        let request = gateway.request(Method::OPTIONS, "/messages");
        let request = request
            .header(header::ORIGIN, origin)
            .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST")
            .header(header::ACCESS_CONTROL_REQUEST_HEADERS, "authorization");
        request.send().await.unwrap()
    };

    let listed = preflight("https://app.example").await;
    assert_eq!(listed.status(), 200);
    let allowed = text_of(&listed, "access-control-allow-origin");
    assert_eq!(allowed, "https://app.example");
    assert!(text_of(&listed, "access-control-allow-headers").contains("authorization"));
    let other = preflight("https://evil.example").await;
    assert_eq!(text_of(&other, "access-control-allow-origin"), "");

    // Also what is refused can be read by the page that asked.
    let refused = gateway
        .get("/messages")
        .header("origin", "https://app.example");
    let refused = refused.send().await.unwrap();
    assert_eq!(refused.status(), 401);
    let allowed = text_of(&refused, "access-control-allow-origin");
    assert_eq!(allowed, "https://app.example");
}

#[tokio::test]
async fn every_answer_says_what_a_browser_may_make_of_it() {
    let gateway = with_tokens(&[token("backend", "b", "")], "").await;
    for path in ["/livez", "/messages", "/openapi.json"] {
        let response = gateway.get(path).header("origin", "https://a.example");
        let response = response.send().await.unwrap();
        assert_eq!(text_of(&response, "x-content-type-options"), "nosniff");
        assert_eq!(text_of(&response, "x-frame-options"), "DENY");
        assert_eq!(text_of(&response, "referrer-policy"), "no-referrer");
        let policy = text_of(&response, "content-security-policy");
        assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
        assert_eq!(text_of(&response, "access-control-allow-origin"), "");
    }
}

/// Servers of a trust domain believe what these headers say.
#[tokio::test]
async fn a_token_with_accounts_says_nothing_of_who_sends_but_from() {
    let own = format!(", from = [\"{CAROL}\"]");
    let tokens = [token("all", "a", ""), token("carol", "c", &own)];
    let gateway = with_tokens(&tokens, "").await;
    let send = async |secret: &str, path: &str, body: &Value| {
        json_of(gateway.post(path).bearer_auth(secret).json(body)).await
    };
    for name in [
        "P-Asserted-Identity",
        "p-dcs-osps",
        "Additional-Identity",
        "p-preferred-identity",
        "Identity",
        "y",
        "Path",
        "Diversion",
    ] {
        for headers in [
            json!({name: "<sip:ceo@example.com>"}),
            json!([format!("{name}: <sip:ceo@example.com>")]),
        ] {
            let mut message = message("bob");
            message["extraHeaders"] = headers;
            let (status, refused) = send("c", "/messages", &message).await;
            assert_eq!(status, 422, "{name}: {refused}");
            assert_eq!(refused["errors"][0]["pointer"], "/extraHeaders");
            let batch = json!({"messages": [message]});
            let (status, refused) = send("c", "/messages/batch", &batch).await;
            assert_eq!(status, 422, "{name}: {refused}");
            assert_eq!(refused["errors"][0]["pointer"], "/messages/0/extraHeaders");
            assert_eq!(send("a", "/messages", &message).await.0, 202, "{name}");
        }
    }
    let mut message = message("bob");
    message["extraHeaders"] = json!({"X-Identity": "x", "Privacy": "id"});
    assert_eq!(send("c", "/messages", &message).await.0, 202);
}

#[tokio::test]
async fn only_pages_of_ours_and_of_listed_origins_change_something() {
    let more = "cors_origins = [\"https://app.example\"]";
    let gateway = with_tokens(&[token("backend", "b", "")], more).await;
    let post = async |lines: &[(&'static str, &str)]| {
        let mut request = gateway.post("/messages").bearer_auth("b");
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        json_of(request.json(&message("bob"))).await
    };
    let own = gateway.url.as_str();
    for lines in [
        &[][..],
        &[("origin", own)],
        &[("sec-fetch-site", "same-origin"), ("origin", own)],
        &[
            ("sec-fetch-site", "cross-site"),
            ("origin", "https://app.example"),
        ],
    ] {
        assert_eq!(post(lines).await.0, 202, "{lines:?}");
    }
    for lines in [
        &[("origin", "https://evil.example")][..],
        &[("origin", "null")],
        &[("sec-fetch-site", "same-site"), ("origin", own)],
    ] {
        let (status, problem) = post(lines).await;
        let kind = (status, problem["type"].as_str().unwrap());
        assert_eq!(kind, (403, "/problems/cross-origin"), "{lines:?}");
    }
    let typeless = gateway.post("/messages").bearer_auth("b").body("{}");
    assert_eq!(json_of(typeless).await.0, 415);
}

/// The status of an answer to a head that is written as it is.
async fn status_of(gateway: &Running, head: &str) -> u16 {
    let address = gateway.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    std::str::from_utf8(&answer[9..]).unwrap().parse().unwrap()
}

#[tokio::test]
async fn without_tokens_a_name_that_was_pointed_here_reads_nothing_until_it_is_listed() {
    let listed = "[http]\nhosts = [\"gateway.lan\"]\n";
    let mut gateway = Running::start(listed).await;
    let get = async |gateway: &Running, host: &str| {
        let lines = host.split_terminator(' ').map(|h| format!("Host: {h}\r\n"));
        let lines: String = lines.collect();
        status_of(gateway, &format!("GET /messages HTTP/1.1\r\n{lines}\r\n")).await
    };
    for host in ["localhost", "127.0.0.1:8080", "[::1]", "gateway.lan:80"] {
        assert_eq!(get(&gateway, host).await, 200, "{host}");
    }
    for (host, status) in [
        ("rebound.example", 421),
        ("10.0.0.1", 421),
        ("", 400),
        ("localhost localhost", 400),
        ("a@localhost", 400),
    ] {
        assert_eq!(get(&gateway, host).await, status, "{host}");
    }

    gateway.reload("[http]\nhosts = [\"rebound.example\"]\n");
    gateway.line("configuration reloaded").await;
    assert_eq!(get(&gateway, "rebound.example").await, 200);
    assert_eq!(get(&gateway, "gateway.lan").await, 421);

    // With tokens the name is of no use.
    let gateway = with_tokens(&[token("backend", "b", "")], "").await;
    assert_eq!(get(&gateway, "any.example").await, 401);
}

#[tokio::test]
async fn preflights_pass_with_the_headers_that_clients_send() {
    let gateway = with_tokens(&[], "cors_origins = [\"https://app.example\"]").await;
    for asked in [
        "cache-control,last-event-id",
        "authorization,content-type,idempotency-key,prefer",
        "traceparent,tracestate,x-request-id,x-requested-with",
    ] {
        let request = gateway.request(Method::OPTIONS, "/events");
        let request = request
            .header(header::ORIGIN, "https://app.example")
            .header(header::ACCESS_CONTROL_REQUEST_METHOD, "GET")
            .header(header::ACCESS_CONTROL_REQUEST_HEADERS, asked);
        let answer = request.send().await.unwrap();
        assert_eq!(text_of(&answer, "access-control-allow-headers"), asked);
    }
}

#[tokio::test]
async fn no_cache_keeps_an_answer() {
    let gateway = with_tokens(&[], "").await;
    for (path, policy) in [
        ("/messages", "no-store"),
        ("/messages/x", "no-store"),
        ("/nowhere", "no-store"),
        ("/agents", "no-store"),
        ("/readyz", "no-store"),
        ("/metrics", "no-store"),
        ("/", "no-cache"),
        ("/docs", "no-cache"),
        ("/openapi.json", "no-cache"),
        ("/openapi.yaml", "no-cache"),
    ] {
        let answer = gateway.get(path).send().await.unwrap();
        assert_eq!(text_of(&answer, "cache-control"), policy, "{path}");
    }
    let posted = gateway.post("/messages").json(&message("bob"));
    let posted = posted.send().await.unwrap();
    assert_eq!(text_of(&posted, "cache-control"), "no-store");
    let stream = gateway.get("/events").header("accept", "text/event-stream");
    let stream = stream.send().await.unwrap();
    assert_eq!(text_of(&stream, "cache-control"), "no-cache");
}

#[tokio::test]
async fn a_refused_request_is_found_in_the_log_by_its_id() {
    let mut gateway = with_tokens(&[], "").await;
    let request = gateway.get("/messages?nonsense=1");
    let refused = request.header("x-request-id", "order-42").send().await;
    let refused = refused.unwrap();
    assert_eq!(refused.status(), 400);
    assert_eq!(text_of(&refused, "x-request-id"), "order-42");
    let line = gateway.line("order-42").await;
    assert!(
        line.contains("\"INFO\"") && line.contains("refused"),
        "{line}"
    );
    // One that is made is as good as one that is given.
    let refused = gateway.get("/nowhere").send().await.unwrap();
    let id = text_of(&refused, "x-request-id").to_owned();
    gateway.line(&id).await;
}

#[tokio::test]
async fn however_many_are_refused_the_log_gets_a_few_lines_a_second() {
    let mut gateway = Running::start("").await;
    let begun = sipost::clock::now();
    for _ in 0..500 {
        let request = gateway.get("/nowhere");
        assert_eq!(request.send().await.unwrap().status(), 404);
    }
    let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap();
    gateway.signal(rustix::process::Signal::TERM);
    assert_eq!(gateway.ended().await, Some(0));
    let lines = gateway.output().matches("\"refused\"").count();
    assert!((1..=10 * (seconds + 2)).contains(&lines), "{lines}");
}

#[tokio::test]
async fn every_answer_of_5xx_has_a_line_with_the_id_of_its_request() {
    const REQUESTS: usize = 300;
    let mut gateway = Running::start("[http]\nmax_streams = 0\n").await;
    let begun = sipost::clock::now();
    for number in 0..REQUESTS {
        let request = gateway.get("/events").header("accept", "text/event-stream");
        let request = request.header("x-request-id", format!("order-{number}-"));
        assert_eq!(request.send().await.unwrap().status(), 503);
    }
    let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap();
    gateway.signal(rustix::process::Signal::TERM);
    assert_eq!(gateway.ended().await, Some(0));
    let output = gateway.output();
    let lines: Vec<_> = output
        .lines()
        .filter(|line| line.contains("request failed"))
        .collect();
    assert_eq!(lines.len(), REQUESTS);
    for (number, line) in lines.iter().enumerate() {
        assert!(line.contains(&format!("\"order-{number}-\"")), "{line}");
    }
    // A few are warnings, however many there are.
    let warnings = lines
        .iter()
        .filter(|line| line.contains("\"WARN\""))
        .count();
    assert!((1..=10 * (seconds + 2)).contains(&warnings), "{warnings}");
}
