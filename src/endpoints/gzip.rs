//! Compression of answers with gzip, as fast as it goes: whole, or part by part while they are made.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream::{self, TryStreamExt};

use crate::endpoints::response_body::BodyStream;

/// The same, compressed.
pub(crate) fn whole(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = encoder(bytes.len() / 4);
    write(&mut encoder, bytes);
    finish(encoder)
}

/// The same, each part compressed as it comes. BodyStream that are too small to make a difference are held back for the next.
pub(crate) fn parts(parts: BodyStream) -> BodyStream {
    let state = (parts, Some(encoder(0)));
    Box::pin(stream::try_unfold(state, |(mut parts, encoder)| async move {
        let Some(mut encoder) = encoder else {
            return Ok(None);
        };
        while let Some(part) = parts.try_next().await? {
            write(&mut encoder, &part);
            if !encoder.get_ref().is_empty() {
                let compressed = Bytes::from(std::mem::take(encoder.get_mut()));
                return Ok(Some((compressed, (parts, Some(encoder)))));
            }
        }
        Ok(Some((Bytes::from(finish(encoder)), (parts, None))))
    }))
}

fn encoder(room: usize) -> GzEncoder<Vec<u8>> {
    GzEncoder::new(Vec::with_capacity(room), Compression::fast())
}

fn write(encoder: &mut GzEncoder<Vec<u8>>, bytes: &[u8]) {
    encoder.write_all(bytes).expect("writing to memory does not fail");
}

fn finish(encoder: GzEncoder<Vec<u8>>) -> Vec<u8> {
    encoder.finish().expect("writing to memory does not fail")
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;
    use crate::endpoints::response_body::Interrupted;

    #[tokio::test]
    async fn compressed_parts_are_together_what_was_compressed() {
        let texts = [b"a".repeat(100_000), b"b".to_vec(), Vec::new(), b"c".repeat(1000)];
        let source = texts.clone().map(|text| Ok(Bytes::from(text)));
        let compressed: Vec<Bytes> = parts(Box::pin(stream::iter(source))).try_collect().await.unwrap();
        assert!(compressed.iter().all(|part| !part.is_empty()));
        let mut seen = Vec::new();
        GzDecoder::new(&*compressed.concat()).read_to_end(&mut seen).unwrap();
        assert_eq!(seen, texts.concat());
    }

    #[tokio::test]
    async fn an_interruption_goes_through_and_nothing_looks_complete() {
        let source = [Ok(Bytes::from("a")), Err(Interrupted("it was".into()))];
        let seen: Result<Vec<Bytes>, _> = parts(Box::pin(stream::iter(source))).try_collect().await;
        assert!(seen.is_err());
    }
}
