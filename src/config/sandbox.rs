//! `[sandbox]`: the built-in SIP server that stands in while no account is configured.

use std::net::SocketAddr;

use super::section::Section;

/// The built-in SIP server that stands in while no account is configured.
#[derive(Clone, Debug)]
pub struct Sandbox {
    /// Where it listens: loopback.
    pub listen: SocketAddr,
    /// User agents that register with it.
    pub agents: u32,
}

impl Sandbox {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let sandbox = Self {
            listen: section.address("listen"),
            agents: section.integer("agents", 1..=1000),
        };
        if !sandbox.listen.ip().is_loopback() {
            let problem = "the sandbox knows no secrets and is for this machine only";
            section.wrong(
                "listen",
                problem,
                "a loopback address such as \"127.0.0.1:0\"",
            );
        }
        section.finish();
        sandbox
    }
}
