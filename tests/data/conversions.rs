//! Sequences and targets from what people have.

use std::borrow::Cow;
use std::sync::Arc;
use wgpu_lstm::data::{Integer, Number, Sequences, Targets};
use wgpu_lstm::nn::{Dense, Lstm};
use wgpu_lstm::train::{Fit, Loss, Sgd};
use wgpu_lstm::{Device, Error, Sequential};

fn of_numbers<T: Number>(values: &[T]) -> Sequences {
    let x = Sequences::new(2, [values]).unwrap();
    assert_eq!(Sequences::from_array(values, [1, values.len() / 2, 2]).unwrap(), x);
    assert_eq!(Targets::values(values, 1).as_values().unwrap(), x.get(0));
    assert_eq!(Targets::values(values.to_vec(), 1), Targets::values(values, 1));
    x
}

fn of_integers<T: Integer>(values: &[T]) -> Sequences {
    of_numbers(values);
    assert_eq!(Targets::classes(values), Targets::classes([1, 0, 3, 2]));
    Sequences::from_tokens([values]).unwrap()
}

#[test]
fn every_type_of_number_gives_the_same() {
    let x = Sequences::new(2, [[1_f32, 0.0, 3.0, 2.0]]).unwrap();
    assert_eq!(x.get(0), [1.0, 0.0, 3.0, 2.0]);
    assert_eq!(of_numbers(&[1.0_f64, 0.0, 3.0, 2.0]), x);
    macro_rules! of {
        ($($type:ty)*) => {$(
            let values: [$type; 4] = [1, 0, 3, 2];
            assert_eq!(of_numbers(&values), x);
            assert_eq!(of_integers(&values).get(0), x.get(0));
        )*};
    }
    of! { u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize }
    let bits = [true, false, true, true];
    assert_eq!(of_numbers(&bits).get(0), [1.0, 0.0, 1.0, 1.0]);
    assert_eq!(Targets::classes(bits), Targets::classes([1, 0, 1, 1]));
}

#[test]
fn every_form_of_a_sequence_gives_the_same() {
    let flat = vec![1.0, 2.0, 3.0, 4.0];
    let x = Sequences::new(2, [flat.as_slice(), &flat[..2]]).unwrap();
    let nested = vec![vec![vec![1.0, 2.0], vec![3.0, 4.0]], vec![vec![1.0, 2.0]]];
    let frames: Vec<Vec<[f64; 2]>> = vec![vec![[1.0, 2.0], [3.0, 4.0]], vec![[1.0, 2.0]]];
    let slices: Vec<Vec<&[f64]>> = vec![vec![&flat[..2], &flat[2..]], vec![&flat[..2]]];
    let boxed: [Box<[f64]>; 2] = [flat.clone().into(), flat[..2].into()];
    let shared: [Arc<[f64]>; 2] = [flat.clone().into(), flat[..2].into()];
    let cows = [Cow::from(flat.clone()), Cow::from(&flat[..2])];
    for other in [
        Sequences::new(2, &nested),
        Sequences::new(2, nested),
        Sequences::new(2, &frames),
        Sequences::new(2, frames.iter().map(Vec::as_slice)),
        Sequences::new(2, slices),
        Sequences::new(2, boxed),
        Sequences::new(2, shared),
        Sequences::new(2, cows),
    ] {
        assert_eq!(other.unwrap(), x);
    }
    // Literals alone say the type.
    assert_eq!(Sequences::new(2, [vec![1.0, 2.0, 3.0, 4.0], vec![1.0, 2.0]]).unwrap(), x);
    assert_eq!(Sequences::new(2, [vec![[1, 2], [3, 4]], vec![[1, 2]]]).unwrap(), x);
    let empty = Sequences::new::<Vec<f32>>(2, []).unwrap();
    assert_eq!((empty.len(), empty.total_frames(), empty.get(0).len()), (0, 0, 0));
}

#[test]
fn one_array_and_lengths_are_sequences() {
    let rows = [vec![1.0, 2.0], vec![3.0, 4.0, 5.0, 6.0], vec![7.0, 8.0]];
    let x = Sequences::new(2, &rows).unwrap();
    assert_eq!(Sequences::from_lengths(&rows.concat(), 2, &[1, 2, 1]).unwrap(), x);
    let whole: Vec<i64> = (1..=8).collect();
    assert_eq!(Sequences::from_lengths(&whole, 2, &[1, 2, 1]).unwrap(), x);
    assert!(Sequences::from_lengths::<f32>(&[], 2, &[]).unwrap().is_empty());
    let of = |values: &[f64], features, lengths: &[usize]| {
        Sequences::from_lengths(values, features, lengths).unwrap_err()
    };
    assert!(matches!(of(&[1.0], 0, &[1]), Error::Option { .. }));
    for (values, lengths) in [(5, vec![2]), (4, vec![1]), (2, vec![usize::MAX, usize::MAX])] {
        assert!(matches!(of(&vec![0.0; values], 2, &lengths), Error::Count { .. }));
    }
    assert_eq!(
        of(&[1.0, 2.0], 1, &[2, 0]),
        Error::Length { row: 1, found: 0, max: u32::MAX as usize }
    );
    let text = of(&[1.0, 2.0, 3.0, 1e300], 2, &[1, 1]).to_string();
    assert!(text.contains("value 1 of sequence 1 (frame 0, column 1), 1e300"), "{text}");
}

#[test]
fn what_a_float_does_not_hold_is_said() {
    let place = |error| match error {
        Error::NotFinite { place, help, .. } => (place, help.contains("3.4e38")),
        other => panic!("{other}"),
    };
    let far = Sequences::new(2, [[1.0, 2.0, 3.0, -1e300]]).unwrap_err();
    assert_eq!(place(far), ("value 3 of sequence 0 (frame 1, column 1), -1e300".into(), true));
    let far = Sequences::new(2, [vec![[1.0, 2.0]], vec![[3.0, 4.0], [1e39, 5.0]]]).unwrap_err();
    assert_eq!(place(far), ("value 2 of sequence 1 (frame 1, column 0), 1e39".into(), true));
    let far = Sequences::from_array(&[0.0, 0.0, 0.0, 1e200], [4, 1, 1]).unwrap_err();
    assert_eq!(place(far), ("value 0 of sequence 3, 1e200".into(), true));
    let far = Sequences::from_columns([vec![0.0, 1.0], vec![0.0, 1e200]]).unwrap_err();
    assert_eq!(place(far), ("value 3 of sequence 0 (frame 1, column 1), 1e200".into(), true));
    let nan = Sequences::from_columns([[0.0, f64::NAN], [0.0, 1.0]]).unwrap_err();
    assert_eq!(place(nan), ("value 2 of sequence 0 (frame 1, column 0)".into(), false));
    // A frame of another width, though all numbers together are whole frames.
    let error = Sequences::new(2, [vec![vec![1.0], vec![2.0, 3.0, 4.0]]]).unwrap_err();
    let text = "Sequences::features is 2, expected 1, the values of frame 0 of sequence 0";
    assert_eq!(error.to_string(), text);
    for token in [-1_i64, 1 << 24, 1 << 40] {
        let error = Sequences::from_tokens([vec![1, 2], vec![3, token]]).unwrap_err();
        let found = token as f32;
        assert_eq!(error, Error::Token { sequence: 1, place: 1, found, tokens: 1 << 24 });
    }
    let rows = Targets::from_rows([vec![1.0, 2.0], vec![3.0]]).unwrap_err();
    assert!(matches!(rows, Error::Count { expected: 2, found: 1, .. }), "{rows}");
    let columns = Sequences::from_columns([vec![1.0, 2.0], vec![3.0]]).unwrap_err();
    assert!(matches!(columns, Error::Count { expected: 2, found: 1, .. }), "{columns}");
    let none = Sequences::from_columns(Vec::<Vec<f32>>::new()).unwrap_err();
    assert!(matches!(none, Error::Empty { .. }), "{none}");
}

/// Labels and numbers that fit nothing are found before a step is made.
#[test]
fn fit_refuses_what_targets_could_not_hold() {
    let x = Sequences::from_array(&[0.5; 4], [4, 1, 1]).unwrap();
    let fit = |loss, y: &Targets| {
        let width = if y.as_classes().is_some() { 3 } else { 1 };
        let device = Device::cpu().unwrap();
        let mut model = Sequential::new(&device).add(Lstm::new(2)).add(Dense::new(width));
        model.compile(Sgd::new(0.1), loss, &[]);
        model.fit(&x, y, Fit::new().quiet()).map(|history| history.epochs.len())
    };
    for bad in [-1_i64, -100, 1 << 40] {
        let error = fit(Loss::CrossEntropy, &Targets::classes([0, 1, bad, 2])).unwrap_err();
        assert_eq!(error, Error::Label { row: 2, found: u32::MAX, classes: 3 });
        assert!(error.to_string().ends_with("one that was negative, or beyond a u32"), "{error}");
        let ignoring = wgpu_lstm::loss::CrossEntropy::new().ignore_index(u32::MAX);
        let y = Targets::classes([0, 1, bad, 2]);
        assert_eq!(fit(Loss::CrossEntropyWith(ignoring), &y).unwrap(), 1);
    }
    let error = fit(Loss::MeanSquaredError, &Targets::values([0.0, 1e300, 1.0, 2.0], 1));
    assert!(matches!(error, Err(Error::NotFinite { .. })), "{error:?}");
}

#[cfg(feature = "ndarray")]
#[test]
fn arrays_come_and_go_in_any_order_of_memory() {
    use ndarray::{Array2, Array3, ShapeBuilder, s};
    let of = |(i, j, k): (usize, usize, usize)| (100 * i + 10 * j + k) as f64;
    let rows = Array3::from_shape_fn((4, 3, 2), of);
    let columns = Array3::from_shape_fn((4, 3, 2).f(), of);
    let x = Sequences::try_from(&rows).unwrap();
    assert_eq!(x.frame(3, 1), [310.0, 311.0]);
    assert_eq!(Sequences::try_from(&columns).unwrap(), x);
    let some = Sequences::try_from(&columns.slice(s![1..3, .., ..])).unwrap();
    assert_eq!(some, x.slice(1..3).unwrap());
    let nothing = Sequences::try_from(&Array3::<f32>::zeros((0, 3, 2)));
    assert!(matches!(nothing, Err(Error::Empty { .. })));
    let y = Array2::from_shape_fn((3, 2).f(), |(i, j)| 10 * i + j);
    assert_eq!(Targets::from(&y), Targets::values([0, 1, 10, 11, 20, 21], 2));
    assert_eq!(Targets::classes(&y.column(1)), Targets::classes([1, 11, 21]));
    let mut model = Sequential::new(&Device::cpu().unwrap()).add(Lstm::new(2)).add(Dense::new(3));
    model.build(2).unwrap();
    let found = model.predict(&x).unwrap();
    let array = Array2::from(&found);
    assert_eq!((array.dim(), array.row(2).to_vec()), ((4, 3), found.row(2).to_vec()));
}
