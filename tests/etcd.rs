//! Servers over a real etcd: members as processes, with TLS, behind proxies that delay, hold and cut
//! connections. Needs etcd, which `.ci/run setup` builds.
//!
//! Environment variables of the history check:
//!
//! * `HISTORY_FORM=long` runs it for ten minutes at least;
//! * `HISTORY_SEED=1234` repeats the random choices of clients and faults.

#[path = "support/etcd/captured.rs"]
mod captured;
#[expect(dead_code, reason = "other test binaries use the rest")]
#[path = "cluster/child.rs"]
mod child;
#[path = "etcd/commands.rs"]
mod commands;
#[path = "etcd/elections.rs"]
mod elections;
#[path = "etcd/fault.rs"]
mod fault;
#[path = "etcd/histories.rs"]
mod histories;
#[path = "history/mod.rs"]
mod history;
#[path = "support/etcd/link.rs"]
mod link;
#[path = "etcd/load.rs"]
mod load;
#[path = "support/etcd/members.rs"]
mod members;
#[path = "etcd/observation.rs"]
mod observation;
#[path = "etcd/openshift.rs"]
mod openshift;
#[path = "etcd/outages.rs"]
mod outages;
#[expect(dead_code, reason = "other test binaries use the rest")]
#[path = "cluster/pki.rs"]
mod pki;
#[path = "etcd/processes.rs"]
mod processes;
#[path = "support/etcd/proxy.rs"]
mod proxy;
#[expect(dead_code, unused_imports, reason = "other test binaries use the rest")]
#[path = "support/registry/mod.rs"]
mod registry;
#[path = "etcd/replicas.rs"]
mod replicas;
#[path = "etcd/server.rs"]
mod server;
#[path = "etcd/service.rs"]
mod service;
#[path = "etcd/site.rs"]
mod site;
#[expect(dead_code, reason = "other test binaries use the rest")]
mod support;
#[path = "etcd/terms.rs"]
mod terms;
#[expect(dead_code, reason = "other test binaries use the rest")]
#[path = "cluster/tools.rs"]
mod tools;
#[path = "etcd/trial.rs"]
mod trial;
#[path = "etcd/updates.rs"]
mod updates;
