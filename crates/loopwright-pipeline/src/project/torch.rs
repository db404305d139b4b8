//! Who takes the steps of a fine-tuning: `backend` of `[train.NAME]`, and `torch` for PyTorch.

use super::TrainSettings;
use loopwright_train::Method;
use serde::{Deserialize, Serialize};

/// Who takes the steps of a fine-tuning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backend {
    /// This program.
    #[default]
    Native,
    /// PyTorch and PEFT, under torchrun.
    Torch,
}

/// How PyTorch is started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TorchSettings {
    /// The Python to start; empty: that of `LOOPWRIGHT_PYTHON`, else `python3`.
    pub python: String,
    /// Processes on each machine.
    pub nproc_per_node: usize,
    /// Machines.
    pub nnodes: usize,
    /// `host:port` of this machine, where those of several meet.
    pub rdzv_endpoint: String,
    /// What computes.
    pub device: Device,
}

/// What computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Device {
    /// CUDA devices if there are any, else the processor.
    #[default]
    Auto,
    /// The processor; processes talk through Gloo.
    Cpu,
    /// A CUDA device for each process; they talk through NCCL.
    Cuda,
}

impl Default for TorchSettings {
    fn default() -> Self {
        Self {
            python: String::new(),
            nproc_per_node: 1,
            nnodes: 1,
            rdzv_endpoint: String::new(),
            device: Device::default(),
        }
    }
}

impl TorchSettings {
    /// Processes on all machines.
    pub fn n_processes(&self) -> usize {
        self.nproc_per_node.saturating_mul(self.nnodes)
    }
}

impl TrainSettings {
    /// How PyTorch is started, if it takes the steps.
    pub fn with_torch(&self) -> Option<&TorchSettings> {
        (self.backend == Backend::Torch).then_some(&self.torch)
    }

    /// What must hold where PyTorch takes the steps.
    pub fn check_backend(&self) -> Result<(), String> {
        let Some(torch) = self.with_torch() else { return Ok(()) };
        if !matches!(self.method, Method::Lora | Method::Full) {
            let method = serde_json::to_string(&self.method).unwrap_or_default();
            return Err(format!(
                "backend = \"torch\" trains method = \"lora\" and \"full\"; for {method} set backend = \"native\""
            ));
        }
        if self.load_in_4bit || self.load_in_8bit {
            return Err("load_in_4bit and load_in_8bit need backend = \"native\"".into());
        }
        if torch.nproc_per_node == 0 || torch.nnodes == 0 {
            return Err("torch: nproc_per_node and nnodes must be at least 1".into());
        }
        if torch.nnodes > 1 && torch.rdzv_endpoint.is_empty() {
            return Err("torch: with several machines, rdzv_endpoint must be \"host:port\" of this one".into());
        }
        if torch.n_processes() > self.batch_size {
            let (n, rows) = (torch.n_processes(), self.batch_size);
            return Err(format!("torch: {n} processes share the rows of a forward pass, and batch_size is {rows}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::{DEFAULT_FILE, Project};
    use std::path::Path;

    #[test]
    fn what_the_default_file_shows_is_what_is_left_out() {
        let project = Project::resolve(DEFAULT_FILE, Path::new("p")).unwrap();
        let train = &project.the_loop(None).unwrap().train;
        assert_eq!((train.backend, &train.torch), (Backend::Native, &TorchSettings::default()));
        let text = "[train.a]\nbackend = \"torch\"\ntorch = {nproc_per_node = 2}\n";
        let project = Project::resolve(text, Path::new("p")).unwrap();
        let torch = project.the_loop(None).unwrap().train.with_torch().cloned();
        assert_eq!(torch, Some(TorchSettings { nproc_per_node: 2, ..TorchSettings::default() }));
    }

    #[test]
    fn what_cannot_be_started_is_refused_by_name() {
        let check = |text: &str, says: &str| {
            let text = format!("[train.a]\n{text}\nbackend = \"torch\"\n");
            let error = Project::resolve(&text, Path::new("p")).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        };
        check("method = \"dpo\"", "trains method = \"lora\" and \"full\"; for \"dpo\" set backend = \"native\"");
        check("torch = {nproc_per_node = 0}", "must be at least 1");
        check("torch = {nnodes = 2}", "rdzv_endpoint");
        check("torch = {nproc_per_node = 4}\nbatch_size = 3", "4 processes share");
    }
}
