//! The difference between two readings of the configuration.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::supervisor::AgentChanges;
use crate::api::Token;
use crate::config::{Config, HttpSettings, Loaded, Setting};

/// The names of settings and tokens that differ. Never a value.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Difference {
    /// Settings that a reload changes.
    pub(super) live: Vec<String>,
    /// Settings that only a restart changes.
    pub(super) fixed: Vec<String>,
    tokens_added: Vec<String>,
    tokens_removed: Vec<String>,
    tokens_changed: Vec<String>,
}

/// Settings that a reload changes. Accounts and tokens are logged by their names.
const LIVE: &[&str] = &[
    "http.auth",
    "http.hosts",
    "http.metrics_auth",
    "http.refused_rate",
    "http.tls.certificate_file",
    "http.tls.key_file",
    "sip.ca_file",
    "sip.client_cert_file",
    "sip.client_key_file",
    "delivery.ttl",
    "delivery.max_ttl",
    "delivery.max_schedule",
    "delivery.attempts",
    "delivery.max_attempts",
    "delivery.on_unknown",
    "delivery.shutdown_grace",
    "webhooks.allowed_networks",
    "webhooks.ca_file",
    "webhooks.timeout",
];

impl Difference {
    pub(super) fn between(old: &Loaded, new: &Loaded) -> Self {
        let mut difference = Self::default();
        let (before, after) = (settings(old), settings(new));
        for (name, value) in &after {
            if before.get(name) != Some(value) {
                difference.name(name);
            }
        }
        for name in before.keys().filter(|name| !after.contains_key(*name)) {
            difference.name(name);
        }
        difference.name_secrets(&old.config, &new.config);
        difference.name_tokens(&old.config.http, &new.config.http);
        difference
    }

    fn name(&mut self, name: &str) {
        if name == "http.tokens" || name.starts_with("account") {
            return;
        }
        let list = if LIVE.contains(&name) {
            &mut self.live
        } else {
            &mut self.fixed
        };
        if !list.iter().any(|known| known == name) {
            list.push(name.to_owned());
        }
    }

    /// Secrets, whose values are masked in `settings`.
    fn name_secrets(&mut self, old: &Config, new: &Config) {
        if old.webhooks.secret != new.webhooks.secret {
            self.name("webhooks.secret");
        }
        if old.webhooks.encryption_key != new.webhooks.encryption_key {
            self.name("webhooks.encryption_key");
        }
        if old.sip.upgrade_headers != new.sip.upgrade_headers {
            self.name("sip.upgrade_headers");
        }
        let otlp_headers = |config: &Config| config.telemetry.otlp.clone().map(|otlp| otlp.headers);
        if otlp_headers(old) != otlp_headers(new) {
            self.name("telemetry.otlp_headers");
        }
        let hep_password = |config: &Config| config.hep.as_ref().map(|hep| hep.password.clone());
        if hep_password(old) != hep_password(new) {
            self.name("hep.password");
        }
        if old.store.backend != new.store.backend {
            self.name("store.url");
        }
    }

    fn name_tokens(&mut self, old: &HttpSettings, new: &HttpSettings) {
        let is_same = |a: &Token, b: &Token| {
            let secrets = |http: &HttpSettings| http.token_secrets.get(&*a.name).cloned();
            a == b && secrets(old) == secrets(new)
        };
        let (before, after) = (tokens(old), tokens(new));
        for token in after {
            match before.iter().find(|other| other.name == token.name) {
                None => self.tokens_added.push(token.name.to_string()),
                Some(other) if is_same(other, token) => {}
                Some(_) => self.tokens_changed.push(token.name.to_string()),
            }
        }
        for token in before {
            if !after.iter().any(|other| other.name == token.name) {
                self.tokens_removed.push(token.name.to_string());
            }
        }
    }

    pub(super) fn log(&self, changes: &AgentChanges) {
        let settings = list(&self.live);
        let (added, removed) = (list(&self.tokens_added), list(&self.tokens_removed));
        let changed = list(&self.tokens_changed);
        let (started, ended) = (names(&changes.started), names(&changes.ended));
        let replaced = names(&changes.replaced);
        tracing::info!(
            settings,
            tokens.added = added,
            tokens.removed = removed,
            tokens.changed = changed,
            agents.started = started,
            agents.ended = ended,
            agents.replaced = replaced,
            "configuration reloaded"
        );
    }
}

/// Every setting by its name.
fn settings(loaded: &Loaded) -> BTreeMap<String, &Option<String>> {
    let named = |setting: &'_ Setting| format!("{}.{}", setting.section, setting.key);
    let settings = loaded.settings.iter();
    let settings = settings.map(|setting| (named(setting), &setting.value));
    settings.collect()
}

fn tokens(http: &HttpSettings) -> &[Token] {
    http.access.tokens.as_deref().unwrap_or_default()
}

/// `None` leaves a field out of the line.
fn list(names: &[String]) -> Option<String> {
    (!names.is_empty()).then(|| names.join(", "))
}

fn names(names: &[Arc<str>]) -> Option<String> {
    (!names.is_empty()).then(|| names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    fn loaded(text: &str) -> Loaded {
        let sources = Sources {
            text: Some(text.to_owned()),
            ..Sources::default()
        };
        crate::config::load(&sources).unwrap()
    }

    fn token(name: &str, byte: &str) -> String {
        format!("{{ name = \"{name}\", sha256 = \"{}\" }}", byte.repeat(32))
    }

    #[test]
    fn what_is_the_same_makes_no_difference() {
        let text = "[delivery]\nttl = \"2h\"\n";
        let difference = Difference::between(&loaded(text), &loaded(text));
        assert_eq!(difference, Difference::default());
    }

    #[test]
    fn settings_are_told_apart_by_when_they_take_effect() {
        let new = loaded(
            "[delivery]\nttl = \"2h\"\nmax_queued = 5\n[http]\nlisten = \"127.0.0.1:1\"\n\
             [webhooks]\nsecret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\ntimeout = \"5s\"\n",
        );
        let difference = Difference::between(&loaded(""), &new);
        assert_eq!(difference.live, ["delivery.ttl", "webhooks.timeout"]);
        assert_eq!(
            difference.fixed,
            ["delivery.max_queued", "http.listen", "webhooks.secret"]
        );
    }

    #[test]
    fn tokens_are_told_by_name() {
        let old = format!(
            "[http]\ntokens = [{}, {}, {}]",
            token("a", "0a"),
            token("b", "0b"),
            token("c", "0c")
        );
        let new = format!(
            "[http]\ntokens = [{}, {}, {}]",
            token("a", "0a"),
            token("b", "bb"),
            token("d", "0d")
        );
        let difference = Difference::between(&loaded(&old), &loaded(&new));
        assert_eq!(difference.tokens_added, ["d"]);
        assert_eq!(difference.tokens_removed, ["c"]);
        assert_eq!(difference.tokens_changed, ["b"]);
        assert!(difference.live.is_empty() && difference.fixed.is_empty());
    }

    #[test]
    fn what_a_reload_changes_is_in_the_document_and_nothing_else() {
        let document = std::fs::read_to_string("docs/operating.md").unwrap();
        let (_, part) = document.split_once("These take effect at once:").unwrap();
        let (table, _) = part.split_once("Every other setting").unwrap();
        let all = loaded("");
        let known = settings(&all);
        let named = |name: &str| table.contains(&format!("`{name}`"));
        for name in known.keys().filter(|name| *name != "http.tokens") {
            assert_eq!(named(name), LIVE.contains(&name.as_str()), "{name}");
        }
        assert!(named("http.tokens"));
    }

    #[test]
    fn every_live_setting_is_one() {
        let all = loaded("");
        let known = settings(&all);
        for name in LIVE {
            assert!(known.contains_key(*name), "{name}");
        }
    }
}
