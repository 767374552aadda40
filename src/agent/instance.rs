//! The instance id of an agent (RFC 5626 §4.1): the same after every restart.

use sha2::{Digest as _, Sha256};
use uuid::Builder;

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
