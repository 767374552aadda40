//! A whole gateway with its sandbox, in this process: the answers of good days and of bad requests.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use serde_json::json;
use sipost::app::Gateway;
use sipost::clock::Clock;
use sipost::config::Config;

use crate::answers::Answer;
use crate::answers::Seen;
use crate::webhooks;

/// How long anything here may take; only what hangs takes this long.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct RunningGateway {
    http: reqwest::Client,
    base: String,
    running: Gateway,
    _folder: tempfile::TempDir,
}

impl RunningGateway {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::from_toml(&settings(folder.path())).unwrap();
        let running = Gateway::start(&config, Clock::system()).await.unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy()
            .timeout(LIMIT)
            .build()
            .unwrap();
        Self {
            http,
            base: format!("http://{}", running.address()),
            running,
            _folder: folder,
        }
    }

    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.body(body).send().await.unwrap();
        Answer {
            status: response.status(),
            headers: response.headers().clone(),
            body: response.bytes().await.unwrap().to_vec(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, &[], "").await
    }

    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let json = [("content-type", "application/json")];
        let headers: Vec<_> = json.iter().chain(headers).copied().collect();
        self.call(Method::POST, path, &headers, body.to_string())
            .await
    }

    /// The beginning of a stream that does not end, up to its second block.
    async fn stream(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.beginning(path, headers, 2).await
    }

    /// So many blocks of a stream that does not end.
    async fn beginning(&self, path: &str, headers: &[(&str, &str)], blocks: usize) -> Answer {
        let mut request = self.http.get(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        while body.windows(2).filter(|pair| pair == b"\n\n").count() < blocks {
            body.extend_from_slice(&response.chunk().await.unwrap().unwrap());
        }
        Answer {
            status,
            headers,
            body,
        }
    }
}

fn settings(folder: &Path) -> String {
    let path = folder.join("gateway.db");
    format!(
        "[http]\nlisten = \"127.0.0.1:0\"\n\
         [store]\nurl = \"sqlite://{}\"\nsynchronous = \"normal\"\n\
         [webhooks]\nallowed_networks = [\"127.0.0.1\"]\nschedule = [\"1h\"]\n",
        path.display()
    )
}

/// Gives every answer that a gateway in good health gives.
pub(crate) async fn answer_everything(seen: &mut Seen) {
    let gateway = RunningGateway::open().await;
    let id = messages_that_are_taken_in(&gateway, seen).await;
    messages_that_are_not(&gateway, seen).await;
    batches(&gateway, seen).await;
    messages_that_are_looked_at(&gateway, seen, &id).await;
    events(&gateway, seen, &id).await;
    agents(&gateway, seen).await;
    webhooks::answer_everything(&gateway, seen).await;
    operation(&gateway, seen).await;
    gateway.running.stop().await;
}

/// The id of a message that succeeded.
async fn messages_that_are_taken_in(gateway: &RunningGateway, seen: &mut Seen) -> String {
    let most = json!({
        "target": "ok",
        "body": "SGVsbG8=",
        "bodyEncoding": "base64",
        "contentType": "application/octet-stream",
        "extraHeaders": {"X-Foo": ["a", "b"], "Subject": "Grüße"},
        "from": "sip:sipost@sandbox.invalid",
        "ttl": 60,
        "sendAt": "2020-01-01T00:00:00+01:00",
        "attempts": 1,
        "onUnknown": "fail",
        "webhook": null,
        "metadata": {"order": "42"},
    });
    let wait = [("prefer", "wait=30")];
    let answer = gateway.post("/messages", &wait, &most).await;
    seen.note("sendMessage", 200, &answer);
    let message = answer.json();
    assert_eq!(message["status"], "succeeded");
    assert_eq!(message["result"]["type"], "succeeded");

    for target in [
        "accepted", "busy", "decline", "notfound", "offline", "moved",
    ] {
        let least = json!({"target": target, "body": ""});
        let answer = gateway.post("/messages", &wait, &least).await;
        seen.note("sendMessage", 200, &answer);
    }

    let stream = [("accept", "text/event-stream")];
    let transient = json!({"target": "overload", "body": "Hello!"});
    let answer = gateway.post("/messages", &stream, &transient).await;
    seen.note("sendMessage", 200, &answer);
    assert!(
        answer.text().contains("event: deferred\n"),
        "{}",
        answer.text()
    );

    let key = [("idempotency-key", "once"), ("x-request-id", "order-42")];
    let later = json!({"target": "ok", "body": "", "sendAt": "2030-01-01T00:00:00Z"});
    let too_late = gateway.post("/messages", &key, &later).await;
    seen.note("sendMessage", 422, &too_late);
    let least = json!({"target": "ok", "body": ""});
    for replayed in [None, Some("true")] {
        let answer = gateway.post("/messages", &key, &least).await;
        seen.note("sendMessage", 202, &answer);
        let header = answer.headers.get("idempotent-replayed");
        assert_eq!(header.map(|value| value.to_str().unwrap()), replayed);
        assert_eq!(answer.headers["x-request-id"], "order-42");
    }
    let answer = gateway.post("/messages", &key, &transient).await;
    seen.note("sendMessage", 422, &answer);
    assert_eq!(answer.json()["type"], "/problems/key-reused");
    message["id"].as_str().unwrap().to_owned()
}

async fn messages_that_are_not(gateway: &RunningGateway, seen: &mut Seen) {
    let least = json!({"target": "ok", "body": ""});
    let json = [("content-type", "application/json")];
    let answer = gateway.call(Method::POST, "/messages", &json, "{").await;
    seen.note("sendMessage", 400, &answer);
    let key = [("idempotency-key", "")];
    let answer = gateway.post("/messages", &key, &least).await;
    seen.note("sendMessage", 400, &answer);
    let answer = gateway.post("/messages?dry=1", &[], &least).await;
    seen.note("sendMessage", 400, &answer);
    let html = [("accept", "text/html")];
    let answer = gateway.post("/messages", &html, &least).await;
    seen.note("sendMessage", 406, &answer);
    let large = json!({"target": "ok", "body": "x".repeat(65_537)});
    let answer = gateway.post("/messages", &[], &large).await;
    seen.note("sendMessage", 413, &answer);
    let text = [("content-type", "text/plain")];
    let answer = gateway
        .call(Method::POST, "/messages", &text, "Hello!")
        .await;
    seen.note("sendMessage", 415, &answer);
    let answer = gateway.call(Method::POST, "/messages", &[], "{}").await;
    seen.note("sendMessage", 415, &answer);
    let wrong = json!({"target": "", "body": "", "metadata": {"a": 1}, "tll": 3});
    let answer = gateway.post("/messages", &[], &wrong).await;
    seen.note("sendMessage", 422, &answer);
    assert_eq!(answer.json()["type"], "/problems/invalid-message");
}

async fn batches(gateway: &RunningGateway, seen: &mut Seen) {
    let path = "/messages/batch";
    let two = json!({"messages": [
        {"target": "ok", "body": "1"},
        {"target": "busy", "body": "2"},
    ]});
    let key = [("idempotency-key", "batch")];
    for _ in 0..2 {
        let answer = gateway.post(path, &key, &two).await;
        seen.note("sendBatch", 202, &answer);
    }
    let none = json!({"messages": []});
    seen.note("sendBatch", 422, &gateway.post(path, &[], &none).await);
    let answer = gateway
        .post(
            path,
            &key,
            &json!({"messages": [{"target": "ok", "body": ""}]}),
        )
        .await;
    seen.note("sendBatch", 422, &answer);
    let json = [("content-type", "application/json")];
    let answer = gateway.call(Method::POST, path, &json, "nonsense").await;
    seen.note("sendBatch", 400, &answer);
    let large = json!({"messages": [{"target": "ok", "body": "x".repeat(65_537)}]});
    seen.note("sendBatch", 413, &gateway.post(path, &[], &large).await);
    let text = [("content-type", "text/plain")];
    let answer = gateway.call(Method::POST, path, &text, "Hello!").await;
    seen.note("sendBatch", 415, &answer);
}

async fn messages_that_are_looked_at(gateway: &RunningGateway, seen: &mut Seen, id: &str) {
    let path = format!("/messages/{id}");
    seen.note("getMessage", 200, &gateway.get(&path).await);
    let nobody = "/messages/01930000-0000-7000-8000-000000000001";
    seen.note("getMessage", 404, &gateway.get(nobody).await);
    seen.note("getMessage", 404, &gateway.get("/messages/%ff").await);
    seen.note(
        "getMessage",
        400,
        &gateway.get(&format!("{path}?x=1")).await,
    );
    sip(gateway, seen, &path).await;

    let filter = "?status=succeeded&target=ok&from=sip:sipost@sandbox.invalid&limit=1";
    let answer = gateway.get(&format!("/messages{filter}")).await;
    seen.note("listMessages", 200, &answer);
    let cursor = answer.json()["data"][0]["id"].as_str().unwrap().to_owned();
    let answer = gateway.get(&format!("/messages?cursor={cursor}")).await;
    seen.note("listMessages", 200, &answer);
    for query in [
        "limit=0",
        "limit=501",
        "status=done",
        "cursor=x",
        "from=x",
        "x=1",
        "limit=1&limit=2",
    ] {
        let answer = gateway.get(&format!("/messages?{query}")).await;
        seen.note("listMessages", 400, &answer);
    }

    let soon = json!({"target": "ok", "body": "", "sendAt": in_a_day()});
    let answer = gateway.post("/messages", &[], &soon).await;
    seen.note("sendMessage", 202, &answer);
    assert_eq!(answer.json()["status"], "scheduled");
    let until = answer.json()["sendAt"].clone();
    let list = gateway.get("/messages?status=scheduled").await;
    seen.note("listMessages", 200, &list);
    let waiting = json!({"kind": "schedule", "until": until});
    assert_eq!(list.json()["data"][0]["waitingFor"], waiting);
    let path = answer.headers["location"].to_str().unwrap().to_owned();
    for status in [200, 409] {
        let answer = gateway.call(Method::DELETE, &path, &[], "").await;
        seen.note("cancelMessage", status, &answer);
        if status == 409 {
            assert_eq!(answer.json()["detail"], "the message was canceled already");
        }
    }
    let answer = gateway.call(Method::DELETE, nobody, &[], "").await;
    seen.note("cancelMessage", 404, &answer);
    let answer = gateway
        .call(Method::DELETE, &format!("{path}?x=1"), &[], "")
        .await;
    seen.note("cancelMessage", 400, &answer);
}

fn in_a_day() -> String {
    let now = Clock::system().now();
    now.plus(Duration::from_secs(86_400)).to_string()
}

async fn events(gateway: &RunningGateway, seen: &mut Seen, id: &str) {
    let path = format!("/messages/{id}/events");
    let answer = gateway.get(&path).await;
    seen.note("listMessageEvents", 200, &answer);
    let events = answer.json();
    let last = events["data"].as_array().unwrap().last().unwrap()["id"].clone();
    let stream = ("accept", "text/event-stream");
    let answer = gateway.call(Method::GET, &path, &[stream], "").await;
    seen.note("listMessageEvents", 200, &answer);
    let seen_all = [stream, ("last-event-id", last.as_str().unwrap())];
    let answer = gateway.call(Method::GET, &path, &seen_all, "").await;
    seen.note("listMessageEvents", 204, &answer);
    let html = [("accept", "text/html")];
    let answer = gateway.call(Method::GET, &path, &html, "").await;
    seen.note("listMessageEvents", 406, &answer);
    let nobody = "/messages/01930000-0000-7000-8000-000000000001/events";
    seen.note("listMessageEvents", 404, &gateway.get(nobody).await);
    let answer = gateway.get(&format!("{path}?x=1")).await;
    seen.note("listMessageEvents", 400, &answer);

    let filter = format!("type=failed,succeeded&messageId={id}&target=ok&after=earliest&limit=500");
    let answer = gateway.get(&format!("/events?{filter}")).await;
    seen.note("listEvents", 200, &answer);
    assert_eq!(answer.json()["data"].as_array().unwrap().len(), 1);
    let answer = gateway.get("/events?after=1-0000000000000001").await;
    seen.note("listEvents", 200, &answer);
    assert_eq!(answer.json()["gap"]["requested"], "1-0000000000000001");
    let answer = gateway.get("/events?before=latest&limit=1").await;
    seen.note("listEvents", 200, &answer);
    let newest = answer.json();
    assert_eq!(newest["nextCursor"], newest["data"][0]["id"]);
    let first = gateway.get("/events?before=1-0000000000000001").await;
    seen.note("listEvents", 200, &first);
    let cursor = first.json()["nextCursor"].as_str().unwrap().to_owned();
    assert!(cursor.ends_with("-0000000000000000"), "{cursor}");
    assert_eq!(first.json()["data"], json!([]));
    for headers in [&[stream][..], &[stream, ("last-event-id", "nonsense")]] {
        let answer = gateway.stream("/events", headers).await;
        seen.note("listEvents", 200, &answer);
    }
    let answer = gateway.call(Method::GET, "/events", &html, "").await;
    seen.note("listEvents", 406, &answer);
    let long = format!("type={}", ["failed"; 11].join(","));
    for query in [
        "type=ringing",
        &long,
        "after=x",
        "before=x",
        "before=latest&after=earliest",
        "before=latest&lastEventId=earliest",
        "messageId=x",
        "target=",
        "x=1",
    ] {
        let answer = gateway.get(&format!("/events?{query}")).await;
        seen.note("listEvents", 400, &answer);
    }
}

/// What `…/sip` of a message answers.
async fn sip(gateway: &RunningGateway, seen: &mut Seen, path: &str) {
    let path = format!("{path}/sip");
    let call = "getMessageSip";
    for form in sip_forms() {
        let accept = [("accept", form)];
        let answer = gateway.call(Method::GET, &path, &accept, "").await;
        seen.note(call, 200, &answer);
        let given = answer.headers["content-type"].to_str().unwrap();
        assert!(given.starts_with(form), "{given}");
    }
    let html = [("accept", "text/html")];
    let answer = gateway.call(Method::GET, &path, &html, "").await;
    seen.note(call, 406, &answer);
    seen.note(call, 400, &gateway.get(&format!("{path}?x=1")).await);
    let nobody = "/messages/01930000-0000-7000-8000-000000000001/sip";
    seen.note(call, 404, &gateway.get(nobody).await);
}

/// The media types that a trace is given as.
pub(crate) fn sip_forms() -> [&'static str; 3] {
    [
        "application/json",
        "application/vnd.tcpdump.pcap",
        "text/plain",
    ]
}

async fn agents(gateway: &RunningGateway, seen: &mut Seen) {
    let answer = gateway.get("/agents").await;
    seen.note("listAgents", 200, &answer);
    seen.note("listAgents", 400, &gateway.get("/agents?x=1").await);
    let list = answer.json();
    let path = format!("/agents/{}", list["data"][0]["id"].as_str().unwrap());
    seen.note("getAgent", 200, &gateway.get(&path).await);
    seen.note("getAgent", 404, &gateway.get("/agents/nobody-1").await);
    seen.note("getAgent", 400, &gateway.get(&format!("{path}?x=1")).await);
    let sip = format!("{path}/sip");
    let stream = [("accept", "text/event-stream")];
    let answer = gateway.beginning(&sip, &stream, 1).await;
    seen.note("followAgentSip", 200, &answer);
    let html = [("accept", "text/html")];
    let answer = gateway.call(Method::GET, &sip, &html, "").await;
    seen.note("followAgentSip", 406, &answer);
    seen.note(
        "followAgentSip",
        404,
        &gateway.get("/agents/nobody-1/sip").await,
    );
    seen.note(
        "followAgentSip",
        400,
        &gateway.get(&format!("{sip}?x=1")).await,
    );
    for (id, what) in [
        ("drainAgent", "drain"),
        ("resumeAgent", "resume"),
        ("reregisterAgent", "reregister"),
    ] {
        for (status, path) in [
            (202, format!("{path}/{what}")),
            (404, format!("/agents/nobody-1/{what}")),
            (400, format!("{path}/{what}?x=1")),
        ] {
            let answer = gateway.call(Method::POST, &path, &[], "").await;
            seen.note(id, status, &answer);
        }
    }
}

async fn operation(gateway: &RunningGateway, seen: &mut Seen) {
    seen.note("live", 200, &gateway.get("/livez").await);
    seen.note("ready", 200, &gateway.get("/readyz").await);
    seen.note("getPage", 400, &gateway.get("/?x=1").await);
    seen.note("getPage", 200, &gateway.get("/").await);
    seen.note("getMetrics", 400, &gateway.get("/metrics?x=1").await);
    seen.note("getMetrics", 200, &gateway.get("/metrics").await);
    seen.note("getPageFile", 200, &gateway.get("/page/main.js").await);
    seen.note("getPageFile", 200, &gateway.get("/page/style.css").await);
    seen.note("getPageFile", 404, &gateway.get("/page/page.html").await);
    seen.note("getIcon", 200, &gateway.get("/favicon.ico").await);
    let page = gateway.get("/docs").await;
    seen.note("getDocs", 200, &page);
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"),
        "{policy}"
    );
    let file = gateway.get("/docs/start.js").await;
    seen.note("getDocsFile", 200, &file);
    seen.note("getDocsFile", 200, &gateway.get("/docs/style.css").await);
    seen.note(
        "getDocsFile",
        200,
        &gateway.get("/docs/swagger-ui.css").await,
    );
    seen.note("getDocsFile", 404, &gateway.get("/docs/index.html").await);
    let yaml = gateway.get("/openapi.yaml").await;
    seen.note("getContractAsYaml", 200, &yaml);
    let json = gateway.get("/openapi.json").await;
    seen.note("getContractAsJson", 200, &json);
    let same: Value = serde_yaml_ng::from_str(&yaml.text()).unwrap();
    assert_eq!(json.json(), same);
    for kind in sipost::api::ProblemType::ALL {
        let answer = gateway.get(&kind.uri()).await;
        seen.note("getProblemType", 200, &answer);
    }
    let answer = gateway.get("/problems/nonsense").await;
    seen.note("getProblemType", 404, &answer);
}
