//! What can be typed about API keys.

use clap::{Args, Subcommand};

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
        #[command(flatten)]
        rules: KeyRuleArgs,
    },
    /// List keys, without their secrets
    List,
    /// Show a key, its limits, and what it has used
    Show {
        /// Its id, as `key list` shows it
        id: String,
    },
    /// Change how long, what and how much a key may ask; a running server follows at once
    Update {
        /// Its id, as `key list` shows it
        id: String,
        #[command(flatten)]
        rules: KeyRuleArgs,
        /// It does not expire any more
        #[arg(long, conflicts_with = "expires")]
        no_expiry: bool,
        /// It may ask every route again
        #[arg(long, conflicts_with = "models")]
        all_models: bool,
        /// Take its limits away first
        #[arg(long)]
        no_limits: bool,
    },
    /// Withdraw a key
    Revoke {
        /// Its id, as `key list` shows it
        id: String,
    },
}

/// How long, what and how much a key may ask.
#[derive(Debug, Default, Args)]
pub struct KeyRuleArgs {
    /// Good until then: `90d`, `12h`, `30m`, or a day such as `2026-12-31`, whose beginning in UTC is meant
    #[arg(long, value_name = "WHEN")]
    pub expires: Option<String>,
    /// The routes that it may ask, separated by commas; all of them without this
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub models: Vec<String>,
    /// At most so many requests in any 60 seconds
    #[arg(long, value_name = "N")]
    pub requests_per_minute: Option<u64>,
    /// At most so many tokens, of prompts and answers, in any 60 seconds
    #[arg(long, value_name = "N")]
    pub tokens_per_minute: Option<u64>,
    /// At most so much money in each window, in dollars
    #[arg(long, value_name = "USD")]
    pub budget_usd: Option<String>,
    /// Over how long the budget counts: minute, hour, day, month (30 days), total
    #[arg(long, value_name = "WINDOW", default_value = "month", requires = "budget_usd")]
    pub budget_window: String,
    /// Any other limit, such as `requests/day=10000`, `tokens/hour=50000` or `usd/total=100`; may be repeated
    #[arg(long, value_name = "LIMIT")]
    pub limit: Vec<String>,
}
