//! When two URIs mean the same (RFC 3261 §19.1.4).

use super::Uri;

/// Parameters that count even if only one of the two has them. `transport` is not in the RFC's
/// sentence but in its examples: without it the resolution may choose another one.
const NEVER_IGNORED: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];

impl Uri {
    /// Whether the two are equivalent. This is no equivalence relation in the mathematical sense:
    /// `a;x=1` and `a;x=2` both match `a`, and not each other.
    pub fn is_equivalent(&self, other: &Self) -> bool {
        self.scheme == other.scheme
            && self.user() == other.user()
            && self.password() == other.password()
            && self.host() == other.host()
            && self.port == other.port
            && params_agree(self, other)
            && params_agree(other, self)
            && self.headers().count() == other.headers().count()
            && self.headers().all(|header| has_header(other, header))
    }
}

fn params_agree(one: &Uri, other: &Uri) -> bool {
    // RFC 3261 §19.1.1 allows a name once; of one that is there twice, the same counts on each
    // side.
    one.params()
        .all(|(name, _)| match (one.param(name), other.param(name)) {
            (Some(ours), Some(theirs)) => ours.eq_ignore_ascii_case(theirs),
            (None, _) | (Some(_), None) => !NEVER_IGNORED.contains(&name),
        })
}

fn has_header(uri: &Uri, (name, value): (&str, &str)) -> bool {
    uri.headers().any(|(their_name, their_value)| {
        name.eq_ignore_ascii_case(their_name) && value.eq_ignore_ascii_case(their_value)
    })
}
