//! What AWD-LSTM has besides tied weights: dropout of whole words, and penalties on outputs and their change.

use super::gradient;
use crate::common::{close, devices, value};
use wgpu_lstm::loss::mean_squared_error;
use wgpu_lstm::nn::{ActivityPenalty, Dense, Embedding, Lstm, Params};
use wgpu_lstm::{Device, Error, Lengths, Mask, Sequential, Tape, Tensor, Var};

#[test]
fn words_are_dropped_wherever_they_stand() {
    for device in devices() {
        let params = Params::seeded(device, 3);
        let words = Embedding::new(40, 3).vectors([1.0; 120]).dropout(0.25).build(&params).unwrap();
        let ids: Vec<u32> = (0..80).map(|i| i % 40).collect();
        let tape = Tape::new(&params);
        let y = words.lookup(&tape, &ids, [2, 40]).unwrap();
        let found = value(&y);
        let (first, second) = found.split_at(120);
        assert_eq!(first, second, "{device}");
        let kept = first.chunks(3).filter(|v| **v == [1.0 / 0.75; 3]).count();
        let dropped = first.chunks(3).filter(|v| **v == [0.0; 3]).count();
        assert!(
            kept + dropped == 40 && (3..20).contains(&dropped),
            "{kept}, {dropped} on {device}"
        );
        // The gradient goes where the word was kept, as often as it stands there.
        let ones = Tensor::from_slice(&[1.0; 240], [2, 40, 3], device).unwrap();
        tape.backward_from(&[(&y, ones)]).unwrap();
        let twice: Vec<_> = first.iter().map(|v| 2.0 * v).collect();
        close(&format!("{device}"), &params.gradient("embedding.weight").unwrap(), &twice, 1e-6);
        let y = words.lookup(&Tape::inference(&params), &ids, [2, 40]).unwrap();
        assert_eq!(value(&y), [1.0; 240]);
        let again = value(&words.lookup(&Tape::new(&params), &ids, [2, 40]).unwrap());
        assert_ne!(again, found);
    }
    let params = Params::new(&Device::cpu().unwrap());
    let error = Embedding::new(4, 2).dropout(1.0).build(&params).unwrap_err();
    assert!(matches!(error, Error::Option { option: "Embedding::dropout", .. }), "{error}");
}

/// The penalties of the values `[B,T,F]` that `on` lets count, and their gradient, by their definitions.
fn formula(
    x: &[f32],
    [rows, steps, features]: [usize; 3],
    on: &[bool],
    factors: [f64; 2],
) -> (f64, Vec<f32>) {
    let at = |b: usize, t: usize, j: usize| (b * steps + t) * features + j;
    let all = |from: usize| {
        (0..rows).flat_map(move |b| {
            (from..steps).flat_map(move |t| (0..features).map(move |j| (b, t, j)))
        })
    };
    let counts = |b: usize, t: usize| on[b * steps + t];
    let sizes: Vec<_> = all(0).filter(|&(b, t, _)| counts(b, t)).collect();
    let changes: Vec<_> = all(1).filter(|&(b, t, _)| counts(b, t) && counts(b, t - 1)).collect();
    let (mut loss, mut d_x) = (0.0, vec![0.0; x.len()]);
    for &(b, t, j) in &sizes {
        let (v, factor) = (f64::from(x[at(b, t, j)]), factors[0] / sizes.len() as f64);
        loss += factor * v * v;
        d_x[at(b, t, j)] += 2.0 * factor * v;
    }
    for &(b, t, j) in &changes {
        let (to, from) = (at(b, t, j), at(b, t - 1, j));
        let (v, factor) = (f64::from(x[to] - x[from]), factors[1] / changes.len() as f64);
        loss += factor * v * v;
        d_x[to] += 2.0 * factor * v;
        d_x[from] -= 2.0 * factor * v;
    }
    (loss, d_x.into_iter().map(|d| d as f32).collect())
}

#[test]
fn penalties_and_their_gradients() {
    let shape = [3, 5, 4];
    let x: Vec<f32> = (0..60).map(|i| (i as f32 * 0.9).cos() * 2.0).collect();
    let ends = [5, 2, 1];
    let by_length: Vec<_> = (0..15).map(|i| i % 5 < ends[i / 5]).collect();
    let by_mask: Vec<_> = (0..15).map(|i| i % 4 != 1).collect();
    for device in devices() {
        let params = Params::new(device);
        for (case, on) in [vec![true; 15], by_length.clone(), by_mask.clone()].iter().enumerate() {
            for factors in [[2.0, 0.0], [0.0, 1.5], [0.7, 0.3]] {
                let mut given = x.clone();
                if case > 0 {
                    let missing = (0..60).filter(|at| !on[at / 4]);
                    missing.for_each(|at| given[at] = f32::NAN);
                }
                let tape = Tape::new(&params);
                let input = tape.input(Tensor::from_slice(&given, shape, device).unwrap());
                let counted = match case {
                    0 => input.clone(),
                    1 => input.clone().with_lengths(Some(Lengths::new(&ends, device).unwrap())),
                    _ => input.clone().with_mask(Some(Mask::new(on, [3, 5], device).unwrap())),
                };
                let layer = ActivityPenalty::new().size(factors[0]).change(factors[1]);
                layer.forward(&tape, &counted).unwrap();
                let zero = Var::from(Tensor::zeros([1], device).unwrap());
                let loss = tape.regularized(&zero).unwrap();
                let (expected, d_x) = formula(&x, shape, on, factors.map(f64::from));
                let what = format!("{case}, {factors:?} on {device}");
                close(&what, &value(&loss), &[expected as f32], 1e-5);
                close(&what, &gradient(&tape.backward(&loss).unwrap(), &input), &d_x, 1e-5);
            }
        }
        // Where nothing is trained there is no penalty, and of one step no change.
        for (tape, steps) in [(Tape::inference(&params), 5), (Tape::new(&params), 1)] {
            let x = Var::from(Tensor::from_slice(&x[..steps], [1, steps, 1], device).unwrap());
            ActivityPenalty::new().change(1.0).forward(&tape, &x).unwrap();
            let zero = Var::from(Tensor::zeros([1], device).unwrap());
            assert_eq!(value(&tape.regularized(&zero).unwrap()), [0.0]);
        }
        let x = Var::from(Tensor::zeros([2, 3], device).unwrap());
        let error = ActivityPenalty::new().change(1.0).forward(&Tape::new(&params), &x);
        assert!(matches!(error, Err(Error::Rank { .. })));
        assert!(ActivityPenalty::new().size(1.0).forward(&Tape::new(&params), &x).is_ok());
        let error = ActivityPenalty::new().size(-1.0).forward(&Tape::new(&params), &x);
        assert!(matches!(error, Err(Error::Option { option: "ActivityPenalty::size", .. })));
    }
}

/// The gradient of a penalty reaches the layers below.
#[test]
fn a_model_with_penalties_is_kept_smooth() {
    let device = Device::cpu().unwrap();
    let path = std::env::temp_dir().join(format!("awd-{}.safetensors", std::process::id()));
    let mut model = Sequential::new(&device)
        .seed(1)
        .add(Embedding::new(6, 4).dropout(0.1))
        .add(Lstm::new(4).return_sequences())
        .add(ActivityPenalty::new().size(2.0).change(1.0))
        .add(Dense::new(6).tied());
    model.build(1).unwrap();
    let tape = Tape::new(model.params());
    let ids = Tensor::from_u32(&[1, 2, 3, 4, 5, 0], [2, 3], &device).unwrap();
    let y = model.forward(&tape, &ids.into()).unwrap();
    let targets = Tensor::zeros([2, 3, 6], &device).unwrap();
    let loss = mean_squared_error(&tape, &y, &targets, None).unwrap();
    let all = tape.regularized(&loss).unwrap();
    assert!(value(&all)[0] > value(&loss)[0]);
    tape.backward(&all).unwrap();
    assert!(model.params().gradient("lstm.weight_hh_l0").unwrap().iter().any(|&d| d != 0.0));
    model.save(&path).unwrap();
    let loaded = Sequential::load(&path, &device).unwrap();
    assert_eq!(loaded.summary(), model.summary());
    std::fs::remove_file(path).unwrap();
}
