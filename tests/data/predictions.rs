//! Predictions read back, and models that learn from what shares a buffer.

use super::common::devices;
use wgpu_lstm::data::{Sequences, Standardizer, Windows};
use wgpu_lstm::nn::{Dense, Lstm};
use wgpu_lstm::train::{Adam, Fit, Loss};
use wgpu_lstm::{Device, Sequential};

fn model(device: &Device, lstm: Lstm) -> Sequential {
    let mut model = Sequential::new(device).seed(4).add(lstm).add(Dense::new(2));
    model.build(1).unwrap();
    model
}

#[test]
fn a_prediction_says_which_rows_are_whose() {
    let x = Sequences::new(1, [vec![0.1, 0.2, 0.3], vec![0.4], vec![0.5, 0.6]]).unwrap();
    for device in devices() {
        let frames = model(device, Lstm::new(3).return_sequences()).predict(&x).unwrap();
        assert_eq!((frames.rows(), frames.sequences(), frames.width()), (6, 3, 2));
        let rows = [0..3, 3..4, 4..6, 0..0];
        for (i, expected) in rows.into_iter().enumerate() {
            let values: Vec<f32> =
                expected.clone().flat_map(|row| frames.row(row).to_vec()).collect();
            assert_eq!((frames.rows_of(i), frames.sequence(i)), (expected, &values[..]));
        }
        assert_eq!(
            frames.iter().map(<[f32]>::to_vec).collect::<Vec<_>>().concat(),
            frames.values()
        );
        let one = model(device, Lstm::new(3)).predict(&x).unwrap();
        assert_eq!((one.rows(), one.sequences(), one.sequence(2)), (3, 3, one.row(2)));
        assert!(one.rows_of(usize::MAX).is_empty());
    }
    let none = model(&devices()[0], Lstm::new(3)).predict(&x.slice(3..).unwrap()).unwrap();
    assert_eq!((none.sequences(), none.rows()), (0, 0));
}

/// Overlapping windows, and the same values in a buffer of their own: the same bits.
#[test]
fn a_model_learns_the_same_from_windows_and_from_copies() {
    let values: Vec<f64> = (0..60).map(|t| 20.0 + 3.0 * (f64::from(t) * 0.4).sin()).collect();
    let series = Sequences::from_columns([values]).unwrap();
    let scaler = Standardizer::fit(&series.first_frames(40).unwrap()).unwrap();
    let windows = Windows::new(8, 2).of(&scaler.transform(&series).unwrap()).unwrap();
    let (train, test) = windows.split_at(40);
    let copies = Sequences::new(1, train.x.iter()).unwrap();
    // Of different lengths, too: packed, and padded.
    let cut = |x: &Sequences| {
        let (a, b) = (x.slice(..9).unwrap(), x.slice(9..).unwrap().last_frames(3).unwrap());
        Sequences::concat([&a, &b]).unwrap()
    };
    for device in devices() {
        let learn = |x: &Sequences| {
            let mut model = model(device, Lstm::new(4));
            model.compile(Adam::new(0.05), Loss::MeanSquaredError, &[]);
            model.fit(x, &train.y, Fit::new().epochs(3).batch_size(8).quiet()).unwrap();
            (model.evaluate(&test.x, &test.y).unwrap().loss.to_bits(), model)
        };
        let (bits, model) = learn(&train.x);
        assert_eq!(bits, learn(&copies).0, "{device}");
        assert_eq!(learn(&cut(&train.x)).0, learn(&cut(&copies)).0, "{device}");
        // Back in the unit of the series.
        let found = model.predict(&test.x).unwrap();
        let back = scaler.inverse(&found).unwrap();
        assert_eq!((back.rows(), back.width()), (test.len(), 2));
        for (scaled, value) in found.values().iter().zip(back.values()) {
            let expected = f64::from(*scaled) * scaler.scales()[0] + scaler.means()[0];
            assert_eq!(*value, expected as f32);
        }
        assert!(back.values().iter().all(|value| (10.0..30.0).contains(value)));
    }
}
