//! The webhook that a message names, and the token whose secret signs the posts.
//!
//! The token's name is kept as the fragment of the URL: a fragment is never sent, and no client may
//! give one. Without a fragment `webhooks.secret` signs.

use std::sync::Arc;

use url::form_urlencoded;

/// This URL, to be signed with the secret of this token.
pub fn signed_by(url: &str, token: &str) -> Arc<str> {
    let name: String = form_urlencoded::byte_serialize(token.as_bytes()).collect();
    format!("{url}#{name}").into()
}

/// The URL as the client gave it.
pub fn url(webhook: &str) -> &str {
    webhook.split_once('#').map_or(webhook, |(url, _)| url)
}

/// The token whose secret signs; `None` for `webhooks.secret`.
pub fn token(webhook: &str) -> Option<String> {
    let (_, name) = webhook.split_once('#')?;
    let (name, _) = form_urlencoded::parse(name.as_bytes()).next()?;
    Some(name.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_keeps_whose_secret_signs() {
        let given = "https://app.example/hook?a=b";
        assert_eq!((url(given), token(given)), (given, None));
        for name in ["backend", "a b", "50% #1 & = \u{e4}", "+"] {
            let webhook = signed_by(given, name);
            assert_eq!(url(&webhook), given);
            assert_eq!(token(&webhook).as_deref(), Some(name));
        }
    }
}
