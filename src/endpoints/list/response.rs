//! The response to a list: one body if it is small, else chunks.

use std::mem;

use bytes::Bytes;
use futures_util::stream;

use super::writer::ListWriter;
use crate::endpoints::context::RequestContext;
use crate::endpoints::response::{ApiResponse, GZIP_THRESHOLD_BYTES};
use crate::endpoints::response_body::{BodyStream, Interrupted, ResponseBody};
use crate::endpoints::table::Columns;
use crate::machinery::group_version::GroupVersion;
use crate::meta::{Kind, ListMeta, Status};
use crate::registry::list::object_stream::{ListPage, ObjectStream, page_metadata};
use crate::registry::workload::Workload;

/// The response to a list. A list that ends within its first chunk is one body, and its errors are
/// statuses. A later error aborts the response.
///
/// # Errors
/// 406 if the client accepts single objects only, 400 for invalid table options, and the errors of
/// [`ObjectStream::next`].
pub(crate) async fn respond<W: ObjectStream>(
    page: ListPage<W>,
    cx: &RequestContext,
    api: GroupVersion,
    columns: Option<&'static Columns<W::Item>>,
) -> Result<ApiResponse, Status> {
    let writer = ListWriter::new(cx, api, columns)?;
    let content_type = writer.content_type();
    let left = page.max_objects();
    let objects = page.objects;
    let mut list = ListResponse {
        objects,
        writer,
        load: cx.actor.load.clone(),
        metadata: ListMeta::default(),
        left,
        stage: ListStage::Items,
    };
    let mut items = Vec::new();
    list.fill(&mut items).await?;
    list.pause(&items);
    // The metadata precede the items, but depend on the end of the list.
    list.metadata = list.read_metadata().await?;
    let mut chunk = Vec::with_capacity(items.len() + 1024);
    list.writer.open(&mut chunk)?;
    if matches!(list.stage, ListStage::Items) && list.writer.needs_length() {
        list.stage = ListStage::Length(items);
        return Ok(ApiResponse::new(
            200,
            content_type,
            ResponseBody::Chunks(list.into_chunks(chunk)),
        ));
    }
    list.writer.begin(&list.metadata, items.len(), &mut chunk)?;
    chunk.append(&mut items);
    if matches!(list.stage, ListStage::End) {
        list.end(&mut chunk)?;
        return Ok(ApiResponse::new(200, content_type, chunk));
    }
    Ok(ApiResponse::new(200, content_type, ResponseBody::Chunks(list.into_chunks(chunk))))
}

/// A list that is being written.
struct ListResponse<W: ObjectStream> {
    objects: W,
    writer: ListWriter<W::Item>,
    load: Workload,
    metadata: ListMeta,
    /// The number of objects below the limit; none without a limit.
    left: Option<usize>,
    stage: ListStage,
}

enum ListStage {
    /// The size of all items is needed before the encoded items held here can be sent.
    Length(Vec<u8>),
    /// More items can follow.
    Items,
    /// The end of the list is to be written.
    End,
    Done,
}

impl<W: ObjectStream> ListResponse<W> {
    /// Appends items until the chunk is large enough or the list ends.
    async fn fill(&mut self, chunk: &mut Vec<u8>) -> Result<(), Status> {
        while chunk.len() <= GZIP_THRESHOLD_BYTES {
            let item = if self.left == Some(0) { None } else { self.objects.next_item().await? };
            let Some(item) = item else {
                self.stage = ListStage::End;
                break;
            };
            self.left = self.left.map(|left| left - 1);
            self.writer.item(&item, chunk)?;
        }
        Ok(())
    }

    /// The metadata of the list. Only a list that ends at its limit has a continue token.
    async fn read_metadata(&self) -> Result<ListMeta, Status> {
        match self.left {
            Some(0) => page_metadata(&self.objects).await,
            Some(left) if matches!(self.stage, ListStage::Items) => {
                let mut ahead = self.objects.clone();
                ahead.skip(left).await?;
                page_metadata(&ahead).await
            }
            _ => Ok(self.objects.metadata()),
        }
    }

    /// The size of the items that are not encoded yet. Each is encoded and dropped, and encoded
    /// again when it is sent, so that memory does not depend on the length of the list.
    async fn measure(&mut self) -> Result<usize, Status> {
        let (mut ahead, mut length, mut encoded) = (self.objects.clone(), 0, Vec::new());
        let mut left = self.left.unwrap_or(usize::MAX);
        while left > 0
            && let Some(item) = ahead.next_item().await?
        {
            encoded.clear();
            self.writer.item(&item, &mut encoded)?;
            length += encoded.len();
            left -= 1;
        }
        Ok(length)
    }

    /// Releases all memory except for that of a chunk.
    fn pause(&mut self, chunk: &[u8]) {
        /// The part of the list around the items, which the first and last chunk have.
        const ENVELOPE: u64 = 4 << 10;
        self.objects.pause(chunk.len() as u64 + ENVELOPE);
    }

    fn end(&mut self, chunk: &mut Vec<u8>) -> Result<(), Status> {
        self.stage = ListStage::Done;
        self.writer.end(&self.metadata, chunk)
    }

    /// The next chunk; empty after the end.
    async fn chunk(&mut self) -> Result<Vec<u8>, Status> {
        let mut chunk = Vec::new();
        if let ListStage::Length(items) = &mut self.stage {
            let mut items = mem::take(items);
            let length = items.len() + self.measure().await?;
            self.writer.begin(&self.metadata, length, &mut chunk)?;
            chunk.append(&mut items);
            self.stage = ListStage::Items;
        } else if matches!(self.stage, ListStage::Items) {
            chunk.reserve(GZIP_THRESHOLD_BYTES + GZIP_THRESHOLD_BYTES / 2);
            self.fill(&mut chunk).await?;
        }
        if matches!(self.stage, ListStage::End) {
            self.end(&mut chunk)?;
        }
        self.pause(&chunk);
        Ok(chunk)
    }

    /// The chunks of the body, beginning with `first`. Each is produced on demand.
    fn into_chunks(self, first: Vec<u8>) -> BodyStream {
        self.load.continue_always();
        Box::pin(stream::try_unfold((self, first), |(mut list, first)| async move {
            let chunk = if first.is_empty() {
                list.chunk().await.map_err(interrupted::<W::Item>)?
            } else {
                first
            };
            Ok((!chunk.is_empty()).then(|| (Bytes::from(chunk), (list, Vec::new()))))
        }))
    }
}

fn interrupted<T: Kind>(status: Status) -> Interrupted {
    let cause = status.hidden.unwrap_or(status.message);
    Interrupted(format!("cannot read the rest of a list of {}: {cause}", T::KIND))
}
