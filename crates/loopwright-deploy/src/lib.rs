//! Shipping a model: packing, signing, and moving traffic to it.
//!
//! - [`package::pack`] writes a model version as an OCI image layout: a folder of blobs named by their digests, the
//!   same bytes for the same files. [`unpack::unpack`] reads one back and refuses anything that is not what it says.
//! - [`sign::sign_package`] signs every file of a package in the OpenSSF model-signing format, and
//!   [`sign::verify_package`] is called before a model is served. [`sign::sign_bytes`] does the same for one document,
//!   such as an erasure's receipt.
//! - [`rollout`] decides nothing about quality: it turns a decision into the route's next state, so that weights always
//!   add up to 100 and a live variant always answers.
//!
//! The pipeline packs and signs, the server verifies and unpacks, and both move traffic through [`rollout`]. Nothing
//! here reads a clock or draws a random number by itself.
//!
//! ```
//! use loopwright_deploy::{key::SigningKey, package::{self, PackFile, PackageSpec}, sign, unpack};
//! use loopwright_types::ModelRef;
//! use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
//!
//! # fn main() -> loopwright_deploy::Result<()> {
//! let dir = tempfile::tempdir().expect("a temporary folder");
//! let model = ModelRef::new("support", 1);
//! let spec = PackageSpec::new(model).with_file(PackFile::bytes("config.json", "{}")).with_file(PackFile::bytes("model.safetensors", "weights"));
//! let package = dir.path().join("package");
//! let packed = package::pack(&spec, &package)?;
//!
//! let key = SigningKey::generate(&mut ChaCha8Rng::seed_from_u64(1));
//! let bundle = sign::sign_package(&package, "support@1", &key)?;
//! let verified = sign::verify_package(&package, &bundle, &[key.public()])?;
//! assert_eq!(verified.manifest, packed.digest);
//!
//! let files = unpack::unpack(&package, &dir.path().join("model"), &unpack::Limits::default())?;
//! assert_eq!(files.files.len(), 2);
//! # Ok(())
//! # }
//! ```

mod error;

pub mod dsse;
pub mod key;
pub mod layout;
pub mod package;
pub mod rollout;
pub mod sign;
pub mod unpack;

pub use error::{Error, Kind, Result};
