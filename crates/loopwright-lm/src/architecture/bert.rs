//! Encoders written like BERT.

use super::{Architecture, Biases, Family, Keys, LayerKind, NormKind, NormPlace, Task};
use crate::{error::Result, ops::Activation};

pub(super) fn read(keys: &mut Keys, task: Task) -> Result<Architecture> {
    let (hidden, heads) = (keys.size("hidden_size")?, keys.size("num_attention_heads")?);
    if !hidden.is_multiple_of(heads) {
        return keys.refuse(format!("`num_attention_heads` must divide `hidden_size` ({hidden}), got {heads}"));
    }
    let activation = match keys.text("hidden_act")? {
        None | Some("gelu") => Activation::Gelu,
        Some("gelu_new" | "gelu_pytorch_tanh") => Activation::GeluTanh,
        Some("relu") => Activation::Relu,
        Some("silu") => Activation::Silu,
        Some(other) => {
            let known = "gelu, gelu_new, gelu_pytorch_tanh, relu or silu";
            return keys.refuse(format!("`hidden_act` must be {known}, got \"{other}\""));
        }
    };
    keys.only("position_embedding_type", "absolute")?;
    keys.only("is_decoder", false)?;
    keys.only("add_cross_attention", false)?;
    // The head that the first would tie is not among those we read; the rest speaks of another program's pooler.
    keys.ignore(&["tie_word_embeddings", "directionality", "pooler_fc_size", "pooler_num_attention_heads"]);
    keys.ignore(&["pooler_num_fc_layers", "pooler_size_per_head", "pooler_type"]);
    let n_layers = keys.size("num_hidden_layers")?;
    Ok(Architecture {
        family: Family::Bert,
        task,
        hidden_size: hidden,
        intermediate_size: keys.size("intermediate_size")?,
        num_hidden_layers: n_layers,
        num_attention_heads: heads,
        num_key_value_heads: heads,
        head_dim: hidden / heads,
        vocab_size: keys.size("vocab_size")?,
        max_position_embeddings: keys.size("max_position_embeddings")?,
        tie_word_embeddings: false,
        bos_token_id: keys.tokens("bos_token_id")?.first().copied(),
        eos_token_ids: keys.tokens("eos_token_id")?,
        pad_token_id: keys.tokens("pad_token_id")?.first().copied(),
        norm: NormKind::Layer,
        norm_eps: keys.positive_if("layer_norm_eps")?.unwrap_or(1e-12),
        norm_place: NormPlace::After,
        activation,
        biases: Biases { qkv: true, output: true, feed_forward: true },
        query_key_norm: false,
        embedding_scale: None,
        attention_scalar: (hidden / heads) as f64,
        attention_cap: None,
        logit_cap: None,
        type_vocab_size: keys.size_if("type_vocab_size")?.unwrap_or(2),
        layers: vec![LayerKind { window: None, rope: None }; n_layers],
    })
}
