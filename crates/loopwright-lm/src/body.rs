//! A model's weights, asked for one by one by their published names and shapes, and put together.

use crate::{
    architecture::{Architecture, Family, LayerKind, NormKind, NormPlace, RopeKind, Task},
    block::{Block, Norms},
    error::Result,
    held::Matrix,
    layers::{HEAD_PLACE, Linear, Norm, Pass, Weight},
    ops::{self, Heads, Look, Reach, Rope},
    packed::{Bits, Packed},
};
use candle_core::{Device, Tensor, Var};
use std::sync::Arc;

/// Everything between tokens and logits.
pub(crate) struct Body {
    words: Weight,
    scale: Option<f64>,
    /// Learned positions and kinds of text, and the norm of the sum, as in encoders.
    learned: Option<(Var, Var, Norm)>,
    pub blocks: Vec<Block>,
    /// The last norm; encoders have none.
    pub norm: Option<Norm>,
    pub head: Head,
}

/// What stands on the last rows.
pub(crate) enum Head {
    /// Logits of tokens. Where the embedding serves as head, it is the same weight.
    Language(Linear),
    /// Logits of classes from a text's last row.
    Score(Linear),
    /// Logits of classes from tanh(pooler(first row)).
    Pooled(Linear, Linear),
    /// Nothing.
    None,
}

/// A linear map that an adapter may change.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Its published name, e.g. `model.layers.0.self_attn.q_proj`.
    pub path: String,
    /// [out, in]
    pub shape: [usize; 2],
}

/// A body with its weights by name, in the order of asking, and the maps that an adapter may change, by their places.
pub(crate) struct Built {
    pub body: Body,
    pub parameters: Vec<(String, Var)>,
    pub places: Vec<Place>,
    /// Matrices in few bits by name; they are not among the parameters.
    pub packed: Vec<(String, Arc<Packed>)>,
    /// Matrices held for answers, which are not among them either.
    pub held: Vec<Arc<Matrix>>,
}

/// Gives a matrix by name and shape, as it is to be held for answers.
pub(crate) type HeldSource<'a> = dyn FnMut(&str, [usize; 2]) -> Result<Matrix> + 'a;

/// Asks for weights and remembers them.
struct Builder<'a> {
    architecture: &'a Architecture,
    source: &'a mut dyn FnMut(&str, &[usize]) -> Result<Var>,
    parameters: Vec<(String, Var)>,
    places: Vec<Place>,
    /// How the maps that an adapter may change are held; in f32 without.
    bits: Option<Bits>,
    packed: Vec<(String, Arc<Packed>)>,
    /// Where matrices come from that are held for answers.
    held_source: Option<&'a mut HeldSource<'a>>,
    held: Vec<Arc<Matrix>>,
    /// Turning tables by their kinds; layers of one kind share one.
    ropes: Vec<(RopeKind, Arc<Rope>)>,
}

/// Asks `source` for every weight by name and shape, in a fixed order.
pub(crate) fn build(
    architecture: &Architecture,
    source: &mut dyn FnMut(&str, &[usize]) -> Result<Var>,
) -> Result<Built> {
    build_packed(architecture, None, source)
}

/// The same, with the maps that an adapter may change, but for heads, in few bits. Each is packed as it is asked for, so
/// that one at a time is there in f32.
pub(crate) fn build_packed(
    architecture: &Architecture,
    bits: Option<Bits>,
    source: &mut dyn FnMut(&str, &[usize]) -> Result<Var>,
) -> Result<Built> {
    let (parameters, places, packed, ropes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (held, held_source) = (Vec::new(), None);
    Builder { architecture, source, parameters, places, bits, packed, held_source, held, ropes }.built()
}

/// The same with every matrix of a language model held for answers; vectors come from `source`.
pub(crate) fn build_held<'a>(
    architecture: &'a Architecture,
    source: &'a mut dyn FnMut(&str, &[usize]) -> Result<Var>,
    held_source: &'a mut HeldSource<'a>,
) -> Result<Built> {
    let (parameters, places, packed, ropes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (bits, held, held_source) = (None, Vec::new(), Some(held_source));
    Builder { architecture, source, parameters, places, bits, packed, held_source, held, ropes }.built()
}

impl Builder<'_> {
    fn built(mut self) -> Result<Built> {
        let builder = &mut self;
        let body = if builder.architecture.is_encoder() { builder.encoder()? } else { builder.decoder()? };
        Ok(Built { body, parameters: self.parameters, places: self.places, packed: self.packed, held: self.held })
    }

    fn var(&mut self, name: String, shape: &[usize]) -> Result<Var> {
        let var = (self.source)(&name, shape)?;
        self.parameters.push((name, var.clone()));
        Ok(var)
    }

    fn linear(&mut self, path: String, shape: [usize; 2], bias: bool) -> Result<Linear> {
        let weight = self.matrix(format!("{path}.weight"), shape)?;
        let bias = bias.then(|| self.var(format!("{path}.bias"), &shape[..1])).transpose()?;
        self.places.push(Place { path, shape });
        Ok(Linear { place: self.places.len() - 1, weight, bias })
    }

    fn matrix(&mut self, name: String, shape: [usize; 2]) -> Result<Weight> {
        if self.held_source.is_some() {
            return self.whole(name, shape);
        }
        let Some(bits) = self.bits else { return self.var(name, &shape).map(Weight::Full) };
        let numbers = (self.source)(&name, &shape)?;
        let packed = Arc::new(Packed::new(&ops::read(&numbers)?, shape, bits));
        self.packed.push((name, Arc::clone(&packed)));
        Ok(Weight::Packed(packed))
    }

    /// A map that an adapter replaces as a whole or leaves, and so without a place.
    fn head(&mut self, path: &str, shape: [usize; 2], bias: bool) -> Result<Linear> {
        let weight = self.whole(format!("{path}.weight"), shape)?;
        let bias = bias.then(|| self.var(format!("{path}.bias"), &shape[..1])).transpose()?;
        Ok(Linear { place: HEAD_PLACE, weight, bias })
    }

    /// A matrix that is never packed for training.
    fn whole(&mut self, name: String, shape: [usize; 2]) -> Result<Weight> {
        let Some(source) = &mut self.held_source else { return self.var(name, &shape).map(Weight::Full) };
        let matrix = Arc::new(source(&name, shape)?);
        self.held.push(Arc::clone(&matrix));
        Ok(Weight::Held(matrix))
    }

    fn norm(&mut self, path: String, width: usize) -> Result<Norm> {
        let (kind, eps) = (self.architecture.norm, self.architecture.norm_eps);
        let gain = self.var(format!("{path}.weight"), &[width])?;
        let bias = (kind == NormKind::Layer).then(|| self.var(format!("{path}.bias"), &[width])).transpose()?;
        Ok(Norm { kind, eps, gain, bias })
    }

    fn rope(&mut self, kind: &RopeKind) -> Arc<Rope> {
        if let Some((_, rope)) = self.ropes.iter().find(|(known, _)| known == kind) {
            return Arc::clone(rope);
        }
        let (frequencies, factor) = kind.frequencies(self.architecture.head_dim);
        let rope = Arc::new(Rope::new(frequencies, factor, self.architecture.max_position_embeddings));
        self.ropes.push((kind.clone(), Arc::clone(&rope)));
        rope
    }

    fn look(&mut self, kind: &LayerKind) -> Look {
        let of = self.architecture;
        Look {
            heads: Heads { heads: of.num_attention_heads, kv_heads: of.num_key_value_heads, dim: of.head_dim },
            scale: 1.0 / (of.attention_scalar as f32).sqrt(),
            cap: of.attention_cap.map(|cap| cap as f32),
            reach: match (of.is_encoder(), kind.window) {
                (true, _) => Reach::Whole,
                (false, Some(width)) => Reach::Window(width),
                (false, None) => Reach::Past,
            },
            rope: kind.rope.as_ref().map(|kind| self.rope(kind)),
        }
    }

    /// A block of maps named like `names`: q, k, v, o, gate, up, down; norms follow.
    fn block(&mut self, kind: &LayerKind, at: &str, names: [&str; 7]) -> Result<Block> {
        let of = self.architecture;
        let (hidden, inner, biases) = (of.hidden_size, of.intermediate_size, of.biases);
        let (q_width, kv_width) = (of.num_attention_heads * of.head_dim, of.num_key_value_heads * of.head_dim);
        let mut map = |map: usize, shape, bias| self.linear(format!("{at}.{}", names[map]), shape, bias);
        let q = map(0, [q_width, hidden], biases.qkv)?;
        let k = map(1, [kv_width, hidden], biases.qkv)?;
        let v = map(2, [kv_width, hidden], biases.qkv)?;
        let o = map(3, [hidden, q_width], biases.output)?;
        let gated = !names[4].is_empty();
        let gate = gated.then(|| map(4, [inner, hidden], biases.feed_forward)).transpose()?;
        let up = map(5, [inner, hidden], biases.feed_forward)?;
        let down = map(6, [hidden, inner], biases.feed_forward)?;
        let head_norms = match of.query_key_norm {
            false => None,
            true => {
                let q_norm = self.norm(format!("{at}.self_attn.q_norm"), of.head_dim)?;
                Some((q_norm, self.norm(format!("{at}.self_attn.k_norm"), of.head_dim)?))
            }
        };
        let [attention_norms, feed_norms] = self.norms(at)?;
        let (look, activation) = (self.look(kind), of.activation);
        Ok(Block { look, q, k, v, o, head_norms, gate, up, down, activation, attention_norms, feed_norms })
    }

    /// The norms of a block: around attention, and around the feed-forward part.
    fn norms(&mut self, at: &str) -> Result<[Norms; 2]> {
        let (width, place) = (self.architecture.hidden_size, self.architecture.norm_place);
        let mut norm = |name: &str| Ok::<_, crate::Error>(Some(self.norm(format!("{at}.{name}"), width)?));
        let none = Norms::default;
        Ok(match place {
            NormPlace::Before => [
                Norms { before: norm("input_layernorm")?, ..none() },
                Norms { before: norm("post_attention_layernorm")?, ..none() },
            ],
            NormPlace::BeforeAndOnUpdate => {
                let before = norm("input_layernorm")?;
                let update = norm("post_attention_layernorm")?;
                let attention = Norms { before, update, ..none() };
                let before = norm("pre_feedforward_layernorm")?;
                let update = norm("post_feedforward_layernorm")?;
                [attention, Norms { before, update, ..none() }]
            }
            NormPlace::After => [
                Norms { after: norm("attention.output.LayerNorm")?, ..none() },
                Norms { after: norm("output.LayerNorm")?, ..none() },
            ],
        })
    }

    fn decoder(&mut self) -> Result<Body> {
        let of = self.architecture;
        let table = [of.vocab_size, of.hidden_size];
        let words = self.whole(EMBEDDING.into(), table)?;
        let mut blocks = Vec::with_capacity(of.num_hidden_layers);
        for (i, kind) in of.layers.iter().enumerate() {
            blocks.push(self.block(kind, &format!("model.layers.{i}"), DECODER_MAPS)?);
        }
        let norm = Some(self.norm("model.norm".into(), of.hidden_size)?);
        let head = match &of.task {
            Task::Language if of.tie_word_embeddings => {
                Head::Language(Linear { place: HEAD_PLACE, weight: words.clone(), bias: None })
            }
            Task::Language => Head::Language(self.head(LANGUAGE_HEAD, table, false)?),
            Task::Classes(names) => Head::Score(self.head(SCORE_HEAD, [names.len(), of.hidden_size], false)?),
            Task::Features => Head::None,
        };
        Ok(Body { words, scale: of.embedding_scale, learned: None, blocks, norm, head })
    }

    fn encoder(&mut self) -> Result<Body> {
        let of = self.architecture;
        let hidden = of.hidden_size;
        let root = if matches!(of.task, Task::Classes(_)) { BERT_ROOT } else { "" };
        let at = |name: &str| format!("{root}embeddings.{name}");
        let words = Weight::Full(self.var(at("word_embeddings.weight"), &[of.vocab_size, hidden])?);
        let positions = self.var(at("position_embeddings.weight"), &[of.max_position_embeddings, hidden])?;
        let kinds = self.var(at("token_type_embeddings.weight"), &[of.type_vocab_size, hidden])?;
        let learned = Some((positions, kinds, self.norm(at("LayerNorm"), hidden)?));
        let mut blocks = Vec::with_capacity(of.num_hidden_layers);
        for (i, kind) in of.layers.iter().enumerate() {
            blocks.push(self.block(kind, &format!("{root}encoder.layer.{i}"), ENCODER_MAPS)?);
        }
        let head = match &of.task {
            Task::Classes(names) => {
                let pooler = self.linear(format!("{root}pooler.dense"), [hidden, hidden], true)?;
                Head::Pooled(pooler, self.head(CLASSIFIER_HEAD, [names.len(), hidden], true)?)
            }
            _ => Head::None,
        };
        Ok(Body { words, scale: None, learned, blocks, norm: None, head })
    }
}

/// Name of a decoder's embedding.
pub(crate) const EMBEDDING: &str = "model.embed_tokens.weight";

/// Names of the language head and the heads of classes.
pub(crate) const LANGUAGE_HEAD: &str = "lm_head";
const SCORE_HEAD: &str = "score";
const CLASSIFIER_HEAD: &str = "classifier";

/// What stands before every name in a BERT with a head.
pub(crate) const BERT_ROOT: &str = "bert.";

const DECODER_MAPS: [&str; 7] = [
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
];

const ENCODER_MAPS: [&str; 7] = [
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "",
    "intermediate.dense",
    "output.dense",
];

/// The name of the head that an adapter replaces as a whole, if a model has one.
pub(crate) fn class_head(architecture: &Architecture) -> Option<&'static str> {
    match (&architecture.task, architecture.family) {
        (Task::Classes(_), Family::Bert) => Some(CLASSIFIER_HEAD),
        (Task::Classes(_), _) => Some(SCORE_HEAD),
        _ => None,
    }
}

impl Body {
    /// Rows [batch·tokens, hidden] of token ids, sequences of `tokens` each.
    pub(crate) fn embed(&self, pass: Pass, ids: Vec<u32>, tokens: usize) -> Result<Tensor> {
        let n = ids.len();
        let rows = match &self.words {
            Weight::Held(matrix) => matrix.rows(&ids)?,
            words => ops::gather(&pass.weight(words.full()?), ids)?,
        };
        let rows = match self.scale {
            // In f32, as the published weights were trained.
            Some(scale) => (rows * f64::from(scale as f32))?,
            None => rows,
        };
        let Some((positions, kinds, norm)) = &self.learned else { return Ok(rows) };
        let at = (0..n).map(|row| (row % tokens) as u32).collect();
        let rows = (rows + ops::gather(&pass.weight(positions), at)?)?;
        let rows = (rows + ops::gather(&pass.weight(kinds), vec![0; n])?)?;
        pass.norm(norm, &rows)
    }

    /// The normed last rows.
    pub(crate) fn normed(&self, pass: Pass, hidden: &Tensor) -> Result<Tensor> {
        self.norm.as_ref().map_or_else(|| Ok(hidden.clone()), |norm| pass.norm(norm, hidden))
    }

    /// Logits of classes of rows [texts, hidden], each the row that speaks for its text.
    pub(crate) fn classes(&self, pass: Pass, rows: &Tensor) -> Result<Option<Tensor>> {
        match &self.head {
            Head::Score(head) => pass.class_head(head, rows).map(Some),
            Head::Pooled(pooler, head) => {
                let pooled = ops::activate(&pass.linear(pooler, rows)?, ops::Activation::Tanh)?;
                pass.class_head(head, &pooled).map(Some)
            }
            Head::Language(_) | Head::None => Ok(None),
        }
    }
}

/// An index tensor of one sequence, [1, tokens].
pub(crate) fn one_sequence(tokens: &[u32]) -> Result<Tensor> {
    Ok(Tensor::new(tokens, &Device::Cpu)?.unsqueeze(0)?)
}
