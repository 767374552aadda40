//! A webhook as a client writes it in JSON.

use std::ops::ControlFlow;
use std::sync::Arc;

use url::Url;

use crate::api::Api;
use crate::api::error::ApiError;
use crate::api::value::{Shape, Value};
use crate::message::{EventKind, EventKinds, Timestamp, Violations};
use crate::store::{Change, Disabled, DisabledBecause};
use crate::webhook::NewEndpoint;

/// The longest description, in bytes.
const MAX_DESCRIPTION: usize = 512;
/// The most accounts, or types, that a webhook can name.
const MAX_NAMED: usize = 100;

const NEW: Shape = Shape {
    noun: "a webhook",
    members: &["url", "types", "from", "description", "enabled"],
    required: &["url"],
    null_is_absent: true,
};

/// `null` brings back what holds without the member (RFC 7396); `url` and `enabled` have no such.
const CHANGE: Shape = Shape {
    required: &[],
    null_is_absent: false,
    ..NEW
};

const RECOVERY: Shape = Shape {
    noun: "a recovery",
    members: &["since", "until"],
    required: &["since"],
    null_is_absent: true,
};

/// Reads the members of `POST /webhooks`.
pub(super) fn new_endpoint(api: &Api, bytes: &[u8]) -> Result<NewEndpoint, ApiError> {
    let members = members(api, &NEW, bytes)?;
    // Required, so there is one when nothing is wrong.
    let url = members
        .url
        .ok_or_else(|| ApiError::invalid("/url", "required"))?;
    let accounts = members.accounts.unwrap_or_default();
    Ok(NewEndpoint {
        url,
        kinds: members.kinds.unwrap_or_else(all_kinds),
        accounts,
        description: members.description.flatten(),
        disabled: members.enabled == Some(false),
    })
}

/// Reads the members of `PATCH /webhooks/{id}`.
pub(super) fn change(api: &Api, bytes: &[u8]) -> Result<Change, ApiError> {
    let members = members(api, &CHANGE, bytes)?;
    let disabled = Disabled {
        because: DisabledBecause::Request,
        at: api.clock.now(),
    };
    Ok(Change {
        url: members.url.map(|url| url.as_str().into()),
        kinds: members.kinds,
        accounts: members.accounts,
        description: members.description,
        disabled: members
            .enabled
            .map(|enabled| (!enabled).then_some(disabled)),
        ..Change::default()
    })
}

/// Reads the members of `POST /webhooks/{id}/recover`: from when until when; until now when the
/// client does not say.
pub(super) fn recovery(bytes: &[u8], now: Timestamp) -> Result<(Timestamp, Timestamp), ApiError> {
    let mut violations = Violations::default();
    let (mut since, mut until) = (None, Some(now));
    let document = Value::document(bytes)?;
    document.object(&RECOVERY, &mut violations, |name, value, violations| {
        let time = time(value, violations);
        match name {
            "since" => since = time,
            _ => until = time,
        }
    });
    if let (Some(since), Some(until)) = (since, until)
        && since >= until
    {
        let detail = "expected a time in the past, before `until`";
        violations.add(document.place().member("since"), detail);
    }
    match (since, until) {
        (Some(since), Some(until)) if violations.is_empty() => Ok((since, until)),
        _ => Err(ApiError::Invalid(violations)),
    }
}

/// The members of a webhook that were given and are in order.
#[derive(Default)]
struct WebhookMembers {
    url: Option<Url>,
    kinds: Option<Vec<EventKind>>,
    accounts: Option<Vec<Arc<str>>>,
    /// `Some(None)` takes it away.
    description: Option<Option<String>>,
    enabled: Option<bool>,
}

/// Reads the members of a webhook, or tells everything that is wrong with them.
fn members(api: &Api, shape: &Shape, bytes: &[u8]) -> Result<WebhookMembers, ApiError> {
    let mut violations = Violations::default();
    let mut members = WebhookMembers::default();
    let document = Value::document(bytes)?;
    document.object(
        shape,
        &mut violations,
        |name, value, violations| match name {
            "url" => members.url = url(api, value, violations),
            "types" => members.kinds = Some(kinds(value, violations)),
            "from" => members.accounts = Some(accounts(api, value, violations)),
            "description" => members.description = Some(description(value, violations)),
            // The shape has no others.
            _ => members.enabled = value.boolean(violations),
        },
    );
    if violations.is_empty() {
        Ok(members)
    } else {
        Err(ApiError::Invalid(violations))
    }
}

fn time(value: Value<'_>, violations: &mut Violations) -> Option<Timestamp> {
    let parsed = value.text(violations)?.parse::<Timestamp>();
    parsed
        .map_err(|error| violations.add(value.place(), error))
        .ok()
}

fn url(api: &Api, value: Value<'_>, violations: &mut Violations) -> Option<Url> {
    let text = value.name(violations)?;
    let checked = api.webhooks.check_url(&text);
    checked
        .map_err(|refusal| violations.add(value.place(), refusal))
        .ok()
}

/// The types of messages that there are now: a webhook for all of them is sent no others, should
/// there be more. Events of agents are for those that name them.
fn all_kinds() -> Vec<EventKind> {
    EventKinds::of_messages().iter().collect()
}

/// `null` stands for all, as no item does.
fn kinds(value: Value<'_>, violations: &mut Violations) -> Vec<EventKind> {
    let mut kinds = Vec::new();
    each_of(
        value,
        violations,
        |word, value, violations| match EventKind::from_word(word) {
            Some(kind) if !kinds.contains(&kind) => kinds.push(kind),
            Some(_) => {}
            None => violations.add(value.place(), format_args!("expected {}", EventKind::WORDS)),
        },
    );
    if kinds.is_empty() {
        return all_kinds();
    }
    kinds
}

fn accounts(api: &Api, value: Value<'_>, violations: &mut Violations) -> Vec<Arc<str>> {
    let mut accounts: Vec<Arc<str>> = Vec::new();
    each_of(value, violations, |from, value, violations| {
        match api.accounts.account(from) {
            Some(account) if !accounts.contains(&account) => accounts.push(account),
            Some(_) => {}
            None => violations.add(value.place(), "not the address of a configured account"),
        }
    });
    accounts
}

fn description(value: Value<'_>, violations: &mut Violations) -> Option<String> {
    if value.is_null() {
        return None;
    }
    let text = value.name(violations)?;
    if text.len() > MAX_DESCRIPTION {
        violations.add(
            value.place(),
            format_args!("at most {MAX_DESCRIPTION} bytes"),
        );
        return None;
    }
    Some(text)
}

/// Reads an array of strings, as many as a webhook can name; `null` has none.
fn each_of(
    list: Value<'_>,
    violations: &mut Violations,
    mut each: impl FnMut(&str, Value<'_>, &mut Violations),
) {
    if list.is_null() {
        return;
    }
    list.items(
        "an array of strings",
        violations,
        |index, value, violations| {
            if index == MAX_NAMED {
                violations.add(list.place(), format_args!("at most {MAX_NAMED}"));
                return ControlFlow::Break(());
            }
            if let Some(text) = value.text(violations) {
                each(&text, value, violations);
            }
            ControlFlow::Continue(())
        },
    );
}
