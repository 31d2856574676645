//! Lists of the objects of an API.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::api_client::{ApiClient, ApiFailure};
use super::endpoint::{ListedObject, TransferError, TransferList, TransferPage};
use super::name::TransferName;
use crate::meta::ListMeta;
use crate::resources::import_export::{StoredObject, decode_objects};

/// Objects of a page, unless they are too large for it.
const PAGE_OBJECTS: usize = 250;
/// The resources in the order of the names of their objects.
const RESOURCES: [&str; 2] = ["images", "imagestreams"];

/// A list of images, then of streams, each as of the moment of its first page.
pub(super) struct ApiList<'a> {
    client: &'a ApiClient,
    /// The index of the resource.
    resource: usize,
    limit: usize,
    token: String,
    last: Option<TransferName>,
}

/// The head of a list.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ListHead {
    metadata: ListMeta,
}

impl<'a> ApiList<'a> {
    pub(super) fn new(client: &'a ApiClient) -> Self {
        Self { client, resource: 0, limit: PAGE_OBJECTS, token: String::new(), last: None }
    }

    async fn read(&mut self) -> Result<Option<TransferPage>, TransferError> {
        let Some(resource) = RESOURCES.get(self.resource) else { return Ok(None) };
        let path = format!(
            "{resource}?limit={}&continue={}",
            self.limit,
            utf8_percent_encode(&self.token, NON_ALPHANUMERIC)
        );
        match self.client.send(&Method::GET, &path, Vec::new()).await {
            Ok(body) => self.page(&body).map(Some),
            Err(ApiFailure::Failed(TransferError::LargeResponse { .. })) if self.limit > 1 => {
                self.limit /= 2;
                Ok(Some(TransferPage::default()))
            }
            // The rest of an expired list can be read at another moment. The verification finds
            // objects that changed in between.
            Err(ApiFailure::Refused(status))
                if status.code == 410 && !status.metadata.r#continue.is_empty() =>
            {
                self.token = status.metadata.r#continue;
                Ok(Some(TransferPage::default()))
            }
            Err(failure) => Err(self.client.stopped(failure)),
        }
    }

    fn page(&mut self, body: &[u8]) -> Result<TransferPage, TransferError> {
        let head: ListHead = serde_json::from_slice(body).map_err(|why| self.client.failed(why))?;
        let value: &RawValue =
            serde_json::from_slice(body).map_err(|why| self.client.failed(why))?;
        let items = decode_objects(value).map_err(|why| self.client.failed(why))?;
        let version = head.metadata.resource_version.parse().unwrap_or_default();
        let mut page = TransferPage { version, ..TransferPage::default() };
        for item in items {
            match item {
                Ok(object) => page.objects.push(self.listed(object)?),
                Err(why) => page.unreadable.push(why.to_string()),
            }
        }
        self.token = head.metadata.r#continue;
        if self.token.is_empty() {
            self.resource += 1;
        }
        Ok(page)
    }

    /// An object of the list, without the fields that the API adds.
    fn listed(&mut self, mut object: StoredObject) -> Result<ListedObject, TransferError> {
        let name = TransferName::of(&object);
        if let Some(last) = self.last.as_ref().filter(|last| **last >= name) {
            let text = format!("its list is not in the order of names: {name} is after {last}");
            return Err(self.client.failed(text));
        }
        self.last = Some(name.clone());
        let version = std::mem::take(&mut object.metadata_mut().resource_version);
        if let StoredObject::Stream(stream) = &mut object {
            stream.status.docker_image_repository.clear();
            stream.status.public_docker_image_repository.clear();
        }
        Ok(ListedObject { name, object, version: version.parse().unwrap_or_default() })
    }
}

impl TransferList for ApiList<'_> {
    fn next_page(&mut self) -> BoxFuture<'_, Result<Option<TransferPage>, TransferError>> {
        self.read().boxed()
    }
}
