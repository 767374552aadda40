//! A webhook as a client writes it in JSON.

use std::sync::Arc;

use serde::Deserialize;
use serde::Deserializer;
use url::Url;

use crate::api::Api;
use crate::api::access::Caller;
use crate::api::error::ApiError;
use crate::message::EventKind;
use crate::message::Timestamp;
use crate::message::Violation;
use crate::store::Change;
use crate::store::Disabled;
use crate::store::DisabledBecause;
use crate::webhook::NewEndpoint;

/// The longest description, in bytes.
const MAX_DESCRIPTION: usize = 512;
/// The most accounts a webhook can name.
const MAX_ACCOUNTS: usize = 100;

/// The members of `POST /webhooks`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NewEndpointJson {
    url: String,
    #[serde(default)]
    types: Option<Vec<String>>,
    #[serde(default)]
    from: Option<Vec<String>>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    enabled: Option<bool>,
}

/// The members of `PATCH /webhooks/{id}`. Where null means something there are two options: the
/// outer is whether the member is there.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ChangeJson {
    #[serde(default, deserialize_with = "given")]
    url: Option<String>,
    #[serde(default, deserialize_with = "given")]
    types: Option<Option<Vec<String>>>,
    #[serde(default, deserialize_with = "given")]
    from: Option<Option<Vec<String>>>,
    #[serde(default, deserialize_with = "given")]
    description: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    enabled: Option<bool>,
}

/// The members of `POST /webhooks/{id}/recover`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RecoverJson {
    since: String,
    #[serde(default)]
    until: Option<String>,
}

fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

impl NewEndpointJson {
    pub(super) fn check(self, api: &Api, caller: &Caller) -> Result<NewEndpoint, ApiError> {
        let mut findings = Findings::default();
        let url = findings.url(api, &self.url);
        let kinds = findings.kinds(self.types.unwrap_or_default());
        let accounts = findings.accounts(api, caller, self.from.unwrap_or_default());
        findings.check_description(self.description.as_deref());
        let url = findings.end(url)?;
        Ok(NewEndpoint {
            url,
            kinds,
            accounts,
            description: self.description,
            disabled: self.enabled == Some(false),
        })
    }
}

impl ChangeJson {
    pub(super) fn check(self, api: &Api, caller: &Caller) -> Result<Change, ApiError> {
        let mut findings = Findings::default();
        let url = self.url.and_then(|url| findings.url(api, &url));
        let kinds = self
            .types
            .map(|types| findings.kinds(types.unwrap_or_default()));
        let accounts = self
            .from
            .map(|from| findings.accounts(api, caller, from.unwrap_or_default()));
        if let Some(description) = &self.description {
            findings.check_description(description.as_deref());
        }
        findings.end(Some(()))?;
        let disabled = Disabled {
            because: DisabledBecause::Request,
            at: api.clock.now(),
        };
        Ok(Change {
            url: url.map(|url| url.as_str().into()),
            kinds,
            accounts,
            description: self.description,
            disabled: self.enabled.map(|enabled| (!enabled).then_some(disabled)),
            ..Change::default()
        })
    }
}

impl RecoverJson {
    /// From when until when; until now when the client does not say.
    pub(super) fn check(self, now: Timestamp) -> Result<(Timestamp, Timestamp), ApiError> {
        let time = |text: &str, pointer: &str| {
            let parsed = text.parse::<Timestamp>();
            parsed.map_err(|error| ApiError::invalid(pointer, error.to_string()))
        };
        let since = time(&self.since, "/since")?;
        let until = match &self.until {
            Some(until) => time(until, "/until")?,
            None => now,
        };
        if since >= until {
            return Err(ApiError::invalid(
                "/since",
                "a time before `until`, in the past",
            ));
        }
        Ok((since, until))
    }
}

/// Collects what is wrong, so that a client reads every mistake at once.
#[derive(Default)]
struct Findings(Vec<Violation>);

impl Findings {
    fn add(&mut self, pointer: String, detail: impl Into<String>) {
        let detail = detail.into();
        self.0.push(Violation { pointer, detail });
    }

    /// What was checked, when nothing at all is wrong.
    fn end<T>(&mut self, checked: Option<T>) -> Result<T, ApiError> {
        match checked {
            Some(checked) if self.0.is_empty() => Ok(checked),
            Some(_) | None => Err(ApiError::Invalid(std::mem::take(&mut self.0))),
        }
    }

    fn url(&mut self, api: &Api, text: &str) -> Option<Url> {
        let checked = api.webhooks.check_url(text);
        checked
            .map_err(|refusal| self.add("/url".to_owned(), refusal.to_string()))
            .ok()
    }

    fn kinds(&mut self, words: Vec<String>) -> Vec<EventKind> {
        let mut kinds = Vec::new();
        for (at, word) in words.iter().enumerate() {
            match EventKind::from_word(word) {
                Some(kind) if !kinds.contains(&kind) => kinds.push(kind),
                Some(_) => {}
                None => {
                    let words = "sending, deferred, succeeded or failed";
                    self.add(format!("/types/{at}"), words);
                }
            }
        }
        kinds
    }

    /// For a caller with accounts of its own these, when it names none.
    fn accounts(&mut self, api: &Api, caller: &Caller, given: Vec<String>) -> Vec<Arc<str>> {
        if given.len() > MAX_ACCOUNTS {
            self.add("/from".to_owned(), format!("at most {MAX_ACCOUNTS}"));
            return Vec::new();
        }
        let mut accounts: Vec<Arc<str>> = Vec::new();
        for (at, from) in given.iter().enumerate() {
            match api.addressing.account(from) {
                Some(account) if !caller.sees(Some(&account)) => {
                    let words = "the token is not for this account";
                    self.add(format!("/from/{at}"), words);
                }
                Some(account) if !accounts.contains(&account) => accounts.push(account),
                Some(_) => {}
                None => {
                    let words = "not the address of a configured account";
                    self.add(format!("/from/{at}"), words);
                }
            }
        }
        match caller.accounts() {
            Some(own) if given.is_empty() => own.to_vec(),
            Some(_) | None => accounts,
        }
    }

    fn check_description(&mut self, description: Option<&str>) {
        if description.is_some_and(|text| text.len() > MAX_DESCRIPTION) {
            let words = format!("at most {MAX_DESCRIPTION} bytes");
            self.add("/description".to_owned(), words);
        }
    }
}
