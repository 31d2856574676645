//! Modules of the control plane, lowest layer first, followed by the tests.

mod child;
mod pki;
mod tools;

mod backend;
mod grants;
mod kubeconfig;
mod kubectl;
mod objects;
mod places;
mod plane;
mod site;
mod wait;

mod across;
mod aggregation;
mod controllers;
mod credentials;
mod crowd;
mod diagnosis;
mod forms;
mod imports;
mod informers;
mod installation;
mod manifests;
mod namespaces;
mod optional_roles;
mod outage;
mod own_ca;
mod peers;
mod programs;
mod pull_secrets;
mod recorded;
mod roles;
mod rotation;
mod tags;
mod trust;
mod watching;
mod writing;
