//! The limits of a connection that apply to a whole request, before the filters see it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use http::{HeaderMap, Request, StatusCode};

use super::head_memory::HeadMemory;
use super::request_memory::{MemoryAccount, MemoryCharge};
use super::stream_memory::{FIELD_COST, StreamMemory};

/// Number of header fields that are not charged.
const FREE_FIELDS: usize = 64;

/// Admits the requests of a connection.
pub(super) enum RequestGate {
    /// Requests of a front proxy.
    Open,
    /// Requests over HTTP/1.1.
    Http1 {
        /// Memory of the head.
        head: Arc<HeadMemory>,
        /// Maximum size of the header lines in bytes.
        header_bytes: usize,
    },
    /// Requests over HTTP/2.
    Http2 {
        /// Memory of decoded headers.
        account: Arc<MemoryAccount>,
        /// Maximum size of the header list in bytes.
        header_bytes: usize,
        /// True while the streams of the connection exceed the memory.
        is_exhausted: Arc<AtomicBool>,
    },
}

/// Memory of a request that was admitted, until its response is ready.
pub(super) enum AdmittedRequest {
    /// Nothing.
    Free,
    /// The head of an HTTP/1.1 request.
    Http1(Arc<HeadMemory>),
    /// The decoded headers of an HTTP/2 request.
    Http2(#[expect(dead_code, reason = "held until it is dropped")] MemoryCharge),
}

impl RequestGate {
    /// The gate of an HTTP/1.1 connection; without memory, that of a front proxy.
    pub(super) fn http1(head: Option<&Arc<HeadMemory>>, header_bytes: usize) -> Self {
        let Some(head) = head else { return Self::Open };
        Self::Http1 { head: Arc::clone(head), header_bytes }
    }

    /// The gate of an HTTP/2 connection; without memory, that of a front proxy.
    pub(super) fn http2(
        account: Option<&Arc<MemoryAccount>>,
        memory: Option<&StreamMemory>,
        header_bytes: usize,
    ) -> Self {
        let (Some(account), Some(memory)) = (account, memory) else { return Self::Open };
        let is_exhausted = memory.is_exhausted();
        Self::Http2 { account: Arc::clone(account), header_bytes, is_exhausted }
    }

    /// Admits a request.
    ///
    /// # Errors
    /// 431 if its headers are too large, 429 if there is no memory for it.
    pub(super) fn admit<B>(&self, request: &Request<B>) -> Result<AdmittedRequest, StatusCode> {
        match self {
            Self::Open => Ok(AdmittedRequest::Free),
            // The size is computed only if it can be too large.
            Self::Http1 { head, header_bytes }
                if head.received() > *header_bytes
                    && size_on_http1(request.headers()) > *header_bytes =>
            {
                Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
            }
            Self::Http1 { head, .. } => Ok(AdmittedRequest::Http1(Arc::clone(head))),
            Self::Http2 { header_bytes, .. } if size_on_http2(request) > *header_bytes => {
                Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
            }
            Self::Http2 { account, is_exhausted, .. } => {
                let admitted = match is_exhausted.load(Relaxed) {
                    true => None,
                    false => charge_fields(account, request.headers().len()),
                };
                admitted.ok_or_else(|| {
                    account.record_refusal();
                    StatusCode::TOO_MANY_REQUESTS
                })
            }
        }
    }
}

/// Charges for the fields of a request. References to the table of HPACK make a field of one byte.
fn charge_fields(account: &Arc<MemoryAccount>, fields: usize) -> Option<AdmittedRequest> {
    if fields <= FREE_FIELDS {
        return Some(AdmittedRequest::Free);
    }
    let mut charge = account.charge();
    charge.resize(fields.saturating_mul(FIELD_COST)).then_some(AdmittedRequest::Http2(charge))
}

/// Size of header lines as HTTP/1.1 sends them, with colon, space and line end.
fn size_on_http1(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

/// Size of the header list (RFC 9113, section 10.5.1), with the pseudo-headers that clients choose.
fn size_on_http2<B>(request: &Request<B>) -> usize {
    const OVERHEAD: usize = 32;
    let uri = request.uri();
    let path = uri.path_and_query().map_or(0, |path| path.as_str().len());
    let authority = uri.authority().map_or(0, |authority| authority.as_str().len());
    let fields = request.headers().iter();
    let fields = fields.map(|(name, value)| name.as_str().len() + value.len() + OVERHEAD);
    fields.sum::<usize>() + path + authority
}

impl AdmittedRequest {
    /// Records that the connection becomes a WebSocket.
    pub(super) fn upgrade(&self) {
        if let Self::Http1(head) = self {
            head.upgrade();
        }
    }
}

impl Drop for AdmittedRequest {
    fn drop(&mut self) {
        if let Self::Http1(head) = self {
            head.release();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::client_class::ClientClass;
    use super::super::request_memory::RequestMemory;
    use super::super::request_memory::tests::account;
    use super::*;

    const LIMIT: usize = 1 << 20;

    fn with_fields(count: usize, value: &str) -> Request<()> {
        let mut request = Request::new(());
        for _ in 0..count {
            request.headers_mut().append("x", value.parse().unwrap());
        }
        request
    }

    #[test]
    fn the_url_is_not_a_part_of_http1_header_lines() {
        let account = account(&RequestMemory::new(LIMIT), ClientClass::Unverified);
        let head = HeadMemory::new(&account);
        let gate = RequestGate::Http1 { head: Arc::clone(&head), header_bytes: 1000 };
        assert!(head.receive(1500));
        assert!(gate.admit(&with_fields(1, &"v".repeat(995))).is_ok());
        let refused = gate.admit(&with_fields(1, &"v".repeat(996))).err();
        assert_eq!(refused, Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
    }

    #[test]
    fn a_header_list_is_limited_with_its_url() {
        let account = account(&RequestMemory::new(LIMIT), ClientClass::Unverified);
        let memory = StreamMemory::new(&account);
        let gate = RequestGate::http2(Some(&account), Some(&memory), 1000);
        let mut request = with_fields(1, &"v".repeat(900));
        *request.uri_mut() = format!("https://a/{}", "p".repeat(65)).parse().unwrap();
        assert!(gate.admit(&request).is_ok());
        *request.uri_mut() = format!("https://a/{}", "p".repeat(66)).parse().unwrap();
        let refused = gate.admit(&request).err();
        assert_eq!(refused, Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
        assert!(RequestGate::http2(None, None, 1000).admit(&request).is_ok());
    }

    #[test]
    fn many_fields_are_charged_until_the_response() {
        let account = account(&RequestMemory::new(LIMIT), ClientClass::Unverified);
        let is_exhausted = Arc::new(AtomicBool::new(false));
        let gate = RequestGate::Http2 {
            account,
            header_bytes: usize::MAX,
            is_exhausted: Arc::clone(&is_exhausted),
        };
        let (few, many) = (with_fields(64, "v"), with_fields(800, "v"));
        let admitted = gate.admit(&many).unwrap();
        assert_eq!(gate.admit(&many).err(), Some(StatusCode::TOO_MANY_REQUESTS));
        assert!(gate.admit(&few).is_ok());
        drop(admitted);
        assert!(gate.admit(&many).is_ok());
        is_exhausted.store(true, Relaxed);
        assert_eq!(gate.admit(&few).err(), Some(StatusCode::TOO_MANY_REQUESTS));
    }
}
