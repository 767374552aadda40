//! The labels of the metrics, and the bounds of the histograms' buckets.

use http::Method;
use prometheus_client::encoding::EncodeLabelSet;

use crate::message::{Cause, Priority};

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(super) struct FinishedLabels {
    pub(super) result: &'static str,
    pub(super) cause: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(super) struct CodeLabel {
    pub(super) code: u16,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(super) struct OutcomeLabel {
    pub(super) outcome: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(super) struct StateLabel {
    pub(super) state: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(super) struct PriorityLabel {
    pub(super) priority: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(super) struct RouteLabels {
    pub(super) route: &'static str,
    pub(super) method: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(super) struct RequestLabels {
    pub(super) route: &'static str,
    pub(super) method: &'static str,
    pub(super) status: u16,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub(super) struct ReasonLabel {
    pub(super) reason: &'static str,
}

impl PriorityLabel {
    pub(super) fn of(class: Priority) -> Self {
        let priority = class.as_str();
        Self { priority }
    }
}

/// The labels of a message that succeeded.
pub(super) const SUCCEEDED: FinishedLabels = FinishedLabels {
    result: "succeeded",
    cause: "",
};

/// The labels of a message that failed.
pub(super) fn failed(cause: Cause) -> FinishedLabels {
    FinishedLabels {
        result: "failed",
        cause: cause.as_str(),
    }
}

/// The values of the label `method`; any other method is `other`.
const METHODS: [&str; 5] = ["GET", "POST", "PATCH", "DELETE", "OPTIONS"];

/// The value of the label `method`.
pub(super) fn method_label(method: &Method) -> &'static str {
    let known = METHODS.iter().find(|name| **name == method.as_str());
    known.unwrap_or(&"other")
}

/// Seconds: from a millisecond to the longest usual `ttl`.
pub(super) const MESSAGE_BUCKETS: [f64; 19] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    300.0, 1_800.0, 3_600.0, 86_400.0,
];
/// Seconds: from half a millisecond to Timer F.
pub(super) const TRANSACTION_BUCKETS: [f64; 16] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0,
    32.0,
];
/// Seconds: from a disk with a cache to one that hangs.
pub(super) const COMMIT_BUCKETS: [f64; 14] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];
/// Rows.
pub(super) const BATCH_BUCKETS: [f64; 13] = [
    1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0, 5_000.0, 10_000.0,
];
/// Seconds: from a hundred microseconds to the longest `Prefer: wait`.
pub(super) const REQUEST_BUCKETS: [f64; 17] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0,
];
