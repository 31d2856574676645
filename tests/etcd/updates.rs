//! Updates and crashes of replicas behind a Service, under load.

use std::time::Duration;

use crate::load::{CLOSED, Load, Outcome};
use crate::members::Members;
use crate::service::Service;
use crate::site::Replica;

/// Longest time without a success of any client: during an update, and after a crash.
const UPDATE: Duration = Duration::from_secs(1);
const CRASH: Duration = Duration::from_secs(5);
/// Pushes between two events of a test.
const PUSHES: u64 = 40;
/// Time for the Service to notice, as in the overlay, and fewer events in the watch.
const FLAGS: [&str; 2] = ["--shutdown-delay-duration=1s", "--max-tag-history=3"];

impl Outcome {
    /// Prints the records, and panics if a client had no success for longer than `gap`, or if the
    /// events differ from the pushes.
    fn assert_served(&self, gap: Duration) {
        for report in &self.reports {
            println!("{report}");
        }
        for report in &self.reports {
            assert!(report.successes > 0 && report.longest_gap <= gap, "{report}");
        }
        assert_eq!(self.watched, self.pushed, "each push is one event, in order");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rolling_update_fails_no_request() {
    let members = Members::start(1).await;
    let mut service = Service::start().await.expect("a port is free");
    let old = Replica::start_two(&members, &FLAGS).await;
    for replica in &old {
        service.add(&replica.server).await;
    }
    let mut load = Load::start(&service.client()).await;
    let mut new = Vec::new();
    for mut replica in old {
        load.go_on_for(PUSHES).await;
        let next = Replica::start_with(&members, &FLAGS).await;
        service.add(&next.server).await;
        new.push(next);
        assert!(replica.server.terminate().await.success());
    }
    load.go_on_for(PUSHES).await;
    let outcome = load.stop().await;
    outcome.assert_served(UPDATE);
    for report in &outcome.reports {
        assert!(report.failed.is_empty(), "{report}");
        // A server announces the end of a connection with a response.
        assert!(!report.retried.contains_key(CLOSED), "{report}");
        // Requests that arrive before GOAWAY does are served.
        assert!(!report.retried.keys().any(|why| why.starts_with("503")), "{report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_replica_is_missed_for_five_seconds_at_most() {
    let members = Members::start(1).await;
    let mut service = Service::start().await.expect("a port is free");
    let [mut killed, other] = Replica::start_two(&members, &FLAGS).await;
    for replica in [&killed, &other] {
        service.add(&replica.server).await;
    }
    let mut load = Load::start(&service.client()).await;
    load.go_on_for(PUSHES).await;
    killed.server.kill9();
    load.go_on_for(PUSHES).await;
    let next = Replica::start_with(&members, &FLAGS).await;
    service.add(&next.server).await;
    load.go_on_for(PUSHES).await;
    load.stop().await.assert_served(CRASH);
}
