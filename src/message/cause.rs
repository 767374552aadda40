//! Why a message failed, in the words of JsSIP's failure and end causes.

/// Why an attempt failed. The strings are those of JsSIP's `JsSIP.C.causes`, to the letter.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Cause {
    /// 484, 424.
    AddressIncomplete,
    /// 401 or 407 that could not be answered.
    AuthenticationError,
    /// 486, 600.
    Busy,
    /// A client canceled the message before it was sent.
    Canceled,
    /// No registered agent, or the connection was lost.
    ConnectionError,
    /// The time to live is over.
    Expires,
    /// 488, 606.
    IncompatibleSdp,
    /// Something of ours went wrong.
    InternalError,
    /// 404, 604.
    NotFound,
    /// 300, 301, 302, 305, 380.
    Redirected,
    /// 403, 603.
    Rejected,
    /// No final response came (RFC 3261's Timer F), or a 408 did.
    RequestTimeout,
    /// Every other final response of 300 and more.
    SipFailureCode,
    /// 410, 430, 480.
    Unavailable,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 14] = [
        Self::AddressIncomplete,
        Self::AuthenticationError,
        Self::Busy,
        Self::Canceled,
        Self::ConnectionError,
        Self::Expires,
        Self::IncompatibleSdp,
        Self::InternalError,
        Self::NotFound,
        Self::Redirected,
        Self::Rejected,
        Self::RequestTimeout,
        Self::SipFailureCode,
        Self::Unavailable,
    ];

    /// The cause of a final response of 300 to 699.
    pub fn of_status(code: u16) -> Self {
        match code {
            300 | 301 | 302 | 305 | 380 => Self::Redirected,
            401 | 407 => Self::AuthenticationError,
            403 | 603 => Self::Rejected,
            404 | 604 => Self::NotFound,
            408 => Self::RequestTimeout,
            410 | 430 | 480 => Self::Unavailable,
            424 | 484 => Self::AddressIncomplete,
            486 | 600 => Self::Busy,
            488 | 606 => Self::IncompatibleSdp,
            _ => Self::SipFailureCode,
        }
    }

    /// The words the outside uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AddressIncomplete => "Address Incomplete",
            Self::AuthenticationError => "Authentication Error",
            Self::Busy => "Busy",
            Self::Canceled => "Canceled",
            Self::ConnectionError => "Connection Error",
            Self::Expires => "Expires",
            Self::IncompatibleSdp => "Incompatible SDP",
            Self::InternalError => "Internal Error",
            Self::NotFound => "Not Found",
            Self::Redirected => "Redirected",
            Self::Rejected => "Rejected",
            Self::RequestTimeout => "Request Timeout",
            Self::SipFailureCode => "SIP Failure Code",
            Self::Unavailable => "Unavailable",
        }
    }
}

impl serde::Serialize for Cause {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Who brought an event about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Originator {
    /// The client, or we on its behalf.
    Local,
    /// A SIP peer, by a response.
    Remote,
    /// The machinery: time, connections.
    System,
}

impl Originator {
    /// The word the outside uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Remote => "remote",
            Self::System => "system",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_final_code_has_the_cause_of_the_table() {
        let table: &[(Cause, &[u16])] = &[
            (Cause::Redirected, &[300, 301, 302, 305, 380]),
            (Cause::Busy, &[486, 600]),
            (Cause::Rejected, &[403, 603]),
            (Cause::NotFound, &[404, 604]),
            (Cause::Unavailable, &[410, 430, 480]),
            (Cause::AddressIncomplete, &[484, 424]),
            (Cause::IncompatibleSdp, &[488, 606]),
            (Cause::AuthenticationError, &[401, 407]),
            (Cause::RequestTimeout, &[408]),
        ];
        for code in 300..700 {
            let listed = table.iter().find(|(_, codes)| codes.contains(&code));
            let expected = listed.map_or(Cause::SipFailureCode, |(cause, _)| *cause);
            assert_eq!(Cause::of_status(code), expected, "{code}");
        }
    }

    #[test]
    fn the_words_are_those_of_jssip() {
        let mut words: Vec<_> = Cause::ALL.map(Cause::as_str).to_vec();
        words.dedup();
        assert_eq!(words.len(), 14);
        assert!(words.contains(&"SIP Failure Code") && words.contains(&"Incompatible SDP"));
    }
}
