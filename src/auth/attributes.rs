//! What somebody wants to do, as those see it who decide whether it is allowed.

use k8s_openapi::api::authorization::v1::{
    FieldSelectorAttributes, LabelSelectorAttributes, NonResourceAttributes, ResourceAttributes,
    SubjectAccessReviewSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldSelectorRequirement, LabelSelectorRequirement};

use super::User;
use crate::machinery::selector::Requirement;
use crate::meta::{Status, StatusDetails, field};

/// What somebody wants to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Attributes {
    /// Something with objects.
    Resource(Box<ResourceAction>),
    /// Something with a path that is no resource.
    Path {
        /// The path, decoded.
        path: String,
        /// The method in lower case.
        verb: String,
    },
}

/// What somebody wants to do with objects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ResourceAction {
    /// The verb; empty for methods that are none.
    pub verb: String,
    /// The API group; empty for the core group.
    pub group: String,
    /// The version of the group.
    pub version: String,
    /// The resource.
    pub resource: String,
    /// The aspect of the object; empty for the object itself.
    pub subresource: String,
    /// The namespace; empty for objects of the cluster and for all namespaces.
    pub namespace: String,
    /// The name of the object; empty where several are meant, or a new one.
    pub name: String,
    /// What a list selects by fields.
    pub fields: Vec<Requirement>,
    /// What a list selects by labels.
    pub labels: Vec<Requirement>,
}

impl Attributes {
    /// The question that a SubjectAccessReview asks.
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
                spec.non_resource_attributes = Some(NonResourceAttributes { path: some(path), verb: some(verb) });
            }
            Self::Resource(action) => {
                let ResourceAction { verb, group, version, resource, subresource, namespace, name, fields, labels } =
                    &**action;
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

    /// About how many bytes it takes to tell what it is.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Path { path, verb } => path.len() + verb.len(),
            Self::Resource(action) => {
                let ResourceAction { verb, group, version, resource, subresource, namespace, name, fields, labels } =
                    &**action;
                let texts = [verb, group, version, resource, subresource, namespace, name].map(String::len);
                let values = |each: &Requirement| each.values.iter().flatten().map(String::len).sum::<usize>();
                let selected = fields.iter().chain(labels).map(|each| each.key.len() + values(each));
                texts.into_iter().chain(selected).sum()
            }
        }
    }

    /// The 403 for a user who may not do this; `reason` is what those say who decided it.
    ///
    /// What the server words itself is escaped for HTML, as kube-apiserver does; the name of the object is not.
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
                let what =
                    format!("User {user} cannot {verb} resource {} in API group {group} {place}", quote(&resource));
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
    /// The beginning of the message: what is forbidden.
    fn about(&self) -> String {
        let Self { resource, group, name, .. } = self;
        let resource = if group.is_empty() { resource.clone() } else { format!("{resource}.{group}") };
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
    fn a_403_names_the_user_the_verb_and_the_object() {
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
        assert_eq!(path.forbidden(&alice(), "").message, "forbidden: User \"alice\" cannot post path \"/foo\"");
    }

    #[test]
    fn only_what_the_server_words_itself_is_escaped() {
        let user = User { name: "<u>".into(), ..User::default() };
        let message = get("<x>", "", "").forbidden(&user, "").message;
        assert!(message.starts_with("imagestreams.image.openshift.io \"<x>\" is forbidden: User \"&lt;u&gt;\" cannot"));
    }

    #[test]
    fn a_review_carries_all_that_is_known_and_nothing_that_is_empty() {
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
