//! The response to a watch: a stream of events.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::time::{Instant, Sleep, sleep_until};
use tracing::error;

use super::event_encoder::EventEncoder;
use super::frame::WatchEventType;
use super::frame_buffer::{CHUNK_BYTES, FrameBuffer};
use crate::endpoints::response::ApiResponse;
use crate::endpoints::response_body::{Interrupted, ResponseBody};
use crate::meta::{Kind, Status, Time};
use crate::registry::storage_errors::status_of_watch_error;
use crate::registry::watch::{
    Bookmarks, CachedEvent, EncodedChange, EncodedEvent, EncodingId, EventType, InitialEventsEnd,
    ObjectWatch, ShownChange, ShownChanges, WatchCursor, WatchPhase, WatchScope,
};
use crate::registry::workload::{LARGE_OBJECT, Workload};
use crate::store::{Entry, Revision, WatchError};

/// The annotation of the bookmark after the initial events (KEP-3157).
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";
/// The interval of bookmarks.
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(60);

/// The response to a watch.
pub(crate) fn respond<S: Kind, V: Kind>(
    watch: ObjectWatch<S, V>,
    encoder: EventEncoder<V>,
) -> ApiResponse {
    let content_type = encoder.content_type();
    // Boxed, because it moves into and out of a future for each chunk.
    let watch = Box::new(WatchStream::new(watch, encoder));
    let chunks = stream::unfold(watch, |mut watch| async move {
        let chunk = watch.next_chunk().await?;
        Some((chunk, watch))
    });
    ApiResponse::new(200, content_type, ResponseBody::Events(chunks.boxed()))
}

/// A running watch.
struct WatchStream<S: 'static, V: 'static> {
    watch: ObjectWatch<S, V>,
    encoder: EventEncoder<V>,
    frames: FrameBuffer,
    /// The rest of the last page or batch, in order. Its memory is reserved.
    work: VecDeque<Work<S>>,
    deadline: Instant,
    /// The timer of the next bookmark or of the end.
    timer: Pin<Box<Sleep>>,
}

/// A piece of work that leads to events.
enum Work<S> {
    /// An object that exists at the start.
    Object(Entry),
    /// The end of the initial events, at their revision.
    InitialEventsEnd(Revision, InitialEventsEnd),
    /// A change of a stored object.
    Change(Arc<CachedEvent<S>>),
    /// Changes of shown objects.
    Shown(ShownChanges<S>),
}

/// The cause of a wake-up.
enum Wakeup<S> {
    /// New changes, or the error that ends the watch.
    Changes(Result<Vec<Arc<CachedEvent<S>>>, WatchError>),
    /// The timer has fired.
    Timer,
}

impl<S: Kind, V: Kind> WatchStream<S, V> {
    fn new(watch: ObjectWatch<S, V>, encoder: EventEncoder<V>) -> Self {
        let frames = FrameBuffer::new(encoder.transport());
        let now = Instant::now();
        let deadline = now + watch.duration;
        let timer = Box::pin(sleep_until(next_timer(now, deadline)));
        Self { watch, encoder, frames, work: VecDeque::new(), deadline, timer }
    }

    /// The next chunk of the body; none after the end of the watch.
    async fn next_chunk(&mut self) -> Option<Result<Bytes, Interrupted>> {
        if let Some(chunk) = self.ready_chunk() {
            return Some(Ok(chunk));
        }
        loop {
            let result = match &self.watch.phase {
                _ if !self.work.is_empty() => self.send_work().await,
                WatchPhase::InitialEvents(..) => self.read_initial_page().await,
                WatchPhase::Live(..) => self.read_changes().await,
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
            if self.work.is_empty() {
                tokio::task::yield_now().await;
            }
        }
    }

    /// The next chunk that is ready. It keeps its memory until it is sent; the rest of the memory is
    /// released after the last chunk. While work is left, the memory of the work covers the chunk.
    fn ready_chunk(&mut self) -> Option<Bytes> {
        let load = &self.watch.load;
        match self.frames.pop() {
            Some(chunk) if self.work.is_empty() => Some(load.charge(chunk)),
            Some(chunk) => Some(chunk),
            None => {
                if self.work.is_empty() {
                    load.release();
                }
                None
            }
        }
    }

    /// Reads a page of the objects that exist at the start.
    async fn read_initial_page(&mut self) -> Result<(), Status> {
        let WatchPhase::InitialEvents(initial, end) =
            std::mem::replace(&mut self.watch.phase, WatchPhase::Ended)
        else {
            return Ok(());
        };
        if Instant::now() >= self.deadline {
            return Ok(());
        }
        let page = initial.next().await?;
        self.work.extend(page.entries.into_iter().map(Work::Object));
        match page.rest {
            Some(rest) => self.watch.phase = WatchPhase::InitialEvents(rest, end),
            None => {
                self.work.push_back(Work::InitialEventsEnd(page.revision, end));
                self.watch.go_live(page.revision);
            }
        }
        Ok(())
    }

    /// Waits for the next changes. If they need more memory than is free, the watch drops them,
    /// waits, and reads them again.
    async fn read_changes(&mut self) -> Result<(), Status> {
        let ObjectWatch { scope, load, phase: WatchPhase::Live(cursor), .. } = &mut self.watch
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
                self.work.extend(changes.into_iter().map(Work::Change));
                Ok(())
            }
            Wakeup::Changes(Err(why)) => Err(status_of_watch_error(why)),
            Wakeup::Timer => self.on_timer(),
        }
    }

    /// Sends the events of the work, or a chunk of them if there are more.
    async fn send_work(&mut self) -> Result<(), Status> {
        while let Some(work) = self.work.pop_front() {
            match work {
                Work::Object(entry) => self.send_object(&entry).await?,
                Work::InitialEventsEnd(_, InitialEventsEnd::Silent) => {}
                Work::InitialEventsEnd(revision, InitialEventsEnd::Bookmark) => {
                    self.send_bookmark(revision, &[INITIAL_EVENTS_END])?;
                }
                Work::Change(change) => self.send_change(&change).await?,
                Work::Shown(mut changes) => {
                    self.send_shown(&mut changes)?;
                    if changes.count() > 0 {
                        self.postpone(changes);
                        return Ok(());
                    }
                }
            }
        }
        // The encoded events stay until they are sent.
        self.watch.load.shrink_to(self.frames.bytes() as u64);
        Ok(())
    }

    async fn send_object(&mut self, entry: &Entry) -> Result<(), Status> {
        let ObjectWatch { reader, scope, shown, load, .. } = &self.watch;
        if entry.value.len() > LARGE_OBJECT {
            load.enter_slot().await;
        }
        let object = reader.decode(entry)?;
        if scope.selects(&object, &**reader) {
            let existing = shown.projection.existing(Arc::new(object), entry.revision);
            self.work.push_front(Work::Shown(existing.named(&shown.names)));
        }
        Ok(())
    }

    async fn send_change(&mut self, change: &CachedEvent<S>) -> Result<(), Status> {
        let ObjectWatch { reader, scope, shown, load, .. } = &self.watch;
        let encoding = self.encoder.encoding();
        if scope.must_decode(change, encoding) {
            load.enter_slot().await;
        }
        let Some(r#type) = scope.event_type(change, &**reader)? else {
            return Ok(());
        };
        match change.encoded(r#type, encoding, || self.encode(change, r#type))? {
            EncodedEvent::Shared(events) => {
                for EncodedChange { name, frame } in events.iter() {
                    if shown.names.is_empty() || shown.names.selects_name(name) {
                        self.frames.push(self.encoder.to_transport(frame.clone()));
                        self.encoder.count_event();
                    }
                }
            }
            EncodedEvent::TooLarge => {
                let changes = shown.projection.changes(&change.states(r#type, &**reader))?;
                self.work.push_front(Work::Shown(changes.named(&shown.names)));
            }
        }
        Ok(())
    }

    /// Encodes a change for all watches, unless it takes too much memory.
    fn encode(&self, change: &CachedEvent<S>, r#type: EventType) -> Result<EncodedEvent, Status> {
        let ObjectWatch { reader, shown, .. } = &self.watch;
        let mut changes = shown.projection.changes(&change.states(r#type, &**reader))?;
        let (mut events, mut bytes) = (Vec::new(), 0);
        while let Some((ShownChange { name, r#type }, object)) = changes.next(&*shown.projection)? {
            let frame = self.encoder.event(r#type.into(), &object, Time::now())?;
            bytes += frame.len();
            events.push(EncodedChange { name, frame });
            if events.len() > 1 && bytes > change.max_shared_bytes() {
                return Ok(EncodedEvent::TooLarge);
            }
        }
        Ok(EncodedEvent::Shared(events.into()))
    }

    /// Sends changes until a chunk is full. The last one is sent at once, because its encoded form
    /// takes less memory than the stored object.
    fn send_shown(&mut self, changes: &mut ShownChanges<S>) -> Result<(), Status> {
        while (changes.count() == 1 || self.frames.bytes() < CHUNK_BYTES)
            && let Some((change, object)) = changes.next(&*self.watch.shown.projection)?
        {
            let frame = self.encoder.event(change.r#type.into(), &object, Time::now())?;
            self.push(frame);
        }
        Ok(())
    }

    /// Leaves changes for the next chunk, unless the time of the watch is over.
    fn postpone(&mut self, changes: ShownChanges<S>) {
        if Instant::now() < self.deadline {
            self.work.push_front(Work::Shown(changes));
        } else {
            self.work.clear();
            self.watch.phase = WatchPhase::Ended;
        }
    }

    fn on_timer(&mut self) -> Result<(), Status> {
        let ObjectWatch { scope, phase: WatchPhase::Live(cursor), .. } = &mut self.watch else {
            return Ok(());
        };
        cursor.skip_unselected(scope);
        let revision = cursor.revision();
        let now = Instant::now();
        if now >= self.deadline {
            self.watch.phase = WatchPhase::Ended;
        } else {
            self.timer.as_mut().reset(next_timer(now, self.deadline));
        }
        match self.watch.bookmarks {
            Bookmarks::Sent => self.send_bookmark(revision, &[]),
            Bookmarks::Never => Ok(()),
        }
    }

    /// Sends a bookmark: all changes up to this revision were sent.
    fn send_bookmark(&mut self, revision: Revision, annotations: &[&str]) -> Result<(), Status> {
        let mut object = V::default();
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
        self.watch.phase = WatchPhase::Ended;
        self.work.clear();
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
async fn next_affordable<S: Kind>(
    cursor: &mut WatchCursor<S>,
    scope: &WatchScope,
    load: &Workload,
    encoding: EncodingId,
) -> Result<Vec<Arc<CachedEvent<S>>>, WatchError> {
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
