//! Operators on 8-bit integers against ONNX Runtime 1.32: see tests/vectors/make_quantized.py.

use super::dynamic_lstm::{DynamicLstm, Side};
use super::onnx::*;
use crate::{Device, Tensor};
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;

/// A tensor of the file.
struct Given<'a> {
    shape: Vec<usize>,
    bytes: &'a [u8],
    dtype: Dtype,
}

impl Given<'_> {
    fn floats(&self) -> Vec<f32> {
        assert_eq!(self.dtype, Dtype::F32);
        self.bytes.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect()
    }

    fn i32s(&self) -> Vec<i32> {
        assert_eq!(self.dtype, Dtype::I32);
        self.bytes.as_chunks::<4>().0.iter().map(|&b| i32::from_le_bytes(b)).collect()
    }

    fn eights(&self) -> Bytes<'_> {
        assert!(matches!(self.dtype, Dtype::I8 | Dtype::U8));
        Bytes { bytes: self.bytes, signed: self.dtype == Dtype::I8 }
    }

    fn integers(&self) -> Vec<i32> {
        self.eights().integers().collect()
    }
}

/// Calls `f` on each case of a group, with what finds its tensors.
fn each_case(group: &str, f: impl Fn(&str, &dyn Fn(&str) -> Option<Given<'static>>)) {
    static FILE: &[u8] = include_bytes!("../../../tests/vectors/quantized.safetensors");
    let file = SafeTensors::deserialize(FILE).unwrap();
    let mut cases: Vec<_> = file
        .names()
        .into_iter()
        .filter_map(|name| name.rsplit_once('/'))
        .map(|(case, _)| case.to_owned())
        .filter(|case| case.starts_with(&format!("{group}/")))
        .collect();
    cases.sort();
    cases.dedup();
    assert!(cases.len() > 1, "{group}");
    for case in cases {
        f(&case, &|name| {
            let view = file.tensor(&format!("{case}/{name}")).ok()?;
            let (shape, dtype) = (view.shape().to_vec(), view.dtype());
            Some(Given { shape, bytes: view.data(), dtype })
        });
    }
}

#[test]
fn dynamic_quantize_linear_is_onnx_runtimes() {
    each_case("dynamic", |case, of| {
        let of = |name| of(name).unwrap();
        let (y, scale, zero) = dynamic_quantize_linear(&of("x").floats()).unwrap();
        assert_eq!(y, of("y").bytes, "{case}");
        assert_eq!([scale].as_slice(), of("scale").floats(), "{case}");
        assert_eq!([zero].as_slice(), of("zero").bytes, "{case}");
    });
}

#[test]
fn quantize_and_dequantize_linear_are_onnx_runtimes() {
    each_case("quantize", |case, of| {
        let (x, scale, zero) = (of("x").unwrap(), of("scale").unwrap(), of("zero").unwrap());
        let signed = zero.dtype == Dtype::I8;
        let (places, zero) = ((&x.shape[..], 1), zero.integers());
        let y = quantize_linear(&x.floats(), places, &scale.floats(), &zero, signed).unwrap();
        assert_eq!(y, of("y").unwrap().bytes, "{case}");
        let error = quantize_linear(&x.floats(), places, &[1.0; 4], &[], signed).unwrap_err();
        assert!(matches!(error, crate::Error::Count { expected: 5, found: 4, .. }), "{error}");
    });
    each_case("dequantize", |case, of| {
        let (x, scale, zero) = (of("x").unwrap(), of("scale").unwrap(), of("zero").unwrap());
        let integers = x.integers();
        let places = (&x.shape[..], 1);
        let zero = zero.integers();
        let y = dequantize_linear(integers.into_iter(), places, &scale.floats(), &zero).unwrap();
        assert_eq!(y, of("y").unwrap().floats(), "{case}");
    });
}

#[test]
fn matmul_integer_is_onnx_runtimes() {
    each_case("matmul", |case, of| {
        let (a, b) = (of("a").unwrap(), of("b").unwrap());
        let zero = |name| of(name).map(|zero| zero.integers()).unwrap_or_default();
        let size = [b.shape[0], b.shape[1]];
        let matrix = IntegerMatrix::new(b.eights(), size, &zero("zb")).unwrap();
        let y = matrix.product(a.eights(), &zero("za")).unwrap();
        assert_eq!(y, of("y").unwrap().i32s(), "{case}");
    });
}

#[test]
fn qlinear_matmul_is_onnx_runtimes() {
    each_case("qlinear", |case, of| {
        let of = |name| of(name).unwrap();
        let (b, b_scale, y_zero) = (of("b"), of("b_scale").floats(), of("y_zero"));
        let matrix = IntegerMatrix::new(b.eights(), [31, 7], &of("b_zero").integers()).unwrap();
        let sums = matrix.product(of("a").eights(), &of("a_zero").integers()).unwrap();
        let (a_scale, y_scale) = (of("a_scale").floats()[0], of("y_scale").floats()[0]);
        let factor: Vec<_> = b_scale.iter().map(|b| a_scale * b / y_scale).collect();
        let (zero, signed) = (y_zero.integers()[0], y_zero.dtype == Dtype::I8);
        let y = requantize(&sums, 7, &factor, zero, signed).unwrap();
        assert_eq!(y, of("y").bytes, "{case}");
    });
}

/// The same on any number of threads.
#[test]
fn dynamic_quantize_lstm_is_onnx_runtimes() {
    each_case("lstm", |case, of| {
        let get = |name| of(name).unwrap();
        let (w, r) = (get("W"), get("R"));
        let [number, inputs, size] = [w.shape[0], w.shape[1], r.shape[1]];
        let floats = ["W_scale", "R_scale"].map(|name| get(name).floats());
        let zeros = ["W_zero", "R_zero"].map(get);
        let side = |values: &Given<'static>, n: usize| Side {
            values: Bytes { bytes: values.bytes, signed: values.dtype == Dtype::I8 },
            scale: &floats[n],
            zero: Some(Bytes { bytes: zeros[n].bytes, signed: values.dtype == Dtype::I8 }),
        };
        let reverse: &[bool] = match case.rsplit_once('_').unwrap().1 {
            "forward" => &[false],
            "reverse" => &[true],
            _ => &[false, true],
        };
        let bias = get("B").floats();
        let lstm = DynamicLstm::new([inputs, size], side(&w, 0), side(&r, 1), Some(&bias), reverse);
        let lstm = lstm.unwrap();
        let lengths = of("sequence_lens").map(|l| l.i32s());
        let lengths = lengths.map(|l| l.iter().map(|&l| l as usize).collect::<Vec<_>>());
        for threads in [1, 2, 3] {
            let device = Device::cpu_with_threads(threads).unwrap();
            let tensor = |g: Given<'_>| Tensor::from_slice(&g.floats(), g.shape, &device).unwrap();
            let states = ["initial_h", "initial_c"].map(|name| of(name).map(tensor));
            let states = states.each_ref().map(Option::as_ref);
            let (x, wants_y) = (tensor(get("X")), of("Y").is_some());
            let out = lstm.run(&x, lengths.as_deref(), states, wants_y).unwrap();
            for (name, found) in [("Y", out.y), ("Y_h", out.h), ("Y_c", out.c)] {
                let Some(expected) = of(name) else { continue };
                assert_eq!(found.shape(), expected.shape, "{case} {name}");
                let pairs = found.to_vec().unwrap();
                for (i, (found, expected)) in pairs.iter().zip(expected.floats()).enumerate() {
                    // A rounding to the next byte moves a sum by a scale; none does here.
                    let off = (found - expected).abs();
                    assert!(off < 2e-5, "{case} {name}[{i}]: {found}, not {expected}");
                }
            }
        }
        let wrong = DynamicLstm::new([inputs + 1, size], side(&w, 0), side(&r, 1), None, reverse);
        assert!(matches!(wrong, Err(crate::Error::Count { .. })), "{number}");
    });
}
