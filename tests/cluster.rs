//! Tests against a real control plane: etcd and kube-apiserver of the Kubernetes release that
//! `cluster/go.mod` pins run on loopback, and the real binary is registered there through an
//! APIService. Each module covers one feature; `cluster/site.rs` provides the control planes.

#[path = "cluster/mod.rs"]
mod cluster;
#[expect(dead_code, unused_imports, reason = "other test binaries use the rest")]
#[path = "support/registry/mod.rs"]
mod registry;
#[expect(dead_code, reason = "other test binaries use the rest")]
#[path = "conformance/replay.rs"]
mod replay;
#[path = "conformance/suite.rs"]
mod suite;
#[expect(dead_code, reason = "other test binaries use the rest")]
mod support;
