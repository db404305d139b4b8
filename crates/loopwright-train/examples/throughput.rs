//! How fast and how well training goes on this machine: pre-trains a small model, teaches it to name a message's intent,
//! and prints rates, times and the accuracy on held-out rows.
//!
//! `cargo run -p loopwright-train --example throughput [-- KEY=VALUE …]`; `data=DIR` reads DIR/train.csv and DIR/test.csv
//! (text, label) in place of made-up messages.
#![allow(clippy::print_stdout, missing_docs)]

use loopwright_lm::{GenerateSettings, LoraConfig, Model, ModelConfig, Tokenizer, chat, generate};
use loopwright_train::{Job, Length, Samples, Start, TrainExample, TrainSettings, pack, run};
use std::{collections::BTreeMap, error::Error, ops::ControlFlow, path::Path, time::Instant};

type Row = (String, String);

/// Most tokens of a row.
const SEQUENCE: usize = 96;

/// `KEY=VALUE` arguments with their defaults at the places that use them.
struct Options(BTreeMap<String, String>);

impl Options {
    fn get<T: std::str::FromStr>(&self, key: &str, default: T) -> T {
        self.0.get(key).and_then(|value| value.parse().ok()).unwrap_or(default)
    }
}

fn read(path: &Path) -> Result<Vec<Row>, Box<dyn Error>> {
    let mut rows = Vec::new();
    for record in csv::Reader::from_path(path)?.records() {
        let record = record?;
        rows.push((record[0].trim().to_owned(), record[1].to_owned()));
    }
    Ok(rows)
}

/// Messages of 12 intents, each an opener, a core and a closer.
fn made_up(n: usize) -> Vec<Row> {
    const INTENTS: [(&str, [&str; 6]); 12] = [
        (
            "card_lost",
            [
                "I lost my card",
                "my card was stolen",
                "cannot find my debit card",
                "someone took my card",
                "my wallet with the card is gone",
                "the card slipped out of my pocket",
            ],
        ),
        (
            "card_arrival",
            [
                "my new card has not arrived",
                "when will the card get here",
                "still waiting for my card in the post",
                "how long does card delivery take",
                "the card you sent never came",
                "track the card you mailed",
            ],
        ),
        (
            "refund_status",
            [
                "where is my refund",
                "the money back has not shown up",
                "my refund is still pending",
                "when do I get my refund",
                "the shop refunded me but I see nothing",
                "returned the shoes and await the money",
            ],
        ),
        (
            "change_address",
            [
                "I moved to a new house",
                "please update my address",
                "my street address changed",
                "how do I edit where I live",
                "new flat, new postal code",
                "set another home address",
            ],
        ),
        (
            "close_account",
            [
                "close my account",
                "I want to leave your bank",
                "delete my profile for good",
                "how do I cancel my account",
                "terminate the account please",
                "end our contract and shut it all down",
            ],
        ),
        (
            "forgot_password",
            [
                "I forgot my password",
                "cannot log in any more",
                "reset my password",
                "the login says wrong password",
                "locked out after three tries",
                "I need a new passcode",
            ],
        ),
        (
            "double_charge",
            [
                "I was charged twice",
                "the same payment shows two times",
                "you took the money double",
                "duplicate charge on my statement",
                "billed two times for one coffee",
                "a payment appears twice",
            ],
        ),
        (
            "exchange_rate",
            [
                "what rate do you use for euros",
                "the exchange rate looks wrong",
                "how is currency conversion priced",
                "dollars to yen, which rate",
                "your conversion rate was bad",
                "which currency rate applied abroad",
            ],
        ),
        (
            "invoice_copy",
            [
                "send me the invoice",
                "I need a copy of my bill",
                "where can I download invoices",
                "my accountant wants the receipt",
                "the June bill is missing",
                "mail the paper invoice again",
            ],
        ),
        (
            "transfer_failed",
            [
                "my transfer failed",
                "the wire was declined",
                "sending money does not work",
                "the bank transfer bounced",
                "payment to my friend got rejected",
                "could not send the rent",
            ],
        ),
        (
            "top_up",
            [
                "how do I top up",
                "add money to my balance",
                "the top up did not go through",
                "load cash onto the app",
                "can I top up with a cheque",
                "recharge my balance automatically",
            ],
        ),
        (
            "app_crash",
            [
                "the app keeps crashing",
                "your app freezes on start",
                "a white screen when I open the app",
                "the application closes by itself",
                "the app is broken since the update",
                "nothing happens when I tap the icon",
            ],
        ),
    ];
    const OPEN: [&str; 10] = [
        "",
        "Hi, ",
        "Hello! ",
        "Please help: ",
        "Good morning, ",
        "So ",
        "Hey team, ",
        "Again: ",
        "Sorry, ",
        "Quick one, ",
    ];
    const CLOSE: [&str; 10] = [
        "",
        ".",
        "!",
        " please",
        ", thanks",
        " since yesterday",
        ", what can I do?",
        " and I am angry",
        ". Any idea?",
        " today",
    ];
    let mut state = 1u64;
    let mut pick = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n
    };
    (0..n)
        .map(|i| {
            let (label, cores) = INTENTS[i % 12];
            (format!("{}{}{}", OPEN[pick(10)], cores[pick(6)], CLOSE[pick(10)]), label.to_owned())
        })
        .collect()
}

fn answer(label: &str) -> String {
    format!("{{\"intent\":\"{label}\"}}")
}

fn train(what: &str, job: &Job) -> Result<Model, Box<dyn Error>> {
    let started = Instant::now();
    let trained = run(job, |_| ControlFlow::Continue(()))?;
    let (seconds, last) = (started.elapsed().as_secs_f64(), trained.last.ok_or("no step was taken")?);
    println!(
        "{what}: {} steps, {} tokens, {:.1} s, {:.0} tokens/s, last loss {:.3}, validation loss {:?}",
        trained.step, trained.n_tokens, seconds, last.tokens_per_s, last.loss, trained.validation_loss
    );
    Ok(trained.model)
}

/// Share of rows whose greedy answer is exactly right, and milliseconds for each answer.
fn accuracy(model: &Model, tokenizer: &Tokenizer, rows: &[Row], limit: usize) -> Result<(f64, f64), Box<dyn Error>> {
    let (started, mut right) = (Instant::now(), 0);
    for (text, label) in rows {
        let (prompt, _) = chat::prompt_tokens_within(tokenizer, text, limit);
        let got = generate(model, &prompt, &GenerateSettings { max_tokens: 32, ..Default::default() })?;
        right += usize::from(tokenizer.decode(&got.tokens) == answer(label));
    }
    let n = rows.len() as f64;
    Ok((right as f64 / n, started.elapsed().as_secs_f64() * 1e3 / n))
}

fn main() -> Result<(), Box<dyn Error>> {
    let pairs =
        std::env::args().skip(1).filter_map(|arg| arg.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned())));
    let options = Options(pairs.collect());
    let (rows, test) = match options.0.get("data") {
        Some(dir) => (read(&Path::new(dir).join("train.csv"))?, read(&Path::new(dir).join("test.csv"))?),
        None => {
            let mut rows = made_up(3_600);
            let test = rows.split_off(3_000);
            (rows, test)
        }
    };
    let begun = Instant::now();
    let answers: Vec<String> = rows.iter().map(|(_, label)| answer(label)).collect();
    let texts: Vec<&str> =
        rows.iter().map(|(text, _)| text.as_str()).chain(answers.iter().map(String::as_str)).collect();
    let tokenizer = Tokenizer::train_bpe(&texts, options.get("vocab", 3_000), &chat::SPECIAL_TOKENS)?;
    let config = ModelConfig::sized(
        tokenizer.vocab_size(),
        options.get("hidden", 96),
        options.get("layers", 2),
        options.get("heads", 3),
    );
    let seed = options.get("seed", 1);
    let mut pretrain = TrainSettings::pretrain(seed);
    pretrain.length = Length::Epochs(options.get("pre_epochs", 8));
    pretrain.lr = options.get("pre_lr", pretrain.lr);
    pretrain.batch_size = options.get("pre_batch", pretrain.batch_size);
    pretrain.sequence_len = SEQUENCE;
    pretrain.weight_decay = options.get("pre_decay", pretrain.weight_decay);
    let mut lora = TrainSettings::lora(seed);
    lora.length = Length::Epochs(options.get("epochs", 3));
    lora.lr = options.get("lr", lora.lr);
    lora.batch_size = options.get("batch", lora.batch_size);
    lora.sequence_len = SEQUENCE;
    lora.weight_decay = options.get("decay", 0.0);
    let r = options.get("r", 32);
    lora.lora = LoraConfig {
        r,
        alpha: r as f64 * options.get("scale", 2.0),
        dropout: options.get("dropout", 0.0),
        ..LoraConfig::default()
    };
    if let Some(targets) = options.0.get("targets") {
        lora.lora.targets = targets.split(',').map(str::to_owned).collect();
    }
    let chats = rows
        .iter()
        .map(|(text, label)| Ok(TrainExample::chat(&tokenizer, text, &answer(label), lora.sequence_len)?.0))
        .collect::<Result<Vec<_>, Box<dyn Error>>>()?;
    // `hidden_intent=LABEL` keeps one intent from the base, so that the adapter alone must learn it.
    let hidden_intent: String = options.get("hidden_intent", String::new());
    let known = rows.iter().zip(&chats).filter(|((_, label), _)| *label != hidden_intent);
    let first: Vec<TrainExample> = match options.get("style", "chat".to_owned()).as_str() {
        "packed" => {
            pack(&known.map(|((text, _), _)| tokenizer.encode(text)).collect::<Vec<_>>(), pretrain.sequence_len)
        }
        _ => known.map(|(_, chat)| TrainExample::whole(chat.tokens.clone())).collect(),
    };
    let clock = move || begun.elapsed();
    println!(
        "{} rows, {} tokens in the vocabulary, prepared in {:.1} s",
        rows.len(),
        tokenizer.vocab_size(),
        begun.elapsed().as_secs_f64()
    );
    let start = Start::Fresh(config);
    let base = train(
        "pre-training",
        &Job {
            settings: &pretrain,
            start,
            examples: &first,
            validation: &[],
            checkpoints: None,
            samples: Samples::default(),
            clock: &clock,
        },
    )?;
    println!("base: {} parameters", base.n_parameters());
    let (share, ms) = accuracy(&base, &tokenizer, &test, SEQUENCE)?;
    println!("accuracy of the base alone {:.1}%, {ms:.2} ms for an answer", share * 100.0);
    let start = Start::NewAdapter(base);
    let model = train(
        "adapter",
        &Job {
            settings: &lora,
            start,
            examples: &chats,
            validation: &[],
            checkpoints: None,
            samples: Samples::default(),
            clock: &clock,
        },
    )?;
    println!("adapter: {} parameters", model.adapter().map_or(0, |adapter| adapter.n_parameters()));
    let (share, ms) = accuracy(&model, &tokenizer, &test, SEQUENCE)?;
    println!(
        "accuracy {:.1}% of {} held-out rows, {ms:.2} ms for an answer, {:.1} s in all",
        share * 100.0,
        test.len(),
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}
