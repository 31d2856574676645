//! Other objects that a write refers to.

use crate::meta::{Kind, Status, field};
use crate::registry::object_store::ObjectStore;
use crate::registry::permission::Permission;
use crate::registry::read_set::ReadSet;
use crate::registry::strategy::{Dependencies, Dependency, ResolvedDependency, Strategy};
use crate::store::Key;

/// The maximum number of access reviews of one write. kube-apiserver has no such limit.
const MAX_REVIEWS: usize = 100;
/// The maximum number of other objects that one write may refer to.
const MAX_DEPENDENCIES: usize = 1000;

/// The state of the dependencies of an attempt.
pub(super) enum DependencyState<T> {
    Complete(Dependencies<T>),
    Review(Vec<Dependency>),
    Read(Vec<Key>),
}

impl<T: Kind, S: Strategy<T>> ObjectStore<T, S> {
    /// Rejects a write that refers to too many other objects before any of them is read.
    pub(super) fn check_dependency_count(
        &self,
        name: &str,
        dependencies: &[Dependency],
    ) -> Result<(), Status> {
        let reviews =
            dependencies.iter().filter(|dependency| dependency.permission.is_some()).count();
        let text = if reviews > MAX_REVIEWS {
            format!(
                "it refers to {reviews} objects of other namespaces, each of which needs an access review, and one write \
                 may need at most {MAX_REVIEWS}: split it into several writes"
            )
        } else if dependencies.len() > MAX_DEPENDENCIES {
            format!(
                "it refers to {} other objects, and one write may refer to at most {MAX_DEPENDENCIES}: split it into several \
                 writes",
                dependencies.len()
            )
        } else {
            return Ok(());
        };
        let text = format!("{} {} cannot be written: {text}", self.resource(), field::quote(name));
        Err(Status::failure(422, "Invalid", text).about(self.resource(), name))
    }

    /// Looks up the dependencies among the entries and reviews so far.
    pub(super) fn resolve_dependencies(
        &self,
        dependencies: Vec<Dependency>,
        reviewed: &[(Dependency, Permission)],
        read_set: &ReadSet,
    ) -> Result<DependencyState<T>, Status> {
        let (mut review, mut read, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for dependency in dependencies {
            let permission = reviewed
                .iter()
                .find(|(other, _)| *other == dependency)
                .map(|(_, permission)| permission);
            match (&dependency.permission, permission) {
                (Some(_), None) => review.push(dependency),
                (None, _) | (Some(_), Some(Permission::Allowed)) => {
                    let key = self.key(&dependency.namespace, &dependency.name);
                    match read_set.entry(&key)? {
                        Some(entry) => others.push((
                            dependency,
                            ResolvedDependency::Found(self.decode(entry)?.into()),
                        )),
                        None if read_set.contains(&key) => {
                            others.push((dependency, ResolvedDependency::Missing))
                        }
                        None => read.push(key),
                    }
                }
                (Some(_), Some(refusal)) => {
                    others.push((dependency, ResolvedDependency::Denied(refusal.clone())))
                }
            }
        }
        Ok(match (review.is_empty(), read.is_empty()) {
            (false, _) => DependencyState::Review(review),
            (true, false) => DependencyState::Read(read),
            (true, true) => DependencyState::Complete(Dependencies(others)),
        })
    }
}
