//! Where lines end up.

use std::io::{self, ErrorKind, Write};

/// Takes lines.
pub(super) trait Sink: Send {
    /// Writes whole lines. After an error the same lines come again: a reader may then find some of them twice, and a line
    /// that is cut off, but no two lines run together.
    fn append(&mut self, lines: &[u8]) -> io::Result<()>;
}

/// A stream that cannot be taken back: stdout.
pub(super) struct Stream<W> {
    out: W,
    /// Whether the last line is cut off.
    is_torn: bool,
}

impl<W: Write> Stream<W> {
    /// Lines go to `out`, which must not keep them.
    pub(super) fn new(out: W) -> Self {
        Self { out, is_torn: false }
    }
}

impl<W: Write + Send> Sink for Stream<W> {
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.is_torn {
            self.out.write_all(b"\n")?;
            self.is_torn = false;
        }
        write_all(&mut self.out, lines).map_err(|(written, why)| {
            self.is_torn = lines[..written].last().is_some_and(|byte| *byte != b'\n');
            why
        })
    }
}

/// Writes everything, or tells how much of it was written.
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
