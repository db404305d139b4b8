//! An object store that fails on purpose.

use async_trait::async_trait;
use futures::{StreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart, path::Path,
};
use std::{
    fmt,
    io::ErrorKind,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

/// When it fails.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The disk is full after so many bytes; deleting still works.
    FullAfter(Arc<AtomicI64>),
    /// The process dies after so many changes: nothing changes any more.
    DeadAfter(Arc<AtomicI64>),
}

impl Fault {
    pub fn full_after(n_bytes: i64) -> Self {
        Self::FullAfter(Arc::new(AtomicI64::new(n_bytes)))
    }

    pub fn dead_after(n_changes: i64) -> Self {
        Self::DeadAfter(Arc::new(AtomicI64::new(n_changes)))
    }

    fn write(&self, n_bytes: usize) -> Result<()> {
        let (left, cost) = match self {
            Self::FullAfter(left) => (left, n_bytes as i64),
            Self::DeadAfter(left) => (left, 1),
        };
        self.spend(left, cost)
    }

    fn delete(&self) -> Result<()> {
        match self {
            Self::FullAfter(_) => Ok(()),
            Self::DeadAfter(left) => self.spend(left, 1),
        }
    }

    fn spend(&self, left: &AtomicI64, cost: i64) -> Result<()> {
        if left.fetch_sub(cost, Ordering::SeqCst) >= cost {
            return Ok(());
        }
        let kind = match self {
            Self::FullAfter(_) => ErrorKind::StorageFull,
            Self::DeadAfter(_) => ErrorKind::BrokenPipe,
        };
        Err(Error::Generic { store: "faulty", source: Box::new(std::io::Error::from(kind)) })
    }
}

/// Passes everything on, until the fault.
#[derive(Clone, Debug)]
pub struct FaultyStore {
    pub inner: Arc<dyn ObjectStore>,
    pub fault: Fault,
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faulty {}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.fault.write(payload.content_length())?;
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let inner = self.inner.put_multipart_opts(location, opts).await?;
        Ok(Box::new(FaultyUpload { inner, fault: self.fault.clone() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (inner, fault) = (self.inner.clone(), self.fault.clone());
        let allowed = locations.map(move |location| location.and_then(|it| fault.delete().map(|()| it)));
        inner.delete_stream(allowed.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.fault.write(0)?;
        self.inner.copy_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct FaultyUpload {
    inner: Box<dyn MultipartUpload>,
    fault: Fault,
}

#[async_trait]
impl MultipartUpload for FaultyUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        match self.fault.write(data.content_length()) {
            Ok(()) => self.inner.put_part(data),
            Err(error) => Box::pin(async { Err(error) }),
        }
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.fault.write(0)?;
        self.inner.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}
