//! The files that TensorBoard reads: records of TensorFlow (a length and a checksum around each) that hold
//! `Event` messages of protobuf. The few fields that are needed are written here, without a compiler of
//! schemas: <https://github.com/tensorflow/tensorboard>, `compat/proto/event.proto` and `summary.proto`.

use super::csv::cannot_write;
use crate::Result;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// The buckets of a histogram, as many as Keras has.
const BUCKETS: usize = 30;

/// A file of events in a folder, which is made with the first of them.
#[derive(Debug)]
pub(super) struct EventFile {
    folder: PathBuf,
    file: Option<(File, PathBuf)>,
}

impl EventFile {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, file: None }
    }

    /// Writes values of a step, for which `began` steps had been made when the training began or resumed:
    /// what older files of the folder have of later ones is then no longer shown.
    pub(super) fn write(&mut self, began: u64, step: u64, values: &[Value<'_>]) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = now.as_secs_f64();
        let mut bytes = Vec::new();
        let (mut file, path) = match self.file.take() {
            Some(open) => open,
            None => {
                // Read in the order of their names.
                let name =
                    format!("events.out.tfevents.{:010}.{:09}", now.as_secs(), now.subsec_nanos());
                let path = self.folder.join(name);
                bytes.extend(record(&version(seconds)));
                if began > 0 {
                    bytes.extend(record(&session_start(seconds, began + 1)));
                }
                let file = std::fs::create_dir_all(&self.folder).and_then(|()| File::create(&path));
                (file.map_err(|error| cannot_write(&path, &error))?, path)
            }
        };
        bytes.extend(record(&summary(seconds, step, values)));
        let written = file.write_all(&bytes).and_then(|()| file.flush());
        written.map_err(|error| cannot_write(&path, &error))?;
        self.file = Some((file, path));
        Ok(())
    }
}

/// A value of a step, and its tag.
pub(super) enum Value<'a> {
    Scalar(String, f32),
    Histogram(String, &'a [f32]),
}

/// A record: the length and its checksum, the data and theirs.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let checked = |bytes: &[u8]| masked_crc(bytes).to_le_bytes();
    [&length[..], &checked(&length), data, &checked(data)].concat()
}

/// The checksum CRC-32C, masked as TensorFlow does for data that may hold checksums themselves.
fn masked_crc(bytes: &[u8]) -> u32 {
    let shift = |crc: u32| (crc >> 1) ^ (0x82F6_3B78 * (crc & 1));
    let crc =
        bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |c, _| shift(c)));
    (!crc).rotate_right(15).wrapping_add(0xA282_EAD8)
}

/// The first event of a file.
fn version(seconds: f64) -> Vec<u8> {
    let mut event = Message::new();
    event.double(1, seconds).bytes(3, b"brain.Event:2");
    event.0
}

/// That what was written of this step and later ones counts no more.
fn session_start(seconds: f64, step: u64) -> Vec<u8> {
    let (mut event, mut log) = (Message::new(), Message::new());
    log.varint(1, 1);
    event.double(1, seconds).varint(2, step).bytes(7, &log.0);
    event.0
}

fn summary(seconds: f64, step: u64, values: &[Value<'_>]) -> Vec<u8> {
    let (mut event, mut all) = (Message::new(), Message::new());
    for value in values {
        let mut one = Message::new();
        match value {
            Value::Scalar(tag, value) => one.bytes(1, tag.as_bytes()).float(2, *value),
            Value::Histogram(tag, values) => {
                one.bytes(1, tag.as_bytes()).bytes(5, &histogram(values))
            }
        };
        all.bytes(1, &one.0);
    }
    event.double(1, seconds).varint(2, step).bytes(5, &all.0);
    event.0
}

/// The finite values in buckets of the same width.
fn histogram(values: &[f32]) -> Vec<u8> {
    let finite = || values.iter().filter(|value| value.is_finite()).map(|&value| f64::from(value));
    let (least, most) = finite()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), value| {
            (least.min(value), most.max(value))
        });
    let mut message = Message::new();
    let count = finite().count();
    if count == 0 {
        return message.0;
    }
    let width = if most > least { (most - least) / BUCKETS as f64 } else { 1.0 };
    let mut counts = [0.0; BUCKETS];
    for value in finite() {
        counts[(((value - least) / width) as usize).min(BUCKETS - 1)] += 1.0;
    }
    let limits = std::array::from_fn(|at| least + width * (at + 1) as f64);
    message.double(1, least).double(2, most).double(3, count as f64);
    message.double(4, finite().sum()).double(5, finite().map(|value| value * value).sum());
    message.doubles(6, &limits).doubles(7, &counts);
    message.0
}

/// A message of protobuf: fields behind each other, each with its number and the form of its value.
struct Message(Vec<u8>);

impl Message {
    fn new() -> Self {
        Self(Vec::new())
    }

    fn raw(&mut self, mut value: u64) -> &mut Self {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
        self
    }

    fn varint(&mut self, field: u64, value: u64) -> &mut Self {
        self.raw(field << 3).raw(value)
    }

    /// A zero is left out, as the third version of protobuf does.
    fn double(&mut self, field: u64, value: f64) -> &mut Self {
        if value.to_bits() != 0 {
            self.raw(field << 3 | 1).0.extend(value.to_le_bytes());
        }
        self
    }

    fn float(&mut self, field: u64, value: f32) -> &mut Self {
        self.raw(field << 3 | 5).0.extend(value.to_le_bytes());
        self
    }

    fn bytes(&mut self, field: u64, value: &[u8]) -> &mut Self {
        self.raw(field << 3 | 2).raw(value.len() as u64).0.extend(value);
        self
    }

    fn doubles(&mut self, field: u64, values: &[f64; BUCKETS]) -> &mut Self {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.bytes(field, &bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file that `tests/vectors/make_events.py` writes by TensorBoard's own code, and reads by it.
    #[test]
    fn the_bytes_are_those_of_tensorboards_own_writer() {
        let values: Vec<f32> = (0..100).map(|i| (i * i) as f32 / 64.0).collect();
        let scalars = [Value::Scalar("loss".into(), 0.625), Value::Scalar("accuracy".into(), 1e-9)];
        let written = [
            version(1000.5),
            session_start(1001.5, 301),
            summary(1002.5, 400, &scalars),
            summary(1003.5, u64::from(u32::MAX), &[Value::Histogram("weights".into(), &values)]),
            summary(1004.5, 500, &[Value::Histogram("zeros".into(), &[0.0, 0.0, f32::NAN])]),
        ];
        let written: Vec<u8> = written.iter().flat_map(|event| record(event)).collect();
        let theirs = include_bytes!("../../../tests/vectors/events.out.tfevents");
        assert_eq!(written, theirs);
    }
}
