//! Headers of a request or response, as events show them.

use super::json;

/// Names and values in the order of the wire.
///
/// All of them are in one text, so that a message's headers are two allocations and not forty.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct HeaderMap {
    /// Every name and value, one behind the other.
    text: String,
    places: Vec<Place>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Place {
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
        }
    }

    /// Adds a header.
    pub fn add(&mut self, name: &str, value: &str) {
        self.add_parts(name, &[value]);
    }

    /// Adds a header whose value is these parts together.
    pub fn add_parts(&mut self, name: &str, value: &[&str]) {
        let begin = self.text.len();
        self.text.push_str(name);
        let middle = self.text.len();
        for part in value {
            self.text.push_str(part);
        }
        self.places.push(Place {
            name: begin,
            value: middle,
            end: self.text.len(),
        });
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

    fn name(&self, place: &Place) -> &str {
        self.text.get(place.name..place.value).unwrap_or_default()
    }

    fn value(&self, place: &Place) -> &str {
        self.text.get(place.value..place.end).unwrap_or_default()
    }

    /// Names of different lengths, which is most of them, are told apart without being looked at.
    fn same_name(&self, one: &Place, other: &Place) -> bool {
        one.value - one.name == other.value - other.name
            && self.name(one).eq_ignore_ascii_case(self.name(other))
    }

    /// Appends `{"Name":["value",…],…}`: the values of one name stand together.
    pub(super) fn write_json(&self, out: &mut Vec<u8>) {
        // As a rule there is nothing to escape anywhere, and one look tells.
        let write = match json::is_plain(&self.text) {
            true => json::plain_string,
            false => json::string,
        };
        out.reserve(self.text.len() + 8 * self.places.len());
        let places = self.places.iter().enumerate();
        let firsts = places.filter(|(at, place)| {
            let mut before = self.places.iter().take(*at);
            !before.any(|other| self.same_name(place, other))
        });
        json::list(out, *b"{}", firsts, |out, (at, place)| {
            write(out, self.name(place));
            out.push(b':');
            let rest = self.places.iter().skip(at);
            let values = rest.filter(|other| self.same_name(place, other));
            json::list(out, *b"[]", values, |out, place| {
                write(out, self.value(place));
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
