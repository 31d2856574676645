//! The LimitRanges of the cluster for images and streams.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::api::{GROUP, ImageStream, ImageStreamMapping};
use crate::cluster::{ClusterRules, NamespaceLimits};
use crate::domain::image_metadata;
use crate::domain::stream_limits::{self, IMAGE, IMAGE_STREAM, StreamLimits};
use crate::meta::{Kind, Status, field};
use crate::registry::actor::Actor;
use crate::registry::admission::attributes::{
    AdmissionAttributes, AdmissionOperation, AdmissionPhase, AdmissionTarget, WriteOrigin,
    WriteSummary,
};
use crate::registry::admission::plugin::{AdmissionPlugin, Reservation};
use crate::registry::admission::unknown_rules::UnknownRules;

/// The types of limits that are checked.
pub const TYPES: &[&str] = &[IMAGE, IMAGE_STREAM];
const PLURAL: &str = "limit ranges";

/// The LimitRanges of the cluster; none without a cluster.
#[derive(Clone, Default)]
pub struct LimitRanges(Option<KnownRanges>);

#[derive(Clone)]
struct KnownRanges {
    rules: ClusterRules<NamespaceLimits>,
    unknown: UnknownRules,
}

/// Refuses pushes of images that are larger than a LimitRange allows, as the plugin of the name
/// image.openshift.io/ImageLimitRange in openshift-apiserver pkg/image/apiserver/admission/limitrange.
/// Writes of streams wait here until the LimitRanges are known, which the strategies of streams
/// check.
pub struct ImageLimitRange(KnownRanges);

impl LimitRanges {
    /// LimitRanges of a cluster, and the plugin that checks pushes with them.
    pub fn of(
        rules: ClusterRules<NamespaceLimits>,
        unknown: UnknownRules,
    ) -> (Self, ImageLimitRange) {
        let ranges = KnownRanges { rules, unknown };
        (Self(Some(ranges.clone())), ImageLimitRange(ranges))
    }

    /// Returns the error of a stream that exceeds a limit of its namespace. As `VerifyLimits` in
    /// imagestream_limits.go.
    pub(super) fn stream_error(
        &self,
        old: Option<&ImageStream>,
        new: &ImageStream,
    ) -> Option<String> {
        let KnownRanges { rules, unknown } = self.0.as_ref()?;
        let namespace = &new.metadata.namespace;
        let limits = rules.read(|limits| {
            let max = |resource| limits.max(namespace, IMAGE_STREAM, resource);
            StreamLimits {
                images: max(stream_limits::IMAGES),
                image_tags: max(stream_limits::IMAGE_TAGS),
            }
        });
        match (limits, unknown) {
            (Some(limits), _) => {
                let why = stream_limits::exceeded(old, new, limits)?;
                let (kind, name) = (ImageStream::KIND, field::quote(&new.metadata.name));
                Some(format!("{kind}.{GROUP} {name} is forbidden: {why}"))
            }
            (None, UnknownRules::Warn) => None,
            (None, UnknownRules::Deny) => (!stream_limits::adds_nothing(old, new)).then(|| {
                "limitranges is forbidden: the server is still loading limit information".into()
            }),
        }
    }

    /// Like [`Self::stream_error`], as the error of a field of the status.
    pub(super) fn status_error(
        &self,
        old: Option<&ImageStream>,
        new: &ImageStream,
    ) -> Option<field::Error> {
        let why = self.stream_error(old, new)?;
        Some(field::Error { field: "imageStream".into(), kind: field::ErrorKind::Forbidden(why) })
    }
}

impl ImageLimitRange {
    fn check(&self, attributes: &AdmissionAttributes) -> Result<(), Status> {
        let namespace = &attributes.namespace;
        let read = |limits: &NamespaceLimits| limits.max(namespace, IMAGE, stream_limits::STORAGE);
        let max = self.0.rules.read(read).flatten();
        let mapping =
            attributes.new.clone().map(|new| new.into_any().downcast::<ImageStreamMapping>());
        let (Some(max), Some(Ok(mapping))) = (max, mapping) else { return Ok(()) };
        let mut image = mapping.image.clone();
        let filled = image_metadata::fill(&mut image);
        filled.map_err(|why| attributes.forbidden(&why.to_string()))?;
        let bytes = image.docker_image_metadata.image().size;
        match stream_limits::image_exceeded(bytes, max) {
            Some(why) => Err(attributes.forbidden(&why)),
            None => Ok(()),
        }
    }
}

impl AdmissionPlugin for ImageLimitRange {
    fn handles(&self, phase: AdmissionPhase, target: &AdmissionTarget) -> bool {
        let AdmissionTarget { operation, origin, resource, .. } = target;
        if *origin != WriteOrigin::Request
            || *operation == AdmissionOperation::Delete
            || resource.group != GROUP
        {
            return false;
        }
        let are_limited = self.0.rules.read(|limits| !limits.is_empty());
        match (phase, are_limited) {
            (AdmissionPhase::Mutate, None) => {
                !matches!(resource.name, "images" | "imagesignatures")
            }
            (AdmissionPhase::Validate, Some(true)) => resource.name == "imagestreammappings",
            _ => false,
        }
    }

    fn concerns(&self, write: &WriteSummary<'_>) -> bool {
        self.0.rules.read(|limits| limits.has(write.namespace)) != Some(false)
    }

    fn mutate<'a>(
        &'a self,
        attributes: &'a mut AdmissionAttributes,
        actor: &'a Actor,
    ) -> BoxFuture<'a, Result<(), Status>> {
        let KnownRanges { rules, unknown } = &self.0;
        async move { unknown.wait_for(rules, PLURAL, attributes, actor).await.map(drop) }.boxed()
    }

    fn validate<'a>(
        &'a self,
        attributes: &'a AdmissionAttributes,
        _: &'a Actor,
    ) -> BoxFuture<'a, Result<Option<Box<dyn Reservation>>, Status>> {
        std::future::ready(self.check(attributes).map(|()| None)).boxed()
    }
}
