//! Printed report: the setup, each turn, the medians and ratios of each size, and finally the
//! growth of the medians with the size.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::comparison::{Comparison, Side};
use crate::corpus::{IMAGES_PER_STREAM, LAYERS};
use crate::figures::{COLUMNS, COMPARABLE, Column, Figures};
use crate::fill::Filling;
use crate::options::Options;
use crate::usage;

const WIDTH: usize = 11;
/// Number of syncs measured before the turns.
const SYNCS: u32 = 100;

struct Row {
    images: usize,
    number: usize,
    scenario: &'static str,
    side: Side,
    yardstick: &'static str,
    figures: Figures,
}

/// All turns.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

/// Prints the setup of the run and of the machine.
///
/// # Errors
/// `/proc` is unreadable, or the folder is not writable.
pub(crate) fn print_setting(options: &Options, folder: &Path) -> anyhow::Result<()> {
    let Options { images, seconds, turns, connections, threads, paced_rate, .. } = options;
    println!(
        "{images:?} images of {LAYERS} layers, {IMAGES_PER_STREAM} to a stream; {turns} turns of {seconds} s each"
    );
    println!(
        "{connections} TLS connections, one request at a time on each, from {threads} threads of the client"
    );
    println!(
        "beside writes, {paced_rate} GETs a second, whose latencies count from when they are due"
    );
    println!(
        "{} processors, load average {}",
        std::thread::available_parallelism()?,
        usage::load_average()?
    );
    println!(
        "4 kB more of a file are on the disk after {:.0} us",
        sync_time(folder)?.as_secs_f64() * 1e6
    );
    if options.smoke {
        println!("This is a smoke test: its figures mean nothing.");
    }
    Ok(())
}

/// Time of a small append and sync.
fn sync_time(folder: &Path) -> std::io::Result<Duration> {
    let mut file = File::create(folder.join("syncs"))?;
    let begun = Instant::now();
    for _ in 0..SYNCS {
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
    }
    Ok(begun.elapsed() / SYNCS)
}

/// Prints the figures of the fill.
pub(crate) fn print_filling(filling: &Filling) {
    let Filling { images, streams, took, usage, bytes, resident_mib } = filling;
    let count = *images as f64;
    let micros = |time: Duration| time.as_secs_f64() * 1e6 / count;
    println!(
        "\nfilled with {images} images in {streams} streams within {:.2} s: {:.0} mappings/s of {:.1} kB",
        took.as_secs_f64(),
        count / took.as_secs_f64(),
        *bytes as f64 / count / 1e3,
    );
    println!(
        "a mapping: {:.0} us of CPU for the server, {:.0} us for the client; RSS {resident_mib:.1} MiB, others {:.1} %",
        micros(usage.server),
        micros(usage.client),
        usage.others * 100.0,
    );
}

/// Prints the response sizes.
pub(crate) fn print_answers(found: &[u8], missing: &[u8]) {
    println!("answers: an image {} bytes, none {} bytes", found.len(), missing.len());
}

/// Prints the table header of a size.
pub(crate) fn print_head(images: usize) {
    println!();
    print_line(&format!("{images} images, turn"), "", titles(&COLUMNS));
}

impl Report {
    /// Prints a turn and records it.
    pub(crate) fn add(
        &mut self,
        images: usize,
        number: usize,
        comparison: &Comparison<'_>,
        figures: Figures,
    ) {
        let Comparison { scenario, side, yardstick, .. } = *comparison;
        let shown = COLUMNS.iter().map(|column| show((column.read)(&figures), column.decimals));
        print_line(&format!("{number} {scenario}"), &side.to_string(), shown);
        self.rows.push(Row { images, number, scenario, side, yardstick, figures });
    }

    /// Prints the medians of a size, and the ratios of each of the server's turns to the baseline
    /// turns beside it.
    pub(crate) fn print_summary(&self, images: usize) {
        println!();
        print_line(&format!("{images} images, median"), "", titles(&COLUMNS));
        for (scenario, side) in self.sides(images) {
            let figures = COLUMNS
                .iter()
                .map(|each| show(self.median(images, scenario, side, each), each.decimals));
            print_line(scenario, &side.to_string(), figures);
        }
        println!();
        let compared = &COLUMNS[..COMPARABLE];
        print_line(&format!("{images} images, ratio"), "", titles(compared));
        for (scenario, side) in
            self.sides(images).into_iter().filter(|(_, side)| *side == Side::Ours)
        {
            for rival in Side::RIVALS {
                let ratios: Vec<Vec<f64>> = compared
                    .iter()
                    .map(|column| self.ratios(images, scenario, *rival, column))
                    .collect();
                if ratios.iter().any(|ratios| !ratios.is_empty()) {
                    print_ratios(&format!("{scenario}, {side}/{rival}"), &ratios);
                }
            }
        }
    }

    /// Prints the medians of the server's turns by size, each with its ratio to that of the first
    /// size.
    pub(crate) fn print_growth(&self, sizes: &[usize]) {
        let Some((first, others)) = sizes.split_first().filter(|(_, others)| !others.is_empty())
        else {
            return;
        };
        let compared = &COLUMNS[..COMPARABLE];
        println!();
        print_line("growth with size", "images", titles(compared));
        for (scenario, side) in
            self.sides(*first).into_iter().filter(|(_, side)| *side == Side::Ours)
        {
            let median = |images, column: &Column| self.median(images, scenario, side, column);
            let figures =
                compared.iter().map(|column| show(median(*first, column), column.decimals));
            print_line(scenario, &first.to_string(), figures);
            for images in others {
                let ratio = |column| Some(median(*images, column)? / median(*first, column)?);
                let ratios = compared.iter().map(|column| match ratio(column) {
                    Some(ratio) => format!("x {ratio:.2}"),
                    None => show(None, 0),
                });
                print_line("", &images.to_string(), ratios);
            }
        }
    }

    /// Sides in the order of their first turn.
    fn sides(&self, images: usize) -> Vec<(&'static str, Side)> {
        let first = self.rows.iter().filter(|row| row.images == images && row.number == 1);
        first.map(|row| (row.scenario, row.side)).collect()
    }

    fn turns(&self, images: usize, scenario: &str, side: Side) -> impl Iterator<Item = &Row> {
        self.rows
            .iter()
            .filter(move |row| row.images == images && row.scenario == scenario && row.side == side)
    }

    fn median(&self, images: usize, scenario: &str, side: Side, column: &Column) -> Option<f64> {
        median(
            self.turns(images, scenario, side)
                .filter_map(|row| (column.read)(&row.figures))
                .collect(),
        )
    }

    /// Figures of the server's turns, each divided by the baseline turn of the same number.
    fn ratios(&self, images: usize, scenario: &str, rival: Side, column: &Column) -> Vec<f64> {
        let ratio = |ours: &Row| {
            let theirs =
                self.turns(images, ours.yardstick, rival).find(|row| row.number == ours.number)?;
            Some((column.read)(&ours.figures)? / (column.read)(&theirs.figures)?)
        };
        self.turns(images, scenario, Side::Ours).filter_map(ratio).collect()
    }
}

fn titles(columns: &[Column]) -> impl Iterator<Item = String> {
    columns.iter().map(|column| column.title.to_owned())
}

/// Median of all turns, and their spread.
fn print_ratios(title: &str, ratios: &[Vec<f64>]) {
    let print = |title: &str, name: &str, pick: fn(&[f64]) -> Option<f64>| {
        print_line(title, name, ratios.iter().map(|ratios| show(pick(ratios), 2)));
    };
    print(title, "median", |ratios| median(ratios.to_vec()));
    if ratios.iter().all(|ratios| ratios.len() < 2) {
        return;
    }
    print("", "lowest", |ratios| ratios.iter().copied().reduce(f64::min));
    print("", "highest", |ratios| ratios.iter().copied().reduce(f64::max));
}

fn print_line(title: &str, side: &str, figures: impl Iterator<Item = String>) {
    let figures: String = figures.map(|figure| format!("{figure:>WIDTH$}")).collect();
    println!("{title:<31}{side:<8}{figures}");
}

fn show(figure: Option<f64>, decimals: usize) -> String {
    figure.map_or_else(|| "-".into(), |figure| format!("{figure:.decimals$}"))
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len().is_multiple_of(2) {
        true => Some((values.get(middle.checked_sub(1)?)? + values.get(middle)?) / 2.0),
        false => values.get(middle).copied(),
    }
}
