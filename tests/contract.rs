//! Holds `openapi.yaml` to the gateway: to its paths and methods, to its kinds of problems, to its
//! own schemas, and to what it really answers.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

#[path = "contract/answers.rs"]
mod answers;
#[path = "contract/document.rs"]
mod document;
#[path = "contract/examples.rs"]
mod examples;
#[path = "contract/problems.rs"]
mod problems;
#[path = "contract/received.rs"]
mod received;
#[path = "contract/released.rs"]
mod released;
#[path = "contract/routes.rs"]
mod routes;
#[path = "contract/running.rs"]
mod running;
#[path = "contract/staged.rs"]
mod staged;
#[path = "contract/webhooks.rs"]
mod webhooks;
