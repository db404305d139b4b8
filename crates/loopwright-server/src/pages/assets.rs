//! The style sheet and the icon: compiled in, named by their content so that a browser may keep them for ever.

use axum::{
    extract::RawQuery,
    http::header,
    response::{IntoResponse, Response},
};
use loopwright_types::Digest;
use std::sync::LazyLock;

/// The one style sheet of all pages.
pub const STYLE: &str = include_str!("style.css");

/// The tab's icon: the loop.
const ICON: &str = concat!(
    r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#1f5fbf"/>"##,
    r##"<path d="M24 16a8 8 0 1 1-2.6-5.9" fill="none" stroke="#fff" stroke-width="3" stroke-linecap="round"/>"##,
    r##"<path d="M24 5v6h-6" fill="none" stroke="#fff" stroke-width="3" stroke-linecap="round" stroke-linejoin="round"/></svg>"##
);

static STYLE_VERSION: LazyLock<String> = LazyLock::new(|| Digest::of(STYLE.as_bytes()).short().to_string());

/// Where the style sheet lies, with a version that changes with its content.
pub fn style_url() -> String {
    format!("/assets/style.css?v={}", *STYLE_VERSION)
}

/// `GET /assets/style.css`
pub async fn style(RawQuery(query): RawQuery) -> Response {
    let named = query.is_some_and(|query| query.strip_prefix("v=") == Some(STYLE_VERSION.as_str()));
    let keep = if named { "public, max-age=31536000, immutable" } else { "no-cache" };
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, keep)], STYLE).into_response()
}

/// `GET /assets/icon.svg`
pub async fn icon() -> Response {
    ([(header::CONTENT_TYPE, "image/svg+xml"), (header::CACHE_CONTROL, "public, max-age=86400")], ICON).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_style_sheet_is_kept_only_under_its_own_version() {
        let query = style_url().split_once('?').map(|(_, query)| query.to_string());
        let kept = style(RawQuery(query)).await;
        assert_eq!(kept.headers()[header::CACHE_CONTROL], "public, max-age=31536000, immutable");
        assert_eq!(kept.headers()[header::CONTENT_TYPE], "text/css; charset=utf-8");
        let other = style(RawQuery(Some("v=0".into()))).await;
        assert_eq!(other.headers()[header::CACHE_CONTROL], "no-cache");
    }

    #[test]
    fn the_style_sheet_serves_both_schemes_and_phones() {
        for part in ["prefers-color-scheme: dark", "max-width: 640px", ":focus-visible", "prefers-reduced-motion"] {
            assert!(STYLE.contains(part), "{part}");
        }
        assert!(!STYLE.contains("http"), "nothing is fetched from elsewhere");
    }
}
