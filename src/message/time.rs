//! Points in time as the outside sees them: RFC 3339, UTC, milliseconds.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Timestamp(i64);

/// The text is not a time of RFC 3339 between the years 1 and 9999.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a time of RFC 3339, such as 2026-12-24T18:00:00.000Z")]
pub struct TimestampError;

/// 0001-01-01 and the last millisecond of 9999: what RFC 3339 can write.
const RANGE: std::ops::RangeInclusive<i64> = -62_135_596_800_000..=253_402_300_799_999;

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);

    /// The time this many milliseconds after the epoch, held within the years RFC 3339 can write.
    pub fn from_millis(millis: i64) -> Self {
        Self(millis.clamp(*RANGE.start(), *RANGE.end()))
    }

    /// Milliseconds since the epoch.
    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// This time moved into the future.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.0.saturating_add(millis))
    }

    /// This time moved into the past.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.0.saturating_sub(millis))
    }

    /// How long after `earlier` this is; zero when it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The time as the fields of a calendar in UTC.
    fn civil(self) -> jiff::civil::DateTime {
        // Within `RANGE`, which the library's own range contains.
        let time = jiff::Timestamp::from_millisecond(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        jiff::tz::Offset::UTC.to_datetime(time)
    }

    /// The time as the SIP header `Date` writes it (RFC 3261 §20.17).
    pub fn to_sip_date(self) -> String {
        self.civil()
            .strftime("%a, %d %b %Y %H:%M:%S GMT")
            .to_string()
    }
}

impl Timestamp {
    /// The text of RFC 3339, written digit by digit: every event and every message has several.
    fn text(self) -> [u8; 24] {
        let t = self.civil();
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let fields = [
            (0..4, t.year()),
            (5..7, t.month().into()),
            (8..10, t.day().into()),
            (11..13, t.hour().into()),
            (14..16, t.minute().into()),
            (17..19, t.second().into()),
            (20..23, t.millisecond()),
        ];
        for (at, value) in fields {
            // None is negative: the range begins with the year 1.
            let mut rest = value.unsigned_abs();
            for digit in text[at].iter_mut().rev() {
                *digit = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
        }
        text
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.text()).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // RFC 3339 §5.6: full date, "T", full time, offset; nothing shorter, which the library
        // would take.
        let shaped = text.len() >= "2026-12-24T18:00:00Z".len()
            && matches!(text.as_bytes().get(10), Some(b'T' | b't'));
        if !shaped {
            return Err(TimestampError);
        }
        let parsed: jiff::Timestamp = text.parse().map_err(|_| TimestampError)?;
        let millis = parsed.as_millisecond();
        RANGE
            .contains(&millis)
            .then_some(Self(millis))
            .ok_or(TimestampError)
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_in_utc_with_milliseconds() {
        let time: Timestamp = "2026-12-24T19:00:00.0425+01:00".parse().unwrap();
        assert_eq!(time.to_string(), "2026-12-24T18:00:00.042Z");
        assert_eq!(time.to_string().parse(), Ok(time));
    }

    #[test]
    fn what_rfc_3339_does_not_write_is_refused() {
        for text in [
            "",
            "2026-12-24",
            "2026-12-24T18:00:00",
            "now",
            "2026-13-01T00:00:00Z",
            "2026-12-24 18:00:00Z",
        ] {
            assert_eq!(text.parse::<Timestamp>(), Err(TimestampError), "{text}");
        }
    }

    #[test]
    fn a_sip_date_is_in_gmt() {
        let time: Timestamp = "2010-11-13T23:29:00Z".parse().unwrap();
        assert_eq!(time.to_sip_date(), "Sat, 13 Nov 2010 23:29:00 GMT");
    }
}
