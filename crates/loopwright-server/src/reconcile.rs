//! Keeps what is served in step with the records: looks at the event log, loads what routes ask for, swaps [`Live`].
//!
//! The loop has no input but the store, so a missed wake-up costs one poll and a crash costs nothing.

use crate::{
    AppState, errors,
    live::{Live, ModelStatus, RouteStatus, wanted_models},
};
use loopwright_serve::{
    gateway::{RouteTable, Settled, settle},
    keys::KeyRing,
    prompts::PromptTable,
};
use loopwright_store::{ListQuery, ObjectKey, Store};
use loopwright_types::{
    EntityRef,
    deployment::Route,
    event::{Event, NewEvent},
    id::ErasureId,
    key::ApiKey,
    model::{ModelRef, ModelState, ModelVersion},
    prompt::{Prompt, PromptVersion},
    subject::Erasure,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};
use tokio::sync::watch;

/// The event that says a model was not served, and why.
pub const REFUSED: &str = "model_version.refused";

/// Records of one kind that are read at once; more are not served, and the log says so.
const N_RECORDS_MAX: u32 = 10_000;
/// Events read at a time.
const N_EVENTS_PAGE: u32 = 1000;

/// Runs until `stop` turns true.
pub(crate) async fn run(state: AppState, mut stop: watch::Receiver<bool>) {
    let mut own_changes = state.store().subscribe();
    let mut reconciler = Reconciler::new(state.clone());
    while !*stop.borrow() {
        if let Err(error) = reconciler.turn().await {
            tracing::warn!(error = errors::chain(&error), "could not read what is to be served; trying again");
        }
        tokio::select! {
            () = until_stopped(&mut stop) => {}
            _ = own_changes.changed() => {}
            () = tokio::time::sleep(state.settings().poll_every) => {}
        }
    }
}

/// Waits until somebody says stop: for ever, if there is nobody left who could.
pub(crate) async fn until_stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// True if this event cannot change what is served.
fn is_idle_talk(event: &Event) -> bool {
    matches!(event.event.about.kind.as_str(), "trace" | "trace_sink" | "feedback" | "run")
        || event.event.kind == REFUSED
}

struct Reconciler {
    state: AppState,
    /// The last event whose effect is seen; `None` before the first turn.
    seen: Option<u64>,
    asked: Vec<Route>,
    live: Live,
    /// The last reason recorded per model, so that each is recorded once.
    recorded: BTreeMap<ModelRef, String>,
    /// Erasures whose people the cache of answers has forgotten, and how far they were then.
    forgotten: BTreeSet<(ErasureId, usize, bool)>,
}

impl Reconciler {
    fn new(state: AppState) -> Self {
        Self {
            state,
            seen: None,
            asked: Vec::new(),
            live: Live::default(),
            recorded: BTreeMap::new(),
            forgotten: BTreeSet::new(),
        }
    }

    fn store(&self) -> &Store {
        self.state.store()
    }

    /// One look at the log, and whatever follows from it.
    async fn turn(&mut self) -> loopwright_store::Result<()> {
        let newest = self.store().data_version().await?;
        if self.seen == Some(newest) {
            return Ok(());
        }
        if self.is_concerned(newest).await? {
            self.read_records().await?;
            self.load_wanted().await?;
        }
        self.live.as_of = Some(newest);
        self.state.live_cell().set(self.live.clone());
        self.seen = Some(newest);
        Ok(())
    }

    async fn is_concerned(&self, newest: u64) -> loopwright_store::Result<bool> {
        let Some(mut seen) = self.seen else { return Ok(true) };
        while seen < newest {
            let page = self.store().events(seen, N_EVENTS_PAGE).await?;
            if page.iter().any(|event| !is_idle_talk(event)) {
                return Ok(true);
            }
            match page.last() {
                Some(last) => seen = last.seq,
                None => return Ok(false),
            }
        }
        Ok(false)
    }

    /// Keys take effect at once; routes as far as their models are ready.
    async fn read_records(&mut self) -> loopwright_store::Result<()> {
        let all = ListQuery { limit: N_RECORDS_MAX, ..ListQuery::default() };
        let keys: Vec<ApiKey> = self.store().list(&all).await?;
        self.asked = self.store().list(&all).await?;
        self.asked.sort_by(|a, b| a.name.cmp(&b.name));
        if keys.len() == N_RECORDS_MAX as usize || self.asked.len() == N_RECORDS_MAX as usize {
            tracing::warn!(limit = N_RECORDS_MAX, "more keys or routes than are served; the oldest are left out");
        }
        self.live.keys = KeyRing::new(keys);
        let (prompts, versions): (Vec<Prompt>, Vec<PromptVersion>) =
            (self.store().list(&all).await?, self.store().list(&all).await?);
        self.live.prompts = PromptTable::new(prompts, versions);
        self.forget_people(&all).await
    }

    /// Answers given to people who are erased are given to nobody any more. Each step of an erasure counts, because the
    /// person may have asked in between.
    async fn forget_people(&mut self, all: &ListQuery) -> loopwright_store::Result<()> {
        let erasures: Vec<Erasure> = self.store().list(all).await?;
        for erasure in erasures {
            let step = (erasure.id.clone(), erasure.removed.len(), erasure.done_at.is_some());
            if self.forgotten.insert(step) {
                self.state.answers().forget(&erasure.subject);
            }
        }
        Ok(())
    }

    async fn load_wanted(&mut self) -> loopwright_store::Result<()> {
        let wanted = wanted_models(&self.asked);
        for model in &wanted {
            if self.live.models.get(model) != Some(&ModelStatus::Ready) {
                self.live.models.insert(model.clone(), ModelStatus::Loading);
            }
        }
        self.publish();
        for model in &wanted {
            if self.live.models.get(model) == Some(&ModelStatus::Ready) {
                continue;
            }
            let status = match self.load(model).await? {
                Ok(()) => ModelStatus::Ready,
                Err(reason) => self.refuse(model, reason).await?,
            };
            self.live.models.insert(model.clone(), status);
            self.publish();
        }
        // After the loading, so that a version stays until the one that replaces it is ready.
        self.check_retired().await?;
        self.publish();
        self.unload_unused(&wanted);
        Ok(())
    }

    /// A model that was retired while it was served is served no more.
    async fn check_retired(&mut self) -> loopwright_store::Result<()> {
        for model in self.live.ready() {
            if let Err(reason) = self.check_state(&model).await? {
                let status = self.refuse(&model, reason).await?;
                self.live.models.insert(model, status);
            }
        }
        Ok(())
    }

    /// The version's record, if it may be served.
    async fn check_state(&self, model: &ModelRef) -> loopwright_store::Result<Result<ModelVersion, String>> {
        let Some(version) = self.store().get::<ModelVersion>(&model.to_string()).await? else {
            return Ok(Err("there is no such model version".into()));
        };
        Ok(match version.state {
            ModelState::Retired => {
                let why = version.state_reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
                Err(format!("it is retired{why}"))
            }
            ModelState::Candidate | ModelState::Approved => Ok(version),
        })
    }

    /// Verifies and loads one version; the inner error is the reason to refuse it.
    async fn load(&self, model: &ModelRef) -> loopwright_store::Result<Result<(), String>> {
        let version = match self.check_state(model).await? {
            Ok(version) => version,
            Err(reason) => return Ok(Err(reason)),
        };
        let verifier = self.state.settings().verifier.clone();
        let verified = {
            let model = model.clone();
            tokio::task::spawn_blocking(move || verifier(&model)).await
        };
        match verified {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => return Ok(Err(reason)),
            Err(panic) => return Ok(Err(format!("its verification did not end: {panic}"))),
        }
        let (base_dir, adapter_dir) = self.folders(&version)?;
        let loaded = self.state.engine().load(model.clone(), base_dir, adapter_dir).await;
        Ok(loaded.map_err(|error| errors::chain(&error)))
    }

    /// Where the base lies and, for an adapter, the adapter.
    fn folders(&self, version: &ModelVersion) -> loopwright_store::Result<(PathBuf, Option<PathBuf>)> {
        let folder = |model: &ModelRef| self.store().objects().local_dir(&ObjectKey::ModelDir { model: model.clone() });
        match &version.base {
            Some(base) => Ok((folder(base)?, Some(folder(&version.model)?))),
            None => Ok((folder(&version.model)?, None)),
        }
    }

    async fn refuse(&mut self, model: &ModelRef, reason: String) -> loopwright_store::Result<ModelStatus> {
        if self.recorded.get(model) != Some(&reason) {
            tracing::warn!(%model, reason, "a model version is not served");
            let body = serde_json::json!({ "reason": reason });
            let event = NewEvent::new("server", REFUSED, EntityRef::from(model)).with_body(body);
            self.store().apply(event, Vec::new()).await?;
            self.recorded.insert(model.clone(), reason.clone());
        }
        Ok(ModelStatus::Refused { reason })
    }

    /// Settles every route and swaps what requests see.
    fn publish(&mut self) {
        let ready = self.live.ready();
        let mut routes = Vec::new();
        self.live.route_states.clear();
        for asked in &self.asked {
            let settled = settle(self.live.routes.get(&asked.name), asked, &ready);
            let status = match &settled {
                Settled::AsAsked(_) => RouteStatus::AsAsked,
                Settled::Kept(_) => RouteStatus::Kept,
                Settled::Reduced(_) => RouteStatus::Reduced,
                Settled::Empty(_) => RouteStatus::Empty,
            };
            self.live.route_states.insert(asked.name.clone(), status);
            routes.push(settled.into_route());
        }
        self.live.routes = RouteTable::new(routes);
        self.state.live_cell().set(self.live.clone());
    }

    /// Frees the models that no route asks for and none still serves.
    fn unload_unused(&mut self, wanted: &[ModelRef]) {
        let served: Vec<Route> = self.live.routes.routes().cloned().collect();
        let serving = wanted_models(&served);
        let is_used = |model: &ModelRef| wanted.contains(model) || serving.contains(model);
        let unused: Vec<ModelRef> = self.live.models.keys().filter(|model| !is_used(model)).cloned().collect();
        for model in unused {
            self.live.models.remove(&model);
            self.state.engine().unload(&model);
        }
        for (model, status) in &self.live.models {
            if matches!(status, ModelStatus::Refused { .. }) {
                self.state.engine().unload(model);
            }
        }
        self.publish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loopwright_types::{Timestamp, event::GENESIS};

    #[test]
    fn only_traffic_and_our_own_refusals_are_idle_talk() {
        let event = |kind: &str, about: &str| {
            Event::link(1, Timestamp(0), NewEvent::new("server", kind, EntityRef::new(about, "x")), GENESIS)
        };
        for (kind, about, idle) in [
            ("traces.kept", "trace", true),
            ("feedback.given", "feedback", true),
            ("run.advanced", "run", true),
            (REFUSED, "model_version", true),
            ("model_version.approved", "model_version", false),
            ("package.built", "package", false),
            ("api_key.created", "api_key", false),
            ("rollout.started", "route", false),
            ("erasure.done", "erasure", false),
        ] {
            assert_eq!(is_idle_talk(&event(kind, about)), idle, "{kind} {about}");
        }
    }
}
