//! Histories of many clients of several servers over three members, while members, links and
//! servers fail.

use std::collections::BTreeMap;
use std::env;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::fault::{Fault, Target};
use crate::history::campaign::{Campaign, assert_valid};
use crate::history::record::Response;
use crate::members::{Durability, Members, Settings};
use crate::site::Replica;
use crate::support::server::TestServer;
use crate::terms::{ServedTerm, assert_never_two};

const PATIENCE: Duration = Duration::from_secs(8);
/// Shortest and longest fault, and pause after one, in milliseconds.
const FAULT: std::ops::Range<u64> = 300..2500;
const PAUSE: std::ops::Range<u64> = 100..800;

/// Size of a run.
struct Form {
    replicas: usize,
    callers: usize,
    length: Duration,
    operations: usize,
    faults_of_each: usize,
    unknown: usize,
}

const SHORT: Form = Form {
    replicas: 2,
    callers: 16,
    length: Duration::from_secs(35),
    operations: 1_000,
    faults_of_each: 1,
    unknown: 10,
};
const LONG: Form = Form {
    replicas: 3,
    callers: 32,
    length: Duration::from_secs(600),
    operations: 200_000,
    faults_of_each: 10,
    unknown: 1_000,
};

#[tokio::test(flavor = "multi_thread")]
async fn history_of_servers_on_failing_members_has_no_violation() {
    assert_no_violation(&form(), &["--controllers=*"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn history_in_openshift_layout_has_no_violation() {
    assert_no_violation(&form(), &["--controllers=*", "--storage-layout=openshift"]).await;
}

fn form() -> Form {
    match env::var("HISTORY_FORM").as_deref() {
        Ok("long") => LONG,
        Ok(other) => panic!("HISTORY_FORM={other}: the only other form is `long`"),
        Err(_) => SHORT,
    }
}

async fn assert_no_violation(form: &Form, flags: &[&str]) {
    let settings = Settings { durability: Durability::Fsync, ..Settings::of(3) };
    let mut members = Members::launch(settings).await;
    let mut replicas = Vec::new();
    for _ in 0..form.replicas {
        replicas.push(Replica::start_with(&members, flags).await);
    }
    let clients = replicas.iter().map(|replica| replica.server.admin()).collect();
    let mut campaign = Campaign::start(clients, form.callers, PATIENCE).await;
    let mut target = Target { members: &mut members, replicas: &mut replicas };
    let mut counts: BTreeMap<Fault, usize> = BTreeMap::new();
    let begun = Instant::now();
    let mut faults = Vec::new();
    while begun.elapsed() < form.length
        || counts.len() < Fault::ALL.len()
        || counts.values().any(|count| *count < form.faults_of_each)
        || campaign.site.called() < form.operations as u64
    {
        if faults.is_empty() {
            faults = Fault::ALL.to_vec();
            campaign.random.shuffle(&mut faults);
        }
        let fault = faults.pop().expect("it has just been filled");
        let place = target.place(fault, &mut campaign.random).await;
        target.inject(fault, place);
        // Random time of a fault, not a wait for a condition.
        sleep(Duration::from_millis(campaign.random.u64(FAULT))).await;
        target.heal(fault, place, &campaign.site).await;
        *counts.entry(fault).or_default() += 1;
        sleep(Duration::from_millis(campaign.random.u64(PAUSE))).await;
    }
    for replica in target.replicas.iter() {
        replica.server.wait_until_ready().await;
    }
    let terms: Vec<ServedTerm> = target.replicas.iter().flat_map(Replica::terms).collect();
    let history = campaign.finish().await;
    println!("{counts:?}, {} terms", terms.len());
    assert!(!terms.is_empty(), "no server was elected");
    assert_never_two(terms);
    let unknown = history.operations.iter().filter(|each| each.response == Response::Unknown);
    assert!(unknown.count() >= form.unknown, "too few writes have an unknown outcome");
    assert!(history.operations.len() >= form.operations, "too few operations have a result");
    assert_valid(&history);
}
