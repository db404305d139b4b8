//! Why a server did not start or did not stop well.

use std::{io, net::SocketAddr};

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

/// Who has to act on an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Another program listens on the port.
    PortInUse,
    /// The address cannot be listened on.
    Address,
    /// The store failed.
    Store,
    /// The engine failed.
    Engine,
    /// Our own fault.
    Bug,
}

/// An error of starting or stopping the server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another program listens on the port.
    #[error("failed to listen on {addr}: port {} is in use\nhint: stop the program that uses it, or choose another with `--port`", addr.port())]
    PortInUse {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// The address cannot be listened on.
    #[error("failed to listen on {addr}")]
    Listen {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The store failed.
    #[error("failed to read what is to be served")]
    Store(#[from] loopwright_store::Error),
    /// The engine failed.
    #[error("failed to start the engine")]
    Engine(#[from] loopwright_serve::Error),
    /// Some traces could not be written out.
    #[error("failed to write out the last traces")]
    Traces(#[from] loopwright_observe::Error),
    /// A task of the server died.
    #[error("a part of the server ended before its time: {0}")]
    Task(String),
}

impl Error {
    /// Who has to act.
    pub fn kind(&self) -> Kind {
        match self {
            Self::PortInUse { .. } => Kind::PortInUse,
            Self::Listen { .. } => Kind::Address,
            Self::Store(_) | Self::Traces(_) => Kind::Store,
            Self::Engine(_) => Kind::Engine,
            Self::Task(_) => Kind::Bug,
        }
    }

    /// The error of a failed bind.
    pub(crate) fn listen(addr: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::PortInUse { addr },
            _ => Self::Listen { addr, source },
        }
    }
}
