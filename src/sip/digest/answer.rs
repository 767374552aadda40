//! The other side: what a client answered, and whether it is right.

use subtle::ConstantTimeEq as _;

use super::challenge::Parameters;
use super::challenge::unescape;
use super::hash::Algorithm;
use super::hash::Input;
use super::hash::Qop;

/// An Authorization or Proxy-Authorization header.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    /// Who it claims to be.
    pub username: String,
    /// Where.
    pub realm: String,
    /// Of the challenge it answers.
    pub nonce: String,
    /// How often the nonce was used.
    pub nonce_count: u32,
    cnonce: String,
    uri: String,
    response: String,
    algorithm: Algorithm,
    qop: Option<Qop>,
}

impl Answer {
    /// Reads the header's value.
    pub fn parse(value: &str) -> Option<Self> {
        let list = Parameters::list(value);
        let given = list
            .iter()
            .find(|given| given.scheme.eq_ignore_ascii_case("Digest"))?;
        let text = |name: &str| given.get(name).map(|value| unescape(value).into_owned());
        let qop = match given.get("qop") {
            None => None,
            Some("auth") => Some(Qop::Auth),
            Some("auth-int") => Some(Qop::AuthInt),
            Some(_) => return None,
        };
        Some(Self {
            username: text("username")?,
            realm: text("realm")?,
            nonce: text("nonce")?,
            nonce_count: given
                .get("nc")
                .map_or(Some(0), |nc| u32::from_str_radix(nc, 16).ok())?,
            cnonce: text("cnonce").unwrap_or_default(),
            uri: text("uri")?,
            response: text("response")?,
            algorithm: given
                .get("algorithm")
                .map_or(Some(Algorithm::MD5), Algorithm::parse)?,
            qop,
        })
    }

    /// Whether whoever answered knows the password. Takes as long for a near miss as for a far one.
    pub fn is_right(&self, password: &str, method: &str, body: &[u8]) -> bool {
        let function = self.algorithm.function;
        let (username, realm) = (self.username.as_bytes(), self.realm.as_bytes());
        let base = function.hex(&[username, realm, password.as_bytes()]);
        let key = match self.algorithm.session {
            true => function.hex(&[
                base.as_bytes(),
                self.nonce.as_bytes(),
                self.cnonce.as_bytes(),
            ]),
            false => base,
        };
        let input = Input {
            function,
            key: &key,
            nonce: &self.nonce,
            nonce_count: self.nonce_count,
            cnonce: &self.cnonce,
            qop: self.qop,
            method,
            uri: &self.uri,
            body,
        };
        let expected = input.response();
        expected
            .as_bytes()
            .ct_eq(self.response.to_ascii_lowercase().as_bytes())
            .into()
    }
}
