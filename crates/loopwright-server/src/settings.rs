//! What a server is started with.

use loopwright_guard::{RedactPolicy, Redactor};
use loopwright_observe::sink::SinkSettings;
use loopwright_serve::{EngineSettings, gateway::GatewaySettings, rules::RouteRules, wire::ChatDefaults};
use loopwright_store::Store;
use loopwright_types::model::ModelRef;
use std::{collections::BTreeMap, fmt, net::SocketAddr, sync::Arc, time::Duration};

/// Checks everything that a model version is made of (its package and signature, its base included) before it is
/// served; the error says in words what is wrong. It may read files: it runs outside the async runtime.
pub type Verifier = Arc<dyn Fn(&ModelRef) -> Result<(), String> + Send + Sync>;

/// Brings a user's message into the form that the model learned from (normalised, personal data masked). Pure, quick.
pub type Preparer = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// The value of an environment variable.
pub type Env = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What decides which variant of a route answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stickiness {
    /// Each request anew, by its trace id.
    #[default]
    Request,
    /// The request's `user`, where it has one: the same user always meets the same variant.
    User,
}

/// What a server is started with. [`ServerSettings::new`] has everything that has a good default.
#[derive(Clone)]
pub struct ServerSettings {
    /// Where to listen; port 0 takes any free one.
    pub addr: SocketAddr,
    /// The project.
    pub store: Store,
    /// Asked before a model is loaded.
    pub verifier: Verifier,
    /// Applied to user messages before the model reads them.
    pub preparer: Preparer,
    /// Masks personal data in kept traces and comments.
    pub redactor: Redactor,
    /// Limits of the way from an answer to its kept trace.
    pub sink: SinkSettings,
    /// Limits of the engine.
    pub engine: EngineSettings,
    /// What a request gets that does not say otherwise.
    pub chat: ChatDefaults,
    /// What each route asks of requests and answers; nothing where it is not named.
    pub rules: BTreeMap<String, RouteRules>,
    /// Providers, and what routes do with a request.
    pub gateway: GatewaySettings,
    /// Where providers' keys are read.
    pub env: Env,
    /// What decides which variant answers.
    pub stickiness: Stickiness,
    /// Largest body under `/v1`.
    pub body_bytes_max: usize,
    /// Longest time a body may take to arrive.
    pub body_time_max: Duration,
    /// How often other processes' changes are looked for; our own are seen at once.
    pub poll_every: Duration,
    /// How long answers under way may take to end at a shutdown.
    pub shutdown_time_max: Duration,
}

impl ServerSettings {
    /// The defaults: a body of 1 MiB within 30 s, a look for changes twice a second, 10 s to shut down.
    pub fn new(addr: SocketAddr, store: Store, verifier: Verifier) -> Self {
        Self {
            addr,
            store,
            verifier,
            preparer: Arc::new(str::to_string),
            redactor: Redactor::new(&RedactPolicy::default()),
            sink: SinkSettings::default(),
            engine: EngineSettings::default(),
            chat: ChatDefaults::default(),
            rules: BTreeMap::new(),
            gateway: GatewaySettings::default(),
            env: Arc::new(|name| std::env::var(name).ok()),
            stickiness: Stickiness::default(),
            body_bytes_max: 1 << 20,
            body_time_max: Duration::from_secs(30),
            poll_every: Duration::from_millis(500),
            shutdown_time_max: Duration::from_secs(10),
        }
    }
}

impl fmt::Debug for ServerSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerSettings")
            .field("addr", &self.addr)
            .field("project", &self.store.dir())
            .field("engine", &self.engine)
            .field("chat", &self.chat)
            .field("stickiness", &self.stickiness)
            .finish_non_exhaustive()
    }
}
