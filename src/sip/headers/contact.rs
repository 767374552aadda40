//! Contact (RFC 3261 §20.10), as a registrar lists bindings.

use super::name_addr::NameAddr;
use super::params::{param, split};

/// One binding.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Contact<'a> {
    /// Its address.
    pub address: NameAddr<'a>,
}

impl<'a> Contact<'a> {
    /// Every address of a Contact line; `*` (RFC 3261 §10.2.2) and what cannot be read are left
    /// out.
    pub fn list(value: &'a str) -> impl Iterator<Item = Self> {
        split(value, ',')
            .filter(|entry| entry.trim() != "*")
            .filter_map(|entry| NameAddr::parse(entry).map(|address| Self { address }))
    }

    /// How long the binding lives, in seconds; `None` when the parameter is missing or no number.
    pub fn expires(&self) -> Option<u32> {
        param(self.address.params, "expires")?.parse().ok()
    }

    /// Whether the binding is that of this instance and flow (RFC 5626 §4.1).
    pub fn is_flow(&self, instance_urn: &str, reg_id: u32) -> bool {
        let instance = param(self.address.params, "+sip.instance").unwrap_or_default();
        let instance = instance.trim_matches(['<', '>']);
        // A registrar without outbound support repeats the instance and drops the reg-id.
        let same_flow =
            param(self.address.params, "reg-id").is_none_or(|id| id.parse() == Ok(reg_id));
        instance.eq_ignore_ascii_case(instance_urn) && same_flow
    }

    /// Whether the binding names an instance at all.
    pub fn has_instance(&self) -> bool {
        param(self.address.params, "+sip.instance").is_some()
    }

    /// The user part of the address, as written.
    pub fn user(&self) -> Option<&'a str> {
        let (_, rest) = self.address.uri.split_once(':')?;
        rest.split_once('@').map(|(user, _)| user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_bindings_in_one_line_are_told_apart() {
        let line = r#"<sip:a@x>;expires=60;+sip.instance="<urn:uuid:A>";reg-id=1, "b, c" <sip:b@y;transport=ws>;expires=x, *"#;
        let list: Vec<_> = Contact::list(line).collect();
        assert_eq!(list.len(), 2);
        assert!(list[0].is_flow("urn:uuid:a", 1));
        assert!(!list[0].is_flow("urn:uuid:a", 2));
        assert_eq!((list[0].expires(), list[1].expires()), (Some(60), None));
        assert_eq!(list[1].user(), Some("b"));
    }
}
