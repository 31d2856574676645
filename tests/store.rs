//! Contract of [`Store`](imagestream_apiserver::store::Store): one contract suite and one model
//! test run over every implementation; further tests cover the file of the embedded store.
//!
//! A new implementation needs a [`Lab`](harness::Lab) and two lines here.

#[path = "store/accounts.rs"]
mod accounts;
#[path = "store/backup.rs"]
mod backup;
#[path = "store/bounded.rs"]
mod bounded;
#[path = "store/contract.rs"]
mod contract;
#[path = "store/damage.rs"]
mod damage;
#[path = "store/disk.rs"]
mod disk;
#[path = "store/embedded_lab.rs"]
mod embedded_lab;
#[path = "store/faults.rs"]
mod faults;
#[path = "store/folder.rs"]
mod folder;
#[path = "store/harness.rs"]
mod harness;
#[path = "store/large_values.rs"]
mod large_values;
#[path = "store/maintenance.rs"]
mod maintenance;
#[path = "store/model.rs"]
mod model;
#[path = "store/power.rs"]
mod power;
#[path = "store/scan.rs"]
mod scan;

contract::suite!(embedded, crate::embedded_lab::EmbeddedLab);
model::suite!(embedded_model, crate::embedded_lab::EmbeddedLab);
