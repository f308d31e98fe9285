//! Scalers against scikit-learn's.

use super::common::Vectors;
use wgpu_lstm::Error;
use wgpu_lstm::data::{Columns, MinMax, Sequences, Standardizer, Targets, Windows};

const ROWS: usize = 37;
const COLUMNS: usize = 6;
/// The rows that the scalers were fitted on.
const SEEN: usize = 30;

/// Column by column: each has a size of its own.
#[track_caller]
fn close(what: &str, found: &[f32], expected: &[f32], bound: f32, near_0: f32) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        let fits = (found - expected).abs() <= bound * expected.abs() + near_0;
        assert!(fits, "{what}[{at}]: {found} is not {expected}");
    }
}

fn floats(numbers: Vec<f64>) -> Vec<f32> {
    numbers.into_iter().map(|number| number as f32).collect()
}

/// The same by any grouping of the rows, as sequences and as targets.
fn check<S>(
    v: &Vectors,
    name: &str,
    fit: [S; 2],
    transform: impl Fn(&S, &Sequences) -> Sequences,
    inverse: impl Fn(&S, &Sequences) -> Sequences,
) {
    let x = Sequences::from_array(&v.get("x"), [1, ROWS, COLUMNS]).unwrap();
    for scaler in &fit {
        let scaled = transform(scaler, &x);
        close(name, scaled.get(0), &v.get(name), 1e-6, f32::MIN_POSITIVE);
        let scaled = Sequences::from_array(&v.get(name), [1, ROWS, COLUMNS]).unwrap();
        // Theirs turns back by way of numbers of the range's size, in double precision.
        let (back, near_0) = (inverse(scaler, &scaled), 1e-15);
        close(&format!("{name} back"), back.get(0), &v.get(&format!("{name}_back")), 2e-7, near_0);
    }
}

#[test]
fn scalers_have_scikit_learns_numbers() {
    let v = Vectors::load("data");
    let values = v.get("x");
    let seen = &values[..SEEN * COLUMNS];
    let x = Sequences::from_array(seen, [5, SEEN / 5, COLUMNS]).unwrap();
    let y = Targets::values(seen, COLUMNS);
    let fitted = [Standardizer::fit(&x).unwrap(), Standardizer::fit(&y).unwrap()];
    for scaler in &fitted {
        close("mean", &floats(scaler.means()), &v.get("mean"), 1e-7, f32::MIN_POSITIVE);
        close("scale", &floats(scaler.scales()), &v.get("scale"), 1e-7, f32::MIN_POSITIVE);
    }
    let [to, back] = [Standardizer::transform, Standardizer::inverse];
    check(&v, "standard", fitted, |s, x| to(s, x).unwrap(), |s, x| back(s, x).unwrap());
    for (name, low, high) in [("min_max", 0.0, 1.0), ("range", -1.0, 2.0)] {
        let fitted =
            [MinMax::fit_range(&x, low, high).unwrap(), MinMax::fit_range(&y, low, high).unwrap()];
        for scaler in &fitted {
            assert_eq!(floats(scaler.lows()), v.get(&format!("{name}_low")));
            assert_eq!(floats(scaler.highs()), v.get(&format!("{name}_high")));
        }
        let [to, back] = [MinMax::transform, MinMax::inverse];
        check(&v, name, fitted, |s, x| to(s, x).unwrap(), |s, x| back(s, x).unwrap());
    }
}

/// Whatever shares a buffer: cuts, overlapping windows, a few of many.
#[test]
fn a_cut_is_scaled_as_its_values_are() {
    let series = Sequences::from_columns([
        (0..40).map(|t| f64::from(t).sin()).collect::<Vec<_>>(),
        (0..40).map(|t| 5.0 + f64::from(t * t % 17)).collect(),
    ])
    .unwrap();
    let windows = Windows::new(7, 1).of(&series).unwrap().x;
    for cut in [
        series.clone(),
        series.first_frames(3).unwrap(),
        windows.clone(),
        windows.select(&[31, 2]).unwrap(),
        windows.last_frames(2).unwrap().slice(4..9).unwrap(),
    ] {
        let fresh = Sequences::new(2, cut.iter()).unwrap();
        let scaler = Standardizer::fit(&cut).unwrap();
        assert_eq!(scaler, Standardizer::fit(&fresh).unwrap());
        assert_eq!(scaler, Standardizer::fit(&Targets::values(rows(&cut), 2)).unwrap());
        assert_eq!(scaler.transform(&cut).unwrap(), scaler.transform(&fresh).unwrap());
        let scaler = MinMax::fit(&cut).unwrap();
        assert_eq!(scaler.transform(&cut).unwrap(), scaler.transform(&fresh).unwrap());
    }
}

fn rows(x: &Sequences) -> Vec<f32> {
    x.iter().flatten().copied().collect()
}

#[test]
fn what_lies_side_by_side_is_scaled_alike() {
    let scaler = Standardizer::fit(&Targets::from_rows([[0.0, 10.0], [4.0, 30.0]]).unwrap());
    let scaler = scaler.unwrap();
    assert_eq!((scaler.means(), scaler.scales()), (vec![2.0, 20.0], vec![2.0, 10.0]));
    // Two steps of two columns; one frame of a stream; one column alone.
    let y = Targets::from_rows([[4.0, 40.0, 0.0, 0.0]]).unwrap();
    let twice = scaler.columns(&[0, 1, 0, 1]).unwrap();
    let scaled = twice.transform(&y).unwrap();
    assert_eq!(scaled.as_values().unwrap(), [1.0, 2.0, -1.0, -2.0]);
    assert_eq!(twice.inverse(&scaled).unwrap(), y);
    assert_eq!(scaler.transform(&vec![4.0, 40.0]).unwrap(), [1.0, 2.0]);
    let second = scaler.columns(&[1]).unwrap();
    assert_eq!(second.inverse(&vec![0.0, 1.0, 2.0]).unwrap(), [20.0, 30.0, 40.0]);
    // A vector to fit on is one column.
    assert_eq!(MinMax::fit(&vec![3.0, 1.0, 2.0]).unwrap().highs(), [3.0]);
    // NaN stays, where it may be.
    let nan = scaler.transform(&vec![f32::NAN, 20.0]).unwrap();
    assert!(nan[0].is_nan() && nan[1] == 0.0);
}

#[test]
fn a_scaler_is_the_same_after_json() {
    let x = Sequences::from_array(&[0.1, 1e-20, 7.0, 3e30, 0.3, 5.0], [1, 3, 2]).unwrap();
    fn same<S: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug>(s: S) {
        let text = serde_json::to_string(&s).unwrap();
        assert_eq!(serde_json::from_str::<S>(&text).unwrap(), s);
    }
    same(Standardizer::fit(&x).unwrap());
    same(MinMax::fit_range(&x, -0.1, 0.7).unwrap());
}

#[test]
fn what_cannot_be_scaled_is_said() {
    let x = Sequences::new(2, [[1.0, 2.0, 3.0, 5.0]]).unwrap();
    let scaler = Standardizer::fit(&x).unwrap();
    let none = Sequences::new::<Vec<f32>>(2, []).unwrap();
    assert!(matches!(Standardizer::fit(&none), Err(Error::Empty { .. })));
    assert!(matches!(MinMax::fit(&Targets::classes([1])), Err(Error::Unsupported { .. })));
    assert!(matches!(MinMax::fit(&Targets::values([1.0], 0)), Err(Error::Option { .. })));
    let nan = Targets::values([1.0, 2.0, 3.0, f32::NAN], 2);
    let error = Standardizer::fit(&nan).unwrap_err();
    assert!(matches!(&error, Error::NotFinite { place, .. } if place == "row 1, column 1"));
    // Which column a value is of is not guessed.
    fn refused<C: Columns>(found: wgpu_lstm::Result<C>) {
        assert!(matches!(found, Err(Error::Features { expected: 2, .. })));
    }
    refused(scaler.transform(&Sequences::from_array(&[0.0; 4], [1, 1, 4]).unwrap()));
    refused(scaler.transform(&Targets::values([0.0; 3], 3)));
    refused(scaler.inverse(&vec![0.0; 3]));
    refused(scaler.inverse(&vec![0.0; 4]));
    let first = scaler.columns(&[0]).unwrap();
    let two = first.transform(&Sequences::from_array(&[0.0; 2], [1, 1, 2]).unwrap());
    assert!(matches!(two, Err(Error::Features { expected: 1, found: 2, .. })));
    for width in [4, 1 << 50, usize::MAX] {
        let short = Targets::values([0.0; 3], width);
        assert!(matches!(Standardizer::fit(&short), Err(Error::Empty { .. })), "{width}");
        assert!(matches!(MinMax::fit(&short), Err(Error::Empty { .. })), "{width}");
    }
    let far = Sequences::new(1, [[3e38]]).unwrap();
    let narrow = MinMax::fit(&vec![0.0, 1e-3]).unwrap();
    assert!(matches!(narrow.transform(&far), Err(Error::NotFinite { .. })));
    for (low, high) in [(1.0, 1.0), (2.0, 1.0), (f64::NAN, 1.0), (0.0, f64::INFINITY)] {
        assert!(matches!(MinMax::fit_range(&x, low, high), Err(Error::Option { .. })));
    }
    assert!(matches!(scaler.columns(&[2]), Err(Error::Option { .. })));
    assert!(matches!(scaler.columns(&[]), Err(Error::Option { .. })));
}
