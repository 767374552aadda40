//! The name of an event, and the cursor of a reader.

use std::fmt;
use std::str::FromStr;

/// `<epoch>-<seq>`: which log, and where in it. The sequence has sixteen digits, so that ids of one
/// log sort as text too.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct EventId {
    /// Which log.
    pub epoch: u64,
    /// Where in it.
    pub seq: u64,
}

/// The text is not the id of an event.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not the id of an event: ids look like 1-0000000000000042")]
pub struct EventIdError;

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:016}", self.epoch, self.seq)
    }
}

impl FromStr for EventId {
    type Err = EventIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (epoch, seq) = text.split_once('-').ok_or(EventIdError)?;
        let number = |digits: &str| {
            let plain = (1..=20).contains(&digits.len())
                && digits.bytes().all(|byte| byte.is_ascii_digit());
            plain
                .then(|| digits.parse().ok())
                .flatten()
                .ok_or(EventIdError)
        };
        Ok(Self {
            epoch: number(epoch)?,
            seq: number(seq)?,
        })
    }
}

impl serde::Serialize for EventId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written() {
        let id = EventId { epoch: 1, seq: 42 };
        assert_eq!(id.to_string(), "1-0000000000000042");
        assert_eq!("1-0000000000000042".parse(), Ok(id));
        assert_eq!("1-42".parse(), Ok(id));
        for text in [
            "",
            "1",
            "-1",
            "1-",
            "a-1",
            "1-+2",
            "1-99999999999999999999999",
        ] {
            assert_eq!(text.parse::<EventId>(), Err(EventIdError), "{text}");
        }
    }
}
