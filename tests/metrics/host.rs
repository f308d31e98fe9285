//! Metrics over numbers on the host.

use super::{Vectors, vectors};
use wgpu_lstm::Error;
use wgpu_lstm::train::metrics::{
    Average, Bleu, ConfusionMatrix, ErrorRate, Errors, SpanF1, average_precision, coverage, crps,
    edit_distance, naive_error, pinball, roc_auc,
};

#[track_caller]
fn near(what: &str, found: f64, expected: f32) {
    let expected = f64::from(expected);
    let bound = 2e-7 * (1.0 + expected.abs());
    assert!((found - expected).abs() <= bound, "{what}: {found}, expected {expected}");
}

fn one(vectors: &Vectors, name: &str) -> f32 {
    let values = vectors.get(name);
    assert_eq!(values.len(), 1, "{name}");
    values[0]
}

/// The likeliest class of each row.
pub fn likeliest(x: &[f32], width: usize) -> Vec<u32> {
    let best = |row: &[f32]| (0..width).fold(0, |b, j| if row[j] > row[b] { j } else { b }) as u32;
    x.chunks(width).map(best).collect()
}

fn check_matrix(name: &str, matrix: &ConfusionMatrix, vectors: &Vectors) {
    for (of, average) in [("macro", Average::Macro), ("micro", Average::Micro)] {
        let expected = |what: &str| one(vectors, &format!("{name}_{what}_{of}"));
        near(name, matrix.precision(average), expected("precision"));
        near(name, matrix.recall(average), expected("recall"));
        near(name, matrix.f1(average), expected("f1"));
        near(name, matrix.specificity(average), expected("specificity"));
    }
    for class in 0..matrix.classes() {
        let expected = |what: &str| vectors.get(&format!("{name}_{what}_each"))[class];
        near(name, matrix.precision(Average::Class(class)), expected("precision"));
        near(name, matrix.recall(Average::Class(class)), expected("recall"));
        near(name, matrix.f1(Average::Class(class)), expected("f1"));
        near(name, matrix.specificity(Average::Class(class)), expected("specificity"));
    }
    near(name, matrix.accuracy(), one(vectors, &format!("{name}_accuracy")));
    near(name, matrix.mcc(), one(vectors, &format!("{name}_mcc")));
}

#[test]
fn a_confusion_matrix_is_scikit_learns() {
    let v = vectors();
    let labels = |name: &str| v.get(name).iter().map(|&l| l as u32).collect::<Vec<_>>();
    for (name, classes) in [("multi", 5), ("two", 2)] {
        let (said, labels) =
            (likeliest(&v.get(&format!("{name}_x")), classes), labels(&format!("{name}_labels")));
        let matrix = ConfusionMatrix::of(&labels, &said, classes).unwrap();
        let name = format!("{name}_plain");
        let expected = v.get(&format!("{name}_matrix"));
        for (label, expected) in expected.chunks(classes).enumerate() {
            let expected: Vec<_> = expected.iter().map(|&w| f64::from(w)).collect();
            assert_eq!(matrix.row(label), expected, "{name}, {label}");
        }
        check_matrix(&name, &matrix, &v);
    }
    // With weights, of which rows that are ignored have 0.
    let (labels, ignoring) = (labels("multi_labels"), labels("multi_ignoring"));
    let said = likeliest(&v.get("multi_x"), 5);
    let samples = v.usizes("lengths").into_iter().zip(v.get("samples"));
    let frames = samples.flat_map(|(length, weight)| vec![weight; length]);
    let mut matrix = ConfusionMatrix::new(5).unwrap();
    for (row, weight) in frames.enumerate() {
        let weight = if ignoring[row] == 7 { 0.0 } else { f64::from(weight) };
        matrix.add(labels[row], Some(said[row]), weight).unwrap();
    }
    check_matrix("multi_weighted", &matrix, &v);
}

#[test]
fn a_row_without_an_answer_is_no_right_one() {
    let mut matrix = ConfusionMatrix::of(&[0, 0, 1], &[0, 1, 1], 2).unwrap();
    matrix.add(0, None, 1.0).unwrap();
    // Of two classes the one's specificity is the other's recall.
    for (class, other, expected) in [(1, 0, 1.0 / 3.0), (0, 1, 1.0)] {
        assert_eq!(matrix.specificity(Average::Class(class)), expected);
        assert_eq!(matrix.recall(Average::Class(other)), expected);
    }
    // 3 rows of label 0, 1 of label 1.
    assert_eq!(matrix.specificity(Average::Weighted), (3.0 + 1.0 / 3.0) / 4.0);
    assert_eq!(matrix.specificity(Average::Class(2)), 0.0);
    assert_eq!(ConfusionMatrix::new(3).unwrap().specificity(Average::Macro), 0.0);
}

#[test]
fn areas_are_scikit_learns() {
    let v = vectors();
    let (x, y) = (v.get("one_x"), v.get("one_y"));
    let yes: Vec<_> = y.iter().map(|&y| y > 0.5).collect();
    let samples = v.usizes("lengths").into_iter().zip(v.get("samples"));
    let weights: Vec<_> = samples.flat_map(|(length, weight)| vec![weight; length]).collect();
    for (name, weights) in [("plain", None), ("weighted", Some(&weights[..]))] {
        let expected = |what: &str| one(&v, &format!("one_{name}_{what}"));
        near(name, roc_auc(&x, &yes, weights).unwrap(), expected("roc_auc"));
        let found = average_precision(&x, &yes, weights).unwrap();
        near(name, found, expected("average_precision"));
    }
}

#[test]
fn areas_of_little() {
    // All scores alike, one row, one kind of rows, no row.
    assert_eq!(roc_auc(&[2.0; 3], &[true, false, true], None), Ok(0.5));
    assert_eq!(average_precision(&[2.0; 4], &[true, false, false, false], None), Ok(0.25));
    assert!(roc_auc(&[1.0], &[true], None).unwrap().is_nan());
    assert!(roc_auc(&[1.0, 2.0], &[false; 2], None).unwrap().is_nan());
    assert!(roc_auc(&[], &[], None).unwrap().is_nan());
    assert_eq!(average_precision(&[1.0, 2.0], &[false; 2], None), Ok(0.0));
    assert_eq!(average_precision(&[], &[], None), Ok(0.0));
    // -0 is 0, and infinities have their place.
    assert_eq!(roc_auc(&[-0.0, 0.0], &[true, false], None), Ok(0.5));
    let (high, low) = (f32::INFINITY, f32::NEG_INFINITY);
    assert_eq!(roc_auc(&[high, 0.0, low], &[true, true, false], None), Ok(1.0));
    // A NaN that counts is one of the area, another has no effect.
    let (scores, yes) = ([1.0, f32::NAN, 0.0], [true, false, false]);
    assert!(roc_auc(&scores, &yes, None).unwrap().is_nan());
    assert!(average_precision(&scores, &yes, None).unwrap().is_nan());
    assert_eq!(roc_auc(&scores, &yes, Some(&[1.0, 0.0, 1.0])), Ok(1.0));
    assert!(matches!(roc_auc(&[1.0], &[], None), Err(Error::Count { .. })));
    assert!(matches!(roc_auc(&[1.0], &[true], Some(&[])), Err(Error::Count { .. })));
}

#[test]
fn errors_of_numbers_are_scikit_learns() {
    let v = vectors();
    let (x, y) = (v.get("numbers_x"), v.get("numbers_y"));
    let samples = v.usizes("lengths").into_iter().zip(v.get("samples"));
    let weights: Vec<_> = samples.flat_map(|(length, weight)| vec![weight; length]).collect();
    for (name, weights) in [("plain", None), ("weighted", Some(&weights[..]))] {
        for rows in [1, 4, 7, weights.map_or(45, <[f32]>::len)] {
            let mut errors = Errors::new(2).unwrap();
            for (at, (x, y)) in x.chunks(2 * rows).zip(y.chunks(2 * rows)).enumerate() {
                let weights = weights.map(|w| &w[at * rows..at * rows + x.len() / 2]);
                errors.add(x, y, weights).unwrap();
            }
            for (what, found) in [
                ("mae", errors.mean_absolute_error()),
                ("mse", errors.mean_squared_error()),
                ("rmse", errors.root_mean_squared_error()),
                ("mape", errors.mean_absolute_percentage_error()),
                ("smape", errors.symmetric_mean_absolute_percentage_error()),
                ("r2", errors.r2()),
            ] {
                near(what, found, one(&v, &format!("numbers_{name}_{what}")));
            }
        }
    }
    near("pinball", pinball(&x, &y, 0.9).unwrap(), one(&v, "numbers_plain_pinball"));
    let (x, y) = (v.get("quantiles_x"), v.get("quantiles_y"));
    near("crps", crps(&x, &y, &[0.1, 0.5, 0.9]).unwrap(), one(&v, "quantiles_plain_crps"));
    let column = |j: usize| x.iter().skip(j).step_by(3).copied().collect::<Vec<_>>();
    let found = coverage(&column(0), &column(2), &y).unwrap();
    near("coverage", found, one(&v, "quantiles_plain_coverage"));
}

#[test]
fn errors_of_little() {
    let of = |x: &[f32], y: &[f32]| {
        let mut errors = Errors::new(1).unwrap();
        errors.add(x, y, None).unwrap();
        errors
    };
    let none = of(&[], &[]);
    assert_eq!([none.mean_absolute_error(), none.root_mean_squared_error()], [0.0; 2]);
    assert!(none.r2().is_nan() && of(&[1.0], &[1.0]).r2().is_nan());
    // Without any spread.
    assert_eq!(of(&[2.0; 3], &[2.0; 3]).r2(), 1.0);
    assert_eq!(of(&[2.0, 2.0, 3.0], &[2.0; 3]).r2(), 0.0);
    let nan = of(&[f32::NAN, 1.0], &[1.0, 2.0]);
    assert!(nan.mean_absolute_error().is_nan() && nan.r2().is_nan());
    assert!(nan.symmetric_mean_absolute_percentage_error().is_nan());
    let mut errors = Errors::new(1).unwrap();
    errors.add(&[f32::NAN, 1.0, 3.0], &[0.0, 1.0, 1.0], Some(&[0.0, 1.0, 1.0])).unwrap();
    assert_eq!(errors.mean_absolute_error(), 1.0);
    assert!(matches!(Errors::new(0), Err(Error::Option { .. })));
    let mut errors = Errors::new(2).unwrap();
    assert!(matches!(errors.add(&[1.0; 3], &[1.0; 3], None), Err(Error::Count { .. })));
    assert!(matches!(errors.add(&[1.0; 2], &[1.0; 4], None), Err(Error::Count { .. })));
    assert!(matches!(errors.add(&[1.0; 2], &[1.0; 2], Some(&[])), Err(Error::Count { .. })));
    assert_eq!(errors.mean_absolute_error(), 0.0);
    assert_eq!(naive_error(&[1.0, 2.0, 4.0, 7.0], 2), Ok(4.0));
    assert!(matches!(naive_error(&[1.0, 2.0], 2), Err(Error::Option { .. })));
    assert!(matches!(naive_error(&[1.0, 2.0], 0), Err(Error::Option { .. })));
    assert_eq!(pinball(&[], &[], 0.5), Ok(0.0));
    assert_eq!(crps(&[], &[], &[]), Ok(0.0));
    assert_eq!(crps(&[1.0, 3.0], &[2.0], &[0.25, 0.75]), Ok(0.5));
    assert_eq!(coverage(&[0.0, f32::NAN], &[1.0, 9.0], &[1.0, 1.0]), Ok(0.5));
    assert!(matches!(crps(&[1.0], &[1.0], &[0.5, 0.6]), Err(Error::Count { .. })));
}

#[test]
fn a_confusion_matrix_is_a_table() {
    let mut matrix = ConfusionMatrix::new(2).unwrap();
    matrix.add(0, Some(0), 120.0).unwrap();
    matrix.add(1, Some(0), 0.1 + 0.2).unwrap();
    assert_eq!(matrix.to_string(), "label    0   1\n    0  120   0\n    1  0.3   0");
    matrix.add(1, None, 1.0).unwrap();
    let expected = "label     0    1 none\n    0   120    0    0\n    1   0.3    0    1";
    assert_eq!(matrix.to_string(), expected);
    let many = ConfusionMatrix::new(11).unwrap().to_string();
    assert_eq!(many.lines().last().unwrap(), format!("   10 {}", "  0".repeat(11)));
    assert!(many.lines().all(|line| line.len() == many.lines().next().unwrap().len()));
}

#[test]
fn a_matrix_of_little() {
    let empty = ConfusionMatrix::new(3).unwrap();
    assert_eq!([empty.accuracy(), empty.mcc(), empty.f1(Average::Macro)], [0.0; 3]);
    let one = ConfusionMatrix::of(&[1], &[1], 3).unwrap();
    assert_eq!([one.accuracy(), one.f1(Average::Macro), one.mcc()], [1.0, 1.0, 0.0]);
    assert_eq!(one.row(7), [0.0; 0]);
    assert_eq!(one.recall(Average::Class(9)), 0.0);
    // scikit-learn's `weighted`.
    let (labels, answers) = ([0, 0, 0, 1, 2, 2, 1, 0], [0, 1, 2, 1, 2, 2, 0, 1]);
    let weighted = ConfusionMatrix::of(&labels, &answers, 3).unwrap();
    let [precision, recall] =
        [weighted.precision(Average::Weighted), weighted.recall(Average::Weighted)];
    assert_eq!([precision, recall], [0.5; 2]);
    assert!((weighted.f1(Average::Weighted) - 0.466_666_666_666_666_7).abs() < 1e-12);
    assert_eq!(empty.f1(Average::Weighted), 0.0);
    // No answer is a wrong one.
    let mut silent = ConfusionMatrix::of(&[0, 1, 1], &[0, 1, 1], 2).unwrap();
    assert_eq!(silent.mcc(), 1.0);
    silent.add(0, None, 1.0).unwrap();
    assert_eq!([silent.accuracy(), silent.recall(Average::Class(0))], [0.75, 0.5]);
    assert_eq!(silent.precision(Average::Class(0)), 1.0);
    assert!(silent.mcc() < 1.0);
    assert!(matches!(ConfusionMatrix::new(0), Err(Error::Option { .. })));
    assert!(matches!(ConfusionMatrix::new(usize::MAX), Err(Error::Option { .. })));
    let error = ConfusionMatrix::of(&[0, 3], &[0, 0], 3).unwrap_err();
    assert_eq!(error, Error::Label { row: 1, found: 3, classes: 3 });
    assert!(matches!(ConfusionMatrix::of(&[0], &[0u32; 0], 3), Err(Error::Count { .. })));
    assert!(silent.add(0, Some(2), 1.0).is_err());
}

/// Parts of these lengths.
fn parts(values: &[f32], lengths: &[usize]) -> Vec<Vec<u32>> {
    let mut rest = values.iter().map(|&v| v as u32);
    lengths.iter().map(|&length| rest.by_ref().take(length).collect()).collect()
}

#[test]
fn edits_and_bleu_are_by_their_definitions() {
    let v = vectors();
    let of = |name: &str| {
        parts(&v.get(&format!("tokens_{name}")), &v.usizes(&format!("tokens_{name}_lengths")))
    };
    let (found, expected, edits) = (of("found"), of("expected"), v.usizes("tokens_edits"));
    let mut errors = ErrorRate::new();
    let mut bleu = Bleu::new(4).unwrap();
    for ((found, expected), &edits) in found.iter().zip(&expected).zip(&edits) {
        assert_eq!(edit_distance(found, expected), edits);
        assert_eq!(edit_distance(expected, found), edits);
        errors.add(found, expected);
        bleu.add(found, &[expected]);
    }
    near("the rate", errors.rate(), one(&v, "tokens_rate"));
    let mean = edits.iter().sum::<usize>() as f64 / edits.len() as f64;
    assert!((errors.mean_distance() - mean).abs() < 1e-12);
    near("BLEU", bleu.value(), one(&v, "tokens_bleu"));
}

#[test]
fn texts_and_references() {
    assert_eq!(edit_distance::<u8>(&[], &[]), 0);
    assert_eq!(edit_distance(b"", b"abc"), 3);
    let mut words = ErrorRate::new();
    assert_eq!([words.rate(), words.mean_distance()], [0.0; 2]);
    words.add_words("", "");
    assert_eq!(words.rate(), 0.0);
    words.add_words("a b", "");
    assert_eq!(words.rate(), f64::INFINITY);
    words.add_words(" the  cat", "a cat sat");
    assert_eq!(words.rate(), 4.0 / 3.0);
    let mut characters = ErrorRate::new();
    characters.add_characters("Grüße", "Gruß");
    assert_eq!(characters.rate(), 0.5);

    // Papineni's example of a word that is said too often, of two references.
    let tokens = |text: &'static str| text.split(' ').collect::<Vec<_>>();
    let (first, second) = (tokens("the cat is on the mat"), tokens("there is a cat on the mat"));
    let mut bleu = Bleu::new(1).unwrap();
    bleu.add(&tokens("the the the the the the the"), &[&first, &second]);
    assert!((bleu.value() - 2.0 / 7.0).abs() < 1e-12, "{}", bleu.value());
    let mut bleu = Bleu::new(4).unwrap();
    assert_eq!(bleu.value(), 0.0);
    bleu.add(&tokens("too short"), &[&tokens("too short")]);
    assert_eq!(bleu.value(), 0.0);
    bleu.add(&first, &[&second, &first]);
    assert!((bleu.value() - 1.0).abs() < 1e-12);
    bleu.add::<&str>(&[], &[]);
    assert!((bleu.value() - 1.0).abs() < 1e-12);
    assert!(matches!(Bleu::new(0), Err(Error::Option { option: "Bleu::order", .. })));
}

pub const TAGS: [&str; 5] = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"];

#[test]
fn spans_are_conlls() {
    let v = vectors();
    let lengths = v.usizes("lengths");
    let of = |name: &str| parts(&v.get(name), &lengths);
    let mut spans = SpanF1::new(TAGS).unwrap();
    assert_eq!([spans.precision(), spans.recall(), spans.f1()], [0.0; 3]);
    for (found, expected) in of("tags_found").iter().zip(&of("tags_expected")) {
        spans.add(found, expected);
    }
    let scores = v.get("tags_scores");
    near("precision", spans.precision(), scores[0]);
    near("recall", spans.recall(), scores[1]);
    near("F1", spans.f1(), scores[2]);
    // Another kind is another span; what is no tag is outside.
    let mut spans = SpanF1::new(TAGS).unwrap();
    spans.add(&[1, 4, 2, 99, 2], &[1, 2, 2, 0, 2]);
    assert_eq!([spans.precision(), spans.recall()], [0.25, 0.5]);
    for bad in ["", "B", "B-", "PER", "b-PER", "E-PER"] {
        let error = SpanF1::new([bad]).unwrap_err();
        assert!(matches!(error, Error::Option { option: "SpanF1::tags", .. }), "{error}");
    }
}
