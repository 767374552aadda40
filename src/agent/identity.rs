//! Who an agent is, to its clients and to its registrar.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use uuid::Builder;

/// Who an agent is, fixed for its life.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its name, safe in a path: `alice-1`.
    pub id: Arc<str>,
    /// Its address of record.
    pub account: Arc<str>,
    /// The From header of what it sends, without the tag: `"Alice" <sip:alice@example.com>`.
    pub from: String,
    /// The User-Agent header.
    pub user_agent: String,
    /// Headers that the account adds to every request.
    pub extra_headers: Vec<(String, String)>,
    /// Whether it takes messages, as Allow of what it sends says.
    pub receives: bool,
}

/// The instance id of an agent (RFC 5626 §4.1), the same after every restart.
///
/// A UUID made from what stays: the store's epoch, the account, and the agent's number in it. A
/// registrar then replaces the binding of before a restart instead of adding one beside it.
pub fn instance_id(epoch: u64, account: &str, number: u32) -> String {
    let name = format!("sipost {epoch} {account} {number}");
    let hash: [u8; 32] = Sha256::digest(name.as_bytes()).into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    // RFC 9562 §5.8: a version for ids made in a way of one's own.
    Builder::from_custom_bytes(bytes).into_uuid().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r11_an_agent_keeps_its_instance_id_and_shares_it_with_nobody() {
        let id = instance_id(7, "sip:alice@example.com", 1);
        assert_eq!(id, instance_id(7, "sip:alice@example.com", 1));
        assert_ne!(id, instance_id(8, "sip:alice@example.com", 1));
        assert_ne!(id, instance_id(7, "sip:alice@example.com", 2));
        assert_ne!(id, instance_id(7, "sip:carol@example.com", 1));
    }
}
