//! Speed of the engine on a decoder of 134 million parameters with random weights, for `bench/engine.sh` to set beside other
//! engines. Prints JSON lines.
//!
//! `engine_speed write DIR` makes the model; `engine_speed run DIR f32|bf16|q8_0|q4_k` measures it; `engine_speed memory`
//! measures how fast two threads read memory.
#![allow(clippy::print_stdout, missing_docs)]

use loopwright_lm::{Form, Model, ModelConfig, Tokenizer, chat};
use loopwright_serve::{Engine, EngineSettings, GenerateRequest, ask::Sampling};
use loopwright_types::ModelRef;
use std::{
    error::Error,
    path::Path,
    time::{Duration, Instant},
};

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Tokens of a short prompt, of a long one, and of an answer.
const PROMPT: usize = 16;
const LONG_PROMPT: usize = 512;
const ANSWER: u32 = 128;
const VOCABULARY: u32 = 49_152;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    // SAFETY: nothing runs beside `main` yet.
    #[allow(unsafe_code)]
    unsafe {
        loopwright_lm::keep_tensors_on_one_thread();
    }
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["write", dir] => write(Path::new(dir)),
        ["run", dir, form] => {
            let form = Form::from_name(form).ok_or("expected f32, bf16, q8_0 or q4_k")?;
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(Path::new(dir), form))
        }
        ["memory"] => {
            println!("{}", serde_json::json!({"read_gb_s": read_gb_s()}));
            Ok(())
        }
        _ => Err("usage: engine_speed write DIR | run DIR FORM | memory".into()),
    }
}

/// The shape of SmolLM 135M.
fn write(dir: &Path) -> Outcome<()> {
    std::fs::create_dir_all(dir)?;
    let config = ModelConfig {
        num_key_value_heads: 3,
        intermediate_size: 1536,
        head_dim: Some(64),
        max_position_embeddings: 2048,
        tie_word_embeddings: true,
        ..ModelConfig::sized(VOCABULARY as usize, 576, 30, 9)
    };
    Model::init(&config, 1)?.save(dir)?;
    Ok(Tokenizer::train_bpe(&["a text to have a tokenizer"], 265, &chat::SPECIAL_TOKENS)?.save(dir)?)
}

/// Tokens from a small generator: what they say does not matter.
fn tokens(n: usize, seed: u64) -> Vec<u32> {
    let mut state = seed;
    let mut token = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        10 + (state >> 33) as u32 % (VOCABULARY - 10)
    };
    (0..n).map(|_| token()).collect()
}

async fn run(dir: &Path, form: Form) -> Outcome<()> {
    let settings = EngineSettings { weights: form, speculate: false, ..EngineSettings::default() };
    let engine = Engine::start(settings)?;
    let model = ModelRef::new("random", 1);
    engine.load(model.clone(), dir.to_path_buf(), None).await?;
    let ask = |prompt: Vec<u32>, max_tokens: u32| GenerateRequest {
        model: model.clone(),
        prompt,
        n: 1,
        max_tokens,
        stop: Vec::new(),
        sampling: Sampling { ignore_eos: true, ..Sampling::default() },
        logprobs: Some(0),
        constraint: None,
        owner: String::new(),
    };
    first_token_s(&engine, ask(tokens(PROMPT, 1), 8)).await?;
    let (mut one, mut eight, mut cold, mut warm) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..3 {
        one.push(written_per_s(&engine, vec![ask(tokens(PROMPT, 10 + round), ANSWER)]).await?);
        let many = (0..8).map(|i| ask(tokens(PROMPT, 100 * (round + 1) + i), ANSWER)).collect();
        eight.push(written_per_s(&engine, many).await?);
        let long = ask(tokens(LONG_PROMPT, 1_000 + round), 1);
        cold.push(first_token_s(&engine, long.clone()).await?);
        warm.push(first_token_s(&engine, long).await?);
    }
    let bytes = engine.stats().models_bytes as f64;
    let (one, eight, cold, warm) = (median(one), median(eight), median(cold), median(warm));
    println!(
        "{}",
        serde_json::json!({
            "engine": "ours", "form": form.as_str(), "decode_1": one, "decode_8": eight, "decode_gb_s": one * bytes / 1e9,
            "prefill_512": LONG_PROMPT as f64 / cold, "first_token_cold_ms": cold * 1e3, "first_token_warm_ms": warm * 1e3,
            "weights_mib": bytes / 1024.0 / 1024.0,
        })
    );
    engine.stop().await?;
    Ok(())
}

/// Tokens a second of all answers together, prompts left out: from the first token of the last to begin to the end.
async fn written_per_s(engine: &Engine, requests: Vec<GenerateRequest>) -> Outcome<f64> {
    let n = requests.len() as u64;
    let start = engine.stats().written_tokens;
    let mut answers = requests.into_iter().map(|request| engine.generate(request)).collect::<Result<Vec<_>, _>>()?;
    // Random tokens spell nothing, so the counts tell when writing begins.
    while engine.stats().written_tokens < start + n {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (since, before) = (Instant::now(), engine.stats().written_tokens);
    for answer in &mut answers {
        while let Some(piece) = answer.recv().await {
            piece?;
        }
    }
    let written = engine.stats().written_tokens - before;
    assert!(written > n * u64::from(ANSWER) / 2, "the answers were cut short");
    Ok(written as f64 / since.elapsed().as_secs_f64())
}

async fn first_token_s(engine: &Engine, request: GenerateRequest) -> Outcome<f64> {
    let since = Instant::now();
    let mut answer = engine.generate(request)?;
    answer.recv().await.ok_or("no first token")??;
    let took = since.elapsed().as_secs_f64();
    while let Some(piece) = answer.recv().await {
        piece?;
    }
    Ok(took)
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

/// Bytes a second that two threads read together from memory that no cache holds: the best of five.
fn read_gb_s() -> f64 {
    const WORDS: usize = 1 << 26;
    let data: Vec<u64> = (0..WORDS as u64).collect();
    let pass = || {
        let since = Instant::now();
        let sum = std::thread::scope(|scope| {
            let halves = data.chunks(WORDS / 2).map(|half| {
                scope.spawn(move || {
                    let mut lanes = [0u64; 32];
                    for chunk in half.chunks_exact(32) {
                        lanes.iter_mut().zip(chunk).for_each(|(lane, word)| *lane ^= word);
                    }
                    lanes.iter().fold(0, |a, b| a ^ b)
                })
            });
            halves.collect::<Vec<_>>().into_iter().map(|half| half.join().unwrap_or(0)).fold(0, |a, b| a ^ b)
        });
        std::hint::black_box(sum);
        (WORDS * 8) as f64 / since.elapsed().as_secs_f64() / 1e9
    };
    (0..5).map(|_| pass()).fold(0.0, f64::max)
}
