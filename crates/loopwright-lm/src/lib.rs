//! Language models that train and serve on the processor, in f32: small Llama decoders of our own, and published ones of
//! the families that [`Family`] lists, encoders among them.
//!
//! [`Model`] holds the weights; [`Architecture`] says what it computes. [`Tokenizer`] turns text into its tokens, [`chat`] or
//! a published [`ChatTemplate`] conversations into prompts, [`generate`] prompts into answers, [`score_continuations`]
//! measures given answers. To learn, [`Batch`] holds rows of tokens, [`Model::loss`] scores them with gradients
//! ([`Model::class_loss`] where a model tells classes apart, [`Model::likelihood_gradients`] where whole rows are weighed
//! against each other), and [`AdamW`] takes the step; an [`Adapter`] learns in the base's place while the base stays as it
//! is. The training loop itself lives a floor up, in `loopwright-train`.
//! [`Checkpoint`] reads the folder of a published model as a whole, [`Model::load_gguf`] a GGUF file.
//!
//! The same forward pass trains and serves. Its operations are fused ones of our own with a backward pass each, as
//! those of the tensor library drop gradients; see `ops`. With the same input, seed and number of threads every result
//! is the same to the bit.
//!
//! ```
//! use loopwright_lm::{AdamW, AdamWSettings, Batch, GenerateSettings, Model, ModelConfig, Tokenizer, chat, generate};
//!
//! let tokenizer = Tokenizer::train_bpe(&["is it open? yes"], 261, &chat::SPECIAL_TOKENS)?;
//! let model = Model::init(&ModelConfig::sized(tokenizer.vocab_size(), 32, 1, 2), 7)?;
//! let (tokens, mask) = chat::example_tokens(&tokenizer, "is it open?", "yes");
//! let batch = Batch::new(&[(&tokens, &mask)], chat::PAD)?;
//!
//! let mut optimizer = AdamW::new(model.trainable_parameters(), AdamWSettings::default());
//! for step in 0..40 {
//!     let loss = model.loss(&batch, step)?;
//!     optimizer.step(&loss.backward()?, 3e-3)?;
//! }
//!
//! let prompt = chat::prompt_tokens(&tokenizer, "is it open?");
//! let answer = generate(&model, &prompt, &GenerateSettings::default())?;
//! assert_eq!(tokenizer.decode(&answer.tokens), "yes");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod architecture;
mod batch;
mod block;
mod body;
mod cache;
pub mod chat;
mod config;
mod error;
mod generate;
mod gguf;
mod held;
mod import;
mod init;
mod kernel;
mod layers;
mod lora;
pub mod loss;
mod matrix;
mod merge;
mod model;
mod ops;
mod optimizer;
mod outline;
mod packed;
pub mod sample;
mod score;
mod steady;
mod team;
mod template;
mod threads;
mod tiles;
mod tokenizer;
mod weights;

pub use architecture::{
    Architecture, Biases, Family, GENERATION_FILE, LayerKind, NormKind, NormPlace, RopeKind, RopeScaling, Task,
};
pub use batch::Batch;
pub use cache::{KvCache, PAGE_TOKENS, Page, PagePool};
pub use config::{CONFIG_FILE, ModelConfig, encoder_config};
pub use error::{Error, Kind, Result};
pub use generate::{Finish, GenerateSettings, Generated, generate, generate_streaming};
pub use gguf::{GGUF_ENDING, GGUF_FILE, config_of_gguf};
pub use held::Form;
pub use import::{Checkpoint, CheckpointOutline, held_bytes};
pub use lora::{ADAPTER_CONFIG_FILE, ADAPTER_WEIGHTS_FILE, ALL_LINEAR, Adapter, LoraConfig};
pub use matrix::{Precision, product_unit};
pub use model::Model;
pub use ops::Activation;
pub use optimizer::{AdamW, AdamWSettings};
pub use outline::Outline;
pub use packed::{Bits, NF4_LEVELS};
pub use sample::SampleSettings;
pub use score::{ScoredToken, score_continuations, score_tokens};
pub use steady::Segment;
pub use template::{ChatFormat, ChatTemplate, TEMPLATE_FILE, TOKENIZER_CONFIG_FILE};
pub use threads::keep_tensors_on_one_thread;
pub use tokenizer::{StreamDecoder, TOKENIZER_FILE, Tokenizer};
pub use weights::{WEIGHTS_FILE, WEIGHTS_INDEX_FILE};
