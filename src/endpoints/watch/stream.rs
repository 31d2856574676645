//! The response to a watch: a stream of events.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::time::{Instant, Sleep, sleep_until};
use tracing::error;

use super::event_encoder::EventEncoder;
use super::frame::WatchEventType;
use super::frame_buffer::FrameBuffer;
use crate::endpoints::response::ApiResponse;
use crate::endpoints::response_body::{Interrupted, ResponseBody};
use crate::meta::{Kind, Status, Time};
use crate::registry::storage_errors::status_of_watch_error;
use crate::registry::watch::{
    Bookmarks, CachedEvent, EncodingId, InitialEventsEnd, ObjectWatch, WatchCursor, WatchPhase,
    WatchScope,
};
use crate::registry::workload::Workload;
use crate::store::{Revision, WatchError};

/// The annotation of the bookmark after the initial events (KEP-3157).
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";
/// The interval of bookmarks.
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(60);

/// The response to a watch.
pub(crate) fn respond<T: Kind>(changes: ObjectWatch<T>, encoder: EventEncoder<T>) -> ApiResponse {
    let content_type = encoder.content_type();
    let chunks = stream::unfold(WatchStream::new(changes, encoder), |mut watch| async move {
        let chunk = watch.next_chunk().await?;
        Some((chunk, watch))
    });
    ApiResponse::new(200, content_type, ResponseBody::Events(chunks.boxed()))
}

/// A running watch.
struct WatchStream<T: 'static> {
    changes: ObjectWatch<T>,
    encoder: EventEncoder<T>,
    frames: FrameBuffer,
    deadline: Instant,
    /// The timer of the next bookmark or of the end.
    timer: Pin<Box<Sleep>>,
}

/// The cause of a wake-up.
enum Wakeup<T> {
    /// New changes, or the error that ends the watch.
    Changes(Result<Vec<Arc<CachedEvent<T>>>, WatchError>),
    /// The timer has fired.
    Timer,
}

impl<T: Kind> WatchStream<T> {
    fn new(changes: ObjectWatch<T>, encoder: EventEncoder<T>) -> Self {
        let frames = FrameBuffer::new(encoder.transport());
        let now = Instant::now();
        let deadline = now + changes.duration;
        let timer = Box::pin(sleep_until(next_timer(now, deadline)));
        Self { changes, encoder, frames, deadline, timer }
    }

    /// The next chunk of the body; none after the end of the watch.
    async fn next_chunk(&mut self) -> Option<Result<Bytes, Interrupted>> {
        if let Some(chunk) = self.ready_chunk() {
            return Some(Ok(chunk));
        }
        loop {
            let result = match &self.changes.phase {
                WatchPhase::InitialEvents(..) => self.send_initial_events().await,
                WatchPhase::Live(..) => self.send_changes().await,
                WatchPhase::Ended => return None,
            };
            if let Err(status) = result
                && let Err(why) = self.fail(&status)
            {
                return Some(Err(Interrupted(why.hidden.unwrap_or(why.message))));
            }
            if let Some(chunk) = self.ready_chunk() {
                return Some(Ok(chunk));
            }
            // A watch that reads many changes and selects none must not starve other tasks.
            tokio::task::yield_now().await;
        }
    }

    /// The next chunk that is ready. It keeps its memory until it is sent; the rest of the memory is
    /// released after the last chunk.
    fn ready_chunk(&mut self) -> Option<Bytes> {
        let load = &self.changes.load;
        let Some(chunk) = self.frames.pop() else {
            load.release();
            return None;
        };
        Some(load.charge(chunk))
    }

    /// Sends a page of the objects that exist at the start.
    async fn send_initial_events(&mut self) -> Result<(), Status> {
        let WatchPhase::InitialEvents(initial, end) =
            std::mem::replace(&mut self.changes.phase, WatchPhase::Ended)
        else {
            return Ok(());
        };
        if Instant::now() >= self.deadline {
            return Ok(());
        }
        let read = self.changes.reader.clone();
        let page = initial.next().await?;
        for entry in page.entries {
            let mut object = read.decode(&entry)?;
            drop(entry);
            if self.changes.scope.selects(&object, &*read) {
                read.decorate(&mut object);
                let frame = self.encoder.event(WatchEventType::Added, &object, Time::now())?;
                self.push(frame);
            }
        }
        // The encoded events stay until they are sent.
        self.changes.load.shrink_to(self.frames.bytes() as u64);
        match page.rest {
            Some(rest) => self.changes.phase = WatchPhase::InitialEvents(rest, end),
            None => {
                if end == InitialEventsEnd::Bookmark {
                    self.send_bookmark(page.revision, &[INITIAL_EVENTS_END])?;
                }
                self.changes.go_live(page.revision);
            }
        }
        Ok(())
    }

    /// Waits for the next changes and sends them. If they need more memory than is free, the watch
    /// drops them, waits, and reads them again.
    async fn send_changes(&mut self) -> Result<(), Status> {
        let ObjectWatch { scope, load, phase: WatchPhase::Live(cursor), .. } = &mut self.changes
        else {
            return Ok(());
        };
        let encoding = self.encoder.encoding();
        let next = tokio::select! {
            // The timer comes first, so that a watch ends in time even under a constant load.
            biased;
            () = &mut self.timer => Wakeup::Timer,
            changes = next_affordable(cursor, scope, load, encoding) => Wakeup::Changes(changes),
        };
        match next {
            Wakeup::Changes(Ok(changes)) => {
                if changes.iter().any(|change| scope.must_decode(change, encoding)) {
                    load.enter_slot().await;
                }
                changes.iter().try_for_each(|change| self.send_change(change))?;
                self.changes.load.shrink_to(self.frames.bytes() as u64);
                Ok(())
            }
            Wakeup::Changes(Err(why)) => Err(status_of_watch_error(why)),
            Wakeup::Timer => self.on_timer(),
        }
    }

    fn send_change(&mut self, change: &CachedEvent<T>) -> Result<(), Status> {
        let (read, encoder) = (&*self.changes.reader, &self.encoder);
        if let Some(r#type) = self.changes.scope.event_type(change, read)? {
            let frame = change.encoded(r#type, encoder.encoding(), read, |object| {
                encoder.event(r#type.into(), object, Time::now())
            })?;
            self.push(frame);
        }
        Ok(())
    }

    fn on_timer(&mut self) -> Result<(), Status> {
        let ObjectWatch { scope, phase: WatchPhase::Live(cursor), .. } = &mut self.changes else {
            return Ok(());
        };
        cursor.skip_unselected(scope);
        let revision = cursor.revision();
        let now = Instant::now();
        if now >= self.deadline {
            self.changes.phase = WatchPhase::Ended;
        } else {
            self.timer.as_mut().reset(next_timer(now, self.deadline));
        }
        match self.changes.bookmarks {
            Bookmarks::Sent => self.send_bookmark(revision, &[]),
            Bookmarks::Never => Ok(()),
        }
    }

    /// Sends a bookmark: all changes up to this revision were sent.
    fn send_bookmark(&mut self, revision: Revision, annotations: &[&str]) -> Result<(), Status> {
        let mut object = T::default();
        let metadata = object.metadata_mut();
        metadata.resource_version = revision.to_string();
        metadata
            .annotations
            .extend(annotations.iter().map(|name| ((*name).to_owned(), "true".to_owned())));
        object.default_fields();
        let frame = self.encoder.event(WatchEventType::Bookmark, &object, Time::now())?;
        self.push(frame);
        Ok(())
    }

    /// Ends the watch with an ERROR event.
    fn fail(&mut self, status: &Status) -> Result<(), Status> {
        self.changes.phase = WatchPhase::Ended;
        if let Some(cause) = &status.hidden {
            error!(cause, "watch failed");
        }
        let frame = self.encoder.error(status)?;
        self.push(frame);
        Ok(())
    }

    fn push(&mut self, frame: Bytes) {
        self.frames.push(self.encoder.to_transport(frame));
        self.encoder.count_event();
    }
}

/// Returns the next changes when the memory to send them is reserved.
///
/// Cancel safe: dropping the future loses no change.
async fn next_affordable<T: Kind>(
    cursor: &mut WatchCursor<T>,
    scope: &WatchScope,
    load: &Workload,
    encoding: EncodingId,
) -> Result<Vec<Arc<CachedEvent<T>>>, WatchError> {
    loop {
        let seen = cursor.revision();
        let changes = cursor.next(scope).await?;
        let needed =
            changes.iter().map(|change| scope.cost_of_sending(change, load, encoding)).sum();
        if load.try_reserve(needed) {
            return Ok(changes);
        }
        drop(changes);
        cursor.rewind(seen);
        load.reserve_continued(needed).await;
    }
}

/// The next time at which the timer fires. It fires without bookmarks, too: a watch whose objects
/// do not change must advance, or its position would be compacted.
fn next_timer(now: Instant, deadline: Instant) -> Instant {
    deadline.min(now + BOOKMARK_INTERVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_timer_fires_for_bookmarks_and_at_the_deadline() {
        let now = Instant::now();
        assert_eq!(next_timer(now, now + 10 * BOOKMARK_INTERVAL), now + BOOKMARK_INTERVAL);
        assert_eq!(next_timer(now, now + BOOKMARK_INTERVAL / 2), now + BOOKMARK_INTERVAL / 2);
    }
}
