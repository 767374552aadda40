//! Outbound HTTP: one POST, to an address that was checked.
//!
//! Names are looked up here and nowhere else. Every address of every answer is checked before a
//! connection is opened, and the connection goes to one of those that were checked, so a name that
//! changes in between changes nothing. One address too many refuses them all.

mod keep_alive;

use std::collections::HashMap;
use std::error::Error;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use rustls::ClientConfig;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::guard::{AddressGuard, AddressRefused};
use super::secrets::{SigningSecret, seconds};
use crate::clock;
use crate::message::{EventKind, MessageId, Timestamp, Trace, without_os_error};
use crate::store::WebhookHealth;
use keep_alive::{GiveUp, IDLE, KeepAlive, POST};

/// Bytes of a response that are kept.
const FIRST_BYTES: usize = 256;
/// Bytes of a response that are read, so that its connection can be used again; of a longer one the
/// connection is closed.
const MAX_ANSWER: usize = 16 * 1024;

/// Looks names up.
pub trait Resolver: Send + Sync + 'static {
    /// Every address of this name.
    fn resolve(&self, name: String) -> Lookup;
}

/// The answer to a look-up.
pub type Lookup = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// The resolver of this machine.
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn resolve(&self, name: String) -> Lookup {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
#[error("the client for webhooks cannot be made: {0}")]
pub struct ClientError(reqwest::Error);

/// Posts. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Client {
    /// Keeps connections for the next post.
    keeping: reqwest::Client,
    /// Keeps none.
    closing: reqwest::Client,
    keep_alive: Arc<KeepAlive>,
    guard: Arc<AddressGuard>,
    timeout: Duration,
    secrets: Arc<TokenSecrets>,
}

/// The secrets of tokens, by their names: they sign the posts of the messages of these tokens.
pub type TokenSecrets = HashMap<String, Vec<SigningSecret>>;

/// An event on its way.
pub(super) struct Post<'a> {
    pub(super) url: &'a Url,
    pub(super) id: &'a str,
    /// When this attempt begins.
    pub(super) at: Timestamp,
    /// One or two, with a space between them.
    pub(super) signatures: &'a str,
    pub(super) body: Bytes,
    pub(super) part_of: Option<PartOf>,
}

/// The result of a POST.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PostResult {
    Answered {
        status: u16,
        /// Its first bytes; others than UTF-8 are replaced.
        first: String,
        /// When the endpoint asks to be tried again, if it does.
        retry_after: Option<Duration>,
    },
    /// None, for this reason.
    Silent(String),
}

/// Sees how posts go: counts and traces them.
pub trait Observer: Send + Sync {
    /// A post begins that is part of a trace. Returns the trace for its `traceparent`.
    fn posting(&self, part_of: &PartOf) -> Trace {
        part_of.trace
    }

    fn attempted(&self, _posted: &Posted<'_>) {}

    /// The number of deliveries that have not ended.
    fn pending(&self, _count: u64) {}

    /// How the standing webhooks do.
    fn health(&self, _health: WebhookHealth) {}
}

impl Observer for () {}

/// The place of a post in a trace.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PartOf {
    /// The trace of its message.
    pub trace: Trace,
    pub message: MessageId,
    /// The type of the event that is posted.
    pub kind: EventKind,
    /// The attempt that the event belongs to; 0 when none was begun.
    pub attempt: u32,
}

/// An attempt to post that ended.
#[derive(Clone, Copy, Debug)]
pub struct Posted<'a> {
    /// Where to. Its path and its query may be secrets.
    pub url: &'a Url,
    pub id: &'a str,
    /// What came back; `Silent` when nothing did.
    pub answer: &'a PostResult,
    /// How long it took.
    pub took: Duration,
    /// What it was part of, and the trace in its `traceparent`.
    pub part_of: Option<(PartOf, Trace)>,
}

impl Client {
    /// A client that posts to what `guard` allows, waits for each answer for `timeout`, and keeps
    /// `max_idle` connections for further posts.
    pub fn new(
        guard: AddressGuard,
        resolver: impl Resolver,
        tls: &ClientConfig,
        timeout: Duration,
        max_idle: usize,
    ) -> Result<Self, ClientError> {
        let guard = Arc::new(guard);
        let guarded = Arc::new(Guarded {
            guard: guard.clone(),
            resolver: Arc::new(resolver),
        });
        let client = |max_idle| http(guarded.clone(), tls, timeout, max_idle);
        Ok(Self {
            keeping: client(max_idle)?,
            closing: client(0)?,
            keep_alive: KeepAlive::new(max_idle),
            guard,
            timeout,
            secrets: Arc::default(),
        })
    }

    /// The same with these secrets.
    #[must_use]
    pub fn with_secrets(self, secrets: TokenSecrets) -> Self {
        Self {
            secrets: Arc::new(secrets),
            ..self
        }
    }

    /// The secrets of tokens.
    pub(super) fn secrets(&self) -> &TokenSecrets {
        &self.secrets
    }

    /// What may be posted to.
    pub(super) fn guard(&self) -> &AddressGuard {
        &self.guard
    }

    /// Posts once, and waits for the response until the time limit. `trace` is its `traceparent`.
    pub(super) async fn post(
        &self,
        post: Post<'_>,
        trace: Option<Trace>,
        now: Timestamp,
    ) -> PostResult {
        // An address in place of a name is not looked up, so it is checked here.
        if let Err(refusal) = self.guard.check_host(post.url) {
            return PostResult::Silent(refusal.to_string());
        }
        let deadline = Instant::from_std(clock::now() + self.timeout);
        let keeps = self.keep_alive.begin(post.url.origin(), Instant::now());
        let http = match &keeps {
            Some(_) => &self.keeping,
            None => &self.closing,
        };
        let over = CancellationToken::new();
        let _is_over = over.clone().drop_guard();
        let mut request = http
            .post(post.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", post.id)
            .header("webhook-timestamp", seconds(post.at))
            .header("webhook-signature", post.signatures)
            .body(post.body);
        if let Some(trace) = trace {
            request = request.header("traceparent", trace.to_string());
        }
        let sending = POST.scope(over, request.send());
        let response = match tokio::time::timeout_at(deadline, sending).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return PostResult::Silent(reason(&error)),
            Err(_) => return PostResult::Silent(format!("no answer within {:?}", self.timeout)),
        };
        let status = response.status().as_u16();
        let retry_after = response.headers().get(RETRY_AFTER);
        let retry_after = retry_after
            .and_then(|value| value.to_str().ok())
            .and_then(|text| delay(text, now));
        let mut first = Vec::new();
        // The status has told what there is to know; the rest may be missing.
        let _ = tokio::time::timeout_at(deadline, read(response, &mut first)).await;
        PostResult::Answered {
            status,
            first: String::from_utf8_lossy(&first).into_owned(),
            retry_after,
        }
    }
}

fn http(
    resolver: Arc<impl Resolve + 'static>,
    tls: &ClientConfig,
    timeout: Duration,
    max_idle: usize,
) -> Result<reqwest::Client, ClientError> {
    reqwest::Client::builder()
        .user_agent(concat!("sipost/", env!("CARGO_PKG_VERSION")))
        // A proxy would look names up itself, and connect to addresses that were not checked.
        .no_proxy()
        // A redirect leads wherever the endpoint likes.
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .dns_resolver(resolver)
        // What RFC 9112 §5 lets a recipient take: folded lines, blanks before a colon, and a
        // line that is no header at all, which says nothing of the status.
        .http1_allow_obsolete_multiline_headers_in_responses(true)
        .http1_allow_spaces_after_header_name_in_responses(true)
        .http1_ignore_invalid_headers_in_responses(true)
        .connect_timeout(timeout)
        .connector_layer(GiveUp)
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(max_idle)
        .tls_backend_preconfigured(tls.clone())
        .build()
        .map_err(ClientError)
}

/// Reads an answer, and keeps its first bytes.
async fn read(mut response: reqwest::Response, first: &mut Vec<u8>) {
    let mut read = 0;
    while read < MAX_ANSWER {
        let Ok(Some(chunk)) = response.chunk().await else {
            return;
        };
        read += chunk.len();
        let wanted = FIRST_BYTES.saturating_sub(first.len()).min(chunk.len());
        first.extend(chunk.iter().take(wanted));
    }
}

/// `Retry-After` (RFC 9110 §10.2.3): seconds, or a date in any of the three forms of §5.6.7.
fn delay(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number too large for us is still a number.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    let since_epoch = at.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let millis = i64::try_from(since_epoch.as_millis()).ok()?;
    Some(Timestamp::from_millis(millis).since(now))
}

/// Why there is no answer, without the URL, whose query may be a secret.
fn reason(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    loop {
        if let Some(refusal) = cause.downcast_ref::<AddressRefused>() {
            return refusal.to_string();
        }
        match cause.source() {
            Some(source) => cause = source,
            None => return without_os_error(cause),
        }
    }
}

/// A host that has no address, as far as the resolver says.
#[derive(Debug, thiserror::Error)]
#[error("the name {name} is not found: {reason}")]
struct NameNotFound {
    name: String,
    reason: String,
}

impl NameNotFound {
    fn new(name: &Name, error: &io::Error) -> Self {
        let text = without_os_error(error);
        // What the standard library puts before the words of the system.
        let reason = text.strip_prefix("failed to lookup address information: ");
        Self {
            name: name.as_str().to_owned(),
            reason: reason.unwrap_or(&text).to_owned(),
        }
    }
}

/// A resolver that refuses addresses that may not be posted to.
struct Guarded<R> {
    guard: Arc<AddressGuard>,
    resolver: Arc<R>,
}

impl<R: Resolver> Resolve for Guarded<R> {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.guard.clone();
        let found = self.resolver.resolve(name.as_str().to_owned());
        Box::pin(async move {
            let addresses = found
                .await
                .map_err(|error| NameNotFound::new(&name, &error))?;
            for address in &addresses {
                guard.check_address(*address)?;
            }
            // The port of the URL takes the place of 0.
            let addresses = addresses.into_iter().map(|ip| SocketAddr::new(ip, 0));
            Ok(Box::new(addresses) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests;
