//! Modules of the control plane, lowest layer first, followed by the tests.

mod child;
#[expect(dead_code, reason = "other test binaries use the rest")]
mod pki;
mod tools;

mod backend;
mod grants;
mod kubeconfig;
mod kubectl;
mod node;
mod objects;
mod places;
mod plane;
mod site;
mod wait;

mod across;
mod admission_rights;
mod aggregation;
mod chart;
mod controllers;
mod credentials;
mod crowd;
mod diagnosis;
mod forms;
mod generated;
mod imports;
mod informers;
mod installation;
mod limit_ranges;
mod manifests;
mod namespaces;
mod optional_roles;
mod outage;
mod own_ca;
mod owner_references;
mod peers;
mod programs;
mod pull_secrets;
mod quota_walk;
mod quotas;
mod recorded;
mod relocation;
mod roles;
mod rotation;
mod tags;
mod trust;
mod watching;
mod webhook_services;
mod webhook_walk;
mod webhooks;
mod writing;
