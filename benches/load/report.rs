//! What is printed: the setting, each turn, and medians with the ratios that the run is for.

use std::ops::RangeInclusive;

use crate::corpus::{IMAGES_PER_STREAM, LAYERS};
use crate::drive::Turn;
use crate::fill::Filling;
use crate::options::Options;
use crate::questions::Scenario;
use crate::usage;

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The real server.
    Ours,
    /// The server to compare with.
    Bare,
}

impl Side {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Bare => "bare",
        }
    }
}

/// A figure of a turn.
struct Column {
    title: &'static str,
    decimals: usize,
    read: fn(&Turn) -> f64,
}

const COLUMNS: [Column; 8] = [
    Column { title: "requests/s", decimals: 0, read: |turn| turn.rate },
    Column { title: "p50 us", decimals: 0, read: |turn| turn.p50 },
    Column { title: "p99 us", decimals: 0, read: |turn| turn.p99 },
    Column { title: "p99.9 us", decimals: 0, read: |turn| turn.p999 },
    Column { title: "CPU us", decimals: 1, read: |turn| turn.server_micros },
    Column { title: "RSS MiB", decimals: 1, read: |turn| turn.resident_mib },
    Column { title: "client us", decimals: 1, read: |turn| turn.client_micros },
    Column { title: "others %", decimals: 1, read: |turn| turn.others_percent },
];
/// The columns, from the first, of which a ratio says something.
const COMPARABLE: usize = 6;
const WIDTH: usize = 11;

struct Row {
    number: usize,
    scenario: Scenario,
    side: Side,
    turn: Turn,
}

/// All turns.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

/// Prints what is measured, and on what.
pub(crate) fn print_setting(options: &Options) -> anyhow::Result<()> {
    let Options { images, seconds, turns, connections, threads, .. } = options;
    println!("{images} images of {LAYERS} layers, {IMAGES_PER_STREAM} to a stream; {turns} turns of {seconds} s each");
    println!("{connections} TLS connections, one request at a time on each, from {threads} threads of the client");
    println!("{} processors, load average {}", std::thread::available_parallelism()?, usage::load_average()?);
    if options.smoke {
        println!("This is a smoke test: its figures mean nothing.");
    }
    Ok(())
}

/// Prints how the server was filled.
pub(crate) fn print_filling(filling: &Filling) {
    let Filling { images, streams, took, usage, bytes, resident_mib } = filling;
    let count = *images as f64;
    let micros = |time: std::time::Duration| time.as_secs_f64() * 1e6 / count;
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

/// Prints how large the answers are.
pub(crate) fn print_answers(found: &[u8], missing: &[u8]) {
    println!("answers: an image {} bytes, none {} bytes", found.len(), missing.len());
}

/// Prints the head of the turns.
pub(crate) fn print_head() {
    println!();
    print_line("turn", "", COLUMNS.iter().map(|column| column.title.to_owned()));
}

impl Report {
    /// Prints a turn and keeps it.
    pub(crate) fn add(&mut self, number: usize, scenario: Scenario, side: Side, turn: Turn) {
        let title = format!("{number} {}", scenario.name());
        print_line(
            &title,
            side.name(),
            COLUMNS.iter().map(|column| format!("{:.*}", column.decimals, (column.read)(&turn))),
        );
        self.rows.push(Row { number, scenario, side, turn });
    }

    /// Prints the medians, and the ratios of each turn to the bare turn beside it.
    pub(crate) fn print_summary(&self) {
        println!();
        print_line("median", "", COLUMNS.iter().map(|column| column.title.to_owned()));
        for scenario in Scenario::ALL {
            for side in [Side::Ours, Side::Bare] {
                let figures = COLUMNS.iter().filter_map(|column| {
                    let found = self.turns(scenario, side).map(|row| (column.read)(&row.turn));
                    Some(format!("{:.*}", column.decimals, median(found.collect())?))
                });
                let figures: Vec<String> = figures.collect();
                if !figures.is_empty() {
                    print_line(scenario.name(), side.name(), figures.into_iter());
                }
            }
        }
        println!();
        print_line("ours/bare", "", COLUMNS[..COMPARABLE].iter().map(|column| column.title.to_owned()));
        for scenario in Scenario::ALL {
            let ratios: Vec<Vec<f64>> = COLUMNS[..COMPARABLE].iter().map(|each| self.ratios(scenario, each)).collect();
            print_line(scenario.name(), "median", ratios.iter().map(|each| show(median(each.clone()))));
            let ranges: Vec<RangeInclusive<f64>> = ratios.iter().filter_map(|each| range(each)).collect();
            print_line("", "lowest", ranges.iter().map(|each| show(Some(*each.start()))));
            print_line("", "highest", ranges.iter().map(|each| show(Some(*each.end()))));
        }
    }

    fn turns(&self, scenario: Scenario, side: Side) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.scenario == scenario && row.side == side)
    }

    /// Figures of our turns, divided by those of the bare turns of the same number.
    fn ratios(&self, scenario: Scenario, column: &Column) -> Vec<f64> {
        let ratio = |ours: &Row| {
            let bare = self.turns(scenario.yardstick(), Side::Bare).find(|row| row.number == ours.number)?;
            Some((column.read)(&ours.turn) / (column.read)(&bare.turn))
        };
        self.turns(scenario, Side::Ours).filter_map(ratio).collect()
    }
}

fn print_line(title: &str, side: &str, figures: impl Iterator<Item = String>) {
    let figures: String = figures.map(|figure| format!("{figure:>WIDTH$}")).collect();
    println!("{title:<17}{side:<8}{figures}");
}

fn show(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "-".into(), |ratio| format!("{ratio:.2}"))
}

fn range(values: &[f64]) -> Option<RangeInclusive<f64>> {
    Some(values.iter().copied().reduce(f64::min)?..=values.iter().copied().reduce(f64::max)?)
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len().is_multiple_of(2) {
        true => Some((values.get(middle.checked_sub(1)?)? + values.get(middle)?) / 2.0),
        false => values.get(middle).copied(),
    }
}
