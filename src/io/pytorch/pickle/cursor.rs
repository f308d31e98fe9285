//! The bytes of a pickle, in order.

use crate::Result;
use crate::io::Source;
use std::ops::Range;
use std::sync::Arc;

/// Reads a range of a source from its beginning, part by part.
pub(super) struct Cursor<'a> {
    source: &'a Source,
    entry: &'a str,
    /// The bytes that were read, and how many of them were taken.
    part: Vec<u8>,
    taken: usize,
    /// What was not read yet.
    rest: Range<u64>,
}

/// The bytes that are read at once.
const PART: u64 = 1 << 16;

impl<'a> Cursor<'a> {
    pub(super) fn new(source: &'a Source, range: Range<u64>, entry: &'a str) -> Self {
        Self { source, entry, part: Vec::new(), taken: 0, rest: range }
    }

    /// The place of the next byte.
    pub(super) fn at(&self) -> u64 {
        self.rest.start - (self.part.len() - self.taken) as u64
    }

    /// The error of a pickle that is not what it should be.
    pub(super) fn bad(&self, expected: &str, found: impl Into<String>) -> crate::Error {
        let found = format!("{} before byte {}", found.into(), self.at());
        self.source.bad(self.entry, expected, found)
    }

    fn fill(&mut self) -> Result<()> {
        let end = self.rest.end.min(self.rest.start.saturating_add(PART));
        if end <= self.rest.start {
            return Err(self.bad("a pickle that ends with `.`", "its end"));
        }
        self.part.resize((end - self.rest.start) as usize, 0);
        self.taken = 0;
        let read = self.source.read_into(self.rest.start, &mut self.part, self.entry);
        read.inspect_err(|_| self.part.clear())?;
        self.rest.start = end;
        Ok(())
    }

    pub(super) fn byte(&mut self) -> Result<u8> {
        if self.taken == self.part.len() {
            self.fill()?;
        }
        self.taken += 1;
        Ok(self.part[self.taken - 1])
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        for byte in &mut bytes {
            *byte = self.byte()?;
        }
        Ok(bytes)
    }

    /// Passes over bytes.
    pub(super) fn skip(&mut self, len: u64) -> Result<()> {
        let left = (self.part.len() - self.taken) as u64;
        if len <= left {
            self.taken += len as usize;
            return Ok(());
        }
        let start = self.at().saturating_add(len);
        if start > self.rest.end {
            return Err(self.bad("bytes within the pickle", format!("a text of {len}")));
        }
        self.part.clear();
        (self.taken, self.rest.start) = (0, start);
        Ok(())
    }

    /// A text of so many bytes; what is no UTF-8, as of Python 2, is replaced.
    pub(super) fn text(&mut self, len: u64) -> Result<Arc<str>> {
        let at = self.at();
        self.skip(len)?;
        let bytes = self.source.read(at..at + len, self.entry)?;
        Ok(String::from_utf8_lossy(&bytes).into())
    }

    /// A text up to the end of its line.
    pub(super) fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        loop {
            match self.byte()? {
                b'\n' => return Ok(String::from_utf8_lossy(&line).into()),
                byte if line.len() < LINE => line.push(byte),
                _ => return Err(self.bad("lines of at most 4096 bytes", "a longer one")),
            }
        }
    }
}

/// The most bytes of a line.
const LINE: usize = 4096;
