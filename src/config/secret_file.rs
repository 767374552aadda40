//! Secrets: each written out, or in the file that `{key}_file` names.

use std::path::Path;

use config::Value;

use super::file;
use super::mistake::{Origin, join};
use super::section::Section;
use super::value;

/// The value is left out: it may be a secret, or a URL with a password.
const WRONG: &str = "invalid value (not shown: it may be a secret)";

/// The stronger of a key and its `{key}_file`.
struct SecretValue {
    /// The key that was set.
    path: String,
    /// The value of the key, or the text in the file.
    value: Value,
    is_file: bool,
}

impl Section<'_> {
    /// A secret that `parse` takes.
    pub(super) fn secret<T>(
        &mut self,
        key: &str,
        accepted: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let found = self.find(key, |_| value::secret())?;
        self.parse(&found, accepted, parse)
    }

    /// A URL that `parse` takes. Only a password in it is masked.
    pub(super) fn secret_url<T>(
        &mut self,
        key: &str,
        accepted: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let found = self.find(key, |value| value::literal(value, &[]))?;
        self.parse(&found, accepted, parse)
    }

    /// A list of secrets that `parse` takes; in a file, one in each line.
    pub(super) fn secrets<T>(
        &mut self,
        key: &str,
        accepted: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Vec<T> {
        let Some(found) = self.find(key, |_| value::secret()) else {
            return Vec::new();
        };
        let texts: Vec<Option<String>> = if found.is_file {
            let text = value::text_of(&found.value).unwrap_or_default();
            let lines = text.lines().filter(|line| !line.trim().is_empty());
            lines.map(|line| Some(line.to_owned())).collect()
        } else if let Some(items) = value::list_of(&found.value) {
            items.iter().map(value::owned_text).collect()
        } else {
            vec![None]
        };
        let mut parsed = Vec::with_capacity(texts.len());
        for (index, text) in texts.iter().enumerate() {
            match text.as_deref().and_then(&parse) {
                Some(item) => parsed.push(item),
                None => {
                    let origin = value::origin_of(&found.value);
                    self.note(
                        &format!("{}[{index}]", found.path),
                        WRONG,
                        accepted,
                        Some(origin),
                    );
                }
            }
        }
        parsed
    }

    /// Notes that a secret is missing.
    pub(super) fn require_secret(&self, key: &str, accepted: &str) {
        if !self.has(key) && !self.has(&format!("{key}_file")) {
            self.miss(key, accepted);
        }
    }

    fn parse<T>(
        &self,
        found: &SecretValue,
        accepted: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let parsed = value::text_of(&found.value).and_then(parse);
        if parsed.is_none() {
            let origin = value::origin_of(&found.value);
            self.note(&found.path, WRONG, accepted, Some(origin));
        }
        parsed
    }

    /// The stronger layer of the two wins; both in one layer are a mistake.
    fn find(&mut self, key: &str, shown: fn(&Value) -> String) -> Option<SecretValue> {
        let file_key = format!("{key}_file");
        let (mut inline, mut file) = (self.take(key), self.take(&file_key));
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
        let path = file.as_ref().map(|file| value::literal(file, &[]));
        self.show(&file_key, path, file.as_ref());
        match (inline, file) {
            (Some(value), _) => Some(SecretValue {
                path: join(self.name(), key),
                value,
                is_file: false,
            }),
            (None, Some(file)) => {
                let path = join(self.name(), &file_key);
                let origin = value::origin_of(&file);
                let text = self.read_file(&path, &file, &origin)?;
                let value = Value::new(Some(&origin.label()), text);
                Some(SecretValue {
                    path,
                    value,
                    is_file: true,
                })
            }
            (None, None) => None,
        }
    }

    fn read_file(&self, path: &str, value: &Value, origin: &Origin) -> Option<String> {
        let problem = match value::text_of(value) {
            None => "is not a path".to_owned(),
            Some(file) => match file::read_regular(Path::new(file)).and_then(file::text) {
                Ok(text) => {
                    // Editors and `echo` end a file with a line break that is not part of the
                    // secret, and some editors begin it with a byte order mark.
                    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
                    let secret = text.trim_end_matches(['\r', '\n']);
                    if !secret.is_empty() {
                        return Some(secret.to_owned());
                    }
                    format!("the file {file:?} is empty")
                }
                Err(error) => file::unreadable(Path::new(file), error),
            },
        };
        self.note(path, &problem, "the path of a file", Some(origin.clone()));
        None
    }
}
