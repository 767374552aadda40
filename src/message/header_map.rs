//! Headers of a request or response, as events show them.

use super::json;

/// Names and values in the order of the wire.
///
/// All of them are in one text, so that a message's headers are two allocations and not forty.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct HeaderMap {
    /// Every name and value, one behind the other.
    text: String,
    /// Each begins where the one before it ends.
    ends: Vec<End>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct End {
    name: usize,
    value: usize,
}

impl HeaderMap {
    /// No headers, with room for so many of so many bytes together.
    pub fn with_capacity(headers: usize, bytes: usize) -> Self {
        Self {
            text: String::with_capacity(bytes),
            ends: Vec::with_capacity(headers),
        }
    }

    /// Adds a header.
    pub fn add(&mut self, name: &str, value: &str) {
        self.add_parts(name, &[value]);
    }

    /// Adds a header whose value is these parts together.
    pub fn add_parts(&mut self, name: &str, value: &[&str]) {
        self.text.push_str(name);
        let name = self.text.len();
        for part in value {
            self.text.push_str(part);
        }
        let value = self.text.len();
        self.ends.push(End { name, value });
    }

    /// Every header in the order of the wire.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut begin = 0;
        self.ends.iter().map(move |end| {
            let part = |from, to| self.text.get(from..to).unwrap_or_default();
            let header = (part(begin, end.name), part(end.name, end.value));
            begin = end.value;
            header
        })
    }

    /// The first value of the header of this name, compared without regard to case.
    pub fn first(&self, name: &str) -> Option<&str> {
        let mut headers = self.iter();
        let found = headers.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value)
    }

    /// Appends `{"Name":["value",…],…}`: the values of one name stand together.
    pub(super) fn write_json(&self, out: &mut Vec<u8>) {
        let is_first = |at: usize, name: &str| {
            let mut before = self.iter().take(at);
            !before.any(|(known, _)| known.eq_ignore_ascii_case(name))
        };
        let names = self.iter().enumerate();
        let names = names.filter(|(at, (name, _))| is_first(*at, name));
        json::list(out, *b"{}", names, |out, (at, (name, _))| {
            json::string(out, name);
            out.push(b':');
            let values = self.iter().skip(at);
            let values = values.filter(|(other, _)| other.eq_ignore_ascii_case(name));
            json::list(out, *b"[]", values, |out, (_, value)| {
                json::string(out, value);
            });
        });
    }
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
