//! Targets and senders, as SIP understands them: what a new message is checked against.

use std::sync::{Arc, PoisonError, RwLock};

use super::translate;
use crate::message::{AddressError, BodyRoom, Contents, Recipient};
use crate::sip::target;
use crate::sip::uri::Uri;

/// The accounts a message can be sent as. They may change; each question is answered from one list.
#[derive(Debug)]
pub struct Accounts {
    known: RwLock<Arc<[NamedSender]>>,
}

/// An account a message can be sent as.
#[derive(Clone, Debug)]
pub struct SenderAccount {
    /// Its address of record.
    pub uri: Uri,
    /// The bytes that a whole SIP message may have.
    pub max_message: usize,
    /// The setting that says so.
    pub setting: &'static str,
    /// What of them is not the message's: see [`reserved`](super::reserved).
    pub reserved: usize,
    /// Bytes of its From, which an envelope repeats.
    pub from_len: usize,
}

type NamedSender = (Arc<str>, SenderAccount);

impl Accounts {
    /// These accounts, in the order of the configuration; the first lends its domain to targets
    /// that have none.
    pub fn new(senders: impl IntoIterator<Item = SenderAccount>) -> Self {
        Self {
            known: RwLock::new(named(senders)),
        }
    }

    /// Takes these in place of the ones until now.
    pub fn replace(&self, senders: impl IntoIterator<Item = SenderAccount>) {
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = named(senders);
    }

    /// Normalizes `target`; `from`, when given, must be a configured account. A bare user name
    /// takes the domain of `from`, else that of the first account.
    pub fn resolve(&self, target: &str, from: Option<&str>) -> Result<Recipient, AddressError> {
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
        let uri = target::normalize(target, &lender.uri)
            .map_err(|error| AddressError::Target(error.to_string()))?;
        let account = account.map(|(name, _)| name.clone());
        Ok(Recipient {
            uri: uri.as_str().into(),
            account,
        })
    }

    /// How large the body of this message may be; where any account may send it, for the one with
    /// the least room.
    pub fn body_room(&self, contents: &Contents) -> BodyRoom {
        let known = self.known();
        let of_account = contents
            .account
            .as_ref()
            .and_then(|account| known.iter().find(|(name, _)| name == account));
        let sender = of_account.or_else(|| {
            let senders = known.iter();
            senders.min_by_key(|(_, sender)| sender.room().saturating_sub(sender.from_len))
        });
        let Some((_, sender)) = sender else {
            // Accounts that are gone since the recipient was resolved send nothing.
            return BodyRoom {
                left: None,
                max_message: 0,
                setting: "account",
            };
        };
        let head = translate::head_len(contents);
        let envelope = translate::envelope_len(contents, sender.from_len);
        BodyRoom {
            left: sender.room().checked_sub(head + envelope),
            max_message: sender.max_message,
            setting: sender.setting,
        }
    }

    /// The account of this address, in the spelling of the configuration.
    pub fn account(&self, from: &str) -> Option<Arc<str>> {
        find(&self.known(), from).map(|(name, _)| name.clone())
    }

    fn known(&self) -> Arc<[NamedSender]> {
        self.known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl SenderAccount {
    /// Bytes of its messages beside those reserved.
    fn room(&self) -> usize {
        self.max_message.saturating_sub(self.reserved)
    }
}

fn named(senders: impl IntoIterator<Item = SenderAccount>) -> Arc<[NamedSender]> {
    let named = |sender: SenderAccount| (Arc::from(sender.uri.as_str()), sender);
    senders.into_iter().map(named).collect()
}

fn find<'a>(known: &'a [NamedSender], from: &str) -> Option<&'a NamedSender> {
    let wanted = Uri::parse(from.trim()).ok()?.address_of_record();
    known
        .iter()
        .find(|(_, known)| known.uri.address_of_record() == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Header;

    fn accounts() -> Accounts {
        let sender = |uri, max_message| SenderAccount {
            uri: Uri::parse(uri).unwrap(),
            max_message,
            setting: "sip.max_message",
            reserved: 1_000,
            from_len: 30,
        };
        Accounts::new([
            sender("sip:alice@a.example:5070", 3_000),
            sender("sip:carol@c.example", 2_000),
        ])
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
    fn an_account_that_says_it_is_a_number_is_found_with_and_without_that() {
        let uri = "sip:+4930@a.example;user=phone";
        let accounts = Accounts::new([SenderAccount {
            uri: Uri::parse(uri).unwrap(),
            max_message: 3_000,
            setting: "sip.max_message",
            reserved: 1_000,
            from_len: 30,
        }]);
        for from in [uri, "sip:+4930@a.example"] {
            let recipient = accounts.resolve("bob", Some(from)).unwrap();
            assert_eq!(recipient.account.as_deref(), Some(uri));
            assert_eq!(&*recipient.uri, "sip:bob@a.example");
        }
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

    #[test]
    fn a_body_has_the_room_of_the_account_that_sends_it_else_the_least_of_all() {
        let room = |from, headers: &[Header]| {
            let recipient = accounts().resolve("bob@b.example", from).unwrap();
            let contents = Contents {
                uri: recipient.uri,
                account: recipient.account,
                extra_headers: headers.to_vec(),
                ..Contents::default()
            };
            accounts().body_room(&contents).left
        };
        // Four times the URI, and the line of the type.
        let head = 4 * "sip:bob@b.example".len() + "Content-Type: text/plain\r\n".len();
        assert_eq!(
            room(Some("sip:alice@a.example:5070"), &[]),
            Some(2_000 - head)
        );
        assert_eq!(room(Some("sip:carol@c.example"), &[]), Some(1_000 - head));
        assert_eq!(room(None, &[]), Some(1_000 - head));
        let header = |len| Header::parse(&format!("X: {}", "x".repeat(len))).unwrap();
        let line = "X: \r\n".len();
        assert_eq!(room(None, &[header(900 - line)]), Some(100 - head));
        assert_eq!(room(None, &[header(1_000)]), None);
    }
}
