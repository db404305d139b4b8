//! The project file: as written ([`written`]), then resolved ([`Project`]).

mod check;
mod gateway;
mod init;
mod price;
mod resolved;
mod torch;
pub mod written;

pub use gateway::RouteSettings;
pub use init::{WORKFLOW_PATH, init, write_whole};
pub use loopwright_serve::upstream::ProviderSettings;
pub use price::PriceSettings;
pub use resolved::{
    DataSettings, EvalSettings, LoopSettings, MonitorSettings, PolicySettings, Project, ProjectSettings,
    RetrainSettings, ServeSettings, TrainSettings, TuneSettings,
};
pub use torch::{Backend, Device, TorchSettings};
pub use written::{DEFAULT_FILE, FILE_NAME, own_names, train_aliases};
