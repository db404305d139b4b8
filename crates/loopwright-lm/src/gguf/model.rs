//! A model from a GGUF file: the names of the format for those of the published library, and Llama's rows in their order.

use super::{BF16, Gguf, Q4_0, Q4_K, Q6_K, Q8_0};
use crate::{
    architecture::Architecture,
    body::{self, Built},
    error::{Error, Kind, Result},
    held::{Form, Matrix},
    model::Model,
    packed::Bits,
};
use candle_core::{Device, Var};
use serde_json::{Value, json};
use std::{cell::RefCell, path::Path};

/// Parts of a block in the library's names and in the format's.
const PARTS: [(&str, &str); 11] = [
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"),
    ("input_layernorm", "attn_norm"),
    ("post_attention_layernorm", "ffn_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
];

impl Model {
    /// Reads a GGUF file of the Llama, Qwen 2 or Qwen 3 family, with numbers in F32, F16, BF16, Q8_0, Q4_0, Q4_K or Q6_K. They
    /// become f32, and the model is like any other. The file's tokenizer is not read: take the `tokenizer.json` of the
    /// release. Refuses other families and types, and missing, misshapen and unknown tensors by name.
    pub fn load_gguf(path: &Path) -> Result<Self> {
        let (file, order) = Order::open(path)?;
        order.whole(file, None)
    }

    /// The same for answers alone, with every matrix in a form, or as it lies in the file where that takes less: Q8_0 and Q4_K to
    /// the bit, and in the next larger form where we have none of that name.
    pub fn load_gguf_held(path: &Path, form: Option<Form>) -> Result<Self> {
        let (file, order) = Order::open(path)?;
        order.held(file, form)
    }

    /// The weights of a folder, whose `config.json` says what they are.
    pub(crate) fn load_gguf_beside(path: &Path, config: Beside, bits: Option<Bits>) -> Result<Self> {
        let (file, order) = Order::beside(path, config)?;
        order.whole(file, bits)
    }

    /// The same for answers alone.
    pub(crate) fn load_gguf_beside_held(path: &Path, config: Beside, form: Form) -> Result<Self> {
        let (file, order) = Order::beside(path, config)?;
        order.held(file, Some(form))
    }
}

/// The `config.json` that says the same as a file's header. Refuses other families, and what the header cannot mean.
pub fn config_of_gguf(path: &Path) -> Result<Vec<u8>> {
    let (_, order) = Order::open(path)?;
    order.config_json()
}

/// A folder's configuration, as read and as bytes.
pub(crate) type Beside = (Architecture, Value);

/// What a file's header says of the model in it, and of the order of its rows.
struct Order {
    architecture: Architecture,
    config: Value,
    /// Llama's files hold the halves of each head of queries and keys in turn.
    interleaved: bool,
}

impl Order {
    fn whole(self, mut file: Gguf, bits: Option<Bits>) -> Result<Model> {
        let built = body::build_packed(&self.architecture, bits, &mut |name, shape| self.var(&mut file, name, shape))?;
        self.finish(file, built)
    }

    fn held(self, file: Gguf, form: Option<Form>) -> Result<Model> {
        let order = self;
        let file = RefCell::new(file);
        let built = body::build_held(
            &order.architecture,
            &mut |name, shape| order.var(&mut file.borrow_mut(), name, shape),
            &mut |name, shape| order.matrix(&mut file.borrow_mut(), (name, shape), form),
        )?;
        order.finish(file.into_inner(), built)
    }

    fn beside(path: &Path, (architecture, config): Beside) -> Result<(Gguf, Self)> {
        let file = Gguf::open(path)?;
        let interleaved = file.text("general.architecture") == "llama";
        Ok((file, Self { architecture, config, interleaved }))
    }

    fn config_json(&self) -> Result<Vec<u8>> {
        let mut json = serde_json::to_vec_pretty(&self.config)
            .map_err(|source| Error::caused(Kind::Bug, "failed to write a model configuration as JSON", source))?;
        json.push(b'\n');
        Ok(json)
    }

    fn open(path: &Path) -> Result<(Gguf, Self)> {
        let file = Gguf::open(path)?;
        let config = config(&file)?;
        let architecture = Architecture::from_json(&config)?;
        let interleaved = file.text("general.architecture") == "llama";
        Ok((file, Self { architecture, config, interleaved }))
    }

    /// Heads whose halves lie in turn.
    fn heads(&self, name: &str) -> usize {
        match name.rsplit('.').nth(1) {
            Some("q_proj") if self.interleaved => self.architecture.num_attention_heads,
            Some("k_proj") if self.interleaved => self.architecture.num_key_value_heads,
            _ => 0,
        }
    }

    fn numbers(&self, file: &mut Gguf, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let numbers = file.take(&name_in_file(name), shape)?;
        let heads = self.heads(name);
        Ok(if heads > 0 { halves_apart(&numbers, shape[0], heads) } else { numbers })
    }

    fn var(&self, file: &mut Gguf, name: &str, shape: &[usize]) -> Result<Var> {
        Ok(Var::from_vec(self.numbers(file, name, shape)?, shape, &Device::Cpu)?)
    }

    fn matrix(&self, file: &mut Gguf, (name, shape): (&str, [usize; 2]), form: Option<Form>) -> Result<Matrix> {
        let kind = file.tensors.get(&name_in_file(name)).map(|entry| entry.kind);
        let own = match kind {
            Some(Q4_K) => Form::Q4K,
            Some(Q8_0 | Q4_0 | Q6_K) => Form::Q8_0,
            Some(BF16) => Form::Bf16,
            _ => Form::F32,
        };
        let form = form.map_or(own, |form| form.max(own));
        if form == own && matches!(kind, Some(Q8_0 | Q4_K)) {
            let (_, blocks) = file.take_bytes(&name_in_file(name), &shape)?;
            let heads = self.heads(name);
            let blocks = if heads > 0 { halves_apart(&blocks, shape[0], heads) } else { blocks };
            if let Some(matrix) = Matrix::from_blocks(&blocks, shape, form) {
                return Ok(matrix);
            }
            return Err(Error::bad_file(
                &file.path,
                format!("tensor `{name}`: rows of {} are no whole blocks", shape[1]),
            ));
        }
        Ok(Matrix::new(&self.numbers(file, name, &shape)?, shape, form))
    }

    fn finish(self, file: Gguf, built: Built) -> Result<Model> {
        file.finish()?;
        let json = self.config_json()?;
        Ok(Model::new(self.architecture, json, built))
    }
}

/// `blk.0.attn_q.weight` for `model.layers.0.self_attn.q_proj.weight`.
pub(super) fn name_in_file(name: &str) -> String {
    let (path, kind) = name.rsplit_once('.').unwrap_or((name, ""));
    let whole = match path {
        "model.embed_tokens" => Some("token_embd"),
        "model.norm" => Some("output_norm"),
        "lm_head" => Some("output"),
        _ => None,
    };
    let block = path.strip_prefix("model.layers.").and_then(|rest| rest.split_once('.'));
    match (whole, block) {
        (Some(whole), _) => format!("{whole}.{kind}"),
        (None, Some((layer, part))) => {
            let known = PARTS.iter().find(|(ours, _)| *ours == part).map_or(part, |(_, theirs)| theirs);
            format!("blk.{layer}.{known}.{kind}")
        }
        (None, None) => name.to_owned(),
    }
}

/// Llama's files hold the two halves of each head of queries and keys in turn, row by row; here one follows the other.
fn halves_apart<T: Copy>(numbers: &[T], rows: usize, heads: usize) -> Vec<T> {
    let (width, dim) = (numbers.len() / rows, rows / heads);
    let source = |row: usize| {
        let (head, half, pair) = (row / dim, row % dim / (dim / 2), row % (dim / 2));
        head * dim + 2 * pair + half
    };
    (0..rows).flat_map(|row| &numbers[source(row) * width..][..width]).copied().collect()
}

impl Gguf {
    fn text(&self, key: &str) -> &str {
        self.values.get(key).and_then(Value::as_str).unwrap_or_default()
    }
}

/// The `config.json` that says the same as the header.
fn config(file: &Gguf) -> Result<Value> {
    let kind = file.text("general.architecture");
    let (model_type, class) = match kind {
        "llama" => ("llama", "LlamaForCausalLM"),
        "qwen2" => ("qwen2", "Qwen2ForCausalLM"),
        "qwen3" => ("qwen3", "Qwen3ForCausalLM"),
        _ => {
            let message = format!("`general.architecture` must be llama, qwen2 or qwen3, got {kind:?}");
            return Err(Error::bad_file(&file.path, message));
        }
    };
    let value = |key: &str| file.values.get(&format!("{kind}.{key}")).cloned().unwrap_or(Value::Null);
    let token = |key: &str| file.values.get(&format!("tokenizer.ggml.{key}_token_id")).cloned().unwrap_or(Value::Null);
    if let Some(scaling) = file.values.get(&format!("{kind}.rope.scaling.type")).filter(|scaling| *scaling != "none") {
        return Err(Error::bad_file(&file.path, format!("`{kind}.rope.scaling.type` must be none, got {scaling}")));
    }
    if value("expert_count").as_u64().is_some_and(|count| count > 0) {
        return Err(Error::bad_file(
            &file.path,
            format!("`{kind}.expert_count` must be 0, got {}", value("expert_count")),
        ));
    }
    let Some(embedding) = file.tensors.get("token_embd.weight") else {
        return Err(Error::bad_file(&file.path, "tensor `token_embd.weight` is missing"));
    };
    let mut config = json!({
        "architectures": [class],
        "model_type": model_type,
        "hidden_size": value("embedding_length"),
        "intermediate_size": value("feed_forward_length"),
        "num_hidden_layers": value("block_count"),
        "num_attention_heads": value("attention.head_count"),
        "num_key_value_heads": value("attention.head_count_kv"),
        "head_dim": value("attention.key_length"),
        "vocab_size": embedding.shape.first(),
        "rms_norm_eps": value("attention.layer_norm_rms_epsilon"),
        "rope_theta": value("rope.freq_base"),
        "max_position_embeddings": value("context_length"),
        "tie_word_embeddings": !file.has("output.weight"),
        "hidden_act": "silu",
        "bos_token_id": token("bos"),
        "eos_token_id": token("eos"),
        "pad_token_id": token("padding"),
        "torch_dtype": "float32",
    });
    // What the header leaves out is left out here, too.
    if let Some(object) = config.as_object_mut() {
        object.retain(|_, value| !value.is_null());
    }
    Ok(config)
}
