//! `GET /version`: which program answers.

use axum::Json;
use serde_json::{Value, json};

/// `GET /version`.
pub async fn show() -> Json<Value> {
    Json(json!({ "name": "loopwright", "version": env!("CARGO_PKG_VERSION") }))
}
