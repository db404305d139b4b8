//! What can be typed about API keys.

use clap::Subcommand;

/// `key …`
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key; its secret is shown once
    Make {
        /// Who holds it
        #[arg(long)]
        owner: String,
        /// It may also read every page and change routes
        #[arg(long)]
        admin: bool,
    },
    /// List keys, without their secrets
    List,
    /// Withdraw a key
    Revoke {
        /// Its id, as `key list` shows it
        id: String,
    },
}
