//! A typed client of the resources for work inside this process.

use std::sync::Arc;

use super::imagestreamimports::Imports;
use super::imagestreammappings::Mappings;
use super::strategies::{ImageStrategy, StreamStrategy};
use super::{API, Catalog, ImageImporter};
use crate::api::{Image, ImageStream, ImageStreamImport, ImageStreamMapping};
use crate::machinery::updated_object::{ExistingObject, updated_managed_fields};
use crate::meta::{Kind, Status, Time};
use crate::registry::actor::Actor;
use crate::registry::admission::attributes::WriteOrigin;
use crate::registry::list::stored_objects::StoredObjects;
use crate::registry::object_ref::ObjectRef;
use crate::registry::object_store::ObjectStore;
use crate::registry::options::{GetOptions, ListOptions};
use crate::registry::outcome::WriteResult;
use crate::registry::strategy::Strategy;
use crate::registry::verbs::{Create, List, Scope};
use crate::registry::write::{AllowCreate, WritePurpose, WriteRequest};

/// A client of the resources for a part of this process, as a clientset of k8s.io/client-go is for
/// a process in the cluster.
///
/// Reads and writes are those of requests: the same defaults, validation, admission and update
/// loop, without HTTP. The client has every permission, and every namespace exists for it.
#[derive(Clone)]
pub struct Client {
    catalog: Arc<Catalog>,
    name: &'static str,
}

/// A client of one stored resource, in one namespace if the resource is namespaced.
pub struct ResourceClient<T, S> {
    store: Arc<ObjectStore<T, S>>,
    name: &'static str,
    /// The collection.
    at: ObjectRef,
    scope: Scope,
}

impl Client {
    /// A client with the name of a part of this process, the user and field manager of its writes.
    pub fn new(catalog: &Arc<Catalog>, name: &'static str) -> Self {
        Self { catalog: catalog.clone(), name }
    }

    /// The images.
    pub fn images(&self) -> ResourceClient<Image, ImageStrategy> {
        let store = self.catalog.images.clone();
        ResourceClient { store, name: self.name, at: ObjectRef::default(), scope: Scope::Cluster }
    }

    /// The image streams of a namespace.
    pub fn image_streams(&self, namespace: &str) -> ResourceClient<ImageStream, StreamStrategy> {
        let store = self.catalog.streams.clone();
        ResourceClient {
            store,
            name: self.name,
            at: ObjectRef::all_in(namespace),
            scope: Scope::Namespaced,
        }
    }

    /// Creates an ImageStreamMapping: stores its image and records it in the history of the tag, as
    /// after a push.
    ///
    /// # Errors
    /// Those of a request.
    pub async fn create_mapping(
        &self,
        namespace: &str,
        mapping: ImageStreamMapping,
    ) -> Result<(), Status> {
        let mappings = Mappings::new(&self.catalog);
        mappings.create(&actor(self.name), &ObjectRef::all_in(namespace), mapping).await.map(drop)
    }

    /// Creates an ImageStreamImport: fetches its images, stores them, and records the results in
    /// the stream. Returns it with its status. Dropping the future cancels the import.
    ///
    /// # Errors
    /// Those of a request. Failed images are part of the status.
    pub async fn create_import(
        &self,
        importer: &Arc<ImageImporter>,
        namespace: &str,
        mut import: ImageStreamImport,
    ) -> Result<ImageStreamImport, Status> {
        import.default_fields();
        let imports = Imports::new(&self.catalog, importer.clone());
        let at = ObjectRef::all_in(namespace);
        match imports.create(&actor(self.name), &at, import).await?.result {
            WriteResult::Created(import)
            | WriteResult::Updated(import)
            | WriteResult::Accepted(import) => Ok(*import),
            WriteResult::Status(status) => Err(*status),
        }
    }
}

impl<T: Kind, S: Strategy<T>> ResourceClient<T, S> {
    /// Returns the current object of a name; `None` if there is none.
    ///
    /// # Errors
    /// Failures of the store.
    pub async fn get(&self, name: &str) -> Result<Option<T>, Status> {
        let mut object =
            self.store.read(&actor(self.name), &self.at, &GetOptions::default(), name).await?;
        if let Some(object) = &mut object {
            self.store.strategy().decorate(object);
        }
        Ok(object)
    }

    /// Lists all objects. They are read in pages while the caller goes through them.
    ///
    /// # Errors
    /// Failures of the store.
    pub fn list(&self) -> Result<StoredObjects<T, S>, Status> {
        let listing =
            self.store.list(&actor(self.name), &self.at, self.scope, &ListOptions::default())?;
        Ok(listing.objects)
    }

    /// Creates an object.
    ///
    /// # Errors
    /// Those of a request: 409 if the name exists, 422 for an invalid object, errors of admission.
    pub async fn create(&self, object: T) -> Result<(), Status> {
        self.store.create(&actor(self.name), &self.at, object).await.map(drop)
    }

    /// Changes the current object of a name, and returns it as stored. `change` runs again after
    /// each conflict with another write. Fields that an update cannot set, such as `status`, stay.
    ///
    /// # Errors
    /// Those of a request: 404 for a missing object, 422 for an invalid change, errors of
    /// admission.
    pub async fn update(
        &self,
        name: &str,
        change: impl Fn(&mut T) + Send + Sync,
    ) -> Result<T, Status> {
        let (actor, strategy) = (actor(self.name), self.store.strategy());
        let writer = self.store.field_manager(&actor, strategy);
        let edit = |old: Option<&T>| {
            let old = old.ok_or_else(|| Status::not_found(self.store.resource(), name))?;
            let mut new = old.clone();
            change(&mut new);
            strategy.reset_fields(Some(old), &mut new);
            let written = strategy.writable_part(old);
            let existing = ExistingObject::new(&*written, API);
            let schema = self.store.schema();
            let managed = updated_managed_fields(
                schema,
                Some(&existing),
                &*strategy.writable_part(&new),
                API,
                &writer,
            )?;
            new.metadata_mut().managed_fields = managed;
            Ok((new, ()))
        };
        let request = WriteRequest {
            strategy,
            creation: AllowCreate::WithPermission,
            purpose: WritePurpose::Store,
            origin: WriteOrigin::Request,
        };
        let mut object =
            self.store.write(&actor, self.at.namespace(), name, request, edit).await?.object;
        strategy.decorate(&mut object);
        Ok(object)
    }
}

/// The actor of one operation, which begins now.
fn actor(name: &str) -> Actor {
    Actor::internal(name, Time::now())
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;
    use crate::domain::registries::Registries;
    use crate::registry::list::object_stream::ObjectStream;
    use crate::resources::catalog::StorageLimits;
    use crate::store;

    fn client() -> Client {
        let store = store::in_memory().unwrap().store;
        let limits = StorageLimits::default();
        Client::new(&Arc::new(Catalog::new(&store, Registries::default(), &limits)), "test")
    }

    fn stream(name: &str) -> ImageStream {
        let mut stream = ImageStream::default();
        stream.metadata.name = name.into();
        stream
    }

    #[tokio::test]
    async fn objects_of_one_namespace_are_created_and_listed() {
        let client = client();
        for (namespace, name) in [("here", "b"), ("here", "a"), ("there", "c")] {
            client.image_streams(namespace).create(stream(name)).await.unwrap();
        }
        let here = client.image_streams("here");
        let mut names = Vec::new();
        let mut objects = here.list().unwrap();
        while let Some(object) = objects.next().await.unwrap() {
            names.push(object.metadata.name);
        }
        assert_eq!(names, ["a", "b"]);
        assert!(here.get("c").await.unwrap().is_none());
        assert_eq!(here.create(stream("a")).await.unwrap_err().reason, "AlreadyExists");
    }

    #[tokio::test]
    async fn concurrent_updates_keep_all_changes_and_their_manager() {
        let streams = client().image_streams("here");
        let annotate = |key: &str, stream: &mut ImageStream| {
            stream.metadata.annotations.insert(key.into(), String::new());
        };
        let mut created = stream("a");
        annotate("w", &mut created);
        streams.create(created).await.unwrap();
        let keys = ["w", "x", "y", "z"];
        let update = |key: &'static str| streams.update("a", move |stream| annotate(key, stream));
        for updated in join_all(keys[1..].iter().copied().map(update)).await {
            updated.unwrap();
        }
        let metadata = streams.get("a").await.unwrap().unwrap().metadata;
        assert!(metadata.annotations.keys().eq(keys));
        let managers: Vec<_> =
            metadata.managed_fields.iter().map(|entry| entry.manager.as_str()).collect();
        assert_eq!(managers, ["test"]);
        let missing = streams.update("b", |_| {}).await.unwrap_err();
        assert_eq!(missing.code, 404);
    }

    #[tokio::test]
    async fn a_mapping_stores_its_image_and_its_tag_event() {
        let client = client();
        client.image_streams("here").create(stream("a")).await.unwrap();
        let name = format!("sha256:{}", "1".repeat(64));
        let mut mapping =
            ImageStreamMapping { tag: "latest".into(), ..ImageStreamMapping::default() };
        mapping.metadata.name = "a".into();
        mapping.image.metadata.name = name.clone();
        mapping.image.docker_image_reference = format!("registry.example.com/a/b@{name}");
        client.create_mapping("here", mapping).await.unwrap();
        assert!(client.images().get(&name).await.unwrap().is_some());
        let stream = client.image_streams("here").get("a").await.unwrap().unwrap();
        assert_eq!(stream.status.tags[0].items[0].image, name);
    }
}
