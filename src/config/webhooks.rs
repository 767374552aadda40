//! `[webhooks]`: how events are posted.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ipnet::IpNet;

use super::certificates::Authorities;
use super::secret::Secret;
use super::section::Section;
use super::units;

/// How events are posted.
#[derive(Clone, Debug)]
pub struct Webhooks {
    /// Signs the events of messages that name their own webhook: `whsec_…`.
    pub secret: Option<Secret>,
    /// Encrypts the secrets of standing webhooks in the store: 32 bytes in base64.
    pub encryption_key: Option<Secret>,
    /// Certificates to trust beside those of the system.
    pub authorities: Authorities,
    /// How long an endpoint may take to answer.
    pub timeout: Duration,
    /// How long to wait before each further attempt.
    pub schedule: Vec<Duration>,
    /// Posts under way at the same time.
    pub concurrency: usize,
    /// An endpoint that only failed for this long is disabled.
    pub disable_after: Duration,
    /// Networks that endpoints may be in although they are not public.
    pub allowed_networks: Vec<IpNet>,
}

/// Standard Webhooks 1.0: the length of a secret, in bytes.
const SECRET_LENGTH: std::ops::RangeInclusive<usize> = 24..=64;

impl Webhooks {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let second = Duration::from_secs(1);
        let day = Duration::from_secs(86_400);
        let secret = "\"whsec_\" and 24 to 64 bytes in base64";
        let webhooks = Self {
            secret: section.secret("secret", secret, whsec),
            encryption_key: section.secret("encryption_key", "32 bytes in base64", encryption_key),
            authorities: section.authorities("ca_file"),
            timeout: section.duration("timeout", Duration::from_millis(10), 300 * second),
            schedule: section.durations("schedule"),
            concurrency: section.size("concurrency", 1..=10_000),
            disable_after: section.duration("disable_after", second, 365 * day),
            allowed_networks: section.texts(
                "allowed_networks",
                units::NETWORK,
                units::parse_network,
            ),
        };
        section.finish();
        webhooks
    }
}

pub(super) fn whsec(text: &str) -> Option<Secret> {
    let bytes = BASE64_STANDARD.decode(text.strip_prefix("whsec_")?).ok()?;
    SECRET_LENGTH
        .contains(&bytes.len())
        .then(|| Secret::new(text))
}

fn encryption_key(text: &str) -> Option<Secret> {
    let bytes = BASE64_STANDARD.decode(text).ok()?;
    (bytes.len() == 32).then(|| Secret::new(text))
}
