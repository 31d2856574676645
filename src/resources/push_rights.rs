//! Permissions of a user who pushes an image without its manifest.

use std::collections::HashSet;

use super::catalog::Catalog;
use super::openshift_layout::StoredForm;
use crate::api::{GROUP, ImageStream, ImageStreamMapping, VERSION};
use crate::auth::ResourceAction;
use crate::domain::digest;
use crate::domain::unproved::{self, Standing};
use crate::machinery::json;
use crate::meta::{GroupResource, Status, field};
use crate::registry::actor::Actor;
use crate::registry::object_ref::ObjectRef;
use crate::registry::page;
use crate::registry::permission::Permission;
use crate::registry::workload::Workload;
use crate::store::{At, Entry, Revision};

/// The maximum number of access reviews of one push.
const MAX_REVIEWS: usize = 10;
/// The maximum number of children of a list to search for.
const MAX_CHILDREN_SEARCHED: usize = 20;
/// The maximum size of stored streams to search, in bytes.
const MAX_SEARCHED_BYTES: usize = 16 << 20;

/// The reviewed permissions of the user who pushes an image.
pub(super) struct PushRights<'a> {
    catalog: &'a Catalog,
    actor: &'a Actor,
    at: &'a ObjectRef,
    mapping: &'a ImageStreamMapping,
    /// The permission to get the image; none before the review.
    pub(super) image: Option<bool>,
    /// The standing of the image in a stream that the user may pull from; none before the review.
    pub(super) stream: Option<Option<Standing>>,
    /// The images that are withheld from that stream.
    pub(super) withheld: Vec<String>,
    children: Option<VisibleChildren>,
    /// The number of reviews so far.
    reviews: usize,
}

/// The children of a pushed list that a user may see.
enum VisibleChildren {
    All,
    Only(HashSet<String>),
}

impl<'a> PushRights<'a> {
    /// No permissions are reviewed yet.
    pub(super) fn new(
        catalog: &'a Catalog,
        actor: &'a Actor,
        at: &'a ObjectRef,
        mapping: &'a ImageStreamMapping,
    ) -> Self {
        Self {
            catalog,
            actor,
            at,
            mapping,
            image: None,
            stream: None,
            withheld: Vec::new(),
            children: None,
            reviews: 0,
        }
    }

    /// Reviews the permission to get the image.
    ///
    /// # Errors
    /// 503 if the authorizer failed.
    pub(super) async fn review_image(&mut self) -> Result<(), Status> {
        let action = ResourceAction {
            resource: "images".into(),
            name: self.mapping.image.metadata.name.clone(),
            ..action()
        };
        self.image = Some(self.may(action).await?);
        Ok(())
    }

    /// Reviews the permission to pull from a stream of the namespace that has the image. Streams
    /// with proof come first.
    ///
    /// # Errors
    /// 503 if the authorizer failed, and store failures.
    pub(super) async fn review_streams(&mut self) -> Result<(), Status> {
        let name = &self.mapping.image.metadata.name;
        let mut streams = Vec::new();
        self.search(std::slice::from_ref(name), |stream| {
            if let Some(standing) = unproved::standing(&stream, name) {
                let withheld = unproved::withheld(&stream).map(str::to_owned).collect();
                streams.push((stream.metadata.name, standing, withheld));
            }
        })
        .await?;
        streams.sort_by_key(|(_, standing, _)| *standing != Standing::Proved);
        self.stream = Some(None);
        for (stream, standing, withheld) in streams {
            if self.may_pull(stream).await? {
                (self.stream, self.withheld) = (Some(Some(standing)), withheld);
                break;
            }
        }
        Ok(())
    }

    /// Reviews the permission to get all images or else to pull from streams of the namespace with
    /// children of a pushed list. Streams with the most children come first.
    ///
    /// # Errors
    /// The errors of [`review_streams`](Self::review_streams).
    pub(super) async fn review_children(&mut self, children: &[String]) -> Result<(), Status> {
        if self.may(ResourceAction { resource: "images".into(), ..action() }).await? {
            self.children = Some(VisibleChildren::All);
            return Ok(());
        }
        let (mut streams, mut found) = (Vec::new(), HashSet::new());
        if children.len() <= MAX_CHILDREN_SEARCHED {
            self.search(children, |stream| {
                let has =
                    |child: &&String| unproved::standing(&stream, child) == Some(Standing::Proved);
                let has: Vec<String> = children.iter().filter(has).cloned().collect();
                if !has.is_empty() {
                    streams.push((stream.metadata.name, has));
                }
            })
            .await?;
        }
        streams.sort_by_key(|(_, has)| std::cmp::Reverse(has.len()));
        for (stream, has) in streams {
            if !has.iter().all(|child| found.contains(child)) && self.may_pull(stream).await? {
                found.extend(has);
            }
        }
        self.children = Some(VisibleChildren::Only(found));
        Ok(())
    }

    /// Returns true if access to the children is reviewed.
    pub(super) fn has_reviewed_children(&self) -> bool {
        self.children.is_some()
    }

    /// Returns true if the reviews show that the user may see a child.
    pub(super) fn may_see_child(&self, child: &str) -> bool {
        match &self.children {
            None => false,
            Some(VisibleChildren::All) => true,
            Some(VisibleChildren::Only(children)) => children.contains(child),
        }
    }

    /// The 403 for a list with too many children that the stream does not have.
    pub(super) fn too_many_children(&self) -> Status {
        let most = unproved::MAX_WITHHELD;
        self.forbidden(&format!(
            "its manifest lists name more than {most} images that the stream does not have: push these first, or ask for \
             the right to get images"
        ))
    }

    /// The 403 for a user without any of the permissions.
    pub(super) fn refusal(&self) -> Status {
        let name = &self.mapping.image.metadata.name;
        let by_content = match digest::is_digest(name) {
            true => {
                "send the manifest that hashes to its name (image.dockerImageManifest), or ask for"
            }
            false => "push it under the digest of its manifest, or ask for",
        };
        let name = field::quote(name);
        self.forbidden(&format!(
            "the image {name} exists, and nothing shows that user {} may see it: {by_content} the right to get images {name}, \
             or imagestreams/layers of a stream of namespace {} that has it",
            field::quote(&self.actor.user.name),
            field::quote(self.at.namespace()),
        ))
    }

    fn forbidden(&self, why: &str) -> Status {
        let stream = &self.mapping.metadata.name;
        let text =
            format!("imagestreammappings.{GROUP} {} is forbidden: {why}", field::quote(stream));
        Status::forbidden(text)
            .about(GroupResource { group: GROUP, name: "imagestreammappings" }, stream)
    }

    async fn may_pull(&mut self, stream: String) -> Result<bool, Status> {
        let action = ResourceAction {
            resource: "imagestreams".into(),
            subresource: "layers".into(),
            namespace: self.at.namespace().into(),
            name: stream,
            ..action()
        };
        self.may(action).await
    }

    /// Returns true if the user has a permission, and false after the maximum number of reviews.
    async fn may(&mut self, action: ResourceAction) -> Result<bool, Status> {
        if self.reviews == MAX_REVIEWS {
            return Ok(false);
        }
        self.reviews += 1;
        match self.actor.permissions.check(&self.actor.user, action).await {
            Permission::Allowed => Ok(true),
            Permission::Denied { .. } => Ok(false),
            Permission::Unknown { why } => {
                let mut status =
                    Status::unavailable("your permissions could not be checked: try again later");
                status.hidden = Some(why);
                Err(status)
            }
        }
    }

    /// Calls `see` with the streams of the namespace that name any of these images, up to the
    /// search limit.
    async fn search(
        &self,
        images: &[String],
        mut see: impl FnMut(ImageStream),
    ) -> Result<(), Status> {
        let options =
            page::PageOptions { at: At::Now, at_least: Revision(0), start: None, limit: 0 };
        let entries = self.catalog.streams.entries(self.at.namespace(), None, options);
        let mut entries = entries.charged_to(&self.actor.load, Workload::cost_of_object);
        let text = |name: &String| match self.catalog.streams.strategy().stored_form {
            StoredForm::Own => String::from_utf8(json::encode(name)).unwrap_or_default(),
            StoredForm::OpenShift => name.clone(),
        };
        let texts: Vec<String> = images.iter().map(text).collect();
        let mut searched = 0_usize;
        while searched < MAX_SEARCHED_BYTES {
            let page = entries.next_page().await?;
            if page.is_empty() {
                break;
            }
            searched += page.iter().map(|entry| entry.value.len()).sum::<usize>();
            for entry in page.iter().filter(|entry| may_name(entry, &texts)) {
                see(self.catalog.streams.decode(entry)?);
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}

/// Returns true if a stored stream can name an image with one of these encoded names; avoids
/// decoding the others.
fn may_name(entry: &Entry, names: &[String]) -> bool {
    let value = String::from_utf8_lossy(&entry.value);
    names.iter().any(|name| value.contains(name))
}

fn action() -> ResourceAction {
    ResourceAction {
        verb: "get".into(),
        group: GROUP.into(),
        version: VERSION.into(),
        ..ResourceAction::default()
    }
}
