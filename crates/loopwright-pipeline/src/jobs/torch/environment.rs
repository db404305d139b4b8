//! The Python that trains: which one, and what it has.

use crate::{
    context::Context,
    error::{Doing, Error, Result},
    project::{Device, TorchSettings},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, ffi::OsString, path::Path, process::Stdio, time::Duration};

/// How to get what is needed.
pub const INSTALL: &str = "`python3 -m pip install torch transformers peft safetensors`, and name that Python in \
                           `torch = {python = \"…\"}` of [train.*] or in LOOPWRIGHT_PYTHON; `loopwright doctor` looks at it";

/// The program that looks.
const PROGRAM_TEXT: &str = include_str!("environment.py");
/// Importing PyTorch from a cold disk takes a while.
const ANSWERS_WITHIN: Duration = Duration::from_secs(180);
/// Keeps Python from importing files of the folder that it is started in (Python 3.11).
pub(super) const SAFE_PATH: (&str, &str) = ("PYTHONSAFEPATH", "1");
/// The Python that is started if none is named.
const PYTHON: &str = "python3";
/// Oldest versions with the calls that `train.py` makes.
const VERSIONS_MIN: [(&str, [u64; 2]); 4] =
    [("torch", [2, 5]), ("transformers", [4, 56]), ("peft", [0, 17]), ("safetensors", [0, 4])];

/// What a Python has for training.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// Version of Python.
    pub python: String,
    /// Its program.
    pub program: String,
    /// Packages by name.
    pub packages: BTreeMap<String, Package>,
    /// The CUDA that PyTorch was built for.
    pub cuda: Option<String>,
    /// CUDA devices.
    pub devices: Vec<CudaDevice>,
    /// How processes can talk: `gloo`, `nccl`.
    pub links: Vec<String>,
}

/// A package of Python.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Package {
    /// It is there.
    Version(String),
    /// It cannot be imported.
    Problem(String),
}

/// A CUDA device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CudaDevice {
    /// What it calls itself.
    pub name: String,
    /// Memory that is free.
    pub free_bytes: u64,
    /// Memory in all.
    pub total_bytes: u64,
}

/// The Python of the settings, of the environment variable, or the usual one.
pub fn python(ctx: &Context, torch: &TorchSettings) -> OsString {
    named(&torch.python, ctx.python.as_ref(), &ctx.project.dir)
}

/// A path in the settings is relative to the project; a bare name is looked for where programs are.
fn named(setting: &str, variable: Option<&OsString>, project: &Path) -> OsString {
    match (setting, variable) {
        ("", Some(python)) => python.clone(),
        ("", None) => PYTHON.into(),
        (path, _) if path.contains('/') => super::absolute(&project.join(path)).into(),
        (name, _) => name.into(),
    }
}

/// Starts the Python and asks what it has.
pub async fn look(ctx: &Context, torch: &TorchSettings) -> Result<Environment> {
    let python = python(ctx, torch);
    let shown = python.to_string_lossy().into_owned();
    let mut command = tokio::process::Command::new(&python);
    command.args(["-c", PROGRAM_TEXT]).env(SAFE_PATH.0, SAFE_PATH.1).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(ANSWERS_WITHIN, command.output()).await;
    let output = output.outside(|| format!("the Python `{shown}` did not answer within {ANSWERS_WITHIN:?}"))?;
    let output = output
        .map_err(|error| Error::user(format!("failed to start the Python `{shown}`")).because(error).hint(INSTALL))?;
    let read = serde_json::from_slice(&output.stdout);
    read.map_err(|error| {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().last().unwrap_or("it said nothing");
        Error::outside(format!("`{shown}` is no Python that can be asked ({}): {last}", output.status))
            .because(error)
            .hint(INSTALL)
    })
}

impl Environment {
    /// What keeps it from training with these settings.
    pub fn problems(&self, torch: &TorchSettings) -> Vec<String> {
        let mut problems: Vec<String> =
            VERSIONS_MIN.iter().filter_map(|(name, oldest)| self.problem_of(name, *oldest)).collect();
        if !problems.is_empty() {
            return problems;
        }
        let (n, there) = (torch.nproc_per_node, self.devices.len());
        let on_cuda = torch.device == Device::Cuda || (torch.device == Device::Auto && there > 0);
        if on_cuda && there < n {
            problems.push(format!("{n} processes need {n} CUDA devices, and PyTorch sees {there}"));
        }
        let link = if on_cuda { "nccl" } else { "gloo" };
        if torch.n_processes() > 1 && !self.links.iter().any(|known| known == link) {
            problems.push(format!("PyTorch was built without {link}, through which the processes talk"));
        }
        problems
    }

    fn problem_of(&self, name: &str, oldest: [u64; 2]) -> Option<String> {
        match self.packages.get(name) {
            None => Some(format!("{name} is missing")),
            Some(Package::Problem(problem)) => Some(format!("{name}: {problem}")),
            Some(Package::Version(version)) => {
                let numbers: Vec<u64> = version.split('.').map_while(|part| part.parse().ok()).take(2).collect();
                // A version that is no number is a build of one's own: it is tried.
                let is_old = numbers.len() == 2 && numbers.as_slice() < oldest.as_slice();
                is_old.then(|| format!("{name} is {version}, expected {}.{} or newer", oldest[0], oldest[1]))
            }
        }
    }

    /// What it has, in a line.
    pub fn told(&self) -> String {
        let packages = self.packages.iter().filter_map(|(name, package)| match package {
            Package::Version(version) => Some(format!("{name} {version}")),
            Package::Problem(_) => None,
        });
        let devices = match self.devices.as_slice() {
            [] => "no CUDA device".to_string(),
            [one] => one.name.clone(),
            [first, ..] => format!("{} CUDA devices, the first {}", self.devices.len(), first.name),
        };
        let all: Vec<String> = packages.chain([devices]).collect();
        format!("Python {} (`{}`): {}", self.python, self.program, all.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(torch: &str) -> Environment {
        let versions = [("torch", torch), ("transformers", "5.1.0"), ("peft", "0.19.0"), ("safetensors", "0.8.0rc1")];
        let packages = versions.map(|(name, version)| (name.to_string(), Package::Version(version.to_string())));
        Environment {
            python: "3.12.1".into(),
            program: "/p".into(),
            packages: packages.into(),
            cuda: None,
            devices: Vec::new(),
            links: vec!["gloo".into()],
        }
    }

    #[test]
    fn the_nearest_name_of_a_python_counts() {
        let project = Path::new("/a/project");
        let variable = OsString::from("/opt/python");
        let cases = [
            ("", None, "python3"),
            ("", Some(&variable), "/opt/python"),
            ("python3.12", Some(&variable), "python3.12"),
            ("venv/bin/python", None, "/a/project/venv/bin/python"),
            ("/usr/bin/python", None, "/usr/bin/python"),
        ];
        for (setting, variable, want) in cases {
            assert_eq!(named(setting, variable, project), want, "{setting}");
        }
    }

    #[test]
    fn what_is_missing_or_too_old_is_named() {
        let two = TorchSettings { nproc_per_node: 2, ..TorchSettings::default() };
        assert_eq!(environment("2.9.1+cpu").problems(&two), Vec::<String>::new());
        assert_eq!(environment("nightly").problems(&two), Vec::<String>::new());
        assert_eq!(environment("2.4.1").problems(&two), ["torch is 2.4.1, expected 2.5 or newer"]);
        let mut other = environment("2.9.1");
        other.packages.insert("peft".into(), Package::Problem("ImportError: x".into()));
        other.packages.remove("safetensors");
        assert_eq!(other.problems(&two), ["peft: ImportError: x", "safetensors is missing"]);
        let cuda = TorchSettings { device: Device::Cuda, ..two.clone() };
        let problems = environment("2.9.1").problems(&cuda);
        assert!(
            problems[0].contains("2 CUDA devices, and PyTorch sees 0") && problems[1].contains("nccl"),
            "{problems:?}"
        );
        let alone = Environment { links: vec![], ..environment("2.9.1") };
        assert!(alone.problems(&two)[0].contains("gloo") && alone.problems(&TorchSettings::default()).is_empty());
    }

    #[test]
    fn a_line_tells_what_is_there() {
        let told =
            "Python 3.12.1 (`/p`): peft 0.19.0, safetensors 0.8.0rc1, torch 2.9.1, transformers 5.1.0, no CUDA device";
        assert_eq!(environment("2.9.1").told(), told);
    }
}
