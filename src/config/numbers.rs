//! Numbers in a table: how many, how much, how long.

use std::ops::RangeInclusive;
use std::time::Duration;

use config::{Value, ValueKind};

use super::section::Section;
use super::value;

impl Section<'_> {
    pub(super) fn integer<T>(&mut self, key: &str, range: RangeInclusive<u64>) -> T
    where
        T: TryFrom<u64> + Default,
    {
        let accepted = format!("a whole number from {} to {}", range.start(), range.end());
        let parse = |value: &Value| {
            let number = value::whole_number(value)?;
            range.contains(&number).then(|| T::try_from(number).ok())?
        };
        self.required(key, &accepted, parse).unwrap_or_default()
    }

    /// A number above zero, or nothing.
    pub(super) fn positive(&mut self, key: &str) -> Option<f64> {
        let fits = |number: &f64| number.is_finite() && *number > 0.0;
        self.optional(key, "a number above 0", |value| {
            number_of(value).filter(fits)
        })
    }

    /// A share of a whole.
    pub(super) fn share(&mut self, key: &str) -> f64 {
        let fits = |number: &f64| (0.0..=1.0).contains(number);
        self.required(key, "a number from 0 to 1", |value| {
            number_of(value).filter(fits)
        })
        .unwrap_or_default()
    }

    /// A duration within these bounds.
    pub(super) fn duration(&mut self, key: &str, min: Duration, max: Duration) -> Duration {
        let (accepted, parse) = bounded(min, max);
        self.required(key, &accepted, parse).unwrap_or(min)
    }

    /// A duration within these bounds, or nothing.
    pub(super) fn optional_duration(
        &mut self,
        key: &str,
        min: Duration,
        max: Duration,
    ) -> Option<Duration> {
        let (accepted, parse) = bounded(min, max);
        self.optional(key, &accepted, parse)
    }

    pub(super) fn durations(&mut self, key: &str) -> Vec<Duration> {
        self.each(key, value::DURATION, value::duration_of)
    }

    /// A number of bytes within these bounds.
    pub(super) fn size(&mut self, key: &str, range: RangeInclusive<usize>) -> usize {
        let min = *range.start();
        self.optional_size(key, range).unwrap_or(min)
    }

    /// A number of bytes within these bounds, or nothing.
    pub(super) fn optional_size(
        &mut self,
        key: &str,
        range: RangeInclusive<usize>,
    ) -> Option<usize> {
        let accepted = format!("{}, from {} to {}", value::SIZE, range.start(), range.end());
        self.optional(key, &accepted, |value| {
            let number = match &value.kind {
                ValueKind::String(text) => value::parse_size(text)?,
                _ => value::whole_number(value)?,
            };
            let number = usize::try_from(number).ok()?;
            range.contains(&number).then_some(number)
        })
    }
}

fn number_of(value: &Value) -> Option<f64> {
    match &value.kind {
        ValueKind::Float(number) => Some(*number),
        ValueKind::String(text) if value::is_variable(value) => text.parse().ok(),
        _ => Some(f64::from(u32::try_from(value::whole_number(value)?).ok()?)),
    }
}

/// What a duration within these bounds looks like, and how it is read.
fn bounded(min: Duration, max: Duration) -> (String, impl Fn(&Value) -> Option<Duration>) {
    let accepted = format!(
        "{}, from {} to {}",
        value::DURATION,
        value::write_duration(min),
        value::write_duration(max)
    );
    let parse = move |value: &Value| {
        let duration = value::duration_of(value)?;
        (min..=max).contains(&duration).then_some(duration)
    };
    (accepted, parse)
}
