//! Attributes of a request that authorization decides on.
//!
//! As `Attributes` in `k8s.io/apiserver/pkg/authorization/authorizer/interfaces.go`.

use k8s_openapi::api::authorization::v1::{
    FieldSelectorAttributes, LabelSelectorAttributes, NonResourceAttributes, ResourceAttributes,
    SubjectAccessReviewSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    FieldSelectorRequirement, LabelSelectorRequirement,
};

use super::User;
use crate::machinery::selector::Requirement;
use crate::meta::{Status, StatusDetails, field};

/// Action that a user requests.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Attributes {
    /// Action on a resource.
    Resource(Box<ResourceAction>),
    /// Action on a path that is not a resource.
    Path {
        /// Decoded path.
        path: String,
        /// HTTP method in lower case.
        verb: String,
    },
}

/// Action on a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ResourceAction {
    /// Verb; empty for an HTTP method without one.
    pub verb: String,
    /// API group; empty for the core group.
    pub group: String,
    /// Version of the group.
    pub version: String,
    /// Resource, in the plural.
    pub resource: String,
    /// Subresource; empty for the object itself.
    pub subresource: String,
    /// Namespace; empty for cluster-scoped resources and for all namespaces.
    pub namespace: String,
    /// Name of the object; empty for collections and for a generated name.
    pub name: String,
    /// Field selector of a list, watch or deletecollection request.
    pub fields: Vec<Requirement>,
    /// Label selector of a list, watch or deletecollection request.
    pub labels: Vec<Requirement>,
}

impl Attributes {
    /// Spec of the SubjectAccessReview for this user.
    pub fn review(&self, user: &User) -> SubjectAccessReviewSpec {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let mut spec = SubjectAccessReviewSpec {
            user: some(&user.name),
            uid: some(&user.uid),
            groups: (!user.groups.is_empty()).then(|| user.groups.clone()),
            extra: (!user.extra.is_empty()).then(|| user.extra.clone()),
            ..SubjectAccessReviewSpec::default()
        };
        match self {
            Self::Path { path, verb } => {
                spec.non_resource_attributes =
                    Some(NonResourceAttributes { path: some(path), verb: some(verb) });
            }
            Self::Resource(action) => {
                let ResourceAction {
                    verb,
                    group,
                    version,
                    resource,
                    subresource,
                    namespace,
                    name,
                    fields,
                    labels,
                } = &**action;
                spec.resource_attributes = Some(ResourceAttributes {
                    verb: some(verb),
                    group: some(group),
                    version: some(version),
                    resource: some(resource),
                    subresource: some(subresource),
                    namespace: some(namespace),
                    name: some(name),
                    field_selector: (!fields.is_empty()).then(|| FieldSelectorAttributes {
                        requirements: Some(fields.iter().map(of_field).collect()),
                        raw_selector: None,
                    }),
                    label_selector: (!labels.is_empty()).then(|| LabelSelectorAttributes {
                        requirements: Some(labels.iter().map(of_label).collect()),
                        raw_selector: None,
                    }),
                });
            }
        }
        spec
    }

    /// Approximate size in memory, in bytes.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Path { path, verb } => path.len() + verb.len(),
            Self::Resource(action) => {
                let ResourceAction {
                    verb,
                    group,
                    version,
                    resource,
                    subresource,
                    namespace,
                    name,
                    fields,
                    labels,
                } = &**action;
                let texts =
                    [verb, group, version, resource, subresource, namespace, name].map(String::len);
                let values = |each: &Requirement| {
                    each.values.iter().flatten().map(String::len).sum::<usize>()
                };
                let selected =
                    fields.iter().chain(labels).map(|each| each.key.len() + values(each));
                texts.into_iter().chain(selected).sum()
            }
        }
    }

    /// Status 403 for a user without the permission; `reason` comes from the authorizer.
    ///
    /// The message is escaped for HTML, except for the name of the object, as by `Forbidden` in
    /// `k8s.io/apiserver/pkg/endpoints/handlers/responsewriters/errors.go`.
    pub fn forbidden(&self, user: &User, reason: &str) -> Status {
        let quote = field::quote;
        let (about, details, what) = match self {
            Self::Path { path, verb } => {
                let what = format!("User {} cannot {verb} path {}", quote(&user.name), quote(path));
                ("forbidden".to_owned(), StatusDetails::default(), what)
            }
            Self::Resource(action) => {
                let resource = match action.subresource.as_str() {
                    "" => action.resource.clone(),
                    subresource => format!("{}/{subresource}", action.resource),
                };
                let place = match action.namespace.as_str() {
                    "" => "at the cluster scope".to_owned(),
                    namespace => format!("in the namespace {}", quote(namespace)),
                };
                let (user, verb, group) = (quote(&user.name), &action.verb, quote(&action.group));
                let what = format!(
                    "User {user} cannot {verb} resource {} in API group {group} {place}",
                    quote(&resource)
                );
                (action.about(), action.details(), what)
            }
        };
        let what = if reason.is_empty() { what } else { format!("{what}: {reason}") };
        let escaped = what.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        Status::forbidden(format!("{about}: {escaped}")).with_details(details)
    }
}

fn of_field(requirement: &Requirement) -> FieldSelectorRequirement {
    let Requirement { key, operator, values } = requirement.clone();
    FieldSelectorRequirement { key, operator: operator.into(), values }
}

fn of_label(requirement: &Requirement) -> LabelSelectorRequirement {
    let Requirement { key, operator, values } = requirement.clone();
    LabelSelectorRequirement { key, operator: operator.into(), values }
}

impl ResourceAction {
    /// First part of the message: the forbidden resource and object.
    fn about(&self) -> String {
        let Self { resource, group, name, .. } = self;
        let resource =
            if group.is_empty() { resource.clone() } else { format!("{resource}.{group}") };
        match (resource.as_str(), name.as_str()) {
            ("", _) => "forbidden".to_owned(),
            (_, "") => format!("{resource} is forbidden"),
            (_, name) => format!("{resource} {} is forbidden", field::quote(name)),
        }
    }

    fn details(&self) -> StatusDetails {
        let Self { resource, group, name, .. } = self.clone();
        StatusDetails { name, group, kind: resource, ..StatusDetails::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alice() -> User {
        User { name: "alice".into(), ..User::default() }
    }

    fn get(name: &str, namespace: &str, subresource: &str) -> Attributes {
        Attributes::Resource(Box::new(ResourceAction {
            verb: "get".into(),
            group: "image.openshift.io".into(),
            version: "v1".into(),
            resource: "imagestreams".into(),
            subresource: subresource.into(),
            namespace: namespace.into(),
            name: name.into(),
            ..ResourceAction::default()
        }))
    }

    #[test]
    fn forbidden_message_names_user_verb_and_object() {
        let status = get("x", "lab", "").forbidden(&alice(), "");
        assert_eq!(
            status.message,
            "imagestreams.image.openshift.io \"x\" is forbidden: User \"alice\" cannot get resource \"imagestreams\" \
             in API group \"image.openshift.io\" in the namespace \"lab\""
        );
        let details = status.details.unwrap();
        assert_eq!((details.name.as_str(), details.kind.as_str()), ("x", "imagestreams"));
        let status = get("", "", "status").forbidden(&alice(), "no reason");
        assert!(status.message.ends_with(
            "resource \"imagestreams/status\" in API group \"image.openshift.io\" at the cluster scope: no reason"
        ));
        let path = Attributes::Path { path: "/foo".into(), verb: "post".into() };
        assert_eq!(
            path.forbidden(&alice(), "").message,
            "forbidden: User \"alice\" cannot post path \"/foo\""
        );
    }

    #[test]
    fn forbidden_message_escapes_all_but_the_object_name() {
        let user = User { name: "<u>".into(), ..User::default() };
        let message = get("<x>", "", "").forbidden(&user, "").message;
        assert!(message.starts_with(
            "imagestreams.image.openshift.io \"<x>\" is forbidden: User \"&lt;u&gt;\" cannot"
        ));
    }

    #[test]
    fn review_spec_omits_empty_attributes() {
        let user = User { uid: "7".into(), groups: vec!["a".into()], ..alice() };
        let spec = serde_json::to_value(get("x", "lab", "status").review(&user)).unwrap();
        let expected = serde_json::json!({
            "user": "alice", "uid": "7", "groups": ["a"],
            "resourceAttributes": {
                "verb": "get", "group": "image.openshift.io", "version": "v1", "resource": "imagestreams",
                "subresource": "status", "namespace": "lab", "name": "x",
            },
        });
        assert_eq!(spec, expected);
    }
}
