//! The configuration: what is compiled in, under a file, under the environment.
//!
//! One file per section. Reading never stops at the first mistake: [`load`] gives a whole
//! [`Config`] or every [`Mistake`] in it, with the key, what is taken instead and where the value
//! came from. `config/default.toml` is the reference of every key.

mod account;
mod address;
mod auth;
mod certificates;
mod delivery;
mod http;
mod layers;
mod mistake;
mod numbers;
mod report;
mod retention;
mod sandbox;
mod secret;
mod secret_file;
mod section;
mod sip;
mod store;
mod telemetry;
mod toml_file;
mod units;
mod value;
mod variable;
mod web_address;
mod webhooks;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

pub use account::{Account, Credentials, Server};
pub use address::{AddressOfRecord, Registrar};
pub use auth::{Auth, Token, TokenAccess};
pub use certificates::Authorities;
pub use delivery::Delivery;
pub use http::{Http, HttpTls, Origin as PageOrigin, ProxyHeader};
pub use layers::{DEFAULTS, Sources};
pub use mistake::{Mistake, Mistakes, Origin};
pub use report::Setting;
pub use retention::{Bodies, Retention};
pub use sandbox::Sandbox;
pub use secret::Secret;

pub use sip::{ClientCertificate, Keepalive, Sip};
pub use store::{Place, Store, Synchronous};
pub use telemetry::{LogFormat, Otlp, Telemetry};
pub use web_address::is_this_machine;
pub use web_address::masked;
pub use webhooks::Webhooks;

use self::report::Report;
use self::section::Section;
use self::variable::Known;
use crate::message::Limits;

/// Everything that can be set, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients come in.
    pub http: Http,
    /// Where messages and events are kept.
    pub store: Store,
    /// Whom we send as. Empty: the sandbox stands in.
    pub accounts: Vec<Account>,
    /// How agents connect.
    pub sip: Sip,
    /// What holds for messages.
    pub delivery: Delivery,
    /// How events are posted.
    pub webhooks: Webhooks,
    /// How long what has ended is kept.
    pub retention: Retention,
    /// What is told of what goes on.
    pub telemetry: Telemetry,
    /// The built-in SIP server.
    pub sandbox: Sandbox,
}

/// A configuration, and how it came about.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What holds.
    pub config: Arc<Config>,
    /// Every key with its value and where it came from, in the order of the sections.
    pub settings: Vec<Setting>,
    /// The file that was read, if one was.
    pub file: Option<PathBuf>,
}

/// Reads the configuration, or finds every mistake in it.
pub fn load(sources: &Sources) -> Result<Loaded, Mistakes> {
    let merged = sources.merge(&known_settings());
    let report = Report {
        places: merged.places,
        ..Report::default()
    };
    report.mistakes.borrow_mut().extend(merged.mistakes);
    let config = read(merged.tables, &report);
    if sources.checks_store {
        config.store.check(&report);
    }

    let mistakes = report.mistakes.into_inner();
    if !mistakes.is_empty() {
        return Err(Mistakes(mistakes));
    }
    Ok(Loaded {
        config: Arc::new(config),
        settings: report.settings.into_inner(),
        file: sources.chosen_file().map(PathBuf::from),
    })
}

fn read(mut tables: ::config::Map<String, ::config::Value>, report: &Report) -> Config {
    let accounts = tables.remove("account");
    let mut section = |name: &str| Section::new(name, tables.remove(name), report);
    let config = Config {
        http: Http::read(section("http")),
        store: Store::read(section("store")),
        accounts: read_accounts(accounts, report),
        sip: Sip::read(section("sip")),
        delivery: Delivery::read(section("delivery")),
        webhooks: Webhooks::read(section("webhooks")),
        retention: Retention::read(section("retention")),
        telemetry: Telemetry::read(section("telemetry")),
        sandbox: Sandbox::read(section("sandbox")),
    };
    Section::of_rest(tables, report).finish();
    config.http.auth.check_accounts(&config.accounts, report);
    config
}

/// Every setting there is, those of an account included: what variables may name.
fn known_settings() -> Known {
    let defaults = Sources::default().merge(&Known::default());
    let report = Report::default();
    read(defaults.tables, &report);
    let no_values = ::config::ValueKind::Table(::config::Map::new());
    let account = ::config::Value::new(None, no_values);
    Account::read(Section::new("account[0]", Some(account), &report));
    Known::of(&report.settings.into_inner())
}

fn read_accounts(value: Option<::config::Value>, report: &Report) -> Vec<Account> {
    let sections = Section::list("account", value, report);
    let mut accounts: Vec<Account> = Vec::with_capacity(sections.len());
    for section in sections {
        let name = section.name().to_owned();
        let Some(account) = Account::read(section) else {
            continue;
        };
        if accounts.iter().any(|other| other.uri.is_same(&account.uri)) {
            let problem = "another account has this address";
            report.wrong(&format!("{name}.uri"), problem, "an address of its own");
        }
        accounts.push(account);
    }
    accounts
}

impl Config {
    /// Reads a configuration from a text alone, without file or environment.
    pub fn from_toml(text: &str) -> Result<Self, Mistakes> {
        let sources = Sources {
            text: Some(text.to_owned()),
            ..Sources::default()
        };
        load(&sources).map(|loaded| Arc::unwrap_or_clone(loaded.config))
    }

    /// What a client may ask for, and what holds where it does not.
    pub fn limits(&self) -> Limits {
        Limits {
            ttl: self.delivery.ttl,
            max_ttl: self.delivery.max_ttl,
            max_schedule: self.delivery.max_schedule,
            attempts: self.delivery.attempts,
            max_attempts: self.delivery.max_attempts,
            on_unknown: self.delivery.on_unknown,
            webhook_secret: self.webhooks.secret.is_some(),
        }
    }
}
