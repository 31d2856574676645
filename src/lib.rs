//! An aggregated Kubernetes API server for `image.openshift.io/v1`.
//!
//! The modules are floors: each may use those below it only. From the top:
//!
//! * [`cli`]: commands and flags.
//! * [`server`]: puts everything together, listens, and ends in good order.
//! * [`resources`]: one file a resource; here storage, Kubernetes' rules and image logic meet, and nowhere else.
//! * [`rest`]: Kubernetes REST for any type; knows nothing of images.
//! * [`domain`] knows images and nothing of I/O; [`auth`] knows who asks and what they may do.
//! * [`api`]: the types of the group, nothing but data; [`cluster`]: the control plane, as far as it is asked anything.
//! * [`meta`]: the vocabulary of all objects; [`store`]: bytes and revisions; [`telemetry`]: logs and metrics.

pub mod api;
pub mod auth;
pub mod cli;
pub mod cluster;
pub mod domain;
pub mod meta;
pub mod resources;
pub mod rest;
pub mod server;
pub mod store;
pub mod telemetry;
