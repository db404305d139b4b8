//! How a page, or the reason why there is none, becomes an answer.

use super::view::{shell::Section, trouble};
use crate::errors::chain;
use axum::{
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use loopwright_store::Kind;
use maud::Markup;

/// A finished page. No cache keeps it: it shows records, and an erased one must be gone.
pub struct Page(pub Markup);

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        ([(header::CACHE_CONTROL, "no-store")], Html(self.0.into_string())).into_response()
    }
}

/// What a handler of a page returns.
pub type PageResult = Result<Page, PageError>;

/// Why there is no page.
#[derive(Debug)]
pub enum PageError {
    /// There is no such record.
    Missing {
        /// The part of the site it would belong to.
        section: Section,
        /// What it would be, in words.
        what: &'static str,
        /// The id that was asked for.
        id: String,
        /// Path and name of the list it would stand in.
        list: (&'static str, &'static str),
    },
    /// The request is refused.
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// Why, for people.
        why: String,
        /// Where to go from here.
        way_back: String,
    },
    /// The store failed.
    Store(loopwright_store::Error),
}

impl From<loopwright_store::Error> for PageError {
    fn from(error: loopwright_store::Error) -> Self {
        Self::Store(error)
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let (status, page) = match self {
            Self::Missing { section, what, id, list } => {
                (StatusCode::NOT_FOUND, trouble::not_found(section, what, &id, list))
            }
            Self::Refused { status, why, way_back } => (status, trouble::refused("That did not work", &why, &way_back)),
            Self::Store(error) => {
                // The message may name paths of this machine: the log has it, the page does not.
                tracing::error!(error = chain(&error), "a page failed");
                let (status, why) = match error.kind() {
                    Kind::Full => (StatusCode::INSUFFICIENT_STORAGE, "The disk is full."),
                    Kind::Damaged => (
                        StatusCode::INTERNAL_SERVER_ERROR,
                        "A stored record is damaged. `loopwright doctor` says more.",
                    ),
                    _ => (StatusCode::INTERNAL_SERVER_ERROR, "The store failed; the server's log says how."),
                };
                (status, trouble::refused("That did not work", why, "/"))
            }
        };
        (status, Page(page)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_their_status_and_are_not_kept() {
        let missing =
            PageError::Missing { section: Section::Runs, what: "run", id: "x".into(), list: ("/runs", "Runs") };
        let full = PageError::Store(loopwright_store::Error::new(Kind::Full, "no room"));
        let refused = PageError::Refused { status: StatusCode::FORBIDDEN, why: "no".into(), way_back: "/".into() };
        for (error, status) in [(missing, 404), (full, 507), (refused, 403)] {
            let response = error.into_response();
            assert_eq!(response.status().as_u16(), status);
            assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
        }
    }
}
