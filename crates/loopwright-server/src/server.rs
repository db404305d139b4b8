//! Starting and stopping.

use crate::{AppState, Error, Result, ServerSettings, live::Live, reconcile, router, upstreams};
use axum::serve::ListenerExt;
use loopwright_observe::{metrics::Metrics, sink::TraceSink};
use loopwright_serve::{Engine, keys};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

/// What keys used before this long ago counts in no window.
const SPENDING_MS: i64 = 31 * 86_400_000;

/// A running server. Dropping it leaves it running until the process ends; [`Server::shutdown`] ends it well.
pub struct Server {
    addr: SocketAddr,
    state: AppState,
    stop: watch::Sender<bool>,
    http: JoinHandle<std::io::Result<()>>,
    reconciler: JoinHandle<()>,
    prober: JoinHandle<()>,
}

/// Binds the address and serves. Returns as soon as `/health` can answer; models load afterwards.
pub async fn serve(settings: ServerSettings) -> Result<Server> {
    let listener = TcpListener::bind(settings.addr).await.map_err(|source| Error::listen(settings.addr, source))?;
    let addr = listener.local_addr().map_err(|source| Error::listen(settings.addr, source))?;
    let engine = Engine::start(settings.engine.clone())?;
    let traffic = Arc::new(Metrics::default());
    let (store, redactor) = (settings.store.clone(), settings.redactor.clone());
    let sink = TraceSink::start(store, redactor, traffic.clone(), settings.sink.clone()).await?;
    let state = AppState::new(settings, engine, sink, traffic);
    let since = state.store().now().plus_ms(-SPENDING_MS);
    state.ledger().load(&state.store().spendings(None, since).await?);
    let (stop, stopped) = watch::channel(false);
    let reconciler = tokio::spawn(reconcile::run(state.clone(), stopped.clone()));
    let prober = tokio::spawn(upstreams::probe(state.clone(), stopped.clone()));
    let http = tokio::spawn(answer(listener, state.clone(), stopped));
    tracing::info!(%addr, "listening");
    Ok(Server { addr, state, stop, http, reconciler, prober })
}

async fn answer(listener: TcpListener, state: AppState, mut stopped: watch::Receiver<bool>) -> std::io::Result<()> {
    // Without this the system holds small packets back for 40 ms.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
    });
    let app = router(state).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).with_graceful_shutdown(async move { reconcile::until_stopped(&mut stopped).await }).await
}

impl Server {
    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its address as a browser on this machine writes it.
    pub fn url(&self) -> String {
        match self.addr.ip() {
            ip if ip.is_unspecified() => format!("http://127.0.0.1:{}", self.addr.port()),
            _ => format!("http://{}", self.addr),
        }
    }

    /// A link that signs a browser in to the pages, once, within an hour.
    pub fn sign_in_url(&self) -> Result<String> {
        let secret = keys::fresh_secret()?;
        self.state.sessions().add_link(&secret, self.state.store().now());
        Ok(format!("{}/sign-in?token={secret}", self.url()))
    }

    /// What the handlers share.
    pub fn state(&self) -> &AppState {
        &self.state
    }

    /// Waits until everything recorded before this call is in force, its models loaded or refused; at most so long.
    /// Returns what is served then.
    pub async fn settled(&self, time_max: Duration) -> Result<Arc<Live>> {
        let newest = self.state.store().data_version().await?;
        let wait = async {
            while self.state.live().as_of.is_none_or(|seen| seen < newest) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        // What is served when the time is up tells what is missing.
        let _ = tokio::time::timeout(time_max, wait).await;
        Ok(self.state.live())
    }

    /// Stops taking requests, lets those under way end (within the set time), and writes out every trace.
    pub async fn shutdown(mut self) -> Result<()> {
        self.stop.send_replace(true);
        let time_max = self.state.settings().shutdown_time_max;
        if tokio::time::timeout(time_max, &mut self.http).await.is_err() {
            tracing::warn!("answers under way did not end in time and are cut off");
        }
        self.prober.abort();
        self.state.copies().stop().await;
        self.state.engine().stop().await?;
        self.http.abort();
        self.reconciler.await.map_err(|e| Error::Task(e.to_string()))?;
        Ok(self.state.sink().shutdown().await?)
    }
}
