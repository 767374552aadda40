//! How secrets and URLs are shown, and whether a URL leads to this machine.

use std::fmt;
use std::sync::Arc;

use url::{Host, Position, Url};

/// A password, a key, a token: shown as `***` by everything that formats.
#[derive(Clone, Eq, PartialEq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Stands in place of a secret.
    pub const MASK: &'static str = "***";

    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::MASK)
    }
}

/// A URL without its user information, query and fragment, any of which may be a password; any
/// other text as it is.
pub fn masked(text: &str) -> String {
    if !text.contains("//") {
        return text.to_owned();
    }
    masked_strictly(text)
}

/// The same of a text that may be a mistyped URL.
pub(super) fn masked_strictly(text: &str) -> String {
    let mask = Secret::MASK;
    match Url::parse(text) {
        Ok(url) if url.has_authority() => {
            let shown = |has: bool, before: &str, after: &str| {
                if has {
                    format!("{before}{mask}{after}")
                } else {
                    String::new()
                }
            };
            let has_user = !url.username().is_empty() || url.password().is_some();
            let user = shown(has_user, "", "@");
            let query = shown(url.query().is_some(), "?", "");
            let fragment = shown(url.fragment().is_some(), "#", "");
            if user.is_empty() && query.is_empty() && fragment.is_empty() {
                return text.to_owned();
            }
            let scheme = &url[..Position::BeforeUsername];
            let place = &url[Position::BeforeHost..Position::AfterPath];
            format!("{scheme}{user}{place}{query}{fragment}")
        }
        // In such a text it is unknown where a secret begins and ends.
        Ok(_) | Err(_) => {
            let end = text.find(['?', '#']).unwrap_or(text.len());
            let shown = match text[..end].split_once("//") {
                Some((scheme, rest)) if rest.contains('@') || text[end..].contains('@') => {
                    return format!("{scheme}//{mask}");
                }
                Some(_) | None => without_password(&text[..end]),
            };
            let rest = if end < text.len() { mask } else { "" };
            format!("{shown}{rest}")
        }
    }
}

/// `sip:alice:secret@example.com` without the password.
fn without_password(text: &str) -> String {
    let Some(at) = text.rfind('@') else {
        return text.to_owned();
    };
    let user = &text[..at];
    let (scheme, user) = user.split_once(':').map_or(("", user), |(scheme, user)| {
        match scheme.to_ascii_lowercase().as_str() {
            "sip" | "sips" => (&text[..=scheme.len()], user),
            _ => ("", &text[..at]),
        }
    });
    match user.split_once(':') {
        Some((user, _)) => format!("{scheme}{user}:{}{}", Secret::MASK, &text[at..]),
        None => text.to_owned(),
    }
}

/// Whether this URL leads to this machine, whatever a name server says (RFC 6761 §6.3). A proxy
/// could not reach it, and must not see the requests.
pub fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            name == "localhost" || name.ends_with(".localhost")
        }
        // The unspecified address is answered by this machine too.
        Some(Host::Ipv4(address)) => address.is_loopback() || address.is_unspecified(),
        Some(Host::Ipv6(address)) => {
            let address = address.to_canonical();
            address.is_loopback() || address.is_unspecified()
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_password_of_a_url_is_masked_and_the_rest_is_not() {
        for (text, shown) in [
            ("wss://a.example/ws", "wss://a.example/ws"),
            ("wss://a.example/ws?token=x", "wss://a.example/ws?***"),
            ("wss://a.example?dG9rZW4=#x", "wss://a.example/?***#***"),
            ("wss://u:p@a.example:1/ws", "wss://***@a.example:1/ws"),
            ("postgres://u:p@db/d?password=x", "postgres://***@db/d?***"),
            ("sqlite://sipost.db", "sqlite://sipost.db"),
            ("postgres://u:p/w@db/d", "postgres://***"),
            ("postgres://u:p?w@db/d", "postgres://***"),
            ("wss://a b/?token=x", "wss://a b/***"),
            ("Who? Alice", "Who? Alice"),
            ("sip:alice@example.com", "sip:alice@example.com"),
        ] {
            assert_eq!(masked(text), shown, "{text}");
        }
        for (text, shown) in [
            ("a.example/ws?token=x", "a.example/ws***"),
            ("wss:a.example?token=x", "wss://a.example/?***"),
            ("sip:alice:x@a.example", "sip:alice:***@a.example"),
            ("alice:x@a.example", "alice:***@a.example"),
            ("sip:alice@a.example:5060", "sip:alice@a.example:5060"),
            ("localhost", "localhost"),
        ] {
            assert_eq!(masked_strictly(text), shown, "{text}");
        }
    }

    #[test]
    fn this_machine_is_known_by_its_addresses_and_names() {
        for (url, expected) in [
            ("http://127.0.0.1:8080", true),
            ("http://127.1.2.3", true),
            ("http://[::1]:8080", true),
            ("http://[::ffff:127.0.0.1]", true),
            ("http://0.0.0.0:4318", true),
            ("http://LOCALHOST", true),
            ("http://localhost.", true),
            ("http://otel.localhost", true),
            ("http://10.0.0.1", false),
            ("https://localhost.example", false),
            ("https://notlocalhost", false),
        ] {
            assert_eq!(
                is_this_machine(&Url::parse(url).unwrap()),
                expected,
                "{url}"
            );
        }
    }

    #[test]
    fn a_secret_shows_itself_to_no_formatter() {
        let secret = Secret::new("open sesame");
        assert_eq!(
            format!("{secret} {secret:?} {:?}", Some(&secret)),
            "*** *** Some(***)"
        );
        assert_eq!(secret.expose(), "open sesame");
    }
}
