//! The API of a cluster as an endpoint: that of OpenShift, or of this server.
//!
//! A new stream is written twice: spec and metadata, then the status, because a create ignores it.
//! An annotation marks the stream in between, so that a transfer that was killed there goes on.

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use http::Method;
use kube::Client;
use percent_encoding::{NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};

use super::api_client::{ApiClient, ApiFailure};
use super::api_list::ApiList;
use super::endpoint::{OverwritePolicy, TransferEndpoint, TransferError, TransferList};
use super::form::KeptForm;
use super::verification::equal_bytes;
use crate::api::{Image, ImageStream};
use crate::resources::import_export::{StoredObject, encode_for_api};

/// The annotation of streams whose status is not written yet.
const UNFINISHED: &str = "imagestream-apiserver/unfinished-transfer";
/// The most bytes of a request that kube-apiserver and OpenShift accept.
const MAX_OBJECT_BYTES: usize = 3 << 20;
/// Requests that are sent at the same time.
const CONCURRENCY: usize = 8;
/// The most attempts of an update that conflicts with other writers.
const MAX_ATTEMPTS: usize = 5;

/// The API of a cluster.
pub struct ApiEndpoint {
    client: ApiClient,
}

impl ApiEndpoint {
    /// The API that a client reaches. `name` names it in messages.
    pub fn new(name: String, client: Client) -> Self {
        Self { client: ApiClient::new(name, client) }
    }

    async fn put_one(
        &self,
        object: StoredObject,
        overwrite: OverwritePolicy,
    ) -> Result<(), ApiFailure> {
        match self.prepare(object).map_err(ApiFailure::refused)? {
            StoredObject::Image(image) => self.put_image(*image, overwrite).await,
            StoredObject::Stream(stream) => self.put_stream(*stream, overwrite).await,
            StoredObject::Superseded(_) => Err(ApiFailure::refused(NO_SUPERSEDED)),
        }
    }

    async fn put_image(&self, image: Image, overwrite: OverwritePolicy) -> Result<(), ApiFailure> {
        let path = format!("images/{}", encoded(&image.metadata.name));
        let wanted = StoredObject::Image(Box::new(image));
        match self.client.write(&Method::POST, "images", &wanted).await {
            Ok(_) => Ok(()),
            Err(failure) if failure.is_existing() => {
                self.update(&path, &wanted, &wanted, overwrite).await.map(drop)
            }
            Err(failure) => Err(failure),
        }
    }

    async fn put_stream(
        &self,
        stream: ImageStream,
        overwrite: OverwritePolicy,
    ) -> Result<(), ApiFailure> {
        let namespace = &stream.metadata.namespace;
        let collection = format!("namespaces/{}/imagestreams", encoded(namespace));
        let path = format!("{collection}/{}", encoded(&stream.metadata.name));
        let mut marked = stream.clone();
        marked.metadata.annotations.insert(UNFINISHED.to_owned(), "true".to_owned());
        let marked = StoredObject::Stream(Box::new(marked));
        let missing = format!("create the namespace {namespace} there first");
        let wanted = StoredObject::Stream(Box::new(stream));
        let begun = match self.client.write(&Method::POST, &collection, &marked).await {
            Ok(created) => Some(created),
            Err(failure) if failure.is_existing() => {
                self.update(&path, &wanted, &marked, overwrite).await?
            }
            Err(failure) if failure.is_missing() => return Err(failure.with_remedy(&missing)),
            Err(failure) => return Err(failure),
        };
        match begun {
            Some(begun) => self.finish(&path, wanted, begun).await,
            None => Ok(()),
        }
    }

    /// Replaces an object that exists by `sent`, if it may be. Returns the result; `None` if the
    /// object equals `wanted` already.
    async fn update(
        &self,
        path: &str,
        wanted: &StoredObject,
        sent: &StoredObject,
        overwrite: OverwritePolicy,
    ) -> Result<Option<StoredObject>, ApiFailure> {
        for _ in 0..MAX_ATTEMPTS {
            let found = self.client.read(path).await?;
            if equal_bytes(self.form(), self, wanted, &found).is_some() {
                return Ok(None);
            }
            if overwrite == OverwritePolicy::Refuse && !self.is_unfinished(&found) {
                return Err(ApiFailure::refused(
                    "another client has created it since the target was listed",
                ));
            }
            let sent = with_version_of(sent.clone(), &found);
            match self.client.write(&Method::PUT, path, &sent).await {
                Ok(updated) => return Ok(Some(updated)),
                Err(failure) if failure.is_conflict() => {}
                Err(failure) => return Err(failure),
            }
        }
        Err(ApiFailure::refused(CONTENDED))
    }

    /// Writes the status of a stream, and removes its mark.
    async fn finish(
        &self,
        path: &str,
        wanted: StoredObject,
        begun: StoredObject,
    ) -> Result<(), ApiFailure> {
        let status_path = format!("{path}/status");
        let mut wanted = with_version_of(wanted, &begun);
        for _ in 0..MAX_ATTEMPTS {
            match self.client.write(&Method::PUT, &status_path, &wanted).await {
                Ok(_) => return Ok(()),
                // Controllers may write a new stream at any time.
                Err(failure) if failure.is_conflict() => {
                    wanted = with_version_of(wanted, &self.client.read(path).await?);
                }
                Err(failure) => return Err(failure),
            }
        }
        Err(ApiFailure::refused(CONTENDED))
    }
}

const NO_SUPERSEDED: &str =
    "no API has superseded images: streams of the target show the proved image";
const CONTENDED: &str = "other clients write it all the time: run the transfer again";

impl TransferEndpoint for ApiEndpoint {
    fn count(&self) -> BoxFuture<'_, Result<Option<u64>, TransferError>> {
        async {
            let images = self.client.count("images").await?;
            let streams = self.client.count("imagestreams").await?;
            Ok(images.zip(streams).map(|(images, streams)| images + streams))
        }
        .boxed()
    }

    fn list(&self) -> Box<dyn TransferList + '_> {
        Box::new(ApiList::new(&self.client))
    }

    fn form(&self) -> KeptForm {
        KeptForm::Api
    }

    fn prepare(&self, object: StoredObject) -> Result<StoredObject, String> {
        if let StoredObject::Superseded(_) = object {
            return Err(NO_SUPERSEDED.to_owned());
        }
        let object = self.form().reduce(&object);
        let bytes = encode_for_api(&object).len();
        if bytes > MAX_OBJECT_BYTES {
            return Err(format!(
                "it has {bytes} bytes, an API accepts {MAX_OBJECT_BYTES} at most: shorten it"
            ));
        }
        Ok(object)
    }

    fn is_unfinished(&self, object: &StoredObject) -> bool {
        match object {
            StoredObject::Stream(stream) => stream.metadata.annotations.contains_key(UNFINISHED),
            StoredObject::Image(_) | StoredObject::Superseded(_) => false,
        }
    }

    fn put(
        &self,
        objects: Vec<StoredObject>,
        overwrite: OverwritePolicy,
    ) -> BoxFuture<'_, Result<Vec<Result<(), String>>, TransferError>> {
        async move {
            let puts = objects.into_iter().map(|object| self.put_one(object, overwrite));
            let mut puts = stream::iter(puts).buffered(CONCURRENCY);
            let mut results = Vec::new();
            while let Some(result) = puts.next().await {
                results.push(match result {
                    Ok(()) => Ok(()),
                    Err(ApiFailure::Refused(status)) => Err(status.message),
                    Err(ApiFailure::Failed(error)) => return Err(error),
                });
            }
            Ok(results)
        }
        .boxed()
    }
}

/// A segment of a path.
fn encoded(name: &str) -> PercentEncode<'_> {
    utf8_percent_encode(name, NON_ALPHANUMERIC)
}

/// The object with the resourceVersion of another one, which makes it an update of that.
fn with_version_of(mut object: StoredObject, found: &StoredObject) -> StoredObject {
    object.metadata_mut().resource_version.clone_from(&found.metadata().resource_version);
    object
}
