//! Hostile requests against the real binary: their cost, their responses, and their effect on other
//! users.
//!
//! Each row of a table is one attack with limits: CPU seconds and peak memory of the server
//! process, and bytes of the largest response. A row fails if it exceeds a limit or gets an
//! unexpected status, if the server ends, if `/livez` takes a second or longer at any moment of the
//! row, or if another user's GET of an ImageStreamImage fails afterwards. `attacks` has rows for
//! attacks that once stopped the server, locked out other users or forged images; `held` has rows
//! for attacks that never worked.
//!
//! The binary does not use libtest, because rows must run in sequence to be measured:
//!
//! * `cargo test --test hostile` runs the short form in about three minutes on two idle cores;
//! * `cargo test --test hostile -- c1 http2` runs the rows whose names contain `c1` or
//!   `http2`, `-- --list` prints all names;
//! * `HOSTILE_FORM=long cargo test --test hostile` runs the long form: larger sizes and more
//!   repeats, for changes to parsers, patches, limits and the listener. It takes about ten times as
//!   long.
//!
//! The limits hold for a debug build on a busy machine with two cores. Those of CPU time grow with
//! the slowness of the machine, which is measured beside each row. Each row has its own server
//! unless its table shares one. Linux only: measurements come from `/proc`.

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
#[path = "hostile/speed.rs"]
mod speed;
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
