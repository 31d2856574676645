//! The audit entry of a request, which is written however the request ends.

use std::mem;
use std::sync::Arc;
use std::thread;

use axum::extract::Request;
use axum::response::Response;
use http::HeaderValue;
use jiff::Timestamp;

use super::arrival::{Arrival, ForwardedBy, shortened};
use crate::auth::Attributes;
use crate::endpoints::request_info::RequestInfo;
use crate::server::audit::event::{
    AuditAnnotations, AuditEvent, AuditObjectReference, AuditStage, AuditUser, ResponseStatus,
};
use crate::server::audit::{AuditContext, AuditLog};
use crate::server::respond::{AdmissionAnnotations, ReturnedStatus};

/// The entry of one request: the context that filters complete, and the event if there is an audit
/// log.
///
/// When a client disconnects, its request is dropped at its current await, perhaps after its
/// commit. Dropping the entry therefore writes an event, too.
pub(super) struct AuditEntry<'a> {
    /// The facts that authentication and authorization find.
    pub(super) context: AuditContext,
    info: &'a RequestInfo<'a>,
    pending: Option<Box<PendingEvent>>,
}

/// The entry of a long-running request whose response has started. Dropping it writes the event of
/// its end.
pub(super) struct StartedEntry {
    context: AuditContext,
    started: Option<(Box<PendingEvent>, ResponseStatus)>,
}

/// An event that is still to be written.
struct PendingEvent {
    log: Arc<AuditLog>,
    received: Timestamp,
    audit_id: HeaderValue,
    arrival: Arrival,
}

impl<'a> AuditEntry<'a> {
    /// The entry of a request that arrived. There is no event without a log.
    pub(super) fn begin(
        log: Option<&Arc<AuditLog>>,
        audit_id: &HeaderValue,
        request: &Request,
        info: &'a RequestInfo<'a>,
    ) -> Self {
        let pending = log.map(|log| {
            Box::new(PendingEvent {
                log: log.clone(),
                received: Timestamp::now(),
                audit_id: audit_id.clone(),
                arrival: Arrival::of(request),
            })
        });
        Self { context: AuditContext::default(), info, pending }
    }

    /// Writes the event of a complete response.
    pub(super) fn end(mut self, response: &Response) {
        if self.pending.is_none() {
            return;
        }
        if let Some(AdmissionAnnotations(annotations)) = response.extensions().get() {
            self.context.admission.clone_from(annotations);
        }
        let status = match response.extensions().get::<ReturnedStatus>() {
            Some(ReturnedStatus(status)) => ResponseStatus::of_status(status),
            None => ResponseStatus::of_code(response.status().as_u16()),
        };
        self.write(AuditStage::ResponseComplete, status);
    }

    /// Writes the event of a response that has started and is long-running.
    pub(super) fn start(mut self, response: &Response) -> StartedEntry {
        let status = ResponseStatus::of_code(response.status().as_u16());
        let pending = self.write(AuditStage::ResponseStarted, status.clone());
        StartedEntry {
            context: mem::take(&mut self.context),
            started: pending.map(|pending| (pending, status)),
        }
    }

    /// Writes the one event of this entry and returns it for another one.
    fn write(&mut self, stage: AuditStage, status: ResponseStatus) -> Option<Box<PendingEvent>> {
        let pending = self.pending.take()?;
        if self.context.attributes.is_none() {
            self.context.attributes = self.info.attributes().map(Arc::new);
        }
        pending.write(&self.context, stage, status);
        Some(pending)
    }
}

impl Drop for StartedEntry {
    fn drop(&mut self) {
        if let Some((pending, status)) = self.started.take() {
            pending.write(&self.context, AuditStage::ResponseComplete, status);
        }
    }
}

impl Drop for AuditEntry<'_> {
    fn drop(&mut self) {
        let (stage, status) = match thread::panicking() {
            true => (AuditStage::Panic, ResponseStatus::panicked()),
            false => (AuditStage::ResponseComplete, ResponseStatus::abandoned()),
        };
        self.write(stage, status);
    }
}

impl PendingEvent {
    fn write(&self, context: &AuditContext, stage: AuditStage, status: ResponseStatus) {
        let (verb, object_ref) = match context.attributes.as_deref() {
            Some(Attributes::Resource(action)) => {
                (action.verb.as_str().into(), Some(AuditObjectReference::from(&**action)))
            }
            Some(Attributes::Path { verb, .. }) => (verb.as_str().into(), None),
            None => (self.arrival.method.as_str().to_ascii_lowercase().into(), None),
        };
        self.log.write(&AuditEvent {
            audit_id: shortened(&self.audit_id),
            stage,
            request_uri: self.arrival.uri(),
            verb,
            user: context.user.as_deref().map(AuditUser::from).unwrap_or_default(),
            impersonated_user: context.acting_as.as_deref().map(AuditUser::from),
            source_ips: &self.arrival.source_ips(ForwardedBy::of(context)),
            user_agent: self.arrival.user_agent(),
            object_ref,
            response_status: Some(status),
            request_received_timestamp: self.received,
            stage_timestamp: Timestamp::now(),
            annotations: AuditAnnotations {
                decision: context.decision.as_ref(),
                admission: Some(&context.admission),
            },
        });
    }
}

#[cfg(test)]
mod tests;
