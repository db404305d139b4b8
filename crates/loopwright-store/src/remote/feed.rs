//! Bytes that arrive on the runtime, read by a thread that blocks.

use bytes::{Buf, Bytes};
use futures::{Stream, StreamExt};
use std::io;
use tokio::{sync::mpsc, task::JoinHandle};

/// Chunks that wait for their reader.
const WAITING_MAX: usize = 2;

/// The bytes of a remote part, in order. What goes wrong on the way is an error of `read`; dropping it ends the transfer.
#[derive(Debug)]
pub struct RemoteReader {
    current: Bytes,
    chunks: mpsc::Receiver<io::Result<Bytes>>,
    transfer: JoinHandle<()>,
}

impl RemoteReader {
    /// Begins to read a stream, on the runtime of the caller.
    pub(super) fn of(stream: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Self {
        let (sender, chunks) = mpsc::channel(WAITING_MAX);
        let transfer = tokio::spawn(async move {
            let mut stream = std::pin::pin!(stream);
            while let Some(chunk) = stream.next().await {
                let is_last = chunk.is_err();
                if sender.send(chunk).await.is_err() || is_last {
                    break;
                }
            }
        });
        Self { current: Bytes::new(), chunks, transfer }
    }
}

impl io::Read for RemoteReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.chunks.blocking_recv() {
                Some(chunk) => self.current = chunk?,
                None => return Ok(0),
            }
        }
        let n = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..n]);
        Ok(n)
    }
}

impl Drop for RemoteReader {
    fn drop(&mut self) {
        self.transfer.abort();
    }
}
