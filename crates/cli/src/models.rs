//! `dedi models …`.

use std::time::Duration;

use clap::Subcommand;
use dedi_api::{CreateCheckRequest, List, Model, ModelCheck, ModelHolders, ModelPull, ShareModelRequest};

use crate::client::encoded;
use crate::console::Console;
use crate::context::Context;
use crate::error::{CliError, Result};
use crate::input;
use crate::pull::{self, PullArgs};
use crate::render;

/// What can be done with models.
#[derive(Debug, Subcommand)]
pub enum ModelsCommand {
    /// List models that can be deployed or used, and running downloads
    #[command(visible_alias = "ls")]
    List,
    /// Download a model from the hub into the server's model store
    #[command(alias = "fetch", alias = "download")]
    Pull(PullArgs),
    /// Compare a model's files with their checksums
    Verify {
        /// `ORG/NAME`
        #[arg(value_name = "MODEL")]
        model: String,
        /// Accept the current files as the new reference, after you replaced them
        #[arg(long)]
        accept: bool,
    },
    /// Remove a model from the store, or cancel its download
    #[command(visible_alias = "remove", alias = "delete")]
    Rm {
        /// `ORG/NAME`
        #[arg(value_name = "MODEL")]
        model: String,
        /// Remove it even if stopped endpoints use it; they can't start until it is back
        #[arg(long)]
        force: bool,
        /// Don't ask for confirmation
        #[arg(long, short)]
        yes: bool,
    },
    /// Show or set which accounts can use a model (admin keys)
    Share {
        /// `ORG/NAME`
        #[arg(value_name = "MODEL")]
        model: String,
        /// Account that can use it; repeatable; nobody else sees it then
        #[arg(long, value_name = "OWNER")]
        with: Vec<String>,
        /// Every account can use it
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
        ModelsCommand::Rm { model, force, yes } => {
            if !yes && input::can_ask(console) {
                input::confirm(&format!("Remove model {model} and its files?"), console).await?;
            }
            let query = if force { vec!["force=true".to_owned()] } else { Vec::new() };
            let path = crate::context::with_query(&format!("/models/{}", encoded(&model)), &query);
            if let Err(err) = context.client.delete(&path).await {
                let is_not_found = err.is_not_found();
                let err = CliError::from(err);
                let hint = is_not_found.then(|| "list available models with `dedi models list`".to_owned());
                return Err(CliError { hint: hint.or(err.hint), ..err });
            }
            console.say(&format!("Removed {model}."));
            let removed = serde_json::json!({"object": "model", "id": model, "deleted": true});
            context.print_data(console, &removed, [&model])
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
    if !context.is_text() {
        return context.print_data(console, &held, [&held.model]);
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
    if !context.is_text() {
        return context.print_data(console, &check, [&check.model]);
    }
    let (files, bytes) = (check.files.unwrap_or_default(), render::bytes(check.bytes_total));
    let s = if files == 1 { "" } else { "s" };
    let found = match check.files_new.unwrap_or(0) {
        0 => "all files match their checksums.".to_owned(),
        new if new == files => {
            "readable as a model. There were no checksums to compare with; they were recorded now.".to_owned()
        }
        new => format!("all files match their checksums, except {new} without one; it was recorded now."),
    };
    console.say(&format!("{}: {files} file{s}, {bytes}, {found}", check.model));
    Ok(())
}

async fn list(context: &Context, console: &mut Console) -> Result {
    let list: Vec<Model> = context.client.get("/models").await?;
    if !context.is_text() {
        let ids: Vec<&str> = list.iter().map(|it| it.id.as_str()).collect();
        return context.print_data(console, &list, ids);
    }
    if list.is_empty() {
        console.say("No models. Download one with `dedi models pull ORG/NAME`.");
    } else {
        let text = render::models(&list, &context.view(console));
        console.data(&text)?;
    }
    // Keys that may not see downloads have a list all the same.
    if let Ok(pulls) = context.client.get::<List<ModelPull>>("/pulls").await {
        for it in pulls.data.iter().filter(|it| matches!(it.state.as_str(), "queued" | "running")) {
            console.say(&format!("Downloading {}", pull::line(it)));
        }
    }
    Ok(())
}
