//! Generation, scoring and embedding.

use crate::{adapted, model};
use candle_core::{Device, Tensor};
use loopwright_lm::{
    Batch, Finish, GenerateSettings, Kind, KvCache, Model, SampleSettings, generate, generate_streaming,
    score_continuations,
};
use std::ops::ControlFlow;

/// Log-probabilities of every next token, from the plain forward.
fn logprobs(model: &Model, tokens: &[u32]) -> Vec<Vec<f32>> {
    let logits = model
        .forward(&Tensor::new(tokens, &Device::Cpu).unwrap().unsqueeze(0).unwrap(), None)
        .unwrap()
        .to_vec3::<f32>()
        .unwrap();
    let log_softmax = |row: &Vec<f32>| {
        let sum = row.iter().map(|x| x.exp()).sum::<f32>().ln();
        row.iter().map(|x| x - sum).collect()
    };
    logits[0].iter().map(log_softmax).collect()
}

#[test]
fn a_greedy_answer_is_what_the_plain_forward_would_say() {
    for model in [model(true), adapted(false, 0.0)] {
        let prompt = [1, 7, 9];
        let settings = GenerateSettings { max_tokens: 6, stop_ids: vec![], ..Default::default() };
        let answer = generate(&model, &prompt, &settings).unwrap();
        assert_eq!((answer.tokens.len(), answer.finish), (6, Finish::Length));
        let mut tokens = prompt.to_vec();
        for (token, logprob) in answer.tokens.iter().zip(&answer.logprobs) {
            let last = logprobs(&model, &tokens).pop().unwrap();
            let best = last.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            assert!((last[*token as usize] - best).abs() < 1e-5);
            assert!((logprob - best).abs() < 1e-4);
            tokens.push(*token);
        }
        // The same answer again, ended by its third token.
        let stop = GenerateSettings { stop_ids: vec![answer.tokens[2]], ..settings.clone() };
        let stopped = generate(&model, &prompt, &stop).unwrap();
        let n = answer.tokens.iter().position(|token| *token == answer.tokens[2]).unwrap();
        assert_eq!((stopped.tokens, stopped.finish), (answer.tokens[..n].to_vec(), Finish::Stop));
        // And by the caller.
        let once = generate_streaming(&model, &prompt, &settings, |_, _| ControlFlow::Break(())).unwrap();
        assert_eq!((once.tokens, once.finish), (answer.tokens[..1].to_vec(), Finish::Stop));
    }
}

#[test]
fn sampling_repeats_with_its_seed() {
    let model = model(true);
    let answer = |seed| {
        let sample = SampleSettings { temperature: 1.0, top_p: 0.95, seed, ..SampleSettings::default() };
        generate(&model, &[1, 7], &GenerateSettings { max_tokens: 9, stop_ids: vec![], sample }).unwrap()
    };
    assert_eq!(answer(1), answer(1));
    assert!((2..12).any(|seed| answer(seed).tokens != answer(1).tokens));
}

#[test]
fn prompts_and_answers_fit_the_positions() {
    let model = model(true);
    let settings = GenerateSettings { max_tokens: 50, stop_ids: vec![], ..Default::default() };
    // 12 positions: 10 for the prompt, then tokens 1 and 2 are read and the third is the last that can be told.
    let answer = generate(&model, &[5; 10], &settings).unwrap();
    assert_eq!((answer.tokens.len(), answer.finish), (3, Finish::Length));
    let error = generate(&model, &[5; 12], &settings).unwrap_err();
    assert_eq!(error.kind(), Kind::TooLong);
    assert!(error.to_string().contains("12 tokens"), "{error}");
    let long = Tensor::new(&[[5u32; 13]], &Device::Cpu).unwrap();
    assert_eq!(model.forward(&long, None).unwrap_err().kind(), Kind::TooLong);
    let unknown = Tensor::new(&[[19u32]], &Device::Cpu).unwrap();
    assert_eq!(model.forward(&unknown, None).unwrap_err().kind(), Kind::BadInput);
    let two = Tensor::new(&[[1u32], [1]], &Device::Cpu).unwrap();
    assert_eq!(model.forward(&two, Some(&mut KvCache::new(&model))).unwrap_err().kind(), Kind::BadInput);
    assert_eq!(generate(&model, &[], &settings).unwrap_err().kind(), Kind::BadInput);
}

#[test]
fn scores_of_mixed_lengths_are_sums_of_single_steps() {
    for model in [model(false), adapted(true, 0.3)] {
        let prompts = vec![vec![1, 7], vec![1, 8, 9, 10, 11], vec![3], vec![1, 7, 7]];
        let continuation = [6, 2, 17];
        let scores = score_continuations(&model, &prompts, &continuation).unwrap();
        for (prompt, score) in prompts.iter().zip(scores) {
            let rows = logprobs(&model, &[prompt.as_slice(), &continuation].concat());
            let want: f32 = (0..3).map(|i| rows[prompt.len() - 1 + i][continuation[i] as usize]).sum();
            assert!((score - want).abs() < 1e-4, "{score} {want}");
        }
        assert_eq!(score_continuations(&model, &prompts, &[]).unwrap(), [0.0; 4]);
        assert!(score_continuations(&model, &[vec![]], &continuation).is_err());
    }
}

#[test]
fn embeddings_have_length_one_and_tell_texts_apart() {
    let model = model(true);
    let (a, b) = (model.embed(&[1, 7, 8]).unwrap(), model.embed(&[1, 9, 10]).unwrap());
    let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f32>();
    assert!((dot(&a, &a) - 1.0).abs() < 1e-5);
    assert!(dot(&a, &b) < 0.999);
    assert_eq!(a, model.embed(&[1, 7, 8]).unwrap());
}

#[test]
fn a_loss_that_is_not_a_number_is_refused() {
    let model = model(true);
    let norm = &model.named_parameters().into_iter().find(|(name, _)| name == "model.norm.weight").unwrap().1;
    norm.set(&Tensor::from_vec(vec![f32::NAN; 20], 20, &Device::Cpu).unwrap()).unwrap();
    let batch = Batch::new(&[(&[1, 2, 3], &[false, true, true])], 0).unwrap();
    assert_eq!(model.loss(&batch, 0).unwrap_err().kind(), Kind::NotFinite);
    assert_eq!(generate(&model, &[1], &GenerateSettings::default()).unwrap_err().kind(), Kind::NotFinite);
    let nothing = Batch::new(&[(&[1, 2, 3], &[false, false, false])], 0).unwrap();
    assert_eq!(model.loss(&nothing, 0).unwrap_err().kind(), Kind::BadInput);
}
