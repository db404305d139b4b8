//! What the sources of a loop are made of at one moment. Files are hashed here and nowhere else, once for each command.

use super::{elsewhere::Elsewhere, reading, traffic};
use crate::{context::Context, error::Result, project::LoopSettings};
use loopwright_types::{Digest, SourceRow};
use std::collections::BTreeMap;

/// The sources as they were when somebody looked.
#[derive(Default)]
pub struct FoundSources {
    /// In the order of the settings, each with its parts: files, or the traces of a route.
    pub(super) parts: Vec<(String, Vec<reading::Part>)>,
    /// Rows of sources that are no files.
    pub(super) traffic: BTreeMap<String, Vec<SourceRow>>,
    /// Sources that are not on this machine.
    pub(super) elsewhere: BTreeMap<String, Elsewhere>,
    /// The customers file, if there is to be one.
    customers: Option<Digest>,
}

impl FoundSources {
    /// Looks at every source, and hashes what lies here.
    pub async fn look(ctx: &Context, it: &LoopSettings) -> Result<Self> {
        let mut found = Self::of(ctx, it).await?;
        if !it.data.customers.is_empty() {
            found.customers = Some(reading::digest(&ctx.project.dir.join(&it.data.customers))?.1);
        }
        Ok(found)
    }

    /// The same without the customers file.
    pub(super) async fn of(ctx: &Context, it: &LoopSettings) -> Result<Self> {
        let mut found = Self::default();
        for source in &it.data.sources {
            let parts = found.parts_of(ctx, it, source).await?;
            found.parts.push((source.clone(), parts));
        }
        Ok(found)
    }

    async fn parts_of(&mut self, ctx: &Context, it: &LoopSettings, source: &str) -> Result<Vec<reading::Part>> {
        if let Some(route) = traffic::route(source) {
            let rows = traffic::rows(ctx, it, source, route).await?;
            let part = (source.to_string(), traffic::digest(&rows));
            self.traffic.insert(source.to_string(), rows);
            return Ok(vec![part]);
        }
        let (elsewhere, parts) = reading::parts(ctx, &it.data, source).await?;
        if let Some(elsewhere) = elsewhere {
            self.elsewhere.insert(source.to_string(), elsewhere);
        }
        Ok(parts)
    }

    /// What collecting depends on: the names and digests of all parts, and the customers file.
    pub fn digest(&self) -> Digest {
        let parts = self.parts.iter().flat_map(|(_, parts)| parts);
        let parts = parts.flat_map(|(name, (_, digest))| [name.as_bytes(), digest.as_str().as_bytes()]);
        Digest::of_parts(parts.chain(self.customers.iter().map(|digest| digest.as_str().as_bytes())))
    }
}
