//! The names of messages and of standing webhooks.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::str::FromStr;

use serde::de::Error as _;
use uuid::Uuid;

use super::time::Timestamp;

/// The text is not the lower-case hyphenated form of a UUID.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not an id: ids look like 01930000-0000-7000-8000-000000000001")]
pub struct IdError;

/// Makes a name of its own for each kind of thing, so that none is taken for another.
macro_rules! names {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(Uuid);

        impl $name {
            /// Takes an id made outside.
            pub fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The sixteen bytes a store keeps.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// The id as a number, for sets and cursors.
            pub fn as_u128(&self) -> u128 {
                self.0.as_u128()
            }

            /// The id of these sixteen bytes; `None` when there are not sixteen.
            pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
                Uuid::from_slice(bytes).ok().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            /// Reads the hyphenated form only, so that one thing has one name.
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let id = Uuid::try_parse(text).map(Self).map_err(|_| IdError)?;
                (id.to_string() == text).then_some(id).ok_or(IdError)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = Cow::<str>::deserialize(from)?;
                text.parse().map_err(D::Error::custom)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut buffer = Uuid::encode_buffer();
                serializer.serialize_str(self.0.as_hyphenated().encode_lower(&mut buffer))
            }
        }
    )*};
}

names! {
    /// What a message is called, from its acceptance to its removal: a UUIDv7, lower case.
    ///
    /// Ids made later by one process sort later, so they serve as cursors too.
    MessageId

    /// What a standing webhook is called: a UUIDv7, lower case.
    EndpointId
}

/// A map by message.
///
/// Only ids that we made are put into one, and they are random: a client cannot choose ids that
/// meet in one place, so they need not be hashed against that.
pub type ByMessage<V> = HashMap<MessageId, V, BuildHasherDefault<IdHasher>>;

/// Takes the random end of an id as its hash.
#[derive(Debug, Default)]
pub struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(end) = bytes.last_chunk() {
            // RFC 9562 §5.7: the first two of these bits are not random, and a map looks at the
            // first ones and the last ones.
            self.0 = u64::from_be_bytes(*end).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        }
    }

    /// The number of bytes, which is the same for all ids.
    fn write_usize(&mut self, _: usize) {}
}

impl MessageId {
    /// When it was made: a UUIDv7 begins with its time, in milliseconds.
    pub fn made_at(&self) -> Timestamp {
        let [.., a, b, c, d, e, f] = (self.0.as_u128() >> 80).to_be_bytes();
        Timestamp::from_millis(i64::from_be_bytes([0, 0, a, b, c, d, e, f]))
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher as _;

    use super::*;

    #[test]
    fn ids_made_one_after_the_other_are_far_apart_in_a_map() {
        let places: std::collections::HashSet<_> = (0..10_000_u64)
            .map(|number| {
                let id =
                    MessageId::new(Uuid::from_u64_pair(0x0193_0000_0000_7000, number | 1 << 63));
                let hash = BuildHasherDefault::<IdHasher>::default().hash_one(id);
                (hash >> 57, hash % 1_024)
            })
            .collect();
        assert!(places.len() > 9_000, "{}", places.len());
        let map: ByMessage<u8> = [(MessageId::new(Uuid::nil()), 1)].into_iter().collect();
        assert_eq!(map.get(&MessageId::new(Uuid::nil())), Some(&1));
    }

    #[test]
    fn an_id_knows_when_it_was_made() {
        let id: MessageId = "019abc12-3456-7000-8000-000000000001".parse().unwrap();
        assert_eq!(id.made_at(), Timestamp::from_millis(0x019a_bc12_3456));
    }

    #[test]
    fn one_message_has_one_name() {
        let id: MessageId = "01930000-0000-7000-8000-000000000001".parse().unwrap();
        assert_eq!(id.to_string(), "01930000-0000-7000-8000-000000000001");
        assert!(
            "01930000000070008000000000000001"
                .parse::<MessageId>()
                .is_err()
        );
        assert!(
            "{01930000-0000-7000-8000-000000000001}"
                .parse::<MessageId>()
                .is_err()
        );
        assert!(
            "01930000-0000-7000-8000-00000000000A"
                .parse::<MessageId>()
                .is_err()
        );
    }
}
