//! What paths and query strings say; a mistake in one is reported like any other.

use std::str::FromStr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::extract::rejection::PathRejection;
use axum::http::Uri;
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Api;
use super::access::Caller;
use super::error::ApiError;
use crate::events::FeedStart;
use crate::message::EventId;
use crate::store::Accounts;

/// A query string that says only what its reader knows.
pub(super) struct Query<T>(pub(super) T);

/// The query string of a call without parameters: anything in it is a typo, or belongs to another
/// call.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        read(&parts.uri).map(Self)
    }
}

fn read<T: DeserializeOwned>(uri: &Uri) -> Result<T, ApiError> {
    let query = uri.query().unwrap_or_default();
    let pairs = || url::form_urlencoded::parse(query.as_bytes());
    let is_odd = |text: &str| text.chars().any(char::is_control);
    if let Some((name, _)) = pairs().find(|(name, value)| is_odd(name) || is_odd(value)) {
        let name: String = name.chars().filter(|char| !char.is_control()).collect();
        let words = format!("{name}: control characters are not accepted here");
        return Err(ApiError::Query(words));
    }
    // In a form a plus is a blank. Here it begins phone numbers, and no parameter has blanks.
    let plain = if query.contains('+') {
        Uri::try_from(format!("/?{}", query.replace('+', "%2B"))).ok()
    } else {
        None
    };
    let read = axum::extract::Query::try_from_uri(plain.as_ref().unwrap_or(uri));
    read.map(|axum::extract::Query(query)| query)
        .map_err(|rejection| ApiError::Query(sentence(&rejection.body_text())))
}

/// What serde says of a query string, as its writer would put it.
fn sentence(whole: &str) -> String {
    let words = whole.split_once("query string: ");
    let words = words.map_or(whole, |(_, words)| words);
    // serde says it after the name; the name itself may be anything.
    let unknown = words.split_once(": unknown field `").map(|(name, _)| {
        let known = words.rsplit_once("`, expected ");
        (name, known.map(|(_, known)| known))
    });
    match unknown {
        Some((name, Some(known))) => {
            let known = known.trim_start_matches("one of ").replace('`', "");
            format!("{name}: unknown parameter; expected one of {known}")
        }
        Some((name, None)) => format!("{name}: there are no parameters here"),
        None => match words.split_once("duplicate field `") {
            Some((_, name)) => format!("{}: given twice", name.trim_end_matches('`')),
            None => words.to_owned(),
        },
    }
}

/// The last variable of the path.
pub(super) struct Id(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let read: Result<axum::extract::Path<String>, PathRejection> =
            axum::extract::Path::from_request_parts(parts, state).await;
        // Such as escapes that are no UTF-8, and control characters: nothing is called that.
        read.ok()
            .filter(|axum::extract::Path(id)| !id.chars().any(char::is_control))
            .map(|axum::extract::Path(id)| Self(id))
            .ok_or(ApiError::NotFound("nothing has this id"))
    }
}

/// How many a page has when the client does not say, and at most.
const DEFAULT_LIMIT: usize = 50;
pub(super) const MAX_LIMIT: usize = 500;

/// `limit=`.
pub(super) fn limit(given: Option<&str>) -> Result<usize, ApiError> {
    limit_or(given, DEFAULT_LIMIT)
}

/// `limit=`, where a page has as many as this when the client does not say.
pub(super) fn limit_or(given: Option<&str>, default: usize) -> Result<usize, ApiError> {
    let Some(given) = given else {
        return Ok(default);
    };
    match given.parse() {
        Ok(limit) if (1..=MAX_LIMIT).contains(&limit) => Ok(limit),
        _ => Err(ApiError::Query(format!(
            "limit: expected a number from 1 to {MAX_LIMIT}"
        ))),
    }
}

/// `cursor=`, an id.
pub(super) fn cursor<T: FromStr>(given: Option<&str>) -> Result<Option<T>, ApiError> {
    let words = "cursor: expected the `nextCursor` of another page";
    let parse = |text: &str| text.parse().map_err(|_| ApiError::Query(words.to_owned()));
    given.map(parse).transpose()
}

/// `after=`.
pub(super) fn after(given: Option<&str>) -> Result<Option<FeedStart>, ApiError> {
    let start = given.map(|given| {
        let words = "after: expected the id of an event, or \"earliest\"";
        FeedStart::parse(given).map_err(|_| ApiError::Query(words.to_owned()))
    });
    start.transpose()
}

/// `before=`, where it is not `latest`.
pub(super) fn before(given: &str) -> Result<EventId, ApiError> {
    let words = "before: expected the id of an event, or \"latest\"";
    given.parse().map_err(|_| ApiError::Query(words.to_owned()))
}

/// `target=`, normalized as that of a message is.
pub(super) fn uri(api: &Api, target: Option<&str>) -> Result<Option<Arc<str>>, ApiError> {
    let resolve = |target| {
        let recipient = api.accounts.resolve(target, None);
        recipient
            .map(|recipient| recipient.uri)
            .map_err(|error| ApiError::Query(format!("target: {error}")))
    };
    target.map(resolve).transpose()
}

/// A parameter of this name, such as `from=`: one of our accounts that the caller may see; without
/// it all of these, or `None` for any.
pub(super) fn accounts(
    api: &Api,
    caller: &Caller,
    name: &str,
    given: Option<&str>,
) -> Result<Option<Accounts>, ApiError> {
    let Some(given) = given else {
        return Ok(caller.account_set().cloned());
    };
    let account = api.accounts.account(given);
    if !caller.sees(account.as_deref()) {
        return Err(ApiError::Forbidden("the token is not for this account"));
    }
    let unknown = || format!("{name}: not the address of a configured account");
    let account = account.ok_or_else(|| ApiError::Query(unknown()))?;
    Ok(Some(Arc::new([account].into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Asked {
        target: Option<String>,
        from: Option<String>,
    }

    fn ask(query: &str) -> Result<Asked, String> {
        let uri = format!("/messages?{query}").parse().unwrap();
        read(&uri).map_err(|error| error.to_string())
    }

    #[test]
    fn a_plus_is_a_plus() {
        let asked = ask("target=+49%2030+1&from=sip%3A%2B49@a.example").unwrap();
        assert_eq!(asked.target.as_deref(), Some("+49 30+1"));
        assert_eq!(asked.from.as_deref(), Some("sip:+49@a.example"));
        let mistake = ask("a+b=1").unwrap_err();
        assert!(mistake.starts_with("a+b: unknown parameter"), "{mistake}");
    }

    #[test]
    fn control_characters_are_refused_in_names_and_values() {
        for query in [
            "target=%00",
            "target=a%0Ab",
            "target=%7F",
            "target=%C2%85",
            "from=+%09",
        ] {
            let name = query.split('=').next().unwrap_or_default();
            let expected = format!("{name}: control characters are not accepted here");
            assert_eq!(ask(query).unwrap_err(), expected, "{query}");
        }
        assert!(ask("%00target=a").is_err());
    }
}
