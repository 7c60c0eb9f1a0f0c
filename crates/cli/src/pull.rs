//! `dedi models pull`: asks the server to fetch a model and shows how far it is. The server fetches on its own; this
//! command may be interrupted and run again.

use std::time::Duration;

use clap::Args;
use dedi_api::{CreatePullRequest, ErrorDetail, ModelPull};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

use crate::client::encoded;
use crate::console::{self, Console};
use crate::context::Context;
use crate::error::{CliError, Exit, Result};
use crate::patience::AWAY_MAX;
use crate::render;

/// Flags of `pull`.
#[derive(Debug, Args)]
#[command(
    after_help = "From a repository with GGUF files, one quantisation is downloaded: the named one, else Q4_K_M, else the \
nearest to it. From others: config.json, the safetensors files and the tokenizer. Pickled weights are never downloaded."
)]
pub struct PullArgs {
    /// `ORG/NAME`, with `@REVISION` for a branch, tag or commit and `:FILE` for a GGUF file or quantisation
    #[arg(value_name = "MODEL")]
    model: String,
    /// Return immediately; `dedi models list` shows the progress
    #[arg(long)]
    no_wait: bool,
    /// Switch your endpoints that use another revision of the model to this one at their next launch
    #[arg(long)]
    replace: bool,
    /// Account the model is for; needs an admin key, whose downloads are for every account without it
    #[arg(long, value_name = "OWNER")]
    owner: Option<String>,
}

/// Between two looks.
const POLL: Duration = Duration::from_millis(250);

pub(crate) async fn run(args: PullArgs, context: &Context, console: &mut Console) -> Result {
    let request =
        CreatePullRequest { model: args.model, owner: args.owner, replace: args.replace.then_some(true) };
    let begun: ModelPull = context.client.post("/pulls", &request).await?;
    if args.no_wait {
        console.say(&format!("Downloading {}. Follow progress with `dedi models list`.", begun.model));
        return context.print_data(console, &begun, [&begun.model]);
    }
    let interrupted = console.interrupted();
    tokio::pin!(interrupted);
    let mut reporter = Reporter::new(console.terminals().err);
    let model = begun.model.clone();
    let ended = tokio::select! {
        ended = until_end(&request, begun, context, console, &mut reporter) => ended,
        () = &mut interrupted => Err(CliError::interrupted(
            "the download continues on the server",
            Some(format!("follow it again with `dedi models pull {}`, cancel it with `dedi models rm {model}`", request.model)),
        )),
    };
    reporter.clear();
    let done = ended?;
    if !context.is_text() {
        return context.print_data(console, &done, [&done.model]);
    }
    let commit =
        done.commit.as_deref().map(|it| format!(" (commit {})", it.chars().take(12).collect::<String>()));
    console.say(&format!("{} is in the model store{}.", done.model, commit.unwrap_or_default()));
    Ok(())
}

async fn until_end(
    request: &CreatePullRequest,
    begun: ModelPull,
    context: &Context,
    console: &mut Console,
    reporter: &mut Reporter,
) -> Result<ModelPull> {
    let path = format!("/pulls/{}", encoded(&begun.model));
    let mut pull = begun;
    let mut answered_at = Instant::now();
    loop {
        match pull.state.as_str() {
            "done" => return Ok(pull),
            "failed" => return Err(failed(&pull)),
            _ => reporter.show(console, &pull),
        }
        tokio::time::sleep(POLL).await;
        let seen = match context.client.get::<ModelPull>(&path).await {
            // A server that was restarted knows nothing of it, but has the bytes.
            Err(err) if err.is_not_found() => context.client.post::<ModelPull>("/pulls", request).await,
            other => other,
        };
        match seen {
            Ok(seen) => (pull, answered_at) = (seen, Instant::now()),
            Err(err) if err.is_passing() && answered_at.elapsed() < AWAY_MAX => {}
            Err(err) => return Err(err.into()),
        }
    }
}

fn failed(pull: &ModelPull) -> CliError {
    let message = pull.message.clone().unwrap_or_else(|| "the download failed".to_owned());
    let hint = match pull.code.as_deref() {
        Some("connection" | "hub_unavailable") => Some(match pull.bytes_kept.unwrap_or(0) {
            0 => "rerun the command; it starts from the beginning".to_owned(),
            kept => format!("rerun the command; the partial download ({}) is kept", render::bytes(kept)),
        }),
        Some("read_only") => {
            Some("models can be served from a read-only store, but not downloaded to it; check it with `dedi doctor`".to_owned())
        }
        Some("certificate") => Some(
            "the server trusts its host's certificates; set SSL_CERT_FILE when it starts to use others"
                .to_owned(),
        ),
        Some("disk_full") => {
            Some("remove models that are not needed: `dedi models list`, then `dedi models rm MODEL`".to_owned())
        }
        Some(_) | None => None,
    };
    let detail = ErrorDetail {
        message: message.clone(),
        kind: "pull_failed".to_owned(),
        param: Some("model".to_owned()),
        code: pull.code.clone(),
    };
    CliError { exit: Exit::Refused, message, hint, detail: Some(Box::new(detail)) }
}

/// `org/x: 40 %, 1.2 GiB of 3.0 GiB`.
pub(crate) fn line(pull: &ModelPull) -> String {
    if let (Some(why), "running" | "queued") = (&pull.message, pull.state.as_str()) {
        return format!("{}: {why}", pull.model);
    }
    match (pull.percent, pull.bytes_total) {
        (Some(percent), Some(total)) => {
            format!(
                "{}: {percent} %, {} of {}",
                pull.model,
                render::bytes(pull.bytes_done),
                render::bytes(total)
            )
        }
        (_, _) if pull.state == "queued" => format!("{}: queued behind another download", pull.model),
        (_, _) => format!("{}: reading the file list from the hub", pull.model),
    }
}

/// A bar on a terminal; elsewhere a line when the state changes and for every tenth.
struct Reporter {
    bar: Option<ProgressBar>,
    said: Option<(String, Option<u8>, bool)>,
}

impl Reporter {
    fn new(on_terminal: bool) -> Self {
        Self { bar: on_terminal.then(console::spinner), said: None }
    }

    fn show(&mut self, console: &mut Console, pull: &ModelPull) {
        // The seconds of a wait count down; that it waits is said once.
        let waits = pull.message.is_some();
        let key = (pull.state.clone(), pull.percent.map(|it| it / 10), waits);
        let is_new = self.said.as_ref() != Some(&key);
        if let Some(bar) = self.bar.as_ref().filter(|_| waits || self.waited()) {
            bar.set_message(render::one_line(&if waits { line(pull) } else { pull.model.clone() }));
            self.said = Some(key);
            return;
        }
        match (&self.bar, pull.bytes_total) {
            (Some(bar), Some(total)) => {
                if bar.length() != Some(total) {
                    bar.set_length(total);
                    bar.set_position(pull.bytes_done);
                    // What was here before is no speed.
                    bar.reset_eta();
                    let template = "{msg} [{bar:30}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
                    if let Ok(style) = ProgressStyle::with_template(template) {
                        bar.set_style(style.progress_chars("=> "));
                    }
                    bar.set_message(render::one_line(&pull.model));
                }
                bar.set_position(pull.bytes_done);
            }
            (Some(bar), None) if is_new => {
                bar.set_message(render::one_line(&line(pull)));
            }
            (None, _) if is_new => console.say(&line(pull)),
            (_, _) => {}
        }
        self.said = Some(key);
    }

    fn waited(&self) -> bool {
        self.said.as_ref().is_some_and(|(_, _, waited)| *waited)
    }

    fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
