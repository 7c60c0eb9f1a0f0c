//! `dedi models …`.

use std::time::Duration;

use clap::Subcommand;
use dedi_api::{CreateCheckRequest, List, Model, ModelCheck, ModelHolders, ModelPull, ShareModelRequest};

use crate::client::encoded;
use crate::console::Console;
use crate::context::Context;
use crate::error::{CliError, Result};
use crate::pull::{self, PullArgs};
use crate::render;

/// What can be done with models.
#[derive(Debug, Subcommand)]
pub enum ModelsCommand {
    /// List what can be deployed or asked, and what is being fetched
    #[command(visible_alias = "ls")]
    List,
    /// Fetch a model from the hub into the server's model store
    Pull(PullArgs),
    /// Read a model's files and compare them with what they must be
    Verify {
        /// `ORG/NAME`
        #[arg(value_name = "MODEL")]
        model: String,
        /// What is there is right from now on: for a model you put there and have replaced
        #[arg(long)]
        accept: bool,
    },
    /// Remove a model from the store, or call its download off
    #[command(visible_alias = "remove")]
    Rm {
        /// `ORG/NAME`
        #[arg(value_name = "MODEL")]
        model: String,
        /// Also where stopped endpoints were created with it; they can't start until it is back
        #[arg(long)]
        force: bool,
    },
    /// Say whose a model is, with an admin key; without flags, show it
    Share {
        /// `ORG/NAME`
        #[arg(value_name = "MODEL")]
        model: String,
        /// Account that holds it, repeatable; nobody else sees it then
        #[arg(long, value_name = "OWNER")]
        with: Vec<String>,
        /// Everyone sees it
        #[arg(long, conflicts_with = "with")]
        everyone: bool,
    },
}

pub(crate) async fn run(command: ModelsCommand, context: &Context, console: &mut Console) -> Result {
    match command {
        ModelsCommand::List => list(context, console).await,
        ModelsCommand::Pull(args) => pull::run(args, context, console).await,
        ModelsCommand::Verify { model, accept } => verify(model, accept, context, console).await,
        ModelsCommand::Share { model, with, everyone } => {
            share(model, with, everyone, context, console).await
        }
        ModelsCommand::Rm { model, force } => {
            let query = if force { vec!["force=true".to_owned()] } else { Vec::new() };
            let path = crate::context::with_query(&format!("/models/{}", encoded(&model)), &query);
            if let Err(err) = context.client.delete(&path).await {
                let is_not_found = err.is_not_found();
                let err = CliError::from(err);
                let hint = is_not_found.then(|| "`dedi models list` shows what there is".to_owned());
                return Err(CliError { hint: hint.or(err.hint), ..err });
            }
            if context.json {
                return console.json(&serde_json::json!({"object": "model", "id": model, "deleted": true}));
            }
            console.say(&format!("Removed {model}."));
            Ok(())
        }
    }
}

async fn share(
    model: String,
    with: Vec<String>,
    everyone: bool,
    context: &Context,
    console: &mut Console,
) -> Result {
    let path = format!("/models/{}", encoded(&model));
    let held: ModelHolders = if with.is_empty() && !everyone {
        context.client.patch(&path, &serde_json::json!({})).await?
    } else {
        let request = ShareModelRequest { holders: Some((!everyone).then_some(with)) };
        context.client.patch(&path, &request).await?
    };
    if context.json {
        return console.json(&held);
    }
    console.say(&match held.holders {
        None => format!("{} can be used by every account.", held.model),
        Some(holders) => format!("{} can be used by {}.", held.model, holders.join(", ")),
    });
    Ok(())
}

/// Between two looks.
const POLL: Duration = Duration::from_millis(250);

async fn verify(model: String, accept: bool, context: &Context, console: &mut Console) -> Result {
    let request = CreateCheckRequest { model, accept: accept.then_some(true) };
    let mut check: ModelCheck = context.client.post("/checks", &request).await?;
    let path = format!("/checks/{}", encoded(&check.model));
    while check.state == "running" {
        tokio::time::sleep(POLL).await;
        check = context.client.get(&path).await?;
    }
    if check.state == "failed" {
        let message = check.message.unwrap_or_else(|| "the check failed".to_owned());
        return Err(CliError::failed(message, None));
    }
    if context.json {
        return console.json(&check);
    }
    let (files, bytes) = (check.files.unwrap_or_default(), render::bytes(check.bytes_total));
    let s = if files == 1 { "" } else { "s" };
    let found = match check.files_new.unwrap_or(0) {
        0 => "all as they must be.".to_owned(),
        new if new == files => {
            "readable as a model. Nothing was known to compare with: what they are now is written down."
                .to_owned()
        }
        new => format!(
            "all as they must be, but for {new} that nothing was known of: what they are now is written down."
        ),
    };
    console.say(&format!("{}: {files} file{s}, {bytes}, {found}", check.model));
    Ok(())
}

async fn list(context: &Context, console: &mut Console) -> Result {
    let list: Vec<Model> = context.client.get("/models").await?;
    if context.json {
        return console.json(&list);
    }
    if list.is_empty() {
        console.say("The server has no models; `dedi models pull ORG/NAME` fetches one.");
    } else {
        console.data(&render::models(&list))?;
    }
    // Keys that may not see downloads have a list all the same.
    if let Ok(pulls) = context.client.get::<List<ModelPull>>("/pulls").await {
        for it in pulls.data.iter().filter(|it| matches!(it.state.as_str(), "queued" | "running")) {
            console.say(&format!("Being fetched: {}", pull::line(it)));
        }
    }
    Ok(())
}
