//! A model's folder with its weights in few bits: `config.json`, and a GGUF file of the tensors.
//!
//! The file has the format's own blocks and names. Its rows lie as in the published library (Llama's halves are not mixed), and
//! what the model is stands in `config.json` beside it, so it is for this library: others want the vocabulary inside.

use super::{BF16, F32, MAGIC, Q4_K, Q8_0, model::name_in_file};
use crate::{
    error::{Error, Result},
    held::{Form, packed_bytes},
    ops,
};
use candle_core::Var;
use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

/// Where each tensor begins is a multiple of this many bytes.
const ALIGNMENT: usize = 32;

/// What stands for a family in our own files' `general.architecture`: rows are not in another library's order.
const OWN_ORDER: &str = "transformers";

/// A tensor that will be written.
struct Planned {
    name: String,
    /// Rows first.
    shape: Vec<usize>,
    form: Form,
    size_bytes: usize,
}

/// Writes a file of tensors, every matrix in a form, in the nearest that its rows are whole blocks of, and all else in f32.
pub(crate) fn write(path: &Path, parameters: &[(String, Var)], form: Form) -> Result<()> {
    let failed = |source| Error::io("write", path, source);
    let plan: Vec<Planned> = parameters.iter().map(|(name, var)| planned(name, var.dims(), form)).collect();
    let mut file = BufWriter::new(File::create(path).map_err(failed)?);
    let header = header(&plan);
    file.write_all(&header).map_err(failed)?;
    pad(&mut file, header.len()).map_err(failed)?;
    for (planned, (_, var)) in plan.iter().zip(parameters) {
        let bytes = packed_bytes(&ops::read(var.as_tensor())?, planned.form);
        debug_assert_eq!(bytes.len(), planned.size_bytes, "{}", planned.name);
        file.write_all(&bytes).map_err(failed)?;
        pad(&mut file, bytes.len()).map_err(failed)?;
    }
    file.into_inner().map_err(|error| failed(error.into_error()))?.sync_all().map_err(failed)
}

fn planned(name: &str, shape: &[usize], form: Form) -> Planned {
    let form = match shape {
        [_, width] => form.fitting(*width),
        _ => Form::F32,
    };
    let n: usize = shape.iter().product();
    // Of whole blocks, as the form fits.
    let size_bytes = super::size_bytes(kind(form), n).unwrap_or(0);
    Planned { name: name_in_file(name), shape: shape.to_vec(), form, size_bytes }
}

/// The format's code.
fn kind(form: Form) -> u32 {
    match form {
        Form::F32 => F32,
        Form::Bf16 => BF16,
        Form::Q8_0 => Q8_0,
        Form::Q4K => Q4_K,
    }
}

fn header(plan: &[Planned]) -> Vec<u8> {
    const TEXT: u32 = 8;
    let mut out = Vec::new();
    out.extend(MAGIC);
    out.extend(3u32.to_le_bytes());
    out.extend((plan.len() as u64).to_le_bytes());
    out.extend(1u64.to_le_bytes());
    text(&mut out, "general.architecture");
    out.extend(TEXT.to_le_bytes());
    text(&mut out, OWN_ORDER);
    let mut offset = 0u64;
    for it in plan {
        text(&mut out, &it.name);
        out.extend((it.shape.len() as u32).to_le_bytes());
        it.shape.iter().rev().for_each(|size| out.extend((*size as u64).to_le_bytes()));
        out.extend(kind(it.form).to_le_bytes());
        out.extend(offset.to_le_bytes());
        offset += it.size_bytes.next_multiple_of(ALIGNMENT) as u64;
    }
    out
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn pad(file: &mut impl Write, written: usize) -> std::io::Result<()> {
    file.write_all(&[0; ALIGNMENT][..written.next_multiple_of(ALIGNMENT) - written])
}
