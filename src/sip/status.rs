//! Response codes and what they are called.

/// A response code of RFC 3261 §7.2: three digits, 100 to 699.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct StatusCode(u16);

impl StatusCode {
    /// The code of this number; `None` outside 100 to 699, which RFC 3261 does not know.
    pub fn new(code: u16) -> Option<Self> {
        (100..700).contains(&code).then_some(Self(code))
    }

    /// The number.
    pub fn as_u16(self) -> u16 {
        self.0
    }

    /// 1xx: the peer is at work.
    pub fn is_provisional(self) -> bool {
        self.0 < 200
    }

    /// 2xx.
    pub fn is_success(self) -> bool {
        (200..300).contains(&self.0)
    }
}

/// The codes of RFC 3261 §21 and its extensions with their phrases; the first ones have a constant.
macro_rules! status_codes {
    ($($name:ident = $code:literal, $phrase:literal;)* $($other:literal $other_phrase:literal,)*) => {
        impl StatusCode {
            $(#[doc = concat!($code, " ", $phrase)] pub const $name: Self = Self($code);)*

            /// The reason phrase of the code; empty for an unknown one.
            pub fn reason_phrase(self) -> &'static str {
                match self.0 {
                    $($code => $phrase,)*
                    $($other => $other_phrase,)*
                    _ => "",
                }
            }
        }
    };
}

status_codes! {
    OK = 200, "OK";
    ACCEPTED = 202, "Accepted";
    MOVED_TEMPORARILY = 302, "Moved Temporarily";
    BAD_REQUEST = 400, "Bad Request";
    UNAUTHORIZED = 401, "Unauthorized";
    FORBIDDEN = 403, "Forbidden";
    NOT_FOUND = 404, "Not Found";
    METHOD_NOT_ALLOWED = 405, "Method Not Allowed";
    PROXY_AUTHENTICATION_REQUIRED = 407, "Proxy Authentication Required";
    REQUEST_TIMEOUT = 408, "Request Timeout";
    REQUEST_ENTITY_TOO_LARGE = 413, "Request Entity Too Large";
    UNSUPPORTED_MEDIA_TYPE = 415, "Unsupported Media Type";
    UNSUPPORTED_URI_SCHEME = 416, "Unsupported URI Scheme";
    BAD_EXTENSION = 420, "Bad Extension";
    INTERVAL_TOO_BRIEF = 423, "Interval Too Brief";
    FIRST_HOP_LACKS_OUTBOUND_SUPPORT = 439, "First Hop Lacks Outbound Support";
    TEMPORARILY_UNAVAILABLE = 480, "Temporarily Unavailable";
    TRANSACTION_DOES_NOT_EXIST = 481, "Call/Transaction Does Not Exist";
    LOOP_DETECTED = 482, "Loop Detected";
    TOO_MANY_HOPS = 483, "Too Many Hops";
    BUSY_HERE = 486, "Busy Here";
    NOT_ACCEPTABLE_HERE = 488, "Not Acceptable Here";
    SERVER_INTERNAL_ERROR = 500, "Server Internal Error";
    SERVICE_UNAVAILABLE = 503, "Service Unavailable";
    VERSION_NOT_SUPPORTED = 505, "Version Not Supported";
    DECLINE = 603, "Decline";
    100 "Trying", 180 "Ringing", 181 "Call Is Being Forwarded", 182 "Queued",
    183 "Session Progress", 199 "Early Dialog Terminated", 204 "No Notification",
    300 "Multiple Choices", 301 "Moved Permanently", 305 "Use Proxy",
    380 "Alternative Service", 402 "Payment Required", 406 "Not Acceptable", 410 "Gone",
    412 "Conditional Request Failed",
    414 "Request-URI Too Long", 417 "Unknown Resource-Priority", 421 "Extension Required",
    422 "Session Interval Too Small", 424 "Bad Location Information",
    428 "Use Identity Header", 429 "Provide Referrer Identity", 430 "Flow Failed",
    433 "Anonymity Disallowed", 436 "Bad Identity Info", 437 "Unsupported Credential",
    438 "Invalid Identity Header", 440 "Max-Breadth Exceeded", 469 "Bad Info Package",
    470 "Consent Needed", 484 "Address Incomplete", 485 "Ambiguous",
    487 "Request Terminated", 489 "Bad Event",
    491 "Request Pending", 493 "Undecipherable", 494 "Security Agreement Required",
    501 "Not Implemented", 502 "Bad Gateway", 504 "Server Time-out", 513 "Message Too Large",
    555 "Push Notification Service Not Supported", 580 "Precondition Failure",
    600 "Busy Everywhere", 604 "Does Not Exist Anywhere", 606 "Not Acceptable",
    607 "Unwanted", 608 "Rejected",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_three_digits_from_100_to_699_are_codes() {
        let valid = (0..=u16::MAX)
            .filter(|code| StatusCode::new(*code).is_some())
            .count();
        assert_eq!(valid, 600);
        assert_eq!(StatusCode::new(99), None);
        assert_eq!(StatusCode::new(700), None);
    }
}
