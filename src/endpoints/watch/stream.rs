//! One watch from its beginning to its end, as the parts of an answer.

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
use crate::registry::storage_errors::status_of;
use crate::registry::watch::{Bookmarks, CachedEvent, InitialEventsEnd, ObjectWatch, WatchPhase};
use crate::store::{Revision, StoreError, WatchError};

/// The annotation of the bookmark behind all that was there when a watch began.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";
/// How often a watch looks how far it has come, and tells it to whoever wants to know.
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(60);

/// The answer to a watch.
pub(crate) fn respond<T: Kind>(changes: ObjectWatch<T>, encoder: EventEncoder<T>) -> ApiResponse {
    let content_type = encoder.content_type();
    let parts = stream::unfold(WatchStream::new(changes, encoder), |mut watching| async move {
        let part = watching.next_part().await?;
        Some((part, watching))
    });
    ApiResponse::new(200, content_type, ResponseBody::Events(parts.boxed()))
}

/// A watch that goes on.
struct WatchStream<T: 'static> {
    changes: ObjectWatch<T>,
    encoder: EventEncoder<T>,
    parts: FrameBuffer,
    deadline: Instant,
    /// Rings when there is something to do although nothing happens: a bookmark, or the end.
    alarm: Pin<Box<Sleep>>,
}

/// What a watcher meets next.
enum Wakeup<T> {
    /// Changes, or why there are no more.
    Changes(Result<Vec<Arc<CachedEvent<T>>>, WatchError>),
    /// The alarm.
    Alarm,
}

impl<T: Kind> WatchStream<T> {
    fn new(changes: ObjectWatch<T>, encoder: EventEncoder<T>) -> Self {
        let parts = FrameBuffer::new(encoder.transport());
        let now = Instant::now();
        let deadline = now + changes.duration;
        let alarm = Box::pin(sleep_until(next_alarm(now, deadline)));
        Self { changes, encoder, parts, deadline, alarm }
    }

    /// What is sent next; none when the watch is over.
    async fn next_part(&mut self) -> Option<Result<Bytes, Interrupted>> {
        if let Some(part) = self.parts.pop() {
            return Some(Ok(part));
        }
        loop {
            let step = match &self.changes.phase {
                WatchPhase::InitialEvents(..) => self.tell_state().await,
                WatchPhase::Live(..) => self.tell_changes().await,
                WatchPhase::Ended => return None,
            };
            if let Err(status) = step
                && let Err(why) = self.fail(&status)
            {
                return Some(Err(Interrupted(why.hidden.unwrap_or(why.message))));
            }
            if let Some(part) = self.parts.pop() {
                return Some(Ok(part));
            }
            // Whoever reads much of which nothing is selected must not keep others from their turn.
            tokio::task::yield_now().await;
        }
    }

    /// Tells some of what is there.
    async fn tell_state(&mut self) -> Result<(), Status> {
        let WatchPhase::InitialEvents(initial, end) = std::mem::replace(&mut self.changes.phase, WatchPhase::Ended)
        else {
            return Ok(());
        };
        if Instant::now() >= self.deadline {
            return Ok(());
        }
        let read = self.changes.reader.clone();
        let page = initial.next(&self.changes.scope, &*read).await?;
        for mut object in page.objects {
            read.decorate(&mut object);
            let frame = self.encoder.event(WatchEventType::Added, &object, Time::now())?;
            self.push(frame);
        }
        match page.rest {
            Some(rest) => self.changes.phase = WatchPhase::InitialEvents(rest, end),
            None => {
                if end == InitialEventsEnd::Bookmark {
                    self.bookmark(page.revision, &[INITIAL_EVENTS_END])?;
                }
                self.changes.go_live(page.revision);
            }
        }
        Ok(())
    }

    /// Tells what happens next, as soon as it happens.
    async fn tell_changes(&mut self) -> Result<(), Status> {
        let ObjectWatch { scope, phase: WatchPhase::Live(cursor), .. } = &mut self.changes else {
            return Ok(());
        };
        let next = tokio::select! {
            // First, so that a watch ends in time however much happens.
            biased;
            () = &mut self.alarm => Wakeup::Alarm,
            changes = cursor.next(scope) => Wakeup::Changes(changes),
        };
        match next {
            Wakeup::Changes(Ok(changes)) => changes.iter().try_for_each(|change| self.tell(change)),
            Wakeup::Changes(Err(why)) => Err(status_of_end(why)),
            Wakeup::Alarm => self.act_on_alarm(),
        }
    }

    fn tell(&mut self, change: &CachedEvent<T>) -> Result<(), Status> {
        let (read, encoder) = (&*self.changes.reader, &self.encoder);
        if let Some(r#type) = self.changes.scope.event_type(change, read)? {
            let frame = change.encoded(r#type, encoder.encoding(), read, |object| {
                encoder.event(r#type.into(), object, Time::now())
            })?;
            self.push(frame);
        }
        Ok(())
    }

    fn act_on_alarm(&mut self) -> Result<(), Status> {
        let ObjectWatch { scope, phase: WatchPhase::Live(cursor), .. } = &mut self.changes else {
            return Ok(());
        };
        cursor.skip_unselected(scope);
        let revision = cursor.revision();
        let now = Instant::now();
        if now >= self.deadline {
            self.changes.phase = WatchPhase::Ended;
        } else {
            self.alarm.as_mut().reset(next_alarm(now, self.deadline));
        }
        match self.changes.bookmarks {
            Bookmarks::Sent => self.bookmark(revision, &[]),
            Bookmarks::Never => Ok(()),
        }
    }

    /// Tells that all that happened up to a revision is told.
    fn bookmark(&mut self, revision: Revision, annotations: &[&str]) -> Result<(), Status> {
        let mut object = T::default();
        let metadata = object.metadata_mut();
        metadata.resource_version = revision.to_string();
        metadata.annotations.extend(annotations.iter().map(|name| ((*name).to_owned(), "true".to_owned())));
        object.default_fields();
        let frame = self.encoder.event(WatchEventType::Bookmark, &object, Time::now())?;
        self.push(frame);
        Ok(())
    }

    /// Ends the watch with the reason.
    fn fail(&mut self, status: &Status) -> Result<(), Status> {
        self.changes.phase = WatchPhase::Ended;
        if let Some(cause) = &status.hidden {
            error!(cause, "a watch was ended");
        }
        let frame = self.encoder.error(status)?;
        self.push(frame);
        Ok(())
    }

    fn push(&mut self, frame: Bytes) {
        self.parts.push(self.encoder.packed(frame));
        self.encoder.note_event();
    }
}

/// For all, since a watch that stays where it is would fall behind compaction while nothing happens to its objects.
fn next_alarm(now: Instant, deadline: Instant) -> Instant {
    deadline.min(now + BOOKMARK_INTERVAL)
}

/// Why a watch has to end.
fn status_of_end(why: WatchError) -> Status {
    match why {
        WatchError::Compacted { requested, compacted } => {
            Status::expired(format!("too old resource version: {requested} ({compacted})"))
        }
        WatchError::Store(error) => status_of(&error),
        WatchError::Closed => status_of(&StoreError::Closed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_alarm_rings_now_and_then_and_at_the_end_whoever_watches() {
        let now = Instant::now();
        assert_eq!(next_alarm(now, now + 10 * BOOKMARK_INTERVAL), now + BOOKMARK_INTERVAL);
        assert_eq!(next_alarm(now, now + BOOKMARK_INTERVAL / 2), now + BOOKMARK_INTERVAL / 2);
    }
}
