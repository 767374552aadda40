//! A client of a running gateway, for the commands that ask one.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::header;
use reqwest::{Method, Response, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::style::printable;
use crate::config;
use crate::message::without_os_error;

/// Where a gateway listens by default. An empty variable counts as not set.
const DEFAULT_URL: &str = "http://127.0.0.1:8080";

/// The address of the gateway, and the token.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ConnectionArguments {
    /// Where the gateway listens.
    #[arg(
        long,
        global = true,
        env = "SIPOST_URL",
        default_value = DEFAULT_URL,
        value_name = "URL",
        value_parser = |text: &str| parse_url(if text.is_empty() { DEFAULT_URL } else { text })
    )]
    pub(super) url: Url,

    /// The token to show, where the gateway asks for one. Better given by the variable, which other
    /// users of this machine do not see.
    #[arg(
        long,
        global = true,
        env = "SIPOST_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    pub(super) token: Option<String>,

    /// Certificates (PEM) to trust for https in addition to those of the system.
    #[arg(
        long,
        global = true,
        env = "SIPOST_CACERT",
        value_name = "FILE",
        value_parser = super::path_or_none()
    )]
    pub(super) cacert: Option<PathBuf>,
}

/// Why a request failed, in one sentence.
#[derive(Debug, thiserror::Error)]
#[error("{sentence}")]
pub(super) struct Trouble {
    sentence: String,
    /// Whether trying again later may help.
    pub(super) may_pass: bool,
    /// Of the gateway's answer, where there was one.
    pub(super) status: Option<StatusCode>,
}

impl Trouble {
    pub(super) fn lasting(sentence: impl ToString) -> Self {
        Self {
            sentence: sentence.to_string(),
            may_pass: false,
            status: None,
        }
    }
}

/// RFC 9457, as far as it is printed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ProblemBody {
    title: String,
    detail: Option<String>,
    errors: Vec<ProblemError>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ProblemError {
    pointer: String,
    detail: String,
}

/// The connections of one command to one gateway.
#[derive(Clone, Debug)]
pub(super) struct GatewayClient {
    http: reqwest::Client,
    base: Url,
    token: Option<String>,
}

/// The largest answer taken, other than a stream. Ours stay far below.
const MAX_ANSWER: usize = 4 << 20;

/// Entries of a page, as the gateway gives them at most.
const MAX_PAGE: usize = 500;

/// How long a stream may say nothing. The gateway's heartbeat comes far sooner.
const SILENCE: Duration = Duration::from_secs(60);

impl GatewayClient {
    pub(super) fn new(connection: &ConnectionArguments) -> Result<Self, Trouble> {
        let base = connection.url.clone();
        let http = super::http::client(&base, connection.cacert.as_deref())?
            .read_timeout(SILENCE)
            .build()
            .map_err(Trouble::lasting)?;
        Ok(Self {
            http,
            base,
            // An empty variable counts as not set, as everywhere.
            token: connection.token.clone().filter(|token| !token.is_empty()),
        })
    }

    /// Posts a message; returns it as it was accepted.
    pub(super) async fn post(
        &self,
        message: &Value,
        idempotency_key: Option<&str>,
    ) -> Result<Value, Trouble> {
        let mut request = self.http.post(self.at("/messages")).json(message);
        if let Some(key) = idempotency_key {
            request = request.header("Idempotency-Key", key);
        }
        self.json(request).await
    }

    /// Asks for a resource, or tells it something; returns the answer, null for an empty one.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<Value, Trouble> {
        let mut url = self.at(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.http.request(method, url);
        if let Some(body) = body {
            request = request.json(body);
        }
        self.json(request).await
    }

    pub(super) async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Value, Trouble> {
        self.call(Method::GET, path, query, None).await
    }

    /// The first `count` entries of a list, from as many pages as that takes.
    pub(super) async fn list(
        &self,
        path: &str,
        query: &[(&str, String)],
        count: usize,
    ) -> Result<Vec<Value>, Trouble> {
        let (mut entries, mut cursor) = (Vec::new(), None::<String>);
        while entries.len() < count {
            let mut query = query.to_vec();
            let limit = (count - entries.len()).min(MAX_PAGE);
            query.push(("limit", limit.to_string()));
            query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
            let mut page = self.get(path, &query).await?;
            if let Some(data) = page["data"].as_array_mut() {
                entries.append(data);
            }
            cursor = page["nextCursor"].as_str().map(str::to_owned);
            if cursor.is_none() {
                break;
            }
        }
        Ok(entries)
    }

    async fn json(&self, request: reqwest::RequestBuilder) -> Result<Value, Trouble> {
        let response = self.ask(request).await?;
        let bytes = read(response)
            .await
            .map_err(|reason| self.foreign(&reason))?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|error| self.foreign(&error.to_string()))
    }

    /// Opens an event stream; `None` when it has ended for good.
    pub(super) async fn stream(
        &self,
        path: &str,
        query: &[(&str, String)],
        last_id: Option<&str>,
    ) -> Result<Option<Response>, Trouble> {
        let mut url = self.at(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self
            .http
            .get(url)
            .header(header::ACCEPT, "text/event-stream");
        if let Some(id) = last_id {
            request = request.header("Last-Event-ID", id);
        }
        let response = self.ask(request).await?;
        if response.status() == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        let kind = response.headers().get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if kind.starts_with("text/event-stream") {
            Ok(Some(response))
        } else {
            Err(self.foreign(&format!("it sends {kind:?} and no event stream")))
        }
    }

    /// A resource as this media type.
    pub(super) async fn text(&self, path: &[&str], accept: &str) -> Result<String, Trouble> {
        let mut url = self.base.clone();
        // It has a host, so it has a path.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let request = self.http.get(url).header(header::ACCEPT, accept);
        let response = self.ask(request).await?;
        let bytes = read(response)
            .await
            .map_err(|reason| self.foreign(&reason))?;
        String::from_utf8(bytes).map_err(|error| self.foreign(&error.to_string()))
    }

    /// The address of a resource.
    pub(super) fn at(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        let below = format!("{}{path}", url.path().trim_end_matches('/'));
        url.set_path(&below);
        url
    }

    async fn ask(&self, request: reqwest::RequestBuilder) -> Result<Response, Trouble> {
        let response = self.send(request).await?;
        self.granted(response).await
    }

    async fn send(&self, mut request: reqwest::RequestBuilder) -> Result<Response, Trouble> {
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        request.send().await.map_err(|error| Trouble {
            sentence: format!(
                "nothing answers at {}: {}; is `sipost serve` running there? (--url or SIPOST_URL \
                 says where to look)",
                shown(&self.base),
                reason(&error)
            ),
            may_pass: true,
            status: None,
        })
    }

    async fn granted(&self, response: Response) -> Result<Response, Trouble> {
        match response.status() {
            status if status.is_success() => Ok(response),
            status => Err(self.refusal(status, response).await),
        }
    }

    async fn refusal(&self, status: StatusCode, response: Response) -> Trouble {
        let again = response.headers().get(header::RETRY_AFTER);
        let again = again.and_then(|after| after.to_str().ok()?.parse::<u64>().ok());
        let bytes = read(response).await.unwrap_or_default();
        let Ok(problem) = serde_json::from_slice::<ProblemBody>(&bytes) else {
            return self.foreign(&format!("it answers {status}"));
        };
        let mut sentence = sentence(&problem, status);
        if let Some(seconds) = again {
            sentence.push_str(&format!(" (Retry-After: {seconds} s)"));
        }
        let below = self.base.path();
        if status == StatusCode::NOT_FOUND && below != "/" {
            sentence.push_str(&format!(" (the URL of the gateway has the path {below})"));
        }
        if status == StatusCode::UNAUTHORIZED {
            sentence.push_str(match self.token {
                Some(_) => "; the token is that of --token or SIPOST_TOKEN",
                None => "; give it one with --token or SIPOST_TOKEN",
            });
        }
        Trouble {
            sentence,
            status: Some(status),
            may_pass: status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS,
        }
    }

    /// Another server answers; a proxy may, while the gateway restarts.
    fn foreign(&self, reason: &str) -> Trouble {
        let reason = printable(reason);
        Trouble {
            sentence: format!(
                "what answers at {} is not sipost: {reason}",
                shown(&self.base)
            ),
            may_pass: true,
            status: None,
        }
    }
}

/// The whole body of an answer, within [`MAX_ANSWER`].
pub(super) async fn read(mut response: Response) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| reason(&error))? {
        if bytes.len() + chunk.len() > MAX_ANSWER {
            return Err(format!("its answer has more than {MAX_ANSWER} bytes"));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// A URL for people, without what may be a password in it.
pub(super) fn shown(url: &Url) -> String {
    config::masked(url.as_str())
}

/// `The message cannot be sent: /target: …; /ttl: …`
pub(super) fn sentence(problem: &ProblemBody, status: StatusCode) -> String {
    let violations: Vec<String> = problem
        .errors
        .iter()
        .map(|error| format!("{}: {}", error.pointer, error.detail))
        .collect();
    let title = if problem.title.is_empty() {
        status.to_string()
    } else {
        problem.title.clone()
    };
    let text = match (violations.is_empty(), &problem.detail) {
        (false, _) => format!("{title}: {}", violations.join("; ")),
        // A title that the detail begins with is not repeated.
        (true, Some(detail)) => match detail.split_at_checked(title.len()) {
            Some((first, rest)) if first.eq_ignore_ascii_case(&title) => format!("{title}{rest}"),
            _ => format!("{title}: {detail}"),
        },
        (true, None) => title,
    };
    printable(&text)
}

/// The reason in words for a person.
pub(super) fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it takes too long".to_owned();
    }
    printable(&without_os_error(innermost(error)))
}

/// The innermost source of an error, which a person can act on.
fn innermost(error: &reqwest::Error) -> &dyn std::error::Error {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost
}

/// `http://host:port`; without a scheme, plain HTTP is meant.
pub(super) fn parse_url(text: &str) -> Result<Url, String> {
    let whole = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let url = Url::parse(&whole).map_err(|error| error.to_string())?;
    let fits = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.query().is_none()
        && url.fragment().is_none();
    if fits {
        Ok(url)
    } else {
        Err("an http or https URL, such as http://127.0.0.1:8080".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_http_or_https_and_plain_http_when_it_does_not_say() {
        let url = |text: &str| parse_url(text).map(|url| url.to_string());
        assert_eq!(
            url("localhost:8080").as_deref(),
            Ok("http://localhost:8080/")
        );
        assert_eq!(
            url("https://a.example/sipost").as_deref(),
            Ok("https://a.example/sipost")
        );
        for text in ["", "ftp://a", "http://", "http://a/?b", "http://a/#b"] {
            assert!(url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_detail_that_repeats_the_title_is_left_out() {
        let said = |detail: &str| {
            let problem = ProblemBody {
                title: "The gateway is stopping".to_owned(),
                detail: Some(detail.to_owned()),
                ..ProblemBody::default()
            };
            sentence(&problem, StatusCode::SERVICE_UNAVAILABLE)
        };
        assert_eq!(said("the gateway is stopping"), "The gateway is stopping");
        assert_eq!(said("soon"), "The gateway is stopping: soon");
        let more = "the gateway is stopping: later";
        assert_eq!(said(more), "The gateway is stopping: later");
    }

    #[test]
    fn a_gateway_may_live_below_a_path() {
        let connection = ConnectionArguments {
            url: parse_url("https://a.example/sipost/").unwrap(),
            token: None,
            cacert: None,
        };
        let client = GatewayClient {
            http: reqwest::Client::builder()
                .tls_backend_preconfigured(
                    super::super::http::tls(&parse_url("a.example").unwrap(), None).unwrap(),
                )
                .build()
                .unwrap(),
            base: connection.url,
            token: connection.token,
        };
        assert_eq!(
            client.at("/messages").as_str(),
            "https://a.example/sipost/messages"
        );
    }

    #[test]
    fn a_problem_is_told_in_one_sentence() {
        let problem: ProblemBody = serde_json::from_value(serde_json::json!({
            "type": "/problems/invalid-message", "title": "The message cannot be sent",
            "status": 422, "detail": "two members are wrong",
            "errors": [
                {"pointer": "/target", "detail": "not a SIP URI\u{1b}[2J"},
                {"pointer": "/ttl", "detail": "seconds, 1 to 604800"},
            ],
        }))
        .unwrap();
        assert_eq!(
            sentence(&problem, StatusCode::UNPROCESSABLE_ENTITY),
            "The message cannot be sent: /target: not a SIP URI�[2J; /ttl: seconds, 1 to 604800"
        );
        assert_eq!(
            sentence(&ProblemBody::default(), StatusCode::BAD_REQUEST),
            "400 Bad Request"
        );
    }
}
