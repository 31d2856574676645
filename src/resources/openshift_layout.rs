//! The storage layout of openshift-apiserver, so that both servers can use one etcd.

use crate::api::GROUP;
use crate::store::SharedKeys;

pub(super) mod stored_value;

/// The prefix of the keys in etcd unless openshift-apiserver has another `storagePrefix`.
pub const DEFAULT_PREFIX: &str = "/openshift.io";

/// The form of stored objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoredForm {
    /// JSON with internal fields, and rows that are derived from images.
    #[default]
    Own,
    /// The protobuf of openshift-apiserver and nothing else. Internal fields are not stored: every
    /// image counts as stored before evidence was recorded. Views and children of manifest lists
    /// come from the images.
    OpenShift,
}

/// The prefix of the keys that only this server has, beside those of its native layout in the same
/// etcd. That of openshift-apiserver is a part of it, so that several may lie in one etcd.
pub fn own_prefix(prefix: &str) -> String {
    format!("/imagestream-apiserver/shared{}", prefix.trim_end_matches('/'))
}

/// The keys of images and streams below the prefix of openshift-apiserver. They are
/// `<prefix>/images/<name>` and `<prefix>/imagestreams/<namespace>/<name>` there.
pub fn shared_keys(prefix: &str) -> SharedKeys {
    SharedKeys {
        store_prefix: format!("/{GROUP}/"),
        etcd_prefix: format!("{}/", prefix.trim_end_matches('/')),
        collections: ["images/", "imagestreams/"].map(str::to_owned).into(),
    }
}

#[cfg(test)]
mod tests;
