//! Labels without a place in time.

use super::gradient;
use crate::common::{Vectors, assert_close, close, devices, tensor, value};
use wgpu_lstm::loss::{self, Ctc, Reduction};
use wgpu_lstm::nn::Params;
use wgpu_lstm::{Error, Lengths, Mask, Tape, Tensor};

#[test]
fn labels_without_a_place_in_time() {
    let v = Vectors::load("layer_ctc");
    let labels: [&[u32]; 4] = [&[1, 2, 2], &[3], &[], &[4, 1, 3, 4]];
    let lengths = [9, 7, 4, 9];
    for device in devices() {
        let tape = Tape::new(&Params::new(device));
        let mut x = v.get("x");
        // Padding may be anything.
        x[(9 + 7) * 5..(9 + 9) * 5].fill(f32::NAN);
        let x = tape.input(tensor(&x, [4, 9, 5], device));
        let logits = x.clone().with_lengths(Some(Lengths::new(&lengths, device).unwrap()));
        let loss = loss::ctc(&tape, &logits, &labels).unwrap();
        close(&format!("ctc on {device}"), &value(&loss), &v.get("loss"), 1e-5);
        let found = gradient(&tape.backward(&loss).unwrap(), &x);
        close(&format!("ctc on {device}"), &found, &v.get("d_x"), 1e-4);
    }
}

/// With rows that no path fits, whose loss PyTorch makes infinite and whose gradient NaN.
#[test]
fn every_reduction() {
    let v = Vectors::load("ctc_losses");
    let lengths = v.usizes("lengths");
    let labels: [&[u32]; 6] = [&[1, 1, 0, 4], &[0, 0, 1], &[], &[3, 0, 3], &[4, 0, 0], &[4, 4]];
    let each: Vec<f32> = (1..7).map(|i| i as f32 / 4.0).collect();
    for device in devices() {
        let lengths = Lengths::new(&lengths, device).unwrap();
        for (name, reduction, d) in [
            ("none", Reduction::None, &each[..]),
            ("sum", Reduction::Sum, &[1.5]),
            ("mean", Reduction::Mean, &[1.5]),
        ] {
            let ctc = Ctc::new().blank(2).reduction(reduction);
            for (suffix, ctc) in [("inf", ctc), ("zero", ctc.zero_infinity())] {
                let tape = Tape::new(&Params::new(device));
                let x = tape.input(v.tensor("x", [6, 9, 5], device));
                let logits = x.clone().with_lengths(Some(lengths.clone()));
                let loss = ctc.loss(&tape, &logits, &labels).unwrap();
                let what = format!("{name}_{suffix} on {device}");
                let expected = v.get(&format!("{name}_{suffix}"));
                assert_close(&what, &value(&loss), &expected, 1e-6, 1e-5);
                let d_loss = tensor(d, [d.len()], device);
                let found = gradient(&tape.backward_from(&[(&loss, d_loss)]).unwrap(), &x);
                let expected = v.get(&format!("d_{name}_{suffix}"));
                assert_close(&what, &found, &expected, 1e-6, 1e-4);
            }
        }
    }
}

#[test]
fn ctc_checks_its_labels_and_skips_what_cannot_be() {
    for device in devices() {
        let tape = Tape::new(&Params::new(device));
        let x = tape.input(Tensor::zeros([2, 3, 3], device).unwrap());
        let of = |ctc: Ctc, labels: [&[u32]; 2]| ctc.loss(&tape, &x, &labels);
        assert!(matches!(of(Ctc::new(), [&[3], &[1]]), Err(Error::Label { row: 0, .. })));
        for ctc in [Ctc::new(), Ctc::new().blank(3)] {
            let error = of(ctc, [&[0], &[1]]);
            assert!(matches!(error, Err(Error::Option { option: "Ctc::blank", .. })), "{error:?}");
        }
        // Two equal labels need a blank between them: 4 frames for these three.
        let loss = of(Ctc::new(), [&[1], &[1, 1, 2]]).unwrap();
        assert_eq!(value(&loss), [f32::INFINITY]);
        let mask = Mask::new(&[true; 6], [2, 3], device).unwrap();
        let masked = x.clone().with_mask(Some(mask));
        let error = Ctc::new().loss(&tape, &masked, &[[1u32], [1]]);
        assert!(matches!(error, Err(Error::Unsupported { what: "Ctc", .. })), "{error:?}");
        let error = Ctc::new().loss(&tape, &x, &[[1u32]]);
        assert!(matches!(error, Err(Error::Count { expected: 2, found: 1, .. })));
        let both = value(&of(Ctc::new().zero_infinity(), [&[1], &[1, 1, 2]]).unwrap())[0];
        let one = value(&of(Ctc::new(), [&[1], &[]]).unwrap())[0];
        let nothing = value(&of(Ctc::new(), [&[], &[]]).unwrap())[0];
        assert!((both - (one - 0.5 * nothing)).abs() < 1e-5, "{both} {one} {nothing}");
        // The last class as the blank, and far more frames than one label wants.
        let x = tape.input(Tensor::zeros([1, 200, 3], device).unwrap());
        let loss = Ctc::new().blank(2).loss(&tape, &x, &[[0u32]]).unwrap();
        // Of 3^200 paths 200 * 201 / 2 say the label.
        let expected = 200.0 * 3f32.ln() - (200.0 * 201.0 / 2.0f32).ln();
        assert!((value(&loss)[0] / expected - 1.0).abs() < 1e-5, "{:?}", value(&loss));
    }
}

/// All logarithms of sums over paths, by trying every path.
fn paths(x: &[f64], c: usize, labels: &[u32], blank: u32) -> f64 {
    let t = x.len() / c;
    let mut sum = 0.0;
    for path in 0..c.pow(t as u32) {
        let classes: Vec<usize> = (0..t).map(|i| path / c.pow(i as u32) % c).collect();
        let mut said = classes.clone();
        said.dedup();
        said.retain(|&k| k as u32 != blank);
        if said.iter().map(|&k| k as u32).eq(labels.iter().copied()) {
            let frames = x.chunks(c).zip(&classes);
            sum += frames
                .map(|(x, &k)| x[k].exp() / x.iter().map(|x| x.exp()).sum::<f64>())
                .product::<f64>();
        }
    }
    -sum.ln() / labels.len().max(1) as f64
}

#[test]
fn ctc_with_classes_that_are_ruled_out() {
    let never = f32::NEG_INFINITY;
    for device in devices() {
        let run = |ctc: Ctc, x: &[f32], labels: &[u32]| {
            let tape = Tape::new(&Params::new(device));
            let x = tape.input(tensor(x, [1, x.len() / 4, 4], device));
            let loss = ctc.loss(&tape, &x, &[labels]).unwrap();
            let found = value(&loss)[0];
            (found, gradient(&tape.backward(&loss).unwrap(), &x))
        };
        for low in [never, f32::MIN, -1e30] {
            let mut x = vec![low; 12];
            (x[1], x[4 + 2], x[8 + 3]) = (0.0, 0.0, 0.0);
            let (loss, d) = run(Ctc::new(), &x, &[1, 2, 3]);
            assert!(loss.abs() < 1e-6 && d.iter().all(|d| d.abs() < 1e-6), "{low}: {loss} {d:?}");
            let (loss, d) = run(Ctc::new().zero_infinity(), &x, &[3, 2, 1]);
            assert_eq!((loss, d), (0.0, vec![0.0; 12]), "{low} on {device}");
            let (loss, d) = run(Ctc::new(), &x, &[3, 2, 1]);
            assert!(loss == f32::INFINITY && d.iter().all(|d| d.is_nan()), "{low}: {loss} {d:?}");
        }
        let mut x: Vec<f32> = (0..24).map(|i| (0.7 * i as f32 + 0.3).sin()).collect();
        (x[0], x[2], x[3], x[4], x[6]) = (never, never, never, never, never);
        let wide: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
        let (loss, d) = run(Ctc::new(), &x, &[1, 2, 3]);
        let expected = paths(&wide, 4, &[1, 2, 3], 0) as f32;
        assert!((loss - expected).abs() < 1e-4, "{loss}, not {expected}, on {device}");
        assert!(d.iter().all(|d| d.is_finite()));
        // Of a row that is skipped there is no gradient, of the others there is.
        let tape = Tape::new(&Params::new(device));
        let x = tape.input(tensor(&[0.5; 24], [2, 4, 3], device));
        let ctc = Ctc::new().zero_infinity();
        let loss = ctc.loss(&tape, &x, &[vec![1, 1, 1, 2], vec![1, 2]]).unwrap();
        let d = gradient(&tape.backward(&loss).unwrap(), &x);
        assert_eq!(d[..12], [0.0; 12], "{device}");
        assert!(d[12..].iter().any(|d| d.abs() > 1e-3), "{device}");
    }
}
