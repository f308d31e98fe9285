//! The wire format of protocol buffers, read where it lies in a file.
//!
//! It is our own, of some hundred lines: the crates for it take a message from a slice that holds all of it, or copy
//! every field of bytes, so that the weights would be in memory twice. Here a field of bytes is a range of the file.
//!
//! Source: "Encoding", the documentation of Protocol Buffers.

use crate::Result;
use crate::io::Source;
use std::ops::Range;

/// The bytes that are read ahead.
const WINDOW: u64 = 1 << 16;
/// The longest name or text.
const LONGEST_TEXT: u64 = 1 << 20;

/// A file of messages.
pub(super) struct Wire {
    pub(super) source: Source,
    window: Vec<u8>,
    /// Where the window begins.
    start: u64,
}

/// A message, or what is left of it to read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message {
    at: u64,
    end: u64,
}

/// The content of a field.
#[derive(Debug, Clone)]
pub(super) enum Content {
    Varint(u64),
    /// Where the eight or four bytes of a number lie.
    Fixed(Range<u64>),
    Bytes(Range<u64>),
}

impl Wire {
    pub(super) fn new(source: Source) -> Self {
        Self { source, window: Vec::new(), start: 0 }
    }

    /// All of the file as a message.
    pub(super) fn message(&self) -> Message {
        Message { at: 0, end: self.source.len() }
    }

    fn byte(&mut self, at: u64) -> Result<u8> {
        let there = |wire: &Self| {
            at.checked_sub(wire.start).and_then(|i| wire.window.get(i as usize).copied())
        };
        if let Some(byte) = there(self) {
            return Ok(byte);
        }
        // A little of what lies before: a message within a message is read from its head again.
        let start = at.saturating_sub(64);
        let end = start.saturating_add(WINDOW).min(self.source.len());
        self.window = self.source.read(start..end.max(start), "a field")?;
        self.start = start;
        there(self).ok_or_else(|| {
            self.source.bad("a field", "bytes of the file", format!("from byte {at} on"))
        })
    }

    /// The varint at a place, all of which lies before `end`, and the place behind it.
    fn varint(&mut self, at: u64, end: u64) -> Result<(u64, u64)> {
        let mut value = 0u64;
        for (i, shift) in (0..64).step_by(7).enumerate() {
            let place = at + i as u64;
            if place >= end {
                break;
            }
            let byte = self.byte(place)?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((value, place + 1));
            }
        }
        let found = format!("at byte {at} one that does not end");
        Err(self.source.bad("a field", "a number of at most 10 bytes", found))
    }

    /// The next field of a message: its number and content.
    pub(super) fn next(&mut self, message: &mut Message) -> Result<Option<(u64, Content)>> {
        if message.at >= message.end {
            return Ok(None);
        }
        let (key, at) = self.varint(message.at, message.end)?;
        let (content, next) = match key & 7 {
            0 => {
                let (value, next) = self.varint(at, message.end)?;
                (Content::Varint(value), next)
            }
            1 => (Content::Fixed(at..at.saturating_add(8)), at.saturating_add(8)),
            5 => (Content::Fixed(at..at.saturating_add(4)), at.saturating_add(4)),
            2 => {
                let (len, at) = self.varint(at, message.end)?;
                let next = at.saturating_add(len);
                (Content::Bytes(at..next), next)
            }
            kind => {
                let found = format!("{kind} at byte {}", message.at);
                return Err(self.source.bad("a field", "of the kinds 0, 1, 2 and 5", found));
            }
        };
        if next > message.end {
            let found = format!("until byte {next}");
            let expected = format!("within its message, which ends at byte {}", message.end);
            return Err(self.source.bad(format!("field {}", key >> 3), expected, found));
        }
        message.at = next;
        Ok(Some((key >> 3, content)))
    }

    fn wrong(&self, what: &str, expected: &str, content: &Content) -> crate::Error {
        let found = match content {
            Content::Varint(_) => "a varint",
            Content::Fixed(_) => "a number of fixed size",
            Content::Bytes(_) => "bytes",
        };
        self.source.bad(what, expected, found)
    }

    /// A message within a message.
    pub(super) fn inner(&self, content: &Content, what: &str) -> Result<Message> {
        match content {
            Content::Bytes(range) => Ok(Message { at: range.start, end: range.end }),
            _ => Err(self.wrong(what, "a message", content)),
        }
    }

    pub(super) fn int(&self, content: &Content, what: &str) -> Result<i64> {
        match content {
            Content::Varint(value) => Ok(*value as i64),
            _ => Err(self.wrong(what, "an integer", content)),
        }
    }

    pub(super) fn range(&self, content: &Content, what: &str) -> Result<Range<u64>> {
        match content {
            Content::Bytes(range) => Ok(range.clone()),
            _ => Err(self.wrong(what, "bytes", content)),
        }
    }

    pub(super) fn text(&mut self, content: &Content, what: &str) -> Result<String> {
        let range = self.range(content, what)?;
        let len = range.end - range.start;
        if len > LONGEST_TEXT {
            let found = format!("of {len}");
            return Err(self.source.bad(
                what,
                format!("a text of at most {LONGEST_TEXT} bytes"),
                found,
            ));
        }
        let mut bytes = Vec::with_capacity(len as usize);
        for at in range {
            bytes.push(self.byte(at)?);
        }
        String::from_utf8(bytes)
            .map_err(|_| self.source.bad(what, "a text in UTF-8", "other bytes"))
    }

    pub(super) fn float(&mut self, content: &Content, what: &str) -> Result<f32> {
        match content {
            Content::Fixed(range) if range.end - range.start == 4 => {
                let mut bytes = [0; 4];
                for (byte, at) in bytes.iter_mut().zip(range.clone()) {
                    *byte = self.byte(at)?;
                }
                Ok(f32::from_le_bytes(bytes))
            }
            _ => Err(self.wrong(what, "a 32-bit float", content)),
        }
    }

    /// Appends the integers of a field that is repeated, packed or not.
    pub(super) fn ints(
        &mut self,
        content: &Content,
        what: &str,
        values: &mut Vec<i64>,
    ) -> Result<()> {
        match content {
            Content::Varint(value) => values.push(*value as i64),
            Content::Bytes(range) => {
                let mut at = range.start;
                while at < range.end {
                    let (value, next) = self.varint(at, range.end)?;
                    values.push(value as i64);
                    at = next;
                }
            }
            Content::Fixed(_) => return Err(self.wrong(what, "integers", content)),
        }
        Ok(())
    }

    /// Appends the floats of a field that is repeated, packed or not.
    pub(super) fn floats(
        &mut self,
        content: &Content,
        what: &str,
        values: &mut Vec<f32>,
    ) -> Result<()> {
        match content {
            Content::Bytes(range) if (range.end - range.start) % 4 == 0 => {
                let mut at = range.start;
                while at < range.end {
                    values.push(self.float(&Content::Fixed(at..at + 4), what)?);
                    at += 4;
                }
                Ok(())
            }
            _ => {
                values.push(self.float(content, what)?);
                Ok(())
            }
        }
    }
}
