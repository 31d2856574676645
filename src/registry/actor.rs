//! The client of the registry: a user behind a request, or a part of this process.

use std::sync::Arc;

use serde_json::Value;

use super::admission::notes::AdmissionNotes;
use super::permission::Permissions;
use super::workload::Workload;
use crate::auth::{Authorizer, User};
use crate::cluster::Namespaces;
use crate::machinery::group_version::GroupVersion;
use crate::machinery::managed_fields::Manager;
use crate::meta::Time;
use crate::store::TermGuard;

/// A client of the registry, with the parameters of one of its operations.
#[derive(Clone, Debug)]
pub struct Actor {
    /// The authenticated user.
    pub user: Arc<User>,
    /// The time of the operation, which is set in new objects and managed fields.
    pub now: Time,
    /// Selects whether changes are stored.
    pub dry_run: DryRun,
    /// The manager of the written fields in `metadata.managedFields`; at most
    /// [`MAX_FIELD_MANAGER_BYTES`].
    pub field_manager: String,
    /// The authorizer, for permissions beyond that of the operation itself.
    pub permissions: Permissions,
    /// The namespaces of the cluster, for the admission of new objects.
    pub namespaces: Namespaces,
    /// The options of a write as JSON without `kind` and `apiVersion`, for webhooks.
    pub options: Option<Arc<Value>>,
    /// Warnings and audit annotations of admission.
    pub notes: AdmissionNotes,
    /// The size of the operation's work, and its slot in the pool for large requests.
    pub load: Workload,
    /// The term of an elected controller, which its writes compare.
    pub term: Option<TermGuard>,
}

/// The longest name of a field manager, in bytes, as `fieldManagerMaxLength` in
/// k8s.io/apimachinery/pkg/apis/meta/v1/validation.
pub const MAX_FIELD_MANAGER_BYTES: usize = 128;

impl Actor {
    /// An actor for a part of this process. It has every permission, and every namespace exists.
    pub fn internal(name: &str, now: Time) -> Self {
        Self {
            user: User { name: name.to_owned(), ..User::default() }.authenticated(),
            now,
            dry_run: DryRun::Off,
            field_manager: name.to_owned(),
            permissions: Permissions::new(Arc::new(Authorizer::AlwaysAllow)),
            namespaces: Namespaces::all(),
            options: None,
            notes: AdmissionNotes::default(),
            load: Workload::default(),
            term: None,
        }
    }

    /// The manager of whole objects of an API version that this actor writes.
    pub fn manager(&self, api: GroupVersion) -> Manager {
        Manager {
            name: self.field_manager.clone(),
            subresource: "",
            api_version: api.name,
            time: self.now,
            ignored: &[],
        }
    }
}

/// Selects whether changes are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DryRun {
    /// Changes are stored.
    #[default]
    Off,
    /// All steps run except the commit, as with `dryRun=All`.
    All,
}
