//! The token that a request shows (RFC 6750 §2.1).

use axum::http::{HeaderMap, header};

use crate::api::error::ApiError;

/// The token, where one is shown. Other schemes are as good as nothing.
pub(super) fn token(headers: &HeaderMap) -> Result<Option<&[u8]>, ApiError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(ApiError::TwoTokens);
    }
    let bytes = value.as_bytes();
    let Some((scheme, token)) = bytes.split_at_checked("Bearer ".len()) else {
        return Ok(None);
    };
    let is_bearer = scheme.eq_ignore_ascii_case(b"Bearer ");
    Ok(is_bearer.then(|| token.trim_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(values: &[&str]) -> Result<Option<String>, ApiError> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, value.parse().unwrap());
        }
        let token = token(&headers)?;
        Ok(token.map(|token| String::from_utf8(token.to_vec()).unwrap()))
    }

    #[test]
    fn a_token_follows_the_scheme_in_any_case() {
        for text in ["Bearer abc", "bearer abc", "BEARER   abc "] {
            assert_eq!(shown(&[text]).unwrap().as_deref(), Some("abc"), "{text}");
        }
    }

    #[test]
    fn other_schemes_show_no_token() {
        for text in ["Basic dTpw", "Bearer", "Bearerabc", "", "Bearér abc"] {
            assert_eq!(shown(&[text]).unwrap(), None, "{text}");
        }
        assert_eq!(shown(&[]).unwrap(), None);
    }

    #[test]
    fn two_tokens_are_one_too_many() {
        let twice = shown(&["Bearer a", "Bearer a"]);
        assert!(matches!(twice, Err(ApiError::TwoTokens)));
    }
}
