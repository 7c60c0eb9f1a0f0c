//! Lives many seeds and says how fast. Ends with 1 and the trace of the first life that breaks a rule.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use dedi_sim::{Bug, sweep, tell};

const HELP: &str = "\
dedi-sim [--seeds N] [--from SEED] [--threads N] [--bug NAME] [--trace SEED] [--bugs]

  --seeds N     lives to live (1000)
  --from SEED   the first seed (0)
  --threads N   threads (all cores)
  --bug NAME    plant this bug
  --trace SEED  tell one life in full
  --bugs        list the bugs that can be planted, each with the first seed that shows it
";

struct Args {
    n_seeds: u64,
    from: u64,
    n_threads: usize,
    bug: Option<Bug>,
    trace: Option<u64>,
    bugs: bool,
}

fn main() -> ExitCode {
    let mut out = io::stdout().lock();
    let done = match parse(std::env::args().skip(1)) {
        Ok(args) => run(&args, &mut out),
        Err(why) => writeln!(out, "{why}\n\n{HELP}").map(|()| ExitCode::from(2)),
    };
    done.unwrap_or(ExitCode::from(3))
}

fn run(args: &Args, out: &mut impl Write) -> io::Result<ExitCode> {
    if let Some(seed) = args.trace {
        return trace(seed, args.bug, out);
    }
    if args.bugs {
        return bugs(args, out);
    }
    let begun = Instant::now();
    let end = args.from.saturating_add(args.n_seeds);
    let sweep = sweep(args.from..end, args.n_threads, args.bug);
    let secs = begun.elapsed().as_secs_f64().max(0.001);
    #[expect(clippy::cast_precision_loss, reason = "counts for people")]
    let per_core = sweep.n_lives as f64 / secs / args.n_threads as f64;
    let (n_lives, n_threads) = (sweep.n_lives, args.n_threads);
    let (n_decisions, n_actions) = (sweep.life.n_decisions, sweep.life.n_actions);
    writeln!(
        out,
        "{n_lives} lives, {n_decisions} decisions, {n_actions} actions in {secs:.1} s: \
         {per_core:.0} lives per second per core on {n_threads}"
    )?;
    match sweep.found {
        Some(found) => {
            writeln!(out, "seed {} breaks {}", found.seed, found.violation)?;
            trace(found.seed, args.bug, out)
        }
        None => Ok(ExitCode::SUCCESS),
    }
}

fn trace(seed: u64, bug: Option<Bug>, out: &mut impl Write) -> io::Result<ExitCode> {
    let (outcome, lines) = tell(seed, bug);
    for line in lines {
        writeln!(out, "{line}")?;
    }
    match outcome {
        Ok(_) => Ok(ExitCode::SUCCESS),
        Err(violation) => {
            writeln!(out, "seed {seed} breaks {violation}")?;
            Ok(ExitCode::FAILURE)
        }
    }
}

fn bugs(args: &Args, out: &mut impl Write) -> io::Result<ExitCode> {
    let mut n_missed = 0;
    for bug in Bug::ALL {
        match sweep(0..args.n_seeds, args.n_threads, Some(*bug)).found {
            Some(found) => {
                writeln!(out, "{:28} seed {:6}  {}", bug.name(), found.seed, found.violation.rule)?
            }
            None => {
                n_missed += 1;
                writeln!(out, "{:28} not seen", bug.name())?;
            }
        }
    }
    Ok(if n_missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Args, String> {
    let n_threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut args = Args { n_seeds: 1_000, from: 0, n_threads, bug: None, trace: None, bugs: false };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--seeds" => args.n_seeds = number(&value()?)?,
            "--from" => args.from = number(&value()?)?,
            "--threads" => args.n_threads = usize::try_from(number(&value()?)?).unwrap_or(1).max(1),
            "--trace" => args.trace = Some(number(&value()?)?),
            "--bug" => {
                let name = value()?;
                args.bug = Some(Bug::parse(&name).ok_or_else(|| format!("no bug is called {name}"))?);
            }
            "--bugs" => args.bugs = true,
            _ => return Err(format!("{word} is not known")),
        }
    }
    Ok(args)
}

fn number(text: &str) -> Result<u64, String> {
    text.replace('_', "").parse().map_err(|_| format!("{text} is not a number"))
}
