//! Behind a real control plane: etcd and kube-apiserver of the Kubernetes release that `cluster/go.mod` pins run on
//! loopback, and the real binary is registered there as an APIService. One module a promise; `cluster/site.rs` says which
//! control plane a test gets.

#[path = "cluster/mod.rs"]
mod cluster;
#[path = "conformance/replay.rs"]
mod replay;
#[path = "conformance/suite.rs"]
mod suite;
#[expect(dead_code, reason = "other test binaries use the rest")]
mod support;
