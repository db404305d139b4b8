//! Trains a small adapter on each of the given checkpoints and writes it, the merged model and their logits, for
//! `.ci/peers/peft_check.py` to load with the PEFT library.
//!
//! `cargo run -p loopwright-lm --example adapters -- OUT_DIR CHECKPOINT_DIR …`
#![allow(clippy::print_stdout)]

use candle_core::{Device, Tensor};
use loopwright_lm::{ALL_LINEAR, AdamW, AdamWSettings, Adapter, Batch, LoraConfig, Model, Task};
use std::{error::Error, path::Path};

/// What the models read: token ids that every checkpoint knows.
const TEXTS: [&[u32]; 3] =
    [&[1, 7, 9, 30, 12, 45, 8, 3], &[1, 22, 5, 5, 61, 17, 33, 40, 9, 11, 28, 6], &[1, 50, 14, 2, 19]];
const CLASSES: [u32; 3] = [2, 0, 1];
const STEPS: u64 = 6;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((out, checkpoints)) = arguments.split_first() else {
        return Err("expected OUT_DIR CHECKPOINT_DIR …".into());
    };
    for checkpoint in checkpoints.iter().map(Path::new) {
        let name = checkpoint.file_name().ok_or("a checkpoint without a name")?;
        write(checkpoint, &Path::new(out).join(name))?;
        println!("{}", checkpoint.display());
    }
    Ok(())
}

fn write(checkpoint: &Path, out: &Path) -> Result<(), Box<dyn Error>> {
    let base = Model::load(checkpoint)?;
    let mut targets = vec![ALL_LINEAR.to_owned()];
    // A head that shares the embedding is the hard case: PEFT adapts it, and merging has to part them.
    let with_head = base.config().task == Task::Language && base.config().tie_word_embeddings;
    targets.extend(with_head.then(|| "lm_head".to_owned()));
    let config = LoraConfig { r: 3, alpha: 12.0, targets, use_rslora: with_head, ..LoraConfig::default() };
    let model = base.with_adapter(&Adapter::init(&base, &config, 5)?);
    let mut optimizer = AdamW::new(model.trainable_parameters(), AdamWSettings::default());
    for step in 0..STEPS {
        optimizer.step(&loss(&model, step)?.backward()?, 1e-2)?;
    }
    let (adapter_dir, merged_dir) = (out.join("adapter"), out.join("merged"));
    std::fs::create_dir_all(&adapter_dir)?;
    std::fs::create_dir_all(&merged_dir)?;
    model.adapter().ok_or("the model has an adapter")?.save(&adapter_dir)?;
    model.merged()?.save(&merged_dir)?;
    let logits = TEXTS.iter().map(|text| logits(&model, text)).collect::<Result<Vec<_>, _>>()?;
    let expected = serde_json::json!({ "texts": TEXTS, "logits": logits });
    std::fs::write(out.join("expected.json"), expected.to_string())?;
    Ok(())
}

fn loss(model: &Model, step: u64) -> Result<Tensor, Box<dyn Error>> {
    if let Task::Classes(_) = model.config().task {
        return Ok(model.class_loss(&TEXTS, &CLASSES, step)?);
    }
    let masks = TEXTS.map(|text| vec![true; text.len()]);
    let rows: Vec<(&[u32], &[bool])> = TEXTS.iter().zip(&masks).map(|(text, mask)| (*text, mask.as_slice())).collect();
    Ok(model.loss(&Batch::new(&rows, 0)?, step)?)
}

/// Logits of one text: of each token, or of the text.
fn logits(model: &Model, text: &[u32]) -> Result<Vec<Vec<f32>>, Box<dyn Error>> {
    if let Task::Classes(_) = model.config().task {
        return Ok(model.classify(&[text])?);
    }
    let tokens = Tensor::new(text, &Device::Cpu)?.unsqueeze(0)?;
    Ok(model.forward(&tokens, None)?.squeeze(0)?.to_vec2()?)
}
