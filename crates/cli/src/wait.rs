//! Waiting for an endpoint: a line that says what it is doing, and an end for every way it can go. The server
//! may be restarted meanwhile.

use std::time::Duration;

use dedi_api::DedicatedEndpoint;
use indicatif::ProgressBar;
use tokio::time::Instant;

use crate::client::{Client, encoded};
use crate::console::{self, Console};
use crate::error::{CliError, Result};
use crate::render;

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    Started,
    Stopped,
}

impl Goal {
    fn state(self) -> &'static str {
        match self {
            Self::Started => "STARTED",
            Self::Stopped => "STOPPED",
        }
    }

    /// The command that waits again without changing anything.
    fn resume(self, id: &str) -> String {
        match self {
            Self::Started => format!("dedi endpoints start {id} --wait"),
            Self::Stopped => format!("dedi endpoints stop {id} --wait"),
        }
    }
}

/// Between two looks. Half of what the original clients do: looks are cheap, and a small model loads in a second.
const POLL: Duration = Duration::from_millis(500);
/// How long the server may be away before the wait gives up: several times what a restart takes.
const AWAY_MAX: Duration = Duration::from_secs(60);
/// On a pipe, how long a stage may go without a line.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Looks at the endpoint until it is where it should be, failed, or `limit` has passed.
pub(crate) async fn until(
    client: &Client,
    console: &mut Console,
    id: &str,
    goal: Goal,
    limit: Duration,
) -> Result<DedicatedEndpoint> {
    let interrupted = console.interrupted();
    tokio::pin!(interrupted);
    let mut reporter = Reporter::new(console.terminals().err);
    let ended = tokio::select! {
        ended = look(client, console, id, goal, limit, &mut reporter) => ended,
        () = &mut interrupted => Err(CliError::interrupted(
            "the endpoint is unaffected",
            Some(format!("resume with `{}`", goal.resume(id))),
        )),
    };
    reporter.clear();
    ended
}

async fn look(
    client: &Client,
    console: &mut Console,
    id: &str,
    goal: Goal,
    limit: Duration,
    reporter: &mut Reporter,
) -> Result<DedicatedEndpoint> {
    let path = format!("/endpoints/{}", encoded(id));
    let begun = Instant::now();
    let mut answered_at = begun;
    let mut last = String::from("unknown");
    loop {
        match client.get::<DedicatedEndpoint>(&path).await {
            Ok(endpoint) => {
                answered_at = Instant::now();
                last.clone_from(&endpoint.state);
                match verdict(&endpoint, goal) {
                    Verdict::There => return Ok(endpoint),
                    Verdict::Failed(err) => return Err(*err),
                    Verdict::OnItsWay => reporter.show(console, &line(&endpoint), &key(&endpoint)),
                }
            }
            Err(err) if err.is_not_found() => {
                return Err(CliError::failed(
                    format!("{id} was deleted while it was waited for"),
                    Some("`dedi endpoints list` shows what there is".to_owned()),
                ));
            }
            Err(err) if err.is_passing() && answered_at.elapsed() < AWAY_MAX => {
                let line = format!(
                    "the server does not answer ({}); still trying",
                    render::duration(answered_at.elapsed().as_secs())
                );
                reporter.show(console, &line, "away");
            }
            Err(err) => return Err(err.into()),
        }
        if begun.elapsed() >= limit {
            return Err(CliError::failed(
                format!(
                    "it is {last} after {}; the endpoint is unaffected",
                    render::duration(limit.as_secs())
                ),
                Some(format!("`dedi endpoints why {id}` says why; resume with `{}`", goal.resume(id))),
            ));
        }
        tokio::time::sleep(POLL.min(limit.saturating_sub(begun.elapsed()))).await;
    }
}

enum Verdict {
    There,
    OnItsWay,
    Failed(Box<CliError>),
}

fn verdict(endpoint: &DedicatedEndpoint, goal: Goal) -> Verdict {
    if endpoint.state == goal.state() {
        return Verdict::There;
    }
    let reason = endpoint.status.as_ref().map_or("", |it| it.reason.as_str());
    match (goal, endpoint.state.as_str()) {
        (Goal::Started, "ERROR" | "FAILED") => Verdict::Failed(Box::new(broken(endpoint))),
        // Right after a start the state may still say STOPPED; with these reasons nobody wants it up any more.
        (Goal::Started, "STOPPED") if reason.starts_with("stopped_") => {
            Verdict::Failed(Box::new(CliError::failed(
                format!("{} was stopped while it was waited for", endpoint.id),
                Some(format!("start it again with `dedi endpoints start {} --wait`", endpoint.id)),
            )))
        }
        (Goal::Started | Goal::Stopped, _) => Verdict::OnItsWay,
    }
}

fn broken(endpoint: &DedicatedEndpoint) -> CliError {
    let why = format!("`dedi endpoints why {}` says what is known", endpoint.id);
    match &endpoint.status {
        Some(status) => CliError::failed(
            format!("{} failed: {} ({})", endpoint.id, status.message, status.reason),
            Some(status.next_step.clone().unwrap_or(why)),
        ),
        None => CliError::failed(format!("{} failed", endpoint.id), Some(why)),
    }
}

/// What a person reads while waiting.
fn line(endpoint: &DedicatedEndpoint) -> String {
    match &endpoint.status {
        Some(status) => match &status.progress {
            Some(progress) => format!("{}: {}", endpoint.state, render::progress(progress)),
            None => format!("{}: {}", endpoint.state, status.message),
        },
        None => endpoint.state.clone(),
    }
}

/// What has to change for a new line on a pipe: the state, the stage, the tenth of it.
fn key(endpoint: &DedicatedEndpoint) -> String {
    let status = endpoint.status.as_ref();
    let reason = status.map_or("", |it| it.reason.as_str());
    let progress = status.and_then(|it| it.progress.as_ref());
    let stage = progress.map_or("", |it| it.stage.as_str());
    let tenth = progress.and_then(|it| it.percent).map(|it| it / 10);
    format!("{} {reason} {stage} {tenth:?}", endpoint.state)
}

/// One line that changes on a terminal; a line per change elsewhere.
struct Reporter {
    bar: Option<ProgressBar>,
    said: Option<(String, Instant)>,
}

impl Reporter {
    fn new(on_terminal: bool) -> Self {
        Self { bar: on_terminal.then(console::spinner), said: None }
    }

    fn show(&mut self, console: &mut Console, line: &str, key: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(render::one_line(line));
            return;
        }
        let due = self.said.as_ref().is_none_or(|(said, at)| said != key || at.elapsed() >= LINE_EVERY);
        if due {
            console.say(line);
            self.said = Some((key.to_owned(), Instant::now()));
        }
    }

    fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tests::sample;

    #[test]
    fn the_line_says_stage_bytes_and_time() {
        assert_eq!(
            line(&sample("STARTING")),
            "STARTING: loading 40 %, 800.0 MiB of 2.0 GiB, 3 s of about 8 s"
        );
    }

    #[test]
    fn an_error_ends_a_start_with_its_reason_and_next_step() {
        let mut endpoint = sample("ERROR");
        let status = endpoint.status.as_mut().unwrap();
        status.message = "3 attempts failed".to_owned();
        status.next_step = Some("see `dedi endpoints logs`".to_owned());
        let Verdict::Failed(err) = verdict(&endpoint, Goal::Started) else { panic!("not a failure") };
        assert!(err.message.ends_with("failed: 3 attempts failed (loading)"), "{}", err.message);
        assert_eq!(err.hint.as_deref(), Some("see `dedi endpoints logs`"));
        assert!(matches!(verdict(&endpoint, Goal::Stopped), Verdict::OnItsWay));
    }

    #[test]
    fn a_stop_by_somebody_else_ends_the_wait_but_a_stale_state_does_not() {
        let mut endpoint = sample("STOPPED");
        assert!(matches!(verdict(&endpoint, Goal::Started), Verdict::OnItsWay));
        endpoint.status.as_mut().unwrap().reason = "stopped_by_user".to_owned();
        assert!(matches!(verdict(&endpoint, Goal::Started), Verdict::Failed(_)));
        assert!(matches!(verdict(&endpoint, Goal::Stopped), Verdict::There));
    }
}
