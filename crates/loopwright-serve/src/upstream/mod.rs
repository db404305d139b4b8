//! Providers: the same question in each one's language, and its answer as [`Event`](crate::event::Event)s.
//!
//! [`Upstream::ask`] makes one attempt at one provider; what to do when it fails is decided in [`crate::gateway`].
//!
//! ```text
//! Ask → exchange::call → pool (connect: checked address, TLS) → answer → sse | frames → Reader → Tally → Events
//! ```
//!
//! Every way out is bounded: time to connect, silence, bytes of a line, an event, an answer and of headers, requests at
//! a time. Redirections are not followed. A provider's words reach the client cut to a bound, its key never does.

mod address;
mod answer;
mod anthropic;
mod bedrock;
mod blocks;
mod connect;
mod exchange;
mod frames;
mod gemini;
mod openai;
mod pool;
mod settings;
mod sign;
mod sse;
mod tally;

pub use address::{Reserved, is_metadata, is_metadata_name, reserved};
pub use connect::{Resolver, Resolving, system_resolver};
pub use settings::{ModelPrice, ProviderKind, ProviderSettings};

use crate::{
    Error, Trouble,
    ask::Ask,
    chain,
    event::{Events, Used},
};
use answer::{Blame, State, Streaming, check_media, whole};
use bytes::Bytes;
use connect::{ConnectFault, Connector, Timed};
use exchange::{Call, Framing, Target, call, reader};
use futures::{StreamExt as _, stream};
use http_body_util::Full;
use hyper::{Request, Response};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnectorBuilder};
use loopwright_types::Timestamp;
use pool::{Fault, Pool, Reading};
use sign::{Credentials, Scope, Signed, authorization};
use std::{collections::BTreeMap, fmt, sync::Arc};
use tally::Tally;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Tells the value of an environment variable.
pub type Env = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What an upstream takes from its surroundings.
#[derive(Clone)]
pub struct Surroundings {
    /// The value of an environment variable.
    pub env: Env,
    /// The time.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Names to addresses.
    pub resolver: Resolver,
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings").finish_non_exhaustive()
    }
}

/// Every provider of a project.
#[derive(Debug)]
pub struct Upstream {
    providers: BTreeMap<String, Provider>,
    surroundings: Surroundings,
}

struct Provider {
    settings: ProviderSettings,
    pool: Pool,
    places: Arc<Semaphore>,
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Upstream {
    /// The providers by name. Nothing is connected to before it is asked.
    pub fn new(providers: BTreeMap<String, ProviderSettings>, surroundings: Surroundings) -> Self {
        let is_tls = providers.values().any(|settings| settings.base().starts_with("https"));
        let tls = tls(is_tls);
        let provider = |settings: ProviderSettings| Provider {
            pool: pool(&settings, tls.clone(), surroundings.resolver.clone()),
            places: Arc::new(Semaphore::new(settings.in_flight_max.min(Semaphore::MAX_PERMITS))),
            settings,
        };
        let providers = providers.into_iter().map(|(name, settings)| (name, provider(settings))).collect();
        Self { providers, surroundings }
    }

    /// The settings of a provider.
    pub fn settings(&self, provider: &str) -> Option<&ProviderSettings> {
        Some(&self.providers.get(provider)?.settings)
    }

    /// The providers and their settings, by name.
    pub fn providers(&self) -> impl Iterator<Item = (&str, &ProviderSettings)> {
        self.providers.iter().map(|(name, provider)| (name.as_str(), &provider.settings))
    }

    /// What a provider's model costs; none where the project has no price for it.
    pub fn price(&self, provider: &str, model: &str) -> Option<crate::price::Price> {
        self.settings(provider)?.prices.get(model)?.price().ok()
    }

    /// Asks a provider once. Ready when the answer's head is there (of a whole answer: its end); dropping cancels.
    pub async fn ask(&self, provider: &str, model: &str, ask: &Ask) -> Result<Events, Error> {
        let (it, blame, permit) = self.enter(provider)?;
        let target = self.target(it, model, &blame)?;
        let call = call(&target, ask).map_err(|complaint| blame.complaint(complaint))?;
        let framing = Framing::of(it.settings.kind);
        let media = if ask.stream { framing.media() } else { "application/json" };
        let sending = self.send(it, &blame, call, media);
        let response = match ask.stream {
            // A stream's head comes before its answer does.
            true => {
                let limit = it.settings.idle_timeout();
                tokio::time::timeout(limit, sending).await.map_err(|_| blame.silent(limit))??
            }
            false => sending.await?,
        };
        check_media(response.headers(), media, &blame)?;
        let mut reader = reader(it.settings.kind, ask);
        let mut tally = Tally::new(ask);
        let body = response.into_body();
        if ask.stream {
            let (idle, state) = (it.settings.idle_timeout(), State::Open);
            let streaming = Streaming { body, framing, reader, tally, blame, idle, state, _permit: permit };
            let events = stream::unfold(streaming, async |mut it| it.next().await.map(|event| (event, it)));
            return Ok(events.boxed());
        }
        let bytes = whole(body, &blame).await?;
        let read = reader.read("", &bytes, &mut tally).and_then(|()| tally.close());
        read.map_err(|complaint| blame.complaint(complaint))?;
        let events: Vec<_> = std::iter::from_fn(|| tally.next().map(Ok)).collect();
        Ok(stream::iter(events).boxed())
    }

    /// The embeddings of texts, in their order. Providers that speak OpenAI's language only.
    pub async fn embed(
        &self,
        provider: &str,
        model: &str,
        inputs: &Inputs<'_>,
    ) -> Result<(Vec<Vec<f32>>, Used), Error> {
        let (it, blame, _permit) = self.enter(provider)?;
        if !matches!(it.settings.kind, ProviderKind::OpenAi | ProviderKind::Azure) {
            let says = "embeddings are served by providers of kind openai and azure";
            return Err(blame.error(Trouble::Unable, says));
        }
        let target = self.target(it, model, &blame)?;
        let call = openai::embedding_call(&target, inputs.texts, inputs.dimensions);
        let response = self.send(it, &blame, call, "application/json").await?;
        check_media(response.headers(), "application/json", &blame)?;
        let bytes = whole(response.into_body(), &blame).await?;
        openai::read_embeddings(&bytes, inputs.texts.len()).map_err(|complaint| blame.complaint(complaint))
    }

    /// Asks whether a provider is there at all: any answer but a failure of its own will do.
    pub async fn probe(&self, provider: &str) -> Result<(), Error> {
        let (it, blame, _permit) = self.enter(provider)?;
        let request = Request::get(it.settings.base()).header("user-agent", USER_AGENT).body(Full::default());
        let request = request.map_err(|error| blame.error(Trouble::Address, error.to_string()))?;
        let limit = it.settings.connect_timeout();
        let late = |_| blame.error(Trouble::Silent, format!("no answer within {} ms", limit.as_millis()));
        let sent = tokio::time::timeout(limit, it.pool.request(request)).await.map_err(late)?;
        let response = sent.map_err(|error| no_answer(&blame, &error))?;
        match response.status().is_server_error() {
            true => Err(blame.error(Trouble::Failed, format!("a probe was answered with {}", response.status()))),
            false => Ok(()),
        }
    }

    fn enter(&self, provider: &str) -> Result<(&Provider, Blame, OwnedSemaphorePermit), Error> {
        let blame = Blame(provider.to_string());
        let Some(it) = self.providers.get(provider) else {
            return Err(blame.error(Trouble::Unreachable, "the project has no provider of this name"));
        };
        let permit = it.places.clone().try_acquire_owned().map_err(|_| {
            let n = it.settings.in_flight_max;
            blame.error(Trouble::Busy, format!("{n} requests to it are under way already (in_flight_max)"))
        })?;
        Ok((it, blame, permit))
    }

    fn target<'a>(&self, it: &'a Provider, model: &'a str, blame: &Blame) -> Result<Target<'a>, Error> {
        let variable = &it.settings.api_key_env;
        if variable.is_empty() {
            return Ok(Target { settings: &it.settings, model, key: None });
        }
        match (self.surroundings.env)(variable).map(|key| key.trim().to_string()).filter(|key| !key.is_empty()) {
            Some(key) => Ok(Target { settings: &it.settings, model, key: Some(key) }),
            None => Err(blame.error(Trouble::Key, format!("the environment variable `{variable}` is not set"))),
        }
    }

    /// Sends a request; an answer with another status than success is an error.
    async fn send(&self, it: &Provider, blame: &Blame, call: Call, media: &str) -> Result<Response<Reading>, Error> {
        let request = self.request(it, blame, call, media)?;
        let response = it.pool.request(request).await.map_err(|error| no_answer(blame, &error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (head, body) = response.into_parts();
        Err(blame.refused(head.status, &head.headers, body, (self.surroundings.clock)()).await)
    }

    fn request(&self, it: &Provider, blame: &Blame, call: Call, media: &str) -> Result<Request<Full<Bytes>>, Error> {
        let wrong = |error: hyper::http::Error| blame.error(Trouble::Address, error.to_string());
        let signed = match it.settings.kind {
            ProviderKind::Bedrock if it.settings.api_key_env.is_empty() => self.signature(it, blame, &call)?,
            _ => Vec::new(),
        };
        let mut request = Request::post(&call.url)
            .header("content-type", "application/json")
            .header("accept", media)
            .header("user-agent", USER_AGENT);
        for (name, value) in call.headers.iter().chain(&signed) {
            let mut value = hyper::header::HeaderValue::from_str(value)
                .map_err(|_| blame.error(Trouble::Key, format!("the value for `{name}` cannot be sent in a header")))?;
            // Whatever prints a request leaves it out.
            value.set_sensitive(true);
            request = request.header(*name, value);
        }
        request.body(Full::new(call.body.into())).map_err(wrong)
    }

    /// The headers of a signed request to Amazon, under the variables that Amazon's own tools read.
    fn signature(&self, it: &Provider, blame: &Blame, call: &Call) -> Result<Vec<(&'static str, String)>, Error> {
        let env = |name: &str| (self.surroundings.env)(name).filter(|value| !value.is_empty());
        let need = |name: &str| {
            env(name).ok_or_else(|| blame.error(Trouble::Key, format!("the environment variable `{name}` is not set")))
        };
        let credentials = Credentials {
            access_key: need("AWS_ACCESS_KEY_ID")?,
            secret_key: need("AWS_SECRET_ACCESS_KEY")?,
            session_token: env("AWS_SESSION_TOKEN"),
        };
        let wrong = |what: String| blame.error(Trouble::Address, what);
        let uri: hyper::Uri =
            call.url.parse().map_err(|error: hyper::http::uri::InvalidUri| wrong(error.to_string()))?;
        // The client leaves the scheme's own port out of `host`, as browsers do.
        let own_port = if uri.scheme_str() == Some("http") { ":80" } else { ":443" };
        let host = uri.authority().map(|it| it.as_str().trim_end_matches(own_port)).unwrap_or_default();
        let date = (self.surroundings.clock)().strftime("%Y%m%dT%H%M%SZ").map_err(wrong)?;
        let mut headers = vec![("host", host), ("content-type", "application/json"), ("x-amz-date", &date)];
        headers.extend(credentials.session_token.as_deref().map(|token| ("x-amz-security-token", token)));
        let body = call.body.as_bytes();
        let request = Signed { method: "POST", path: uri.path(), query: &[], headers: &headers, body };
        let scope = Scope { region: &it.settings.region, service: "bedrock" };
        let authorization = authorization(&credentials, scope, &date, request);
        let token = credentials.session_token.map(|token| ("x-amz-security-token", token));
        Ok([("authorization", authorization), ("x-amz-date", date)].into_iter().chain(token).collect())
    }
}

/// Texts to embed.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The texts.
    pub texts: &'a [String],
    /// Numbers wanted for each, where the model can be asked for fewer.
    pub dimensions: Option<u32>,
}

const USER_AGENT: &str = concat!("loopwright/", env!("CARGO_PKG_VERSION"));

/// Why there was no answer.
fn no_answer(blame: &Blame, fault: &Fault) -> Error {
    let error = match fault {
        Fault::Http(error) => return blame.error(broken_or_garbled(error), chain(error)),
        Fault::Connect(error) => error.as_ref(),
    };
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        match error.downcast_ref::<ConnectFault>() {
            Some(ConnectFault::Address(why)) => return blame.error(Trouble::Address, why),
            Some(fault) => return blame.error(Trouble::Unreachable, fault.to_string()),
            None => cause = error.source(),
        }
    }
    blame.error(Trouble::Unreachable, chain(error))
}

fn broken_or_garbled(error: &hyper::Error) -> Trouble {
    if error.is_parse() { Trouble::Garbled } else { Trouble::BrokenOff }
}

/// The certificates that the system trusts, read once for all providers.
fn tls(is_needed: bool) -> rustls::ClientConfig {
    let builder = || {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider speaks the default versions")
    };
    let none = || builder().with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
    if !is_needed {
        return none();
    }
    match builder().with_native_roots() {
        Ok(config) => config.with_no_client_auth(),
        Err(error) => {
            tracing::warn!(%error, "the system's certificates could not be read; providers over https will fail");
            none()
        }
    }
}

fn pool(settings: &ProviderSettings, tls: rustls::ClientConfig, resolver: Resolver) -> Pool {
    let connector = Connector { resolver, allow_private: settings.allow_private };
    let https =
        HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(connector);
    Pool::new(Timed { inner: https, limit: settings.connect_timeout() })
}
