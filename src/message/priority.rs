//! How urgent a message is (RFC 3261 §20.26).

use super::header::Header;

/// The class of a message. A higher one begins first.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Priority {
    /// It may wait: phones that look at it stay silent.
    NonUrgent,
    /// What a message without a priority counts as.
    #[default]
    Normal,
    /// It may use the slots and the rate that are kept.
    Urgent,
    /// The same, and it goes before all others.
    Emergency,
}

impl Priority {
    /// Every class, the lowest first.
    pub const ALL: [Self; 4] = [Self::NonUrgent, Self::Normal, Self::Urgent, Self::Emergency];

    /// Every class, as errors name them.
    pub const WORDS: &str = "expected \"non-urgent\", \"normal\", \"urgent\" or \"emergency\"";

    /// The header that says it to the recipient.
    pub const HEADER: &str = "Priority";

    /// The word that clients use, and SIP.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NonUrgent => "non-urgent",
            Self::Normal => "normal",
            Self::Urgent => "urgent",
            Self::Emergency => "emergency",
        }
    }

    /// The class of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == word)
    }

    /// Whether it may use what each account keeps.
    pub fn is_urgent(self) -> bool {
        self >= Self::Urgent
    }

    /// Whether a header says the same as a priority.
    pub fn is_said_by(header: &Header) -> bool {
        header.name.eq_ignore_ascii_case(Self::HEADER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_has_one_word_and_its_place_among_the_others() {
        for class in Priority::ALL {
            assert_eq!(Priority::from_word(class.as_str()), Some(class));
            assert!(Priority::WORDS.contains(&format!("{:?}", class.as_str())));
            assert_eq!(serde_json::json!(class), class.as_str());
        }
        assert!(Priority::ALL.is_sorted());
        assert_eq!(Priority::from_word("Urgent"), None);
        let urgent = Priority::ALL.into_iter().filter(|class| class.is_urgent());
        assert!(urgent.eq([Priority::Urgent, Priority::Emergency]));
    }
}
