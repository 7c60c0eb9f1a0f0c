//! What several commands on one endpoint share: which it is, how to wait for it, how to show it.

use std::time::Duration;

use clap::Args;
use dedi_api::DedicatedEndpoint;

use crate::client::encoded;
use crate::console::Console;
use crate::context::Context;
use crate::durations;
use crate::error::Result;
use crate::render;
use crate::resolve::{Match, resolve};

/// Which endpoint.
#[derive(Debug, Args)]
pub struct One {
    /// Id, name, display name, or a unique prefix of one
    #[arg(value_name = "ENDPOINT")]
    pub(super) endpoint: String,
    /// Match exactly (no prefix matching)
    #[arg(long)]
    exact: bool,
}

impl One {
    /// The id of the endpoint that is meant.
    pub(super) async fn id(&self, context: &Context) -> Result<String> {
        let how = if self.exact { Match::Whole } else { Match::Prefix };
        resolve(&context.client, &self.endpoint, how).await
    }
}

/// How to wait.
#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// Wait until it is done; exits with 1 if it fails
    #[arg(long)]
    pub(super) wait: bool,
    /// Maximum time to wait, such as 30s, 5m or 2h; a plain number is seconds
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = durations::seconds)]
    wait_timeout: u64,
}

impl WaitArgs {
    pub(super) fn limit(&self) -> Duration {
        Duration::from_secs(self.wait_timeout)
    }
}

pub(super) fn show(context: &Context, console: &mut Console, endpoint: &DedicatedEndpoint) -> Result {
    context.print(console, endpoint, [&endpoint.id], render::endpoint)
}

pub(super) fn path_of(id: &str) -> String {
    format!("/endpoints/{}", encoded(id))
}
