//! What a client writes to name a recipient, turned into the URI a request is addressed to.
//!
//! | written                                        | becomes                                     |
//! |------------------------------------------------|---------------------------------------------|
//! | a user name: `alice`                           | that user at the account's host             |
//! | a user and a domain: `alice@b.com`             | a SIP URI; the last `@` separates           |
//! | a phone number: `+1 (555) 123-45`              | its digits as the user, no separators       |
//! | `sip:` or `sips:` and any of these             | the same; `sips` stays `sips`               |
//! | `sip:` and a host alone                        | refused: no user is named                   |
//! | `tel:` (RFC 3966)                              | the number at the account's host            |
//! | `tel:` with parameters                         | they move into the user, and `user=phone`   |
//! | `"Alice" <sip:alice@b.com>`                    | what stands between the brackets            |
//! | `im:`, `xmpp:`, `mailto:`, `http:` …           | refused: SIP does not go there              |
//!
//! Blanks around it are dropped. Blanks, dashes and invisible characters of every kind are left out
//! of numbers: a number is the same without them. A name with a blank or an invisible character is
//! refused: two names that look alike and differ are a trap. A domain name in any script becomes
//! its A-labels (RFC 5890). What a URI says about the request rather than about the recipient, its
//! headers and its `method`, is left out (RFC 3261 §19.1.5 and §8.1.1.1 keep both out of the
//! Request-URI).

mod telephone;

use std::borrow::Cow;

use icu_properties::props::{
    Dash, DefaultIgnorableCodePoint, GeneralCategory, GeneralCategoryGroup,
};
use icu_properties::{CodePointMapData, CodePointSetData};
use idna::AsciiDenyList;

use super::uri::{Scheme, Uri, UriError, escape};

/// Why a target cannot be sent to.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TargetError {
    /// Nothing, or nothing but blanks.
    #[error("the target is empty")]
    Empty,
    /// Of another world than SIP.
    #[error(
        "{scheme}: addresses cannot be reached over SIP: \
         write a user name, or a sip:, sips: or tel: URI"
    )]
    ForeignScheme {
        /// In lower case, without the colon.
        scheme: String,
    },
    /// A `sip:` or `sips:` URI without an `@`, whose rest is a host.
    #[error("the target names a host but no user: write sip:user@host, or the user name alone")]
    HostOnly,
    /// No user, or one that consists of separators only.
    #[error("the target has no user")]
    NoUser,
    /// More than one `@` and parameters or headers between them.
    #[error("the target has more than one @: write those of the user name as %40")]
    ManyAts,
    /// A `tel:` URI without a number.
    #[error("a tel: target must be a phone number, such as tel:+15551234")]
    NotANumber,
    /// A blank, a control character or an invisible one where a name stands.
    #[error(
        "the target has a blank or an invisible character in a name, U+{:04X}: leave it out, \
         or write a blank that belongs to the name as %20",
        u32::from(*.0)
    )]
    Invisible(char),
    /// A `<` or `>` without the other.
    #[error("the angle brackets of the target do not enclose a URI")]
    Brackets,
    /// Its parts do not make a URI.
    #[error(transparent)]
    Uri(UriError),
}

/// Turns a target into the URI a request of `account` is addressed to. Bare user names and phone
/// numbers take the host and port of `account`, and nothing else of it.
pub fn normalize(target: &str, account: &Uri) -> Result<Uri, TargetError> {
    if target.len() > Uri::MAX_LENGTH {
        return Err(UriError::TooLong.into());
    }
    let target = without_display_name(target.trim())?;
    if target.is_empty() {
        return Err(TargetError::Empty);
    }
    match split_scheme(target)? {
        (WrittenTarget::Telephone, rest) => telephone::normalize(rest, account),
        (WrittenTarget::Bare, rest) => of_user(Scheme::Sip, WrittenTarget::Bare, rest, account),
        (WrittenTarget::Uri(scheme), rest) => {
            of_user(scheme, WrittenTarget::Uri(scheme), rest, account)
        }
    }
}

/// In which form a target is written.
#[derive(Clone, Copy)]
enum WrittenTarget {
    Bare,
    Uri(Scheme),
    Telephone,
}

/// Schemes that a client may believe to be reachable. A list, because a user name may have a
/// password behind a colon, which looks the same.
#[rustfmt::skip]
const FOREIGN: [&str; 29] = [
    "aim", "callto", "cid", "data", "facetime", "fax", "file", "ftp", "h323", "http", "https",
    "im", "irc", "javascript", "mailto", "matrix", "mid", "mms", "mmsto", "modem", "pres", "sms",
    "smsto", "skype", "tg", "urn", "ws", "wss", "xmpp",
];

fn split_scheme(target: &str) -> Result<(WrittenTarget, &str), TargetError> {
    if let Some((scheme, rest)) = super::uri::split_scheme(target) {
        return Ok((WrittenTarget::Uri(scheme), rest));
    }
    let Some((scheme, rest)) = target.split_once(':') else {
        return Ok((WrittenTarget::Bare, target));
    };
    let scheme = scheme.to_ascii_lowercase();
    if scheme == "tel" {
        return Ok((WrittenTarget::Telephone, rest));
    }
    if FOREIGN.contains(&scheme.as_str()) || rest.starts_with("//") {
        return Err(TargetError::ForeignScheme { scheme });
    }
    Ok((WrittenTarget::Bare, target))
}

/// What stands between the brackets of a name-addr (RFC 3261 §20.10), or the whole text.
fn without_display_name(target: &str) -> Result<&str, TargetError> {
    let Some(inside) = target.strip_suffix('>') else {
        return Ok(target);
    };
    let after_name = match inside.strip_prefix('"') {
        Some(quoted) => after_quote(quoted).ok_or(TargetError::Brackets)?,
        None => &inside[inside.find('<').ok_or(TargetError::Brackets)?..],
    };
    let uri = after_name
        .trim_start()
        .strip_prefix('<')
        .ok_or(TargetError::Brackets)?;
    if uri.contains(['<', '>']) {
        return Err(TargetError::Brackets);
    }
    Ok(uri.trim())
}

/// What follows the closing quotation mark; a backslash takes the next character with it.
fn after_quote(quoted: &str) -> Option<&str> {
    let mut chars = quoted.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some(&quoted[at + 1..]),
            '\\' => drop(chars.next()),
            _ => {}
        }
    }
    None
}

fn of_user(
    scheme: Scheme,
    written: WrittenTarget,
    rest: &str,
    account: &Uri,
) -> Result<Uri, TargetError> {
    let Some((user, domain)) = rest.rsplit_once('@') else {
        return match written {
            WrittenTarget::Uri(_) if names_a_host(rest) => Err(TargetError::HostOnly),
            _ => assemble(
                scheme,
                &user_of(WrittenTarget::Bare, rest)?,
                account.host_and_port(),
                "",
            ),
        };
    };
    // `sip:a@b.com?to=c@d.com` must not reach d.com.
    if user
        .split_once('@')
        .is_some_and(|(_, between)| between.contains([';', '?']))
    {
        return Err(TargetError::ManyAts);
    }
    let (host, params) = host_and_params(domain)?;
    assemble(scheme, &user_of(written, user)?, &host, &params)
}

/// What follows the `@`: the host and port in ASCII, and the parameters about the recipient.
fn host_and_params(domain: &str) -> Result<(Cow<'_, str>, String), TargetError> {
    let (domain, _headers) = domain.split_once('?').unwrap_or((domain, ""));
    let (hostport, params) = match domain.split_once(';') {
        Some((hostport, params)) => (hostport, about_the_recipient(params)?),
        None => (domain, String::new()),
    };
    Ok((a_labels(hostport)?, params))
}

/// Whether what follows `sip:` is a host and not a user: RFC 3261 reads it as a host always, so
/// only what can be a user alone is taken as one.
fn names_a_host(rest: &str) -> bool {
    let host = rest.split([';', '?']).next().unwrap_or_default();
    let has_parameters = host.len() < rest.len();
    let name = host.split(':').next().unwrap_or_default();
    let top = name.rsplit('.').next().unwrap_or_default();
    has_parameters
        || host.starts_with('[')
        || name.parse::<core::net::Ipv4Addr>().is_ok()
        || (name.contains('.') && top.starts_with(|first: char| first.is_alphabetic()))
}

fn user_of(written: WrittenTarget, userinfo: &str) -> Result<String, TargetError> {
    let (user, password) = match userinfo.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (userinfo, None),
    };
    let mut out = String::with_capacity(userinfo.len());
    match telephone::without_separators(&escape::try_unescape(user)?) {
        Some(number) if number.trim_start_matches('+').is_empty() => {
            return Err(TargetError::NoUser);
        }
        Some(number) => out.push_str(&number),
        None => push_part(&mut out, written, user)?,
    }
    if let Some(password) = password {
        out.push(':');
        push_part(&mut out, written, password)?;
    }
    Ok(out)
}

/// In a URI a `;` may mean something to the recipient's domain and stays as it is; in a bare name
/// it is a character like any other.
fn push_part(out: &mut String, written: WrittenTarget, part: &str) -> Result<(), TargetError> {
    refuse_invisible(part)?;
    match written {
        WrittenTarget::Uri(_) => escape::push(out, part, escape::in_user)?,
        WrittenTarget::Bare | WrittenTarget::Telephone => {
            let bytes = escape::try_unescape(part)?;
            escape::push_bytes(out, &bytes, |byte| b"+?/".contains(&byte));
        }
    }
    Ok(())
}

/// Parameters without `method`; of several with one name the last.
fn about_the_recipient(params: &str) -> Result<String, TargetError> {
    let mut kept: Vec<(&str, &str)> = Vec::with_capacity(Uri::MAX_PARAMETERS);
    for (index, param) in params.split(';').enumerate() {
        if index == Uri::MAX_PARAMETERS {
            return Err(UriError::TooMany.into());
        }
        let name = param.split('=').next().unwrap_or_default();
        // One without a name is kept for the parser to refuse.
        if !param.is_empty() {
            kept.retain(|(given, _)| !given.eq_ignore_ascii_case(name));
        }
        kept.push((name, param));
    }
    let mut out = String::with_capacity(params.len() + 1);
    for (name, param) in kept {
        if !name.eq_ignore_ascii_case("method") {
            out.push(';');
            out.push_str(param);
        }
    }
    refuse_invisible(&out)?;
    Ok(out)
}

/// The host in ASCII. The dot at the end of a fully qualified name is refused: few registrars
/// know their own domain by it.
fn a_labels(hostport: &str) -> Result<Cow<'_, str>, TargetError> {
    let (host, port) = match hostport.split_once(':') {
        Some((host, _)) if !host.starts_with('[') => (host, &hostport[host.len()..]),
        _ => (hostport, ""),
    };
    if host.ends_with('.') {
        return Err(UriError::Host.into());
    }
    refuse_invisible(hostport)?;
    if host.is_ascii() {
        return Ok(Cow::Borrowed(hostport));
    }
    let host = idna::domain_to_ascii_cow(host.as_bytes(), AsciiDenyList::URL)
        .map_err(|_| UriError::Host)?;
    Ok(Cow::Owned(format!("{host}{port}")))
}

fn assemble(scheme: Scheme, user: &str, host: &str, params: &str) -> Result<Uri, TargetError> {
    Ok(Uri::parse(&format!(
        "{}:{user}@{host}{params}",
        scheme.as_str()
    ))?)
}

/// Whether a reader sees nothing of a character, as copied text carries them along: blanks
/// (`White_Space`), control and format characters (`Cc`, `Cf`), and those that are shown by nothing
/// (`Default_Ignorable_Code_Point`).
fn is_invisible(char: char) -> bool {
    if char.is_ascii() {
        return !char.is_ascii_graphic();
    }
    char.is_whitespace()
        || GeneralCategoryGroup::Control
            .union(GeneralCategoryGroup::Format)
            .contains(CodePointMapData::<GeneralCategory>::new().get(char))
        || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(char)
}

/// Whether a character is a hyphen, a dash or a minus (`Dash`).
fn is_dash(char: char) -> bool {
    if char.is_ascii() {
        return char == '-';
    }
    CodePointSetData::new::<Dash>().contains(char)
}

/// Refuses a name with an invisible character, written or escaped. An escaped blank was written on
/// purpose and is taken.
fn refuse_invisible(part: &str) -> Result<(), TargetError> {
    if part
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'%')
    {
        return Ok(());
    }
    if let Some(found) = part.chars().find(|char| is_invisible(*char)) {
        return Err(TargetError::Invisible(found));
    }
    let meant = escape::try_unescape(part).map_or(Cow::Borrowed(part), |bytes| {
        Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
    });
    match meant
        .chars()
        .find(|char| is_invisible(*char) && *char != ' ')
    {
        Some(found) => Err(TargetError::Invisible(found)),
        None => Ok(()),
    }
}

impl From<UriError> for TargetError {
    fn from(error: UriError) -> Self {
        match error {
            UriError::User => Self::NoUser,
            UriError::TooLong
            | UriError::Scheme
            | UriError::Character
            | UriError::Escape
            | UriError::Host
            | UriError::Port
            | UriError::Parameter
            | UriError::Header
            | UriError::TooMany => Self::Uri(error),
        }
    }
}

#[cfg(test)]
mod tests;
