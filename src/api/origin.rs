//! Which host a request is for, and which pages may change something by it.
//!
//! A browser lets any page send requests to this machine. What a page of another origin asks for
//! must change nothing, and a page whose name was pointed at this machine (DNS rebinding) must read
//! nothing. A request without `Sec-Fetch-Site` and `Origin` comes from no page, and passes.
//!
//! | request                                                     | answer |
//! |-------------------------------------------------------------|--------|
//! | no `Host`, more than one, or one that is none               | 400    |
//! | no token is configured, and `Host` is not one of [`Hosts`]  | 421    |
//! | changes something, for a page of another origin             | 403    |
//! | a body without `Content-Type`                               | 415    |

use std::net::IpAddr;

use axum::body::HttpBody as _;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use super::browser::Origins;
use super::error::ApiError;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The hosts that a request may be for while no token is configured. Loopback names and addresses
/// always are among them.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    /// Names and addresses, without ports and in lower case.
    pub names: Vec<String>,
    /// Any address, as long as it is no name: only a name can be pointed elsewhere.
    pub any_address: bool,
}

/// A host and its port, as written in `Host` and `Origin`.
#[derive(Clone, Copy, Debug)]
struct Authority<'a> {
    host: &'a str,
    port: Option<u16>,
}

/// Refuses what the table of the module says. `hosts` is `None` while tokens are configured.
pub(super) fn check(
    request: &Request,
    hosts: Option<&Hosts>,
    origins: &Origins,
) -> Result<(), ApiError> {
    let headers = request.headers();
    let mut host = of_header(headers)?;
    // RFC 9112 §3.2.2: a request for a whole URL is for the host of that.
    if let Some(target) = request.uri().authority() {
        host = Authority::parse(target.as_str()).ok_or(NO_HOST)?;
    }
    if hosts.is_some_and(|hosts| !hosts.has(host.host)) {
        return Err(ApiError::Misdirected);
    }
    let changes = !matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    );
    if changes && !is_same_origin(headers, host) && !is_listed(headers, origins) {
        return Err(ApiError::CrossOrigin);
    }
    let has_body = !request.body().is_end_stream();
    if has_body && !headers.contains_key(header::CONTENT_TYPE) {
        let words =
            "the body has no Content-Type; application/json is needed (curl --json says it)";
        return Err(ApiError::MediaType(words));
    }
    Ok(())
}

const NO_HOST: ApiError = ApiError::Header("Host: once, with a name or an address");

fn of_header(headers: &HeaderMap) -> Result<Authority<'_>, ApiError> {
    let mut values = headers.get_all(header::HOST).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(NO_HOST);
    };
    let text = value.to_str().map_err(|_| NO_HOST)?;
    Authority::parse(text).ok_or(NO_HOST)
}

/// Whether no page, or one of this gateway, sends the request. What `Sec-Fetch-Site` says goes
/// before `Origin`: a proxy may have changed `Host`.
fn is_same_origin(headers: &HeaderMap, host: Authority<'_>) -> bool {
    let mut sites = headers.get_all(SEC_FETCH_SITE).iter().peekable();
    if sites.peek().is_some() {
        return sites.all(|site| matches!(site.as_bytes(), b"same-origin" | b"none"));
    }
    let mut origins = headers.get_all(header::ORIGIN).iter();
    origins.all(|origin| is_origin_of(origin, host))
}

/// Whether the origin is that of a page of this host. The schemes may differ: a proxy in front may
/// speak TLS.
fn is_origin_of(origin: &HeaderValue, host: Authority<'_>) -> bool {
    let Some((scheme, rest)) = origin.to_str().ok().and_then(|text| text.split_once("://")) else {
        return false;
    };
    let usual = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return false,
    };
    let port = |authority: Authority<'_>| authority.port.unwrap_or(usual);
    Authority::parse(rest)
        .is_some_and(|page| page.host.eq_ignore_ascii_case(host.host) && port(page) == port(host))
}

fn is_listed(headers: &HeaderMap, origins: &Origins) -> bool {
    let listed = match origins {
        Origins::Own => return false,
        Origins::Any => return true,
        Origins::Listed(listed) => listed,
    };
    let mut values = headers.get_all(header::ORIGIN).iter();
    match (values.next(), values.next()) {
        (Some(origin), None) => listed.contains(origin),
        (None | Some(_), _) => false,
    }
}

impl Hosts {
    fn has(&self, host: &str) -> bool {
        let bare = host.strip_prefix('[').and_then(|v6| v6.strip_suffix(']'));
        if let Ok(address) = bare.unwrap_or(host).parse::<IpAddr>() {
            let is_listed = || self.names.contains(&address.to_string());
            return self.any_address || address.to_canonical().is_loopback() || is_listed();
        }
        let name = host.strip_suffix('.').unwrap_or(host);
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        // RFC 6761 §6.3: these are loopback, whatever a resolver says.
        let end = name.len().checked_sub(".localhost".len());
        let end = end.and_then(|at| name.get(at..));
        let is_loopback = end.is_some_and(|end| end.eq_ignore_ascii_case(".localhost"));
        is_loopback || is("localhost") || self.names.iter().any(|known| is(known))
    }
}

impl<'a> Authority<'a> {
    /// Reads `host`, `host:port`, `[v6]` and `[v6]:port` (RFC 3986 §3.2), without user information.
    fn parse(text: &'a str) -> Option<Self> {
        let ends_host = |text: &str| match text.starts_with('[') {
            true => text.find(']').map(|at| at + 1),
            false => Some(text.find(':').unwrap_or(text.len())),
        };
        let (host, rest) = text.split_at_checked(ends_host(text)?)?;
        let is_part =
            |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&byte);
        let is_host = match host.strip_prefix('[').and_then(|v6| v6.strip_suffix(']')) {
            Some(v6) => v6.bytes().all(|byte| is_part(byte) || byte == b':'),
            None => host.bytes().all(is_part),
        };
        let port = match rest.strip_prefix(':') {
            // RFC 3986 §3.2.3 allows a port of no digits.
            Some("") => None,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                Some(digits.parse().ok()?)
            }
            None if rest.is_empty() => None,
            Some(_) | None => return None,
        };
        (is_host && !host.is_empty()).then_some(Self { host, port })
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn asked(method: &str, lines: &[(&str, &str)], body: &'static str) -> Request {
        let mut request = Request::builder().method(method).uri("/messages");
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        request.body(Body::from(body)).unwrap()
    }

    fn posted(lines: &[(&str, &str)]) -> Result<(), ApiError> {
        check_with(lines, &Origins::Own)
    }

    fn check_with(lines: &[(&str, &str)], origins: &Origins) -> Result<(), ApiError> {
        let mut all = vec![("host", "gateway.example:8080")];
        all.extend(lines);
        check(&asked("POST", &all, ""), None, origins)
    }

    #[test]
    fn a_request_has_one_host() {
        let hosts = |lines: &[(&str, &str)]| check(&asked("GET", lines, ""), None, &Origins::Own);
        for host in ["a", "a:80", "a.", "[::1]:8080", "[::1]", "my_host:1", "a:"] {
            assert!(hosts(&[("host", host)]).is_ok(), "{host}");
        }
        for host in [
            "", ":80", "a b", "u@a", "a/b", "a:b", "a:65536", "[::1", "a:+1", "::1",
        ] {
            let refused = hosts(&[("host", host)]);
            assert!(matches!(refused, Err(ApiError::Header(_))), "{host}");
        }
        assert!(matches!(hosts(&[]), Err(ApiError::Header(_))));
        let twice = hosts(&[("host", "a"), ("host", "a")]);
        assert!(matches!(twice, Err(ApiError::Header(_))));
    }

    #[test]
    fn without_tokens_only_loopback_and_listed_hosts_are_answered() {
        let hosts = Hosts {
            names: vec![
                "gateway.lan".to_owned(),
                "10.0.0.1".to_owned(),
                "2001:db8::1".to_owned(),
            ],
            any_address: false,
        };
        for host in [
            "localhost:8080",
            "LOCALHOST.",
            "a.localhost",
            "127.0.0.1",
            "127.9.9.9:1",
            "[::1]:8080",
            "[::ffff:127.0.0.1]",
            "Gateway.LAN:8080",
            "10.0.0.1",
            "[2001:DB8:0::1]",
        ] {
            let request = asked("GET", &[("host", host)], "");
            assert!(
                check(&request, Some(&hosts), &Origins::Own).is_ok(),
                "{host}"
            );
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "xlocalhost",
            "127.0.0.1.evil.example",
            "0.0.0.0",
            "10.0.0.2",
            "[::2]",
        ] {
            let request = asked("GET", &[("host", host)], "");
            let refused = check(&request, Some(&hosts), &Origins::Any);
            assert!(matches!(refused, Err(ApiError::Misdirected)), "{host}");
            assert!(check(&request, None, &Origins::Own).is_ok(), "{host}");
        }
        let any = Hosts {
            any_address: true,
            ..hosts
        };
        assert!(any.has("10.0.0.2") && any.has("[2001:db8::1]") && !any.has("evil.example"));
    }

    #[test]
    fn a_whole_url_says_which_host_is_meant() {
        let mut request = asked("GET", &[("host", "localhost")], "");
        *request.uri_mut() = "http://evil.example/messages".parse().unwrap();
        let refused = check(&request, Some(&Hosts::default()), &Origins::Own);
        assert!(matches!(refused, Err(ApiError::Misdirected)));
    }

    #[test]
    fn only_pages_of_our_own_change_something() {
        for lines in [
            &[][..],
            &[("sec-fetch-site", "none")],
            &[("sec-fetch-site", "same-origin")],
            &[("sec-fetch-site", "same-origin"), ("origin", "https://a")],
            &[("origin", "http://gateway.example:8080")],
            &[("origin", "https://GATEWAY.example:8080")],
        ] {
            assert!(posted(lines).is_ok(), "{lines:?}");
        }
        for lines in [
            &[("sec-fetch-site", "cross-site")][..],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "")],
            &[("sec-fetch-site", "none"), ("sec-fetch-site", "cross-site")],
            &[
                ("sec-fetch-site", "cross-site"),
                ("origin", "http://gateway.example:8080"),
            ],
            &[("origin", "null")],
            &[("origin", "")],
            &[("origin", "http://gateway.example")],
            &[("origin", "http://gateway.example:8081")],
            &[("origin", "http://gateway.example:8080@evil.example")],
            &[("origin", "http://evil.example:8080")],
            &[("origin", "ftp://gateway.example:8080")],
            &[
                ("origin", "http://gateway.example:8080"),
                ("origin", "http://evil.example"),
            ],
        ] {
            assert!(
                matches!(posted(lines), Err(ApiError::CrossOrigin)),
                "{lines:?}"
            );
        }
        for method in ["GET", "HEAD", "OPTIONS"] {
            let lines = [("host", "a"), ("sec-fetch-site", "cross-site")];
            assert!(check(&asked(method, &lines, ""), None, &Origins::Own).is_ok());
        }
        for method in ["PATCH", "DELETE", "PUT", "ANYTHING"] {
            let lines = [("host", "a"), ("origin", "http://evil.example")];
            assert!(check(&asked(method, &lines, ""), None, &Origins::Own).is_err());
        }
    }

    #[test]
    fn a_proxy_in_front_may_speak_tls_at_its_own_port() {
        for host in ["gateway.example", "gateway.example:443"] {
            let lines = [("host", host), ("origin", "https://gateway.example")];
            assert!(check(&asked("POST", &lines, ""), None, &Origins::Own).is_ok());
        }
    }

    #[test]
    fn pages_of_listed_origins_may() {
        let listed = Origins::Listed(vec![HeaderValue::from_static("https://app.example")]);
        let from = |origin| [("sec-fetch-site", "cross-site"), ("origin", origin)];
        assert!(check_with(&from("https://app.example"), &listed).is_ok());
        assert!(check_with(&from("https://other.example"), &listed).is_err());
        assert!(check_with(&[("sec-fetch-site", "cross-site")], &listed).is_err());
        assert!(check_with(&from("null"), &Origins::Any).is_ok());
    }

    #[test]
    fn a_body_says_of_what_type_it_is() {
        let host = ("host", "a");
        let json = ("content-type", "application/json");
        let check = |lines: &[_], body| check(&asked("POST", lines, body), None, &Origins::Own);
        assert!(matches!(check(&[host], "{}"), Err(ApiError::MediaType(_))));
        assert!(check(&[host, json], "{}").is_ok());
        assert!(check(&[host], "").is_ok());
    }
}
