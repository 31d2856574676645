//! GETs of images as kube-apiserver sends them: many streams of one HTTP/2 connection, through the
//! front proxy, beside HTTP baselines over HTTP/2 that send the same bytes.

use std::rc::Rc;

use super::gets::{all_images, learned, pool, without_reviews};
use crate::bench::Bench;
use crate::comparison::{Comparison, Side};
use crate::http_baseline;
use crate::multiplexed;
use crate::questions::Scenario;

/// Lines with their numbers of streams.
const LINES: [(&str, usize); 2] = [("HTTP/2, 32 streams", 32), ("HTTP/2, 256 streams", 256)];

pub(super) fn comparisons(bench: &Bench) -> anyhow::Result<Vec<Comparison<'_>>> {
    let connector = Rc::new(pool(bench, Scenario::FrontProxy)?.connector);
    let questions = Rc::new(learned(bench, Scenario::FrontProxy)?);
    let sample = &questions.sample;
    let baseline = Rc::new(http_baseline::start(bench.site.folder(), sample, &[])?);
    let of_baseline = Rc::new(questions.for_baseline());
    of_baseline.check_baseline(&bench.pool, baseline.address)?;
    let all_images = Rc::new(all_images(bench)?);
    let baselines = [
        (Side::HttpBaseline, baseline, of_baseline),
        (Side::HttpAllImages, all_images, questions.clone()),
    ];
    let mut comparisons = Vec::new();
    for (name, streams) in LINES {
        for (side, baseline, asked) in &baselines {
            let (connector, baseline, asked) = (connector.clone(), baseline.clone(), asked.clone());
            comparisons.push(Comparison::new(name, *side, move || {
                multiplexed::ask(&connector, &baseline, &asked, streams, bench.times())
            }));
        }
        let (connector, asked) = (connector.clone(), questions.clone());
        comparisons.push(Comparison::new(name, Side::Ours, move || {
            without_reviews(bench, || {
                multiplexed::ask(&connector, &bench.server, &asked, streams, bench.times())
            })
        }));
    }
    Ok(comparisons)
}
