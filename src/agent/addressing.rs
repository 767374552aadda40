//! Targets and senders, as SIP understands them: what a draft is checked against.

use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::RwLock;

use crate::message::AddressError;
use crate::message::Addressing;
use crate::message::Recipient;
use crate::sip::target;
use crate::sip::uri::Uri;

/// The accounts a message can be sent as. They may change; each question is answered from one list.
#[derive(Debug)]
pub struct Accounts {
    known: RwLock<Arc<[Known]>>,
}

type Known = (Arc<str>, Uri);

impl Accounts {
    /// These addresses of record, in the order of the configuration; the first lends its domain to
    /// targets that have none.
    pub fn new(addresses: impl IntoIterator<Item = Uri>) -> Self {
        Self {
            known: RwLock::new(named(addresses)),
        }
    }

    /// Takes these in place of the ones until now.
    pub fn replace(&self, addresses: impl IntoIterator<Item = Uri>) {
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = named(addresses);
    }

    fn known(&self) -> Arc<[Known]> {
        self.known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

fn named(addresses: impl IntoIterator<Item = Uri>) -> Arc<[Known]> {
    let named = |uri: Uri| (Arc::from(uri.as_str()), uri);
    addresses.into_iter().map(named).collect()
}

fn find<'a>(known: &'a [Known], from: &str) -> Option<&'a Known> {
    let wanted = Uri::parse(from.trim()).ok()?.address_of_record();
    known
        .iter()
        .find(|(_, known)| known.address_of_record() == wanted)
}

impl Addressing for Accounts {
    fn resolve(&self, target: &str, from: Option<&str>) -> Result<Recipient, AddressError> {
        let known = self.known();
        let account = match from {
            Some(from) => Some(find(&known, from).ok_or_else(|| {
                AddressError::From("not the address of a configured account".to_owned())
            })?),
            None => None,
        };
        let (_, lender) = account
            .or_else(|| known.first())
            .ok_or_else(|| AddressError::From("no account is configured".to_owned()))?;
        let uri = target::normalize(target, lender)
            .map_err(|error| AddressError::Target(error.to_string()))?;
        let account = account.map(|(name, _)| name.clone());
        Ok(Recipient {
            uri: uri.as_str().into(),
            account,
        })
    }

    fn account(&self, from: &str) -> Option<Arc<str>> {
        find(&self.known(), from).map(|(name, _)| name.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts() -> Accounts {
        let uri = |text| Uri::parse(text).unwrap();
        Accounts::new([uri("sip:alice@a.example:5070"), uri("sip:carol@c.example")])
    }

    fn resolve(target: &str, from: Option<&str>) -> (String, Option<String>) {
        let recipient = accounts().resolve(target, from).unwrap();
        (
            recipient.uri.to_string(),
            recipient.account.map(|account| account.to_string()),
        )
    }

    #[test]
    fn a_bare_user_takes_the_domain_of_from_else_of_the_first_account() {
        assert_eq!(
            resolve("bob", None),
            ("sip:bob@a.example:5070".to_owned(), None)
        );
        let carol = "sip:carol@c.example".to_owned();
        assert_eq!(
            resolve("bob", Some(&carol)),
            ("sip:bob@c.example".to_owned(), Some(carol))
        );
    }

    #[test]
    fn from_is_an_account_in_any_spelling_or_refused() {
        assert!(
            accounts()
                .resolve("bob", Some("SIP:carol@C.EXAMPLE"))
                .is_ok()
        );
        for from in ["sip:mallory@c.example", "carol", "", "tel:+1"] {
            let refused = accounts().resolve("bob", Some(from));
            assert!(matches!(refused, Err(AddressError::From(_))), "{from}");
        }
        assert!(matches!(
            accounts().resolve("mailto:x@y", None),
            Err(AddressError::Target(_))
        ));
    }
}
