//! Streamed responses: read as they arrive, counted, not stored.

use std::io;
use std::time::{Duration, Instant};

use crate::wire::Connection;

/// Length of the prefix that is kept: it contains the continue token of a list.
const KEPT: usize = 1 << 10;

/// Response that was read to its end.
pub(crate) struct Streamed {
    /// Status code.
    pub(crate) status: u16,
    /// Time from the request to the first byte of the body.
    pub(crate) first: Duration,
    /// Time from the request to the last byte.
    pub(crate) whole: Duration,
    /// Length of the body in bytes.
    pub(crate) bytes: usize,
    start: Vec<u8>,
}

impl Streamed {
    /// Sends a request and reads its response, with a length or chunked.
    pub(crate) async fn read(connection: &mut Connection, request: &[u8]) -> io::Result<Self> {
        let begun = Instant::now();
        connection.send(request).await?;
        let (status, mut body) = connection.begin().await?;
        let mut answer = Self {
            status,
            first: Duration::ZERO,
            whole: Duration::ZERO,
            bytes: 0,
            start: Vec::with_capacity(KEPT),
        };
        while let Some(part) = connection.part(&mut body).await? {
            if answer.bytes == 0 {
                answer.first = begun.elapsed();
            }
            answer.bytes += part.len();
            let room = KEPT - answer.start.len();
            answer.start.extend_from_slice(&part[..part.len().min(room)]);
        }
        answer.whole = begun.elapsed();
        Ok(answer)
    }

    /// Continue token of a list.
    pub(crate) fn token(&self) -> Option<&str> {
        let start = str::from_utf8(&self.start).ok()?;
        let (metadata, _) = start.split_once(r#","items":"#)?;
        metadata.split_once(r#""continue":""#)?.1.split('"').next()
    }
}
