//! Damaged files: an error or a model, and nothing else.

use super::file;
use wgpu_lstm::testing::read::{keras_model, keras_weights};
use wgpu_lstm::{Device, Error, Sequential, nn};

/// Numbers that look random, the same in each run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }
}

fn try_all(bytes: &[u8], model: &Sequential) {
    for result in
        [keras_model(bytes, &Device::cpu().unwrap()).map(drop), keras_weights(bytes, model)]
    {
        match result {
            Ok(()) | Err(Error::File { .. } | Error::OutOfMemory { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

fn model() -> Sequential {
    let mut model =
        Sequential::new(&Device::cpu().unwrap()).add(nn::Lstm::new(3)).add(nn::Dense::new(1));
    model.build(2).unwrap();
    model
}

const FILES: [&str; 6] =
    ["graph.keras", "both.h5", "mask_zero.h5", "weights.weights.h5", "conv.keras", "nested.keras"];

#[test]
fn files_that_end_anywhere() {
    let model = model();
    for name in FILES {
        let bytes = std::fs::read(file(name)).unwrap();
        let step = bytes.len() / 60;
        (0..bytes.len()).step_by(step.max(1)).for_each(|end| try_all(&bytes[..end], &model));
        (0..100).for_each(|end| try_all(&bytes[..end], &model));
    }
}

#[test]
fn files_with_other_bytes() {
    let (model, mut numbers) = (model(), Numbers(7));
    for name in FILES {
        let bytes = std::fs::read(file(name)).unwrap();
        for _ in 0..80 {
            let mut damaged = bytes.clone();
            for _ in 0..1 + numbers.next(3) {
                let at = numbers.next(damaged.len());
                match numbers.next(3) {
                    0 => damaged[at] ^= 1 << numbers.next(8),
                    1 => damaged[at] = 0xff,
                    _ => {
                        let values = [0, u64::MAX, 1 << 40, bytes.len() as u64, 96];
                        let value = values[numbers.next(5)].to_le_bytes();
                        let end = damaged.len().min(at + 8);
                        damaged[at..end].copy_from_slice(&value[..end - at]);
                    }
                }
            }
            try_all(&damaged, &model);
        }
    }
}

#[test]
fn files_of_another_kind() {
    for bytes in [&b""[..], b"PK\x03\x04", b"PK\x05\x06", b"\x89HDF\r\n\x1a\n", &[0; 64], b"{}"] {
        let error = keras_model(bytes, &Device::cpu().unwrap()).map(drop).unwrap_err();
        assert!(matches!(error, Error::File { .. }), "{error}");
        try_all(bytes, &model());
    }
    let bytes = std::fs::read(file("weights.weights.h5")).unwrap();
    let error = keras_model(&bytes, &Device::cpu().unwrap()).map(drop).unwrap_err();
    assert!(error.to_string().contains("load_weights"), "{error}");
}
