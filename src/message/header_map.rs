//! Headers of a request or response, as events show them.

use std::collections::HashMap;

use super::json;

/// Headers up to which comparing each name with every other is quicker than a map.
const FEW: usize = 32;

/// How a text is written as JSON.
type WriteText = fn(&mut Vec<u8>, &str);

/// Names and values in the order of the wire.
///
/// All of them are in one text, so that a message's headers are two allocations and not forty.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct HeaderMap {
    /// Every name and value, one behind the other.
    text: String,
    places: Vec<HeaderSpan>,
    /// Bytes that the text takes more as JSON, counted while it is added: it is written once and
    /// weighed by every queue that it passes.
    escapes: usize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct HeaderSpan {
    name: usize,
    value: usize,
    end: usize,
}

impl HeaderMap {
    /// No headers, with room for so many of so many bytes together.
    pub fn with_capacity(headers: usize, bytes: usize) -> Self {
        Self {
            text: String::with_capacity(bytes),
            places: Vec::with_capacity(headers),
            escapes: 0,
        }
    }

    /// Adds a header.
    pub fn add(&mut self, name: &str, value: &str) {
        self.add_parts(name, &[value]);
    }

    /// Adds a header whose value is these parts together.
    pub fn add_parts(&mut self, name: &str, value: &[&str]) {
        let escapes = escapes(name) + value.iter().map(|part| escapes(part)).sum::<usize>();
        self.push(name, value, escapes);
    }

    /// Adds a header, unless all headers would then take more than `max` bytes of JSON; whether it
    /// was added.
    pub(super) fn add_within(&mut self, max: usize, name: &str, value: &str) -> bool {
        const PUNCTUATION: usize = r#""":[""],"#.len();
        let escapes = escapes(name) + escapes(value);
        let before = self.text.len() + self.escapes + self.places.len() * PUNCTUATION;
        let fits = before + name.len() + value.len() + escapes + PUNCTUATION <= max;
        if fits {
            self.push(name, &[value], escapes);
        }
        fits
    }

    fn push(&mut self, name: &str, value: &[&str], escapes: usize) {
        let begin = self.text.len();
        self.text.push_str(name);
        let middle = self.text.len();
        for part in value {
            self.text.push_str(part);
        }
        self.places.push(HeaderSpan {
            name: begin,
            value: middle,
            end: self.text.len(),
        });
        self.escapes += escapes;
    }

    /// How much it is, for every budget: no less than in memory, and no less than its JSON.
    pub(super) fn weight(&self) -> usize {
        self.text.len() + self.escapes + self.places.len() * size_of::<HeaderSpan>()
    }

    /// Every header in the order of the wire.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let places = self.places.iter();
        places.map(|place| (self.name(place), self.value(place)))
    }

    /// The first value of the header of this name, compared without regard to case.
    pub fn first(&self, name: &str) -> Option<&str> {
        let mut headers = self.iter();
        let found = headers.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value)
    }

    fn name(&self, place: &HeaderSpan) -> &str {
        self.text.get(place.name..place.value).unwrap_or_default()
    }

    fn value(&self, place: &HeaderSpan) -> &str {
        self.text.get(place.value..place.end).unwrap_or_default()
    }

    /// Names of different lengths, which is most of them, differ without a look at their bytes.
    fn same_name(&self, one: &HeaderSpan, other: &HeaderSpan) -> bool {
        one.value - one.name == other.value - other.name
            && self.name(one).eq_ignore_ascii_case(self.name(other))
    }

    /// Appends `{"Name":["value",…],…}`: the values of one name stand together.
    pub(super) fn write_json(&self, out: &mut Vec<u8>) {
        // As a rule there is nothing to escape anywhere.
        let write: WriteText = if self.escapes == 0 {
            json::plain_string
        } else {
            json::string
        };
        out.reserve(self.text.len() + 8 * self.places.len());
        if self.places.len() > FEW {
            return self.write_many(out, write);
        }
        let places = self.places.iter().enumerate();
        let firsts = places.filter(|(at, place)| {
            let mut before = self.places.iter().take(*at);
            !before.any(|other| self.same_name(place, other))
        });
        json::list(out, *b"{}", firsts, |out, (at, place)| {
            let rest = self.places.iter().skip(at);
            let values = rest.filter(|other| self.same_name(place, other));
            self.write_member(out, write, place, values);
        });
    }

    /// Among many headers each name is looked up instead of compared with every other.
    fn write_many(&self, out: &mut Vec<u8>, write: WriteText) {
        let mut groups: Vec<Vec<&HeaderSpan>> = Vec::new();
        let mut known: HashMap<String, usize> = HashMap::new();
        for place in &self.places {
            let name = self.name(place).to_ascii_lowercase();
            let group = *known.entry(name).or_insert(groups.len());
            match groups.get_mut(group) {
                Some(group) => group.push(place),
                None => groups.push(vec![place]),
            }
        }
        let members = groups
            .iter()
            .filter_map(|group| Some((*group.first()?, group)));
        json::list(out, *b"{}", members, |out, (first, group)| {
            self.write_member(out, write, first, group.iter().copied());
        });
    }

    fn write_member<'a>(
        &self,
        out: &mut Vec<u8>,
        write: WriteText,
        name: &HeaderSpan,
        values: impl Iterator<Item = &'a HeaderSpan>,
    ) {
        write(out, self.name(name));
        out.push(b':');
        json::list(out, *b"[]", values, |out, place| {
            write(out, self.value(place));
        });
    }
}

/// Bytes that a text takes more as JSON.
fn escapes(text: &str) -> usize {
    json::weight(text.as_bytes()) - text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers() -> HeaderMap {
        let mut headers = HeaderMap::default();
        headers.add("X-A", "1");
        headers.add_parts("X-B", &["2", "\"", "2"]);
        headers.add("x-a", "");
        headers
    }

    #[test]
    fn header_values_of_one_name_stand_together() {
        let mut out = Vec::new();
        headers().write_json(&mut out);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, r#"{"X-A":["1",""],"X-B":["2\"2"]}"#);
        let mut many = HeaderMap::default();
        for number in 0..FEW {
            many.add(&format!("X-{number}"), "1");
            many.add(&format!("x-{number}"), "\"");
        }
        let mut out = Vec::new();
        many.write_json(&mut out);
        let members: Vec<_> = (0..FEW).map(|n| format!(r#""X-{n}":["1","\""]"#)).collect();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            format!("{{{}}}", members.join(","))
        );
        let mut none = Vec::new();
        HeaderMap::default().write_json(&mut none);
        assert_eq!(none, b"{}");
    }

    #[test]
    fn headers_keep_the_order_of_the_wire() {
        let headers = headers();
        let all: Vec<_> = headers.iter().collect();
        assert_eq!(all, [("X-A", "1"), ("X-B", "2\"2"), ("x-a", "")]);
        assert_eq!(headers.first("X-a"), Some("1"));
        assert_eq!(headers.first("X-C"), None);
    }
}
