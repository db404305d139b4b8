//! What every handler shares.

use crate::{
    answered::Answered,
    live::{Live, LiveCell, ModelStatus},
    meters::{Gauges, Meters},
    sessions::Sessions,
    settings::ServerSettings,
    upstreams::{self, Copies},
};
use loopwright_observe::{metrics::Metrics, sink::TraceSink};
use loopwright_serve::{
    Engine,
    cache::AnswerCache,
    gateway::{Gateway, GatewaySettings},
    ledger::Ledger,
    rules::RouteRules,
};
use loopwright_store::Store;
use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Instant,
};
use tokio::sync::{Mutex, MutexGuard};

/// Shared by all handlers; cheap to clone.
#[derive(Clone)]
pub struct AppState(Arc<Shared>);

struct Shared {
    settings: ServerSettings,
    engine: Engine,
    gateway: RwLock<Arc<Gateway>>,
    copies: Copies,
    sink: TraceSink,
    traffic: Arc<Metrics>,
    live: LiveCell,
    sessions: Sessions,
    meters: Meters,
    answered: Answered,
    ledger: Ledger,
    answers: AnswerCache,
    canary_salt: [u8; 32],
    studies: Mutex<()>,
    started: Instant,
}

impl AppState {
    /// A state that serves nothing yet.
    pub(crate) fn new(settings: ServerSettings, engine: Engine, sink: TraceSink, traffic: Arc<Metrics>) -> Self {
        // Differs from project to project and stays, so that what models have cached of their instructions stays good.
        let canary_salt = *settings.store.subject_id("canary").0.as_bytes().first_chunk().unwrap_or(&[0; 32]);
        let gateway = upstreams::gateway(&settings, settings.gateway.clone());
        Self(Arc::new(Shared {
            settings,
            engine,
            gateway: RwLock::new(Arc::new(gateway)),
            copies: Copies::default(),
            sink,
            traffic,
            live: LiveCell::default(),
            sessions: Sessions::default(),
            meters: Meters::default(),
            answered: Answered::default(),
            ledger: Ledger::default(),
            answers: AnswerCache::default(),
            canary_salt,
            studies: Mutex::default(),
            started: Instant::now(),
        }))
    }

    /// What the server was started with.
    pub fn settings(&self) -> &ServerSettings {
        &self.0.settings
    }

    /// The project.
    pub fn store(&self) -> &Store {
        &self.0.settings.store
    }

    /// The models in memory.
    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// Providers, and what routes do with a request.
    pub fn gateway(&self) -> Arc<Gateway> {
        self.0.gateway.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts other settings in force, from the next request on. What is known of targets that stay is kept.
    pub fn change_gateway(&self, settings: GatewaySettings) {
        let changed = upstreams::changed(&self.gateway(), &self.0.settings, settings);
        *self.0.gateway.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(changed);
    }

    /// The copies under way.
    pub(crate) fn copies(&self) -> &Copies {
        &self.0.copies
    }

    /// Where answered requests go.
    pub fn sink(&self) -> &TraceSink {
        &self.0.sink
    }

    /// What is being served now.
    pub fn live(&self) -> Arc<Live> {
        self.0.live.get()
    }

    /// Where the reconciler puts what is being served.
    pub(crate) fn live_cell(&self) -> &LiveCell {
        &self.0.live
    }

    /// Who is signed in.
    pub fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    /// The counts of answered requests, by route and variant.
    pub fn traffic(&self) -> &Metrics {
        &self.0.traffic
    }

    /// What keys have used and reserved.
    pub fn ledger(&self) -> &Ledger {
        &self.0.ledger
    }

    /// Answers that were given before.
    pub fn answers(&self) -> &AnswerCache {
        &self.0.answers
    }

    /// What a route asks of every request and answer.
    pub fn rules(&self, route: &str) -> RouteRules {
        self.settings().rules.get(route).cloned().unwrap_or_default()
    }

    /// Makes this project's canary tokens its own.
    pub(crate) fn canary_salt(&self) -> &[u8] {
        &self.0.canary_salt
    }

    /// Held while a study is read, changed and written.
    pub(crate) async fn one_study_at_a_time(&self) -> MutexGuard<'_, ()> {
        self.0.studies.lock().await
    }

    /// The counts of refused requests.
    pub fn meters(&self) -> &Meters {
        &self.0.meters
    }

    /// The counts of answers, under vLLM's names.
    pub fn answered(&self) -> &Answered {
        &self.0.answered
    }

    /// What is read off the parts for `/metrics`.
    pub fn gauges(&self) -> Gauges {
        let live = self.live();
        let is_refused = |status: &&ModelStatus| matches!(status, ModelStatus::Refused { .. });
        Gauges {
            engine: self.engine().stats(),
            n_models_ready: live.ready().len(),
            n_models_refused: live.models.values().filter(is_refused).count(),
            n_journal_bytes: self.sink().n_journal_bytes(),
            cache: self.answers().size(),
            uptime_s: self.0.started.elapsed().as_secs_f64(),
        }
    }
}
