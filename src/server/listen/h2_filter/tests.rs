//! Tests of the filter with an in-memory stream.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Wake;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::client_class::ClientClass;
use super::super::frames::{CONTINUATION, DATA, END_HEADERS, END_STREAM, FrameHead};
use super::super::request_memory::RequestMemory;
use super::super::request_memory::tests::account;
use super::*;

/// A stream that accepts a given number of bytes at a time, and yields given bytes.
#[derive(Default)]
struct End {
    sent: Vec<u8>,
    to_read: Vec<u8>,
    /// Maximum size of each of the next writes in bytes; unlimited after the last. 0 blocks.
    takes: VecDeque<usize>,
    is_blocked: bool,
}

impl AsyncRead for End {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let count = buffer.remaining().min(self.to_read.len());
        let bytes: Vec<u8> = self.to_read.drain(..count).collect();
        buffer.put_slice(&bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for End {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let max = self.takes.pop_front().unwrap_or(usize::MAX);
        if max == 0 || self.is_blocked {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let count = bytes.len().min(max);
        self.sent.extend_from_slice(&bytes[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all: Vec<u8> = pieces.iter().flat_map(|piece| piece.iter()).copied().collect();
        self.as_mut().poll_write(cx, &all)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_blocked { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

const LIMITS: H2Limits = H2Limits { streams: 1000, resets: 1000 };

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap();
    [&FrameHead { length, kind, flags, stream }.bytes()[..], payload].concat()
}

fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

fn request(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, b"\x82\x87\x84")
}

fn bad_request(stream: u32) -> Vec<u8> {
    [frame(HEADERS, END_HEADERS | END_STREAM, stream, &[0x8c]), reset(stream, 0)].concat()
}

fn filter(is_exempt: bool) -> H2Filter<End, impl Fn() -> bool + Unpin> {
    H2Filter::new(End::default(), Activity::idle(), LIMITS, None, move || is_exempt)
}

/// Passes frames of a client through the filter.
async fn receive<E: Fn() -> bool + Unpin>(
    filter: &mut H2Filter<End, E>,
    frames: &[u8],
) -> io::Result<()> {
    filter.stream.to_read.extend_from_slice(frames);
    while !filter.stream.to_read.is_empty() {
        let _read = filter.read(&mut [0; 1000]).await?;
    }
    Ok(())
}

/// A filter that has read the preface and requests on these streams.
async fn after(streams: &[u32]) -> H2Filter<End, impl Fn() -> bool + Unpin> {
    let mut filter = filter(false);
    let requests = streams.iter().flat_map(|&stream| request(stream));
    receive(&mut filter, &[b' '; PREFACE as usize].into_iter().chain(requests).collect::<Vec<_>>())
        .await
        .unwrap();
    filter
}

/// The bytes that the filter sends when `bytes` are written in chunks of `size`.
async fn sent<E: Fn() -> bool + Unpin>(
    filter: &mut H2Filter<End, E>,
    bytes: &[u8],
    size: usize,
) -> Vec<u8> {
    let mut left = bytes;
    while !left.is_empty() {
        let (first, second) = left[..left.len().min(size)].split_at(left.len().min(size) / 3);
        let pieces = [IoSlice::new(first), IoSlice::new(second)];
        let count =
            poll_fn(|cx| Pin::new(&mut *filter).poll_write_vectored(cx, &pieces)).await.unwrap();
        assert!(count > 0);
        left = &left[count..];
    }
    filter.flush().await.unwrap();
    std::mem::take(&mut filter.stream.sent)
}

#[tokio::test]
async fn a_malformed_request_gets_400_at_any_chunk_size() {
    let around = |middle: &[u8]| {
        [&frame(DATA, 0, 1, &[3; 40]), middle, &frame(DATA, END_STREAM, 1, b"end")].concat()
    };
    let headers = frame(HEADERS, END_HEADERS, 1, b"\x88");
    for size in 1..100 {
        let mut filter = after(&[1, 3]).await;
        assert_eq!(sent(&mut filter, &headers, size).await, headers);
        let out = sent(&mut filter, &around(&reset(3, 1)), size).await;
        assert_eq!(out, around(&bad_request(3)), "{size}");
    }
}

#[tokio::test]
async fn a_reset_is_replaced_only_where_no_response_has_begun() {
    let started = frame(HEADERS, END_HEADERS, 1, b"\x88");
    let complete = frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x88");
    let ended = [&started[..], &frame(DATA, END_STREAM, 1, b"x")].concat();
    for (before, out, expected) in [
        (vec![], reset(1, 1), bad_request(1)),
        (started, reset(1, 1), reset(1, 1)),
        (complete, reset(1, 1), reset(1, 0)),
        (ended, reset(1, 1), reset(1, 0)),
        (reset(1, 8), reset(1, 1), reset(1, 0)),
        (vec![], reset(1, 8), reset(1, 8)),
        (vec![], reset(1, 0), reset(1, 0)),
        (vec![], reset(1, 7), reset(1, 7)),
        // The client has not opened these streams.
        (vec![], reset(3, 1), reset(3, 1)),
        (vec![], reset(2, 1), reset(2, 1)),
        // Not a valid reset.
        (
            vec![],
            frame(RST_STREAM, 0, 1, &[0, 0, 0, 1, 0]),
            frame(RST_STREAM, 0, 1, &[0, 0, 0, 1, 0]),
        ),
    ] {
        let mut filter = after(&[1]).await;
        sent(&mut filter, &before, 1000).await;
        assert_eq!(sent(&mut filter, &out, 1000).await, expected, "{before:?} {out:?}");
    }
}

#[tokio::test]
async fn a_reset_by_the_client_needs_no_response() {
    let mut filter = after(&[1]).await;
    receive(&mut filter, &reset(1, 8)).await.unwrap();
    assert_eq!(sent(&mut filter, &reset(1, 1), 1000).await, reset(1, 0));
}

#[tokio::test]
async fn a_header_block_is_not_interrupted() {
    let block = [
        &frame(HEADERS, 0, 1, b"\x88")[..],
        &reset(3, 1),
        &frame(CONTINUATION, END_HEADERS, 1, b""),
    ]
    .concat();
    for size in 1..50 {
        let mut filter = after(&[1, 3]).await;
        assert_eq!(sent(&mut filter, &block, size).await, block, "{size}");
        assert_eq!(sent(&mut filter, &reset(3, 1), size).await, reset(3, 0), "{size}");
    }
}

#[tokio::test]
async fn a_block_that_may_hold_too_long_a_url_gets_414() {
    for (last, expected) in [(100, &[0x8c][..]), (9_000, b"\x08\x03414")] {
        let mut filter = after(&[]).await;
        let block = [vec![0; 16_000], vec![0; 16_000], vec![0; last]];
        let mut frames = frame(HEADERS, END_STREAM, 1, &block[0]);
        frames.extend(frame(CONTINUATION, 0, 1, &block[1]));
        frames.extend(frame(CONTINUATION, END_HEADERS, 1, &block[2]));
        receive(&mut filter, &frames).await.unwrap();
        let response =
            [frame(HEADERS, END_HEADERS | END_STREAM, 1, expected), reset(1, 0)].concat();
        assert_eq!(sent(&mut filter, &reset(1, 1), 1000).await, response);
    }
}

#[tokio::test]
async fn a_block_with_too_long_a_name_gets_431() {
    let mut filter = after(&[]).await;
    // A name of 65,536 bytes and a value of one.
    let block = [&[0, 0x7f, 0x81, 0xff, 0x03][..], &[b'n'; 65_536], &[1, b'v']].concat();
    let mut frames = frame(HEADERS, END_STREAM, 1, &block[..16_000]);
    frames.extend(
        block[16_000..64_000].chunks(16_000).flat_map(|part| frame(CONTINUATION, 0, 1, part)),
    );
    frames.extend(frame(CONTINUATION, END_HEADERS, 1, &block[64_000..]));
    receive(&mut filter, &frames).await.unwrap();
    let response =
        [frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x08\x03431"), reset(1, 0)].concat();
    assert_eq!(sent(&mut filter, &reset(1, 1), 1000).await, response);
}

#[tokio::test]
async fn resets_of_untracked_streams_pass_unchanged() {
    let limits = H2Limits { streams: 1, ..LIMITS };
    let mut filter = H2Filter::new(End::default(), Activity::idle(), limits, None, || false);
    let preface = [b' '; PREFACE as usize];
    receive(&mut filter, &[&preface[..], &request(1), &request(3)].concat()).await.unwrap();
    assert_eq!(sent(&mut filter, &reset(3, 1), 1000).await, reset(3, 1));
    assert_eq!(sent(&mut filter, &reset(1, 1), 1000).await, bad_request(1));
}

#[tokio::test]
async fn excessive_resets_close_the_connection_unless_exempt() {
    // More than the burst, because the rate allows some more meanwhile.
    let resets: Vec<u8> = (0..40_000).flat_map(|number| reset(2 * number + 1, 8)).collect();
    for is_exempt in [false, true] {
        let mut filter = filter(is_exempt);
        let mut outcome = receive(&mut filter, &[b' '; PREFACE as usize]).await;
        for part in resets.chunks(13 * 500) {
            outcome = outcome.and(receive(&mut filter, part).await);
            filter.flush().await.unwrap();
        }
        outcome = outcome.and(filter.read(&mut [0]).await.map(drop));
        assert_eq!(outcome.is_ok(), is_exempt, "{outcome:?}");
    }
}

#[tokio::test]
async fn resets_by_the_server_for_client_errors_count() {
    let mut filter = after(&[]).await;
    let mut answered = 0;
    for stream in (1..).step_by(2).take(40_000) {
        if filter.incoming.excess.is_some() {
            break;
        }
        receive(&mut filter, &request(stream)).await.unwrap();
        assert_eq!(sent(&mut filter, &reset(stream, 1), 1000).await, bad_request(stream));
        answered += 1;
    }
    assert!((10_001..40_000).contains(&answered), "{answered}");
    // Other resets do not count.
    let mut filter = after(&[]).await;
    let harmless: Vec<u8> = (0..20_001).flat_map(|number| reset(2 * number + 1, 5)).collect();
    sent(&mut filter, &harmless, usize::MAX).await;
    assert!(filter.incoming.excess.is_none());
}

#[tokio::test]
async fn a_connection_is_closed_when_either_side_closes_it() {
    let mut reader = after(&[1]).await;
    let is_closed = reader.is_closed();
    assert!(!is_closed.load(Relaxed));
    assert_eq!(reader.read(&mut [0]).await.unwrap(), 0);
    assert!(is_closed.load(Relaxed));
    let mut shut_down = filter(false);
    let is_closed = shut_down.is_closed();
    shut_down.shutdown().await.unwrap();
    assert!(is_closed.load(Relaxed));
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

#[test]
fn no_bytes_are_read_from_a_client_that_does_not_read() {
    let woken = Arc::new(Woken::default());
    let waker = Arc::clone(&woken).into();
    let mut cx = Context::from_waker(&waker);
    let mut filter = filter(false);
    filter.stream.is_blocked = true;
    filter.stream.to_read = vec![b' '; PREFACE as usize];
    filter.stream.to_read.extend((0..2 * MAX_UNFLUSHED).flat_map(|_| frame(DATA, 0, 1, b"")));
    let (mut read, mut space) = (0, [0; 900]);
    loop {
        let mut buffer = ReadBuf::new(&mut space);
        if Pin::new(&mut filter).poll_read(&mut cx, &mut buffer).is_pending() {
            break;
        }
        read += buffer.filled().len();
    }
    assert!(read < 9 * MAX_UNFLUSHED as usize + 2000, "{read}");
    assert!(Pin::new(&mut filter).poll_flush(&mut cx).is_pending());
    assert_eq!(woken.0.load(Relaxed), 0);
    filter.stream.is_blocked = false;
    assert!(Pin::new(&mut filter).poll_flush(&mut cx).is_ready());
    assert_eq!(woken.0.load(Relaxed), 1);
    let mut buffer = ReadBuf::new(&mut space);
    assert!(Pin::new(&mut filter).poll_read(&mut cx, &mut buffer).is_ready());
}

#[tokio::test]
async fn an_incomplete_frame_is_sent_at_shutdown() {
    let mut filter = after(&[1]).await;
    let start = &reset(1, 1)[..11];
    assert_eq!(sent(&mut filter, start, 1000).await, b"");
    filter.shutdown().await.unwrap();
    assert_eq!(filter.stream.sent, start);
}

#[tokio::test]
async fn nothing_is_read_while_too_many_resets_are_pending() {
    let mut filter = after(&[1]).await;
    let mut requests: Vec<_> =
        (0..MAX_PENDING_RESETS + 2).map(|_| filter.activity.enter()).collect();
    filter.stream.to_read = request(3);
    // One stream is open, so one more request may be in flight.
    assert!(
        poll_fn(|cx| Poll::Ready(
            Pin::new(&mut filter).poll_read(cx, &mut ReadBuf::new(&mut [0; 9])).is_pending()
        ))
        .await
    );
    requests.pop();
    assert_eq!(filter.read(&mut [0; 9]).await.unwrap(), 9);
}

#[tokio::test]
async fn pending_resets_do_not_block_a_front_proxy() {
    let mut filter = filter(true);
    let _requests: Vec<_> = (0..=MAX_PENDING_RESETS).map(|_| filter.activity.enter()).collect();
    filter.stream.to_read = vec![b'p'; 9];
    assert_eq!(filter.read(&mut [0; 9]).await.unwrap(), 9);
}

/// A frame from h2, and the bytes that the filter sends for it.
fn frames() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let payload = || prop::collection::vec(any::<u8>(), 0..60);
    prop_oneof![
        // Only on streams without resets.
        (payload(), 5..10_u32).prop_map(|(payload, id)| frame(DATA, 0, 2 * id + 1, &payload)),
        (payload(), 5..10_u32).prop_map(|(payload, id)| frame(
            HEADERS,
            END_HEADERS,
            2 * id + 1,
            &payload
        )),
        (payload(), payload()).prop_map(|(one, two)| {
            [frame(HEADERS, 0, 11, &one), frame(CONTINUATION, END_HEADERS, 11, &two)].concat()
        }),
        (payload(), 4..20_u8).prop_map(|(payload, kind)| frame(kind.max(10), 0xff, 0, &payload)),
        (5..10_u32, 0..14_u32).prop_map(|(id, code)| reset(2 * id, code)),
    ]
    .prop_map(|frame| (frame.clone(), frame))
}

proptest! {
    /// The filter replaces resets by responses and keeps all other bytes, at any chunk size.
    #[test]
    fn every_other_byte_passes_unchanged(
        all in prop::collection::vec(frames(), 0..30),
        client_errors in prop::collection::vec((any::<prop::sample::Index>(), 0..5_u32), 0..5),
        sizes in prop::collection::vec(1..80_usize, 1..20),
        takes in prop::collection::vec(0..50_usize, 0..200),
    ) {
        let mut all = all;
        let mut reset_streams = std::collections::BTreeSet::new();
        for (at, id) in client_errors {
            let stream = 2 * id + 1;
            if reset_streams.insert(stream) {
                all.insert(at.index(all.len() + 1), (reset(stream, 1), bad_request(stream)));
            }
        }
        let (bytes, expected): (Vec<_>, Vec<_>) = all.into_iter().unzip();
        let (bytes, expected) = (bytes.concat(), expected.concat());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut filter = after(&[1, 3, 5, 7, 9, 11, 13, 15, 17, 19]).await;
            filter.stream.takes = takes.into();
            let (mut left, mut out) = (&bytes[..], Vec::new());
            for size in sizes.iter().cycle() {
                if left.is_empty() {
                    break;
                }
                let (now, later) = left.split_at(left.len().min(*size));
                out.extend(sent(&mut filter, now, usize::MAX).await);
                left = later;
            }
            assert_eq!(out, expected);
        });
    }
}

/// A filter that has read the preface, with 128 KiB of memory beyond the allowance.
async fn with_memory() -> (H2Filter<End, impl Fn() -> bool + Unpin>, Arc<AtomicBool>) {
    let account = account(&RequestMemory::new(1 << 20), ClientClass::Unverified);
    let memory = StreamMemory::new(&account);
    let is_exhausted = memory.is_exhausted();
    let activity = Activity::idle();
    let mut filter = H2Filter::new(End::default(), activity, LIMITS, Some(memory), || false);
    receive(&mut filter, &[b' '; PREFACE as usize]).await.unwrap();
    (filter, is_exhausted)
}

#[tokio::test]
async fn an_open_block_without_memory_ends_the_connection() {
    // One field with a value of 127 MiB, in frames of 16,000 bytes.
    let value = [&[0, 1, b'x', 0x7f, 0x80, 0xff, 0xff, 0x3f][..], &[b'v'; 15_992]].concat();
    let many_fields = vec![0xbe; 1_000];
    for (start, continuations) in [(value, 8), (many_fields, 0)] {
        let (mut filter, _) = with_memory().await;
        receive(&mut filter, &frame(HEADERS, 0, 1, &start[..100])).await.unwrap();
        receive(&mut filter, &frame(CONTINUATION, 0, 1, &start[100..])).await.unwrap();
        for _ in 0..continuations {
            let more = frame(CONTINUATION, 0, 1, &[b'v'; 16_000]);
            receive(&mut filter, &more).await.unwrap();
        }
        let excess = frame(CONTINUATION, 0, 1, &start);
        let outcome = receive(&mut filter, &excess).await;
        let outcome = outcome.and(filter.read(&mut [0]).await.map(drop));
        assert!(outcome.unwrap_err().to_string().contains("no memory"), "{continuations}");
    }
}

#[tokio::test]
async fn complete_blocks_without_memory_end_nothing() {
    let (mut filter, is_exhausted) = with_memory().await;
    for stream in [1, 3, 5, 7, 9, 11, 13] {
        assert!(!is_exhausted.load(Relaxed));
        let block = frame(HEADERS, END_HEADERS | END_STREAM, stream, &[0; 16_000]);
        receive(&mut filter, &block).await.unwrap();
    }
    assert!(is_exhausted.load(Relaxed));
    let response = frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0x88]);
    sent(&mut filter, &response, 1000).await;
    assert!(!is_exhausted.load(Relaxed));
    // Trailers count as well.
    let posted = frame(HEADERS, END_HEADERS, 17, &[0x83]);
    receive(&mut filter, &posted).await.unwrap();
    let trailers = frame(HEADERS, END_HEADERS | END_STREAM, 17, &[0; 16_000]);
    receive(&mut filter, &trailers).await.unwrap();
    assert!(is_exhausted.load(Relaxed));
}
