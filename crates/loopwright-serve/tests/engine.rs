//! The engine with tiny random models in a temporary folder.
#![allow(clippy::unwrap_used, reason = "a test all through: its functions stop where it should stop")]

use candle_core::Tensor;
use loopwright_lm::{Adapter, LoraConfig, Model, ModelConfig, Tokenizer, chat};
use loopwright_serve::{Engine, EngineSettings, Error, Finish, GenerateRequest, Piece, ask::Sampling, event::Used};
use loopwright_types::{
    model::ModelRef,
    openai::{ChatMessage, Content},
};
use std::path::Path;
use tokio::sync::mpsc::Receiver;

const CONTEXT: usize = 4096;

/// Writes a base whose greedy answers never end by themselves: the special tokens' embeddings, which are also the head's rows,
/// are 0, and among hundreds of random logits one is above 0.
fn write_endless_base(dir: &Path, seed: u64) -> Model {
    let texts = ["where is my parcel", "the parcel has not arrived", "my card was refused"];
    let tokenizer = Tokenizer::train_bpe(&texts, 290, &chat::SPECIAL_TOKENS).unwrap();
    let mut config = ModelConfig::sized(tokenizer.vocab_size(), 32, 1, 2);
    config.max_position_embeddings = CONTEXT;
    let model = Model::init(&config, seed).unwrap();
    let (_, embedding) = model.named_parameters().swap_remove(0);
    let n_special = chat::SPECIAL_TOKENS.len();
    let (rows, width) = embedding.dims2().unwrap();
    let special = Tensor::zeros((n_special, width), embedding.dtype(), embedding.device()).unwrap();
    let others = embedding.as_detached_tensor().narrow(0, n_special, rows - n_special).unwrap();
    embedding.set(&Tensor::cat(&[special, others], 0).unwrap()).unwrap();
    model.save(dir).unwrap();
    tokenizer.save(dir).unwrap();
    model
}

#[tokio::test]
async fn a_classifier_names_the_class_as_an_answer_that_nothing_cuts() {
    let dir = tempfile::tempdir().unwrap();
    let base = write_endless_base(dir.path(), 3);
    let model = base.with_classes(&["bill".into(), "parcel".into()], 5).unwrap();
    model.save(dir.path()).unwrap();
    let engine = Engine::start(EngineSettings { n_prompt_tokens_step: 2, ..EngineSettings::default() }).unwrap();
    let name = ModelRef::new("classes", 1);
    engine.load(name.clone(), dir.path().to_path_buf(), None).await.unwrap();
    let text = "where is my parcel";
    let message = ChatMessage { role: "user".into(), content: Some(Content::Text(text.into())) };
    let prompt = engine.encode_chat(&name, vec![message]).await.unwrap();
    // The text alone, as the classifier learned it.
    assert_eq!(prompt, engine.tokenize(&name, text.into()).await.unwrap());
    let want = model.class_of(&prompt).unwrap().unwrap().0;
    let mut pieces = engine.generate(request(&name, prompt, 1)).unwrap();
    let piece = pieces.recv().await.unwrap().unwrap();
    assert_eq!((piece.text, piece.finish), (format!("{{\"intent\":\"{want}\"}}"), Some(Finish::Stop)));
    assert!(pieces.recv().await.is_none());
}

fn request(model: &ModelRef, prompt: Vec<u32>, max_tokens: u32) -> GenerateRequest {
    GenerateRequest {
        model: model.clone(),
        prompt,
        n: 1,
        max_tokens,
        stop: Vec::new(),
        sampling: Sampling { seed: Some(7), ..Sampling::default() },
        logprobs: None,
        constraint: None,
        owner: String::new(),
    }
}

/// The same with other choices of tokens.
fn sampled(request: GenerateRequest, temperature: f32, seed: u64) -> GenerateRequest {
    let sampling = Sampling { temperature: Some(temperature), seed: Some(seed), ..request.sampling };
    GenerateRequest { sampling, ..request }
}

struct Desk {
    engine: Engine,
    dir: tempfile::TempDir,
    model: ModelRef,
}

async fn desk(settings: EngineSettings) -> Desk {
    let dir = tempfile::tempdir().unwrap();
    write_endless_base(dir.path(), 3);
    let engine = Engine::start(settings).unwrap();
    let model = ModelRef::new("base", 1);
    engine.load(model.clone(), dir.path().to_path_buf(), None).await.unwrap();
    Desk { engine, dir, model }
}

impl Desk {
    async fn request(&self, text: &str, max_tokens: u32) -> GenerateRequest {
        let message = ChatMessage { role: "user".into(), content: Some(Content::Text(text.into())) };
        request(&self.model, self.engine.encode_chat(&self.model, vec![message]).await.unwrap(), max_tokens)
    }

    async fn answer(&self, request: GenerateRequest) -> (String, Finish, Used) {
        read(self.engine.generate(request).unwrap()).await
    }
}

async fn read(mut pieces: Receiver<Result<Piece, Error>>) -> (String, Finish, Used) {
    let mut text = String::new();
    loop {
        let piece = pieces.recv().await.unwrap().unwrap();
        text.push_str(&piece.text);
        if let Some(finish) = piece.finish {
            assert!(pieces.recv().await.is_none(), "nothing follows the last piece");
            return (text, finish, piece.used);
        }
    }
}

#[tokio::test]
async fn an_answer_is_the_same_alone_and_in_company() {
    let desk = desk(EngineSettings { n_active_max: 4, n_prompt_tokens_step: 3, ..EngineSettings::default() }).await;
    let request = sampled(desk.request("where is my parcel", 40).await, 1.0, 7);
    let alone = desk.answer(request.clone()).await;
    assert!(alone.2.completion_tokens > 3, "{alone:?}");
    let mut others = Vec::new();
    for i in 0..6 {
        let text = format!("the card {i} ").repeat(i + 1);
        others.push(desk.engine.generate(desk.request(&text, 20 + i as u32).await).unwrap());
    }
    assert_eq!(desk.answer(request).await, alone);
    for pieces in others {
        assert_eq!(read(pieces).await.1, Finish::Length);
    }
    let stats = desk.engine.stats();
    assert_eq!((stats.n_done, stats.n_waiting, stats.n_cancelled), (8, 0, 0));
}

#[tokio::test]
async fn a_seed_tells_the_answer_and_another_seed_another() {
    let desk = desk(EngineSettings::default()).await;
    let request = sampled(desk.request("my card", 30).await, 1.0, 7);
    let first = desk.answer(request.clone()).await;
    assert_eq!(desk.answer(request.clone()).await, first);
    assert_ne!(desk.answer(sampled(request.clone(), 1.0, 8)).await.0, first.0);
    let with_seed = |seed| sampled(request.clone(), 0.0, seed);
    assert_eq!(desk.answer(with_seed(1)).await, desk.answer(with_seed(2)).await);
}

#[tokio::test]
async fn a_greedy_answer_is_that_of_the_model_itself() {
    let desk = desk(EngineSettings { n_prompt_tokens_step: 2, ..EngineSettings::default() }).await;
    let request = desk.request("where is my parcel", 25).await;
    let (model, tokenizer) =
        (Model::load(desk.dir.path()).unwrap(), Tokenizer::from_file(&desk.dir.path().join("tokenizer.json")).unwrap());
    let settings = loopwright_lm::GenerateSettings { max_tokens: 25, ..Default::default() };
    let expected = loopwright_lm::generate(&model, &request.prompt, &settings).unwrap();
    assert_eq!(desk.answer(request).await.0, tokenizer.decode(&expected.tokens));
}

#[tokio::test]
async fn a_short_request_is_not_kept_waiting_by_a_long_one() {
    let desk = desk(EngineSettings { n_active_max: 2, ..EngineSettings::default() }).await;
    let long = desk.engine.generate(desk.request("a", 4_000).await).unwrap();
    let short = desk.answer(desk.request("b", 3).await).await;
    assert_eq!(short.2.completion_tokens, 3);
    assert_eq!(desk.engine.stats().n_done, 1, "the long one goes on");
    drop(long);
}

#[tokio::test]
async fn a_full_queue_refuses_and_a_dropped_receiver_cancels() {
    let desk = desk(EngineSettings { n_active_max: 1, n_waiting_max: 1, ..EngineSettings::default() }).await;
    let mut active = desk.engine.generate(desk.request("a", 4_000).await).unwrap();
    active.recv().await.unwrap().unwrap();
    let waiting = desk.engine.generate(desk.request("b", 2).await).unwrap();
    let refused = desk.engine.generate(desk.request("c", 2).await).unwrap_err();
    assert!(matches!(refused, Error::Busy { n_waiting: 1, retry_after_ms: 1_000.. }), "{refused:?}");
    drop(active);
    assert_eq!(read(waiting).await.2.completion_tokens, 2);
    let stats = desk.engine.stats();
    assert_eq!((stats.n_cancelled, stats.n_refused, stats.n_done), (1, 1, 1));
}

#[tokio::test]
async fn a_stop_text_ends_the_answer_before_it() {
    let desk = desk(EngineSettings::default()).await;
    let request = desk.request("where", 60).await;
    let whole = desk.answer(request.clone()).await.0;
    let (at, _) = whole.char_indices().nth(5).unwrap();
    let stop: String = whole[at..].chars().take(3).collect();
    let expected = &whole[..whole.find(&stop).unwrap()];
    let (text, finish, _) = desk.answer(GenerateRequest { stop: vec![stop], ..request }).await;
    assert_eq!((text.as_str(), finish), (expected, Finish::Stop));
}

#[tokio::test]
async fn prompts_beyond_the_context_are_refused_and_answers_end_at_it() {
    let desk = desk(EngineSettings::default()).await;
    let request = desk.request("x", 10_000).await;
    let prompt = vec![9; CONTEXT];
    let refused = desk.engine.generate(GenerateRequest { prompt, ..request.clone() }).unwrap_err();
    assert!(matches!(refused, Error::ContextTooLong { limit: 4096, n_tokens: 4096 }), "{refused:?}");
    let prompt = vec![9; CONTEXT - 3];
    let (_, finish, usage) = desk.answer(GenerateRequest { prompt, ..request.clone() }).await;
    assert_eq!((finish, usage.completion_tokens, usage.prompt_tokens), (Finish::Length, 3, 4093));
    let empty = desk.engine.generate(GenerateRequest { prompt: Vec::new(), ..request }).unwrap_err();
    assert_eq!(empty.code(), "invalid_value");
}

#[tokio::test]
async fn adapters_share_a_base_and_answer_each_in_its_own_way() {
    let desk = desk(EngineSettings::default()).await;
    let base = Model::load(desk.dir.path()).unwrap();
    for version in [1, 2] {
        let adapter = Adapter::init(&base, &LoraConfig::default(), version).unwrap();
        // A new adapter changes nothing: its second factor is 0 until it learns.
        for (name, var) in adapter.named_parameters() {
            if name.contains("lora_B") {
                let noise = Tensor::randn(0f32, 0.5, var.shape(), var.device()).unwrap();
                var.set(&noise).unwrap();
            }
        }
        let dir = desk.dir.path().join(format!("adapter-{version}"));
        std::fs::create_dir(&dir).unwrap();
        adapter.save(&dir).unwrap();
        let name = ModelRef::new("adapted", version as u32);
        desk.engine.load(name, desk.dir.path().to_path_buf(), Some(dir)).await.unwrap();
    }
    let mut answers = Vec::new();
    for model in desk.engine.loaded() {
        let request = GenerateRequest { model, ..desk.request("where is my parcel", 20).await };
        answers.push(desk.answer(request).await.0);
    }
    assert_eq!(answers.len(), 3);
    assert!(answers[0] != answers[1] && answers[1] != answers[2] && answers[0] != answers[2], "{answers:?}");
}

#[tokio::test]
async fn a_damaged_file_is_refused_and_an_unloaded_model_finishes_its_work() {
    let desk = desk(EngineSettings::default()).await;
    let weights = desk.dir.path().join("model.safetensors");
    let pieces = desk.engine.generate(desk.request("a", 50).await).unwrap();
    assert!(desk.engine.unload(&desk.model));
    assert!(!desk.engine.unload(&desk.model));
    assert_eq!(read(pieces).await.2.completion_tokens, 50);
    let bytes = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &bytes[..bytes.len() / 2]).unwrap();
    let dir = desk.dir.path().to_path_buf();
    let refused = desk.engine.load(desk.model.clone(), dir, None).await.unwrap_err();
    assert!(matches!(&refused, Error::Load { model, .. } if *model == desk.model), "{refused:?}");
    assert_eq!(desk.engine.tokenize(&desk.model, "a".into()).await.unwrap_err().code(), "model_not_ready");
}

#[tokio::test]
async fn scores_and_embeddings_are_those_of_the_model() {
    let desk = desk(EngineSettings::default()).await;
    let tokens = desk.engine.tokenize(&desk.model, "where is my parcel".into()).await.unwrap();
    let embedding = desk.engine.embed(&desk.model, tokens.clone()).await.unwrap();
    let length: f32 = embedding.iter().map(|x| x * x).sum();
    assert!((length - 1.0).abs() < 1e-4, "{length}");
    let scores = desk.engine.score(&desk.model, vec![tokens.clone(), tokens[1..].to_vec()], vec![9, 10]).await.unwrap();
    assert!(scores.len() == 2 && scores.iter().all(|score| *score < 0.0) && scores[0] != scores[1], "{scores:?}");
}

#[tokio::test]
async fn stopping_ends_everything_under_way() {
    let desk = desk(EngineSettings { n_active_max: 1, ..EngineSettings::default() }).await;
    let mut active = desk.engine.generate(desk.request("a", 4_000).await).unwrap();
    let mut waiting = desk.engine.generate(desk.request("b", 4_000).await).unwrap();
    active.recv().await.unwrap().unwrap();
    desk.engine.stop().await.unwrap();
    assert!(matches!(waiting.recv().await, Some(Err(Error::Stopped))));
    let mut last = None;
    while let Some(piece) = active.recv().await {
        last = Some(piece);
    }
    assert!(matches!(last, Some(Err(Error::Stopped))));
    assert!(matches!(desk.engine.generate(desk.request("c", 1).await), Err(Error::Stopped)));
    desk.engine.stop().await.unwrap();
}
