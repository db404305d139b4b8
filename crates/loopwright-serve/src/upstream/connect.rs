//! Connections to providers: the name is resolved once, the addresses are looked at, and one that passed is connected to.

use super::address::{is_metadata, is_metadata_name, reserved};
use hyper::Uri;
use hyper_util::rt::TokioIo;
use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::net::TcpStream;
use tower_service::Service;

/// A name's addresses, asked once for each connection.
pub type Resolver = Arc<dyn Fn(String, u16) -> Resolving + Send + Sync>;
/// The addresses on their way.
pub type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// The system's resolver.
pub fn system_resolver() -> Resolver {
    Arc::new(|host, port| Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) }))
}

/// Addresses of a name that are tried.
const N_ADDRESSES_MAX: usize = 4;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectFault {
    /// The address must not be asked.
    #[error("{0}")]
    Address(String),
    /// Nobody answers there.
    #[error("{0}")]
    Unreachable(String),
    /// It took too long.
    #[error("no connection within {0} ms (connect_timeout_ms)")]
    Late(u64),
}

/// Makes connections to checked addresses.
#[derive(Clone)]
pub(super) struct Connector {
    pub(super) resolver: Resolver,
    pub(super) allow_private: bool,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = ConnectFault;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectFault>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectFault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { this.connect(&uri).await.map(TokioIo::new) })
    }
}

impl Connector {
    async fn connect(&self, uri: &Uri) -> Result<TcpStream, ConnectFault> {
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("http") { 80 } else { 443 });
        let mut last = None;
        for address in self.checked(host, port).await?.into_iter().take(N_ADDRESSES_MAX) {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    // Without this the system holds small packets back for 40 ms.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Err(error) => last = Some(format!("{address}: {error}")),
            }
        }
        Err(ConnectFault::Unreachable(last.unwrap_or_else(|| format!("`{host}` has no address"))))
    }

    /// The addresses of a host that may be connected to.
    async fn checked(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectFault> {
        if is_metadata_name(host) {
            return Err(ConnectFault::Address(format!("`{host}` serves the credentials of a cloud's machines")));
        }
        let all = match host.parse::<IpAddr>() {
            Ok(ip) => vec![SocketAddr::new(ip, port)],
            Err(_) => (self.resolver)(host.to_string(), port)
                .await
                .map_err(|error| ConnectFault::Unreachable(format!("`{host}` could not be resolved: {error}")))?,
        };
        let mut refused = None;
        let mut kept = Vec::new();
        for address in all {
            match refusal(address.ip(), self.allow_private) {
                None => kept.push(address),
                Some(why) => refused = refused.or(Some((address.ip(), why))),
            }
        }
        match refused {
            Some((ip, why)) if kept.is_empty() => Err(ConnectFault::Address(format!(
                "`{host}` has the {why} address {ip}; set allow_private = true for it if that is meant"
            ))),
            _ => Ok(kept),
        }
    }
}

/// Why this address must not be connected to.
fn refusal(ip: IpAddr, allow_private: bool) -> Option<&'static str> {
    if is_metadata(ip) {
        return Some("cloud metadata");
    }
    reserved(ip).filter(|_| !allow_private).map(|class| class.as_str())
}

/// Bounds the whole way to a connection: name, address and TLS.
#[derive(Clone)]
pub(super) struct Timed<C> {
    pub(super) inner: C,
    pub(super) limit: Duration,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl<C> Service<Uri> for Timed<C>
where
    C: Service<Uri>,
    C::Error: Into<BoxError>,
    C::Future: Send + 'static,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (connecting, limit) = (self.inner.call(uri), self.limit);
        Box::pin(async move {
            match tokio::time::timeout(limit, connecting).await {
                Ok(made) => made.map_err(Into::into),
                Err(_) => Err(ConnectFault::Late(limit.as_millis() as u64).into()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A resolver that gives the next list each time, as a name that is bound anew between two questions.
    fn turning(lists: &'static [&'static [&'static str]]) -> (Resolver, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let resolver: Resolver = Arc::new(move |_, port| {
            let list = lists[count.fetch_add(1, Ordering::Relaxed) % lists.len()];
            let list = list.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), port)).collect();
            Box::pin(async move { Ok(list) })
        });
        (resolver, asked)
    }

    async fn checked(host: &str, resolver: Resolver, allow_private: bool) -> Result<Vec<String>, String> {
        let connector = Connector { resolver, allow_private };
        let checked = connector.checked(host, 443).await.map_err(|fault| fault.to_string())?;
        Ok(checked.iter().map(|address| address.ip().to_string()).collect())
    }

    #[tokio::test]
    async fn a_name_is_asked_once_and_only_its_public_addresses_are_kept() {
        let (resolver, asked) = turning(&[&["10.0.0.1", "8.8.8.8", "::1"], &["127.0.0.1"]]);
        assert_eq!(checked("api.example", resolver.clone(), false).await.unwrap(), ["8.8.8.8"]);
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        // The name now leads home: nothing is connected to.
        let refused = checked("api.example", resolver, false).await.unwrap_err();
        assert!(refused.contains("loopback address 127.0.0.1") && refused.contains("allow_private"), "{refused}");
    }

    #[tokio::test]
    async fn addresses_in_every_notation_are_looked_at() {
        let (resolver, _) = turning(&[&["192.168.0.9"]]);
        for host in ["127.0.0.1", "::1", "::ffff:10.0.0.1", "169.254.169.254", "fd00:ec2::254", "intranet"] {
            assert!(checked(host, resolver.clone(), false).await.is_err(), "{host}");
        }
        for host in ["127.0.0.1", "::1", "intranet"] {
            assert!(checked(host, resolver.clone(), true).await.is_ok(), "{host}");
        }
        // Nobody's provider lives where machines get their credentials.
        for host in ["169.254.169.254", "::ffff:169.254.169.254", "metadata.google.internal"] {
            assert!(checked(host, resolver.clone(), true).await.is_err(), "{host}");
        }
    }
}
