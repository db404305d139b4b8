//! Named tensors in safetensors files: read one by one from f32, bf16 or f16, written as f32 in bytes that depend on their
//! contents alone.

use crate::error::{Error, Kind, Result};
use candle_core::{Device, Tensor, Var};
use safetensors::{
    Dtype,
    tensor::{Metadata, TensorView},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

/// File name of the weights in a model's folder.
pub const WEIGHTS_FILE: &str = "model.safetensors";

/// File name of the list of files where weights lie in several.
pub const WEIGHTS_INDEX_FILE: &str = "model.safetensors.index.json";

/// The tensors of one file, or of several, by name. Numbers are read when they are taken.
pub(crate) struct WeightFile {
    /// What messages name.
    path: PathBuf,
    files: Vec<(PathBuf, File)>,
    tensors: BTreeMap<String, Entry>,
}

/// Where a tensor lies.
struct Entry {
    file: usize,
    dtype: Dtype,
    shape: Vec<usize>,
    start: u64,
    size_bytes: usize,
}

impl WeightFile {
    /// Opens one file. Refuses files that are cut short or overlong.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let mut all = Self { path: path.to_owned(), files: Vec::new(), tensors: BTreeMap::new() };
        all.open(path)?;
        Ok(all)
    }

    /// Opens the weights of a model's folder, in one file or in those that an index names.
    pub(crate) fn read_folder(dir: &Path) -> Result<Self> {
        let (single, index) = (dir.join(WEIGHTS_FILE), dir.join(WEIGHTS_INDEX_FILE));
        if single.exists() || !index.exists() {
            if !single.exists() {
                refuse_pickles(dir)?;
            }
            return Self::read(&single);
        }
        let mut all = Self { path: index.clone(), files: Vec::new(), tensors: BTreeMap::new() };
        let listed = read_index(&index)?;
        let names: BTreeSet<&String> = listed.values().collect();
        for name in names {
            // The index may come from anywhere; its names must not lead out of the folder.
            if Path::new(name).file_name().is_none_or(|file| file.to_str() != Some(name.as_str())) {
                return Err(Error::bad_file(&index, format!("expected names of files beside it, got `{name}`")));
            }
            all.open(&dir.join(name))?;
        }
        if let Some((name, file)) = listed.iter().find(|(name, _)| !all.tensors.contains_key(*name)) {
            return Err(Error::bad_file(&index, format!("tensor `{name}` is missing in `{file}`")));
        }
        Ok(all)
    }

    fn open(&mut self, path: &Path) -> Result<()> {
        let io = |source| Error::io("read", path, source);
        let mut file = File::open(path).map_err(io)?;
        let size_bytes = file.metadata().map_err(io)?.len();
        let (first, metadata) = read_header(&mut file, size_bytes).map_err(|source| {
            let message = format!("`{}` is not a whole safetensors file ({size_bytes} bytes)", path.display());
            Error::caused(Kind::BadFile, message, source)
        })?;
        for (name, info) in metadata.tensors() {
            let (start, end) = info.data_offsets;
            let entry = Entry {
                file: self.files.len(),
                dtype: info.dtype,
                shape: info.shape.clone(),
                start: first + start as u64,
                size_bytes: end - start,
            };
            if self.tensors.insert(name.clone(), entry).is_some() {
                return Err(Error::bad_file(&self.path, format!("tensor `{name}` is in two files")));
            }
        }
        self.files.push((path.to_owned(), file));
        Ok(())
    }

    /// Removes a tensor of the given shape.
    pub(crate) fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let Some(entry) = self.tensors.remove(name) else {
            return Err(Error::bad_file(&self.path, format!("tensor `{name}` is missing")));
        };
        let (path, file) = &mut self.files[entry.file];
        if entry.shape != shape {
            let message = format!("tensor `{name}`: expected shape {shape:?}, got {:?}", entry.shape);
            return Err(Error::bad_file(path, message));
        }
        let mut bytes = vec![0u8; entry.size_bytes];
        file.seek(SeekFrom::Start(entry.start))
            .and_then(|_| file.read_exact(&mut bytes))
            .map_err(|source| Error::io("read", path, source))?;
        numbers(&bytes, entry.dtype).ok_or_else(|| {
            Error::bad_file(path, format!("tensor `{name}`: expected F32, BF16 or F16, got {:?}", entry.dtype))
        })
    }

    /// Removes a tensor of the given shape, to be trained.
    pub(crate) fn take_var(&mut self, name: &str, shape: &[usize]) -> Result<Var> {
        Ok(Var::from_vec(self.take(name, shape)?, shape, &Device::Cpu)?)
    }

    /// Whether a tensor is there and was not taken.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Leaves tensors aside whose names a rule picks.
    pub(crate) fn drop_where(&mut self, rule: impl Fn(&str) -> bool) {
        self.tensors.retain(|name, _| !rule(name));
    }

    /// Gives tensors other names.
    pub(crate) fn rename(&mut self, rule: impl Fn(&str) -> String) {
        let tensors = std::mem::take(&mut self.tensors);
        self.tensors = tensors.into_iter().map(|(name, entry)| (rule(&name), entry)).collect();
    }

    /// Refuses tensors that nobody took.
    pub(crate) fn finish(self) -> Result<()> {
        match self.tensors.first_key_value() {
            None => Ok(()),
            Some((name, entry)) => {
                let path = &self.files[entry.file].0;
                Err(Error::bad_file(path, format!("tensor `{name}` is not part of this model")))
            }
        }
    }
}

/// Longest header that we read; the format's own bound.
const HEADER_BYTES_MAX: u64 = 100_000_000;

/// Where the numbers of a file begin, and what its header says of them: 8 bytes of length, JSON, numbers without gaps.
fn read_header(file: &mut File, size_bytes: u64) -> Result<(u64, Metadata), Box<dyn std::error::Error + Send + Sync>> {
    let mut length = [0u8; 8];
    file.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > HEADER_BYTES_MAX.min(size_bytes) {
        return Err(format!("a header of {length} bytes").into());
    }
    let mut header = vec![0u8; length as usize];
    file.read_exact(&mut header)?;
    let metadata: Metadata = serde_json::from_slice(&header)?;
    let (first, expected) = (8 + length, 8 + length + metadata.data_len() as u64);
    if expected != size_bytes {
        return Err(format!("the header tells of {expected} bytes").into());
    }
    Ok((first, metadata))
}

/// Which file holds each tensor.
fn read_index(path: &Path) -> Result<BTreeMap<String, String>> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let bytes = std::fs::read(path).map_err(|source| Error::io("read", path, source))?;
    let index: Index = serde_json::from_slice(&bytes).map_err(|source| {
        Error::caused(Kind::BadFile, format!("`{}` is not an index of weights", path.display()), source)
    })?;
    Ok(index.weight_map)
}

/// Endings of files that run code when they are opened.
const PICKLES: [&str; 5] = ["bin", "pt", "pth", "ckpt", "pkl"];

/// Refuses a folder whose weights are pickled, by the file's name.
fn refuse_pickles(dir: &Path) -> Result<()> {
    let entries = std::fs::read_dir(dir).map_err(|source| Error::io("list", dir, source))?;
    let mut names: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    names.sort();
    let pickled = |path: &&PathBuf| {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        PICKLES.contains(&ending) && name != "training_args.bin"
    };
    match names.iter().find(pickled) {
        None => Ok(()),
        Some(path) => {
            let message = "pickled weights run code when they are opened and are not read; expected safetensors";
            let hint = "where you trust the file, convert it with the transformers library: \
                        AutoModelForCausalLM.from_pretrained(DIR).save_pretrained(NEW_DIR)";
            Err(Error::bad_file(path, format!("{message}\nhint: {hint}")))
        }
    }
}

/// Little-endian numbers as f32; none for other types.
fn numbers(bytes: &[u8], dtype: Dtype) -> Option<Vec<f32>> {
    let halves = || bytes.as_chunks::<2>().0.iter().map(|bytes| u16::from_le_bytes(*bytes));
    match dtype {
        Dtype::F32 => Some(bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()),
        Dtype::BF16 => Some(halves().map(from_bf16).collect()),
        Dtype::F16 => Some(halves().map(from_f16).collect()),
        _ => None,
    }
}

/// The upper half of an f32.
pub(crate) fn from_bf16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// An IEEE 754 half: sign, 5 bits of exponent, 10 of fraction.
pub(crate) fn from_f16(bits: u16) -> f32 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 0x3ff) / 1024.0);
    let size = match exponent {
        0 => fraction * 2f32.powi(-14),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1.0 + fraction) * 2f32.powi(exponent - 15),
    };
    if bits >> 15 == 1 { -size } else { size }
}

/// Writes tensors, sorted by name.
pub(crate) fn write(path: &Path, tensors: &[(String, Tensor)]) -> Result<()> {
    let tensors = tensors
        .iter()
        .map(|(name, tensor)| {
            let numbers = tensor.flatten_all()?.to_vec1::<f32>()?;
            Ok((name.clone(), tensor.dims().to_vec(), numbers))
        })
        .collect::<Result<Vec<_>>>()?;
    write_numbers(
        path,
        tensors.iter().map(|(name, shape, numbers)| (name.as_str(), shape.as_slice(), numbers.as_slice())),
    )
}

/// Writes plain numbers as tensors, sorted by name. The file is complete on disk when this returns.
pub(crate) fn write_numbers<'a>(
    path: &Path,
    tensors: impl Iterator<Item = (&'a str, &'a [usize], &'a [f32])>,
) -> Result<()> {
    let bytes: BTreeMap<&str, (&[usize], Vec<u8>)> = tensors
        .map(|(name, shape, numbers)| (name, (shape, numbers.iter().flat_map(|x| x.to_le_bytes()).collect())))
        .collect();
    let views = bytes
        .iter()
        .map(|(name, (shape, bytes))| Ok((*name, TensorView::new(Dtype::F32, shape.to_vec(), bytes)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(|source| Error::caused(Kind::Bug, "failed to lay out tensors for a file", source))?;
    let metadata = std::collections::HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let file = safetensors::serialize(views, Some(metadata))
        .map_err(|source| Error::caused(Kind::Bug, "failed to lay out tensors for a file", source))?;
    write_file(path, &file)
}

/// Writes a file and waits until the disk has it.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    use std::io::Write;
    std::fs::File::create(path)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .map_err(|source| Error::io("write", path, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_read_exactly() {
        let of = |bits: [u16; 6], dtype| {
            let bytes: Vec<u8> = bits.iter().flat_map(|bits| bits.to_le_bytes()).collect();
            numbers(&bytes, dtype).unwrap()
        };
        // IEEE 754: 1, −2, 2⁻²⁴ (the smallest), 65504 (the largest), infinity, 0.333251953125.
        let got = of([0x3c00, 0xc000, 0x0001, 0x7bff, 0x7c00, 0x3555], Dtype::F16);
        assert_eq!(got, [1.0, -2.0, 2f32.powi(-24), 65504.0, f32::INFINITY, 0.333_251_95]);
        let got = of([0x3f80, 0xc000, 0x0000, 0x4049, 0x7f80, 0x3eab], Dtype::BF16);
        assert_eq!(got, [1.0, -2.0, 0.0, 3.140_625, f32::INFINITY, 0.333_984_38]);
        assert_eq!(numbers(&[0; 8], Dtype::I64), None);
    }
}
