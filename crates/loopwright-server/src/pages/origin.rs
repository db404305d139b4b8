//! Does a form come from our own page? Together with the session's `SameSite=Strict` cookie this keeps other sites, and
//! other ports of this host, from acting in the name of somebody who is signed in.

use axum::http::{HeaderMap, header};

/// True if the request comes from a page of this origin.
///
/// Browsers say so in `Sec-Fetch-Site` (W3C Fetch Metadata) or, where the connection is not trusted, in `Origin`, whose
/// host must then be the one that was asked. A program that sends a key of its own carries no cookie and is believed.
pub fn is_own(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return site == "same-origin";
    }
    match text("origin") {
        Some(origin) => origin.split_once("://").is_some_and(|(_, host)| text("host") == Some(host)),
        None => headers.contains_key(header::AUTHORIZATION),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};

    #[test]
    fn only_our_own_forms_pass() {
        for (pairs, expected) in [
            (vec![("sec-fetch-site", "same-origin")], true),
            (vec![("sec-fetch-site", "same-site"), ("origin", "http://a:1"), ("host", "a:1")], false),
            (vec![("sec-fetch-site", "cross-site")], false),
            (vec![("origin", "http://a:1"), ("host", "a:1")], true),
            (vec![("origin", "http://a:2"), ("host", "a:1")], false),
            (vec![("origin", "null"), ("host", "a:1")], false),
            (vec![("host", "a:1")], false),
            (vec![("authorization", "Bearer lw_x")], true),
        ] {
            let headers: HeaderMap = pairs
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
                .collect();
            assert_eq!(is_own(&headers), expected, "{pairs:?}");
        }
    }
}
