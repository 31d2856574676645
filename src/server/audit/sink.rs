//! Destinations of audit lines.

use std::io::{self, ErrorKind, Write};

/// A destination of lines.
pub(super) trait Sink: Send {
    /// Writes whole lines. After an error the caller passes the same lines again. Readers may then
    /// find some lines twice and an incomplete line, but never two lines joined.
    fn append(&mut self, lines: &[u8]) -> io::Result<()>;
}

/// A stream that cannot be truncated, such as stdout.
pub(super) struct StreamSink<W> {
    out: W,
    /// True if the last line is incomplete.
    has_partial_line: bool,
}

impl<W: Write> StreamSink<W> {
    /// A sink that writes to `out`, which must not buffer.
    pub(super) fn new(out: W) -> Self {
        Self { out, has_partial_line: false }
    }
}

impl<W: Write + Send> Sink for StreamSink<W> {
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.has_partial_line {
            self.out.write_all(b"\n")?;
            self.has_partial_line = false;
        }
        write_all(&mut self.out, lines).map_err(|(written, why)| {
            self.has_partial_line = lines[..written].last().is_some_and(|byte| *byte != b'\n');
            why
        })
    }
}

/// Writes all bytes. An error includes the number of bytes written.
pub(super) fn write_all(out: &mut impl Write, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
    let mut written = 0;
    while written < bytes.len() {
        match out.write(&bytes[written..]) {
            Ok(0) => return Err((written, ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(why) if why.kind() == ErrorKind::Interrupted => {}
            Err(why) => return Err((written, why)),
        }
    }
    Ok(())
}
