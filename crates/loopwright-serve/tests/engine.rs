//! The engine with tiny random models in a temporary folder.
#![allow(clippy::unwrap_used, reason = "a test all through: its functions stop where it should stop")]

use candle_core::Tensor;
use loopwright_lm::{Adapter, Form, LoraConfig, Model, ModelConfig, Tokenizer, chat};
use loopwright_serve::{
    Allowed, Constraint, Engine, EngineSettings, Error, GenerateRequest, Piece,
    ask::Sampling,
    event::{FinishReason, Used},
};
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
    let engine = Engine::start(EngineSettings { n_tokens_step: 2, ..EngineSettings::default() }).unwrap();
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
    assert_eq!((piece.text, piece.finish), (format!("{{\"intent\":\"{want}\"}}"), Some(FinishReason::Stop)));
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

    async fn answer(&self, request: GenerateRequest) -> (String, FinishReason, Used) {
        read(self.engine.generate(request).unwrap()).await
    }
}

async fn read(mut pieces: Receiver<Result<Piece, Error>>) -> (String, FinishReason, Used) {
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
    let desk = desk(EngineSettings { n_active_max: 4, n_tokens_step: 3, ..EngineSettings::default() }).await;
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
        assert_eq!(read(pieces).await.1, FinishReason::Length);
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
    let desk = desk(EngineSettings { n_tokens_step: 2, ..EngineSettings::default() }).await;
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
    let (text, finish, _) = desk.answer(GenerateRequest { stop: vec!["never said".into(), stop], ..request }).await;
    assert_eq!((text.as_str(), finish), (expected, FinishReason::StopText(1)));
}

#[tokio::test]
async fn the_token_that_announces_calls_is_passed_on_and_others_end_the_answer() {
    let dir = tempfile::tempdir().unwrap();
    write_endless_base(dir.path(), 3);
    let special: Vec<&str> = chat::SPECIAL_TOKENS.into_iter().chain(["[TOOL_CALLS]"]).collect();
    let tokenizer = Tokenizer::train_bpe(&["where is my parcel", "the parcel has not arrived"], 290, &special).unwrap();
    tokenizer.save(dir.path()).unwrap();
    let engine = Engine::start(EngineSettings::default()).unwrap();
    let model = ModelRef::new("base", 1);
    engine.load(model.clone(), dir.path().to_path_buf(), None).await.unwrap();
    for (token, expected) in
        [("[TOOL_CALLS]", ("[TOOL_CALLS][TOOL_CALLS]", FinishReason::Length)), ("<|user|>", ("", FinishReason::Stop))]
    {
        let mut request = request(&model, vec![9, 10], 2);
        request.sampling.logit_bias = [(tokenizer.token_id(token).unwrap(), 100.0)].into_iter().collect();
        let (text, finish, _) = read(engine.generate(request).unwrap()).await;
        assert_eq!((text.as_str(), finish), expected, "{token}");
    }
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
    assert_eq!((finish, usage.completion_tokens, usage.prompt_tokens), (FinishReason::Length, 3, 4093));
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

/// Everything of a request by its answers: texts, ends, log-probabilities, and the tokens used.
async fn read_all(
    mut pieces: Receiver<Result<Piece, Error>>,
    n: usize,
) -> (Vec<(String, Option<FinishReason>, Vec<u32>)>, Used) {
    let mut answers = vec![(String::new(), None, Vec::new()); n];
    let mut used = Used::default();
    while let Some(piece) = pieces.recv().await {
        let piece = piece.unwrap();
        let answer = &mut answers[piece.choice as usize];
        assert!(answer.1.is_none(), "nothing follows an answer's last piece");
        answer.0.push_str(&piece.text);
        answer.1 = piece.finish;
        answer.2.extend(piece.logprobs.iter().map(|entry| entry.id));
        used = piece.used;
    }
    (answers, used)
}

fn with_sampling(request: GenerateRequest, change: impl FnOnce(&mut Sampling)) -> GenerateRequest {
    let mut request = request;
    change(&mut request.sampling);
    request
}

#[tokio::test]
async fn several_answers_to_one_prompt_share_its_reading_and_differ() {
    let desk = desk(EngineSettings::default()).await;
    let request = sampled(desk.request("where is my parcel", 20).await, 1.0, 7);
    let request = with_sampling(request, |sampling| sampling.ignore_eos = true);
    let first = desk.answer(request.clone()).await;
    let (answers, used) = read_all(desk.engine.generate(GenerateRequest { n: 3, ..request.clone() }).unwrap(), 3).await;
    assert_eq!(answers[0].0, first.0, "the first is that of a request for one");
    assert!(answers.iter().all(|answer| answer.1.is_some()));
    assert!(answers[0].0 != answers[1].0 && answers[1].0 != answers[2].0, "{answers:?}");
    assert_eq!((used.prompt_tokens, used.completion_tokens), (first.2.prompt_tokens, 60));
}

#[tokio::test]
async fn tokens_come_with_their_log_probabilities_and_alternatives() {
    let desk = desk(EngineSettings::default()).await;
    let request = GenerateRequest { logprobs: Some(3), ..desk.request("where is my parcel", 6).await };
    let mut pieces = desk.engine.generate(request.clone()).unwrap();
    let (mut text, mut tokens) = (String::new(), Vec::new());
    while let Some(piece) = pieces.recv().await {
        let piece = piece.unwrap();
        text.push_str(&piece.text);
        tokens.extend(piece.logprobs);
    }
    assert_eq!(tokens.len(), 6);
    let model = Model::load(desk.dir.path()).unwrap();
    let settings = loopwright_lm::GenerateSettings { max_tokens: 6, ..Default::default() };
    let want = loopwright_lm::generate(&model, &request.prompt, &settings).unwrap();
    for ((entry, id), logprob) in tokens.iter().zip(&want.tokens).zip(&want.logprobs) {
        assert_eq!((entry.id, entry.top.len(), entry.top[0].id), (*id, 3, *id));
        assert!((entry.logprob - logprob).abs() < 1e-5 && entry.top[1].logprob <= entry.top[0].logprob);
    }
    let bytes: Vec<u8> = tokens.iter().flat_map(|entry| entry.bytes.clone()).collect();
    assert_eq!(String::from_utf8_lossy(&bytes), text);
}

#[tokio::test]
async fn biases_penalties_and_least_lengths_change_the_choice() {
    let desk = desk(EngineSettings::default()).await;
    let request = GenerateRequest { logprobs: Some(0), ..desk.request("my card", 12).await };
    let ids = async |request: GenerateRequest| {
        let (mut answers, _) = read_all(desk.engine.generate(request).unwrap(), 1).await;
        answers.remove(0).2
    };
    let plain = ids(request.clone()).await;
    let forced = ids(with_sampling(request.clone(), |s| s.logit_bias = [(40, 1e4)].into())).await;
    assert_eq!(forced, vec![40; 12]);
    let banned = ids(with_sampling(request.clone(), |s| s.logit_bias = [(plain[0], -1e4)].into())).await;
    assert!(!banned.contains(&plain[0]));
    let spread = ids(with_sampling(request.clone(), |s| s.presence_penalty = Some(1e4))).await;
    let distinct: std::collections::BTreeSet<u32> = spread.iter().copied().collect();
    assert_eq!(distinct.len(), 12, "nothing is written twice");
    // The end of an answer, made the likeliest token of all, must wait.
    let end = chat::EOS;
    let eager = with_sampling(request.clone(), |s| s.logit_bias = [(end, 1e4)].into());
    assert_eq!(ids(eager.clone()).await.len(), 0);
    assert_eq!(ids(with_sampling(eager.clone(), |s| s.min_tokens = 5)).await.len(), 5);
    assert_eq!(ids(with_sampling(eager, |s| s.ignore_eos = true)).await.len(), 12);
}

/// Allows one token after the other.
#[derive(Clone, Debug)]
struct Script(Vec<u32>, usize);

impl Constraint for Script {
    fn allowed(&mut self) -> Result<Allowed, Error> {
        let mut allowed = Allowed::none(300);
        allowed.allow(self.0[self.1]);
        Ok(allowed)
    }

    fn take(&mut self, token: u32) -> Result<(), Error> {
        assert_eq!(token, self.0[self.1]);
        self.1 += 1;
        Ok(())
    }

    fn is_complete(&self) -> bool {
        self.1 == self.0.len()
    }

    fn fork(&self) -> Box<dyn Constraint> {
        Box::new(self.clone())
    }
}

#[tokio::test]
async fn an_answer_keeps_to_its_form_and_ends_with_it() {
    let desk = desk(EngineSettings::default()).await;
    let script = Script(vec![50, 60, 70, 60, 70, 60, 70, 61], 0);
    let constraint: Option<Box<dyn Constraint>> = Some(Box::new(script.clone()));
    let request = GenerateRequest { constraint, logprobs: Some(1), n: 2, ..desk.request("my card", 30).await };
    let (answers, _) = read_all(desk.engine.generate(request).unwrap(), 2).await;
    for (_, finish, tokens) in answers {
        assert_eq!((finish, tokens), (Some(FinishReason::Stop), script.0.clone()));
    }
}

#[tokio::test]
async fn guesses_change_how_fast_an_answer_comes_and_nothing_else() {
    let quick = desk(EngineSettings::default()).await;
    let plain = desk(EngineSettings { speculate: false, ..EngineSettings::default() }).await;
    for temperature in [0.0, 0.7] {
        let request = sampled(quick.request("where is my parcel parcel parcel", 120).await, temperature, 3);
        assert_eq!(quick.answer(request.clone()).await, plain.answer(request).await);
    }
    let (quick, plain) = (quick.engine.stats(), plain.engine.stats());
    assert!(quick.right_tokens > 0 && quick.n_passes < plain.n_passes, "{quick:?}");
    assert_eq!(plain.guessed_tokens, 0);
}

#[tokio::test]
async fn a_common_beginning_is_read_once() {
    let desk = desk(EngineSettings::default()).await;
    let text = "the parcel has not arrived ".repeat(8);
    let request = desk.request(&text, 5).await;
    let cold = desk.answer(request.clone()).await;
    assert_eq!(cold.2.cached_tokens, 0);
    let warm = desk.answer(request.clone()).await;
    assert_eq!((&warm.0, warm.1), (&cold.0, cold.1));
    let n = request.prompt.len() as u32;
    assert!(warm.2.cached_tokens >= n - 32 && warm.2.cached_tokens < n, "{} of {n}", warm.2.cached_tokens);
    // A prompt that goes on otherwise shares what is the same; a version read anew shares nothing.
    let mut other = request.clone();
    let last = other.prompt.len() - 1;
    other.prompt[last - 20] = 77;
    let shared = desk.answer(other).await.2.cached_tokens;
    assert!(shared > 0 && shared <= n - 20, "{shared} of {n}");
    desk.engine.load(desk.model.clone(), desk.dir.path().to_path_buf(), None).await.unwrap();
    assert_eq!(desk.answer(request.clone()).await.2.cached_tokens, 0);
    assert!(desk.answer(request.clone()).await.2.cached_tokens > 0);
    desk.engine.forget_prefixes();
    assert_eq!(desk.answer(request).await.2.cached_tokens, 0);
}

#[tokio::test]
async fn requests_give_way_to_older_ones_where_memory_is_short_and_lose_nothing() {
    // A page of this model is 16 tokens · 2 · 32 numbers · 4 bytes = 4 KiB. Five answers of 7 pages each in 16 pages.
    let small = EngineSettings { kv_cache_bytes: 16 * 4096, ..EngineSettings::default() };
    let (tight, roomy) = (desk(small).await, desk(EngineSettings::default()).await);
    let mut requests = Vec::new();
    for i in 0..5 {
        requests.push(tight.request(&format!("parcel {i}"), 90).await);
    }
    let started: Vec<_> = requests.iter().map(|request| tight.engine.generate(request.clone()).unwrap()).collect();
    for (pieces, request) in started.into_iter().zip(requests) {
        assert_eq!(read(pieces).await.0, roomy.answer(request).await.0);
    }
    let stats = tight.engine.stats();
    assert!(stats.n_preempted > 0 && stats.n_failed == 0, "{stats:?}");
    // What could never fit is cut to what does.
    let (_, finish, used) = tight.answer(tight.request("a", 10_000).await).await;
    assert_eq!(finish, FinishReason::Length);
    assert!((200..256).contains(&(used.prompt_tokens + used.completion_tokens)), "{used:?}");
}

#[tokio::test]
async fn owners_take_turns_however_many_requests_each_has() {
    let desk = desk(EngineSettings { n_active_max: 1, ..EngineSettings::default() }).await;
    let request = desk.request("a", 30).await;
    let of = |owner: &str| GenerateRequest { owner: owner.into(), ..request.clone() };
    let owners = ["many", "many", "many", "many", "many", "many", "one"];
    let started: Vec<_> = owners.iter().map(|owner| (*owner, desk.engine.generate(of(owner)).unwrap())).collect();
    // The order in which they end is that in which the engine served them, one at a time.
    let ends = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let reading: Vec<_> = started
        .into_iter()
        .map(|(owner, pieces)| {
            let ends = ends.clone();
            tokio::spawn(async move {
                read(pieces).await;
                ends.lock().unwrap().push(owner);
            })
        })
        .collect();
    for one in reading {
        one.await.unwrap();
    }
    let ends = ends.lock().unwrap();
    let at = ends.iter().position(|owner| *owner == "one").unwrap();
    assert!(at < 4, "{ends:?}");
}

#[tokio::test]
async fn idle_models_leave_for_others_and_come_back() {
    let dirs: Vec<_> = (0..2).map(|_| tempfile::tempdir().unwrap()).collect();
    let held = |model: Model| model.held(Form::F32).unwrap().base_bytes();
    let bytes: Vec<u64> = dirs.iter().zip(1..).map(|(dir, seed)| held(write_endless_base(dir.path(), seed))).collect();
    let settings = EngineSettings { models_bytes_max: bytes[0] * 3 / 2, ..EngineSettings::default() };
    let engine = Engine::start(settings).unwrap();
    let names = [ModelRef::new("one", 1), ModelRef::new("two", 1)];
    for (name, dir) in names.iter().zip(&dirs) {
        engine.load(name.clone(), dir.path().to_path_buf(), None).await.unwrap();
    }
    assert_eq!(engine.loaded(), names);
    assert_eq!(engine.stats().models_bytes, bytes[1]);
    let answer = async |name: &ModelRef| {
        let message = ChatMessage { role: "user".into(), content: Some(Content::Text("my card".into())) };
        let prompt = engine.encode_chat(name, vec![message]).await?;
        engine.generate(request(name, prompt, 4000))
    };
    let first = answer(&names[0]).await.unwrap();
    assert_eq!(engine.stats().models_bytes, bytes[0]);
    // While the first answers, the second finds no room.
    let refused = answer(&names[1]).await.unwrap_err();
    assert!(matches!(refused, Error::NoRoom { .. }), "{refused}");
    drop(first);
    let mut second = answer(&names[1]).await;
    for _ in 0..200 {
        if second.is_ok() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        second = answer(&names[1]).await;
    }
    assert!(second.is_ok(), "it comes back once the other is idle");
}

#[tokio::test]
async fn weights_in_few_bits_answer_adapters_too() {
    for weights in [Form::Bf16, Form::Q8_0, Form::Q4K] {
        let desk = desk(EngineSettings { weights, ..EngineSettings::default() }).await;
        let whole = Model::load(desk.dir.path()).unwrap();
        assert!(desk.engine.stats().models_bytes < whole.base_bytes() * 3 / 5);
        let (text, finish, used) = desk.answer(desk.request("where is my parcel", 25).await).await;
        assert!(!text.is_empty() && finish == FinishReason::Length && used.completion_tokens == 25);
        let tokens = desk.engine.tokenize(&desk.model, "my card".into()).await.unwrap();
        let (got, want) =
            (desk.engine.embed(&desk.model, tokens.clone()).await.unwrap(), whole.embed(&tokens).unwrap());
        let cosine: f32 = got.iter().zip(&want).map(|(a, b)| a * b).sum();
        assert!(cosine > 0.97, "{weights:?}: {cosine}");
        let scores = desk.engine.score(&desk.model, vec![tokens], vec![9, 10]).await.unwrap();
        assert!(scores[0] < 0.0 && scores[0].is_finite());
    }
}
