//! Retry-After (RFC 3261 §20.33).

use std::time::Duration;

/// The longest wait a peer can ask for. A day is more than any message or registration waits, and
/// short enough that a slip of a peer's finger does not silence an agent for ever.
const LONGEST: Duration = Duration::from_secs(86_400);

/// How long the peer asks us to stay away: the seconds before a comment or a parameter.
pub fn retry_after(value: &str) -> Option<Duration> {
    let text = value.trim_start();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return None;
    }
    let seconds = text[..digits].parse().map_or(LONGEST, Duration::from_secs);
    Some(seconds.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_come_before_comments_and_parameters() {
        assert_eq!(
            retry_after("18000;duration=3600"),
            Some(Duration::from_secs(18_000))
        );
        assert_eq!(
            retry_after(" 120 (I'm in a meeting)"),
            Some(Duration::from_secs(120))
        );
        assert_eq!(retry_after("99999999999999999999999"), Some(LONGEST));
        assert_eq!(retry_after("soon"), None);
        assert_eq!(retry_after("-1"), None);
    }
}
