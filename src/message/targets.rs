//! How the log shows the target of a message.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Whether the log may say whom messages are for.
#[derive(Clone, Copy)]
pub enum Targets {
    /// As they are.
    Plain,
    /// As a keyed hash: the same target looks the same as long as the key does, and without the
    /// key a number cannot be found by trying all numbers.
    Hashed([u8; 32]),
}

impl Targets {
    /// The target, as the log may show it.
    pub fn show<'a>(&'a self, uri: &'a str) -> impl fmt::Display + use<'a> {
        ShownTarget { targets: self, uri }
    }
}

impl fmt::Debug for Targets {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "Plain",
            Self::Hashed(_) => "Hashed",
        })
    }
}

struct ShownTarget<'a> {
    targets: &'a Targets,
    uri: &'a str,
}

/// Bytes of the hash that are shown: enough to tell targets apart.
const LENGTH: usize = 8;

impl fmt::Display for ShownTarget<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Targets::Hashed(key) = self.targets else {
            return f.write_str(self.uri);
        };
        // HMAC takes keys of any length.
        let Ok(mut hash) = Hmac::<Sha256>::new_from_slice(key) else {
            return f.write_str("?");
        };
        hash.update(self.uri.as_bytes());
        f.write_str("#")?;
        let bytes = hash.finalize().into_bytes();
        bytes
            .iter()
            .take(LENGTH)
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hashed_target_is_the_same_for_the_same_key_and_is_not_readable() {
        let (bob, carol) = ("sip:bob@example.com", "sip:carol@example.com");
        let hashed = Targets::Hashed([1; 32]);
        let show = |targets: &Targets, uri| targets.show(uri).to_string();
        assert_eq!(show(&Targets::Plain, bob), bob);
        assert_eq!(show(&hashed, bob), show(&hashed, bob));
        assert_ne!(show(&hashed, bob), show(&hashed, carol));
        assert_ne!(show(&hashed, bob), show(&Targets::Hashed([2; 32]), bob));
        assert!(!show(&hashed, bob).contains("bob") && show(&hashed, bob).len() == 17);
    }
}
