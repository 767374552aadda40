//! `GET /metrics`: each figure after traffic that is known.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use super::Watched;
use super::in_an_hour;
use super::soon;

/// A page of figures, read as OpenMetrics 1.0 says it is written.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// Type and unit of each family.
    pub(super) families: BTreeMap<String, Family>,
    /// Every sample with its labels as they are written.
    samples: BTreeMap<String, f64>,
}

#[derive(Debug, Default)]
pub(super) struct Family {
    kind: String,
    unit: String,
    help: String,
}

impl Page {
    pub(super) async fn of(watched: &Watched) -> Self {
        let request = watched.request(Method::GET, "/metrics");
        let request = request.header("Accept", "application/openmetrics-text;version=1.0.0");
        let answer = soon(request.send()).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(
            answer.headers()["content-type"],
            "application/openmetrics-text; version=1.0.0; charset=utf-8"
        );
        Self::read(&soon(answer.text()).await.unwrap())
    }

    fn read(text: &str) -> Self {
        let mut page = Self::default();
        let text = text.strip_suffix("# EOF\n").unwrap();
        for line in text.lines() {
            if let Some(comment) = line.strip_prefix("# ") {
                let (word, rest) = comment.split_once(' ').unwrap();
                let (name, value) = rest.split_once(' ').unwrap();
                let family = page.families.entry(name.to_owned()).or_default();
                let field = match word {
                    "HELP" => &mut family.help,
                    "TYPE" => &mut family.kind,
                    "UNIT" => &mut family.unit,
                    _ => panic!("{line}"),
                };
                assert!(field.is_empty(), "said twice: {line}");
                value.clone_into(field);
            } else {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let before = page
                    .samples
                    .insert(series.to_owned(), value.parse().unwrap());
                assert!(before.is_none(), "twice: {line}");
                let name = series.split('{').next().unwrap();
                assert!(page.family_of(name).is_some(), "of no family: {line}");
            }
        }
        page
    }

    /// The family that a sample of this name belongs to.
    pub(super) fn family_of(&self, name: &str) -> Option<&str> {
        self.families
            .iter()
            .find(|(family, told)| {
                let suffixes: &[&str] = match told.kind.as_str() {
                    "counter" => &["_total"],
                    "gauge" => &[""],
                    "histogram" => &["_bucket", "_sum", "_count"],
                    "info" => &["_info"],
                    other => panic!("{other}"),
                };
                let rest = name.strip_prefix(family.as_str());
                rest.is_some_and(|rest| suffixes.contains(&rest))
            })
            .map(|(family, _)| family.as_str())
    }

    fn value(&self, series: &str) -> f64 {
        *self
            .samples
            .get(series)
            .unwrap_or_else(|| panic!("{series} is not there: {:#?}", self.samples))
    }

    /// The sum of every series of this name.
    fn sum(&self, name: &str) -> f64 {
        let of_name = |series: &&str| series.split('{').next() == Some(name);
        let series = self.samples.keys().map(String::as_str).filter(of_name);
        series.map(|series| self.value(series)).sum()
    }
}

#[tokio::test]
async fn every_figure_is_right_after_traffic_that_is_known() {
    let watched = Watched::open("").await;
    for target in ["ok", "ok", "accepted", "busy", "decline"] {
        watched.send(target).await;
    }
    let refused = watched.request(Method::POST, "/messages").json(&json!({}));
    assert_eq!(soon(refused.send()).await.unwrap().status(), 422);
    let nothing = watched.request(Method::GET, "/nothing").send();
    assert_eq!(soon(nothing).await.unwrap().status(), 404);
    // One that is being sent, two behind it, and one whose time has not come.
    for _ in 0..3 {
        watched
            .post(json!({"target": "silent", "body": "Hello"}))
            .await;
    }
    let later = json!({"target": "ok", "body": "Hello", "sendAt": in_an_hour()});
    watched.post(later).await;
    let stream = watched
        .request(Method::GET, "/events")
        .header("Accept", "text/event-stream");
    let stream = soon(stream.send()).await.unwrap();

    let page = Page::of(&watched).await;

    assert_eq!(page.value("sipost_messages_accepted_total"), 9.0);
    let finished = |result, cause| {
        let labels = format!("{{result=\"{result}\",cause=\"{cause}\"}}");
        page.value(&format!("sipost_messages_finished_total{labels}"))
    };
    assert_eq!(finished("succeeded", ""), 3.0);
    assert_eq!(finished("failed", "Busy"), 1.0);
    assert_eq!(finished("failed", "Rejected"), 1.0);
    assert_eq!(finished("failed", "Expires"), 0.0);
    assert_eq!(page.sum("sipost_messages_finished_total"), 5.0);
    assert_eq!(page.value("sipost_message_seconds_count"), 5.0);
    assert!(page.value("sipost_message_seconds_sum") < 300.0);
    assert_eq!(page.value("sipost_messages_scheduled"), 1.0);
    assert_eq!(page.value("sipost_messages_queued"), 2.0);
    assert_eq!(page.value("sipost_messages_sending"), 1.0);
    assert!(page.value("sipost_message_oldest_queued_seconds") >= 0.0);

    for (code, count) in [("200", 2.0), ("202", 1.0), ("486", 1.0), ("603", 1.0)] {
        let series = format!("sipost_sip_responses_total{{code=\"{code}\"}}");
        assert_eq!(page.value(&series), count, "{code}");
    }
    assert_eq!(page.sum("sipost_sip_responses_total"), 5.0);
    assert_eq!(page.value("sipost_sip_unanswered_total"), 0.0);
    assert_eq!(page.value("sipost_sip_transaction_seconds_count"), 5.0);
    assert_eq!(page.sum("sipost_agents"), 2.0);
    assert!(page.value("sipost_agents{state=\"registered\"}") >= 1.0);
    assert_eq!(page.value("sipost_reconnects_total"), 0.0);

    assert_eq!(page.value("sipost_sse_connections"), 1.0);
    let http = |route, method, status| {
        let labels = format!("{{route=\"{route}\",method=\"{method}\",status=\"{status}\"}}");
        page.value(&format!("sipost_http_requests_total{labels}"))
    };
    assert_eq!(http("/messages", "POST", "200"), 5.0);
    assert_eq!(http("/messages", "POST", "202"), 4.0);
    assert_eq!(http("/messages", "POST", "422"), 1.0);
    assert_eq!(http("/events", "GET", "200"), 1.0);
    assert_eq!(http("none", "GET", "404"), 1.0);
    let times = "sipost_http_request_seconds_count{route=\"/messages\",method=\"POST\"}";
    assert_eq!(page.value(times), 10.0);

    // A commit for each message and one for its end, and more may share one.
    let commits = page.value("sipost_store_commit_seconds_count");
    assert!(commits >= 10.0, "{commits}");
    assert_eq!(page.value("sipost_store_batch_size_count"), commits);
    assert_eq!(page.value("sipost_store_commits_failed_total"), 0.0);
    let version = env!("CARGO_PKG_VERSION");
    let info = format!("sipost_build_info{{version=\"{version}\"}}");
    assert_eq!(page.value(&info), 1.0);
    drop(stream);
    // Messages in flight to a peer that never answers are not waited for.
    drop(watched);
}

#[tokio::test]
async fn webhooks_are_counted_by_how_they_do() {
    let watched = Watched::open("webhooks.allowed_networks = ['127.0.0.0/8']").await;
    for (port, is_enabled) in [(1, true), (2, false)] {
        // No program listens there.
        let url = format!("http://127.0.0.1:{port}/");
        let webhook = json!({"url": url, "enabled": is_enabled});
        let create = watched.request(Method::POST, "/webhooks").json(&webhook);
        assert_eq!(soon(create.send()).await.unwrap().status(), 201);
    }
    watched.send("ok").await;
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    let counted = async {
        loop {
            ticks.tick().await;
            let page = Page::of(&watched).await;
            let of = |state| page.value(&format!("sipost_webhooks{{state=\"{state}\"}}"));
            if (of("enabled"), of("failing"), of("disabled")) == (0.0, 1.0, 1.0) {
                return page;
            }
        }
    };
    let page = soon(counted).await;
    let unanswered = page.value("sipost_webhook_attempts_total{outcome=\"unanswered\"}");
    assert!(unanswered >= 1.0, "{unanswered}");
    watched.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_ask_for_openmetrics_gets_the_classic_text_format() {
    let watched = Watched::open("").await;
    watched.send("ok").await;
    let answer = soon(watched.request(Method::GET, "/metrics").send()).await;
    let answer = answer.unwrap();
    assert_eq!(answer.headers()["vary"], "accept");
    let media_type = &answer.headers()["content-type"];
    assert_eq!(media_type, "text/plain; version=0.0.4; charset=utf-8");
    let text = soon(answer.text()).await.unwrap();
    let mut families = BTreeMap::new();
    for line in text.lines() {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            let (name, kind) = family.split_once(' ').unwrap();
            let told_twice = families.insert(name.to_owned(), kind.to_owned());
            assert_eq!(told_twice, None, "{line}");
        } else if let Some(help) = line.strip_prefix("# ") {
            assert!(help.starts_with("HELP "), "not of this format: {line}");
        } else {
            let name = line.split(['{', ' ']).next().unwrap();
            let family = families.iter().find(|(family, kind)| match kind.as_str() {
                "counter" | "gauge" => name == family.as_str(),
                "histogram" => ["_bucket", "_sum", "_count"]
                    .iter()
                    .any(|suffix| name.strip_suffix(suffix) == Some(family.as_str())),
                other => panic!("{other} is not a type of this format"),
            });
            assert!(family.is_some(), "of no family: {line}");
        }
    }
    assert_eq!(families["sipost_messages_accepted_total"], "counter");
    assert_eq!(families["sipost_build_info"], "gauge");
    assert!(
        text.contains("\nsipost_messages_accepted_total 1\n"),
        "{text}"
    );
    watched.stop().await;
}

#[tokio::test]
async fn the_page_is_what_openmetrics_says_it_is() {
    let watched = Watched::open("").await;
    watched.send("ok").await;
    let page = Page::of(&watched).await;
    for (name, family) in &page.families {
        assert!(!family.help.is_empty() && !family.kind.is_empty(), "{name}");
        let has_unit = family.unit.is_empty() || name.ends_with(&format!("_{}", family.unit));
        assert!(has_unit, "{name} is in {}", family.unit);
        let base = ["seconds", "bytes", ""].contains(&family.unit.as_str());
        assert!(base, "{name} is not in a base unit: {}", family.unit);
        let told = name.ends_with("_seconds") || name.ends_with("_bytes");
        assert_eq!(told, !family.unit.is_empty(), "{name}");
    }
    // The buckets of a series rise to its count.
    let mut most: BTreeMap<String, f64> = BTreeMap::new();
    for (series, value) in &page.samples {
        let Some((name, labels)) = series.split_once("_bucket{le=\"") else {
            continue;
        };
        let (bound, rest) = labels.split_once('"').unwrap();
        let rest = rest.trim_start_matches(',').trim_end_matches('}');
        let labels = if rest.is_empty() {
            String::new()
        } else {
            format!("{{{rest}}}")
        };
        let count = page.value(&format!("{name}_count{labels}"));
        assert!(*value <= count, "{series}");
        assert!(bound != "+Inf" || *value == count, "{series}");
        let largest = most.entry(format!("{name}{labels}")).or_default();
        *largest = largest.max(*value);
    }
    assert!(most.len() >= 5, "{most:?}");
    watched.stop().await;
}
