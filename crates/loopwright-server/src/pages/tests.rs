//! The pages through the router, over a real store.

use super::view::sample;
use crate::{AppState, ServerSettings, auth::SESSION_COOKIE, router};
use axum::{
    body::Body,
    http::{HeaderMap, Request, StatusCode, header},
};
use loopwright_observe::{metrics::Metrics, sink::TraceSink};
use loopwright_serve::Engine;
use loopwright_store::{Change, FeedbackQuery, Store, TableKey};
use loopwright_types::{
    DatasetRef, DatasetVersion, EntityRef, Example, dataset::RejectedRow, event::NewEvent, id::RunId, lineage::Edge,
};
use std::sync::Arc;
use tower::ServiceExt as _;

/// A server over this store with one open session, and its router.
struct Site {
    app: axum::Router,
    store: Store,
}

impl Site {
    async fn new() -> Self {
        let store = Store::in_memory().await.unwrap();
        let address = "127.0.0.1:0".parse().unwrap();
        let settings = ServerSettings::new(address, store.clone(), Arc::new(|_| Ok(())));
        let engine = Engine::start(settings.engine.clone()).unwrap();
        let traffic = Arc::new(Metrics::default());
        let sink = TraceSink::start(store.clone(), settings.redactor.clone(), traffic.clone(), settings.sink.clone())
            .await
            .unwrap();
        let state = AppState::new(settings, engine, sink, traffic);
        state.sessions().open("open", store.now());
        Self { app: router(state), store }
    }

    async fn seeded() -> Self {
        let site = Self::new().await;
        let edge = |from: &str, id: &str| {
            Change::Link(Edge::new(EntityRef::new(from, id), "trained", EntityRef::new("model_version", "support@2")))
        };
        let changes = vec![
            Change::put(&DatasetVersion { dataset: first(), parent: None, ..sample::dataset() }),
            Change::put(&DatasetVersion {
                dataset: DatasetRef::new("elsewhere", 1),
                parent: None,
                ..sample::dataset()
            }),
            Change::put(&sample::dataset()),
            Change::put(&sample::run()),
            Change::Metrics { run: RunId::new("run_1"), points: sample::metric_points() },
            Change::put(&sample::model()),
            Change::put(&sample::evaluation()),
            Change::put(&sample::package()),
            Change::put(&sample::route()),
            Change::put(&sample::drift_check()),
            Change::put(&sample::explanation()),
            Change::put(&sample::erasure()),
            Change::Traces(vec![sample::trace()]),
            Change::Feedback(vec![sample::feedback()]),
            Change::Enqueue(sample::job().job),
            edge("dataset_version", "support@2"),
            edge("run", "run_1"),
        ];
        let event = NewEvent::new("cli", "dataset_version.created", EntityRef::new("dataset_version", "support@2"));
        site.store.apply(event, changes).await.unwrap();
        site.write_rows().await.unwrap();
        site
    }

    /// Two versions with rows, one row dropped between them, and a line that could not be read.
    async fn write_rows(&self) -> loopwright_store::Result<()> {
        let (tables, second) = (self.store.tables(), sample::dataset().dataset);
        let row = |id: &str| Example { row_id: id.into(), ..sample::example() };
        let relabelled = Example { label: "refund".into(), ..row("row-79") };
        tables.write_examples(&first(), &[row("row-78"), row("row-79")]).await?;
        tables.write_examples(&second, &[sample::example(), relabelled]).await?;
        tables.write_dropped(&second, &[sample::dropped_row()]).await?;
        let line = RejectedRow {
            source: "month-1.csv".into(),
            line: 7,
            reason: "expected 4 columns, got 3".into(),
            excerpt: "write to a.b@example.org".into(),
        };
        tables.write_rejected(&TableKey::Rejected { dataset: second.name }, &[line]).await
    }

    async fn ask(&self, request: Request<Body>) -> (StatusCode, HeaderMap, String) {
        let response = self.app.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        (parts.status, parts.headers, String::from_utf8(bytes.to_vec()).unwrap())
    }

    async fn get(&self, path: &str) -> (StatusCode, String) {
        let request =
            Request::get(path).header(header::COOKIE, format!("{SESSION_COOKIE}=open")).body(Body::empty()).unwrap();
        let (status, headers, body) = self.ask(request).await;
        if status == StatusCode::OK {
            assert_eq!(headers[header::CACHE_CONTROL], "no-store", "{path}");
        }
        (status, body)
    }

    async fn say(&self, trace: &str, site: &str, form: &str) -> (StatusCode, HeaderMap, String) {
        let request = Request::post(format!("/traces/{trace}/feedback"))
            .header(header::COOKIE, format!("{SESSION_COOKIE}=open"))
            .header("sec-fetch-site", site.to_string())
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(form.to_string()))
            .unwrap();
        self.ask(request).await
    }
}

/// The version before the sample's.
fn first() -> DatasetRef {
    DatasetRef::new("support", 1)
}

/// Every list, with what its empty state says to run.
const LISTS: [(&str, &str); 12] = [
    ("/", "loopwright demo"),
    ("/datasets", "loopwright data import"),
    ("/runs", "loopwright train"),
    ("/models", "loopwright train"),
    ("/routes", "loopwright deploy"),
    ("/traces", "/v1/chat/completions"),
    ("/feedback", "/v1/feedback"),
    ("/drift", "loopwright drift"),
    ("/explanations", "loopwright explain"),
    ("/subjects", "loopwright data import"),
    ("/audit", "loopwright data import"),
    ("/jobs", "loopwright work"),
];

#[tokio::test]
async fn a_new_project_is_told_what_to_do_on_every_list() {
    let site = Site::new().await;
    for (path, command) in LISTS {
        let (status, html) = site.get(path).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        assert!(html.contains(command), "{path} does not say `{command}`");
    }
}

#[tokio::test]
async fn every_page_shows_its_record() {
    let site = Site::seeded().await;
    for (path, said) in [
        ("/", "41 corrections learned"),
        ("/datasets", "3,812"),
        ("/datasets/support@2", "near-duplicate of row-12"),
        ("/datasets/support@2", "/datasets/support@2/diff?with=support@1"),
        ("/datasets/support@2/rows", "1–2 of 2 rows"),
        ("/datasets/support@2/rows?split=train&label=delivery_status&text=PARCEL&page=1", "Where is my parcel"),
        ("/datasets/support@2/rows?split=test", "No row fits these filters."),
        ("/datasets/support@2/rows?page=99", "1–2 of 2 rows"),
        ("/datasets/support@2/rows?which=dropped&step=near_dedup", "near-duplicate of row-12"),
        ("/datasets/support@2/rows?which=dropped&text=nonsense", "No row fits these filters."),
        ("/datasets/support@2/rows?which=rejected", "write to &lt;EMAIL&gt;"),
        ("/datasets/support@2/diff", "1 added, 1 removed, 1 changed, 0 the same"),
        ("/datasets/support%402/diff?with=support%401", "near-duplicate of row-12"),
        ("/datasets/support@2/diff?with=support@2", "The versions are the same."),
        ("/datasets/support@1/diff", "From support@2 to support@1"),
        ("/datasets/elsewhere@1/rows", "the rows lie on another machine"),
        ("/datasets/elsewhere@1/diff", "There is no other version yet."),
        ("/datasets/elsewhere@1/diff?with=support@2", "not on this machine"),
        ("/runs/run_1", "Train loss went from 4 at step 0"),
        ("/models", "support (canary, 10%)"),
        ("/models/support@2", "key-fingerprint"),
        ("/models/support%402", "/runs/run_1"),
        ("/routes/support", "is on trial beside"),
        ("/traces?variant=live&text=parcel", "Where is my parcel"),
        ("/traces?variant=canary", "No trace fits these filters."),
        ("/traces/trace_1", "Store feedback"),
        ("/feedback?corrections=yes", "refund"),
        ("/drift", "doorbell"),
        ("/explanations", "/explanations/expl_1"),
        ("/explanations/expl_1", "speaks for it"),
        ("/subjects", "found none of 4 identifying strings"),
        ("/audit", "chain intact"),
        ("/jobs", "retrain:drift_1"),
    ] {
        let (status, html) = site.get(path).await;
        assert_eq!(status, StatusCode::OK, "{path}: {html}");
        assert!(html.contains(said), "{path} does not say `{said}`: {html}");
        assert_eq!(html.matches("<h1>").count(), 1, "{path}");
    }
}

#[tokio::test]
async fn an_unknown_id_gets_a_page_with_a_way_back() {
    let site = Site::new().await;
    for (path, list) in [
        ("/datasets/x@1", "/datasets"),
        ("/datasets/nonsense", "/datasets"),
        ("/datasets/x@1/rows", "/datasets"),
        ("/datasets/x@1/diff", "/datasets"),
        ("/runs/x", "/runs"),
        ("/models/x@1", "/models"),
        ("/evaluations/x", "/models"),
        ("/routes/x", "/routes"),
        ("/traces/x", "/traces"),
        ("/explanations/x", "/explanations"),
    ] {
        let (status, html) = site.get(path).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        assert!(html.contains(&format!("href=\"{list}\"")), "{path}");
    }
}

#[tokio::test]
async fn a_version_to_compare_with_that_is_not_there_is_named() {
    let site = Site::seeded().await;
    let (status, html) = site.get("/datasets/support@2/diff?with=%3Cb%3E@9").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(html.contains("&lt;b&gt;@9") && html.contains("href=\"/datasets\""), "{html}");
}

#[tokio::test]
async fn rows_that_cannot_be_asked_for_are_refused_with_a_way_back() {
    let site = Site::seeded().await;
    for (query, why) in [
        ("which=lost", "got `lost`"),
        ("split=half", "got `half`"),
        ("which=dropped&label=refund", "cannot be filtered by `label`"),
    ] {
        let (status, html) = site.get(&format!("/datasets/support@2/rows?{query}")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
        assert!(html.contains(why) && html.contains("href=\"/datasets/support@2/rows\""), "{query}: {html}");
    }
    assert_eq!(site.get("/datasets/support@2/rows?page=x").await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn an_evaluation_leads_to_its_model() {
    let site = Site::seeded().await;
    let request = Request::get("/evaluations/eval_1")
        .header(header::COOKIE, format!("{SESSION_COOKIE}=open"))
        .body(Body::empty())
        .unwrap();
    let (status, headers, _) = site.ask(request).await;
    assert_eq!(
        (status, headers[header::LOCATION].to_str().unwrap()),
        (StatusCode::SEE_OTHER, "/models/support@2#eval_1")
    );
}

#[tokio::test]
async fn feedback_from_our_own_form_is_stored_and_masked() {
    let site = Site::seeded().await;
    let form = "thumb=down&correction=invoice&comment=write+to+a.b%40example.org";
    let (status, headers, body) = site.say("trace_1", "same-origin", form).await;
    assert_eq!(status, StatusCode::SEE_OTHER, "{body}");
    let path = headers[header::LOCATION].to_str().unwrap().to_string();
    assert!(site.get(&path).await.1.contains("Your feedback is stored."));
    let stored = site.store.feedback(&FeedbackQuery::default()).await.unwrap();
    let last = stored.last().unwrap();
    assert_eq!((last.thumb_up, last.correction.as_deref()), (Some(false), Some("invoice")));
    assert_eq!((last.comment.as_deref(), last.source.as_str()), (Some("write to <EMAIL>"), "annotator"));
}

#[tokio::test]
async fn feedback_is_refused_from_elsewhere_without_words_and_on_nothing() {
    let site = Site::seeded().await;
    for (trace, from, form, status) in [
        ("trace_1", "same-site", "thumb=up", StatusCode::FORBIDDEN),
        ("trace_1", "same-origin", "thumb=&correction=&comment=", StatusCode::UNPROCESSABLE_ENTITY),
        ("x", "same-origin", "thumb=up", StatusCode::NOT_FOUND),
    ] {
        let (got, _, html) = site.say(trace, from, form).await;
        assert_eq!(got, status, "{html}");
    }
    assert_eq!(site.store.feedback(&FeedbackQuery::default()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn strangers_see_nothing_but_the_way_in() {
    let site = Site::seeded().await;
    for path in LISTS.map(|(path, _)| path).into_iter().chain([
        "/traces/trace_1",
        "/datasets/support@2",
        "/datasets/support@2/rows",
        "/datasets/support@2/diff",
    ]) {
        let (status, headers, _) = site.ask(Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!(
            (status, headers[header::LOCATION].to_str().unwrap()),
            (StatusCode::SEE_OTHER, "/sign-in"),
            "{path}"
        );
    }
    let post =
        Request::post("/traces/trace_1/feedback").header("sec-fetch-site", "same-origin").body(Body::empty()).unwrap();
    assert_eq!(site.ask(post).await.1[header::LOCATION], "/sign-in");
    for path in ["/sign-in", "/assets/style.css", "/assets/icon.svg"] {
        let (status, ..) = site.ask(Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!(status, StatusCode::OK, "{path}");
    }
}
