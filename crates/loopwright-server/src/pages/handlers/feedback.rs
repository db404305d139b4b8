//! `GET /feedback`, and `POST /traces/{id}/feedback`: the one form of the pages.

use super::traces::missing;
use crate::{
    AppState,
    auth::SignedIn,
    errors::chain,
    pages::{
        answer::{Page, PageError, PageResult},
        origin,
        view::{
            feedback::{FeedbackCounts, feedback},
            link,
            pager::Slice,
        },
    },
};
use axum::{
    Form,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode},
    response::Redirect,
};
use loopwright_observe::{
    Kind,
    feedback::{NewFeedback, receive},
};
use loopwright_store::FeedbackQuery;
use loopwright_types::id::TraceId;
use serde::Deserialize;

/// Pieces on a page of the list.
const PAGE_SIZE: u64 = 50;
/// Pieces that are read and counted.
const READ_MAX: u32 = 10_000;

/// The list's query.
#[derive(Deserialize)]
pub struct Asked {
    corrections: Option<String>,
    page: Option<u64>,
}

/// `GET /feedback`
pub async fn list(_: SignedIn, State(state): State<AppState>, Query(asked): Query<Asked>) -> PageResult {
    let store = state.store();
    let corrections_only = asked.corrections.is_some_and(|text| !text.is_empty());
    let all = store.feedback(&FeedbackQuery { limit: READ_MAX, ..FeedbackQuery::default() }).await?;
    let counts = FeedbackCounts::of(&all);
    let fitting: Vec<_> = all.into_iter().rev().filter(|it| !corrections_only || it.correction.is_some()).collect();
    let slice = Slice::new(asked.page, PAGE_SIZE, fitting.len() as u64);
    let shown: Vec<_> = fitting.into_iter().skip(slice.offset() as usize).take(PAGE_SIZE as usize).collect();
    Ok(Page(feedback(&shown, counts, corrections_only, slice, store.now())))
}

/// The form's fields; an empty one says nothing.
#[derive(Deserialize)]
pub struct Said {
    #[serde(default)]
    thumb: String,
    #[serde(default)]
    correction: String,
    #[serde(default)]
    comment: String,
}

impl Said {
    fn about(self, trace: TraceId) -> NewFeedback {
        let given = |text: String| Some(text).filter(|text| !text.trim().is_empty());
        let thumb_up = match self.thumb.as_str() {
            "up" => Some(true),
            "down" => Some(false),
            _ => None,
        };
        NewFeedback {
            trace,
            thumb_up,
            correction: given(self.correction),
            comment: given(self.comment),
            source: "annotator".into(),
        }
    }
}

/// `POST /traces/{id}/feedback`
pub async fn give(
    who: SignedIn,
    State(state): State<AppState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Form(said): Form<Said>,
) -> Result<Redirect, PageError> {
    let way_back = format!("/traces/{}", link::segment(&id));
    let refused = |status, why: &str| PageError::Refused { status, why: why.into(), way_back: way_back.clone() };
    if !origin::is_own(&headers) {
        return Err(refused(StatusCode::FORBIDDEN, "The form does not come from a page of this server."));
    }
    let id = TraceId::new(id);
    match receive(state.store(), &state.settings().redactor, &who.actor, said.about(id.clone())).await {
        Ok(_) => Ok(Redirect::to(&format!("{way_back}?stored=yes"))),
        Err(error) => match error.kind() {
            Kind::Invalid => Err(refused(StatusCode::UNPROCESSABLE_ENTITY, &in_words(&error.to_string()))),
            Kind::NotFound => Err(missing(id)),
            Kind::Store | Kind::Lost => {
                tracing::error!(error = chain(&error), "feedback was not stored");
                Err(refused(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "The feedback was not stored; the server's log says why.",
                ))
            }
        },
    }
}

/// A message as a sentence: with a capital, and without the words that only a program needs.
fn in_words(message: &str) -> String {
    if message.starts_with("feedback says nothing") {
        return "Say something first: right or wrong, the right answer, or a remark.".into();
    }
    let mut letters = message.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).chain(['.']).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_fields_say_nothing() {
        let said = Said { thumb: "down".into(), correction: " ".into(), comment: "late".into() };
        let new = said.about("t1".into());
        assert_eq!((new.thumb_up, new.correction, new.comment.as_deref()), (Some(false), None, Some("late")));
        assert_eq!(in_words("the comment has 5000 characters"), "The comment has 5000 characters.");
    }
}
