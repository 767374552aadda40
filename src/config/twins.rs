//! Secrets: each written out or in a file that its twin names.

use std::fs;

use config::Value;

use super::mistake::Origin;
use super::report::join;
use super::secret::Secret;
use super::section::Section;
use super::value;

impl Section<'_> {
    /// A secret, or what the file holds that its twin `{key}_file` names.
    pub(super) fn secret(&mut self, key: &'static str, file_key: &'static str) -> Option<Secret> {
        let accepted = "a text of one line";
        self.secret_text(key, file_key, accepted, |text| {
            (!text.contains(['\r', '\n', '\0'])).then(|| Secret::new(text))
        })
    }

    /// A secret that `parse` takes, or what the file holds that its twin names.
    pub(super) fn secret_text<T>(
        &mut self,
        key: &'static str,
        file_key: &'static str,
        accepted: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        self.twin_text(key, file_key, |_| value::secret(), accepted, parse)
    }

    /// A URL that may hold a password, which is all that is masked of it; or what the file holds
    /// that its twin names.
    pub(super) fn secret_url<T>(
        &mut self,
        key: &'static str,
        file_key: &'static str,
        accepted: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let shown = |value: &Value| value::literal(value, &[]);
        self.twin_text(key, file_key, shown, accepted, parse)
    }

    fn twin_text<T>(
        &mut self,
        key: &'static str,
        file_key: &'static str,
        shown: fn(&Value) -> String,
        accepted: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let (inline, file) = self.take_twins(key, file_key, shown);
        let (path, text, origin) = match (inline, file) {
            (Some(value), _) => {
                let origin = value::origin_of(&value);
                (
                    join(self.name(), key),
                    value::text_of(&value).map(str::to_owned),
                    origin,
                )
            }
            (None, Some(value)) => {
                let (path, origin) = (join(self.name(), file_key), value::origin_of(&value));
                let text = self.read_file(&path, &value, &origin)?;
                (path, Some(text), origin)
            }
            (None, None) => return None,
        };
        let parsed = text.as_deref().and_then(parse);
        if parsed.is_none() {
            self.note(
                &path,
                "does not hold what it should",
                accepted,
                Some(origin),
            );
        }
        parsed
    }

    /// A list of secret texts that `parse` takes, or the lines of the file that its twin names.
    pub(super) fn secret_texts<T>(
        &mut self,
        key: &'static str,
        file_key: &'static str,
        accepted: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Vec<T> {
        let (inline, file) = self.take_twins(key, file_key, |_| value::secret());
        let (path, texts, origin) = match (inline, file) {
            (Some(value), _) => {
                let texts = value::list_of(&value)
                    .map(|items| items.iter().map(value::owned_text).collect());
                (join(self.name(), key), texts, value::origin_of(&value))
            }
            (None, Some(value)) => {
                let (path, origin) = (join(self.name(), file_key), value::origin_of(&value));
                let text = self.read_file(&path, &value, &origin).unwrap_or_default();
                let lines = text.lines().filter(|line| !line.trim().is_empty());
                (
                    path,
                    Some(lines.map(|line| Some(line.to_owned())).collect()),
                    origin,
                )
            }
            (None, None) => return Vec::new(),
        };
        let texts: Vec<Option<String>> = texts.unwrap_or_else(|| vec![None]);
        let mut parsed = Vec::with_capacity(texts.len());
        for (index, text) in texts.iter().enumerate() {
            match text.as_deref().and_then(&parse) {
                Some(item) => parsed.push(item),
                None => {
                    let path = format!("{path}[{index}]");
                    self.note(
                        &path,
                        "does not hold what it should",
                        accepted,
                        Some(origin.clone()),
                    );
                }
            }
        }
        parsed
    }

    /// A secret and its twin, of which the stronger layer stays.
    fn take_twins(
        &mut self,
        key: &'static str,
        file_key: &'static str,
        shown: fn(&Value) -> String,
    ) -> (Option<Value>, Option<Value>) {
        let (mut inline, mut file) = (self.take(key), self.take(file_key));
        if let (Some(a), Some(b)) = (&inline, &file) {
            let (a, b) = (value::origin_of(a), value::origin_of(b));
            if a.is_same_layer(&b) {
                let problem = format!("{key} and {file_key} are both set");
                self.note(&join(self.name(), key), &problem, "one of them", Some(a));
            } else if a > b {
                file = None;
            } else {
                inline = None;
            }
        }
        self.show(key, inline.as_ref().map(shown), inline.as_ref());
        self.show(
            file_key,
            file.as_ref().map(|v| value::literal(v, &[])),
            file.as_ref(),
        );
        (inline, file)
    }

    fn read_file(&self, path: &str, value: &Value, origin: &Origin) -> Option<String> {
        let accepted = "the path of a file";
        let Some(file) = value::text_of(value) else {
            self.note(path, "is not a path", accepted, Some(origin.clone()));
            return None;
        };
        // Editors and `echo` end a file with a line break that is not part of the secret, and some
        // editors begin it with a byte order mark.
        let secret = |text: String| {
            let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
            text.trim_end_matches(['\r', '\n']).to_owned()
        };
        match fs::read_to_string(file).map(secret) {
            Ok(secret) if !secret.is_empty() => Some(secret),
            Ok(_) => {
                let problem = format!("the file {file:?} is empty");
                self.note(path, &problem, accepted, Some(origin.clone()));
                None
            }
            Err(error) => {
                let problem = format!("the file {file:?} cannot be read: {error}");
                self.note(path, &problem, accepted, Some(origin.clone()));
                None
            }
        }
    }
}
