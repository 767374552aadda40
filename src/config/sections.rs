//! The sections that are no more than a few settings: `[delivery]`, `[webhooks]`, `[retention]`,
//! `[telemetry]` and `[sandbox]`.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use url::Url;

use super::certificates::Authorities;
use super::mask::{Secret, is_this_machine};
use super::section::Section;
use super::value;
use crate::message::retry::Backoff;
use crate::message::{Limits, OnUnknown, Targets};
use crate::retention;
use crate::telemetry;
use crate::telemetry::{LogFormat, Otlp};
use crate::webhook::{Schedule, SigningSecret, Vault};

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// `[delivery]`: how long and how often a message is tried, and how many may wait.
#[derive(Clone, Debug)]
pub struct DeliverySettings {
    /// What a client may ask for, and what holds where it does not.
    pub limits: Limits,
    /// How long to wait between attempts.
    pub backoff: Backoff,
    /// Messages that may wait at the same time.
    pub max_queued: usize,
    /// The share of each account's slots and rate that is kept for urgent messages.
    pub reserved: f64,
    /// How long open requests may take to end when the gateway stops.
    pub shutdown_grace: Duration,
}

/// Messages that are not urgent must go out too.
const MAX_RESERVED: f64 = 0.9;

impl DeliverySettings {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let on_unknown = [("resend", OnUnknown::Resend), ("fail", OnUnknown::Fail)];
        let delivery = Self {
            limits: Limits {
                ttl: section.duration("ttl", SECOND, 365 * DAY),
                max_ttl: section.duration("max_ttl", SECOND, 365 * DAY),
                max_schedule: section.duration("max_schedule", SECOND, 365 * DAY),
                attempts: section.integer("attempts", 1..=100),
                max_attempts: section.integer("max_attempts", 1..=100),
                on_unknown: section.word("on_unknown", &on_unknown),
                // Of another section.
                webhook_secret: false,
            },
            backoff: Backoff {
                min: section.duration("retry_min", MILLISECOND, HOUR),
                max: section.duration("retry_max", MILLISECOND, DAY),
            },
            max_queued: section.integer("max_queued", 1..=100_000_000),
            reserved: section.share("reserved"),
            shutdown_grace: section.duration("shutdown_grace", Duration::ZERO, HOUR),
        };
        let Self {
            limits, backoff, ..
        } = &delivery;
        for (key, limit, is_exceeded) in [
            ("ttl", "max_ttl", limits.ttl > limits.max_ttl),
            (
                "attempts",
                "max_attempts",
                limits.attempts > limits.max_attempts,
            ),
            ("retry_min", "retry_max", backoff.min > backoff.max),
        ] {
            if is_exceeded {
                let problem = format!("is more than delivery.{limit}");
                section.wrong(key, &problem, &format!("at most delivery.{limit}"));
            }
        }
        if delivery.reserved > MAX_RESERVED {
            section.wrong(
                "reserved",
                "leaves too little for other messages",
                "at most 0.9",
            );
        }
        section.finish();
        delivery
    }
}

/// `[webhooks]`: how events are posted.
#[derive(Clone, Debug)]
pub struct WebhookSettings {
    /// Signs the events of messages that name their own webhook.
    pub secret: Option<SigningSecret>,
    /// Encrypts the secrets of standing webhooks in the store: 32 bytes in base64.
    pub encryption_key: Option<Secret>,
    /// Certificates to trust beside those of the system.
    pub authorities: Authorities,
    /// How long an endpoint may take to answer.
    pub timeout: Duration,
    /// When to try again.
    pub schedule: Schedule,
    /// Posts under way at the same time.
    pub concurrency: usize,
    /// Networks that endpoints may be in although they are not public.
    pub allowed_networks: Vec<IpNet>,
}

impl WebhookSettings {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let secret = "\"whsec_\" and 24 to 64 bytes in base64";
        let key = |text: &str| Vault::with_key(text).ok().map(|_| Secret::new(text));
        let webhooks = Self {
            secret: section.secret("secret", secret, SigningSecret::parse),
            encryption_key: section.secret("encryption_key", "32 bytes in base64", key),
            authorities: section.authorities("ca_file"),
            timeout: section.duration("timeout", 10 * MILLISECOND, 300 * SECOND),
            schedule: Schedule {
                waits: section.durations("schedule"),
                disable_after: section.duration("disable_after", SECOND, 365 * DAY),
            },
            concurrency: section.integer("concurrency", 1..=10_000),
            allowed_networks: section.texts(
                "allowed_networks",
                value::NETWORK,
                value::parse_network,
            ),
        };
        section.finish();
        webhooks
    }

    /// Connections to endpoints that are kept for further posts.
    pub fn max_idle(&self) -> usize {
        self.concurrency.div_ceil(2)
    }
}

/// `[retention]`: how long what has ended is kept.
pub(super) fn retention(mut section: Section<'_>) -> retention::Settings {
    let finished = section.duration("finished", SECOND, 3650 * DAY);
    let received = section.optional_duration("received", SECOND, 3650 * DAY);
    let retention = retention::Settings {
        finished,
        received: received.unwrap_or(finished),
        discards_bodies: section.word("bodies", &[("keep", false), ("discard", true)]),
        idempotency: section.duration("idempotency", SECOND, 3650 * DAY),
        // Of another section.
        frames: Duration::ZERO,
    };
    section.finish();
    retention
}

/// `[telemetry]`: the log, and where spans go.
pub(super) fn telemetry(mut section: Section<'_>) -> telemetry::Settings {
    let formats = [
        ("auto", LogFormat::Auto),
        ("pretty", LogFormat::Pretty),
        ("json", LogFormat::Json),
    ];
    let accepted = "\"error\", \"warn\", \"info\", \"debug\", \"trace\", \"off\", or directives \
                    such as \"info,sipost::agent=debug\"";
    let otlp = otlp(&mut section);
    let level = section.required_text("log_level", accepted, directives);
    let telemetry = telemetry::Settings {
        log_format: section.word("log_format", &formats),
        log_level: level.unwrap_or_default(),
        targets: if section.word("targets", &[("hashed", true), ("plain", false)]) {
            Targets::Hashed(rand::random())
        } else {
            Targets::Plain
        },
        otlp,
    };
    section.finish();
    telemetry
}

fn otlp(section: &mut Section<'_>) -> Option<Otlp> {
    let accepted = "an http or https URL without user, query and fragment, such as \
                    \"http://127.0.0.1:4318\"";
    let url = section.text("otlp_endpoint", accepted, traces_url);
    let accepted = "\"Name: value\" with the name and value of an HTTP header";
    let headers = section.secrets("otlp_headers", accepted, value::http_header);
    let authorities = section.authorities("otlp_ca_file");
    let ratio = section.share("trace_ratio");
    let url = url?;
    if !telemetry::EXPORTS_SPANS {
        let accepted = "no value, or a binary with it: the image, the package, or a build with \
                        `--features otlp`";
        section.wrong("otlp_endpoint", telemetry::WITHOUT_OTLP, accepted);
    }
    Some(Otlp {
        is_this_machine: is_this_machine(&url),
        url,
        headers,
        authorities,
        ratio,
    })
}

/// The address for traces below that of a collector, as the specification of OTLP/HTTP has it; one
/// that is written out is left as it is.
fn traces_url(text: &str) -> Option<Url> {
    let mut url: Url = text.parse().ok()?;
    let is_plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if !matches!(url.scheme(), "http" | "https") || !is_plain {
        return None;
    }
    let path = url.path().trim_end_matches('/');
    if !path.ends_with("/v1/traces") {
        let path = format!("{path}/v1/traces");
        url.set_path(&path);
    }
    Some(url)
}

fn directives(text: &str) -> Option<String> {
    // A bare word that is no level would be taken for the name of a module, and silence us.
    let is_level = |word: &str| word.parse::<tracing::level_filters::LevelFilter>().is_ok();
    let plain = text.split(',').filter(|part| !part.contains(['=', '[']));
    let known = plain.into_iter().all(|word| is_level(word.trim()));
    let parsed = tracing_subscriber::EnvFilter::try_new(text);
    (known && parsed.is_ok()).then(|| text.to_owned())
}

/// `[sandbox]`: the built-in SIP server, used while no account is configured.
#[derive(Clone, Debug)]
pub struct SandboxSettings {
    /// Where it listens: loopback.
    pub listen: SocketAddr,
    /// User agents that register with it.
    pub agents: u32,
}

impl SandboxSettings {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let sandbox = Self {
            listen: section.address("listen"),
            agents: section.integer("agents", 1..=1000),
        };
        if !sandbox.listen.ip().is_loopback() {
            let problem =
                "the passwords of the sandbox are public, so it may listen on this machine only";
            let accepted = "a loopback address such as \"127.0.0.1:0\"";
            section.wrong("listen", problem, accepted);
        }
        section.finish();
        sandbox
    }
}
