//! A support desk to ask: a project with tiny random models, two keys, a route, and a server on a free port.

use crate::client::{Open, Reply};
use candle_core::Tensor;
use loopwright_lm::{Model, ModelConfig, Tokenizer, chat};
use loopwright_serve::keys;
use loopwright_server::{Server, ServerSettings, live::Live, serve};
use loopwright_store::{Change, ObjectKey, Store};
use loopwright_types::{
    DatasetRef, Digest, Entity, ModelRef, ModelVersion,
    deployment::{Route, Variant},
    event::NewEvent,
    id::{KeyId, RunId},
    key::{ApiKey, Scope},
    model::{ModelKind, ModelState},
};
use serde_json::{Value, json};
use std::{path::Path, sync::Arc, time::Duration};

/// Tokens that a model's context holds.
pub const CONTEXT: usize = 2048;
/// Nothing in these tests takes longer.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Desk {
    pub server: Server,
    pub store: Store,
    pub key: String,
    pub admin: String,
}

pub async fn desk() -> Desk {
    desk_with(|_| {}).await
}

/// A desk whose server has changed settings.
pub async fn desk_with(change: impl FnOnce(&mut ServerSettings)) -> Desk {
    let store = Store::in_memory().await.unwrap();
    write_model(&store, 1).await;
    put_route(&store, &[("live", 1, 100)]).await;
    let key = put_key(&store, 1, Scope::Inference).await;
    let admin = put_key(&store, 2, Scope::Admin).await;
    let server = start(&store, change).await;
    let live = server.settled(PATIENCE).await.unwrap();
    assert!(!live.models.is_empty(), "{live:?}");
    Desk { server, store, key, admin }
}

pub async fn start(store: &Store, change: impl FnOnce(&mut ServerSettings)) -> Server {
    let mut settings = ServerSettings::new("127.0.0.1:0".parse().unwrap(), store.clone(), Arc::new(|_| Ok(())));
    settings.poll_every = Duration::from_millis(20);
    change(&mut settings);
    serve(settings).await.unwrap()
}

impl Desk {
    /// What is served once everything recorded so far is in force.
    pub async fn settled(&self) -> Arc<Live> {
        self.server.settled(PATIENCE).await.unwrap()
    }

    pub async fn open(&self, head: &str, headers: &[(&str, &str)], body: &str) -> Open {
        Open::send(self.server.local_addr(), head, headers, body.as_bytes()).await
    }

    /// Asks without a key.
    pub async fn ask(&self, head: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        self.open(head, headers, body).await.reply().await
    }

    /// `GET` with the inference key.
    pub async fn get(&self, path: &str) -> Reply {
        self.ask(&format!("GET {path}"), &[("authorization", &self.bearer())], "").await
    }

    /// `POST` with the inference key.
    pub async fn post(&self, path: &str, body: &str) -> Reply {
        self.ask(&format!("POST {path}"), &[("authorization", &self.bearer())], body).await
    }

    /// A chat request of a few tokens, with some fields replaced.
    pub async fn chat(&self, fields: Value) -> Reply {
        self.post("/v1/chat/completions", &body(fields)).await
    }

    pub async fn open_chat(&self, fields: Value) -> Open {
        self.open("POST /v1/chat/completions", &[("authorization", &self.bearer())], &body(fields)).await
    }

    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.key)
    }

    /// Waits for something that happens by itself.
    pub async fn until(&self, what: &str, mut is_so: impl AsyncFnMut() -> bool) {
        let waiting = async {
            while !is_so().await {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never happened: {what}"));
    }
}

/// A chat request of a few tokens, with some fields replaced.
pub fn body(fields: Value) -> String {
    let mut body = json!({
        "model": "support",
        "messages": [{"role": "user", "content": "where is my parcel?"}],
        "max_tokens": 6,
    });
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    body.to_string()
}

/// Writes `desk@version` to the store: a random base whose greedy answers do not end by themselves.
pub async fn write_model(store: &Store, version: u32) {
    let model = ModelRef::new("desk", version);
    let dir = store.objects().local_dir(&ObjectKey::ModelDir { model: model.clone() }).unwrap();
    std::fs::create_dir_all(&dir).unwrap();
    write_endless_base(&dir, u64::from(version));
    put_model(store, &model, ModelState::Approved).await;
}

/// The special tokens' embeddings, which are also the head's rows, are 0: among hundreds of random logits one is above.
fn write_endless_base(dir: &Path, seed: u64) {
    let texts = ["where is my parcel", "the parcel has not arrived", "my card was refused"];
    let tokenizer = Tokenizer::train_bpe(&texts, 290, &chat::SPECIAL_TOKENS).unwrap();
    let mut config = ModelConfig::sized(tokenizer.vocab_size(), 32, 1, 2);
    config.max_position_embeddings = CONTEXT;
    let model = Model::init(&config, seed).unwrap();
    let (_, embedding) = model.named_parameters().swap_remove(0);
    let n_special = chat::SPECIAL_TOKENS.len();
    let (rows, width) = embedding.dims2().unwrap();
    let special = Tensor::zeros((n_special, width), embedding.dtype(), embedding.device()).unwrap();
    let others = embedding.as_detached_tensor().narrow(0, n_special, rows - n_special).unwrap();
    embedding.set(&Tensor::cat(&[special, others], 0).unwrap()).unwrap();
    model.save(dir).unwrap();
    tokenizer.save(dir).unwrap();
}

pub async fn put_model(store: &Store, model: &ModelRef, state: ModelState) {
    let version = ModelVersion {
        model: model.clone(),
        kind: ModelKind::Base,
        base: None,
        parent: None,
        run: Some(RunId::new("run_1")),
        dataset: Some(DatasetRef::new("support", 1)),
        imported: None,
        digest: Digest::of(b""),
        n_parameters: 1,
        state,
        state_reason: None,
        created_at: store.now(),
    };
    put(store, "model_version.changed", &version).await;
}

pub async fn put_route(store: &Store, variants: &[(&str, u32, u32)]) {
    let variants = variants.iter().map(|(name, version, weight_percent)| Variant {
        name: name.to_string(),
        model: ModelRef::new("desk", *version),
        weight_percent: *weight_percent,
    });
    let route = Route { name: "support".into(), variants: variants.collect(), rollout: None, updated_at: store.now() };
    put(store, "route.changed", &route).await;
}

/// Makes a key and returns its secret.
pub async fn put_key(store: &Store, number: u8, scope: Scope) -> String {
    let secret = keys::secret_from(&[number; 32]);
    put(store, "api_key.created", &key_record(store, number, scope, false)).await;
    secret
}

pub fn key_record(store: &Store, number: u8, scope: Scope, is_revoked: bool) -> ApiKey {
    ApiKey {
        id: KeyId::new(format!("key_{number}")),
        owner: "desk".into(),
        hash: keys::hash(&keys::secret_from(&[number; 32])),
        scope,
        created_at: store.now(),
        revoked_at: is_revoked.then(|| store.now()),
        expires_at: None,
        routes: Vec::new(),
        limits: Vec::new(),
    }
}

pub async fn put<E: Entity>(store: &Store, kind: &str, entity: &E) {
    store.apply(NewEvent::new("cli", kind, entity.entity_ref()), vec![Change::put(entity)]).await.unwrap();
}
