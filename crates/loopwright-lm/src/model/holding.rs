//! Models held for answers alone: every matrix in the form that it is multiplied in, read one by one, so that no more than
//! one is there in f32.

use super::{Model, folder};
use crate::{
    architecture::{self, Task},
    body::{self, EMBEDDING},
    config::CONFIG_FILE,
    error::{Error, Kind, Result},
    gguf,
    held::{Form, Matrix},
    ops,
    weights::{self, WeightFile},
};
use candle_core::Var;
use std::{cell::RefCell, path::Path};

impl Model {
    /// The same language model with every matrix held for answers in a form. It takes adapters, and does not learn.
    ///
    /// ```
    /// use loopwright_lm::{Form, Model, ModelConfig};
    /// let model = Model::init(&ModelConfig::sized(300, 64, 2, 2), 7)?;
    /// let held = model.held(Form::Q8_0)?;
    /// assert!(held.base_bytes() * 7 < model.base_bytes() * 2);
    /// assert_eq!(held.n_parameters(), model.n_parameters());
    /// # Ok::<(), loopwright_lm::Error>(())
    /// ```
    pub fn held(&self, form: Form) -> Result<Self> {
        self.refuse_packed("held for answers")?;
        self.refuse_held("held in another form")?;
        let of = &self.base;
        let find = |name: &str| match of.parameters.iter().find(|(known, _)| known == name) {
            Some((_, var)) => Ok(var.as_detached_tensor()),
            None => Err(Error::new(Kind::Bug, format!("the model lacks `{name}`"))),
        };
        let built = body::build_held(
            &of.architecture,
            &mut |name, _| Ok(Var::from_tensor(&find(name)?.copy()?)?),
            &mut |name, shape| Ok(Matrix::new(&ops::read(&find(name)?)?, shape, form)),
        )?;
        let held = Self::new(of.architecture.clone(), of.config_json.clone(), built);
        Ok(Self { adapter: self.adapter.clone(), ..held })
    }

    /// Writes `config.json` and `model.gguf` of a language model's base into an existing folder, every matrix in a form (in the
    /// nearest that its rows are whole blocks of), all else in f32. [`Model::load`] reads it back; the same weights give the
    /// same bytes.
    ///
    /// ```
    /// use loopwright_lm::{Form, Model, ModelConfig};
    /// let model = Model::init(&ModelConfig::sized(300, 64, 2, 2), 7)?;
    /// let dir = tempfile::tempdir()?;
    /// model.save_in_form(dir.path(), Form::Q8_0)?;
    /// assert_eq!(Model::load(dir.path())?.n_parameters(), model.n_parameters());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn save_in_form(&self, dir: &Path, form: Form) -> Result<()> {
        self.refuse_packed("saved in a form")?;
        self.refuse_held("saved in a form")?;
        let of = &self.base;
        if of.architecture.is_encoder() || of.architecture.task != Task::Language {
            return Err(Error::new(Kind::BadInput, "only a language model can be saved in a form"));
        }
        weights::write_file(&dir.join(CONFIG_FILE), &of.config_json)?;
        gguf::write(&dir.join(gguf::GGUF_FILE), &of.parameters, form)
    }

    /// Reads a folder as [`Model::load`] does, straight into a form, where it is a decoder with a language head; any other
    /// model as it is.
    pub(crate) fn load_held(dir: &Path, end: Option<u32>, form: Form) -> Result<Self> {
        let (mut architecture, value, bytes) = architecture::read(dir)?;
        if architecture.is_encoder() || architecture.task != Task::Language {
            return Self::load_ending(dir, end, None);
        }
        architecture.end_with(end);
        if let Some(path) = gguf::in_folder(dir) {
            let config = folder::settled_value(value, &architecture)?;
            return Self::load_gguf_beside_held(&path, (architecture, config), form);
        }
        let mut file = WeightFile::read_folder(dir)?;
        folder::leave_aside(&architecture, &mut file);
        let file = RefCell::new(file);
        let built = body::build_held(
            &architecture,
            &mut |name, shape| file.borrow_mut().take_var(name, shape),
            &mut |name, shape| {
                let numbers = file.borrow_mut().take(name, &shape)?;
                if name == EMBEDDING {
                    folder::check_tied_head(&architecture, (name, &shape, &numbers), &mut file.borrow_mut())?;
                }
                Ok(Matrix::new(&numbers, shape, form))
            },
        )?;
        let file = file.into_inner();
        file.finish()?;
        let config_json = folder::settled_config(value, bytes, &architecture)?;
        Ok(Self::new(architecture, config_json, built))
    }

    /// Is it held for answers alone?
    pub fn is_held(&self) -> bool {
        !self.base.held.is_empty()
    }

    pub(super) fn refuse_held(&self, what: &str) -> Result<()> {
        match self.is_held() {
            false => Ok(()),
            true => Err(Error::new(Kind::BadInput, format!("a model held for answers cannot be {what}"))),
        }
    }
}
