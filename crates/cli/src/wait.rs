//! Waiting for an endpoint: a line that says what it is doing, and an end for every way it can go. The server
//! may be restarted meanwhile.

use std::str::FromStr;
use std::time::Duration;

use dedi_api::DedicatedEndpoint;
use indicatif::ProgressBar;
use tokio::time::Instant;

use crate::client::{Client, encoded};
use crate::console::{self, Console};
use crate::error::{CliError, Result};
use crate::patience::AWAY_MAX;
use crate::render;

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    Started,
    Stopped,
    Deleted,
}

impl Goal {
    fn state(self) -> &'static str {
        match self {
            Self::Started => "STARTED",
            Self::Stopped => "STOPPED",
            Self::Deleted => "deleted",
        }
    }

    /// The command that waits again without changing anything.
    fn resume(self, id: &str) -> String {
        match self {
            Self::Started => format!("dedi endpoints start {id} --wait"),
            Self::Stopped => format!("dedi endpoints stop {id} --wait"),
            Self::Deleted => format!("dedi endpoints wait {id} --for deleted"),
        }
    }
}

impl FromStr for Goal {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let word = text.strip_prefix("state=").unwrap_or(text);
        [Self::Started, Self::Stopped, Self::Deleted]
            .into_iter()
            .find(|it| it.state().eq_ignore_ascii_case(word))
            .ok_or_else(|| "must be state=STARTED, state=STOPPED or deleted".to_owned())
    }
}

/// Between two looks. Half of what the original clients do: looks are cheap, and a small model loads in a second.
const POLL: Duration = Duration::from_millis(500);
/// Where stderr is no terminal, how long nothing may change without a line.
const REMINDER_EVERY: Duration = Duration::from_secs(60);

/// Looks at the endpoint until it is where it should be, failed, or `limit` has passed. `None` where it is gone, as it
/// was waited for.
pub(crate) async fn until(
    client: &Client,
    console: &mut Console,
    id: &str,
    goal: Goal,
    limit: Duration,
) -> Result<Option<DedicatedEndpoint>> {
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
) -> Result<Option<DedicatedEndpoint>> {
    let path = format!("/endpoints/{}", encoded(id));
    let begun = Instant::now();
    let mut answered_at = begun;
    let mut last = String::from("unknown");
    loop {
        let left = limit.saturating_sub(begun.elapsed());
        let Ok(seen) = tokio::time::timeout(left, client.get::<DedicatedEndpoint>(&path)).await else {
            return Err(too_late(id, &last, goal, limit));
        };
        match seen {
            Ok(endpoint) => {
                answered_at = Instant::now();
                last.clone_from(&endpoint.state);
                match verdict(&endpoint, goal) {
                    Verdict::There => return Ok(Some(endpoint)),
                    Verdict::Failed(err) => return Err(*err),
                    Verdict::OnItsWay => {
                        reporter.show(console, &line(&endpoint), &key(&endpoint), answered_at)
                    }
                }
            }
            Err(err) if err.is_not_found() && goal == Goal::Deleted => return Ok(None),
            Err(err) if err.is_not_found() => {
                return Err(CliError::failed(
                    format!("{id} was deleted in the meantime"),
                    Some("list the endpoints with `dedi endpoints list`".to_owned()),
                ));
            }
            Err(err) if err.is_passing() && answered_at.elapsed() < AWAY_MAX => {
                let line = format!(
                    "the server has not answered for {}; still trying",
                    render::duration(answered_at.elapsed().as_secs())
                );
                reporter.show(console, &line, "away", Instant::now());
            }
            Err(err) => return Err(err.into()),
        }
        if begun.elapsed() >= limit {
            return Err(too_late(id, &last, goal, limit));
        }
        tokio::time::sleep(POLL.min(limit.saturating_sub(begun.elapsed()))).await;
    }
}

fn too_late(id: &str, last: &str, goal: Goal, limit: Duration) -> CliError {
    CliError::failed(
        format!("it is {last} after {}; the endpoint is unaffected", render::duration(limit.as_secs())),
        Some(format!("see why with `dedi endpoints why {id}`; resume with `{}`", goal.resume(id))),
    )
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
                format!("{} was stopped in the meantime", endpoint.id),
                Some(format!("start it again with `dedi endpoints start {} --wait`", endpoint.id)),
            )))
        }
        (Goal::Started | Goal::Stopped | Goal::Deleted, _) => Verdict::OnItsWay,
    }
}

fn broken(endpoint: &DedicatedEndpoint) -> CliError {
    let why = format!("see the details with `dedi endpoints why {}`", endpoint.id);
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

/// One line that changes on a terminal; elsewhere a line per change, and a reminder a minute.
struct Reporter {
    bar: Option<ProgressBar>,
    said: Option<Said>,
}

struct Said {
    key: String,
    changed_at: Instant,
    at: Instant,
}

impl Reporter {
    fn new(on_terminal: bool) -> Self {
        Self { bar: on_terminal.then(console::spinner), said: None }
    }

    fn show(&mut self, console: &mut Console, line: &str, key: &str, now: Instant) {
        if let Some(bar) = &self.bar {
            bar.set_message(render::one_line(line));
            return;
        }
        match &mut self.said {
            Some(said) if said.key == key => {
                if now - said.at >= REMINDER_EVERY {
                    let waited = render::duration((now - said.changed_at).as_secs());
                    console.say(&format!("still waiting after {waited}: {line}"));
                    said.at = now;
                }
            }
            said => {
                console.say(line);
                *said = Some(Said { key: key.to_owned(), changed_at: now, at: now });
            }
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
    fn wait_line_shows_stage_bytes_and_time() {
        assert_eq!(
            line(&sample("STARTING")),
            "STARTING: loading 40 %, 800.0 MiB of 2.0 GiB, 3 s of about 8 s"
        );
    }

    #[test]
    fn wait_for_start_ends_on_error_with_reason_and_next_step() {
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
    fn wait_goal_is_a_state_or_deleted() {
        assert_eq!("state=STARTED".parse(), Ok(Goal::Started));
        assert_eq!("stopped".parse(), Ok(Goal::Stopped));
        assert_eq!("deleted".parse(), Ok(Goal::Deleted));
        assert!("state=PENDING".parse::<Goal>().is_err());
    }

    #[test]
    fn wait_without_a_terminal_prints_changes_and_a_reminder_a_minute() {
        let written = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let mut console = crate::console::tests::console_of(written.clone());
        let mut reporter = Reporter::new(false);
        let begun = Instant::now();
        for second in 0..=150 {
            let (line, key) =
                if second < 5 { ("PENDING: no device is free", "p") } else { ("STARTING: loading", "s") };
            reporter.show(&mut console, line, key, begun + Duration::from_secs(second));
        }
        let said = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        insta::assert_snapshot!(said, @r"
        PENDING: no device is free
        STARTING: loading
        still waiting after 1 min 0 s: STARTING: loading
        still waiting after 2 min 0 s: STARTING: loading
        ");
    }

    #[test]
    fn wait_ends_on_a_stop_by_others_but_not_on_a_stale_state() {
        let mut endpoint = sample("STOPPED");
        assert!(matches!(verdict(&endpoint, Goal::Started), Verdict::OnItsWay));
        endpoint.status.as_mut().unwrap().reason = "stopped_by_user".to_owned();
        assert!(matches!(verdict(&endpoint, Goal::Started), Verdict::Failed(_)));
        assert!(matches!(verdict(&endpoint, Goal::Stopped), Verdict::There));
    }
}
