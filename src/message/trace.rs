//! Where something stands in a trace that goes through several programs: W3C Trace Context.

use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};

use super::id::MessageId;

/// What `traceparent` says (W3C Trace Context §3.2): the trace, the span that led to what carries
/// this, and whether spans of the trace are kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Trace {
    /// The trace; the same wherever it goes.
    pub id: TraceId,
    /// The parent of the receiver's spans.
    pub span: SpanId,
    /// Whether spans of this trace are kept.
    pub is_sampled: bool,
}

/// What a trace is called in the whole world. Never zero.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct TraceId(NonZeroU128);

impl TraceId {
    /// Takes a name made by chance outside; zero, which names nothing, becomes one.
    pub fn new(chance: u128) -> Self {
        Self(NonZeroU128::new(chance).unwrap_or(NonZeroU128::MIN))
    }

    /// The name as a number.
    pub fn get(self) -> u128 {
        self.0.get()
    }
}

/// As it is written everywhere: 32 digits.
impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// What a span is called in its trace. Never zero.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct SpanId(NonZeroU64);

impl SpanId {
    /// Takes a name made by chance outside; zero, which names nothing, becomes one.
    pub fn new(chance: u64) -> Self {
        Self(NonZeroU64::new(chance).unwrap_or(NonZeroU64::MIN))
    }

    /// The name as a number.
    pub fn get(self) -> u64 {
        self.0.get()
    }
}

/// As it is written everywhere: 16 digits.
impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What the gateway does with a message, as far as it has a span of its own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// The message waits for this attempt.
    Queue(u32),
    /// This attempt is made.
    Attempt(u32),
}

/// The length of version 00, and of what every later version begins with.
const LENGTH: usize = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".len();
/// The one flag that version 00 knows.
const SAMPLED: u8 = 1;

impl Trace {
    /// Reads a `traceparent`; `None` when it is none, so that a new trace begins.
    ///
    /// Of a version that is not known the members of version 00 are taken, as §3.2.4 wants it.
    pub fn parse(text: &str) -> Option<Self> {
        let known = text.get(..LENGTH)?;
        let rest = text.get(LENGTH..)?;
        let mut members = known.split('-');
        let version = hexadecimal(members.next()?, 2)?;
        let id = hexadecimal(members.next()?, 32)?;
        let span = hexadecimal(members.next()?, 16)?;
        let flags = hexadecimal(members.next()?, 2)?;
        let is_whole = match version {
            0 => rest.is_empty(),
            255 => false,
            _ => rest.is_empty() || rest.starts_with('-'),
        };
        if !is_whole || members.next().is_some() {
            return None;
        }
        Some(Self {
            id: NonZeroU128::new(id).map(TraceId)?,
            span: NonZeroU64::new(u64::try_from(span).ok()?).map(SpanId)?,
            is_sampled: flags & u128::from(SAMPLED) != 0,
        })
    }

    /// The same trace, as what follows from that span sees it.
    pub fn under(self, span: SpanId) -> Self {
        Self { span, ..self }
    }
}

/// As `traceparent` is written, in version 00.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = if self.is_sampled { SAMPLED } else { 0 };
        write!(f, "00-{}-{}-{flags:02x}", self.id, self.span)
    }
}

impl Step {
    /// What the span of this step is called. It follows from the message and the step, so that
    /// a later step, also at another replica, finds it by itself.
    pub fn span_of(self, message: MessageId) -> SpanId {
        let step = match self {
            Self::Queue(attempt) => u64::from(attempt) << 1,
            Self::Attempt(attempt) => u64::from(attempt) << 1 | 1,
        };
        let [.., a, b, c, d, e, f, g, h] = *message.as_bytes();
        let chance = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        // Messages of one trace differ in the random bits, in the lower half of their ids;
        // the factor is odd, so steps of one message differ too.
        SpanId::new(chance ^ step.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}

/// A number of so many lower-case digits.
fn hexadecimal(text: &str, digits: usize) -> Option<u128> {
    let fits = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
    let is_number = text.len() == digits && text.bytes().all(fits);
    is_number.then(|| u128::from_str_radix(text, 16).ok())?
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::any;
    use proptest::proptest;
    use uuid::Uuid;

    use super::*;

    /// W3C Trace Context §3.2.2.5.
    const SAMPLED_ONE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_examples_of_the_recommendation_are_read_and_written_again() {
        let not_sampled = SAMPLED_ONE.replace("-01", "-00");
        for (text, is_sampled) in [(SAMPLED_ONE, true), (&not_sampled, false)] {
            let trace = Trace::parse(text).unwrap();
            assert_eq!(trace.id.get(), 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
            assert_eq!(trace.span.get(), 0x00f0_67aa_0ba9_02b7);
            assert_eq!(trace.is_sampled, is_sampled);
            assert_eq!(trace.to_string(), text);
        }
    }

    #[test]
    fn of_later_versions_what_is_known_is_taken_and_written_as_version_00() {
        for (text, is_sampled) in [
            (
                "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                true,
            ),
            (
                "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-else",
                true,
            ),
            (
                "fe-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
                true,
            ),
            // Flags that are not known are not passed on.
            (
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff",
                true,
            ),
            (
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-02",
                false,
            ),
        ] {
            let trace = Trace::parse(text).unwrap();
            assert_eq!(trace.is_sampled, is_sampled, "{text}");
            let written = if is_sampled {
                SAMPLED_ONE.to_owned()
            } else {
                SAMPLED_ONE.replace("-01", "-00")
            };
            assert_eq!(trace.to_string(), written, "{text}");
        }
    }

    #[test]
    fn what_is_no_traceparent_is_ignored() {
        for text in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-011",
            // Version 00 has four members, and version ff is forbidden.
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.x",
            // Nothing but zeros names nothing.
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            // Digits are of lower case, and of one byte.
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "0x-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e47-3600f067aa0ba902b7-01",
            "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01",
            " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0é",
        ] {
            assert_eq!(Trace::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_written_as_it_can_be_read(
            id in 1..u128::MAX, span in 1..u64::MAX, is_sampled in any::<bool>(), text in ".{0,70}"
        ) {
            let (id, span) = (TraceId::new(id), SpanId::new(span));
            let trace = Trace { id, span, is_sampled };
            assert_eq!(Trace::parse(&trace.to_string()), Some(trace));
            // Nothing that can be sent ends in anything but an answer.
            let _ = Trace::parse(&text);
        }
    }

    #[test]
    fn steps_of_a_message_and_of_its_neighbours_have_names_of_their_own() {
        let mut names = HashSet::new();
        for number in 0..100 {
            let uuid = Uuid::from_u64_pair(0x0193_0000_0000_7000, number | 1 << 63);
            let message = MessageId::new(uuid);
            for attempt in 1..=10 {
                assert!(names.insert(Step::Queue(attempt).span_of(message)));
                assert!(names.insert(Step::Attempt(attempt).span_of(message)));
            }
        }
        let same = MessageId::new(Uuid::from_u64_pair(0x0193_0000_0000_7000, 1 << 63));
        assert!(names.contains(&Step::Attempt(3).span_of(same)));
    }
}
