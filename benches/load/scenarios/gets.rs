//! GETs of images, in several ways to ask and to say who asks, beside a bare server that sends the same bytes.

use std::rc::Rc;

use anyhow::ensure;

use crate::bare;
use crate::bench::Bench;
use crate::caller::Caller;
use crate::contest::{Contest, Side};
use crate::crew::Crew;
use crate::process::Process;
use crate::questions::{Questions, Scenario};
use crate::report;
use crate::turn;

/// A request in so many may ask for a review of access; more, and reviews are what is measured.
const REVIEWS: f64 = 100.0;

pub(super) fn contests(bench: &Bench) -> anyhow::Result<Vec<Contest<'_>>> {
    let missing = learned(bench, Scenario::Missing)?;
    report::print_answers(&bench.uniform.sample, &missing.sample);
    let bare = Rc::new(bare::start(bench.site.folder(), &bench.uniform.sample, &missing.sample)?);
    let mut contests =
        vec![bare_contest(bench, &bare, bench.uniform.for_bare())?, bare_contest(bench, &bare, missing.for_bare())?];
    for scenario in Scenario::ALL {
        contests.push(contest(bench, scenario)?);
    }
    Ok(contests)
}

fn learned(bench: &Bench, scenario: Scenario) -> anyhow::Result<Questions> {
    let mut questions = Questions::new(scenario, &bench.digests);
    questions.learn_answers(&crew(bench, scenario)?, bench.server.address)?;
    Ok(questions)
}

fn crew(bench: &Bench, scenario: Scenario) -> anyhow::Result<Crew> {
    let connector = bench.site.connector(scenario.caller())?;
    Ok(Crew { connector, ..bench.crew.clone() })
}

fn bare_contest<'a>(bench: &'a Bench, bare: &Rc<Process>, questions: Questions) -> anyhow::Result<Contest<'a>> {
    questions.check_bare(&bench.crew, bare.address)?;
    let bare = bare.clone();
    let name = questions.scenario.name();
    Ok(Contest::new(name, Side::Bare, move || turn::ask(&bench.crew, &bare, &questions, bench.times())))
}

fn contest(bench: &Bench, scenario: Scenario) -> anyhow::Result<Contest<'_>> {
    let questions = learned(bench, scenario)?;
    let crew = crew(bench, scenario)?;
    let turn = move || {
        let before = bench.site.control_plane.reviews();
        let figures = turn::ask(&crew, &bench.server, &questions, bench.times())?;
        let reviews = (bench.site.control_plane.reviews() - before) as f64;
        let requests = figures.rate.unwrap_or_default() * bench.options.seconds;
        ensure!(
            scenario.caller() == Caller::Token || reviews * REVIEWS <= requests,
            "{reviews} reviews were asked for by {requests} requests, so they were not remembered"
        );
        Ok(figures)
    };
    let yardstick = scenario.yardstick().name();
    Ok(Contest { yardstick, ..Contest::new(scenario.name(), Side::Ours, turn) })
}
