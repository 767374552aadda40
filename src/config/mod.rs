//! The configuration: defaults, overridden by a file, overridden by the environment.
//!
//! It is read into the settings of the rooms. Reading never stops at the first mistake: [`load`]
//! returns a whole [`Config`] or every [`Mistake`], each with its key, the accepted values and the
//! origin of the value. `config/default.toml` is the reference of every key.

mod account;
mod certificates;
mod file;
mod findings;
mod http;
mod layers;
mod mask;
mod mistake;
mod numbers;
mod receive;
mod secret_file;
mod section;
mod sections;
mod sip;
mod store;
mod tokens;
mod toml_file;
mod trace;
mod value;
mod variable;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

pub use account::Account;
pub use certificates::Authorities;
pub use findings::Setting;
pub use http::{HttpSettings, HttpTls};
pub use layers::{DEFAULTS, Sources};
pub use mask::{Secret, is_this_machine, masked};
pub use mistake::{Mistake, Mistakes, Origin};
pub use receive::ReceivingSettings;
pub use sections::{DeliverySettings, SandboxSettings, WebhookSettings};
pub use sip::SipSettings;
pub use store::{Backend, StoreSettings};
pub use value::parse_duration as duration;

use self::findings::Findings;
use self::section::Section;
use self::variable::KnownVariables;
use crate::retention;
use crate::telemetry;
use crate::trace::HepSettings;

/// Every setting, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// How clients are served.
    pub http: HttpSettings,
    /// Where messages and events are kept.
    pub store: StoreSettings,
    /// The addresses that we send as. Without one the sandbox is used.
    pub accounts: Vec<Account>,
    pub sip: SipSettings,
    /// Which messages from peers are accepted.
    pub receive: ReceivingSettings,
    /// What holds for messages.
    pub delivery: DeliverySettings,
    /// How events are posted.
    pub webhooks: WebhookSettings,
    /// How long what has ended is kept.
    pub retention: retention::Settings,
    /// Which SIP frames are kept.
    pub trace: crate::trace::Settings,
    /// Where they are sent, if anywhere.
    pub hep: Option<HepSettings>,
    /// The log, and where spans go.
    pub telemetry: telemetry::Settings,
    /// The built-in SIP server.
    pub sandbox: SandboxSettings,
}

/// A configuration and the origins of its values.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Arc<Config>,
    /// Every key with its value and where it came from, in the order of the sections.
    pub settings: Vec<Setting>,
    /// The file that was read, if one was.
    pub file: Option<PathBuf>,
}

/// Reads the configuration, or finds every mistake in it.
pub fn load(sources: &Sources) -> Result<Loaded, Mistakes> {
    let merged = sources.merge(&known_settings());
    let findings = Findings {
        places: merged.places,
        ..Findings::default()
    };
    findings.mistakes.borrow_mut().extend(merged.mistakes);
    let config = read(merged.tables, &findings);
    if sources.checks_store {
        config.store.check(&findings);
    }
    if sources.checks_database {
        config.store.check_database(&findings);
    }

    let mistakes = findings.mistakes.into_inner();
    if !mistakes.is_empty() {
        return Err(Mistakes(mistakes));
    }
    Ok(Loaded {
        config: Arc::new(config),
        settings: findings.settings.into_inner(),
        file: sources.chosen_file().map(PathBuf::from),
    })
}

/// Reads `[store]` alone. The other sections may name files that are not there while the gateway is
/// stopped, such as the credentials that systemd passes to it.
pub fn load_store(sources: &Sources) -> Result<StoreSettings, Mistakes> {
    let mut merged = sources.merge(&known_settings());
    let findings = Findings {
        places: merged.places,
        ..Findings::default()
    };
    findings.mistakes.borrow_mut().extend(merged.mistakes);
    let section = Section::new("store", merged.tables.remove("store"), &findings);
    let store = StoreSettings::read(section, &findings);
    let mistakes = findings.mistakes.into_inner();
    if mistakes.is_empty() {
        Ok(store)
    } else {
        Err(Mistakes(mistakes))
    }
}

fn read(mut tables: ::config::Map<String, ::config::Value>, findings: &Findings) -> Config {
    let accounts = tables.remove("account");
    let addresses = account::addresses(accounts.as_ref());
    let mut section = |name: &str| Section::new(name, tables.remove(name), findings);
    let http = HttpSettings::read(section("http"), &addresses);
    let store = StoreSettings::read(section("store"), findings);
    let accounts = account::read_all(accounts, findings);
    let sip = SipSettings::read(section("sip"));
    let mut config = Config {
        http,
        store,
        accounts,
        receive: ReceivingSettings::read(section("receive"), &sip),
        sip,
        delivery: DeliverySettings::read(section("delivery")),
        webhooks: WebhookSettings::read(section("webhooks")),
        retention: sections::retention(section("retention")),
        trace: trace::trace(section("trace")),
        hep: trace::hep(section("hep")),
        telemetry: sections::telemetry(section("telemetry")),
        sandbox: SandboxSettings::read(section("sandbox")),
    };
    Section::of_rest(tables, findings).finish();
    // Settings of a room that stand in the section of another.
    config.http.settings.max_queued = config.delivery.max_queued;
    config.retention.frames = config.trace.retention;
    config.delivery.limits.webhook_secret = config.webhooks.secret.is_some();
    config
}

/// Every setting, those of an account included, for the names of variables.
fn known_settings() -> KnownVariables {
    let defaults = Sources::default().merge(&KnownVariables::default());
    let findings = Findings::default();
    read(defaults.tables, &findings);
    let no_values = ::config::ValueKind::Table(::config::Map::new());
    let account = ::config::Value::new(None, no_values);
    Account::read(Section::new("account[0]", Some(account), &findings));
    KnownVariables::of(&findings.settings.into_inner())
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
}
