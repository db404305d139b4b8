//! Serves the model in one folder behind one route, for clients that are to be tried: `folder DIR ROUTE`.
//!
//! Nothing is kept. Prints one line of JSON once it is up, and serves until it is killed.
#![allow(clippy::print_stdout, reason = "whoever starts it reads where it listens")]

use loopwright_serve::keys;
use loopwright_server::{ServerSettings, serve};
use loopwright_store::{Change, ObjectKey, Store};
use loopwright_types::{
    Digest, Entity, ModelRef, ModelVersion,
    deployment::{LIVE, Route, Variant},
    event::NewEvent,
    id::KeyId,
    key::{ApiKey, Scope},
    model::{ModelKind, ModelState},
};
use std::{error::Error, path::Path, sync::Arc, time::Duration};

type Done<T> = Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Done<()> {
    let mut words = std::env::args().skip(1);
    let (Some(dir), Some(route)) = (words.next(), words.next()) else {
        return Err("usage: folder DIR ROUTE".into());
    };
    let store = Store::in_memory().await?;
    let model = ModelRef::new("folder", 1);
    copy(Path::new(&dir), &store.objects().local_dir(&ObjectKey::ModelDir { model: model.clone() })?)?;
    put(&store, "model_version.changed", &version_of(&store, &model)).await?;
    let live = Variant { name: LIVE.into(), model, weight_percent: 100 };
    let served = Route { name: route.clone(), variants: vec![live], rollout: None, updated_at: store.now() };
    put(&store, "route.changed", &served).await?;
    let secret = keys::fresh_secret()?;
    put(&store, "api_key.created", &key_of(&store, &secret)).await?;

    let settings = ServerSettings::new("127.0.0.1:0".parse()?, store, Arc::new(|_| Ok(())));
    let server = serve(settings).await?;
    server.settled(Duration::from_secs(60)).await?;
    println!("{}", serde_json::json!({"base_url": server.url(), "api_key": secret, "route": route}));
    std::future::pending().await
}

fn copy(from: &Path, to: &Path) -> Done<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        std::fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

fn version_of(store: &Store, model: &ModelRef) -> ModelVersion {
    ModelVersion {
        model: model.clone(),
        kind: ModelKind::Base,
        base: None,
        parent: None,
        run: None,
        dataset: None,
        imported: None,
        digest: Digest::of(b""),
        n_parameters: 0,
        state: ModelState::Approved,
        state_reason: None,
        created_at: store.now(),
    }
}

fn key_of(store: &Store, secret: &str) -> ApiKey {
    ApiKey {
        id: KeyId::new("key_folder"),
        owner: "folder".into(),
        hash: keys::hash(secret),
        scope: Scope::Admin,
        created_at: store.now(),
        revoked_at: None,
        expires_at: None,
        routes: Vec::new(),
        limits: Vec::new(),
    }
}

async fn put<E: Entity>(store: &Store, kind: &str, entity: &E) -> Done<()> {
    store.apply(NewEvent::new("example", kind, entity.entity_ref()), vec![Change::put(entity)]).await?;
    Ok(())
}
