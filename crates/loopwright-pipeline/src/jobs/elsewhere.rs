//! Sources that are not on this machine: buckets, files on the web, queries.
//!
//! The store fetches their bytes, the reading child parses them: what comes from elsewhere is never parsed in this
//! process.

use super::reading;
use crate::{
    context::Context,
    error::{Doing, Error, Result},
    project::DataSettings,
};
use loopwright_sources::{self as sources, Format, OpenSettings, Reads, Spec, schema::Schema};
use loopwright_store::remote::{self, Remote, RemotePart};
use std::{collections::BTreeSet, path::Path};

/// A source elsewhere and those of its parts that hold rows.
pub struct Elsewhere {
    remote: Remote,
    /// By name.
    pub parts: Vec<RemotePart>,
}

impl Elsewhere {
    /// Looks at a source; paths of queries are relative to `project`.
    pub async fn look(source: &str, project: &Path) -> Result<Self> {
        let remote =
            Remote::of(source, project).doing(|| format!("failed to read the source `{}`", remote::shown(source)))?;
        let mut parts = remote.parts().await?;
        if parts.len() > 1 {
            let paths = parts.iter().map(|part| part.path.clone()).collect();
            let chosen: BTreeSet<String> = sources::choose(paths, &Spec::default()).into_iter().collect();
            parts.retain(|part| chosen.contains(&part.path));
        }
        match parts.is_empty() {
            false => Ok(Self { remote, parts }),
            true => Err(Error::user(format!("`{}` holds no file of a format that we read", remote::shown(source)))
                .hint("choose the files with a pattern, e.g. `s3://bucket/rows/*.jsonl`")),
        }
    }

    /// Opens one of the parts.
    pub async fn open(&self, ctx: &Context, data: &DataSettings, part: &RemotePart) -> Result<Reads> {
        let reader = self.remote.open(part).await?;
        let spec = self.spec(reading::spec(ctx, data, &part.name));
        Ok(sources::open_reader(&part.name, reader, &spec, &reading::settings(ctx)))
    }

    /// The part of this name.
    pub fn part(&self, name: &str) -> Option<&RemotePart> {
        self.parts.iter().find(|part| part.name == name)
    }

    /// What the first part looks like.
    pub async fn schema(&self, spec: Spec, settings: OpenSettings) -> Result<Schema> {
        let part = &self.parts[0];
        let reader = self.remote.open(part).await?;
        let (name, spec) = (part.name.clone(), self.spec(spec));
        let schema = super::collect::in_background(move || {
            let schema = sources::schema::infer_reader(&name, reader, &spec, &settings);
            schema.doing(|| format!("failed to look at `{name}`"))
        });
        Ok(Schema { n_files: self.parts.len(), ..schema.await? })
    }

    fn spec(&self, spec: Spec) -> Spec {
        // Nothing lies at this path: the bytes come as a stream, under their own name.
        let format = self.remote.is_json_lines().then_some(Format::JsonLines).or(spec.format);
        Spec { location: String::new(), name: None, format, ..spec }
    }
}
