//! The angles of rotary positions as configurations write them: plain, or stretched for longer texts.

use super::keys::Keys;
use crate::error::Result;
use std::f64::consts::TAU;

/// How a layer turns queries and keys by their positions.
#[derive(Clone, Debug, PartialEq)]
pub struct RopeKind {
    /// Base of the angles: pair i of a head of width d turns by θ^(−2i/d) for each position.
    pub theta: f64,
    /// How the angles are stretched.
    pub scaling: RopeScaling,
}

/// How angles are stretched so that a model reads longer texts than it was first trained on.
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// Every angle is divided (Chen et al. 2023).
    Linear {
        /// The divisor.
        factor: f64,
    },
    /// Slow angles are divided, fast ones kept, those between blended (Llama 3.1, Llama Team 2024).
    Llama3 {
        /// The divisor of slow angles.
        factor: f64,
        /// Angles with fewer turns over the original context are slow.
        low: f64,
        /// Angles with more turns over the original context are fast.
        high: f64,
        /// The original context in tokens.
        context: f64,
    },
    /// The same with a ramp over the pairs, and cosine and sine stretched (YaRN, Peng et al. 2023).
    Yarn {
        /// The divisor of slow angles.
        factor: f64,
        /// Turns over the original context from which on an angle is kept.
        fast: f64,
        /// Turns up to which it is divided.
        slow: f64,
        /// The original context in tokens.
        context: f64,
        /// Whether the ends of the ramp are whole pairs.
        truncate: bool,
        /// Factor of cosine and sine.
        stretch: f64,
    },
}

impl RopeKind {
    /// Reads `rope_theta` and `rope_scaling`, or `rope_parameters`, which has both.
    pub(crate) fn read(keys: &mut Keys, default_theta: f64, positions: usize) -> Result<Self> {
        let theta = keys.positive_if("rope_theta")?.unwrap_or(default_theta);
        keys.only("partial_rotary_factor", 1.0)?;
        let (old, new) = (keys.value("rope_scaling"), keys.value("rope_parameters"));
        match new.or(old) {
            None => Ok(Self { theta, scaling: RopeScaling::None }),
            Some(value) => {
                let what = if new.is_some() { "`rope_parameters`" } else { "`rope_scaling`" };
                Self::read_object(Keys::new(&format!("model configuration: {what}"), value)?, theta, positions)
            }
        }
    }

    /// Reads the object with the kind and its numbers.
    pub(crate) fn read_object(mut keys: Keys, default_theta: f64, positions: usize) -> Result<Self> {
        let theta = keys.positive_if("rope_theta")?.unwrap_or(default_theta);
        keys.only("partial_rotary_factor", 1.0)?;
        let (new, old) = (keys.text("rope_type")?, keys.text("type")?);
        let scaling = match new.or(old) {
            Some("default") => RopeScaling::None,
            Some("linear") => RopeScaling::Linear { factor: keys.number("factor")? },
            Some("llama3") => RopeScaling::Llama3 {
                factor: keys.number("factor")?,
                low: keys.number("low_freq_factor")?,
                high: keys.number("high_freq_factor")?,
                context: keys.size_if("original_max_position_embeddings")?.unwrap_or(positions) as f64,
            },
            Some("yarn") => read_yarn(&mut keys, positions)?,
            kind => {
                let got = kind.map_or("nothing".into(), |kind| format!("\"{kind}\""));
                return keys.refuse(format!("`rope_type` must be default, linear, llama3 or yarn, got {got}"));
            }
        };
        keys.finish()?;
        Ok(Self { theta, scaling })
    }

    /// Angle of each pair of elements for one position, and the factor of cosine and sine.
    pub(crate) fn frequencies(&self, head_dim: usize) -> (Vec<f64>, f64) {
        let plain = (0..head_dim / 2).map(|i| self.theta.powf(-2.0 * i as f64 / head_dim as f64));
        match &self.scaling {
            RopeScaling::None => (plain.collect(), 1.0),
            RopeScaling::Linear { factor } => (plain.map(|f| f / factor).collect(), 1.0),
            RopeScaling::Llama3 { factor, low, high, context } => {
                let stretch = |f: f64| {
                    // 0 where the angle is slow, 1 where it is fast.
                    let share = ((context * f / TAU - low) / (high - low)).clamp(0.0, 1.0);
                    (1.0 - share) * f / factor + share * f
                };
                (plain.map(stretch).collect(), 1.0)
            }
            RopeScaling::Yarn { factor, fast, slow, context, truncate, stretch } => {
                let dim = head_dim as f64;
                // The pair that turns so many times over the original context.
                let pair = |turns: f64| dim * (context / (turns * TAU)).ln() / (2.0 * self.theta.ln());
                let (low, high) = match truncate {
                    true => (pair(*fast).floor(), pair(*slow).ceil()),
                    false => (pair(*fast), pair(*slow)),
                };
                let (low, high) = (low.max(0.0), high.min(dim - 1.0));
                let high = if low == high { high + 0.001 } else { high };
                let blend = |(i, f): (usize, f64)| {
                    let slow = ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
                    slow * f / factor + (1.0 - slow) * f
                };
                (plain.enumerate().map(blend).collect(), *stretch)
            }
        }
    }
}

fn read_yarn(keys: &mut Keys, positions: usize) -> Result<RopeScaling> {
    let context = keys.size_if("original_max_position_embeddings")?.unwrap_or(positions) as f64;
    let factor = keys.number_if("factor")?.unwrap_or(positions as f64 / context);
    let of = |scale: f64| if factor <= 1.0 { 1.0 } else { 0.1 * scale * factor.ln() + 1.0 };
    let (over, under) = (keys.number_if("mscale")?, keys.number_if("mscale_all_dim")?);
    let inferred = match (over.filter(|x| *x != 0.0), under.filter(|x| *x != 0.0)) {
        (Some(over), Some(under)) => of(over) / of(under),
        _ => of(1.0),
    };
    let truncate = keys.value("truncate").is_none_or(|value| value.as_bool() != Some(false));
    Ok(RopeScaling::Yarn {
        factor,
        fast: keys.positive_if("beta_fast")?.unwrap_or(32.0),
        slow: keys.positive_if("beta_slow")?.unwrap_or(1.0),
        context,
        truncate,
        stretch: keys.positive_if("attention_factor")?.unwrap_or(inferred),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: serde_json::Value) -> Result<RopeKind> {
        RopeKind::read(&mut Keys::new("model configuration", &value)?, 10_000.0, 128)
    }

    #[test]
    fn old_and_new_ways_of_writing_agree() {
        let old = json!({"rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 4.0}});
        let new = json!({"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 5e5}});
        assert_eq!(read(old).unwrap(), read(new).unwrap());
        assert_eq!(read(json!({})).unwrap(), RopeKind { theta: 10_000.0, scaling: RopeScaling::None });
    }

    #[test]
    fn slow_angles_are_divided_and_fast_ones_kept() {
        // Over 128 tokens pair 0 of width 8 and θ = 10⁴ turns 20 times, pair 3 (angle 0.001) 0.02 times.
        for kind in ["llama3", "yarn"] {
            let low_high = json!({"low_freq_factor": 1.0, "high_freq_factor": 4.0});
            let mut value = json!({"rope_type": kind, "factor": 8.0, "original_max_position_embeddings": 128});
            if kind == "llama3" {
                value.as_object_mut().unwrap().extend(low_high.as_object().unwrap().clone());
            }
            let rope = read(json!({"rope_scaling": value})).unwrap();
            let (frequencies, stretch) = rope.frequencies(8);
            assert!((frequencies[3] - 0.001 / 8.0).abs() < 1e-12, "{kind} {frequencies:?}");
            if kind == "llama3" {
                assert!((frequencies[0] - 1.0).abs() < 1e-12);
                assert_eq!(stretch, 1.0);
            } else {
                assert!((stretch - (0.1 * 8f64.ln() + 1.0)).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn unknown_kinds_and_keys_are_refused() {
        let refused = |value: serde_json::Value| read(value).unwrap_err().to_string();
        assert!(refused(json!({"rope_scaling": {"type": "dynamic", "factor": 2.0}})).contains("got \"dynamic\""));
        assert!(refused(json!({"rope_scaling": {"factor": 2.0}})).contains("got nothing"));
        let odd = json!({"rope_scaling": {"type": "linear", "factor": 2.0, "finetuned": true}});
        assert!(refused(odd).contains("`finetuned` is not supported"));
        assert!(refused(json!({"partial_rotary_factor": 0.5})).contains("`partial_rotary_factor` must be 1.0"));
    }
}
