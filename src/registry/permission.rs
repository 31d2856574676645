//! What else a user may do: the authorizer, as handlers may ask it about more than the request itself.

use std::fmt;
use std::sync::Arc;

use crate::auth::{Attributes, Authorizer, Decision, ResourceAction, User};
use crate::meta::Status;

/// Decides what users may do.
#[derive(Clone)]
pub struct Permissions(Arc<Authorizer>);

/// What is known of a permission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permission {
    /// The user may do it.
    Allowed,
    /// The user may not do it.
    Denied {
        /// Why, in the words of those who decided it; mostly empty.
        reason: String,
    },
    /// Nobody could be asked. That is no permission.
    Unknown {
        /// Why not.
        why: String,
    },
}

impl Permissions {
    /// What this authorizer permits.
    pub fn new(authorizer: Arc<Authorizer>) -> Self {
        Self(authorizer)
    }

    /// Whether a user may do something.
    pub async fn check(&self, user: &Arc<User>, action: ResourceAction) -> Permission {
        self.decide(user, &Arc::new(Attributes::Resource(Box::new(action)))).await
    }

    /// Refuses a user who may not do something.
    ///
    /// # Errors
    /// 403, or 503 where it could not be found out.
    pub async fn require(&self, user: &Arc<User>, action: ResourceAction) -> Result<(), Status> {
        let attributes = Arc::new(Attributes::Resource(Box::new(action)));
        match self.decide(user, &attributes).await {
            Permission::Allowed => Ok(()),
            Permission::Denied { reason } => Err(attributes.forbidden(user, &reason)),
            Permission::Unknown { why } => {
                let mut status = Status::unavailable("what you may do could not be found out: try again later");
                status.hidden = Some(why);
                Err(status)
            }
        }
    }

    async fn decide(&self, user: &Arc<User>, attributes: &Arc<Attributes>) -> Permission {
        match self.0.authorize(user, attributes).await {
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
    async fn who_may_not_is_told_what() {
        let permissions = Permissions::new(Arc::new(Authorizer::AlwaysAllow));
        let action = ResourceAction { verb: "create".into(), resource: "imagestreams".into(), ..Default::default() };
        let nobody = Arc::new(User { name: "nobody".into(), ..User::default() });
        let status = permissions.require(&nobody, action.clone()).await.unwrap_err();
        assert_eq!((status.code, status.reason.as_str()), (403, "Forbidden"));
        assert!(status.message.contains("User \"nobody\" cannot create resource \"imagestreams\""));
        let known = (*nobody).clone().authenticated();
        assert_eq!(permissions.check(&known, action).await, Permission::Allowed);
    }
}
