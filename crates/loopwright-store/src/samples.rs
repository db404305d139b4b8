//! What a model answered to the same few prompts as it learned, kept with its run.

use crate::{
    error::{Doing, Result},
    key::ObjectKey,
    store::Store,
};
use loopwright_types::{id::RunId, run::Sample};

impl Store {
    /// The samples of a run, by step; none where it took none.
    pub async fn run_samples(&self, run: &RunId) -> Result<Vec<Sample>> {
        let key = ObjectKey::Samples { run: run.clone() };
        if !self.objects().exists(&key).await? {
            return Ok(Vec::new());
        }
        let bytes = self.objects().get(&key).await?;
        serde_json::from_slice(&bytes).doing(|| format!("read the samples of `{run}`"))
    }

    /// Adds the samples of a step. A run that goes on from a checkpoint takes steps again: what it answers then counts.
    pub async fn add_run_samples(&self, run: &RunId, samples: Vec<Sample>) -> Result<()> {
        let first = samples.iter().map(|sample| sample.step).min().unwrap_or_default();
        let mut all = self.run_samples(run).await?;
        all.retain(|sample| sample.step < first);
        all.extend(samples);
        let bytes = serde_json::to_vec_pretty(&all).doing(|| format!("write the samples of `{run}`"))?;
        self.objects().put(&ObjectKey::Samples { run: run.clone() }, bytes.into()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn samples_are_kept_and_replaced_by_those_of_a_run_that_went_on() {
        let (store, run) = (Store::in_memory().await.unwrap(), RunId::new("run_1"));
        let sample = |step: u64, answer: &str| Sample { step, prompt: "q".into(), answer: answer.into() };
        assert!(store.run_samples(&run).await.unwrap().is_empty());
        store.add_run_samples(&run, vec![sample(10, "a")]).await.unwrap();
        store.add_run_samples(&run, vec![sample(20, "b"), sample(20, "c")]).await.unwrap();
        store.add_run_samples(&run, vec![sample(20, "d")]).await.unwrap();
        assert_eq!(store.run_samples(&run).await.unwrap(), [sample(10, "a"), sample(20, "d")]);
    }
}
