//! Impersonation headers and the permissions that they need.
//!
//! As `WithImpersonation` in `k8s.io/apiserver/pkg/endpoints/filters`: each user, group, UID and
//! extra needs a permission of its own (verb `impersonate`).

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::attributes::{Attributes, ResourceAction};
use super::authorize::{Authorizer, Decision};
use super::front_proxy::unescape;
use super::rejection::Rejection;
use super::user::{ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED, User};
use crate::meta::{Status, is_dns_label, is_dns_subdomain};
use crate::runtime::Flow;

const USER: HeaderName = HeaderName::from_static("impersonate-user");
const UID: HeaderName = HeaderName::from_static("impersonate-uid");
const GROUP: HeaderName = HeaderName::from_static("impersonate-group");
const EXTRA: &str = "impersonate-extra-";
const PREFIX: &str = "impersonate-";

/// User that a request acts as.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Impersonation {
    user: String,
    uid: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

impl Impersonation {
    /// Parses the headers; `None` without impersonation.
    ///
    /// # Errors
    /// 400 for a value that is not UTF-8 and for an extra without a key. 500, as in kube-apiserver,
    /// for groups, UID or extras without a user.
    pub fn read(headers: &HeaderMap) -> Result<Option<Self>, Rejection> {
        if !headers.keys().any(|name| name.as_str().starts_with(PREFIX)) {
            return Ok(None);
        }
        let texts = |name: &HeaderName| {
            headers.get_all(name).iter().map(text).collect::<Result<Vec<String>, _>>()
        };
        let first = |name: &HeaderName| {
            headers.get(name).map(text).transpose().map(Option::unwrap_or_default)
        };
        let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in headers {
            if let Some(key) = name.as_str().strip_prefix(EXTRA) {
                if key.is_empty() {
                    let text =
                        "the header \"Impersonate-Extra-\" has no key: send Impersonate-Extra-KEY";
                    return Err(Status::bad_request(text).into());
                }
                extra.entry(unescape(key)).or_default().push(text(value)?);
            }
        }
        let impersonation =
            Self { user: first(&USER)?, uid: first(&UID)?, groups: texts(&GROUP)?, extra };
        match (impersonation.user.is_empty(), impersonation.impersonated()) {
            (true, impersonated) if impersonated.is_empty() => Ok(None),
            (true, impersonated) => {
                let impersonated: Vec<String> =
                    impersonated.iter().map(ImpersonatedAttribute::to_string).collect();
                Err(Rejection::InvalidImpersonation(format!(
                    "requested [{}] without impersonating a user",
                    impersonated.join(" ")
                )))
            }
            (false, _) => Ok(Some(impersonation)),
        }
    }

    /// Returns the impersonated user if the requester may impersonate each of its attributes. The
    /// reviews count for the flow of the requester.
    ///
    /// # Errors
    /// 403 with the first forbidden attribute; 500 if a review failed.
    pub async fn authorize(
        self,
        flow: Flow,
        requester: &Arc<User>,
        authorizer: &Authorizer,
    ) -> Result<Arc<User>, Rejection> {
        for attribute in self.impersonated() {
            let attributes = Arc::new(attribute.attributes());
            match authorizer.authorize(flow, requester, &attributes).await {
                Ok(Decision::Allowed) => {}
                Ok(Decision::Denied { reason }) => {
                    return Err(attributes.forbidden(requester, &reason).into());
                }
                Err(why) => return Err((&*why).into()),
            }
        }
        Ok(Arc::new(self.user()))
    }

    fn impersonated(&self) -> Vec<ImpersonatedAttribute<'_>> {
        let mut impersonated = Vec::new();
        match service_account(&self.user) {
            _ if self.user.is_empty() => {}
            Some((namespace, name)) => {
                impersonated.push(ImpersonatedAttribute::ServiceAccount { namespace, name })
            }
            None => impersonated.push(ImpersonatedAttribute::User(&self.user)),
        }
        impersonated.extend(self.groups.iter().map(|group| ImpersonatedAttribute::Group(group)));
        for (key, values) in &self.extra {
            impersonated
                .extend(values.iter().map(|value| ImpersonatedAttribute::Extra { key, value }));
        }
        impersonated
            .extend((!self.uid.is_empty()).then_some(ImpersonatedAttribute::Uid(&self.uid)));
        impersonated
    }

    fn user(self) -> User {
        let Self { user: name, uid, mut groups, extra } = self;
        if let Some((namespace, _)) = service_account(&name)
            && groups.is_empty()
        {
            groups = vec![
                "system:serviceaccounts".into(),
                format!("system:serviceaccounts:{namespace}"),
            ];
        }
        let mut user = User { name, uid, groups, extra };
        if user.name != ANONYMOUS {
            if !user.is_in(AUTHENTICATED) && !user.is_in(UNAUTHENTICATED) {
                user.groups.push(AUTHENTICATED.into());
            }
        } else if !user.is_in(UNAUTHENTICATED) {
            user.groups.push(UNAUTHENTICATED.into());
        }
        user
    }
}

/// Returns true for an impersonation header.
pub(super) fn is_header(name: &HeaderName) -> bool {
    name.as_str().starts_with(PREFIX)
}

/// Attribute that needs a permission of its own.
#[derive(Clone, Copy, Debug)]
enum ImpersonatedAttribute<'a> {
    User(&'a str),
    ServiceAccount { namespace: &'a str, name: &'a str },
    Group(&'a str),
    Extra { key: &'a str, value: &'a str },
    Uid(&'a str),
}

impl ImpersonatedAttribute<'_> {
    fn attributes(self) -> Attributes {
        const GROUP: &str = "authentication.k8s.io";
        let (group, resource, subresource, namespace, name) = match self {
            ImpersonatedAttribute::User(name) => ("", "users", "", "", name),
            ImpersonatedAttribute::ServiceAccount { namespace, name } => {
                ("", "serviceaccounts", "", namespace, name)
            }
            ImpersonatedAttribute::Group(name) => ("", "groups", "", "", name),
            ImpersonatedAttribute::Extra { key, value } => (GROUP, "userextras", key, "", value),
            ImpersonatedAttribute::Uid(uid) => (GROUP, "uids", "", "", uid),
        };
        Attributes::Resource(Box::new(ResourceAction {
            verb: "impersonate".into(),
            group: group.into(),
            version: if group.is_empty() { String::new() } else { "v1".into() },
            resource: resource.into(),
            subresource: subresource.into(),
            namespace: namespace.into(),
            name: name.into(),
            ..ResourceAction::default()
        }))
    }
}

/// Object reference as Go's `%v` prints it: kind, namespace, name, UID, API version,
/// resourceVersion, field path.
impl std::fmt::Display for ImpersonatedAttribute<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ImpersonatedAttribute::User(name) => write!(f, "{{User  {name}    }}"),
            ImpersonatedAttribute::ServiceAccount { namespace, name } => {
                write!(f, "{{ServiceAccount {namespace} {name}    }}")
            }
            ImpersonatedAttribute::Group(name) => write!(f, "{{Group  {name}    }}"),
            ImpersonatedAttribute::Extra { key, value } => {
                write!(f, "{{UserExtra  {value}  authentication.k8s.io/v1  {key}}}")
            }
            ImpersonatedAttribute::Uid(uid) => {
                write!(f, "{{UID  {uid}  authentication.k8s.io/v1  }}")
            }
        }
    }
}

/// Namespace and name of a service account, from its user name.
fn service_account(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    (is_dns_label(namespace) && is_dns_subdomain(name)).then_some((namespace, name))
}

fn text(value: &HeaderValue) -> Result<String, Rejection> {
    let text = std::str::from_utf8(value.as_bytes()).map(str::to_owned);
    text.map_err(|_| Status::bad_request("an impersonation header is not UTF-8").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Option<Impersonation>, Rejection> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(
                HeaderName::try_from(*name).unwrap(),
                HeaderValue::try_from(*value).unwrap(),
            );
        }
        Impersonation::read(&headers)
    }

    fn user(pairs: &[(&str, &str)]) -> User {
        read(pairs).unwrap().unwrap().user()
    }

    #[test]
    fn no_headers_mean_no_impersonation() {
        assert_eq!(read(&[("accept", "*/*")]), Ok(None));
        assert_eq!(read(&[("impersonate-user", "")]), Ok(None));
    }

    #[test]
    fn extra_without_a_key_is_a_bad_request() {
        let refusal =
            read(&[("impersonate-user", "bob"), ("impersonate-extra-", "all")]).unwrap_err();
        let Rejection::Status(status) = refusal else { panic!("{refusal:?}") };
        assert_eq!((status.code, status.message.contains("has no key")), (400, true), "{status}");
    }

    #[test]
    fn groups_without_a_user_fail_with_the_text_of_kubernetes() {
        let refusal = read(&[("impersonate-group", "g"), ("impersonate-uid", "7")]).unwrap_err();
        let text = "requested [{Group  g    } {UID  7  authentication.k8s.io/v1  }] without impersonating a user";
        assert_eq!(refusal, Rejection::InvalidImpersonation(text.into()));
    }

    #[test]
    fn default_groups_depend_on_the_user() {
        assert_eq!(user(&[("impersonate-user", "bob")]).groups, [AUTHENTICATED]);
        let given = user(&[("impersonate-user", "bob"), ("impersonate-group", "devs")]);
        assert_eq!(given.groups, ["devs", AUTHENTICATED]);
        assert_eq!(user(&[("impersonate-user", ANONYMOUS)]).groups, [UNAUTHENTICATED]);
        let account = user(&[("impersonate-user", "system:serviceaccount:lab:tester")]);
        assert_eq!(
            account.groups,
            ["system:serviceaccounts", "system:serviceaccounts:lab", AUTHENTICATED]
        );
    }

    #[test]
    fn each_attribute_needs_its_own_permission() {
        let impersonation = read(&[
            ("impersonate-user", "system:serviceaccount:lab:tester"),
            ("impersonate-group", "g"),
            ("impersonate-extra-example.com%2fScopes", "all"),
            ("impersonate-uid", "7"),
        ]);
        let impersonation = impersonation.unwrap().unwrap();
        let actual: Vec<String> = impersonation
            .impersonated()
            .into_iter()
            .map(|attribute| match attribute.attributes() {
                Attributes::Resource(of) => {
                    format!(
                        "{}/{}/{}/{}/{}",
                        of.group, of.resource, of.subresource, of.namespace, of.name
                    )
                }
                Attributes::Path { .. } => unreachable!(),
            })
            .collect();
        let expected = [
            "/serviceaccounts//lab/tester",
            "/groups///g",
            "authentication.k8s.io/userextras/example.com/scopes//all",
            "authentication.k8s.io/uids///7",
        ];
        assert_eq!(actual, expected);
    }
}
