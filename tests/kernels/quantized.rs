//! Products of 8-bit integers over odd sizes, on every device, against sums of the same bytes in double precision;
//! and by every instruction set the same integers.

use super::oracle::Random;
use super::{close_values, devices, tensor};
use crate::Device;
use crate::ops::quantized::dense::dense;
use crate::ops::quantized::dot::{Isa, LANES};
use crate::ops::quantized::lines::{Lines, Places};
use crate::ops::quantized::matrix::{Order, QuantizedMatrix};
use crate::ops::quantized::product::each_sum;
use crate::ops::quantized::rows::Rows;

const SIZES: [usize; 8] = [1, 3, 4, 16, 31, 64, 65, 127];

#[test]
fn products_are_those_of_the_quantised_numbers() {
    let mut r = Random::new(907);
    for terms in SIZES {
        for outputs in SIZES {
            for rows in [1, 2, 5, 33] {
                let weights = r.uniform(outputs * terms, -1.5, 1.5);
                let x = r.uniform(rows * terms, -2.0, 3.0);
                let bias = r.uniform(outputs, -1.0, 1.0);
                let matrix = QuantizedMatrix::of_floats(&weights, terms, Order::Plain).unwrap();
                let (w, quantised) = (matrix.floats(), Rows::of_floats(&x, terms).unwrap());
                for (weights, (w, scale)) in
                    weights.chunks(terms).zip(w.chunks(terms).zip(matrix.scale()))
                {
                    let off = weights.iter().zip(w).map(|(a, b)| (a - b).abs());
                    assert!(off.fold(0.0, f32::max) <= 0.5001 * scale, "weights of {terms}");
                }
                let back: Vec<f64> = (0..rows)
                    .flat_map(|row| {
                        let bytes = bytemuck::cast_slice::<u32, u8>(quantised.row(row)).to_vec();
                        let (scale, zero) = (quantised.scale[row], quantised.zero[row]);
                        let of = move |b: u8| f64::from(i32::from(b) - zero) * f64::from(scale);
                        bytes.into_iter().take(terms).map(of)
                    })
                    .collect();
                let mut expected = Vec::new();
                for x in back.chunks(terms) {
                    for (w, bias) in w.chunks(terms).zip(&bias) {
                        let sum: f64 = x.iter().zip(w).map(|(x, w)| x * f64::from(*w)).sum();
                        expected.push(sum + f64::from(*bias));
                    }
                }
                for (name, device) in devices() {
                    let what = format!("{rows} x {terms} x {outputs}, {name}");
                    // A quotient may be rounded to the next byte on a GPU, whose division is not exact.
                    let step = 3.1 * 5.0 / 255.0 / 127.0;
                    let bound = if device.is_gpu() { step } else { 1e-5 };
                    let matrix = QuantizedMatrix::of_floats(&weights, terms, Order::Plain).unwrap();
                    let (x, bias) =
                        (tensor(&x, [rows, terms], device), tensor(&bias, [outputs], device));
                    let y = dense(&x, &matrix, Some(&bias)).unwrap().to_vec().unwrap();
                    close_values(&what, &y, &expected, bound);
                }
            }
        }
    }
}

/// Threads split rows, or outputs of few rows.
#[test]
fn threads_change_no_bit() {
    let mut r = Random::new(908);
    for (rows, terms, outputs) in [(1, 1030, 1100), (3, 700, 900), (50, 333, 170), (200, 64, 90)] {
        let (weights, x) =
            (r.uniform(outputs * terms, -1.0, 1.0), r.uniform(rows * terms, -1.0, 1.0));
        let matrix = QuantizedMatrix::of_floats(&weights, terms, Order::Plain).unwrap();
        let found = [1, 2, 5].map(|threads| {
            let device = Device::cpu_with_threads(threads).unwrap();
            dense(&tensor(&x, [rows, terms], &device), &matrix, None).unwrap().to_vec().unwrap()
        });
        assert!(found.iter().all(|values| *values == found[0]), "{rows} x {terms} x {outputs}");
    }
}

#[test]
fn every_instruction_set_gives_the_same_sums() {
    let mut r = Random::new(909);
    let mut bytes = |n: usize| -> Vec<u8> {
        let mut all: Vec<u8> = r.uniform(n, 0.0, 256.0).iter().map(|&v| v as u8).collect();
        for (byte, extreme) in all.iter_mut().step_by(3).zip([0, 255, 128, 127].iter().cycle()) {
            *byte = *extreme;
        }
        all
    };
    for terms in SIZES {
        for outputs in SIZES {
            let (a, b) = (bytes(5 * terms), bytes(outputs * terms));
            let rows = Rows::of_bytes(&a, terms, false).unwrap();
            let firsts: Vec<_> = (0..outputs).map(|n| Some(n * terms)).collect();
            let places = Places { outputs: &firsts, terms, stride: 1 };
            let lines = Lines::pack(&b, places, false).unwrap();
            // Tiles of one to five rows, and of four before others.
            let which = &[4, 0, 1, 3, 2, 1, 0];
            for (isa, which) in
                Isa::all().into_iter().flat_map(|isa| (1..=7).map(move |n| (isa, &which[..n])))
            {
                let mut seen = 0;
                each_sum(isa, (&rows, which), &lines, 0..lines.blocks(), |number, block, sums| {
                    for (lane, sum) in sums.as_flattened().iter().enumerate() {
                        let (row, output) = (which[number], block * LANES + lane);
                        let exact: i32 = match output < outputs {
                            true => (0..terms)
                                .map(|k| {
                                    let b = b[output * terms + k] as i8;
                                    i32::from(a[row * terms + k]) * i32::from(b)
                                })
                                .sum(),
                            false => 0,
                        };
                        assert_eq!(*sum, exact, "{}: {row}, {output} of {terms}", isa.name());
                        seen += 1;
                    }
                });
                assert_eq!(seen, which.len() * lines.outputs());
            }
        }
    }
}
