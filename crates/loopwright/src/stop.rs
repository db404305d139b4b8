//! Being asked to stop: Ctrl-C or SIGTERM.

use std::future::pending;

/// Waits until somebody asks the process to stop. Such a signal no longer ends it by itself from this call on, not only from when
/// the future is first looked at: call it before anybody is told that the process is there.
pub fn asked() -> impl Future<Output = ()> {
    let (interrupted, terminated) = (interrupted(), terminated());
    async move {
        tokio::select! {
            () = interrupted => {}
            () = terminated => {}
        }
    }
}

#[cfg(unix)]
fn interrupted() -> impl Future<Output = ()> {
    signalled(tokio::signal::unix::SignalKind::interrupt(), "Ctrl-C")
}

#[cfg(unix)]
fn terminated() -> impl Future<Output = ()> {
    signalled(tokio::signal::unix::SignalKind::terminate(), "SIGTERM")
}

#[cfg(unix)]
fn signalled(kind: tokio::signal::unix::SignalKind, name: &'static str) -> impl Future<Output = ()> {
    let signals = tokio::signal::unix::signal(kind);
    async move {
        match signals {
            Ok(mut signals) => {
                signals.recv().await;
            }
            Err(error) => {
                tracing::warn!(%error, "{name} cannot be listened for");
                pending::<()>().await;
            }
        }
    }
}

#[cfg(not(unix))]
async fn interrupted() {
    if let Err(error) = tokio::signal::ctrl_c().await {
        tracing::warn!(%error, "Ctrl-C cannot be listened for");
        pending::<()>().await;
    }
}

#[cfg(not(unix))]
async fn terminated() {
    pending::<()>().await;
}
