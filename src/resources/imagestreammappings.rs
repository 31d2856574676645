//! `imagestreammappings`: pushes of registries. Image and tag event are written in one transaction.

use std::sync::Arc;

use super::api_version::API;
use super::catalog::Catalog;
use super::push_rights::PushRights;
use super::stored_image::StoredImage;
use crate::api::{GROUP, Image, ImageStream, ImageStreamMapping, Proof};
use crate::domain::mapping::{self, PushedImage};
use crate::domain::unproved::{self, Standing};
use crate::domain::{limits, proof, validate};
use crate::endpoints::endpoint::{Builder, Endpoint};
use crate::meta::{GroupResource, Kind, Status, field};
use crate::registry::actor::{Actor, DryRun};
use crate::registry::admission::attributes::{AdmissionOperation, AdmissionTarget};
use crate::registry::admission::chain::Admitted;
use crate::registry::guaranteed_update::{UpdateDecision, UpdateOutcome};
use crate::registry::history_limit;
use crate::registry::metadata;
use crate::registry::object_change::ObjectChange;
use crate::registry::object_ref::ObjectRef;
use crate::registry::outcome::Written;
use crate::registry::read_set::ReadSet;
use crate::registry::strategy::UpdateStrategy;
use crate::registry::verbs::{Create, Scope};
use crate::store::{Charge, Key};

const PLURAL: GroupResource<'static> = GroupResource { group: GROUP, name: "imagestreammappings" };

/// The endpoint of the resource.
pub(super) fn endpoint(catalog: &Arc<Catalog>) -> Endpoint {
    Builder::new(API, "imagestreammappings", Scope::Namespaced)
        .names("imagestreammapping", &[])
        .create(&Arc::new(Mappings::new(catalog)))
        .build()
}

/// The handler of pushes. A push writes an image and a tag event in one transaction.
pub(super) struct Mappings(Arc<Catalog>);

/// A push with all of its attempts.
struct Push<'a> {
    actor: &'a Actor,
    mapping: ImageStreamMapping,
    image: Result<Image, Status>,
    /// The child manifests, if the manifest matches the digest of the image.
    children: Vec<String>,
    keys: [Key; 2],
}

/// The state of a push when the update loop returns.
enum PushProgress {
    /// The push is done.
    Done,
    /// An access review is needed.
    Review(RequiredReview),
}

/// An access review that decides whether the stream may have an image that the push does not prove.
enum RequiredReview {
    /// The permission to get the image.
    Image,
    /// The permission to pull from a stream of the namespace that has the image.
    Streams,
    /// The permission to get these children of the pushed list, or to pull from streams of the
    /// namespace that have them.
    Children(Vec<String>),
}

impl Create<ImageStreamMapping> for Mappings {
    async fn create(
        &self,
        actor: &Actor,
        at: &ObjectRef,
        mapping: ImageStreamMapping,
    ) -> Result<Written<ImageStreamMapping>, Status> {
        let chain = self.0.storage.chain();
        let target = AdmissionTarget::requested::<ImageStreamMapping>(
            AdmissionOperation::Create,
            PLURAL,
            API,
        );
        let mapping = chain.mutate_new(target, at.namespace(), mapping, actor).await?;
        let mapping = self.prepare_and_validate(actor, at, mapping)?;
        chain.validate_virtual(target, &mapping, actor).await?;
        let children = proof::named_children(&mapping.image);
        let image = self.new_image(actor, &mapping, &children);
        let (images, streams) = (&self.0.images, &self.0.streams);
        let name = &mapping.image.metadata.name;
        let keys = [streams.key(at.namespace(), &mapping.metadata.name), images.key("", name)];
        let push = Push { actor, mapping, image, children, keys };
        let mut rights = PushRights::new(&self.0, actor, at, &push.mapping);
        loop {
            let attempt = |read_set: &ReadSet, admitted: &Admitted| {
                self.attempt(&push, &rights, read_set, admitted)
            };
            let done = self.0.storage.guaranteed_update(actor, &push.keys, attempt).await?;
            match done {
                UpdateOutcome::Unchanged(PushProgress::Review(RequiredReview::Image)) => {
                    rights.review_image().await?
                }
                UpdateOutcome::Unchanged(PushProgress::Review(RequiredReview::Streams)) => {
                    rights.review_streams().await?
                }
                UpdateOutcome::Unchanged(PushProgress::Review(RequiredReview::Children(
                    children,
                ))) => rights.review_children(&children).await?,
                UpdateOutcome::Unchanged(PushProgress::Done) | UpdateOutcome::Committed(..) => {
                    return Ok(Written::status(Status { code: 201, ..Status::success() }));
                }
            }
        }
    }
}

impl Mappings {
    /// The handler of pushes into the streams of a catalog.
    pub(super) fn new(catalog: &Arc<Catalog>) -> Self {
        Self(catalog.clone())
    }

    /// Completes and validates a mapping.
    fn prepare_and_validate(
        &self,
        actor: &Actor,
        at: &ObjectRef,
        mut mapping: ImageStreamMapping,
    ) -> Result<ImageStreamMapping, Status> {
        metadata::prepare_virtual(at.namespace(), actor.now, &mut mapping.metadata)?;
        mapping::prepare(&mut mapping, &self.0.registries);
        let mut errors = metadata::validate(&mapping.metadata);
        errors
            .append(validate::mapping(&mapping, &|meta| metadata::validate_nested(meta, || None)));
        errors.extend(mapping::manifest_digest_error(&mapping.image));
        reject_invalid(&mapping, &errors)?;
        Ok(mapping)
    }

    /// The image with its evidence. It is stored if it is new or has better proof.
    fn new_image(
        &self,
        actor: &Actor,
        mapping: &ImageStreamMapping,
        children: &[String],
    ) -> Result<Image, Status> {
        let mut image = mapping.image.clone();
        image.metadata.namespace.clear();
        mapping::drop_privileged_fields(&mut image.metadata);
        image.metadata.creation_timestamp = Some(actor.now);
        let sent = image.clone();
        self.0.images.prepare_and_validate("", actor.now, &mut image)?;
        image.evidence = proof::evidence_after_fill(&sent, &image);
        image.evidence.namespace.clone_from(&mapping.metadata.namespace);
        proof::keep_named_children(&mut image, children);
        Ok(image)
    }

    /// Runs one attempt on the current entries.
    fn attempt(
        &self,
        push: &Push<'_>,
        rights: &PushRights<'_>,
        read_set: &ReadSet,
        admitted: &Admitted,
    ) -> Result<UpdateDecision<PushProgress>, Status> {
        let (images, streams) = (&self.0.images, &self.0.streams);
        let Push { mapping, keys, .. } = push;
        let missing = || Status::not_found(PLURAL, &mapping.metadata.name);
        let stream = read_set.entry(&keys[0])?.ok_or_else(missing)?;
        // A missing stream is reported before an invalid image, because registries then create it.
        let pushed = push.image.as_ref().map_err(Status::clone)?;
        let before = streams.decode(stream)?;
        let errors: field::Errors = limits::pushed_tag(&before, &mapping.tag).into_iter().collect();
        reject_invalid(mapping, &errors)?;
        let found = StoredImage::find(images, read_set, &keys[1], pushed)?;
        if let StoredImage::Unread(key) = found {
            return Ok(UpdateDecision::Read(vec![key]));
        }
        let stored = found.image();
        let standing = match entitlement(&before, stored, pushed, rights)? {
            Entitlement::Has(standing) => standing,
            Entitlement::DependsOn(review) => {
                return Ok(UpdateDecision::Keep(PushProgress::Review(review)));
            }
        };
        let mut after = before.clone();
        streams.strategy().decorate(&mut after);
        let present = if stored.is_some() { PushedImage::Existing } else { PushedImage::New };
        let image = found.replacement(images, pushed);
        if standing == Standing::Proved
            && let Some(children) =
                withhold_children(push, rights, &before, &mut after, image.as_ref().or(stored))?
        {
            return Ok(UpdateDecision::Keep(PushProgress::Review(RequiredReview::Children(
                children,
            ))));
        }
        unproved::record(&mut after, &pushed.metadata.name, standing);
        let pushed_event =
            mapping::push(&mut after, mapping, present, self.0.tag_history, push.actor.now);
        let mut changes = Vec::new();
        if pushed_event.is_change() || after.unproved != before.unproved {
            let over = streams.strategy().ranges.status_error(Some(&before), &after);
            streams.reject_invalid(&after, &over.into_iter().collect())?;
            let namespaced_name =
                (before.metadata.namespace.as_str(), mapping.metadata.name.as_str());
            if let Some(step) =
                streams.derived_admission(admitted, namespaced_name, Some(&before), Some(&after))
            {
                return Ok(UpdateDecision::Admit(vec![*step]));
            }
            changes.push(streams.change(&keys[0], namespaced_name, Some(&before), Some(&after))?);
        }
        if let Some(image) = image {
            let namespaced_name = ("", image.metadata.name.as_str());
            if let Some(step) =
                images.derived_admission(admitted, namespaced_name, stored, Some(&image))
            {
                return Ok(UpdateDecision::Admit(vec![*step]));
            }
            let change = found.change(images, &keys[1], &image)?;
            let charge = Charge::Limited(history_limit::account(&mapping.metadata.namespace));
            changes.push(ObjectChange { charge, ..change });
        }
        let has_changes = !changes.is_empty() && push.actor.dry_run == DryRun::Off;
        Ok(if has_changes {
            UpdateDecision::Write(changes, PushProgress::Done)
        } else {
            UpdateDecision::Keep(PushProgress::Done)
        })
    }
}

/// Withholds from `after` the children of the pushed list that the user may not see. Returns the
/// children that must be reviewed first.
///
/// # Errors
/// 403 if too many children are withheld.
fn withhold_children(
    push: &Push<'_>,
    rights: &PushRights<'_>,
    before: &ImageStream,
    after: &mut ImageStream,
    list: Option<&Image>,
) -> Result<Option<Vec<String>>, Status> {
    unproved::withhold(after, rights.withheld.iter().map(String::as_str));
    let kept = list
        .into_iter()
        .flat_map(|list| &list.docker_image_manifests)
        .map(|child| child.digest.as_str());
    let children = push.children.iter().map(String::as_str).chain(kept);
    let children = unproved::children_to_prove(before, &push.mapping.image.metadata.name, children);
    if !children.is_empty() && !rights.has_reviewed_children() {
        return Ok(Some(children.into_iter().map(str::to_owned).collect()));
    }
    let (known, others): (Vec<&str>, _) =
        children.into_iter().partition(|child| rights.may_see_child(child));
    known.into_iter().for_each(|child| unproved::record(after, child, Standing::Proved));
    unproved::withhold(after, others);
    if unproved::exceeds_limit(Some(before), after) {
        return Err(rights.too_many_children());
    }
    Ok(None)
}

/// The entitlement of a stream to a pushed image.
enum Entitlement {
    /// The stream is entitled.
    Has(Standing),
    /// An access review decides.
    DependsOn(RequiredReview),
}

/// The entitlement of `stream` to the image `pushed`.
///
/// # Errors
/// 403 if the image exists, and neither the push proves it nor the user may see it.
fn entitlement(
    stream: &ImageStream,
    stored: Option<&Image>,
    pushed: &Image,
    rights: &PushRights<'_>,
) -> Result<Entitlement, Status> {
    if pushed.evidence.proof > Proof::Nothing {
        return Ok(Entitlement::Has(Standing::Proved));
    }
    let known = unproved::standing(stream, &pushed.metadata.name);
    if let Some(standing) = known.filter(|known| stored.is_some() || *known == Standing::Proved) {
        // The stream already has the image, so it gains nothing.
        return Ok(Entitlement::Has(standing));
    }
    Ok(match (rights.image, stored, &rights.stream) {
        (None, _, _) => Entitlement::DependsOn(RequiredReview::Image),
        (Some(true), _, _) => Entitlement::Has(Standing::Proved),
        (Some(false), None, _) => {
            Entitlement::Has(Standing::Unproved { uid: pushed.metadata.uid.clone() })
        }
        (Some(false), Some(_), None) => Entitlement::DependsOn(RequiredReview::Streams),
        (Some(false), Some(_), Some(Some(standing))) => Entitlement::Has(standing.clone()),
        (Some(false), Some(_), Some(None)) => return Err(rights.refusal()),
    })
}

/// Returns 422 if there are errors.
fn reject_invalid(mapping: &ImageStreamMapping, errors: &field::Errors) -> Result<(), Status> {
    let kind = GroupResource { group: GROUP, name: ImageStreamMapping::KIND };
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Status::invalid(kind, &mapping.metadata.name, errors))
    }
}
