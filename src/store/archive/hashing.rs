//! Streams that count and hash their bytes.

use std::io::{self, ErrorKind, Read, Write};

use sha2::{Digest, Sha256};

/// A stream that counts and hashes its bytes.
pub(super) struct Hashing<S> {
    pub(super) inner: S,
    hash: Sha256,
    pub(super) bytes: u64,
}

impl<S> Hashing<S> {
    pub(super) fn new(inner: S) -> Self {
        Self { inner, hash: Sha256::new(), bytes: 0 }
    }

    fn pass(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// The checksum of all bytes so far.
    pub(super) fn sum(&self) -> [u8; 32] {
        self.hash.clone().finalize().into()
    }
}

impl<W: Write> Hashing<W> {
    pub(super) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.inner.write_all(bytes)?;
        self.pass(bytes);
        Ok(())
    }
}

impl<R: Read> Hashing<R> {
    pub(super) fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.inner.read_exact(&mut bytes)?;
        self.pass(&bytes);
        Ok(bytes)
    }

    /// Reads exactly `length` bytes. Allocates as bytes arrive: a damaged length must not reserve
    /// memory.
    pub(super) fn bytes(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = self.inner.by_ref().take(length as u64).read_to_end(&mut bytes)?;
        if read < length {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.pass(&bytes);
        Ok(bytes)
    }
}
