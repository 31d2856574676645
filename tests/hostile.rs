//! Hostile requests against the real binary: what they cost, what they are answered, and that nobody
//! else notices.
//!
//! Each row of a table is one attack with ceilings: CPU seconds and peak memory of the server process,
//! and bytes of the largest answer. A row fails where a ceiling or an expected status is missed, where
//! the server ends, where `/livez` takes a second or longer at any moment of the row, or where another
//! user's GET of an ImageStreamImage fails afterwards. `attacks` has rows for attacks that once stopped
//! the server, locked others out or forged images; `held` has rows for those that never worked.
//!
//! The binary is a test without libtest, because rows must run one after the other to be measured:
//!
//! * `cargo test --test hostile` runs the short form in some three minutes on two idle cores;
//! * `cargo test --test hostile -- c1 http2` runs the rows whose names contain `c1` or `http2`, `-- --list`
//!   prints all names;
//! * `HOSTILE_FORM=long cargo test --test hostile` runs the long form: larger sizes and more repeats, for
//!   changes to parsers, patches, limits and the listener. It takes about ten times as long.
//!
//! Ceilings hold for a debug build on a busy machine with two cores. Rows run with a server of their own
//! unless their table shares one. Linux only: figures come from `/proc`.

#[path = "hostile/attacks/mod.rs"]
mod attacks;
#[path = "hostile/bodies.rs"]
mod bodies;
#[path = "hostile/frames.rs"]
mod frames;
#[path = "hostile/held/mod.rs"]
mod held;
#[path = "hostile/meter.rs"]
mod meter;
#[path = "hostile/pki.rs"]
mod pki;
#[path = "hostile/plane.rs"]
mod plane;
#[path = "hostile/probe.rs"]
mod probe;
#[path = "hostile/row.rs"]
mod row;
#[path = "hostile/runner.rs"]
mod runner;
#[path = "hostile/site.rs"]
mod site;
#[expect(dead_code, reason = "other test binaries use the rest")]
mod support;

use std::process::ExitCode;

use crate::row::Form;
use crate::runner::Selection;

fn main() -> ExitCode {
    let selection = Selection::from_arguments(std::env::args().skip(1));
    let form = Form::from_environment();
    let tables = attacks::tables(form).into_iter().chain(held::tables(form)).collect();
    runner::run(tables, &selection)
}
