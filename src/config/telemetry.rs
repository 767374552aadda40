//! `[telemetry]`: what is told of what goes on.

use url::Url;

use super::certificates::Authorities;
use super::secret::Secret;
use super::section::Section;

/// What is told of what goes on.
#[derive(Clone, Debug)]
pub struct Telemetry {
    /// How log lines look.
    pub log_format: LogFormat,
    /// A level, or directives for parts of the program; known to be well-formed.
    pub log_level: String,
    /// Whether log lines show targets only as hashes.
    pub hash_targets: bool,
    /// Where spans go; `None` when there are none.
    pub otlp: Option<Otlp>,
}

/// Where spans go, and which.
#[derive(Clone, Debug)]
pub struct Otlp {
    /// What they are posted to.
    pub url: Url,
    /// Name and value of headers.
    pub headers: Vec<(String, Secret)>,
    /// Certificates to trust beside those of the system.
    pub authorities: Authorities,
    /// The share of the traces begun here that is kept, from 0 to 1.
    pub ratio: f64,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogFormat {
    /// Pretty on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Pretty,
    /// An object a line.
    Json,
}

impl Telemetry {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let formats = [
            ("auto", LogFormat::Auto),
            ("pretty", LogFormat::Pretty),
            ("json", LogFormat::Json),
        ];
        let accepted = "\"error\", \"warn\", \"info\", \"debug\", \"trace\", \"off\", or directives \
                        such as \"info,sipost::agent=debug\"";
        let otlp = Otlp::read(&mut section);
        let telemetry = Self {
            log_format: section.word("log_format", &formats),
            log_level: section
                .required_text("log_level", accepted, directives)
                .unwrap_or_default(),
            hash_targets: section.word("targets", &[("hashed", true), ("plain", false)]),
            otlp,
        };
        section.finish();
        telemetry
    }
}

impl Otlp {
    fn read(section: &mut Section<'_>) -> Option<Self> {
        let accepted = "an http or https URL without user, query and fragment, such as \
                        \"http://127.0.0.1:4318\"";
        let url = section.text("otlp_endpoint", accepted, traces_url);
        let headers = section.secrets(
            "otlp_headers",
            "\"Name: value\" with the name and value of an HTTP header",
            header,
        );
        let authorities = section.authorities("otlp_ca_file");
        let ratio = section.share("trace_ratio");
        Some(Self {
            url: url?,
            headers,
            authorities,
            ratio,
        })
    }
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

fn header(line: &str) -> Option<(String, Secret)> {
    let (name, value) = line.split_once(':')?;
    let (name, value) = (name.trim(), value.trim());
    http::HeaderName::from_bytes(name.as_bytes()).ok()?;
    http::HeaderValue::from_str(value).ok()?;
    Some((name.to_owned(), Secret::new(value)))
}

fn directives(text: &str) -> Option<String> {
    // A bare word that is no level would be taken for the name of a module, and silence us.
    let is_level = |word: &str| word.parse::<tracing::level_filters::LevelFilter>().is_ok();
    let plain = text.split(',').filter(|part| !part.contains(['=', '[']));
    let known = plain.into_iter().all(|word| is_level(word.trim()));
    let parsed = tracing_subscriber::EnvFilter::try_new(text);
    (known && parsed.is_ok()).then(|| text.to_owned())
}
