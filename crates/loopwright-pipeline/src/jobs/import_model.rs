//! Models from elsewhere: a folder in the layout of Hugging Face, or a GGUF file, becomes a model version.

use super::{collect::in_background, train};
use crate::{
    context::Context,
    error::{Doing, Error, Result},
};
use loopwright_lm::{
    ADAPTER_CONFIG_FILE, Adapter, Checkpoint, Form, GGUF_ENDING, GGUF_FILE, Model, TOKENIZER_FILE, config_of_gguf,
};
use loopwright_store::{Change, ObjectKey};
use loopwright_types::{
    Digest, Entity, EntityRef, ModelRef, ModelVersion,
    event::NewEvent,
    lineage::Edge,
    model::{Imported, ModelKind, ModelState},
};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Files that are taken over beside the weights, if they are there.
pub(super) const FILES: [&str; 10] = [
    "config.json",
    "generation_config.json",
    TOKENIZER_FILE,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "adapter_config.json",
    "LICENSE",
    "LICENSE.md",
    "README.md",
];

/// What is to be imported.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The folder, or a GGUF file with a `tokenizer.json` beside it.
    pub dir: PathBuf,
    /// Form in which the weights are kept; as they are without.
    pub weights: Option<String>,
    /// The version's name; the folder's unless given.
    pub name: Option<String>,
    /// The base that an adapter belongs to.
    pub base: Option<ModelRef>,
    /// The licence.
    pub licence: Option<String>,
}

/// Reads a folder whole, so that what cannot be used is refused now, and keeps it as a version. The same folder again
/// gives the version that there is.
pub async fn import(ctx: &Context, wanted: &Wanted) -> Result<ModelVersion> {
    let name = name_of(wanted)?;
    let base: Option<ModelVersion> = match &wanted.base {
        Some(base) => Some(ctx.store.require(&base.to_string()).await?),
        None => None,
    };
    let form = wanted.weights.as_deref().map(form_of).transpose()?;
    let (given, place) = (wanted.dir.clone(), ctx.store.layout().state());
    // Kept until the end: the files that are taken over may lie in it.
    let staged = in_background(move || stage(&given, form, &place)).await?;
    let from = staged.as_ref().map_or_else(|| wanted.dir.clone(), |staged| staged.path().to_path_buf());
    let (reading, folder) = (ctx.clone(), from.clone());
    let looked = in_background(move || look(&reading, &folder, base.as_ref())).await?;
    let newest = train::newest(ctx, &name).await?;
    if let Some(newest) = newest.as_ref().filter(|newest| newest.imported.is_some() && newest.base == wanted.base) {
        let dir = from.clone();
        let digest = in_background(move || digest_of(&dir)).await?;
        if digest == newest.digest {
            return Ok(newest.clone());
        }
    }
    if let Some(newest) = newest.as_ref().filter(|newest| newest.imported.is_none()) {
        return Err(
            Error::user(format!("`{}` was trained here", newest.model)).hint("give the import another `--name`")
        );
    }
    let model = ModelRef::new(&*name, newest.map_or(1, |newest| newest.model.version + 1));
    let to = ctx.store.objects().local_dir(&ObjectKey::ModelDir { model: model.clone() })?;
    let (copied, licence) = (from.clone(), licence_of(&from));
    let digest = in_background(move || copy(&copied, &to)).await?;
    let version = ModelVersion {
        model: model.clone(),
        kind: if wanted.base.is_some() { ModelKind::Adapter } else { ModelKind::Base },
        base: wanted.base.clone(),
        parent: None,
        run: None,
        dataset: None,
        imported: Some(Imported {
            from: folder_name(&wanted.dir),
            family: looked.family,
            licence: wanted.licence.clone().or(licence),
        }),
        digest,
        n_parameters: looked.n_parameters,
        state: ModelState::Candidate,
        state_reason: None,
        created_at: ctx.store.now(),
    };
    let about = version.entity_ref();
    let body = serde_json::json!({"digest": version.digest, "from": version.imported});
    let event = NewEvent::new(ctx.actor, "model_version.imported", about.clone()).with_body(body);
    let mut changes = vec![Change::put(&version)];
    changes.extend(
        version.base.iter().map(|base| Change::Link(Edge::new(EntityRef::from(base), "carries", about.clone()))),
    );
    ctx.store.apply(event, changes).await?;
    Ok(version)
}

fn form_of(name: &str) -> Result<Form> {
    let expected = || Error::user(format!("weights must be f32, bf16, q8_0 or q4_k, got `{name}`"));
    Form::from_name(name).ok_or_else(expected)
}

/// A folder as the rest of the import takes it, where the one that was given is none yet: a GGUF file becomes the weights of a
/// folder, and weights are packed into a form. Nothing is changed where it was given.
fn stage(given: &Path, form: Option<Form>, place: &Path) -> Result<Option<TempDir>> {
    let doing = || format!("failed to import `{}`", given.display());
    let gguf = gguf_of(given)?;
    if gguf.is_none() && form.is_none() {
        return Ok(None);
    }
    let source = if given.is_dir() { given } else { given.parent().unwrap_or(given) };
    std::fs::create_dir_all(place).outside(doing)?;
    let staged = tempfile::Builder::new().prefix("import-").tempdir_in(place).outside(doing)?;
    for name in FILES.iter().filter(|name| source.join(name).is_file()) {
        std::fs::copy(source.join(name), staged.path().join(name)).outside(doing)?;
    }
    match (gguf, form) {
        (Some(_), Some(_)) => {
            return Err(Error::user(format!("`{}` is in a form already", given.display()))
                .hint("leave out `--weights`, or name the folder that it was made of"));
        }
        (Some(gguf), None) => {
            std::fs::copy(&gguf, staged.path().join(GGUF_FILE)).outside(doing)?;
            let config = staged.path().join("config.json");
            if !config.exists() {
                std::fs::write(config, config_of_gguf(&gguf).doing(doing)?).outside(doing)?;
            }
        }
        (None, form) => {
            let Checkpoint { model, .. } = Checkpoint::read(given).doing(doing)?;
            model.save_in_form(staged.path(), form.unwrap_or_default()).doing(doing)?;
        }
    }
    Ok(Some(staged))
}

/// The GGUF file that was named, or the only one of a folder without other weights.
fn gguf_of(given: &Path) -> Result<Option<PathBuf>> {
    let is_gguf = |path: &Path| path.extension().is_some_and(|ending| ending == GGUF_ENDING);
    if !given.is_dir() {
        return Ok(is_gguf(given).then(|| given.to_path_buf()));
    }
    let files = std::fs::read_dir(given).outside(|| format!("failed to read `{}`", given.display()))?;
    let (mut found, mut others) = (Vec::new(), false);
    for path in files.flatten().map(|entry| entry.path()) {
        others |= path.extension().is_some_and(|ending| ending == "safetensors");
        found.extend(is_gguf(&path).then_some(path));
    }
    match &found[..] {
        _ if others => Ok(None),
        [] => Ok(None),
        [one] => Ok(Some(one.clone())),
        many => {
            Err(Error::user(format!("`{}` holds {} GGUF files", given.display(), many.len()))
                .hint("name the file itself"))
        }
    }
}

/// What a look into a folder tells.
struct Looked {
    family: String,
    n_parameters: u64,
}

/// Reads the model as training and serving will.
fn look(ctx: &Context, dir: &Path, base: Option<&ModelVersion>) -> Result<Looked> {
    if !dir.is_dir() {
        return Err(Error::user(format!("`{}` is no folder", dir.display()))
            .hint("name a folder with `config.json`, `model.safetensors` and `tokenizer.json`, or a GGUF file beside its `tokenizer.json`"));
    }
    let doing = || format!("failed to import `{}`", dir.display());
    if let Some(base) = base {
        let base_dir = ctx.store.objects().local_dir(&ObjectKey::ModelDir { model: base.model.clone() })?;
        let model = Model::load(&base_dir).doing(|| format!("failed to load `{}`", base.model))?;
        let adapter = Adapter::load(dir, &model).doing(doing)?;
        return Ok(Looked { family: family(&model), n_parameters: adapter.n_parameters() });
    }
    if dir.join(ADAPTER_CONFIG_FILE).exists() {
        return Err(Error::user(format!("`{}` holds an adapter", dir.display()))
            .hint("name the imported base that it belongs to with `--base NAME@VERSION`"));
    }
    let Checkpoint { model, .. } = Checkpoint::read(dir).doing(doing)?;
    Ok(Looked { family: family(&model), n_parameters: model.n_parameters() })
}

fn family(model: &Model) -> String {
    model.config().family.as_str().to_string()
}

/// The name as given, or made of the folder's.
fn name_of(wanted: &Wanted) -> Result<String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    match &wanted.name {
        Some(name) if !name.is_empty() && name.chars().all(fits) => Ok(name.clone()),
        Some(name) => Err(Error::user(format!("`{name}` cannot name a model")).hint("use a-z, 0-9, `-`, `_` and `.`")),
        None => {
            let lower = folder_name(&wanted.dir).to_ascii_lowercase();
            let name: String = lower.chars().map(|c| if fits(c) { c } else { '-' }).collect();
            match name.trim_matches(['-', '.']) {
                "" => Err(Error::user("the folder's name cannot name a model").hint("give one with `--name`")),
                name => Ok(name.to_string()),
            }
        }
    }
}

fn folder_name(dir: &Path) -> String {
    let dir = if dir.extension().is_some_and(|ending| ending == GGUF_ENDING) { &dir.with_extension("") } else { dir };
    let absolute = std::path::absolute(dir).unwrap_or_else(|_| dir.to_path_buf());
    absolute.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// `license:` of the card's front matter.
fn licence_of(dir: &Path) -> Option<String> {
    let card = std::fs::read_to_string(dir.join("README.md")).ok()?;
    let front = card.strip_prefix("---\n")?.split("\n---").next()?;
    let line = front.lines().find_map(|line| line.strip_prefix("license:"))?;
    let licence = line.trim().trim_matches(['"', '\'']);
    (!licence.is_empty()).then(|| licence.to_string())
}

/// The files that make the model: known ones, and weights.
fn files(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let is_weights =
            name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json") || name == GGUF_FILE;
        if path.is_file() && (is_weights || FILES.contains(&name.as_str())) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The digest over names and bytes of the model's files, as every version's.
fn digest_of(dir: &Path) -> Result<Digest> {
    let doing = || format!("failed to read `{}`", dir.display());
    let mut parts: Vec<Vec<u8>> = Vec::new();
    for path in files(dir).outside(doing)? {
        parts.push(path.file_name().unwrap_or_default().to_os_string().into_encoded_bytes());
        parts.push(std::fs::read(&path).outside(doing)?);
    }
    Ok(Digest::of_parts(parts.iter().map(Vec::as_slice)))
}

/// Copies the files beside the target and swaps them in: the version is whole or not there.
fn copy(from: &Path, to: &Path) -> Result<Digest> {
    let doing = || format!("failed to copy the model to `{}`", to.display());
    let partial = to.with_extension("partial");
    for dir in [&partial, &to.to_path_buf()] {
        match std::fs::remove_dir_all(dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).outside(doing),
            _ => {}
        }
    }
    std::fs::create_dir_all(&partial).outside(doing)?;
    for path in files(from).outside(doing)? {
        std::fs::copy(&path, partial.join(path.file_name().unwrap_or_default())).outside(doing)?;
    }
    let digest = digest_of(&partial)?;
    std::fs::rename(&partial, to).outside(doing)?;
    Ok(digest)
}
