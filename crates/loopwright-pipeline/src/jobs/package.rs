//! Package: a model version as a signed OCI image layout, and the check that comes before serving it.

use super::{collect::in_background, train::dataset_of};
use crate::{
    context::Context,
    error::{Doing, Error, Result},
};
use loopwright_deploy::{
    Kind,
    key::{PublicKey, SigningKey},
    package::{PackFile, PackageSpec, pack},
    sign::{read_bundle, sign_package, verify_package},
    unpack::{Limits, open},
};
use loopwright_store::{Change, ObjectKey, Store};
use loopwright_types::{
    DatasetVersion, Digest, Entity, EntityRef, ModelRef, ModelVersion, deployment::Package, event::NewEvent,
    lineage::Edge,
};
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use std::{
    collections::BTreeMap,
    fs::File,
    path::{Path, PathBuf},
};

/// Name of the secret from which the project's signing key is made.
const SIGNING_SECRET: &str = "signing";

/// The project's signing key: the same in every process of the project.
pub fn signing_key(store: &Store) -> Result<SigningKey> {
    let mut rng = ChaCha20Rng::from_seed(store.secret(SIGNING_SECRET)?);
    Ok(SigningKey::generate(&mut rng))
}

/// Packs and signs a model version, together with the base it needs.
pub async fn package(ctx: &Context, model: &ModelRef) -> Result<Package> {
    let version: ModelVersion = ctx.store.require(&model.to_string()).await?;
    let dataset: DatasetVersion = ctx.store.require(&dataset_of(&version)?.to_string()).await?;
    let spec = spec(&ctx.store, &version, &dataset)?;
    let key = signing_key(&ctx.store)?;
    let target = ctx.store.objects().local_dir(&ObjectKey::PackageDir { model: model.clone() })?;
    let name = model.to_string();
    let packed = in_background(move || {
        let packed = pack(&spec, &target).doing(|| format!("failed to package `{name}`"))?;
        sign_package(&target, &name, &key).doing(|| format!("failed to sign the package of `{name}`"))?;
        Ok((packed, key.public().fingerprint()))
    });
    let (packed, signed_by) = packed.await?;
    let package = packed.record(model, &signed_by, ctx.store.now());
    let about = package.entity_ref();
    let event = NewEvent::new(ctx.actor, "package.built", about.clone());
    let body = serde_json::json!({"digest": package.digest, "size_bytes": package.size_bytes});
    let link = Change::Link(Edge::new(EntityRef::from(model), "packaged", about));
    ctx.store.apply(event.with_body(body), vec![Change::put(&package), link]).await?;
    Ok(package)
}

/// Builds the same package once more into a scratch folder and returns its digest: it must be the same.
pub async fn rebuild_digest(ctx: &Context, model: &ModelRef) -> Result<Digest> {
    let version: ModelVersion = ctx.store.require(&model.to_string()).await?;
    let dataset: DatasetVersion = ctx.store.require(&dataset_of(&version)?.to_string()).await?;
    let spec = spec(&ctx.store, &version, &dataset)?;
    let scratch = ctx.store.layout().state().join("scratch").join(ctx.store.new_id("package"));
    in_background(move || {
        let packed = pack(&spec, &scratch).doing(|| "failed to build the package a second time".into());
        // A scratch folder that stays behind costs space, not truth.
        std::fs::remove_dir_all(&scratch).ok();
        Ok(packed?.digest)
    })
    .await
}

/// What goes into a package: the base's files and the adapter's, and the cards.
fn spec(store: &Store, version: &ModelVersion, dataset: &DatasetVersion) -> Result<PackageSpec> {
    let mut spec = PackageSpec::new(version.model.clone());
    for (name, path) in files_of(store, version)? {
        spec = spec.with_file(PackFile::path(&name, path));
    }
    let card = loopwright_data::card::to_markdown(&dataset.card, &dataset.dataset.to_string());
    spec = spec.with_file(PackFile::bytes("DATA_CARD.md", card));
    spec.annotations.insert("dev.loopwright.dataset".into(), dataset.dataset.to_string());
    spec.annotations.insert("dev.loopwright.dataset.digest".into(), dataset.digest.to_string());
    if let Some(run) = &version.run {
        spec.annotations.insert("dev.loopwright.run".into(), run.to_string());
    }
    Ok(spec)
}

/// The files that a version is served from, by name: its base's and its own.
pub fn files_of(store: &Store, version: &ModelVersion) -> Result<BTreeMap<String, PathBuf>> {
    let mut files = BTreeMap::new();
    for model in version.base.iter().chain([&version.model]) {
        let dir = store.objects().local_dir(&ObjectKey::ModelDir { model: model.clone() })?;
        let doing = || format!("failed to list the files of `{model}` in `{}`", dir.display());
        for entry in std::fs::read_dir(&dir).outside(doing)? {
            let entry = entry.outside(doing)?;
            files.insert(entry.file_name().to_string_lossy().into_owned(), entry.path());
        }
    }
    Ok(files)
}

/// Checks, before a version is served, that its package is whole, signed by this project, and made of exactly the files
/// that would be loaded. Blocking.
pub fn verify_for_serving(store: &Store, version: &ModelVersion, record: &Package) -> Result<()> {
    let model = &version.model;
    let dir = store.objects().local_dir(&ObjectKey::PackageDir { model: model.clone() })?;
    let trusted = [signing_key(store)?.public()];
    check_signature(&dir, model, record, &trusted)?;
    let opened = open(&dir, &Limits::default()).doing(|| format!("the package of `{model}` is damaged"))?;
    let packed: BTreeMap<&str, &Digest> = opened.files.iter().map(|file| (file.name.as_str(), &file.digest)).collect();
    for (name, path) in files_of(store, version)? {
        let digest = file_digest(&path)?;
        if packed.get(name.as_str()) != Some(&&digest) {
            let problem = format!("`{}` is not the file that was packaged and signed for `{model}`", path.display());
            return Err(Error::user(problem)
                .hint("package it again with `loopwright package`, or restore the file from the package"));
        }
    }
    Ok(())
}

fn check_signature(dir: &Path, model: &ModelRef, record: &Package, trusted: &[PublicKey]) -> Result<()> {
    let bundle = read_bundle(dir).doing(|| format!("the package of `{model}` has no readable signature"))?;
    let verified = verify_package(dir, &bundle, trusted).map_err(|error| {
        let what = if error.kind() == Kind::Damaged { "is damaged" } else { "is not validly signed" };
        Error::user(format!("the package of `{model}` {what}")).because(error)
    })?;
    if verified.name != model.to_string() {
        return Err(Error::user(format!("the package of `{model}` holds `{}`", verified.name)));
    }
    if verified.manifest != record.digest {
        return Err(Error::user(format!("the package of `{model}` is not the one recorded")));
    }
    Ok(())
}

fn file_digest(path: &Path) -> Result<Digest> {
    use sha2::Digest as _;
    let doing = || format!("failed to read `{}`", path.display());
    let mut hash = sha2::Sha256::new();
    let mut file = File::open(path).outside(doing)?;
    let mut chunk = vec![0; 1 << 20];
    loop {
        let n = std::io::Read::read(&mut file, &mut chunk).outside(doing)?;
        if n == 0 {
            return Ok(Digest::from_hash(&hash.finalize()));
        }
        hash.update(&chunk[..n]);
    }
}
