//! The mistakes of a request, each with its place. They are bounded while they are collected.

use std::borrow::Cow;
use std::fmt;

/// One thing that is wrong with a request.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
pub struct Violation {
    /// A JSON pointer (RFC 6901) into what the client sent. Names in it are cut at
    /// [`Place::MAX_NAME`] characters.
    pub pointer: String,
    /// The mistake and the accepted values, in a sentence.
    pub detail: String,
}

/// Where a value stands in a document. It becomes a pointer, a text, only for a mistake that is
/// reported.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// The whole document.
    Document,
    /// A member of an object.
    Member(&'a Self, &'a str),
    /// An item of a list.
    Item(&'a Self, usize),
}

impl<'a> Place<'a> {
    /// Names are cut at so many characters where mistakes are reported.
    pub const MAX_NAME: usize = 64;

    /// The member of this name, of the object that stands here.
    pub fn member(&'a self, name: &'a str) -> Self {
        Self::Member(self, name)
    }

    /// The item at this index of the list that stands here.
    pub fn item(&'a self, index: usize) -> Self {
        Self::Item(self, index)
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Document => Ok(()),
            Self::Member(parent, name) => {
                let name = cut(name).replace('~', "~0").replace('/', "~1");
                write!(f, "{parent}/{name}")
            }
            Self::Item(parent, index) => write!(f, "{parent}/{index}"),
        }
    }
}

/// A name as it is reported, of at most [`Place::MAX_NAME`] characters.
fn cut(name: &str) -> Cow<'_, str> {
    match name.char_indices().nth(Place::MAX_NAME) {
        Some((end, _)) => Cow::Owned(format!("{}…", name.get(..end).unwrap_or_default())),
        None => Cow::Borrowed(name),
    }
}

/// Collects mistakes, so that a client reads every mistake at once.
#[derive(Clone, Debug, Default)]
pub struct Violations {
    told: Vec<Violation>,
    has_more: bool,
}

impl Violations {
    /// More mistakes than these are not told, only that there are more.
    pub const MAX: usize = 100;

    /// A single mistake, at this pointer.
    pub fn one(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            told: vec![Violation {
                pointer: pointer.into(),
                detail: detail.into(),
            }],
            has_more: false,
        }
    }

    /// Adds a mistake, if there is room for it.
    pub fn add(&mut self, place: Place<'_>, detail: impl fmt::Display) {
        if self.told.len() == Self::MAX {
            self.has_more = true;
            return;
        }
        self.told.push(Violation {
            pointer: place.to_string(),
            detail: detail.to_string(),
        });
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    /// Whether there are more mistakes than are reported. Then the check may stop.
    pub fn has_more(&self) -> bool {
        self.has_more
    }

    /// The mistakes, in the order in which they were found.
    pub fn told(&self) -> &[Violation] {
        &self.told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_told_as_a_pointer() {
        assert_eq!(Place::Document.to_string(), "");
        let messages = Place::Document.member("messages");
        let message = messages.item(7);
        assert_eq!(message.member("a/b~`c").to_string(), "/messages/7/a~1b~0`c");
    }

    #[test]
    fn a_name_is_told_up_to_64_characters() {
        let fits = "é".repeat(64);
        assert_eq!(
            Place::Document.member(&fits).to_string(),
            format!("/{fits}")
        );
        let long = "é".repeat(100_000);
        assert_eq!(
            Place::Document.member(&long).to_string(),
            format!("/{fits}…")
        );
    }

    #[test]
    fn a_hundred_mistakes_are_told_and_then_that_there_are_more() {
        let mut violations = Violations::default();
        for index in 0..100 {
            violations.add(Place::Document.item(index), "wrong");
        }
        assert_eq!(
            (violations.told().len(), violations.has_more()),
            (100, false)
        );
        violations.add(Place::Document, "wrong");
        assert_eq!(
            (violations.told().len(), violations.has_more()),
            (100, true)
        );
    }
}
