//! The server's side of the gateway: what it takes from its surroundings, looks at providers, copies under way.

use crate::{AppState, ServerSettings, reconcile};
use futures::future::join_all;
use loopwright_serve::{
    gateway::{Gateway, GatewaySettings, TargetView, breaker::BreakerState, bucket},
    upstream::{Surroundings, system_resolver},
};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{sync::watch, task::JoinSet};

/// A gateway that has asked nobody yet.
pub(crate) fn gateway(server: &ServerSettings, settings: GatewaySettings) -> Gateway {
    Gateway::new(settings, surroundings(server), seed(server))
}

/// The same gateway under other settings.
pub(crate) fn changed(before: &Gateway, server: &ServerSettings, settings: GatewaySettings) -> Gateway {
    before.changed(settings, surroundings(server), seed(server))
}

fn surroundings(server: &ServerSettings) -> Surroundings {
    let store = server.store.clone();
    Surroundings { env: server.env.clone(), clock: Arc::new(move || store.now()), resolver: system_resolver() }
}

/// Waits before retries need no secret, only to differ between processes.
fn seed(server: &ServerSettings) -> u64 {
    bucket("seed", &server.store.new_id("gateway"), u64::MAX).unwrap_or_default()
}

/// Copies of requests that shadows answer. They are cut off when the server stops.
#[derive(Debug, Default)]
pub(crate) struct Copies(Mutex<JoinSet<()>>);

impl Copies {
    /// Starts one. How many there are at a time is bounded by the gateway's places for them.
    pub(crate) fn start(&self, copy: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(copy);
    }

    /// Ends all of them.
    pub(crate) async fn stop(&self) {
        let mut tasks = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.shutdown().await;
    }
}

/// How each target of each route fares, in Prometheus' text format. Names are those of the project file, so their number
/// is bounded.
pub(crate) fn render(gateway: &Gateway) -> String {
    let names: Vec<&str> = gateway.routes().map(|(name, _)| name).collect();
    let views: Vec<(&str, TargetView)> =
        names.iter().flat_map(|name| gateway.view(name).into_iter().map(move |view| (*name, view))).collect();
    let mut out = String::new();
    type Figure = fn(&TargetView) -> u32;
    let families: [(&str, &str, Figure); 2] = [
        ("loopwright_target_in_flight", "Tries of a target that are under way.", |it| it.condition.n_in_flight),
        ("loopwright_target_left_alone", "1 while a target's breaker is not closed.", |it| {
            u32::from(it.condition.breaker != BreakerState::Closed)
        }),
    ];
    for (name, help, figure) in families {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (route, view) in &views {
            let target = view.name.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = writeln!(out, "{name}{{route=\"{route}\",target=\"{target}\"}} {}", figure(view));
        }
    }
    out
}

/// How often it is looked whether a probe is due.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Probes the providers that want it, until `stop` turns true.
pub(crate) async fn probe(state: AppState, mut stop: watch::Receiver<bool>) {
    let mut probed: BTreeMap<String, Instant> = BTreeMap::new();
    while !*stop.borrow() {
        let due = due(&state, &probed);
        probed.extend(due.iter().map(|name| (name.clone(), Instant::now())));
        join_all(due.iter().map(|name| probe_one(&state, name))).await;
        tokio::select! {
            () = reconcile::until_stopped(&mut stop) => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

async fn probe_one(state: &AppState, name: &str) {
    let gateway = state.gateway();
    let found = gateway.upstream().probe(name).await;
    if let Err(error) = &found {
        tracing::debug!(provider = name, error = crate::errors::chain(error), "a probe failed");
    }
    gateway.probed(name, found.is_ok());
}

fn due(state: &AppState, probed: &BTreeMap<String, Instant>) -> Vec<String> {
    let gateway = state.gateway();
    let is_due = |name: &str, every_ms: u64| {
        every_ms > 0 && probed.get(name).is_none_or(|at| at.elapsed() >= Duration::from_millis(every_ms))
    };
    let providers = gateway.upstream().providers();
    providers.filter(|(name, it)| is_due(name, it.probe_every_ms)).map(|(name, _)| name.to_string()).collect()
}
