//! `dedi models …`.

use clap::Subcommand;
use dedi_api::Model;

use crate::Context;
use crate::console::Console;
use crate::error::Result;
use crate::render;

/// What can be done with models.
#[derive(Debug, Subcommand)]
pub enum ModelsCommand {
    /// List what can be deployed or asked
    #[command(visible_alias = "ls")]
    List,
}

pub(crate) async fn run(command: ModelsCommand, context: &Context, console: &mut Console) -> Result {
    match command {
        ModelsCommand::List => {
            let list: Vec<Model> = context.client.get("/models").await?;
            if context.json {
                return console.json(&list);
            }
            if list.is_empty() {
                console.say("The server has no models; put their files into its model store (`dedi config` says where).");
                return Ok(());
            }
            console.data(&render::models(&list))
        }
    }
}
