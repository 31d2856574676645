//! Answers that are made while they are sent: read as they come, counted, and not kept.

use std::io;
use std::time::{Duration, Instant};

use crate::wire::Connection;

/// How much of the beginning is kept: it says of a list how it goes on.
const KEPT: usize = 1 << 10;

/// An answer that was read to its end.
pub(crate) struct Streamed {
    /// The status code.
    pub(crate) status: u16,
    /// From the request to the first byte of the body.
    pub(crate) first: Duration,
    /// From the request to the last byte.
    pub(crate) whole: Duration,
    /// Bytes of the body.
    pub(crate) bytes: usize,
    start: Vec<u8>,
}

impl Streamed {
    /// Sends a request and reads its answer, whether that tells its length or comes in chunks.
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

    /// The token with which a list goes on.
    pub(crate) fn token(&self) -> Option<&str> {
        let start = str::from_utf8(&self.start).ok()?;
        let (metadata, _) = start.split_once(r#","items":"#)?;
        metadata.split_once(r#""continue":""#)?.1.split('"').next()
    }
}
