//! Builder of `ImageStreamLayers` from the images of a stream.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::{manifest, presentable, unproved};
use crate::api::{Image, ImageBlobReferences, ImageLayerData, ImageStream, ImageStreamLayers};
use crate::meta::{Limited, TextSize, field};

/// Media type of a Docker image configuration.
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// Media type of an OCI image configuration.
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// Bytes of JSON around the texts of an image or blob.
const ENTRY_BYTES: usize = 48;
/// Bytes of JSON around the text of a list item.
const ITEM_BYTES: usize = 3;

/// Builds the layers of a stream. Images are added one at a time, so callers hold only one in
/// memory.
#[derive(Debug)]
pub struct LayersBuilder {
    view: ImageStreamLayers,
    /// Images that the stream has without proof.
    unproved: BTreeMap<String, String>,
    seen: HashSet<String>,
    open: BTreeSet<String>,
    left_out: Limited<BrokenImage>,
    bytes: usize,
}

/// An image that cannot be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenImage {
    /// Name of the image.
    pub name: String,
    /// The errors of the image.
    pub reason: String,
}

impl TextSize for BrokenImage {
    fn text_bytes(&self) -> usize {
        self.name.len() + self.reason.len()
    }
}

impl LayersBuilder {
    /// Starts with the images in the history of a stream.
    pub fn new(stream: &ImageStream) -> Self {
        let events = stream.status.tags.iter().flat_map(|tag| &tag.items);
        let open: BTreeSet<String> =
            events.map(|event| event.image.clone()).filter(|name| !name.is_empty()).collect();
        let view =
            ImageStreamLayers { metadata: stream.metadata.clone(), ..ImageStreamLayers::default() };
        let unproved = stream.unproved.clone();
        let bytes = open.iter().map(|name| ENTRY_BYTES + name.len()).sum();
        let seen = open.iter().cloned().collect();
        Self { view, unproved, seen, open, left_out: Limited::default(), bytes }
    }

    /// Returns the name of the next image to [add](Self::add), or `None` at the end.
    pub fn next_image(&mut self) -> Option<String> {
        self.open.pop_first()
    }

    /// Returns the approximate size of the JSON in bytes, without metadata, including images that
    /// were not yet added.
    pub fn size(&self) -> usize {
        self.bytes
    }

    /// Adds the image `name` as stored. The children of a manifest list are added to the
    /// queue. An image that openshift-apiserver does not show is left out, so that registries can
    /// serve the others.
    ///
    /// Registries permit a user to pull a blob if it is in a stream from which the user may pull.
    /// Therefore only blobs in the manifest count, and none of an image that the stream has without
    /// proof.
    pub fn add(&mut self, name: String, image: Option<&Image>) {
        let is_shown_part =
            |uid: &str| uid == unproved::WITHHELD && image.is_some_and(unproved::is_open);
        let unproved = self.unproved.get(&name).filter(|uid| !is_shown_part(uid));
        let Some(image) =
            image.filter(|image| unproved.is_none_or(|uid| unproved::is_own(image, uid)))
        else {
            let missing =
                ImageBlobReferences { image_missing: true, ..ImageBlobReferences::default() };
            self.view.images.insert(name, missing);
            return;
        };
        if let Err(errors) = presentable::validate_presentable(image) {
            self.left_out.push_with(|| BrokenImage { name, reason: field::join(&errors) });
            return;
        }
        if unproved.is_some() {
            self.view.images.insert(name, ImageBlobReferences::default());
            return;
        }
        let named = image.evidence.blobs.as_ref();
        let layers = named.map_or(&image.docker_image_layers, |named| &named.layers);
        for layer in layers {
            self.add_blob(&layer.name, Some(layer.size), &layer.media_type);
        }
        let media_type = image.docker_image_manifest_media_type.as_str();
        let shown = || {
            manifest::has_config(media_type).then(|| image.docker_image_metadata.image().id.clone())
        };
        let config = named.map_or_else(shown, |named| named.config.clone());
        if let Some(config) = &config {
            let form =
                if media_type == manifest::OCI_MANIFEST { OCI_CONFIG } else { DOCKER_CONFIG };
            self.add_blob(config, None, form);
        }
        self.add_blob(
            &name,
            None,
            if media_type.is_empty() { manifest::SCHEMA2 } else { media_type },
        );
        let manifests: Vec<String> =
            image.docker_image_manifests.iter().map(|part| part.digest.clone()).collect();
        for part in &manifests {
            self.bytes += ITEM_BYTES + part.len();
            if self.seen.insert(part.clone()) {
                self.bytes += ENTRY_BYTES + part.len();
                self.open.insert(part.clone());
            }
        }
        let layers: Vec<String> = layers.iter().map(|layer| layer.name.clone()).collect();
        self.bytes += layers.iter().map(|layer| ITEM_BYTES + layer.len()).sum::<usize>();
        self.view
            .images
            .insert(name, ImageBlobReferences { image_missing: false, layers, config, manifests });
    }

    /// Leaves out an image.
    pub fn leave_out(&mut self, name: String, reason: &str) {
        self.left_out.push_with(|| BrokenImage { name, reason: reason.to_owned() });
    }

    /// Returns the result, and the images that are left out.
    pub fn finish(self) -> (ImageStreamLayers, Limited<BrokenImage>) {
        (self.view, self.left_out)
    }

    /// Adds a blob, unless one with this digest exists.
    fn add_blob(&mut self, digest: &str, size: Option<i64>, media_type: &str) {
        let blobs = &mut self.view.blobs;
        if !blobs.contains_key(digest) {
            blobs.insert(digest.into(), ImageLayerData { size, media_type: media_type.into() });
            self.bytes += ENTRY_BYTES + digest.len() + media_type.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::{
        Evidence, ImageLayer, ImageManifest, NamedBlobs, NamedTagEventList, Proof, TagEvent,
    };

    fn stream(images: &[&str]) -> ImageStream {
        let event = |image: &&str| TagEvent { image: (*image).into(), ..TagEvent::default() };
        let items = images.iter().map(event).collect();
        let mut stream = ImageStream::default();
        stream.metadata.name = "s".into();
        stream.status.tags = vec![NamedTagEventList { tag: "t".into(), items, conditions: vec![] }];
        stream
    }

    fn image(name: &str, media_type: &str, config: &str, layers: &[&str], parts: &[&str]) -> Image {
        let layer =
            |name: &&str| ImageLayer { name: (*name).into(), size: 5, media_type: "l".into() };
        let part =
            |digest: &&str| ImageManifest { digest: (*digest).into(), ..ImageManifest::default() };
        let mut image = Image {
            docker_image_manifest_media_type: media_type.into(),
            docker_image_layers: layers.iter().map(layer).collect(),
            docker_image_manifests: parts.iter().map(part).collect(),
            ..Image::default()
        };
        image.metadata.name = name.into();
        image.docker_image_metadata.image_mut().id = config.into();
        image
    }

    fn gathered(stream: &ImageStream, images: &[Image]) -> ImageStreamLayers {
        let (view, left_out) = gathered_in_part(stream, images);
        assert_eq!(left_out.into_vec(), []);
        view
    }

    fn gathered_in_part(
        stream: &ImageStream,
        images: &[Image],
    ) -> (ImageStreamLayers, Limited<BrokenImage>) {
        let mut view = LayersBuilder::new(stream);
        while let Some(name) = view.next_image() {
            let image = images.iter().find(|image| image.metadata.name == name);
            view.add(name, image);
        }
        view.finish()
    }

    #[test]
    fn all_images_and_parts_are_listed_with_blobs() {
        let images = [
            image("a", manifest::SCHEMA2, "config", &["l1", "l2", "l1"], &[]),
            image("list", manifest::OCI_INDEX, "", &[], &["part", "gone", "list"]),
            image("part", manifest::OCI_MANIFEST, "oci", &["l2"], &[]),
            image("old", "", "", &[], &[]),
        ];
        let view = gathered(&stream(&["a", "list", "old", "a", ""]), &images);
        let blob =
            |size: Option<i64>, media_type: &str| json!({"size": size, "mediaType": media_type});
        assert_eq!(
            json!(view.blobs),
            json!({
                "a": blob(None, manifest::SCHEMA2), "config": blob(None, DOCKER_CONFIG), "l1": blob(Some(5), "l"),
                "l2": blob(Some(5), "l"), "list": blob(None, manifest::OCI_INDEX), "oci": blob(None, OCI_CONFIG),
                "old": blob(None, manifest::SCHEMA2), "part": blob(None, manifest::OCI_MANIFEST),
            })
        );
        let known = |layers: serde_json::Value, config: Option<&str>| json!({"imageMissing": false, "layers": layers, "config": config});
        assert_eq!(
            json!(view.images),
            json!({
                "a": known(json!(["l1", "l2", "l1"]), Some("config")),
                "gone": {"imageMissing": true, "layers": null, "config": null},
                "list": {"imageMissing": false, "layers": null, "config": null, "manifests": ["part", "gone", "list"]},
                "old": known(json!(null), None), "part": known(json!(["l2"]), Some("oci")),
            })
        );
        assert_eq!(view.metadata.name, "s");
    }

    #[test]
    fn size_approximates_the_json() {
        let layers: Vec<String> = (0..200).map(|number| format!("sha256:{number:0>64}")).collect();
        let layers: Vec<&str> = layers.iter().map(String::as_str).collect();
        let images = [
            image("a", manifest::SCHEMA2, "config", &layers, &[]),
            image("b", manifest::SCHEMA2, "other", &layers[..100], &[]),
            image("list", manifest::OCI_INDEX, "", &[], &layers),
        ];
        let mut view = LayersBuilder::new(&stream(&["a", "b", "list"]));
        while let Some(name) = view.next_image() {
            let image = images.iter().find(|image| image.metadata.name == name);
            view.add(name, image);
        }
        let (estimate, size) = (view.size(), json!(view.finish().0).to_string().len());
        assert!(estimate.abs_diff(size) < size / 5, "estimated {estimate} of {size} bytes");
    }

    #[test]
    fn only_blobs_in_the_manifest_count() {
        let mut forged = image("a", manifest::SCHEMA2, "evil", &["evil", "l"], &[]);
        let layers = vec![ImageLayer { name: "l".into(), size: 5, media_type: "l".into() }];
        forged.evidence.blobs = Some(NamedBlobs { layers, config: Some("config".into()) });
        let mut unproved = image("b", manifest::SCHEMA2, "evil", &["evil"], &[]);
        unproved.evidence = Evidence::unproved();
        let view = gathered(&stream(&["a", "b"]), &[forged, unproved]);
        assert_eq!(view.blobs.keys().collect::<Vec<_>>(), ["a", "b", "config", "l"]);
        assert_eq!(view.images["a"].layers, ["l"]);
        assert_eq!((view.images["b"].layers.len(), &view.images["b"].config), (0, &None));
    }

    #[test]
    fn unproved_image_is_listed_without_content() {
        let mut own = image("a", "", "", &["evil"], &["part"]);
        own.metadata.uid = "own".into();
        own.docker_image_layers.clear();
        own.evidence = Evidence::unproved();
        let mut stream = stream(&["a"]);
        stream.unproved = [("a".to_owned(), "own".to_owned())].into();
        let references = |image: &Image| {
            let view = gathered(&stream, std::slice::from_ref(image));
            assert!(view.blobs.is_empty());
            assert_eq!(
                view.images.keys().collect::<Vec<_>>(),
                ["a"],
                "its parts are not in the stream"
            );
            view.images["a"].clone()
        };
        assert_eq!(references(&own), ImageBlobReferences::default());
        let mut proved = image("a", "", "", &["secret"], &[]);
        proved.metadata.uid = "own".into();
        proved.evidence.proof = Proof::Manifest;
        assert_eq!(
            references(&proved),
            ImageBlobReferences { image_missing: true, ..ImageBlobReferences::default() }
        );
    }

    #[test]
    fn broken_image_is_left_out() {
        let images = [image("a", manifest::SCHEMA2, "", &["l"], &[]), image("b", "", "", &[], &[])];
        let (view, left_out) = gathered_in_part(&stream(&["a", "b"]), &images);
        let reason = "images[a].config: Invalid value: \"\": config cannot be an empty string";
        assert_eq!(left_out[..], [BrokenImage { name: "a".into(), reason: reason.into() }]);
        assert_eq!(view.images.keys().collect::<Vec<_>>(), ["b"]);
        assert_eq!(view.blobs.keys().collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn errors_of_many_images_are_bounded() {
        let names: Vec<String> = (0..200).map(|at| format!("image{at}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let images: Vec<Image> =
            names.iter().map(|name| image(name, "", "", &[""; 50], &[])).collect();
        let (view, left_out) = gathered_in_part(&stream(&names), &images);
        assert!(view.images.is_empty());
        assert!(left_out.len() <= 100 && left_out.is_cut(), "{}", left_out.len());
    }
}
