//! Contract of the etcd store: the contract suite and the model test of all stores, against one
//! member of etcd and against three. Transfers to and from etcd in both layouts.
//!
//! Needs the cargo feature `etcd` and the etcd that `.ci/run setup` builds.

#[expect(dead_code, reason = "other test binaries use the rest")]
#[path = "support/etcd/captured.rs"]
mod captured;
#[expect(dead_code, reason = "other test binaries use the rest")]
#[path = "cluster/child.rs"]
mod child;
#[path = "transfer/command.rs"]
mod command;
#[path = "store/contract.rs"]
mod contract;
#[path = "store/harness.rs"]
mod harness;
#[path = "etcd_store/lab.rs"]
mod lab;
#[path = "support/etcd/link.rs"]
mod link;
#[expect(dead_code, reason = "other test binaries use the rest")]
#[path = "support/etcd/members.rs"]
mod members;
#[path = "store/model.rs"]
mod model;
#[path = "transfer/objects.rs"]
mod objects;
#[path = "etcd_store/openshift.rs"]
mod openshift;
#[expect(dead_code, reason = "other test binaries use the rest")]
#[path = "cluster/pki.rs"]
mod pki;
#[path = "support/etcd/proxy.rs"]
mod proxy;
#[path = "etcd_store/replicas.rs"]
mod replicas;
#[path = "etcd_store/space.rs"]
mod space;
#[expect(dead_code, reason = "other test binaries use the rest")]
mod support;
#[expect(dead_code, reason = "other test binaries use the rest")]
#[path = "cluster/tools.rs"]
mod tools;
#[path = "etcd_store/transfer.rs"]
mod transfer;
#[path = "etcd_store/unanswered.rs"]
mod unanswered;

contract::suite!(one_member, crate::lab::EtcdLab<1>);
contract::suite!(three_members, crate::lab::EtcdLab<3>);
contract::suite!(shared_keys, crate::lab::EtcdLab<1, true>);
model::suite!(one_member_model, crate::lab::EtcdLab<1>);
model::suite!(three_members_model, crate::lab::EtcdLab<3>);
