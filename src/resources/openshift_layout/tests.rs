//! Tests of a catalog in OpenShift's form, with writes of another server in between.

use std::sync::Arc;

use super::*;
use crate::api::{Image, ImageManifest, ImageStream, ImageStreamMapping};
use crate::domain::digest::Digest;
use crate::domain::registries::Registries;
use crate::machinery::protobuf;
use crate::meta::protobuf::UnknownFields;
use crate::registry::workload::Workload;
use crate::resources::catalog::StorageLimits;
use crate::resources::{Catalog, Client};
use crate::store::{self, At, Change, Entry, Key, Lookup, Range, ReadPoint, Store, Txn};

struct SharedStore {
    store: Arc<dyn Store>,
    catalog: Arc<Catalog>,
    client: Client,
}

impl SharedStore {
    /// A store with the stream `s` whose tag `latest` has this image.
    async fn with_image(name: &str) -> Self {
        let store = store::in_memory().unwrap().store;
        let limits =
            StorageLimits { stored_form: StoredForm::OpenShift, ..StorageLimits::default() };
        let catalog = Arc::new(Catalog::new(&store, Registries::default(), &limits));
        let client = Client::new(&catalog, "test");
        let mut stream = ImageStream::default();
        stream.metadata.name = "s".into();
        client.image_streams("ns").create(stream).await.unwrap();
        let mut mapping =
            ImageStreamMapping { tag: "latest".into(), ..ImageStreamMapping::default() };
        mapping.metadata.name = "s".into();
        mapping.image.metadata.name = name.into();
        mapping.image.docker_image_reference = "registry.example.com/a/b".into();
        client.create_mapping("ns", mapping).await.unwrap();
        Self { store, catalog, client }
    }

    async fn entries(&self) -> Vec<Entry> {
        let range = Range { prefix: String::new(), start: None, limit: 0, bytes: 0, at: At::Now };
        self.store.range(range).await.unwrap().entries
    }

    async fn value(&self, key: &Key) -> Vec<u8> {
        match self.store.get(key, None).await.unwrap() {
            Lookup::Found(entry) => entry.value.to_vec(),
            missing => panic!("{key}: {missing:?}"),
        }
    }

    /// Stores an image as another server does.
    async fn put(&self, image: &Image) {
        let value = stored_value::encode(image, &UnknownFields::default()).unwrap();
        self.put_value(self.catalog.images.key("", &image.metadata.name), value).await;
    }

    async fn put_value(&self, key: Key, value: Vec<u8>) {
        let changes = vec![Change::Put(key, value.into())];
        self.store.commit(Txn { changes, ..Txn::default() }).await.unwrap();
    }

    async fn stored(&self, name: &str) -> Image {
        self.client.images().get(name).await.unwrap().unwrap()
    }

    /// The names of the images in the stream, with the children of manifest lists.
    async fn closure(&self) -> Vec<String> {
        let (load, point) = (Workload::default(), ReadPoint::default());
        let stream = self.catalog.stream_view(&load, &point, "ns", "s").await.unwrap().unwrap();
        let closure = self.catalog.image_closure(&load, &stream).await.unwrap();
        closure.index.names().map(str::to_owned).collect()
    }
}

/// A field of a newer server at the end of a message.
const NEWER_FIELD: &[u8] = b"\xfa\x01\x03new";

/// The value of an image with the field of a newer server.
fn newer(value: &[u8]) -> Vec<u8> {
    let mut message = protobuf::decode_envelope(value).unwrap().message.to_vec();
    message.extend(NEWER_FIELD);
    let type_meta = protobuf::TypeMeta { api_version: "image.openshift.io/v1", kind: "Image" };
    let mut newer = protobuf::envelope_head(type_meta, message.len());
    newer.extend(message);
    newer.extend(protobuf::ENVELOPE_TAIL);
    newer
}

#[tokio::test]
async fn only_objects_are_stored_and_in_protobuf() {
    let shared = SharedStore::with_image("i").await;
    let entries = shared.entries().await;
    let keys: Vec<_> = entries.iter().map(|entry| entry.key.as_str()).collect();
    assert_eq!(keys, ["/image.openshift.io/images/i", "/image.openshift.io/imagestreams/ns/s"]);
    for Entry { key, value, .. } in &entries {
        assert!(value.starts_with(b"k8s\0"), "{key}: {}", value.escape_ascii());
    }
    let (stream, _) = stored_value::decode::<ImageStream>(&entries[1].value).unwrap();
    assert_eq!(stream.status.tags[0].items[0].image, "i");
    let image = shared.catalog.images.decode_metadata(&entries[0]).unwrap();
    assert_eq!((&*image.metadata.name, &*image.docker_image_reference), ("i", ""));
    let stream = shared.catalog.streams.decode_metadata(&entries[1]).unwrap();
    assert_eq!((&*stream.metadata.name, stream.status.tags.len()), ("s", 0));
}

#[tokio::test]
async fn view_follows_a_write_of_another_server() {
    let shared = SharedStore::with_image("i").await;
    let load = Workload::default();
    let before =
        shared.catalog.image_view(&load, &ReadPoint::default(), "i").await.unwrap().unwrap();
    let mut image = shared.stored("i").await;
    image.metadata.labels.insert("changed".into(), "elsewhere".into());
    shared.put(&image).await;
    let after =
        shared.catalog.image_view(&load, &ReadPoint::default(), "i").await.unwrap().unwrap();
    assert!(after.revision > before.revision);
    assert_ne!(after.row, before.row);
    assert_eq!(shared.stored("i").await.metadata.labels["changed"], "elsewhere");
}

#[tokio::test]
async fn closure_follows_lists_of_another_server() {
    let shared = SharedStore::with_image("i").await;
    assert_eq!(shared.closure().await, ["i"]);
    let mut image = shared.stored("i").await;
    for children in [&["c", "d"][..], &["e"], &[]] {
        let child =
            |digest: &&str| ImageManifest { digest: (*digest).into(), ..ImageManifest::default() };
        image.docker_image_manifests = children.iter().map(child).collect();
        shared.put(&image).await;
        let mut expected = [children, &["i"]].concat();
        expected.sort_unstable();
        assert_eq!(shared.closure().await, expected);
    }
}

#[tokio::test]
async fn update_keeps_fields_of_a_newer_server() {
    let shared = SharedStore::with_image("i").await;
    let key = shared.catalog.images.key("", "i");
    shared.put_value(key.clone(), newer(&shared.value(&key).await)).await;
    let annotate = |image: &mut Image| {
        image.metadata.annotations.insert("a".into(), "b".into());
    };
    shared.client.images().update("i", annotate).await.unwrap();
    let value = shared.value(&key).await;
    let message = protobuf::decode_envelope(&value).unwrap().message;
    assert!(message.ends_with(NEWER_FIELD), "{}", message.escape_ascii());
    assert_eq!(shared.stored("i").await.metadata.annotations["a"], "b");
}

/// A mapping of tag `t` to an image that its manifest and configuration prove. A registry stores both.
fn proved_mapping() -> ImageStreamMapping {
    let config = r#"{"architecture":"amd64","os":"linux","created":"2024-01-02T03:04:05Z"}"#;
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{}","size":{}}},"layers":[]}}"#,
        Digest::sha256_of(config),
        config.len()
    );
    let mut mapping = ImageStreamMapping { tag: "t".into(), ..ImageStreamMapping::default() };
    mapping.metadata.name = "s".into();
    let image = &mut mapping.image;
    image.metadata.name = Digest::sha256_of(&manifest).to_string();
    image.metadata.labels.insert("pushed".into(), "true".into());
    let stored_by_registry = "image.openshift.io/manifestBlobStored";
    image.metadata.annotations.insert(stored_by_registry.into(), "true".into());
    image.docker_image_reference = "registry.example.com/a/b".into();
    image.docker_image_manifest_media_type = "application/vnd.oci.image.manifest.v1+json".into();
    image.docker_image_manifest = manifest;
    image.docker_image_config = config.into();
    mapping
}

#[tokio::test]
async fn push_keeps_fields_of_a_newer_server() {
    let shared = SharedStore::with_image("i").await;
    let mapping = proved_mapping();
    let name = mapping.image.metadata.name.clone();
    let mut bare = mapping.clone();
    for content in [&mut bare.image.docker_image_manifest, &mut bare.image.docker_image_config] {
        content.clear();
    }
    bare.image.metadata.annotations.clear();
    shared.client.create_mapping("ns", bare).await.unwrap();
    let key = shared.catalog.images.key("", &name);
    shared.put_value(key.clone(), newer(&shared.value(&key).await)).await;
    shared.client.create_mapping("ns", mapping).await.unwrap();
    assert_eq!(shared.stored(&name).await.docker_image_metadata_version, "1.0");
    let value = shared.value(&key).await;
    let message = protobuf::decode_envelope(&value).unwrap().message;
    assert!(message.ends_with(NEWER_FIELD), "{}", message.escape_ascii());
}

#[tokio::test]
async fn push_does_not_replace_an_encrypted_image() {
    let shared = SharedStore::with_image("i").await;
    let mapping = proved_mapping();
    let key = shared.catalog.images.key("", &mapping.image.metadata.name);
    let encrypted = b"k8s:enc:aescbc:v1:key1:xyz".to_vec();
    shared.put_value(key.clone(), encrypted.clone()).await;
    let refused = shared.client.create_mapping("ns", mapping).await.unwrap_err();
    assert_eq!(refused.code, 500);
    assert_eq!(shared.value(&key).await, encrypted);
}
