//! Permissions beyond that of the request itself.

use std::fmt;
use std::sync::Arc;

use crate::auth::{Attributes, Authorizer, Decision, ResourceAction, User};
use crate::meta::Status;
use crate::runtime::Flow;

/// An authorizer for further permissions of a user.
#[derive(Clone)]
pub struct Permissions {
    authorizer: Arc<Authorizer>,
    flow: Flow,
}

/// The result of an access review.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permission {
    /// The user has the permission.
    Allowed,
    /// The user lacks the permission.
    Denied {
        /// The reason that the authorizer gives; usually empty.
        reason: String,
    },
    /// The authorizer failed. This grants nothing.
    Unknown {
        /// The cause, for the log.
        why: String,
    },
}

impl Permissions {
    /// The permissions that this authorizer grants. Reviews count for this process.
    pub fn new(authorizer: Arc<Authorizer>) -> Self {
        Self { authorizer, flow: Flow::INTERNAL }
    }

    /// The same permissions, whose reviews count for a flow.
    pub fn for_flow(&self, flow: Flow) -> Self {
        Self { authorizer: self.authorizer.clone(), flow }
    }

    /// Reviews whether a user may perform an action.
    pub async fn check(&self, user: &Arc<User>, action: ResourceAction) -> Permission {
        self.review(user, &Arc::new(Attributes::Resource(Box::new(action)))).await
    }

    /// Requires a permission of a user.
    ///
    /// # Errors
    /// 403 without the permission, 503 if the authorizer failed.
    pub async fn require(&self, user: &Arc<User>, action: ResourceAction) -> Result<(), Status> {
        let attributes = Arc::new(Attributes::Resource(Box::new(action)));
        match self.review(user, &attributes).await {
            Permission::Allowed => Ok(()),
            Permission::Denied { reason } => Err(attributes.forbidden(user, &reason)),
            Permission::Unknown { why } => {
                let mut status =
                    Status::unavailable("your permissions could not be checked: try again later");
                status.hidden = Some(why);
                Err(status)
            }
        }
    }

    /// Reviews whether a user may perform an action on a resource or a path.
    pub async fn review(&self, user: &Arc<User>, attributes: &Arc<Attributes>) -> Permission {
        match self.authorizer.authorize(self.flow, user, attributes).await {
            Ok(Decision::Allowed) => Permission::Allowed,
            Ok(Decision::Denied { reason }) => Permission::Denied { reason },
            Err(why) => Permission::Unknown { why: why.to_string() },
        }
    }
}

impl fmt::Debug for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permissions")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn missing_permission_is_named_in_the_error() {
        let permissions = Permissions::new(Arc::new(Authorizer::AlwaysAllow));
        let action = ResourceAction {
            verb: "create".into(),
            resource: "imagestreams".into(),
            ..Default::default()
        };
        let nobody = Arc::new(User { name: "nobody".into(), ..User::default() });
        let status = permissions.require(&nobody, action.clone()).await.unwrap_err();
        assert_eq!((status.code, status.reason.as_str()), (403, "Forbidden"));
        assert!(status.message.contains("User \"nobody\" cannot create resource \"imagestreams\""));
        let known = (*nobody).clone().authenticated();
        assert_eq!(permissions.check(&known, action).await, Permission::Allowed);
    }
}
