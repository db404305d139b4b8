//! Decoders written like Llama: Mistral, Qwen 2 and 3, SmolLM 3.

use super::{Architecture, Biases, Family, Keys, LayerKind, NormKind, NormPlace, RopeKind, Task};
use crate::{error::Result, ops::Activation};

/// Sizes that all decoders have.
pub(super) struct Sizes {
    pub hidden: usize,
    pub inner: usize,
    pub layers: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub vocabulary: usize,
    pub positions: usize,
}

impl Sizes {
    /// Reads them; a head is as wide as the rest leaves it, unless the file or the family says otherwise.
    pub(super) fn read(keys: &mut Keys, head_dim: Option<usize>) -> Result<Self> {
        let (hidden, heads) = (keys.size("hidden_size")?, keys.size("num_attention_heads")?);
        let head_dim = match keys.size_if("head_dim")?.or(head_dim) {
            Some(head_dim) => head_dim,
            None if hidden.is_multiple_of(heads) => hidden / heads,
            None => {
                return keys.refuse(format!("`num_attention_heads` must divide `hidden_size` ({hidden}), got {heads}"));
            }
        };
        Ok(Self {
            hidden,
            inner: keys.size("intermediate_size")?,
            layers: keys.size("num_hidden_layers")?,
            heads,
            kv_heads: keys.size_if("num_key_value_heads")?.unwrap_or(heads),
            head_dim,
            vocabulary: keys.size("vocab_size")?,
            positions: keys.size("max_position_embeddings")?,
        })
    }
}

/// Reads a decoder written like Llama.
pub(super) fn read(keys: &mut Keys, family: Family, task: Task) -> Result<Architecture> {
    let sizes = Sizes::read(keys, (family == Family::Qwen3).then_some(128))?;
    let theta = if family == Family::SmolLm3 { 2_000_000.0 } else { 10_000.0 };
    let rope = RopeKind::read(keys, theta, sizes.positions)?;
    keys.only("hidden_act", "silu")?;
    keys.only("rope_interleaved", false)?;
    let attention_bias = family != Family::Qwen2 && keys.flag("attention_bias")?;
    let biases = Biases {
        qkv: attention_bias || family == Family::Qwen2,
        output: attention_bias,
        feed_forward: matches!(family, Family::Llama | Family::SmolLm3) && keys.flag("mlp_bias")?,
    };
    let turned = turned_layers(keys, family, sizes.layers)?;
    let windows = windows(keys, family, &turned)?;
    let layers = turned.iter().zip(windows);
    let layers = layers.map(|(turned, window)| LayerKind { window, rope: turned.then(|| rope.clone()) }).collect();
    Ok(Architecture {
        norm: NormKind::Rms,
        norm_place: NormPlace::Before,
        activation: Activation::Silu,
        biases,
        query_key_norm: family == Family::Qwen3,
        embedding_scale: None,
        attention_scalar: sizes.head_dim as f64,
        attention_cap: None,
        logit_cap: None,
        layers,
        ..shared(keys, family, task, &sizes)?
    })
}

/// What is read alike for all decoders; the rest is as in Llama.
pub(super) fn shared(keys: &mut Keys, family: Family, task: Task, sizes: &Sizes) -> Result<Architecture> {
    let tied_by_default = matches!(family, Family::SmolLm3 | Family::Gemma | Family::Gemma2 | Family::Gemma3);
    let tied = match keys.value("tie_word_embeddings") {
        None => tied_by_default,
        Some(_) => keys.flag("tie_word_embeddings")?,
    };
    Ok(Architecture {
        family,
        task,
        hidden_size: sizes.hidden,
        intermediate_size: sizes.inner,
        num_hidden_layers: sizes.layers,
        num_attention_heads: sizes.heads,
        num_key_value_heads: sizes.kv_heads,
        head_dim: sizes.head_dim,
        vocab_size: sizes.vocabulary,
        max_position_embeddings: sizes.positions,
        tie_word_embeddings: tied,
        bos_token_id: keys.tokens("bos_token_id")?.first().copied(),
        eos_token_ids: keys.tokens("eos_token_id")?,
        pad_token_id: pad_token(keys)?,
        norm: NormKind::Rms,
        norm_eps: keys.positive_if("rms_norm_eps")?.unwrap_or(1e-6),
        norm_place: NormPlace::Before,
        activation: Activation::Silu,
        biases: Biases::default(),
        query_key_norm: false,
        embedding_scale: None,
        attention_scalar: sizes.head_dim as f64,
        attention_cap: None,
        logit_cap: None,
        type_vocab_size: 0,
        layers: Vec::new(),
    })
}

/// The token that fills short rows. Some files write −1 where there is none.
fn pad_token(keys: &mut Keys) -> Result<Option<u32>> {
    match keys.value("pad_token_id") {
        Some(value) if value.as_i64() == Some(-1) => Ok(None),
        _ => Ok(keys.tokens("pad_token_id")?.first().copied()),
    }
}

/// For each layer, whether it turns queries and keys by their positions.
fn turned_layers(keys: &mut Keys, family: Family, n_layers: usize) -> Result<Vec<bool>> {
    if family != Family::SmolLm3 {
        return Ok(vec![true; n_layers]);
    }
    let interval = keys.size_if("no_rope_layer_interval")?.unwrap_or(4);
    let Some(value) = keys.value("no_rope_layers") else {
        return Ok((1..=n_layers).map(|layer| !layer.is_multiple_of(interval)).collect());
    };
    // The published name says the contrary of what the list holds: 1 where a layer turns.
    let list = value.as_array().and_then(|list| list.iter().map(serde_json::Value::as_u64).collect::<Option<Vec<_>>>());
    match list {
        Some(list) if list.len() >= n_layers => Ok(list[..n_layers].iter().map(|turns| *turns != 0).collect()),
        _ => keys.refuse(format!("`no_rope_layers` must have a 0 or 1 for each of {n_layers} layers, got {value}")),
    }
}

/// The window of each layer, by `layer_types` or by the family's rule.
fn windows(keys: &mut Keys, family: Family, turned: &[bool]) -> Result<Vec<Option<usize>>> {
    if family == Family::Llama {
        return Ok(vec![None; turned.len()]);
    }
    // Where the window is switched off, files may still carry its width.
    let on = family == Family::Mistral || keys.flag("use_sliding_window")?;
    let width = keys.size_if("sliding_window")?.filter(|_| on);
    let first = keys.value("max_window_layers").and_then(serde_json::Value::as_u64).unwrap_or(28) as usize;
    let by_rule = |layer: usize| match family {
        Family::Mistral => true,
        Family::SmolLm3 => !turned[layer],
        _ => layer >= first,
    };
    match family {
        Family::Mistral => Ok(vec![width; turned.len()]),
        _ => layer_windows(keys, width, turned.len(), by_rule),
    }
}

/// `layer_types` where the file has them, else a rule that says which layers have the window.
pub(super) fn layer_windows(
    keys: &mut Keys,
    width: Option<usize>,
    n_layers: usize,
    by_rule: impl Fn(usize) -> bool,
) -> Result<Vec<Option<usize>>> {
    let Some(types) = keys.texts("layer_types")? else {
        return Ok((0..n_layers).map(|layer| width.filter(|_| by_rule(layer))).collect());
    };
    if types.len() != n_layers {
        return keys.refuse(format!("`layer_types` must name each of {n_layers} layers, got {}", types.len()));
    }
    let window = |kind: &&str| match (*kind, width) {
        ("full_attention", _) => Ok(None),
        ("sliding_attention", Some(width)) => Ok(Some(width)),
        ("sliding_attention", None) => {
            keys.refuse("`layer_types` has sliding layers, but there is no `sliding_window`")
        }
        (kind, _) => {
            keys.refuse(format!("`layer_types` must be of full_attention and sliding_attention, got \"{kind}\""))
        }
    };
    types.iter().map(window).collect()
}
