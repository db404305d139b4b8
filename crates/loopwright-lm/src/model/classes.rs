//! A head of classes on a base that has none.

use super::{Model, folder};
use crate::{
    architecture::{Architecture, Task},
    body::{self, BERT_ROOT},
    error::{Error, Kind, Result},
    init,
};
use candle_core::Var;
use serde_json::Value;

impl Model {
    /// The same body under a head that tells these classes apart, its weights drawn from the seed: `score` on a decoder's
    /// last token, a pooler and `classifier` on an encoder's first (Devlin et al. 2019). A language head is left behind. A
    /// model of the very same classes keeps its head.
    ///
    /// ```
    /// use loopwright_lm::{Model, ModelConfig};
    /// let base = Model::init(&ModelConfig::sized(300, 16, 1, 2), 1)?;
    /// let model = base.with_classes(&["bill".into(), "parcel".into()], 7)?;
    /// let logits = model.classify(&[&[1, 70, 71], &[1, 80]])?;
    /// assert_eq!((logits.len(), logits[0].len()), (2, 2));
    /// # Ok::<(), loopwright_lm::Error>(())
    /// ```
    pub fn with_classes(&self, names: &[String], seed: u64) -> Result<Self> {
        self.refuse_packed("given a head of classes")?;
        if self.adapter.is_some() {
            return Err(Error::new(
                Kind::BadInput,
                "an adapter's model cannot be given a head of classes: merge it first",
            ));
        }
        let failed = |source| Error::caused(Kind::Bug, "failed to read our own model configuration", source);
        let config: Value = serde_json::from_slice(&self.base.config_json).map_err(failed)?;
        let config = folder::config_of_classes(config, self.config().family, names)?;
        let mut architecture = Architecture::from_json(&config)?;
        architecture.end_with(self.config().eos_token_ids.iter().copied());
        let keeps_head = self.config().task == Task::Classes(names.to_vec());
        let head = body::class_head(&architecture).unwrap_or_default();
        let mut fresh = init::Source::new(&architecture, seed);
        let built = body::build(&architecture, &mut |name, shape| {
            let is_head = name.strip_prefix(head).is_some_and(|rest| rest.starts_with('.'));
            // An encoder without a head has its weights under shorter names.
            let own = name.strip_prefix(BERT_ROOT).unwrap_or(name);
            let mut known = self.base.parameters.iter().filter(|(known, _)| known == name || known == own);
            match known.next().filter(|_| keeps_head || !is_head) {
                Some((_, var)) => Ok(Var::from_tensor(&var.as_detached_tensor().copy()?)?),
                None => fresh.var(name, shape),
            }
        })?;
        Ok(Self::new(architecture, folder::written(&config)?, built))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ModelConfig, encoder_config};

    fn names() -> Vec<String> {
        vec!["a".into(), "b".into(), "c".into()]
    }

    #[test]
    fn the_body_stays_and_the_head_is_new_and_comes_back_from_its_folder() {
        let decoder = Model::init(&ModelConfig::sized(300, 16, 2, 2), 1).unwrap();
        let mut config = encoder_config(300, (16, 2, 2), 32, &[]);
        config["architectures"] = vec!["BertModel"].into();
        let encoder = Model::init_family(&config, 1).unwrap();
        for base in [decoder, encoder] {
            let model = base.with_classes(&names(), 5).unwrap();
            assert_eq!(model.config().task, Task::Classes(names()));
            let numbers = |var: &Var| var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let of = model.named_parameters();
            let body = base.named_parameters();
            let body = body.iter().filter(|(name, _)| !name.starts_with("lm_head"));
            for (name, var) in body {
                let (_, kept) =
                    of.iter().find(|(it, _)| it == name || it.strip_prefix(BERT_ROOT) == Some(name)).unwrap();
                assert_eq!(numbers(var), numbers(kept), "{name}");
            }
            let dir = tempfile::tempdir().unwrap();
            model.save(dir.path()).unwrap();
            let texts: [&[u32]; 2] = [&[1, 70, 71, 72], &[1, 90]];
            let want = model.classify(&texts).unwrap();
            assert_eq!(Model::load(dir.path()).unwrap().classify(&texts).unwrap(), want);
            // The same classes keep the head, others get a new one, and so does another seed.
            assert_eq!(model.with_classes(&names(), 9).unwrap().classify(&texts).unwrap(), want);
            assert_ne!(base.with_classes(&names(), 9).unwrap().classify(&texts).unwrap(), want);
            let two = model.with_classes(&names()[..2], 9).unwrap();
            assert_eq!(two.classify(&texts).unwrap()[0].len(), 2);
        }
    }
}
