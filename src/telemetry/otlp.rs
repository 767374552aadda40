//! Where spans go. Whether this binary can export them is decided when it is built, by the feature
//! `otlp`; the settings are known either way, so that a missing feature is said where it is needed.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use rustls::pki_types::CertificateDer;
use url::Url;

/// Whether this binary exports spans.
pub const EXPORTS_SPANS: bool = cfg!(feature = "otlp");

/// What to say to a person who wants spans of a binary that exports none.
pub const WITHOUT_OTLP: &str = "this sipost was built without OpenTelemetry";

/// The collector, and the share of traces that it gets.
#[derive(Clone, Debug)]
pub struct Otlp {
    /// Spans are posted to it.
    pub url: Url,
    /// Whether that is this machine: then no proxy is used on the way.
    pub is_this_machine: bool,
    /// Headers of the posts.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Certificates to trust beside those of the system.
    pub authorities: Arc<[CertificateDer<'static>]>,
    /// The share of the traces begun here that is kept, from 0 to 1.
    pub ratio: f64,
}
