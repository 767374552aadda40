//! A client of a running gateway, for `send` and `tail`.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header;
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::lines::printable;
use crate::config;
use crate::config::is_this_machine;

/// The address of the gateway, and the token.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ConnectionArguments {
    /// Where the gateway listens.
    #[arg(
        long,
        env = "SIPOST_URL",
        default_value = "http://127.0.0.1:8080",
        value_name = "URL",
        value_parser = parse_url
    )]
    pub(super) url: Url,

    /// The token to show, where the gateway asks for one. Better given by the variable, which other
    /// users of this machine do not see.
    #[arg(
        long,
        env = "SIPOST_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    pub(super) token: Option<String>,
}

/// Why a request failed, in one sentence.
#[derive(Debug, thiserror::Error)]
#[error("{sentence}")]
pub(super) struct Trouble {
    sentence: String,
    /// Whether trying again later may help.
    pub(super) may_pass: bool,
}

impl Trouble {
    pub(super) fn lasting(sentence: impl ToString) -> Self {
        Self {
            sentence: sentence.to_string(),
            may_pass: false,
        }
    }
}

/// RFC 9457, as far as it is printed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ProblemBody {
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

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The largest answer taken, other than a stream. Ours stay far below.
const MAX_ANSWER: usize = 4 << 20;

/// How long a stream may say nothing. The gateway's heartbeat comes far sooner.
const SILENCE: Duration = Duration::from_secs(60);

impl GatewayClient {
    pub(super) fn new(connection: &ConnectionArguments) -> Result<Self, Trouble> {
        let base = connection.url.clone();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("sipost/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(SILENCE)
            .redirect(reqwest::redirect::Policy::none())
            .tls_backend_preconfigured(tls(base.scheme() == "https")?);
        if is_this_machine(&base) {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(Trouble::lasting)?;
        Ok(Self {
            http,
            base,
            token: connection.token.clone(),
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
        let response = self.ask(request).await?;
        let bytes = read(response)
            .await
            .map_err(|reason| self.foreign(&reason))?;
        let accepted = serde_json::from_slice(&bytes);
        accepted.map_err(|error| self.foreign(&error.to_string()))
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

    /// A resource as this media type; `None` when it is not there.
    pub(super) async fn text(
        &self,
        path: &[&str],
        accept: &str,
    ) -> Result<Option<String>, Trouble> {
        let mut url = self.base.clone();
        // It has a host, so it has a path.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let request = self.http.get(url).header(header::ACCEPT, accept);
        let response = self.send(request).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let response = self.granted(response).await?;
        let bytes = read(response)
            .await
            .map_err(|reason| self.foreign(&reason))?;
        let text = String::from_utf8(bytes);
        text.map(Some)
            .map_err(|error| self.foreign(&error.to_string()))
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
        })
    }

    async fn granted(&self, response: Response) -> Result<Response, Trouble> {
        match response.status() {
            status if status.is_success() => Ok(response),
            status => Err(self.refusal(status, response).await),
        }
    }

    async fn refusal(&self, status: StatusCode, response: Response) -> Trouble {
        let bytes = read(response).await.unwrap_or_default();
        let Ok(problem) = serde_json::from_slice::<ProblemBody>(&bytes) else {
            return self.foreign(&format!("it answers {status}"));
        };
        let sentence = sentence(&problem, status);
        Trouble {
            sentence,
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
        }
    }
}

/// The whole body of an answer, within [`MAX_ANSWER`].
async fn read(mut response: Response) -> Result<Vec<u8>, String> {
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
fn sentence(problem: &ProblemBody, status: StatusCode) -> String {
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
        (true, Some(detail)) => format!("{title}: {detail}"),
        (true, None) => title,
    };
    printable(&text)
}

/// The reason in words for a person.
fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it takes too long".to_owned();
    }
    let reason = innermost(error);
    printable(reason.split(" (os error").next().unwrap_or_default())
}

/// The innermost source of an error, which a person can act on.
pub(super) fn innermost(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// `http://host:port`; without a scheme, plain HTTP is meant.
fn parse_url(text: &str) -> Result<Url, String> {
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

/// TLS with the provider we have; the system's roots are read only where they are needed.
fn tls(needed: bool) -> Result<rustls::ClientConfig, Trouble> {
    let mut roots = rustls::RootCertStore::empty();
    if needed {
        let found = rustls_native_certs::load_native_certs();
        let (added, _) = roots.add_parsable_certificates(found.certs);
        if added == 0 {
            let sentence = "this machine has no root certificates to check the gateway's with";
            return Err(Trouble::lasting(sentence));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Trouble::lasting)?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
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
    fn a_gateway_may_live_below_a_path() {
        let connection = ConnectionArguments {
            url: parse_url("https://a.example/sipost/").unwrap(),
            token: None,
        };
        let client = GatewayClient {
            http: reqwest::Client::builder()
                .tls_backend_preconfigured(tls(false).unwrap())
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
