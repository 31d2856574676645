//! The strategies of images and streams.

use std::borrow::Cow;

use bytes::Bytes;
use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::limit_ranges::LimitRanges;
use super::openshift_layout::{StoredForm, stored_value};
use super::{import_sources, internal_field, manifest_lists, packed_view, superseded_images};
use crate::api::{Evidence, GROUP, Image, ImageStream, VERSION};
use crate::auth::ResourceAction;
use crate::domain::import_warnings::import_warnings;
use crate::domain::registries::Registries;
use crate::domain::resolve::{self, Resolution};
use crate::domain::stream_strategy::{self, WriteTarget};
use crate::domain::tag_history::MaxTagHistory;
use crate::domain::tag_source::StreamKey;
use crate::domain::{image_signatures, image_strategy, limits, names, proof, unproved, validate};
use crate::machinery::json;
use crate::meta::protobuf::UnknownFields;
use crate::meta::{Kind, ObjectMeta, Time, field, path_segment_errors};
use crate::registry::list::stored_parts;
use crate::registry::metadata;
use crate::registry::permission::Permission;
use crate::registry::strategy::{
    Dependencies, Dependency, GarbageCollection, ResolvedDependency, Strategy, UpdateStrategy,
    ValidationErrors, decode_metadata,
};
use crate::store::Change;

/// The internal field of an image with its evidence.
pub(super) const EVIDENCE: &str = "evidence";
/// The internal field of a stream with its unproved images.
pub(super) const UNPROVED: &str = "unproved";

/// The strategy of images.
#[derive(Clone, Copy, Debug, Default)]
pub struct ImageStrategy {
    /// The form in which images are stored.
    pub stored_form: StoredForm,
}

impl UpdateStrategy<Image> for ImageStrategy {
    fn reset_fields(&self, old: Option<&Image>, new: &mut Image) {
        if let Some(old) = old {
            image_strategy::reset_fields(old, new);
        }
    }

    fn prepare(&self, old: Option<&Image>, new: &mut Image) {
        match old {
            None => {
                image_strategy::prepare_for_create(new);
                // Users with the permission to create images vouch for them. Mappings set their
                // evidence later.
                new.evidence = Evidence::authority();
            }
            Some(old) => {
                image_strategy::prepare_for_update(new, old);
                proof::record_authored(old, new);
            }
        }
    }

    fn validate(
        &self,
        old: Option<&Image>,
        new: &mut Image,
        _: &Dependencies<Image>,
        _: Time,
    ) -> ValidationErrors {
        let present = |name: &str| {
            old.and_then(|old| image_signatures::find(old, name)).map(|found| &found.metadata)
        };
        let mut errors =
            validate::image(new, &|meta| metadata::validate_nested(meta, || present(&meta.name)));
        // Existing images with such a name can still be updated.
        if old.is_none() {
            errors.extend(names::new_image_name_error("metadata.name", &new.metadata.name));
        }
        errors.into()
    }
}

impl Strategy<Image> for ImageStrategy {
    fn limit_errors(&self, old: Option<&Image>, new: &Image) -> field::Errors {
        limits::image(old, new)
    }

    fn name_errors(&self, name: &str) -> Vec<&'static str> {
        path_segment_errors(name)
    }

    fn garbage_collection(&self) -> GarbageCollection {
        GarbageCollection::Unsupported
    }

    fn derived_rows(&self, name: &str, old: Option<&Image>, new: Option<&Image>) -> Vec<Change> {
        if self.stored_form == StoredForm::OpenShift {
            return Vec::new();
        }
        let mut changes = manifest_lists::changes(old, new);
        changes.push(packed_view::change(name, new));
        changes.extend(superseded_images::change(name, old, new, |image| self.encode(image)));
        changes
    }

    fn rows_after_damage(&self, name: &str, new: Option<&Image>) -> Vec<Change> {
        if self.stored_form == StoredForm::OpenShift {
            return Vec::new();
        }
        let mut changes = manifest_lists::removal(name);
        if !new.is_some_and(|new| new.evidence.has_unproved_form) {
            changes.push(Change::Delete(superseded_images::key(name)));
        }
        changes
    }

    fn encode(&self, image: &Image) -> Vec<u8> {
        match self.stored_form {
            StoredForm::OpenShift => openshift_value(image, &image.unknown_fields),
            StoredForm::Own if image.evidence == Evidence::default() => json::encode(image),
            StoredForm::Own => internal_field::encode(EVIDENCE, &image.evidence, image),
        }
    }

    fn decode(&self, bytes: &[u8]) -> Result<Image, String> {
        if self.stored_form == StoredForm::OpenShift {
            let (image, unknown_fields) =
                stored_value::decode(bytes).map_err(|why| why.to_string())?;
            return Ok(Image { unknown_fields, ..image });
        }
        let mut image: Image = serde_json::from_slice(bytes).map_err(|why| why.to_string())?;
        image.evidence = internal_field::decode(EVIDENCE, bytes)?;
        Ok(image)
    }

    fn decode_metadata(&self, bytes: &[u8]) -> Result<Image, String> {
        match self.stored_form {
            StoredForm::Own => decode_metadata(bytes),
            StoredForm::OpenShift => {
                let Image { metadata, .. } = self.decode(bytes)?;
                Ok(Image { metadata, ..Image::default() })
            }
        }
    }

    fn split(&self, value: &Bytes) -> Option<(ObjectMeta, Bytes)> {
        /// A field that responses contain even if it was not stored.
        const VERSION_OF_METADATA: &[u8] = br#","dockerImageMetadataVersion":""#;
        if self.stored_form == StoredForm::OpenShift {
            return None;
        }
        let start = internal_field::end(EVIDENCE, value)?;
        let (metadata, others) = stored_parts::split(value, start)?;
        memmem::find(&others, VERSION_OF_METADATA)?;
        Some((metadata, others))
    }

    fn decode_columns(&self, bytes: &[u8]) -> Result<Image, String> {
        /// The fields in the table of images. The others are nearly all of the bytes.
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct ShownFields {
            metadata: ObjectMeta,
            docker_image_reference: String,
        }
        if self.stored_form == StoredForm::OpenShift {
            return self.decode(bytes);
        }
        let shown = serde_json::from_slice(bytes).map_err(|why| why.to_string())?;
        let ShownFields { metadata, docker_image_reference } = shown;
        Ok(Image { metadata, docker_image_reference, ..Image::default() })
    }
}

/// The form of openshift-apiserver of an object.
fn openshift_value<T: Kind>(object: &T, unknown_fields: &UnknownFields) -> Vec<u8> {
    stored_value::encode(object, unknown_fields)
        .expect("objects match their messages, and their unknown fields were decoded")
}

const SPEC_REPOSITORY: &str = "spec.dockerImageRepository";
const STATUS_REPOSITORY: &str = "status.dockerImageRepository";

/// The strategy of streams.
pub struct StreamStrategy {
    /// The form in which streams are stored.
    pub stored_form: StoredForm,
    /// The registries that images are pulled from and pushed to.
    pub registries: Registries,
    /// The maximum number of events in the history of a tag.
    pub tag_history: MaxTagHistory,
    /// The LimitRanges of the cluster.
    pub ranges: LimitRanges,
}

impl UpdateStrategy<ImageStream> for StreamStrategy {
    fn ignored_fields(&self) -> &'static [&'static str] {
        &["status"]
    }

    fn writable_part<'a>(&self, stream: &'a ImageStream) -> Cow<'a, ImageStream> {
        let ImageStream { metadata, spec, status: _, unproved: _, unknown_fields: _ } = stream;
        let part = ImageStream {
            metadata: metadata.clone(),
            spec: spec.clone(),
            ..ImageStream::default()
        };
        Cow::Owned(part)
    }

    fn reset_fields(&self, old: Option<&ImageStream>, new: &mut ImageStream) {
        new.status = old.map(|old| old.status.clone()).unwrap_or_default();
        new.unproved = old.map(|old| old.unproved.clone()).unwrap_or_default();
        new.unknown_fields = old.map(|old| old.unknown_fields.clone()).unwrap_or_default();
    }

    fn prepare(&self, old: Option<&ImageStream>, new: &mut ImageStream) {
        match old {
            None => stream_strategy::prepare_for_create(new),
            Some(old) => stream_strategy::prepare_for_update(old, new, WriteTarget::Stream),
        }
    }

    fn dependencies(&self, old: Option<&ImageStream>, new: &ImageStream) -> Vec<Dependency> {
        dependencies(old, new)
    }

    fn validate(
        &self,
        old: Option<&ImageStream>,
        new: &mut ImageStream,
        dependencies: &Dependencies<ImageStream>,
        now: Time,
    ) -> ValidationErrors {
        self.resolve(old, new, dependencies, WriteTarget::Stream, now)
    }

    fn warnings(&self, old: Option<&ImageStream>, new: &ImageStream) -> Vec<String> {
        import_warnings(&self.registries.allowed, old, new)
    }

    fn decorate(&self, stream: &mut ImageStream) {
        self.registries.decorate(stream);
    }
}

impl StreamStrategy {
    /// Resolves the tags of a stream, validates it and returns all errors.
    pub(super) fn resolve(
        &self,
        old: Option<&ImageStream>,
        new: &mut ImageStream,
        dependencies: &Dependencies<ImageStream>,
        target: WriteTarget,
        now: Time,
    ) -> ValidationErrors {
        let sources = source_streams(dependencies);
        let resolution = Resolution {
            old,
            others: &sources,
            registries: &self.registries,
            max_history: self.tag_history,
            target,
            now,
        };
        let unresolved = resolution.run(new);
        self.registries.decorate(new);
        let mut after_metadata =
            old.map_or_else(|| validate::stream(new), |old| validate::stream_update(old, new));
        after_metadata.append(self.registries.allowed.stream_errors(old, new));
        after_metadata.extend(unproved::withheld_error(old, new));
        ValidationErrors {
            before_metadata: self.internal_error(old, new, &unresolved).into_iter().collect(),
            after_metadata,
        }
    }

    /// The error of tags that cannot be resolved, or else that of limits.
    fn internal_error(
        &self,
        old: Option<&ImageStream>,
        new: &ImageStream,
        unresolved: &field::Errors,
    ) -> Option<field::Error> {
        resolve::internal_error(new, unresolved)
            .or_else(|| self.ranges.stream_error(old, new).map(resolve::internal))
    }
}

/// The streams that tags refer to. Other namespaces require the permission to pull from the stream.
fn dependencies(old: Option<&ImageStream>, new: &ImageStream) -> Vec<Dependency> {
    let permission = |key: &StreamKey| ResourceAction {
        verb: "get".into(),
        group: GROUP.into(),
        version: VERSION.into(),
        resource: "imagestreams".into(),
        subresource: "layers".into(),
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        ..ResourceAction::default()
    };
    let dependency = |key: StreamKey| Dependency {
        permission: (key.namespace != new.metadata.namespace).then(|| Box::new(permission(&key))),
        namespace: key.namespace,
        name: key.name,
    };
    resolve::required_streams(old, new).into_iter().map(dependency).collect()
}

/// The resolved dependencies as the domain expects them.
fn source_streams(dependencies: &Dependencies<ImageStream>) -> resolve::SourceStreams {
    let mut sources = resolve::SourceStreams::default();
    for (dependency, resolved) in &dependencies.0 {
        let key =
            StreamKey { namespace: dependency.namespace.clone(), name: dependency.name.clone() };
        sources.insert(
            key,
            match resolved {
                ResolvedDependency::Found(stream) => resolve::SourceStream::Found(stream.clone()),
                ResolvedDependency::Missing => resolve::SourceStream::Missing,
                ResolvedDependency::Denied(permission) => {
                    resolve::SourceStream::Denied { reason: reason(permission) }
                }
            },
        );
    }
    sources
}

fn reason(permission: &Permission) -> String {
    match permission {
        Permission::Denied { reason } => reason.clone(),
        Permission::Unknown { .. } => {
            "your permissions could not be checked: try again later".into()
        }
        Permission::Allowed => String::new(),
    }
}

impl Strategy<ImageStream> for StreamStrategy {
    fn limit_errors(&self, old: Option<&ImageStream>, new: &ImageStream) -> field::Errors {
        limits::stream(old, new)
    }

    fn selectable_fields(&self) -> &'static [&'static str] {
        &[SPEC_REPOSITORY, STATUS_REPOSITORY]
    }

    fn field(&self, stream: &ImageStream, name: &str) -> String {
        match name {
            SPEC_REPOSITORY => stream.spec.docker_image_repository.clone(),
            _ => stream.status.docker_image_repository.clone(),
        }
    }

    fn name_errors(&self, name: &str) -> Vec<&'static str> {
        names::stream_name_errors(name)
    }

    fn derived_rows(
        &self,
        _: &str,
        old: Option<&ImageStream>,
        new: Option<&ImageStream>,
    ) -> Vec<Change> {
        import_sources::deleted(old, new).into_iter().collect()
    }

    fn has_cheap_clones(&self) -> bool {
        true
    }

    fn prepare_clones(&self, stream: &ImageStream) {
        for tag in &stream.status.tags {
            tag.items.keep_json(|events| {
                RawValue::from_string(json::to_text(events)).expect("encoders write JSON")
            });
        }
    }

    fn decodes_as_encoded(&self, stream: &ImageStream) -> bool {
        self.stored_form == StoredForm::Own
            && unproved::stored(stream).len() == stream.unproved.len()
    }

    fn encode(&self, stream: &ImageStream) -> Vec<u8> {
        if self.stored_form == StoredForm::OpenShift {
            return openshift_value(stream, &stream.unknown_fields);
        }
        let unproved = unproved::stored(stream);
        if unproved.is_empty() {
            json::encode(stream)
        } else {
            internal_field::encode(UNPROVED, &unproved, stream)
        }
    }

    fn decode(&self, bytes: &[u8]) -> Result<ImageStream, String> {
        if self.stored_form == StoredForm::OpenShift {
            let (stream, unknown_fields) =
                stored_value::decode(bytes).map_err(|why| why.to_string())?;
            return Ok(ImageStream { unknown_fields, ..stream });
        }
        let mut stream: ImageStream =
            serde_json::from_slice(bytes).map_err(|why| why.to_string())?;
        stream.unproved = internal_field::decode(UNPROVED, bytes)?;
        Ok(stream)
    }

    fn decode_metadata(&self, bytes: &[u8]) -> Result<ImageStream, String> {
        match self.stored_form {
            StoredForm::Own => decode_metadata(bytes),
            StoredForm::OpenShift => {
                let ImageStream { metadata, .. } = self.decode(bytes)?;
                Ok(ImageStream { metadata, ..ImageStream::default() })
            }
        }
    }
}

#[cfg(test)]
mod tests;
