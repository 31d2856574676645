//! Allocations that the server makes for the requests that matter most: its hot path, from the
//! connection to the store and back. Each allocation there is deliberate.
//!
//! A server runs inside the test, and serves its requests on the thread of the test, whose
//! allocations are counted. After a deliberate change, commit the printed numbers.

#[path = "../benches/load/corpus.rs"]
#[expect(dead_code, reason = "the benchmark uses the rest")]
mod corpus;
#[path = "costs/site.rs"]
#[expect(dead_code, reason = "other test binaries use the rest")]
mod site;
#[expect(dead_code, reason = "other test binaries use the rest")]
mod support;

use crate::site::{Load, Site};

/// Allocations of one request.
const COMMITTED: [(Load, u64); 3] =
    [(Load::Get, 30), (Load::GetOverHttp2, 35), (Load::Missing, 50)];
/// Requests of a window.
const REQUESTS: u32 = 50;
/// Windows of each kind of request. The smallest number counts, because background work adds to
/// others.
const WINDOWS: usize = 5;

#[test]
fn requests_make_no_more_allocations_than_committed() {
    let site = Site::start();
    let count = |load| {
        site.exchange(load, REQUESTS);
        let window = |_| allocation_counter::measure(|| site.exchange(load, REQUESTS)).count_total;
        (0..WINDOWS).map(window).min().expect("there are windows") / u64::from(REQUESTS)
    };
    let counted = COMMITTED.map(|(load, committed)| (load, count(load), committed));
    println!("allocations counted and committed: {counted:?}");
    let exceeds = |(_, counted, committed): &(Load, u64, u64)| counted > committed;
    assert!(!counted.iter().any(exceeds), "counted and committed: {counted:?}");
}
