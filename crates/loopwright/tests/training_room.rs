//! The training room through the binary: a base out and in again as somebody else's, adapters and whole models on it, plans,
//! proofs, searches.
#![allow(clippy::unwrap_used, reason = "a test all through: its functions stop where it should stop")]

mod room;

use room::{Room, message};
use serde_json::{Value, json};
use std::fs;

/// A small model, quickly trained.
const TRAIN: &str = "[train.mail]\nvocab_size = 300\nhidden_size = 32\nn_layers = 1\nn_heads = 2\ncontext_tokens = 128\n\
                     pretrain_epochs = 1\nepochs = 1\nlr = 3e-3\nlora_r = 4\nlora_alpha = 8.0\ncheckpoint_every_steps = 4\n";

/// A template as published models have them, over the special tokens of the base, with the date.
const TEMPLATE: &str = "<|bos|>{{ strftime_now('%d %b %Y') }}{% for m in messages %}{% if m.role == 'assistant' %}<|assistant|>{{ m.content }}<|eos|>\
                        {% else %}<|user|>{{ m.content | trim }}{% endif %}{% endfor %}\
                        {% if add_generation_prompt %}<|assistant|>{% endif %}";

fn curated(settings: &str) -> Room {
    let room = Room::new("[\"sources/a.jsonl\"]", settings);
    let line = |n: usize| {
        let label = ["billing", "delivery"][n % 2];
        json!({"id": n.to_string(), "text": message(n), "label": label}).to_string() + "\n"
    };
    fs::write(room.path("sources/a.jsonl"), (0..60).map(line).collect::<String>()).unwrap();
    room.run(&["data", "import"]);
    room.run(&["data", "curate"]);
    room
}

/// Puts other settings of `[train.mail]` and further sections into the project file.
fn settings(room: &Room, train: &str, rest: &str) {
    let path = room.path("loopwright.toml");
    let text = fs::read_to_string(&path).unwrap();
    let before = text.split("[train.mail]").next().unwrap();
    fs::write(path, format!("{before}{TRAIN}{train}\n{rest}\n")).unwrap();
}

/// The project's own base, handed out, given a template, and taken over as somebody else's.
fn with_a_published_base() -> Room {
    let room = curated(TRAIN);
    let base = &room.run(&["train", "--base-only"])[0];
    assert_eq!(base["model"], "mail-base@1");
    room.run(&["model", "export", "mail-base@1", "--to", "published"]);
    fs::write(room.path("published/chat_template.jinja"), TEMPLATE).unwrap();
    fs::write(room.path("published/README.md"), "---\nlicense: apache-2.0\n---\n# A model\n").unwrap();
    let imported = room.run(&["model", "import", "published"]);
    assert_eq!((&imported["model"], &imported["imported"]["family"]), (&json!("published@1"), &json!("llama")));
    assert_eq!((&imported["imported"]["licence"], &imported["dataset"]), (&json!("apache-2.0"), &Value::Null));
    room
}

#[test]
fn a_base_from_elsewhere_is_tuned_planned_verified_and_handed_out() {
    let room = with_a_published_base();
    // The same folder is the same version; another one of the same name is the next.
    assert_eq!(room.run(&["model", "import", "published"])["model"], "published@1");

    settings(&room, "base = \"published@1\"\n", "");
    let plan = room.run(&["train", "--plan"]);
    assert_eq!(
        (&plan["method"], &plan["n_parameters"]),
        (&json!("lora"), &room.run(&["model", "show", "published@1"])["n_parameters"])
    );
    assert!(plan["seconds"].as_f64().unwrap() > 0.0 && plan["memory"]["activations_bytes"].as_u64().unwrap() > 0);
    assert_eq!(room.run(&["models"]).as_array().unwrap().len(), 2, "a plan trains nothing");

    let adapter = room.run(&["train"])[1].clone();
    assert_eq!(
        (&adapter["model"], &adapter["kind"], &adapter["base"]),
        (&json!("mail@1"), &json!("adapter"), &json!("published@1"))
    );
    let run = adapter["run"].as_str().unwrap();
    // The day that the template was given is the run's for good.
    let runs = room.run(&["runs"]);
    let day =
        runs.as_array().unwrap().iter().find(|it| it["id"] == run).unwrap()["environment"]["template_date"].clone();
    assert_eq!(day.as_str().unwrap().len(), "2026-01-31".len());
    let verified = room.run(&["train", "verify", run]);
    assert_eq!((&verified["recorded"], &verified["derived"]), (&adapter["digest"], &adapter["digest"]));
    let evaluation = room.run(&["eval"]);
    assert!(evaluation["scores"]["accuracy"].is_object(), "{evaluation}");

    // Kept in few bits it is a version of its own, handed out as it is kept, and taken over again as a file.
    let small = room.run(&["model", "import", "published", "--weights", "q8_0", "--name", "small"]);
    assert_eq!((&small["kind"], &small["n_parameters"]), (&json!("base"), &plan["n_parameters"]));
    assert_eq!(room.run(&["model", "import", "published", "--weights", "q8_0", "--name", "small"])["model"], "small@1");
    room.run(&["model", "export", "small@1", "--to", "small"]);
    let file = fs::metadata(room.path("small/model.gguf")).unwrap().len();
    let whole = fs::metadata(room.path("published/model.safetensors")).unwrap().len();
    assert!(file * 3 < whole, "{file} of {whole} bytes");
    let again = room.run(&["model", "import", "small/model.gguf", "--name", "again"]);
    assert_eq!((&again["digest"], &again["imported"]["licence"]), (&small["digest"], &json!("apache-2.0")));
    let (ok, _, says) = room.try_run(&["model", "import", "small", "--weights", "q4_k", "--name", "twice"]);
    assert!(!ok && says.contains("is in a form already"), "{says}");

    // Merged into its base it is a whole model, which can be taken over again.
    room.run(&["model", "export", "mail@1", "--merged", "--to", "merged"]);
    let merged = room.run(&["model", "import", "merged"]);
    assert_eq!(merged["kind"], "base");
    // The adapter changes the head, which was tied to the embedding: merged, it is one of its own.
    assert!(merged["n_parameters"].as_u64() > plan["n_parameters"].as_u64());
    // The adapter alone, as PEFT has it, goes out and comes back on its base.
    room.run(&["model", "export", "mail@1", "--to", "adapter"]);
    let (ok, _, says) = room.try_run(&["model", "import", "adapter"]);
    assert!(!ok && says.contains("--base"), "{says}");
    let back = room.run(&["model", "import", "adapter", "--base", "published@1"]);
    assert_eq!((&back["kind"], &back["n_parameters"]), (&json!("adapter"), &adapter["n_parameters"]));
}

#[test]
fn a_whole_base_learns_under_the_names_that_people_know() {
    let room = with_a_published_base();
    let known = "base_model = \"published@1\"\nadapter = \"full\"\nlearning_rate = 1e-3\n";
    let known = known.replace("adapter = \"full\"", "method = \"full\"");
    let more =
        "gradient_accumulation_steps = 2\nlr_scheduler = \"linear\"\nwarmup_steps = 2\nearly_stopping_patience = 3\n";
    let path = room.path("loopwright.toml");
    let before = fs::read_to_string(&path).unwrap();
    let before = before.split("[train.mail]").next().unwrap();
    fs::write(&path, format!("{before}{}{known}{more}", TRAIN.replace("lr = 3e-3\n", ""))).unwrap();
    let whole = room.run(&["train"])[1].clone();
    assert_eq!(
        (&whole["kind"], &whole["base"], &whole["parent"]),
        (&json!("base"), &Value::Null, &json!("published@1"))
    );
    // It answers on its own: template and tokenizer stand beside its weights.
    assert!(room.path(".loopwright/objects/models/mail/1/chat_template.jinja").exists());
    assert!(room.run(&["eval"])["scores"]["accuracy"].is_object());
    let verified = room.run(&["train", "verify", whole["run"].as_str().unwrap()]);
    assert_eq!(verified["recorded"], verified["derived"]);
}

#[test]
fn an_adapter_learns_which_answer_is_better() {
    let other = with_a_published_base();
    let published = other.path("published");
    let steps = "steps = [{step = \"exact_dedup\"}, {step = \"split\", train = 0.8, validation = 0.2, test = 0.0}]\n";
    let room = Room::new("[\"sources/pairs.jsonl\"]", &format!("{steps}{TRAIN}"));
    let pair = |n: usize| {
        json!({"prompt": format!("say {}", message(n)), "chosen": "yes, gladly", "rejected": "no"}).to_string() + "\n"
    };
    fs::write(room.path("sources/pairs.jsonl"), (0..40).map(pair).collect::<String>()).unwrap();
    room.run(&["data", "import"]);
    room.run(&["data", "curate"]);
    room.run(&["model", "import", published.to_str().unwrap()]);
    let (ok, _, says) = {
        settings(&room, "base = \"published@1\"\n", "");
        room.try_run(&["train"])
    };
    assert!(!ok && says.contains("method = \"dpo\""), "{says}");
    settings(&room, "base = \"published@1\"\nmethod = \"dpo\"\nmax_steps = 12\ngradient_checkpointing = true\n", "");
    let adapter = room.run(&["train"])[1].clone();
    assert_eq!((&adapter["kind"], &adapter["base"]), (&json!("adapter"), &json!("published@1")));
    let run = &room.run(&["runs"])[0];
    assert_eq!(run["kind"], "dpo");
    // ln 2 is where preferences begin.
    let loss = run["metrics"]["validation_loss"].as_f64().unwrap();
    assert!(loss < 0.65, "{loss}");
    assert!(run["metrics"]["eval_rewards/margins"].as_f64().unwrap() > 0.0, "{run}");
    let accuracy = run["metrics"]["eval_rewards/accuracies"].as_f64().unwrap();
    assert!(accuracy > 0.9, "{accuracy}");
    let verified = room.run(&["train", "verify", adapter["run"].as_str().unwrap()]);
    assert_eq!(verified["recorded"], verified["derived"]);
}

/// A base of random weights, and rows whose label their first words tell.
fn telling() -> Room {
    let room = Room::new("[\"sources/a.jsonl\"]", TRAIN);
    let line = |n: usize| {
        let label = ["billing", "delivery", "access"][n % 3];
        let begin = ["please correct the invoice", "the courier never came", "my password was refused"][n % 3];
        json!({"id": n.to_string(), "text": format!("{begin} {}", message(n)), "label": label}).to_string() + "\n"
    };
    fs::write(room.path("sources/a.jsonl"), (0..90).map(line).collect::<String>()).unwrap();
    room.run(&["data", "import"]);
    room.run(&["data", "curate"]);
    room.run(&["train", "--base-only"]);
    room
}

/// A small BERT that transformers made, with a tokenizer of letters.
fn write_encoder(dir: &std::path::Path) {
    let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../loopwright-lm/tests/fixtures");
    fs::create_dir(dir).unwrap();
    for name in ["config.json", "model.safetensors"] {
        fs::copy(fixtures.join("bert").join(name), dir.join(name)).unwrap();
    }
    let text = fs::read_to_string(fixtures.join("tokenizers/words/tokenizer.json")).unwrap();
    let mut tokenizer: Value = serde_json::from_str(&text).unwrap();
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(String::from);
    let letters = ('a'..='z').flat_map(|letter| [letter.to_string(), format!("##{letter}")]);
    tokenizer["model"]["vocab"] =
        special.into_iter().chain(letters).zip(0..).map(|(token, id)| (token, json!(id))).collect();
    fs::write(dir.join("tokenizer.json"), tokenizer.to_string()).unwrap();
}

fn run_of(room: &Room, model: &Value) -> Value {
    let runs = room.run(&["runs"]);
    runs.as_array().unwrap().iter().find(|run| run["model"] == model["model"]).unwrap().clone()
}

#[test]
fn a_classifier_is_made_of_a_base_and_answers_like_any_model() {
    let room = telling();
    settings(&room, "base = \"mail-base@1\"\nmethod = \"classify\"\nmax_steps = 80\nbatch_size = 8\n", "");
    let plan = room.run(&["train", "--plan"]);
    assert_eq!((&plan["method"], &plan["n_trainable"]), (&json!("classify"), &plan["n_parameters"]));
    let made = room.run(&["train"])[1].clone();
    assert_eq!((&made["kind"], &made["base"], &made["parent"]), (&json!("base"), &Value::Null, &json!("mail-base@1")));
    assert_eq!(made["n_parameters"], plan["n_parameters"]);
    let run = run_of(&room, &made);
    assert_eq!(run["kind"], "classify");
    let metric = |name: &str| run["metrics"][name].as_f64().unwrap();
    assert!(metric("eval_accuracy") > 0.9 && metric("eval_f1_macro") > 0.9, "{run}");
    let config = fs::read_to_string(room.path(".loopwright/objects/models/mail/1/config.json")).unwrap();
    let config: Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["architectures"], json!(["LlamaForSequenceClassification"]));
    assert_eq!(config["id2label"], json!({"0": "access", "1": "billing", "2": "delivery"}));
    // Judged by its answers, as models that write them are.
    let evaluation = room.run(&["eval"]);
    assert!(evaluation["scores"]["accuracy"]["point"].as_f64().unwrap() > 0.9, "{evaluation}");
    let verified = room.run(&["train", "verify", made["run"].as_str().unwrap()]);
    assert_eq!(verified["recorded"], verified["derived"]);
}

#[test]
fn an_encoder_from_elsewhere_learns_classes_and_embeddings() {
    let room = telling();
    write_encoder(&room.path("bert"));
    room.run(&["model", "import", "bert"]);
    let of = |method: &str| {
        let more = format!("base = \"bert@1\"\nmethod = \"{method}\"\nepochs = 8\nbatch_size = 8\n");
        let path = room.path("loopwright.toml");
        let text = fs::read_to_string(&path).unwrap();
        let before = text.split("[train.mail]").next().unwrap();
        // The encoder knows 64 positions.
        let train = TRAIN.replace("context_tokens = 128", "context_tokens = 64").replace("epochs = 1\nlr", "lr");
        fs::write(path, format!("{before}{train}{more}\n")).unwrap();
    };
    of("classify");
    let classifier = room.run(&["train"])[1].clone();
    assert_eq!(run_of(&room, &classifier)["kind"], "classify");
    assert!(room.run(&["eval"])["scores"]["accuracy"].is_object());
    of("embed");
    let embedder = room.run(&["train"])[1].clone();
    let run = run_of(&room, &embedder);
    assert_eq!((&run["kind"], &embedder["kind"]), (&json!("embed"), &json!("base")));
    let metric = |name: &str| run["metrics"][name].as_f64().unwrap();
    // Random order would find the right text first one time in five or so.
    assert!(metric("eval_mrr") > 0.7 && metric("eval_recall@1") <= metric("eval_mrr"), "{run}");
    let verified = room.run(&["train", "verify", embedder["run"].as_str().unwrap()]);
    assert_eq!(verified["recorded"], verified["derived"]);
}

#[test]
fn an_adapter_learns_over_a_base_in_four_bits() {
    let room = telling();
    let base = "base = \"mail-base@1\"\n";
    settings(&room, base, "");
    let whole = room.run(&["train", "--plan"]);
    settings(&room, &format!("{base}load_in_4bit = true\nsample_prompts = [\"the courier never came\"]\n"), "");
    let few = room.run(&["train", "--plan"]);
    let bytes = |plan: &Value| plan["memory"]["weights_bytes"].as_u64().unwrap();
    assert_eq!((&few["in_few_bits"], &few["n_parameters"]), (&json!(true), &whole["n_parameters"]));
    // One layer's maps in f32 take 4·32·32 + 3·32·96 numbers of 4 bytes; in 4 bits less than a seventh of that.
    let maps = (4 * 32 * 32 + 3 * 32 * 96) * 4;
    assert!(bytes(&few) < bytes(&whole) - maps * 6 / 7, "{few}{whole}");
    let adapter = room.run(&["train"])[1].clone();
    assert_eq!((&adapter["kind"], &adapter["base"]), (&json!("adapter"), &json!("mail-base@1")));
    let verified = room.run(&["train", "verify", adapter["run"].as_str().unwrap()]);
    assert_eq!(verified["recorded"], verified["derived"]);
    assert!(room.run(&["eval"])["scores"]["accuracy"].is_object());
    // Merged into the base as it was, in f32.
    room.run(&["model", "export", "mail@1", "--merged", "--to", "merged"]);
    // What it answered as it learned lies beside the run: the prompt of the settings and two of the validation rows.
    let file = format!(".loopwright/objects/samples/{}.json", adapter["run"].as_str().unwrap());
    let samples: Value = serde_json::from_str(&fs::read_to_string(room.path(&file)).unwrap()).unwrap();
    let last = samples.as_array().unwrap().last().unwrap()["step"].clone();
    let of_last: Vec<&Value> = samples.as_array().unwrap().iter().filter(|sample| sample["step"] == last).collect();
    assert_eq!((of_last.len(), &of_last[0]["prompt"]), (3, &json!("the courier never came")));
}

#[test]
fn what_cannot_be_taken_over_or_trained_says_why() {
    let room = with_a_published_base();
    let fails = |args: &[&str], words: &[&str]| {
        let (ok, _, says) = room.try_run(args);
        assert!(!ok && words.iter().all(|word| says.contains(word)), "{args:?}: {says}");
    };
    fails(&["model", "import", "nowhere"], &["is no folder", "hint: "]);
    fs::create_dir(room.path("pickled")).unwrap();
    fs::copy(room.path("published/config.json"), room.path("pickled/config.json")).unwrap();
    fs::copy(room.path("published/tokenizer.json"), room.path("pickled/tokenizer.json")).unwrap();
    fs::write(room.path("pickled/pytorch_model.bin"), b"\x80\x02}").unwrap();
    fails(&["model", "import", "pickled"], &["pytorch_model.bin", "safetensors"]);
    let config = fs::read_to_string(room.path("published/config.json")).unwrap();
    let broken = config.replace("\"num_hidden_layers\": 1", "\"num_hidden_layers\": 2");
    assert_ne!(config, broken);
    fs::write(room.path("published/config.json"), broken).unwrap();
    fails(&["model", "import", "published"], &["model.layers.1"]);
    fs::write(room.path("published/config.json"), config.replace("\"llama\"", "\"mamba\"")).unwrap();
    fails(&["model", "import", "published"], &["mamba"]);

    settings(&room, "base = \"nothing@1\"\n", "");
    fails(&["train"], &["no model version `nothing@1`", "model import"]);
    settings(
        &room,
        "base = \"published@1\"\ncontext_tokens = 4096\n".replace("context_tokens = 4096\n", "").as_str(),
        "",
    );
    fails(&["train", "verify", "run_none"], &["run_none"]);
    fs::write(
        room.path("axolotl.yml"),
        "adapter: lora\nlora_r: 2\nlearning_rate: 1e-3\nload_in_8bit: true\nfp16: true\nbase_model: x/y\n",
    )
    .unwrap();
    let (ok, out, says) = room.try_run(&["train", "--from-axolotl", "axolotl.yml"]);
    assert!(ok && says.contains("`fp16: true` has no effect") && says.contains("model import"), "{says}");
    let made: Value = serde_json::from_str(&out).unwrap();
    let run = room.run(&["runs"]).as_array().unwrap().iter().find(|run| run["id"] == made[1]["run"]).unwrap().clone();
    assert_eq!((&run["params"]["lora.r"], &run["params"]["lr"]), (&json!("2"), &json!("0.001")));
    assert_eq!(run["params"]["load_in_8bit"], "true");
}

#[test]
fn training_in_pytorch_without_it_says_what_is_missing() {
    let room = curated(TRAIN);
    settings(&room, "backend = \"torch\"\ntorch = {python = \"venv/bin/python\", nproc_per_node = 2}\n", "");
    let (healthy, out, _) = room.try_run(&["doctor", "--port", "0"]);
    let findings: Value = serde_json::from_str(&out).unwrap();
    let finding = findings.as_array().unwrap().iter().find(|finding| finding["part"] == "pytorch").unwrap();
    assert!(!healthy && finding["health"] == "fail", "{finding}");
    let path = room.path("venv/bin/python");
    assert!(finding["seen"].as_str().unwrap().contains(&*path.to_string_lossy()), "{finding}");
    assert!(finding["way_out"].as_str().unwrap().contains("pip install torch"), "{finding}");
    let (ok, _, says) = room.try_run(&["train"]);
    assert!(!ok && says.contains("failed to start the Python") && says.contains("pip install torch"), "{says}");
    let run = &room.run(&["runs"])[0];
    assert_eq!(run["state"], "failed");
    let recipe = format!(".loopwright/objects/checkpoints/{}/recipe", run["id"].as_str().unwrap());
    assert!(room.path(&recipe).parent().unwrap().is_dir() && !room.path(&recipe).exists(), "no rows lie about");
    // The same rows with our own hands.
    assert_eq!(room.run(&["train", "--backend", "native"])[1]["model"], "mail@1");
    settings(&room, "method = \"dpo\"\n", "");
    let (ok, _, says) = room.try_run(&["train", "--backend", "torch"]);
    assert!(!ok && says.contains("for \"dpo\" set backend = \"native\""), "{says}");
}

#[test]
fn a_search_tries_settings_goes_on_and_names_the_best() {
    let room = curated(TRAIN);
    let space = "[tune.mail]\ntrials = 3\nsampler = {name = \"tpe\"}\npruner = {name = \"median\"}\n\
                 space = {lr = {type = \"float\", low = 1e-4, high = 1e-1, log = true}, lora_r = {type = \"int\", low = 1, high = 8}}\n";
    settings(&room, "", space);
    let first = room.run(&["tune", "--trials", "2"]);
    assert_eq!(first["study"]["trials"].as_array().unwrap().len(), 2);
    let (ok, text, says) = {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_loopwright"));
        let output = command.args(["tune"]).current_dir(room.path("")).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    assert!(ok && text.contains("trials") && text.contains("[train.*]") && text.contains("lr = "), "{text}{says}");
    let shown = room.run(&["tune", "--show"]);
    let trials = shown["study"]["trials"].as_array().unwrap();
    assert_eq!(trials.len(), 3);
    assert_eq!(trials[..2], first["study"]["trials"].as_array().unwrap()[..], "what was tried stays");
    assert_eq!(shown["runs"].as_object().unwrap().len(), 3);
    // Another space under the same name is another study.
    settings(&room, "", &space.replace("high = 8", "high = 9"));
    let (ok, _, says) = room.try_run(&["tune"]);
    assert!(!ok && says.contains("something else") && says.contains("hint: "), "{says}");
    settings(&room, "", &space.replace("lora_r =", "lora_rank_of_mine ="));
    let (ok, _, says) = room.try_run(&["tune", "--study", "other"]);
    assert!(!ok && says.contains("lora_rank_of_mine") && says.contains("known: "), "{says}");
}
