//! CSeq (RFC 3261 §20.16).

/// The number and the method of a request, as its answers repeat them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CSeq<'a> {
    /// Below 2^31 in what we send; any 32 bits in what we read.
    pub number: u32,
    /// As written: methods are case-sensitive.
    pub method: &'a str,
}

impl<'a> CSeq<'a> {
    /// Reads the header's value.
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?;
        let mut words = text.split_ascii_whitespace();
        let (number, method) = (words.next()?, words.next()?);
        let digits = number.bytes().all(|byte| byte.is_ascii_digit());
        if !digits || words.next().is_some() {
            return None;
        }
        Some(Self {
            number: number.parse().ok()?,
            method,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_a_method() {
        let cseq = CSeq {
            number: 9,
            method: "MESSAGE",
        };
        assert_eq!(CSeq::parse(b"0009 \t MESSAGE"), Some(cseq));
        for text in [
            "",
            "1",
            "x MESSAGE",
            "4294967296 MESSAGE",
            "-1 MESSAGE",
            "+1 MESSAGE",
            "1 A B",
        ] {
            assert_eq!(CSeq::parse(text.as_bytes()), None, "{text}");
        }
    }
}
