//! Without PyTorch: what is written for it, and what is made of what it says. That it trains as we do is shown with
//! PyTorch itself, in `.ci/peers`.

use super::*;
use crate::error::Kind;
use loopwright_lm::{Model, ModelConfig};
use loopwright_train::{Length, Start, TrainExample, TrainSettings};
use serde_json::{Value, json};
use std::{fs, path::PathBuf, time::Duration};
use tempfile::TempDir;

/// A folder of checkpoints whose Python does what a script says.
struct Fake {
    dir: TempDir,
    torch: TorchSettings,
}

impl Fake {
    fn new(script: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(FOLDER)).unwrap();
        fs::write(dir.path().join("fake.sh"), script).unwrap();
        Self { dir, torch: TorchSettings::default() }
    }

    fn folder(&self) -> PathBuf {
        self.dir.path().join(FOLDER)
    }

    /// What is told, until a step of this number is answered with a break.
    fn follow(&self, last: u64) -> Result<Vec<Event>> {
        let python = concat!(env!("CARGO_MANIFEST_DIR"), "/src/jobs/torch/fake_python.sh");
        let folder = self.folder();
        let mut told = Vec::new();
        process::follow(&Launch { python: python.as_ref(), folder: &folder, torch: &self.torch }, |event| {
            let is_last = matches!(event, Event::Step { step, .. } if step == last);
            told.push(event);
            if is_last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(told)
    }
}

const BEGIN: &str =
    r#"echo '{"event": "begin", "step": 0, "n_processes": 1, "device": "cpu", "versions": {"torch": "2.9"}}'"#;
const STEP: &str = r#"echo '{"event": "step", "step": 1, "loss": 2.5, "lr": 0.1, "gradient_norm": 1.5, "tokens_per_s": 9, "validation_loss": null}'"#;

#[test]
fn a_run_is_written_down_whole() {
    let dir = tempfile::tempdir().unwrap();
    let base = Model::init(&ModelConfig::sized(300, 32, 1, 2), 1).unwrap();
    let examples: Vec<TrainExample> = (0..5)
        .map(|n| TrainExample {
            loss_mask: vec![true, false, true, true],
            starts: if n == 4 { vec![1] } else { vec![] },
            ..TrainExample::whole(vec![1, n + 3, 4, 2])
        })
        .collect();
    let settings = TrainSettings { batch_size: 2, length: Length::Epochs(2), ..TrainSettings::lora(3) };
    let job = Job {
        settings: &settings,
        start: Start::NewAdapter(base),
        examples: &examples,
        validation: &examples[..1],
        checkpoints: None,
        samples: loopwright_train::Samples::default(),
        clock: &|| Duration::ZERO,
    };
    let recipe = recipe(&job).unwrap();
    let folder = dir.path().join(FOLDER);
    // What an earlier start left is gone.
    fs::create_dir_all(folder.join("base/old")).unwrap();
    folder::write(&folder, &job, &recipe, &TorchSettings::default()).unwrap();
    let read = |name: &str| -> Vec<Value> {
        let text = fs::read_to_string(folder.join(name)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let written = &read("settings.json")[0];
    assert_eq!((&written["plan"], &written["validation"]), (&json!(recipe.plan), &json!([[0]])));
    assert_eq!((&written["device"], &written["bf16"]), (&json!("auto"), &json!(false)));
    assert_eq!((&written["lr"], &written["gradient_checkpointing"]), (&json!(settings.lr), &json!(false)));
    assert_eq!(read("examples.jsonl")[4], json!({"tokens": [1, 7, 4, 2], "counts": "1011", "starts": [1]}));
    assert_eq!(read("validation.jsonl").len(), 1);
    let steps = read("steps.jsonl");
    assert_eq!(steps.len(), 6);
    // Two of the three tokens behind the first count in each row.
    let counts: Vec<u64> = steps.iter().map(|step| step["n_predictions"].as_u64().unwrap()).collect();
    assert_eq!(counts.iter().sum::<u64>(), 2 * 2 * 5);
    let mut rows: Vec<u64> = steps[..3]
        .iter()
        .flat_map(|step| step["passes"][0].as_array().unwrap())
        .map(|row| row.as_u64().unwrap())
        .collect();
    rows.sort_unstable();
    assert_eq!(rows, [0, 1, 2, 3, 4]);
    for name in [
        "base/config.json",
        "base/model.safetensors",
        "start/adapter_config.json",
        "start/adapter_model.safetensors",
        "train.py",
    ] {
        assert!(folder.join(name).is_file(), "{name}");
    }
    assert!(!folder.join("base/old").exists());
}

#[test]
fn each_machine_is_started_with_its_number() {
    let mut fake = Fake::new("");
    let words = |fake: &Fake, node: usize| -> String {
        let folder = fake.folder();
        let launch = Launch { python: "python3".as_ref(), folder: &folder, torch: &fake.torch };
        let words: Vec<String> = launch.words(node).iter().map(|word| word.to_string_lossy().into_owned()).collect();
        words.join(" ").replace(&*fake.dir.path().to_string_lossy(), "RUN")
    };
    fake.torch.nproc_per_node = 2;
    let one = "-m torch.distributed.run --nproc-per-node=2 --standalone RUN/recipe/train.py RUN/recipe";
    assert_eq!(words(&fake, 0), one);
    (fake.torch.nnodes, fake.torch.rdzv_endpoint) = (3, "a:29500".into());
    let several = "-m torch.distributed.run --nproc-per-node=2 --nnodes=3 --node-rank=2 --rdzv-backend=static \
                   --rdzv-endpoint=a:29500 RUN/recipe/train.py RUN/recipe";
    assert_eq!(words(&fake, 2), several);
    assert_eq!((quoted("a/b-1=c:2"), quoted("it's here")), ("a/b-1=c:2".into(), r"'it'\''s here'".into()));
}

#[test]
fn what_is_told_is_handed_on() {
    let told = Fake::new(&format!("{BEGIN}\n{STEP}\necho '{{\"event\": \"done\"}}'")).follow(9).unwrap();
    let versions = BTreeMap::from([("torch".to_string(), "2.9".to_string())]);
    assert_eq!(told[0], Event::Begin { step: 0, n_processes: 1, device: "cpu".into(), versions });
    assert!(matches!(told[1], Event::Step { step: 1, validation_loss: None, .. }) && told[2] == Event::Done);
}

#[test]
fn a_break_ends_the_standard_input_that_the_processes_watch() {
    let told = Fake::new(&format!("{STEP}\ncat\necho '{{\"event\": \"stopped\"}}'")).follow(1).unwrap();
    assert_eq!(told.last(), Some(&Event::Stopped));
}

#[test]
fn what_goes_wrong_is_said_with_the_way_out() {
    let check = |script: &str, kind: Kind, says: &[&str]| {
        let error = Fake::new(script).follow(9).unwrap_err();
        let text = format!("{}\n{}", crate::work::chain(&error), error.hint_text().unwrap_or_default());
        assert_eq!(error.kind(), kind, "{text}");
        says.iter().for_each(|word| assert!(text.contains(word), "{word} is not in: {text}"));
    };
    let failed = |kind: &str, message: &str| {
        format!("{BEGIN}\necho '{{\"event\": \"failed\", \"kind\": \"{kind}\", \"message\": \"{message}\"}}'\nexit 1")
    };
    check("echo 'NCCL version 2'\nexec sleep 60", Kind::Outside, &["does not say: `NCCL version 2`", "doctor"]);
    check("echo '{\"event\": \"danced\"}'\nexec sleep 60", Kind::Outside, &["danced"]);
    let no_torch = "echo 'No module named torch' >&2\nexit 1";
    check(no_torch, Kind::Outside, &["exit status: 1", "No module named torch", "pip install", "LOOPWRIGHT_PYTHON"]);
    let killed = format!("{BEGIN}\necho 'out of luck' >&2\nkill -9 $$");
    check(&killed, Kind::Outside, &["signal: 9", "out of luck", "goes on from the last checkpoint"]);
    check(&failed("environment", "ImportError: peft"), Kind::User, &["ImportError: peft", "pip install"]);
    check(&failed("memory", "CUDA out of memory"), Kind::User, &["CUDA out of memory", "gradient_accumulation_steps"]);
    check(&failed("model", "missing_keys"), Kind::User, &["missing_keys", "native"]);
    let first = failed("other", "Connection closed").replace("exit 1", "");
    let both = format!("{first}\n{}", failed("not_finite", "failed at training step 3: loss nan"));
    check(&both, Kind::User, &["failed at training step 3"]);
    check("exit 0", Kind::Outside, &["ended before the run did"]);
}

#[test]
fn a_loss_that_is_no_number_is_the_settings_own_fault() {
    let script = r#"echo '{"event": "failed", "kind": "not_finite", "message": "loss nan"}'"#;
    let error = Fake::new(script).follow(9).unwrap_err();
    assert!(crate::jobs::trial::is_bad_point(&error), "a search goes on with other settings");
}

#[test]
fn a_python_that_is_not_there_is_named() {
    let fake = Fake::new("");
    let folder = fake.folder();
    let launch = Launch { python: "/nowhere/python".as_ref(), folder: &folder, torch: &fake.torch };
    let error = process::follow(&launch, |_| ControlFlow::Continue(())).unwrap_err();
    assert!(error.to_string().contains("/nowhere/python") && error.hint_text().unwrap().contains("pip install"));
}
