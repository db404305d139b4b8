//! `/v1/studies`: hyperparameter search for trainers of any kind, by asking and telling.

use crate::{
    AppState,
    auth::Caller,
    body::read_body,
    errors::{ApiError, ApiResult},
};
use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::StatusCode,
};
use loopwright_pipeline::{
    Kind,
    jobs::{
        ask_tell::{self, Told},
        tune::StudyRecord,
    },
    search::{Direction, Params, Pruner, Sampler, Settings, Space, Trial},
};
use loopwright_serve::wire::read_json;
use loopwright_store::ListQuery;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// A new study.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewStudy {
    name: String,
    space: Space,
    direction: Direction,
    #[serde(default)]
    sampler: Sampler,
    #[serde(default)]
    pruner: Pruner,
    #[serde(default)]
    seed: u64,
}

/// A value on a trial's way.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewReport {
    step: u64,
    value: f64,
}

/// Whether to go on.
#[derive(Debug, Serialize)]
pub struct ReportAnswer {
    /// Should the trial be given up?
    pub prune: bool,
}

/// Every study.
#[derive(Debug, Serialize)]
pub struct StudyList {
    /// `list`.
    pub object: &'static str,
    /// Newest first.
    pub data: Vec<StudyRecord>,
}

/// `POST /v1/studies`
pub async fn create(
    _: Caller,
    State(state): State<AppState>,
    body: Body,
) -> ApiResult<(StatusCode, Json<StudyRecord>)> {
    let NewStudy { name, space, direction, sampler, pruner, seed } = read(&state, body).await?;
    let _one = state.one_study_at_a_time().await;
    let settings = Settings { space, direction, sampler, pruner, seed };
    let (record, is_new) = ask_tell::create(state.store(), &name, settings).await.map_err(to_api)?;
    Ok((if is_new { StatusCode::CREATED } else { StatusCode::OK }, Json(record)))
}

/// `GET /v1/studies`
pub async fn list(_: Caller, State(state): State<AppState>) -> ApiResult<Json<StudyList>> {
    let data = state.store().list(&ListQuery::default()).await?;
    Ok(Json(StudyList { object: "list", data }))
}

/// `GET /v1/studies/{name}`
pub async fn show(_: Caller, State(state): State<AppState>, Path(name): Path<String>) -> ApiResult<Json<StudyRecord>> {
    match state.store().get(&name).await? {
        Some(record) => Ok(Json(record)),
        None => Err(ApiError::not_found(format!("there is no study `{name}`"))),
    }
}

/// `POST /v1/studies/{name}/ask`
pub async fn ask(_: Caller, State(state): State<AppState>, Path(name): Path<String>) -> ApiResult<Json<Trial>> {
    let _one = state.one_study_at_a_time().await;
    Ok(Json(ask_tell::ask(state.store(), &name).await.map_err(to_api)?))
}

/// `POST /v1/studies/{name}/enqueue`
pub async fn enqueue(
    _: Caller,
    State(state): State<AppState>,
    Path(name): Path<String>,
    body: Body,
) -> ApiResult<StatusCode> {
    let params: Params = read(&state, body).await?;
    let _one = state.one_study_at_a_time().await;
    ask_tell::enqueue(state.store(), &name, params).await.map_err(to_api)?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /v1/studies/{name}/trials/{number}/report`
pub async fn report(
    _: Caller,
    State(state): State<AppState>,
    Path((name, number)): Path<(String, u64)>,
    body: Body,
) -> ApiResult<Json<ReportAnswer>> {
    let new: NewReport = read(&state, body).await?;
    let _one = state.one_study_at_a_time().await;
    let prune = ask_tell::report(state.store(), &name, number, new.step, new.value).await.map_err(to_api)?;
    Ok(Json(ReportAnswer { prune }))
}

/// `POST /v1/studies/{name}/trials/{number}/tell`
pub async fn tell(
    _: Caller,
    State(state): State<AppState>,
    Path((name, number)): Path<(String, u64)>,
    body: Body,
) -> ApiResult<Json<Trial>> {
    let told: Told = read(&state, body).await?;
    let _one = state.one_study_at_a_time().await;
    Ok(Json(ask_tell::tell(state.store(), &name, number, &told).await.map_err(to_api)?))
}

async fn read<T: DeserializeOwned>(state: &AppState, body: Body) -> ApiResult<T> {
    let settings = state.settings();
    Ok(read_json(&read_body(body, settings.body_bytes_max, settings.body_time_max).await?)?)
}

fn to_api(error: loopwright_pipeline::Error) -> ApiError {
    let text = crate::errors::chain(&error);
    match error.kind() {
        Kind::User if text.contains("there is no study") => ApiError::not_found(text),
        Kind::User => ApiError::invalid("invalid_value", text),
        Kind::Outside | Kind::Resources | Kind::Bug => ApiError::internal(&error),
    }
}
