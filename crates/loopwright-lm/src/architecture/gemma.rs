//! Gemma, Gemma 2 and the text model of Gemma 3.

use super::{
    Architecture, Family, Keys, LayerKind, NormKind, NormPlace, RopeKind, Task,
    decoder::{Sizes, layer_windows, shared},
};
use crate::{error::Result, ops::Activation};

/// Base of the angles of layers with a window, and of the others, in Gemma 3.
const LOCAL_THETA: f64 = 10_000.0;
const GLOBAL_THETA: f64 = 1_000_000.0;

pub(super) fn read(keys: &mut Keys, family: Family, task: Task) -> Result<Architecture> {
    let sizes = Sizes::read(keys, Some(256))?;
    check_activation(keys)?;
    keys.only("attention_bias", false)?;
    keys.only("use_bidirectional_attention", false)?;
    let (local, global) = ropes(keys, family, sizes.positions)?;
    let windows = match family {
        Family::Gemma => vec![None; sizes.layers],
        _ => {
            let every = if family == Family::Gemma2 { 2 } else { 6 };
            let (published, saved) =
                (keys.size_if("sliding_window_pattern")?, keys.size_if("_sliding_window_pattern")?);
            let every = published.or(saved).unwrap_or(every);
            let (width, older) = (keys.size_if("sliding_window")?, keys.size_if("sliding_window_size")?);
            let width = width.or(older).or(Some(4096));
            layer_windows(keys, width, sizes.layers, |layer| !(layer + 1).is_multiple_of(every))?
        }
    };
    let rope = |window: &Option<usize>| if window.is_some() { local.clone() } else { global.clone() };
    let layers = windows.iter().map(|window| LayerKind { window: *window, rope: Some(rope(window)) }).collect();
    let (attention_scalar, attention_cap, logit_cap) = match family {
        Family::Gemma => (sizes.head_dim as f64, None, None),
        _ => {
            let scalar = keys.positive_if("query_pre_attn_scalar")?.unwrap_or(256.0);
            let caps = (cap(keys, "attn_logit_softcapping", family)?, cap(keys, "final_logit_softcapping", family)?);
            (scalar, caps.0, caps.1)
        }
    };
    Ok(Architecture {
        norm: NormKind::RmsPlusOne,
        norm_place: if family == Family::Gemma { NormPlace::Before } else { NormPlace::BeforeAndOnUpdate },
        activation: Activation::GeluTanh,
        query_key_norm: family == Family::Gemma3,
        embedding_scale: Some((sizes.hidden as f64).sqrt()),
        attention_scalar,
        attention_cap,
        logit_cap,
        layers,
        ..shared(keys, family, task, &sizes)?
    })
}

/// Gemma's first files say "gelu" and mean its approximation by tanh, which the published library reads in it, too.
fn check_activation(keys: &mut Keys) -> Result<()> {
    let (old, new) = (keys.text("hidden_act")?, keys.text("hidden_activation")?);
    match new.or(old) {
        None | Some("gelu_pytorch_tanh") => Ok(()),
        Some("gelu") if new.is_none() => Ok(()),
        Some(other) => keys.refuse(format!("`hidden_activation` must be \"gelu_pytorch_tanh\", got \"{other}\"")),
    }
}

/// A bound of Gemma 2, where the file may leave it out or switch it off with null.
fn cap(keys: &mut Keys, key: &str, family: Family) -> Result<Option<f64>> {
    let written = keys.has(key);
    let default = if key.starts_with("attn") { 50.0 } else { 30.0 };
    Ok(keys.positive_if(key)?.or((family == Family::Gemma2 && !written).then_some(default)))
}

/// Angles of layers with a window, and of the others.
fn ropes(keys: &mut Keys, family: Family, positions: usize) -> Result<(RopeKind, RopeKind)> {
    if family != Family::Gemma3 {
        let rope = RopeKind::read(keys, LOCAL_THETA, positions)?;
        return Ok((rope.clone(), rope));
    }
    let local = keys.positive_if("rope_local_base_freq")?.unwrap_or(LOCAL_THETA);
    let nested = keys.peek("rope_parameters").filter(|value| value.get("full_attention").is_some());
    let Some(nested) = nested else {
        let global = RopeKind::read(keys, GLOBAL_THETA, positions)?;
        return Ok((RopeKind { theta: local, scaling: super::RopeScaling::None }, global));
    };
    keys.ignore(&["rope_parameters"]);
    let mut parts = Keys::new("model configuration: `rope_parameters`", nested)?;
    let mut part = |key: &str, theta: f64| match parts.value(key) {
        None => Ok(RopeKind { theta, scaling: super::RopeScaling::None }),
        Some(value) => {
            let what = format!("model configuration: `rope_parameters`: `{key}`");
            RopeKind::read_object(Keys::new(&what, value)?, theta, positions)
        }
    };
    let ropes = (part("sliding_attention", local)?, part("full_attention", GLOBAL_THETA)?);
    parts.finish()?;
    Ok(ropes)
}
