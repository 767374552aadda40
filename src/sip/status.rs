//! Response codes and what they are called.

/// A response code of RFC 3261 §7.2: three digits, 100 to 699.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct StatusCode(u16);

impl StatusCode {
    /// 200
    pub const OK: Self = Self(200);
    /// 202 (RFC 3428 §7): a relay took it.
    pub const ACCEPTED: Self = Self(202);
    /// 302
    pub const MOVED_TEMPORARILY: Self = Self(302);
    /// 400
    pub const BAD_REQUEST: Self = Self(400);
    /// 401
    pub const UNAUTHORIZED: Self = Self(401);
    /// 403
    pub const FORBIDDEN: Self = Self(403);
    /// 404
    pub const NOT_FOUND: Self = Self(404);
    /// 405
    pub const METHOD_NOT_ALLOWED: Self = Self(405);
    /// 407
    pub const PROXY_AUTHENTICATION_REQUIRED: Self = Self(407);
    /// 408
    pub const REQUEST_TIMEOUT: Self = Self(408);
    /// 415
    pub const UNSUPPORTED_MEDIA_TYPE: Self = Self(415);
    /// 416
    pub const UNSUPPORTED_URI_SCHEME: Self = Self(416);
    /// 420
    pub const BAD_EXTENSION: Self = Self(420);
    /// 423
    pub const INTERVAL_TOO_BRIEF: Self = Self(423);
    /// 480
    pub const TEMPORARILY_UNAVAILABLE: Self = Self(480);
    /// 481
    pub const TRANSACTION_DOES_NOT_EXIST: Self = Self(481);
    /// 482
    pub const LOOP_DETECTED: Self = Self(482);
    /// 483
    pub const TOO_MANY_HOPS: Self = Self(483);
    /// 439: the REGISTER asked for outbound, and the first hop does not know it (RFC 5626 §11.6).
    pub const FIRST_HOP_LACKS_OUTBOUND_SUPPORT: Self = Self(439);
    /// 486
    pub const BUSY_HERE: Self = Self(486);
    /// 500
    pub const SERVER_INTERNAL_ERROR: Self = Self(500);
    /// 503
    pub const SERVICE_UNAVAILABLE: Self = Self(503);
    /// 505
    pub const VERSION_NOT_SUPPORTED: Self = Self(505);
    /// 603
    pub const DECLINE: Self = Self(603);

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

    /// What RFC 3261 §21 and its extensions call the code; empty for a code without a name.
    #[rustfmt::skip]
    pub fn reason_phrase(self) -> &'static str {
        match self.0 {
            100 => "Trying", 180 => "Ringing", 181 => "Call Is Being Forwarded", 182 => "Queued",
            183 => "Session Progress", 199 => "Early Dialog Terminated",
            200 => "OK", 202 => "Accepted", 204 => "No Notification",
            300 => "Multiple Choices", 301 => "Moved Permanently", 302 => "Moved Temporarily",
            305 => "Use Proxy", 380 => "Alternative Service",
            400 => "Bad Request", 401 => "Unauthorized", 402 => "Payment Required",
            403 => "Forbidden", 404 => "Not Found", 405 => "Method Not Allowed",
            406 => "Not Acceptable", 407 => "Proxy Authentication Required",
            408 => "Request Timeout", 410 => "Gone", 412 => "Conditional Request Failed",
            413 => "Request Entity Too Large", 414 => "Request-URI Too Long",
            415 => "Unsupported Media Type", 416 => "Unsupported URI Scheme",
            417 => "Unknown Resource-Priority", 420 => "Bad Extension",
            421 => "Extension Required", 422 => "Session Interval Too Small",
            423 => "Interval Too Brief", 424 => "Bad Location Information",
            428 => "Use Identity Header", 429 => "Provide Referrer Identity", 430 => "Flow Failed",
            433 => "Anonymity Disallowed", 436 => "Bad Identity Info",
            437 => "Unsupported Credential", 438 => "Invalid Identity Header",
            439 => "First Hop Lacks Outbound Support", 440 => "Max-Breadth Exceeded",
            469 => "Bad Info Package", 470 => "Consent Needed", 480 => "Temporarily Unavailable",
            481 => "Call/Transaction Does Not Exist", 482 => "Loop Detected",
            483 => "Too Many Hops", 484 => "Address Incomplete", 485 => "Ambiguous",
            486 => "Busy Here", 487 => "Request Terminated", 488 => "Not Acceptable Here",
            489 => "Bad Event", 491 => "Request Pending", 493 => "Undecipherable",
            494 => "Security Agreement Required",
            500 => "Server Internal Error", 501 => "Not Implemented", 502 => "Bad Gateway",
            503 => "Service Unavailable", 504 => "Server Time-out", 505 => "Version Not Supported",
            513 => "Message Too Large", 555 => "Push Notification Service Not Supported",
            580 => "Precondition Failure",
            600 => "Busy Everywhere", 603 => "Decline", 604 => "Does Not Exist Anywhere",
            606 => "Not Acceptable", 607 => "Unwanted", 608 => "Rejected",
            _ => "",
        }
    }
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
