//! Load on the real binary, in turns with a bare server.
//!
//! `cargo bench --bench load` starts the server on an empty folder, fills it with images by way of mappings, and
//! asks it for ImageStreamImages over TLS connections that stay open, each of them sending the next request when
//! the last answer is complete. Between its turns a bare server is asked the same: axum, hyper and rustls in a
//! process of their own, which send the bytes of one of the answers from memory. So what counts are the ratios:
//! absolute figures belong to a machine and to its mood. Every answer is checked in full before the first turn, and
//! for status and length in the turns; a wrong one ends the run.
//!
//! Options go behind `--` or into the environment (`LOAD_IMAGES=100000`); `-- --help` lists them. Without `--bench`,
//! which cargo passes in a benchmark, this is a test and takes seconds, as with `--smoke`.

#[path = "load/bare.rs"]
mod bare;
#[path = "load/corpus.rs"]
mod corpus;
#[path = "load/crew.rs"]
mod crew;
#[path = "load/drive.rs"]
mod drive;
#[path = "load/fill.rs"]
mod fill;
#[path = "load/options.rs"]
mod options;
#[path = "load/process.rs"]
mod process;
#[path = "load/questions.rs"]
mod questions;
#[path = "load/report.rs"]
mod report;
#[path = "load/usage.rs"]
mod usage;
#[path = "load/wire.rs"]
mod wire;

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::Context;

use crew::Crew;
use drive::Turn;
use options::Options;
use process::Process;
use questions::{Questions, Scenario};
use report::{Report, Side};
use wire::Connector;

/// The token of the one user that the server knows.
const TOKEN: &str = "token-of-load";

fn main() -> ExitCode {
    let options = Options::read();
    let outcome = match &options.bare {
        Some(folder) => bare::serve(folder),
        None => measure(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("load: {why:#}");
            ExitCode::FAILURE
        }
    }
}

/// One question asked of one server, once a turn.
struct Contest<'a> {
    scenario: Scenario,
    side: Side,
    server: &'a Process,
    questions: Questions,
}

fn measure(options: &Options) -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("no temporary folder can be made")?;
    let server = Process::start(&mut command(folder.path())?).context("the server does not start")?;
    let connector = Connector::new(&folder.path().join("certs/apiserver.crt"))?;
    let crew = Crew { connector, connections: options.connections, threads: options.threads };
    crew.await_readiness(server.address)?;
    report::print_setting(options)?;
    let (digests, filling) = fill::fill(&crew, &server, options.images)?;
    report::print_filling(&filling);

    let mut asked = Vec::new();
    for scenario in Scenario::ALL {
        let mut questions = Questions::new(scenario, &digests);
        questions.learn_answers(&crew, server.address)?;
        asked.push((scenario, questions));
    }
    let answer = |wanted| {
        let found = asked.iter().find(|(scenario, _)| *scenario == wanted);
        found.map(|(_, questions)| questions.sample.as_slice()).unwrap_or_default()
    };
    let (found, missing) = (answer(Scenario::Uniform), answer(Scenario::Missing));
    report::print_answers(found, missing);
    bare::prepare(folder.path(), found, missing)?;
    let bare = Process::start(&mut bare::command(folder.path())?).context("the bare server does not start")?;
    let mut contests = Vec::new();
    for (scenario, questions) in asked {
        if scenario.has_bare_turns() {
            let questions = questions.for_bare();
            questions.check_bare(&crew, bare.address)?;
            contests.push(Contest { scenario, side: Side::Bare, server: &bare, questions });
        }
        contests.push(Contest { scenario, side: Side::Ours, server: &server, questions });
    }
    let report = take_turns(&crew, options, &contests)?;
    report.print_summary();
    Ok(())
}

/// Runs every contest once a turn, every second turn in reverse, so that nothing always follows the same.
fn take_turns(crew: &Crew, options: &Options, contests: &[Contest<'_>]) -> anyhow::Result<Report> {
    let mut report = Report::default();
    report::print_head();
    for number in 1..=options.turns {
        let mut order: Vec<&Contest<'_>> = contests.iter().collect();
        if number % 2 == 0 {
            order.reverse();
        }
        for contest in order {
            let Contest { scenario, side, server, questions } = contest;
            let turn: Turn = drive::drive(crew, server, questions, options.turn())
                .with_context(|| format!("turn {number}, {}, {}", scenario.name(), side.name()))?;
            report.add(number, *scenario, *side, turn);
        }
    }
    Ok(report)
}

/// The command of the real binary, with everything it keeps in `folder`.
fn command(folder: &Path) -> anyhow::Result<Command> {
    let at = |name: &str| folder.join(name).display().to_string();
    fs::write(at("tokens.csv"), format!("{TOKEN},load,uid-of-load,\"system:masters\"\n"))?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_imagestream-apiserver"));
    command.args(["serve", "--authorization-mode=AlwaysAllow", "--bind-address=127.0.0.1", "--secure-port=0"]);
    command.arg(format!("--data-dir={}", at("data")));
    command.arg(format!("--cert-dir={}", at("certs")));
    command.arg(format!("--token-auth-file={}", at("tokens.csv")));
    command.arg("--internal-registry-hostname=image-registry.openshift-image-registry.svc:5000");
    command.arg("--logging-format=json");
    Ok(command)
}
