//! Phone numbers, and `tel` URIs (RFC 3966) as SIP URIs (RFC 3261 §19.1.6).

use super::{TargetError, assemble, host_and_params, is_dash, is_invisible, refuse_invisible};
use crate::sip::uri::{Scheme, Uri, UriError, escape};

/// The number without what people write between its digits, if these bytes are nothing but a
/// number: digits, separators, and at most one `+` before the first digit.
pub(super) fn without_separators(user: &[u8]) -> Option<String> {
    let user = std::str::from_utf8(user).ok()?;
    let number: String = user.chars().filter(|char| !is_separator(*char)).collect();
    let digits = number.strip_prefix('+').unwrap_or(&number);
    let only_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    (only_digits && !user.is_empty()).then_some(number)
}

/// RFC 3966 §3, `visual-separator`, and what a copied number has besides: blanks, dashes and
/// invisible characters of every kind. A control character other than a tab is no accident of
/// copying: it stays, and is refused.
fn is_separator(char: char) -> bool {
    match char {
        '.' | '(' | ')' | '\t' => true,
        _ => is_dash(char) || is_invisible(char) && !char.is_control(),
    }
}

/// Turns what follows `tel:` into a SIP URI at the host of `account`, or at the host that follows
/// an `@`, which is not a `tel` URI but is written all the same.
pub(super) fn normalize(rest: &str, account: &Uri) -> Result<Uri, TargetError> {
    let (subscriber, (host, mut params_of_uri)) = match rest.rsplit_once('@') {
        Some((subscriber, domain)) => (subscriber, host_and_params(domain)?),
        None => (rest, (account.host_and_port().into(), String::new())),
    };
    let (number, params) = match subscriber.split_once(';') {
        Some((number, params)) => (number, Some(params)),
        None => (subscriber, None),
    };
    let mut user = String::with_capacity(rest.len());
    push(&mut user, &digits_of(number)?);
    match params {
        None => {}
        Some(params) => {
            push_params(&mut user, params)?;
            params_of_uri.push_str(";user=phone");
        }
    }
    assemble(Scheme::Sip, &user, &host, &params_of_uri)
}

/// `global-number-digits` or `local-number-digits`.
fn digits_of(number: &str) -> Result<String, TargetError> {
    let bytes = escape::try_unescape(number)?;
    let number = std::str::from_utf8(&bytes).map_err(|_| TargetError::NotANumber)?;
    let number: String = number.chars().filter(|char| !is_separator(*char)).collect();
    let is_number = match number.strip_prefix('+') {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.is_empty(),
        None => {
            number
                .bytes()
                .all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'*' | b'#'))
                && number
                    .bytes()
                    .any(|byte| byte.is_ascii_digit() || matches!(byte, b'*' | b'#'))
        }
    };
    is_number.then_some(number).ok_or(TargetError::NotANumber)
}

/// Appends the parameters in the order that makes two spellings of one number equal: `ext` and
/// `isub`, `phone-context`, then the others by name (RFC 3966 §3, RFC 3261 §19.1.6).
fn push_params(user: &mut String, params: &str) -> Result<(), TargetError> {
    let mut all = Vec::new();
    for (index, param) in params.split(';').enumerate() {
        if index == Uri::MAX_PARAMETERS {
            return Err(UriError::TooMany.into());
        }
        let (name, value) = match param.split_once('=') {
            Some((name, value)) => (name.to_ascii_lowercase(), Some(value)),
            None => (param.to_ascii_lowercase(), None),
        };
        let is_name = name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if name.is_empty() || !is_name || all.iter().any(|(_, given, _)| *given == name) {
            return Err(UriError::Parameter.into());
        }
        all.push((rank(&name), name, value));
    }
    all.sort();
    for (_, name, value) in all {
        user.push(';');
        user.push_str(&name);
        if let Some(value) = value {
            user.push('=');
            push(user, &value_of(&name, value)?);
        }
    }
    Ok(())
}

fn rank(name: &str) -> u8 {
    match name {
        "ext" | "isub" => 0,
        "phone-context" => 1,
        _ => 2,
    }
}

fn value_of(name: &str, value: &str) -> Result<String, TargetError> {
    let is_number = name == "ext" || (name == "phone-context" && value.starts_with('+'));
    if is_number {
        return digits_of(value);
    }
    refuse_invisible(value)?;
    let bytes = escape::try_unescape(value)?;
    let value = String::from_utf8(bytes).map_err(|_| UriError::Parameter)?;
    // A parameter's value is compared without regard to case (RFC 3966 §4).
    Ok(value.to_lowercase())
}

fn push(user: &mut String, part: &str) {
    escape::push_bytes(user, part.as_bytes(), |byte| b"+&$/".contains(&byte));
}
