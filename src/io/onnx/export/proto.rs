//! Protocol buffers, written. Only what ONNX has of them: numbers, floats, texts and messages in messages.

use crate::Result;
use crate::file::{Entry, io, write_floats};
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// A message. Its length is known before the values of its tensors are: they are read from the device, one
/// tensor after the other, while the file is written.
#[derive(Default)]
pub(super) struct Message {
    bytes: Vec<u8>,
    /// Tensors, each with the number of bytes before it.
    tensors: Vec<(usize, Entry<'static>)>,
    /// The bytes of all tensors.
    room: u64,
}

/// How a field's value is told from the next field, by its number in the encoding.
#[derive(Clone, Copy)]
enum Wire {
    Number = 0,
    Length = 2,
    Float = 5,
}

impl Message {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn len(&self) -> u64 {
        self.bytes.len() as u64 + self.room
    }

    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }

    fn tag(&mut self, field: u32, wire: Wire) {
        self.varint(u64::from(field) << 3 | wire as u64);
    }

    /// A whole number; a negative one takes ten bytes, as `int64` has it.
    pub(super) fn int(mut self, field: u32, number: i64) -> Self {
        self.tag(field, Wire::Number);
        self.varint(number as u64);
        self
    }

    pub(super) fn float(mut self, field: u32, number: f32) -> Self {
        self.tag(field, Wire::Float);
        self.bytes.extend_from_slice(&number.to_le_bytes());
        self
    }

    /// A text or bytes.
    pub(super) fn text(mut self, field: u32, text: impl AsRef<[u8]>) -> Self {
        let text = text.as_ref();
        self.tag(field, Wire::Length);
        self.varint(text.len() as u64);
        self.bytes.extend_from_slice(text);
        self
    }

    pub(super) fn message(mut self, field: u32, inner: Self) -> Self {
        self.tag(field, Wire::Length);
        self.varint(inner.len());
        let before = self.bytes.len();
        self.bytes.extend(inner.bytes);
        self.tensors.extend(inner.tensors.into_iter().map(|(at, entry)| (before + at, entry)));
        self.room += inner.room;
        self
    }

    pub(super) fn messages(self, field: u32, inner: impl IntoIterator<Item = Self>) -> Self {
        inner.into_iter().fold(self, |message, inner| message.message(field, inner))
    }

    /// The values of a tensor, as bytes of floats.
    pub(super) fn values(mut self, field: u32, entry: Entry<'static>) -> Self {
        let room = 4 * entry.shape.iter().map(|&n| n as u64).product::<u64>();
        self.tag(field, Wire::Length);
        self.varint(room);
        self.tensors.push((self.bytes.len(), entry));
        self.room += room;
        self
    }

    /// Writes all bytes in their order.
    pub(super) fn write(self, mut file: &File, path: &Path) -> Result<()> {
        let failed = |error| io("write", path, error);
        let mut done = 0;
        for (at, entry) in self.tensors {
            file.write_all(&self.bytes[done..at]).map_err(failed)?;
            done = at;
            entry.hand_on(&mut |part| write_floats(file, part).map_err(failed))?;
        }
        file.write_all(&self.bytes[done..]).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(values: Vec<f32>, declared: usize) -> Entry<'static> {
        let values = crate::file::Values::F32(Box::new(move |sink: &mut crate::file::Sink<'_>| {
            values.chunks(2).try_for_each(sink)
        }));
        Entry { name: "it".into(), shape: vec![declared], values }
    }

    fn written(message: Message) -> Result<Vec<u8>> {
        let number = std::sync::atomic::AtomicU64::new(0);
        let name = format!("wgpu-lstm-proto-{}-{:p}", std::process::id(), &number);
        let path = std::env::temp_dir().join(name);
        let file = File::create(&path).unwrap();
        let result = message.write(&file, &path);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        result.map(|()| bytes)
    }

    /// The encodings that the format's own guide gives, and the edges of numbers.
    #[test]
    fn fields_are_encoded_as_the_format_says() -> Result<()> {
        let bytes = |message| written(message);
        assert_eq!(bytes(Message::new().int(1, 150))?, [0x08, 0x96, 0x01]);
        assert_eq!(bytes(Message::new().int(1, 127))?, [0x08, 0x7f]);
        assert_eq!(bytes(Message::new().int(16, 128))?, [0x80, 0x01, 0x80, 0x01]);
        let most = [&[0x08][..], &[0xff; 9], &[0x01]].concat();
        assert_eq!(bytes(Message::new().int(1, -1))?, most);
        assert_eq!(bytes(Message::new().text(2, "testing"))?, b"\x12\x07testing");
        let inner = Message::new().int(1, 150);
        assert_eq!(bytes(Message::new().message(3, inner))?, [0x1a, 0x03, 0x08, 0x96, 0x01]);
        assert_eq!(bytes(Message::new().float(4, -2.0))?, [0x25, 0, 0, 0, 0xc0]);
        Ok(())
    }

    #[test]
    fn tensors_are_written_where_they_belong() -> Result<()> {
        let one = Message::new().int(1, 7).values(9, tensor(vec![1.0, 2.0, 3.0], 3)).int(2, 8);
        let two = Message::new().values(9, tensor(vec![], 0)).values(9, tensor(vec![4.0], 1));
        let all = Message::new().text(1, "a").messages(5, [one, two]).text(3, "z");
        let len = all.len();
        let mut right = vec![0x0a, 1, b'a', 0x2a, 18, 0x08, 7, 0x4a, 12];
        right.extend([1.0f32, 2.0, 3.0].iter().flat_map(|v| v.to_le_bytes()));
        right.extend([0x10, 8, 0x2a, 8, 0x4a, 0, 0x4a, 4]);
        right.extend(4.0f32.to_le_bytes());
        right.extend([0x1a, 1, b'z']);
        let found = written(all)?;
        assert_eq!(found, right);
        assert_eq!(found.len() as u64, len);
        Ok(())
    }

    /// What a tensor has too many or too few of would shift all that follows.
    #[test]
    fn other_values_than_declared_are_an_error() {
        for (values, declared) in [(vec![1.0; 5], 4), (vec![1.0; 3], 4)] {
            let found = values.len();
            let error = written(Message::new().values(9, tensor(values, declared))).unwrap_err();
            let right = crate::Error::Count { op: "save", shape: vec![4], expected: 4, found };
            assert_eq!(error, right);
        }
    }
}
