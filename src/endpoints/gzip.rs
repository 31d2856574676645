//! Compression of response bodies with gzip at its fastest level.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream::{self, TryStreamExt};

use crate::endpoints::response_body::BodyStream;

/// Compresses a complete body.
pub(crate) fn compress(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = encoder(bytes.len() / 4);
    write(&mut encoder, bytes);
    finish(encoder)
}

/// Compresses a body while it is produced. The encoder holds small chunks back until it has
/// enough input for a block.
pub(crate) fn compress_stream(chunks: BodyStream) -> BodyStream {
    let state = (chunks, Some(encoder(0)));
    Box::pin(stream::try_unfold(state, |(mut chunks, encoder)| async move {
        let Some(mut encoder) = encoder else {
            return Ok(None);
        };
        while let Some(chunk) = chunks.try_next().await? {
            write(&mut encoder, &chunk);
            if !encoder.get_ref().is_empty() {
                let compressed = Bytes::from(std::mem::take(encoder.get_mut()));
                return Ok(Some((compressed, (chunks, Some(encoder)))));
            }
        }
        Ok(Some((Bytes::from(finish(encoder)), (chunks, None))))
    }))
}

fn encoder(capacity: usize) -> GzEncoder<Vec<u8>> {
    GzEncoder::new(Vec::with_capacity(capacity), Compression::fast())
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
    async fn compressed_chunks_decompress_to_the_input() {
        let texts = [b"a".repeat(100_000), b"b".to_vec(), Vec::new(), b"c".repeat(1000)];
        let source = texts.clone().map(|text| Ok(Bytes::from(text)));
        let compressed: Vec<Bytes> =
            compress_stream(Box::pin(stream::iter(source))).try_collect().await.unwrap();
        assert!(compressed.iter().all(|chunk| !chunk.is_empty()));
        let mut decompressed = Vec::new();
        GzDecoder::new(&*compressed.concat()).read_to_end(&mut decompressed).unwrap();
        assert_eq!(decompressed, texts.concat());
    }

    #[tokio::test]
    async fn an_interrupted_body_stays_incomplete() {
        let source = [Ok(Bytes::from("a")), Err(Interrupted("store failure".into()))];
        let chunks: Result<Vec<Bytes>, _> =
            compress_stream(Box::pin(stream::iter(source))).try_collect().await;
        assert!(chunks.is_err());
    }
}
