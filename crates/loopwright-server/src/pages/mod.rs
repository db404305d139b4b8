//! The pages that people read: the loop's state, and every record behind it.
//!
//! [`router`] lists the doors. A handler reads what a page shows (`handlers`), a pure function makes the page of it
//! (`view`). Everybody must be signed in, except for the style sheet, the icon and the sign-in page itself. Pages need
//! no script; what they do is done by plain forms: feedback on a trace, and a turn of the playground.

mod answer;
mod assets;
mod handlers;
mod origin;
mod view;

use crate::AppState;
use answer::Page;
use axum::{
    Router,
    routing::{get, post},
};
use handlers::{
    audit, datasets, diff, drift, explanations, feedback, home, jobs, models, playground, routes, rows, runs, studies,
    subjects, traces,
};

/// Every page.
pub fn router() -> Router<AppState> {
    Router::new()
        .route("/", get(home::show))
        .route("/datasets", get(datasets::list))
        .route("/datasets/{id}", get(datasets::show))
        .route("/datasets/{id}/rows", get(rows::list))
        .route("/datasets/{id}/diff", get(diff::show))
        .route("/runs", get(runs::list))
        .route("/runs/compare", get(runs::compare))
        .route("/runs/{id}", get(runs::show))
        .route("/studies", get(studies::list))
        .route("/studies/{id}", get(studies::show))
        .route("/models", get(models::list))
        .route("/models/{id}", get(models::show))
        .route("/evaluations/{id}", get(models::evaluation))
        .route("/routes", get(routes::list))
        .route("/routes/{id}", get(routes::show))
        .route("/playground", get(playground::show).post(playground::say))
        .route("/traces", get(traces::list))
        .route("/traces/{id}", get(traces::show))
        .route("/traces/{id}/feedback", post(feedback::give))
        .route("/feedback", get(feedback::list))
        .route("/drift", get(drift::list))
        .route("/explanations", get(explanations::list))
        .route("/explanations/{id}", get(explanations::show))
        .route("/subjects", get(subjects::show))
        .route("/audit", get(audit::list))
        .route("/jobs", get(jobs::list))
        .route("/assets/style.css", get(assets::style))
        .route("/assets/icon.svg", get(assets::icon))
}

/// The page for an address that has none.
pub fn not_found() -> Page {
    Page(view::trouble::no_page())
}

/// The form for an administrator's key; `problem` says why the last try failed.
pub fn sign_in(problem: Option<&str>) -> Page {
    Page(view::sign_in::sign_in(problem))
}

/// Shown once after signing in; goes on to the loop by itself.
pub fn signed_in() -> Page {
    Page(view::sign_in::signed_in())
}

#[cfg(test)]
mod tests;
