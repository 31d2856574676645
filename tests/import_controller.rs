//! The import controller, with a store and registries inside the test process, and as a part of the
//! real binary.

#[path = "import_controller/changes.rs"]
mod changes;
#[path = "import_controller/failures.rs"]
mod failures;
#[path = "import_controller/fairness.rs"]
mod fairness;
#[path = "import_controller/killed.rs"]
mod killed;
#[expect(dead_code, unused_imports, reason = "other test binaries use the rest")]
#[path = "support/registry/mod.rs"]
mod registry;
#[path = "import_controller/schedule.rs"]
mod schedule;
#[path = "import_controller/site.rs"]
mod site;
#[path = "import_controller/storm.rs"]
mod storm;
#[expect(dead_code, reason = "other test binaries use the rest")]
mod support;
