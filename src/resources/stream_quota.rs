//! The image streams that a write adds, for quotas.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::api::{GROUP, ImageStreamImport};
use crate::domain::names::StreamTagName;
use crate::meta::{GroupResource, Status};
use crate::registry::admission::attributes::{
    AdmissionAttributes, AdmissionOperation, AdmissionTarget,
};
use crate::registry::admission::quota::QuotaEvaluator;
use crate::registry::keys;
use crate::registry::storage_errors::status_of;
use crate::store::{Lookup, Store, StoreError};

const STREAMS: GroupResource<'static> = GroupResource { group: GROUP, name: "imagestreams" };

/// The name of streams in quotas that OpenShift counts itself.
pub const ALIAS: &str = "openshift.io/imagestreams";
/// The names of streams in quotas.
pub const RESOURCES: &[&str] = &["count/imagestreams.image.openshift.io", ALIAS];

/// Counts streams, also those that a new tag or an import creates. As the evaluators in
/// openshift-apiserver pkg/quota/image, which charge the latter to `openshift.io/imagestreams`
/// only.
pub struct StreamQuotaEvaluator {
    store: Arc<dyn Store>,
}

impl StreamQuotaEvaluator {
    /// The evaluator for the streams of a store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    async fn count(&self, attributes: &AdmissionAttributes) -> Result<u64, Status> {
        let AdmissionAttributes { target, namespace, name, new, .. } = attributes;
        let stream = match target.resource.name {
            "imagestreams" => return Ok(1),
            // A name without a stream is refused later.
            "imagestreamtags" | "imagetags" => match StreamTagName::parse_new(name) {
                Ok(name) => name.stream,
                Err(_) => return Ok(0),
            },
            _ => {
                let import = new.clone().map(|new| new.into_any().downcast::<ImageStreamImport>());
                match import {
                    Some(Ok(import)) if is_stored(&import) => name.clone(),
                    _ => return Ok(0),
                }
            }
        };
        Ok(u64::from(!self.exists(namespace, &stream).await?))
    }

    async fn exists(&self, namespace: &str, name: &str) -> Result<bool, Status> {
        match self.store.get(&keys::key(STREAMS, namespace, name), None).await {
            Ok(Lookup::Missing) => Ok(false),
            Ok(Lookup::Found(_) | Lookup::Unchanged) | Err(StoreError::Damaged { .. }) => Ok(true),
            Err(error) => Err(status_of(&error)),
        }
    }
}

/// Returns true if an import writes its stream.
fn is_stored(import: &ImageStreamImport) -> bool {
    let spec = &import.spec;
    spec.import && (!spec.images.is_empty() || spec.repository.is_some())
}

impl QuotaEvaluator for StreamQuotaEvaluator {
    fn resources(&self) -> &'static [&'static str] {
        RESOURCES
    }

    fn handles(&self, target: &AdmissionTarget) -> bool {
        let AdmissionTarget { operation, resource, subresource, .. } = target;
        *operation == AdmissionOperation::Create
            && resource.group == GROUP
            && subresource.is_empty()
            && matches!(
                resource.name,
                "imagestreams" | "imagestreamtags" | "imagetags" | "imagestreamimports"
            )
    }

    fn added<'a>(
        &'a self,
        attributes: &'a AdmissionAttributes,
    ) -> BoxFuture<'a, Result<u64, Status>> {
        self.count(attributes).boxed()
    }
}
