//! Named f32 tensors in safetensors files, in bytes that depend on their contents alone.

use crate::error::{Error, Kind, Result};
use candle_core::{Device, Tensor, Var};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::{collections::BTreeMap, path::Path};

/// The tensors of one file by name.
pub(crate) struct WeightFile {
    path: std::path::PathBuf,
    tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
}

impl WeightFile {
    /// Reads all tensors. Refuses files that are cut short, overlong, or not f32.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|source| Error::io("read", path, source))?;
        let damaged = |source| {
            let length = bytes.len();
            let message = format!("`{}` is not a whole safetensors file ({length} bytes)", path.display());
            Error::caused(Kind::BadFile, message, source)
        };
        let file = SafeTensors::deserialize(&bytes).map_err(damaged)?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.iter() {
            if view.dtype() != Dtype::F32 {
                let message = format!("tensor `{name}`: expected F32, got {:?}", view.dtype());
                return Err(Error::bad_file(path, message));
            }
            let (numbers, _) = view.data().as_chunks::<4>();
            let numbers = numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            tensors.insert(name.to_owned(), (view.shape().to_vec(), numbers));
        }
        Ok(Self { path: path.to_owned(), tensors })
    }

    /// Removes a tensor of the given shape.
    pub(crate) fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let Some((got, numbers)) = self.tensors.remove(name) else {
            return Err(Error::bad_file(&self.path, format!("tensor `{name}` is missing")));
        };
        if got != shape {
            let message = format!("tensor `{name}`: expected shape {shape:?}, got {got:?}");
            return Err(Error::bad_file(&self.path, message));
        }
        Ok(numbers)
    }

    /// Removes a tensor of the given shape, to be trained.
    pub(crate) fn take_var(&mut self, name: &str, shape: &[usize]) -> Result<Var> {
        Ok(Var::from_vec(self.take(name, shape)?, shape, &Device::Cpu)?)
    }

    /// Refuses tensors that nobody took.
    pub(crate) fn finish(self) -> Result<()> {
        match self.tensors.keys().next() {
            None => Ok(()),
            Some(name) => Err(Error::bad_file(&self.path, format!("tensor `{name}` is not part of this model"))),
        }
    }
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
