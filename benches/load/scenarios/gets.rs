//! GETs of images by several kinds of names and credentials, beside HTTP baselines that send the
//! same bytes.

use std::rc::Rc;

use anyhow::ensure;

use crate::bench::Bench;
use crate::caller::Caller;
use crate::client_pool::ClientPool;
use crate::comparison::{Comparison, Side};
use crate::figures::Figures;
use crate::http_baseline;
use crate::process::Process;
use crate::questions::{Questions, Scenario};
use crate::report;
use crate::turn;

/// At most one of this many requests may cause a review; with more, the turn would measure reviews.
const REVIEWS: f64 = 100.0;

pub(super) fn comparisons(bench: &Bench) -> anyhow::Result<Vec<Comparison<'_>>> {
    let missing = learned(bench, Scenario::Missing)?;
    report::print_answers(&bench.uniform.sample, &missing.sample);
    let baseline =
        Rc::new(http_baseline::start(bench.site.folder(), &bench.uniform.sample, &missing.sample)?);
    let all_images = Rc::new(all_images(bench)?);
    let uniform = bench.uniform.scenario.name();
    let mut comparisons = vec![
        baseline_comparison(bench, &baseline, bench.uniform.for_baseline())?,
        baseline_comparison(bench, &baseline, missing.for_baseline())?,
        Comparison::new(uniform, Side::HttpAllImages, move || {
            turn::ask(&bench.pool, &all_images, &bench.uniform, bench.times())
        }),
    ];
    for scenario in Scenario::ALL {
        comparisons.push(comparison(bench, scenario)?);
    }
    Ok(comparisons)
}

/// A baseline with the responses of the server to `uniform`.
///
/// # Errors
/// A wrong response, or the baseline does not serve.
pub(super) fn all_images(bench: &Bench) -> anyhow::Result<Process> {
    let bodies = bench.uniform.bodies(&bench.pool, bench.server.address)?;
    http_baseline::start_all(bench.site.folder(), &bodies)
}

/// Requests of a scenario with their responses from the server.
///
/// # Errors
/// A wrong response.
pub(super) fn learned(bench: &Bench, scenario: Scenario) -> anyhow::Result<Questions> {
    let mut questions = Questions::new(scenario, &bench.digests);
    questions.learn_answers(&pool(bench, scenario)?, bench.server.address)?;
    Ok(questions)
}

/// Clients with the credentials of a scenario.
///
/// # Errors
/// The certificate is missing.
pub(super) fn pool(bench: &Bench, scenario: Scenario) -> anyhow::Result<ClientPool> {
    let connector = bench.site.connector(scenario.caller())?;
    Ok(ClientPool { connector, ..bench.pool.clone() })
}

fn baseline_comparison<'a>(
    bench: &'a Bench,
    baseline: &Rc<Process>,
    questions: Questions,
) -> anyhow::Result<Comparison<'a>> {
    questions.check_baseline(&bench.pool, baseline.address)?;
    let baseline = baseline.clone();
    let name = questions.scenario.name();
    Ok(Comparison::new(name, Side::HttpBaseline, move || {
        turn::ask(&bench.pool, &baseline, &questions, bench.times())
    }))
}

fn comparison(bench: &Bench, scenario: Scenario) -> anyhow::Result<Comparison<'_>> {
    let questions = learned(bench, scenario)?;
    let pool = pool(bench, scenario)?;
    let turn = move || {
        let turn = || turn::ask(&pool, &bench.server, &questions, bench.times());
        match scenario.caller() {
            Caller::Token => turn(),
            _ => without_reviews(bench, turn),
        }
    };
    let yardstick = scenario.yardstick().name();
    Ok(Comparison { yardstick, ..Comparison::new(scenario.name(), Side::Ours, turn) })
}

/// Runs a turn whose reviews must be in the cache.
///
/// # Errors
/// The turn causes reviews, and the errors of the turn.
pub(super) fn without_reviews(
    bench: &Bench,
    turn: impl FnOnce() -> anyhow::Result<Figures>,
) -> anyhow::Result<Figures> {
    let before = bench.site.control_plane.reviews();
    let figures = turn()?;
    let reviews = (bench.site.control_plane.reviews() - before) as f64;
    let requests = figures.rate.unwrap_or_default() * bench.options.seconds;
    ensure!(
        reviews * REVIEWS <= requests,
        "{requests} requests caused {reviews} reviews, so the cache did not keep them"
    );
    Ok(figures)
}
