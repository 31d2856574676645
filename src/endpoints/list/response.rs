//! From a walk to an answer: whole where it is small, part by part where it is not.

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

/// A list that is being written.
struct ListResponse<W: ObjectStream> {
    walk: W,
    writer: ListWriter<W::Item>,
    metadata: ListMeta,
    /// How many objects may still follow; none where nothing limits them.
    left: Option<usize>,
    stage: ListStage,
}

enum ListStage {
    /// How many bytes the objects take is to be found out, before which not even those that are written can be sent.
    Length(Vec<u8>),
    /// Objects may follow.
    Objects,
    /// None follow.
    End,
    /// All is written.
    Written,
}

/// The answer. What is read for its first part decides: a list that ends there is one body, whose faults are statuses;
/// of any other a later fault breaks the connection.
///
/// # Errors
/// 406 where a single object was asked for, 400 for bad table parameters, and those of [`ObjectStream::next`].
pub(crate) async fn respond<W: ObjectStream>(
    listing: ListPage<W>,
    cx: &RequestContext,
    api: GroupVersion,
    columns: Option<&'static Columns<W::Item>>,
) -> Result<ApiResponse, Status> {
    let writer = ListWriter::new(cx, api, columns)?;
    let content_type = writer.content_type();
    let left = listing.max_objects();
    let mut writing =
        ListResponse { walk: listing.objects, writer, metadata: ListMeta::default(), left, stage: ListStage::Objects };
    let mut objects = Vec::new();
    writing.fill(&mut objects).await?;
    // How the list ends stands before its objects.
    writing.metadata = writing.look_ahead().await?;
    let mut part = Vec::with_capacity(objects.len() + 1024);
    writing.writer.open(&mut part)?;
    if matches!(writing.stage, ListStage::Objects) && writing.writer.begins_with_length() {
        writing.stage = ListStage::Length(objects);
        return Ok(ApiResponse::new(200, content_type, ResponseBody::Chunks(writing.parts(part))));
    }
    writing.writer.begin(&writing.metadata, objects.len(), &mut part)?;
    part.append(&mut objects);
    if matches!(writing.stage, ListStage::End) {
        writing.end(&mut part)?;
        return Ok(ApiResponse::new(200, content_type, part));
    }
    Ok(ApiResponse::new(200, content_type, ResponseBody::Chunks(writing.parts(part))))
}

impl<W: ObjectStream> ListResponse<W> {
    /// Appends objects until there are enough for a part of its own, or none follow.
    async fn fill(&mut self, part: &mut Vec<u8>) -> Result<(), Status> {
        while part.len() <= GZIP_THRESHOLD_BYTES {
            let object = if self.left == Some(0) { None } else { self.walk.next().await? };
            let Some(object) = object else {
                self.stage = ListStage::End;
                break;
            };
            self.left = self.left.map(|left| left - 1);
            self.writer.object(&object, part)?;
        }
        Ok(())
    }

    /// What the list says of itself: that there is more only where its limit ends it.
    async fn look_ahead(&self) -> Result<ListMeta, Status> {
        match self.left {
            Some(0) => page_metadata(&self.walk).await,
            Some(left) if matches!(self.stage, ListStage::Objects) => {
                let mut ahead = self.walk.clone();
                ahead.skip(left).await?;
                page_metadata(&ahead).await
            }
            _ => Ok(self.walk.metadata()),
        }
    }

    /// How many bytes the objects take that follow. They are read, written and forgotten, to be read again when they are sent.
    async fn measure(&mut self) -> Result<usize, Status> {
        let (mut ahead, mut length, mut object_written) = (self.walk.clone(), 0, Vec::new());
        let mut left = self.left.unwrap_or(usize::MAX);
        while left > 0
            && let Some(object) = ahead.next().await?
        {
            object_written.clear();
            self.writer.object(&object, &mut object_written)?;
            length += object_written.len();
            left -= 1;
        }
        Ok(length)
    }

    fn end(&mut self, part: &mut Vec<u8>) -> Result<(), Status> {
        self.stage = ListStage::Written;
        self.writer.end(&self.metadata, part)
    }

    /// The next part; empty when all is written.
    async fn part(&mut self) -> Result<Vec<u8>, Status> {
        let mut part = Vec::new();
        if let ListStage::Length(objects) = &mut self.stage {
            let mut objects = mem::take(objects);
            let length = objects.len() + self.measure().await?;
            self.writer.begin(&self.metadata, length, &mut part)?;
            part.append(&mut objects);
            self.stage = ListStage::Objects;
        } else if matches!(self.stage, ListStage::Objects) {
            part.reserve(GZIP_THRESHOLD_BYTES + GZIP_THRESHOLD_BYTES / 2);
            self.fill(&mut part).await?;
        }
        if matches!(self.stage, ListStage::End) {
            self.end(&mut part)?;
        }
        Ok(part)
    }

    /// The parts behind the first, each made when those before are taken.
    fn parts(self, first: Vec<u8>) -> BodyStream {
        Box::pin(stream::try_unfold((self, first), |(mut writing, first)| async move {
            let part = if first.is_empty() { writing.part().await.map_err(broken::<W::Item>)? } else { first };
            Ok((!part.is_empty()).then(|| (Bytes::from(part), (writing, Vec::new()))))
        }))
    }
}

fn broken<T: Kind>(status: Status) -> Interrupted {
    let why = status.hidden.unwrap_or(status.message);
    Interrupted(format!("a list of {} could not be read to its end: {why}", T::KIND))
}
