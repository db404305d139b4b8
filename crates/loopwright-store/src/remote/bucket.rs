//! Objects in a bucket of S3, Google Cloud Storage or Azure Blob Storage.
//!
//! An object is read in ranges, the next one while the last is worked on: a transfer that breaks is taken up at its range,
//! and a slow reader keeps no connection waiting. Each range is asked for under the object's tag where the store knows
//! such a condition, so that an object that is replaced meanwhile is an error and not a mixture.

use super::{CONNECT_TIMEOUT, PARTS_MAX, RemotePart, RemoteReader, file_name, refuse, scheme};
use crate::{Kind, Result, error::Doing};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use loopwright_types::Digest;
use object_store::{
    ClientConfigKey, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, RetryConfig, aws::AmazonS3Builder,
    azure::MicrosoftAzureBuilder, gcp::GoogleCloudStorageBuilder, path::Path,
};
use std::{io, ops::Range, sync::Arc, time::Duration};
use url::Url;

/// Bytes asked for at once.
const RANGE_BYTES: u64 = 8 << 20;
/// Ranges under way at a time.
const RANGES_AHEAD: usize = 2;
/// How often and how long a request is tried again.
const RETRIES_MAX: usize = 4;
const RETRY_TIMEOUT: Duration = Duration::from_secs(60);

/// A place in a bucket.
#[derive(Debug)]
pub(super) struct Bucket {
    store: Arc<dyn ObjectStore>,
    /// `s3://bucket`.
    root: String,
    /// As it was written, below the root: a path, or a pattern.
    path: String,
}

impl Bucket {
    pub(super) fn of(source: &str) -> Result<Self> {
        let url = Url::parse(source).map_err(|error| refuse(source, &error.to_string()))?;
        let bucket = url.host_str().filter(|host| !host.is_empty());
        let bucket =
            bucket.ok_or_else(|| refuse(source, "it names no bucket").with_hint("write `s3://bucket/path`"))?;
        if url.password().is_some() {
            return Err(refuse(source, "it holds a password").with_hint("leave it to the environment"));
        }
        // `?` and `#` are characters of patterns here, so the path is taken as it stands.
        let rest = &source[source.find("://").map_or(0, |at| at + 3)..];
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let root = format!("{}://{host}", scheme(source).unwrap_or_default());
        let store = connect(source, url.scheme(), &root, bucket)?;
        Ok(Self { store, root, path: path.to_string() })
    }

    /// The objects, by name.
    pub(super) async fn parts(&self) -> Result<Vec<RemotePart>> {
        let found = if self.is_pattern() { self.matching().await? } else { self.named().await? };
        if found.is_empty() {
            let problem = if self.is_pattern() { "no object matches the pattern" } else { "there is no such object" };
            let hint = "check the address for a typing error; a path stands for all objects below it";
            return Err(refuse(&self.shown(), problem).with_hint(hint));
        }
        let base = if self.is_pattern() { self.prefix() } else { self.path.trim_end_matches('/') };
        let part = |meta: ObjectMeta| {
            let location = meta.location.as_ref();
            let below = location.strip_prefix(base).unwrap_or(location).trim_start_matches('/');
            RemotePart {
                name: format!("{}/{location}", self.root),
                path: if below.is_empty() { file_name(location).to_string() } else { below.to_string() },
                size_bytes: Some(meta.size),
                digest: digest(&meta),
            }
        };
        let mut parts: Vec<RemotePart> = found.into_iter().map(part).collect();
        parts.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(parts)
    }

    pub(super) async fn open(&self, part: &RemotePart) -> Result<RemoteReader> {
        let location = Path::parse(part.name.strip_prefix(&self.root).unwrap_or(&part.name).trim_start_matches('/'))
            .doing(|| format!("read `{}`", part.name))?;
        let meta = self.store.head(&location).await.map_err(|error| self.explained(error))?;
        if digest(&meta) != part.digest {
            let error = refuse(&part.name, "it was replaced while it was read");
            return Err(error.with_kind(Kind::Conflict).with_hint("import once more"));
        }
        let store = self.store.clone();
        let ranges = ranges(meta.size).map(move |range| {
            let (store, location, tag) = (store.clone(), location.clone(), meta.e_tag.clone());
            async move {
                let options = GetOptions { range: Some(GetRange::Bounded(range)), if_match: tag, ..Default::default() };
                store.get_opts(&location, options).await?.bytes().await
            }
        });
        let bytes = futures::stream::iter(ranges).buffered(RANGES_AHEAD);
        Ok(RemoteReader::of(bytes.map(|chunk: object_store::Result<Bytes>| chunk.map_err(io::Error::other))))
    }

    fn shown(&self) -> String {
        format!("{}/{}", self.root, self.path)
    }

    fn is_pattern(&self) -> bool {
        self.path.contains(['*', '?', '['])
    }

    /// The folders of a pattern before its first special character.
    fn prefix(&self) -> &str {
        let special = self.path.find(['*', '?', '[']).unwrap_or(self.path.len());
        &self.path[..self.path[..special].rfind('/').unwrap_or(0)]
    }

    /// The object of this name, or all objects below it.
    async fn named(&self) -> Result<Vec<ObjectMeta>> {
        let path = self.path.trim_end_matches('/');
        if !path.is_empty() && !self.path.ends_with('/') {
            let location = Path::parse(path).doing(|| format!("read `{}`", self.shown()))?;
            match self.store.head(&location).await {
                Ok(meta) => return Ok(vec![meta]),
                Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(self.explained(error)),
            }
        }
        self.below(path).await
    }

    async fn matching(&self) -> Result<Vec<ObjectMeta>> {
        let pattern = glob::Pattern::new(&self.path)
            .map_err(|error| refuse(&self.shown(), &format!("the pattern is wrong: {error}")))?;
        let options = glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::new() };
        let mut found = self.below(self.prefix()).await?;
        found.retain(|meta| pattern.matches_with(meta.location.as_ref(), options));
        Ok(found)
    }

    async fn below(&self, prefix: &str) -> Result<Vec<ObjectMeta>> {
        let prefix = Path::parse(prefix).doing(|| format!("list `{}`", self.shown()))?;
        let listing = self.store.list(Some(&prefix)).take(PARTS_MAX + 1);
        let found: Vec<ObjectMeta> = listing.try_collect().await.map_err(|error| self.explained(error))?;
        if found.len() > PARTS_MAX {
            let problem = format!("there are more than {PARTS_MAX} objects");
            return Err(refuse(&self.shown(), &problem).with_hint("name a smaller part of it"));
        }
        // Some stores keep empty objects in the place of folders.
        Ok(found.into_iter().filter(|meta| meta.size > 0).collect())
    }

    fn explained(&self, error: object_store::Error) -> crate::Error {
        let hint = match &error {
            object_store::Error::Unauthenticated { .. } | object_store::Error::PermissionDenied { .. } => {
                "the store refused us; check the account's rights and the secrets in the environment"
            }
            object_store::Error::NotFound { .. } => "check the bucket's name and region, and the path",
            _ => self.secrets_hint(),
        };
        let wrapped: Result<()> = Err(error).doing(|| format!("read the source `{}`", self.shown()));
        wrapped.expect_err("it was made an error in the line above").with_hint(hint)
    }

    fn secrets_hint(&self) -> &'static str {
        match scheme(&self.root) {
            Some("s3" | "s3a") => {
                "secrets come from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION (or the machine's role); AWS_SKIP_SIGNATURE=true reads public buckets, AWS_ENDPOINT_URL names another store that speaks S3"
            }
            Some("gs") => {
                "secrets come from GOOGLE_APPLICATION_CREDENTIALS (or the machine's role); GOOGLE_SKIP_SIGNATURE=true reads public buckets"
            }
            _ => {
                "the account comes from AZURE_STORAGE_ACCOUNT_NAME, its secret from AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN (or the machine's identity); AZURE_SKIP_SIGNATURE=true reads public containers"
            }
        }
    }
}

/// What tells an object's bytes from other bytes: its tag where the store gives one, its time otherwise.
fn digest(meta: &ObjectMeta) -> Digest {
    let time = meta.last_modified.to_rfc3339();
    // Listings and answers write the same tag with and without quotes.
    let tag = meta.e_tag.as_deref().map_or(time.as_str(), |tag| tag.trim_matches('"'));
    Digest::of_parts([meta.location.as_ref().as_bytes(), &meta.size.to_le_bytes(), tag.as_bytes()])
}

fn ranges(size: u64) -> impl Iterator<Item = Range<u64>> + Send {
    (0..size.div_ceil(RANGE_BYTES)).map(move |index| index * RANGE_BYTES..((index + 1) * RANGE_BYTES).min(size))
}

/// A client that takes everything but the bucket from the environment.
fn connect(source: &str, scheme: &str, root: &str, bucket: &str) -> Result<Arc<dyn ObjectStore>> {
    let retry = RetryConfig { max_retries: RETRIES_MAX, retry_timeout: RETRY_TIMEOUT, ..RetryConfig::default() };
    let connect = format!("{} seconds", CONNECT_TIMEOUT.as_secs());
    let key = ClientConfigKey::ConnectTimeout;
    // A store on this machine, named in the environment, may speak plain HTTP: asking for it there is asking enough.
    let is_plain = |name: &str| std::env::var(name).is_ok_and(|url| url.starts_with("http://"));
    let store: object_store::Result<Arc<dyn ObjectStore>> = match scheme {
        "s3" | "s3a" => {
            let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(retry);
            if ["AWS_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"].into_iter().any(is_plain) {
                builder = builder.with_allow_http(true);
            }
            builder
                .with_config(object_store::aws::AmazonS3ConfigKey::Client(key), connect)
                .build()
                .map(|it| Arc::new(it) as _)
        }
        "gs" => {
            let builder = GoogleCloudStorageBuilder::from_env().with_bucket_name(bucket).with_retry(retry);
            builder
                .with_config(object_store::gcp::GoogleConfigKey::Client(key), connect)
                .build()
                .map(|it| Arc::new(it) as _)
        }
        _ => {
            let mut builder = MicrosoftAzureBuilder::from_env().with_url(root).with_retry(retry);
            if is_plain("AZURE_STORAGE_ENDPOINT") || is_plain("AZURE_ENDPOINT") {
                builder = builder.with_allow_http(true);
            }
            builder
                .with_config(object_store::azure::AzureConfigKey::Client(key), connect)
                .build()
                .map(|it| Arc::new(it) as _)
        }
    };
    store.map_err(|error| {
        refuse(source, &error.to_string()).with_hint("the environment names a setting that cannot be used")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::{PutPayload, memory::InMemory};
    use std::io::Read;

    async fn bucket(path: &str) -> Bucket {
        let store = InMemory::new();
        for (name, text) in
            [("a/x.jsonl", "1"), ("a/y.csv", "22"), ("a/deep/z.jsonl", "333"), ("a/folder/", ""), ("b.txt", "4")]
        {
            store.put(&Path::parse(name.trim_end_matches('/')).unwrap(), PutPayload::from(text)).await.unwrap();
        }
        Bucket { store: Arc::new(store), root: "s3://bucket".into(), path: path.into() }
    }

    async fn paths(path: &str) -> Vec<String> {
        bucket(path).await.parts().await.unwrap().into_iter().map(|part| part.path).collect()
    }

    #[tokio::test]
    async fn an_object_a_folder_and_a_pattern_are_listed() {
        assert_eq!(paths("b.txt").await, ["b.txt"]);
        assert_eq!(paths("a").await, ["deep/z.jsonl", "x.jsonl", "y.csv"]);
        assert_eq!(paths("a/").await, ["deep/z.jsonl", "x.jsonl", "y.csv"]);
        assert_eq!(paths("a/*.jsonl").await, ["x.jsonl"]);
        assert_eq!(paths("a/**/*.jsonl").await, ["deep/z.jsonl", "x.jsonl"]);
        assert_eq!(paths("").await.len(), 4);
        let error = bucket("a/none").await.parts().await.unwrap_err();
        assert!(error.to_string().contains("`s3://bucket/a/none`") && error.hint().is_some(), "{error}");
        assert!(bucket("a/*.parquet").await.parts().await.unwrap_err().to_string().contains("no object matches"));
    }

    #[tokio::test]
    async fn an_object_is_read_in_ranges_and_a_replaced_one_is_noticed() {
        let big: Vec<u8> = (0..RANGE_BYTES * 2 + 17).map(|index| (index % 251) as u8).collect();
        let bucket = bucket("big.bin").await;
        let location = Path::from("big.bin");
        bucket.store.put(&location, PutPayload::from(big.clone())).await.unwrap();
        let part = bucket.parts().await.unwrap().remove(0);
        assert_eq!((part.name.as_str(), part.size_bytes), ("s3://bucket/big.bin", Some(big.len() as u64)));
        let mut reader = bucket.open(&part).await.unwrap();
        let read = tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).map(|_| bytes)
        });
        assert!(read.await.unwrap().unwrap() == big);
        bucket.store.put(&location, PutPayload::from("other")).await.unwrap();
        assert_eq!(bucket.open(&part).await.unwrap_err().kind(), Kind::Conflict);
    }

    #[test]
    fn ranges_cover_an_object_once() {
        assert_eq!(ranges(0).count(), 0);
        assert_eq!(ranges(RANGE_BYTES).last(), Some(0..RANGE_BYTES));
        assert_eq!(ranges(RANGE_BYTES + 1).last(), Some(RANGE_BYTES..RANGE_BYTES + 1));
    }
}
