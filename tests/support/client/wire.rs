//! A reader of HTTP/1.1 responses. It is strict, because a lenient reader would hide errors of the
//! server: a response that ends before its length, its last chunk or its TLS close alert is an
//! error.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

use super::Answer;

/// Reads the response to a request with this method. Skips interim responses (1xx).
pub(crate) async fn read_answer<R: AsyncBufRead + Unpin>(
    stream: &mut R,
    method: &str,
) -> io::Result<Answer> {
    let (mut status, mut headers) = read_head(stream).await?;
    while (100..200).contains(&status) {
        (status, headers) = read_head(stream).await?;
    }
    let mut answer = Answer { method: method.to_owned(), status, headers, body: Vec::new() };
    if method == "HEAD" || matches!(status, 204 | 304) {
        return Ok(answer);
    }
    if answer
        .header("transfer-encoding")
        .is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"))
    {
        answer.body = read_chunks(stream).await?;
    } else if let Some(length) = answer.header("content-length") {
        let length = length.parse().map_err(|_| bad(&format!("content-length {length}")))?;
        read_exactly(stream, length, &mut answer.body).await?;
    } else {
        stream.read_to_end(&mut answer.body).await?;
    }
    Ok(answer)
}

pub(super) async fn read_head<R: AsyncBufRead + Unpin>(
    stream: &mut R,
) -> io::Result<(u16, Vec<(String, String)>)> {
    let first = read_line(stream).await?;
    let status = first.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    let status = status.ok_or_else(|| bad(&format!("status line {first:?}")))?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(stream).await?;
        if line.is_empty() {
            return Ok((status, headers));
        }
        let (name, value) =
            line.split_once(':').ok_or_else(|| bad(&format!("header line {line:?}")))?;
        headers.push((name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()));
    }
}

async fn read_chunks<R: AsyncBufRead + Unpin>(stream: &mut R) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    while read_chunk(stream, &mut body).await? > 0 {}
    Ok(body)
}

/// Reads one chunk and returns its size, which is zero for the last chunk.
pub(super) async fn read_chunk<R: AsyncBufRead + Unpin>(
    stream: &mut R,
    body: &mut Vec<u8>,
) -> io::Result<u64> {
    let line = read_line(stream).await?;
    let size = line.split(';').next().unwrap_or_default().trim();
    let size = u64::from_str_radix(size, 16).map_err(|_| bad(&format!("chunk size {line:?}")))?;
    read_exactly(stream, size, body).await?;
    // The last chunk is followed by trailers, which no test needs, up to an empty line.
    while !read_line(stream).await?.is_empty() {}
    Ok(size)
}

async fn read_exactly<R: AsyncBufRead + Unpin>(
    stream: &mut R,
    length: u64,
    body: &mut Vec<u8>,
) -> io::Result<()> {
    let read = stream.take(length).read_to_end(body).await? as u64;
    if read == length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Reads a line without its line ending. An unterminated line is an error: the connection ended too
/// early.
async fn read_line<R: AsyncBufRead + Unpin>(stream: &mut R) -> io::Result<String> {
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line).await?;
    let line = line.strip_suffix(b"\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(line.strip_suffix(b"\r").unwrap_or(line).iter().copied().map(char::from).collect())
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not HTTP/1.1: {what}"))
}
