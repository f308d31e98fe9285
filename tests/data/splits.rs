//! Splits and weights against scikit-learn's.

use super::common::Vectors;
use wgpu_lstm::data::{
    GroupKFold, KFold, Split, StratifiedKFold, Targets, WalkForward, train_test_split,
    train_test_split_by_time, train_test_split_stratified,
};
use wgpu_lstm::{Error, Result};

/// Which fold has each row as a test. All rows are in one part of each split, in order.
fn fold_of(splits: &Result<Vec<Split>>, n: usize) -> Vec<usize> {
    let mut folds = vec![usize::MAX; n];
    for (number, (train, test)) in splits.as_ref().unwrap().iter().enumerate() {
        whole(train, test, n);
        assert!(train.is_sorted() && test.is_sorted());
        test.iter().for_each(|&row| folds[row] = number);
    }
    folds
}

fn whole(train: &[usize], test: &[usize], n: usize) {
    let mut all = [train, test].concat();
    all.sort_unstable();
    assert_eq!(all, (0..n).collect::<Vec<_>>());
}

#[test]
fn folds_are_scikit_learns() {
    let v = Vectors::load("data");
    for (n, k) in [(5, 2), (5, 5), (7, 3), (10, 4), (23, 6), (24, 6)] {
        let expected = v.usizes(&format!("k_fold_{n}_{k}"));
        assert_eq!(fold_of(&KFold::new(k).split(n), n), expected, "{n} in {k}");
        let shuffled = fold_of(&KFold::new(k).shuffle(3).split(n), n);
        assert_eq!(shuffled, fold_of(&KFold::new(k).shuffle(3).split(n), n));
        let sizes = |folds: &[usize]| {
            (0..k).map(|k| folds.iter().filter(|&&f| f == k).count()).collect::<Vec<_>>()
        };
        assert_eq!(sizes(&shuffled), sizes(&expected));
        assert!(n < 10 || shuffled != expected);
    }
    for case in 0..5 {
        let of = |name: &str| v.usizes(&format!("{name}_{case}"));
        let [n, k] = of("case")[..] else { panic!() };
        let (labels, groups) = (of("labels"), of("groups"));
        let found = fold_of(&StratifiedKFold::new(k).split(&labels), n);
        assert_eq!(found, of("stratified"), "case {case}");
        let found = fold_of(&GroupKFold::new(k).split(&groups), n);
        assert_eq!(found, of("group_folds"), "case {case}");
        // Shuffled, a fold has as many of each class.
        let shuffled = fold_of(&StratifiedKFold::new(k).shuffle(9).split(&labels), n);
        let counts = |folds: &[usize]| {
            let mut pairs: Vec<_> = folds.iter().zip(&labels).collect();
            pairs.sort_unstable();
            pairs.into_iter().map(|(fold, label)| (*fold, *label)).collect::<Vec<_>>()
        };
        assert_eq!(counts(&shuffled), counts(&of("stratified")), "case {case}");
    }
}

#[test]
fn splits_by_time_are_scikit_learns() {
    let v = Vectors::load("data");
    let cases = v.usizes("forward_cases");
    assert!(cases.len() >= 25);
    for (case, sizes) in cases.chunks(5).enumerate() {
        let [n, splits, size, gap, most] = sizes[..] else { panic!() };
        let mut walk = WalkForward::new(splits).gap(gap);
        walk = if size > 0 { walk.test_size(size) } else { walk };
        walk = if most > 0 { walk.max_train_size(most) } else { walk };
        let expected = v.usizes(&format!("forward_{case}"));
        let expected: Vec<Split> = expected
            .chunks(4)
            .map(|ends| ((ends[0]..ends[1]).collect(), (ends[2]..ends[3]).collect()))
            .collect();
        assert_eq!(walk.split(n).unwrap(), expected, "case {case}");
    }
    assert_eq!(WalkForward::new(1).split(5).unwrap(), [(vec![0, 1, 2], vec![3, 4])]);
}

#[test]
fn a_test_part_has_scikit_learns_size_and_classes() {
    let v = Vectors::load("data");
    for row in v.get("sizes").chunks(3) {
        let (n, tests) = (row[0] as usize, row[2] as usize);
        // The share as it was written, not as a 32-bit float.
        let share: f64 = row[1].to_string().parse().unwrap();
        for seed in [0, 1] {
            let (train, test) = train_test_split(n, share, seed).unwrap();
            assert_eq!(test.len(), tests, "{share} of {n}");
            whole(&train, &test, n);
        }
        let (train, test) = train_test_split_by_time(n, share).unwrap();
        assert_eq!((train.len(), test.len()), (n - tests, tests));
        assert_eq!([train, test].concat(), (0..n).collect::<Vec<_>>());
    }
    let (first, second) = (train_test_split(1000, 0.2, 1), train_test_split(1000, 0.2, 2));
    assert_eq!(first, train_test_split(1000, 0.2, 1));
    assert_ne!(first, second);
    assert!(!first.unwrap().0.is_sorted());
    let labels = v.usizes("stratify");
    for share in [0.1, 0.25, 0.33, 0.5] {
        let (train, test) = train_test_split_stratified(&labels, share, 5).unwrap();
        whole(&train, &test, labels.len());
        let count = |class| test.iter().filter(|&&row| labels[row] == class).count();
        let expected = v.usizes(&format!("test_counts_{share}"));
        assert_eq!((0..4).map(count).collect::<Vec<_>>(), expected, "{share}");
        assert!(!test.is_sorted(), "classes are mixed");
    }
}

#[test]
fn weights_are_scikit_learns() {
    let v = Vectors::load("data");
    let y = Targets::classes(v.usizes("imbalanced"));
    assert_eq!(y.class_weights(3).unwrap(), v.get("class_weights"));
    assert_eq!(y.sample_weights().unwrap(), v.get("sample_weights"));
    let numbers = Targets::values(v.usizes("imbalanced"), 1);
    assert_eq!(numbers.class_weights(3).unwrap(), v.get("class_weights"));
    assert_eq!(numbers.sample_weights().unwrap(), v.get("sample_weights"));
    let error = y.class_weights(usize::MAX).unwrap_err();
    assert!(error.to_string().contains("of which 3 has no target"), "{error}");
    assert_eq!(y.class_weights(2), Err(Error::Label { row: 2, found: 2, classes: 2 }));
    assert!(y.class_weights(0).is_err());
    assert!(Targets::classes([-1, 0]).class_weights(1).is_err());
}

#[test]
fn splits_that_cannot_be_are_said() {
    let refused = |found: Result<Vec<Split>>| match found {
        Err(Error::Option { option, .. }) => option,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(KFold::new(1).split(9)), "KFold::new");
    assert_eq!(refused(KFold::new(10).split(9)), "KFold::new");
    assert_eq!(refused(StratifiedKFold::new(3).split(&[0, 0, 1, 1])), "StratifiedKFold::new");
    assert_eq!(refused(GroupKFold::new(3).split(&[0, 0, 1, 1])), "GroupKFold::new");
    assert_eq!(refused(WalkForward::new(0).split(9)), "WalkForward::new");
    assert_eq!(refused(WalkForward::new(usize::MAX).split(9)), "WalkForward::new");
    assert_eq!(refused(WalkForward::new(4).split(4)), "WalkForward::new");
    assert_eq!(refused(WalkForward::new(2).gap(3).split(9)), "WalkForward::new");
    assert_eq!(refused(WalkForward::new(2).gap(usize::MAX).split(9)), "WalkForward::new");
    assert_eq!(refused(WalkForward::new(2).test_size(0).split(9)), "WalkForward::test_size");
    let none = WalkForward::new(2).max_train_size(0).split(9);
    assert_eq!(refused(none), "WalkForward::max_train_size");
    for share in [0.0, 1.0, -0.1, f64::NAN, 0.95] {
        let error = train_test_split(9, share, 0).unwrap_err();
        assert!(matches!(error, Error::Option { .. }), "{error}");
    }
    let alone = train_test_split_stratified(&[0, 0, 0, 1], 0.5, 0).unwrap_err();
    assert!(alone.to_string().contains("that of 3 occurs once"), "{alone}");
    let few = train_test_split_stratified(&[0, 0, 1, 1, 2, 2], 0.3, 0).unwrap_err();
    assert!(few.to_string().contains("expected into parts of at least 3"), "{few}");
}

#[test]
fn more_sequences_than_there_is_memory_for_are_an_error() {
    let most = usize::MAX;
    let memory = |found: Result<(), Error>| {
        assert!(matches!(found, Err(Error::OutOfMemory { .. })), "{found:?}");
    };
    memory(train_test_split(most, 0.5, 1).map(drop));
    memory(KFold::new(2).split(most).map(drop));
    memory(WalkForward::new(2).split(most).map(drop));
}
