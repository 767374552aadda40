//! TOML with the line that each value stands in.

use std::collections::BTreeMap;
use std::ops::Range;

use config::{Map, Value};
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::mistake::{Mistake, join};

/// Where each table begins: its path, such as `http.tls`, and a label of the layering.
pub(super) type Places = BTreeMap<String, String>;

/// A document that was read.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) values: Map<String, Value>,
    pub(super) places: Places,
}

/// Reads a document. `name` is for mistakes; `label` names a line, counted from 1.
///
/// Keys that hold an empty text are left out: they count as not set, and must not hide a weaker
/// layer.
pub(super) fn read(
    name: &str,
    text: &str,
    label: &dyn Fn(usize) -> String,
) -> Result<Document, Mistake> {
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        not_toml(name, text, at, error.message())
    })?;
    let mut reader = DocumentReader {
        name,
        text,
        label,
        places: Places::new(),
    };
    let values = reader.table("", table.into_inner())?;
    Ok(Document {
        values,
        places: reader.places,
    })
}

/// A value as TOML writes it in one line: `["a", "b"]`, `{ name = "a" }`.
pub(super) fn inline(text: &str, label: &str) -> Option<Value> {
    let document = format!("value = {text}");
    let mut values = read("", &document, &|_| label.to_owned()).ok()?.values;
    // A line break would let the text add keys of its own.
    (values.len() == 1).then(|| values.remove("value"))?
}

struct DocumentReader<'a> {
    name: &'a str,
    text: &'a str,
    label: &'a dyn Fn(usize) -> String,
    places: Places,
}

impl DocumentReader<'_> {
    fn label(&self, span: &Range<usize>) -> String {
        (self.label)(line_of(self.text, span.start))
    }

    fn table(&mut self, path: &str, table: DeTable<'_>) -> Result<Map<String, Value>, Mistake> {
        let mut values = Map::new();
        for (key, value) in table {
            let is_empty = matches!(value.get_ref(), DeValue::String(text) if text.is_empty());
            if is_empty {
                continue;
            }
            let label = self.label(&key.span());
            let key: Spanned<DeString<'_>> = key;
            let name = key.into_inner().into_owned();
            let value = self.value(&join(path, &name), value, label)?;
            values.insert(name, value);
        }
        Ok(values)
    }

    fn value(
        &mut self,
        path: &str,
        value: Spanned<DeValue<'_>>,
        label: String,
    ) -> Result<Value, Mistake> {
        let span = value.span();
        let too_large = || not_toml(self.name, self.text, span.start, "a number is too large");
        Ok(match value.into_inner() {
            DeValue::String(text) => Value::new(Some(&label), text.into_owned()),
            DeValue::Boolean(truth) => Value::new(Some(&label), truth),
            DeValue::Datetime(time) => Value::new(Some(&label), time.to_string()),
            DeValue::Integer(number) => {
                let parsed = i64::from_str_radix(number.as_str(), number.radix());
                Value::new(Some(&label), parsed.map_err(|_| too_large())?)
            }
            DeValue::Float(number) => {
                let parsed: f64 = number.as_str().parse().map_err(|_| too_large())?;
                if parsed.is_infinite() && !number.as_str().contains("inf") {
                    return Err(too_large());
                }
                Value::new(Some(&label), parsed)
            }
            DeValue::Table(table) => {
                let values = self.table(path, table)?;
                self.places.insert(path.to_owned(), label.clone());
                Value::new(Some(&label), values)
            }
            DeValue::Array(items) => {
                let mut values = Vec::with_capacity(items.len());
                for (index, item) in items.into_iter().enumerate() {
                    let label = self.label(&item.span());
                    values.push(self.value(&format!("{path}[{index}]"), item, label)?);
                }
                Value::new(Some(&label), values)
            }
        })
    }
}

/// Why a text is not TOML. Nothing of the text is in it: a line that cannot be read may hold a
/// password.
fn not_toml(name: &str, text: &str, at: usize, reason: &str) -> Mistake {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    let column = before[line_start..].chars().count() + 1;
    Mistake::whole(
        &format!("{name}:{}:{column}", line_of(text, at)),
        format!("is not TOML: {reason}"),
    )
}

fn line_of(text: &str, at: usize) -> usize {
    let before = text.as_bytes().get(..at).unwrap_or(text.as_bytes());
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}
