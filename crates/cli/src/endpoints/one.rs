//! What several commands on one endpoint share: which it is, how to wait for it, how to show it.

use std::time::Duration;

use clap::Args;
use dedi_api::DedicatedEndpoint;

use crate::client::encoded;
use crate::console::Console;
use crate::context::Context;
use crate::error::Result;
use crate::render;
use crate::resolve::{Match, resolve};

/// Which endpoint.
#[derive(Debug, Args)]
pub struct One {
    /// Id, name, display name, or a unique beginning of one
    #[arg(value_name = "ENDPOINT")]
    pub(super) endpoint: String,
    /// Take a whole id, name or display name only, no beginning of one
    #[arg(long)]
    exact: bool,
}

impl One {
    /// The id of the endpoint that is meant.
    pub(super) async fn id(&self, context: &Context) -> Result<String> {
        let how = if self.exact { Match::Whole } else { Match::Beginning };
        resolve(&context.client, &self.endpoint, how).await
    }
}

/// How to wait.
#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// Wait until it is done; ends with 1 if it fails
    #[arg(long)]
    pub(super) wait: bool,
    /// Seconds to wait at most
    #[arg(long, value_name = "SECONDS", default_value_t = 3_600, value_parser = clap::value_parser!(u64).range(1..))]
    wait_timeout: u64,
}

impl WaitArgs {
    pub(super) fn limit(&self) -> Duration {
        Duration::from_secs(self.wait_timeout)
    }
}

pub(super) fn show(context: &Context, console: &mut Console, endpoint: &DedicatedEndpoint) -> Result {
    if context.json {
        return console.json(endpoint);
    }
    let text = render::endpoint(endpoint, console.colours());
    console.data(&text)
}

pub(super) fn path_of(id: &str) -> String {
    format!("/endpoints/{}", encoded(id))
}
