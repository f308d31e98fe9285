//! Sequences and targets read back, selected and cut.

use super::common::Vectors;
use wgpu_lstm::data::{Sequences, Standardizer, Targets};
use wgpu_lstm::{Error, Result};

fn ragged() -> Sequences {
    Sequences::new(2, [vec![[1, 2], [3, 4], [5, 6]], vec![[7, 8]], vec![[9, 10], [11, 12]]])
        .unwrap()
}

/// What a cut shares with its origin is seen by nothing that reads it.
fn same(found: Result<Sequences>, rows: &[&[f32]]) -> Sequences {
    let (found, fresh) = (found.unwrap(), Sequences::new(2, rows).unwrap());
    assert_eq!(found, fresh);
    assert_eq!(found.pad(), fresh.pad());
    assert_eq!(found.total_frames(), fresh.total_frames());
    let again = Sequences::concat([&found, &fresh]).unwrap();
    assert_eq!((again.len(), again.slice(rows.len()..).unwrap()), (2 * rows.len(), fresh));
    let swapped = found.columns(&[1, 0]).unwrap();
    for (i, row) in rows.iter().enumerate() {
        let turned: Vec<_> = row.chunks(2).flat_map(|frame| [frame[1], frame[0]]).collect();
        assert_eq!((found.get(i), swapped.get(i)), (*row, &turned[..]));
    }
    found
}

#[test]
fn cuts_of_cuts_are_what_they_say() {
    let x = ragged();
    let all = [&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0][..], &[7.0, 8.0], &[9.0, 10.0, 11.0, 12.0]];
    same(Ok(x.clone()), &all);
    let two = same(x.select(&[2, 0, 2]), &[all[2], all[0], all[2]]);
    let last = same(two.last_frames(1), &[&all[2][2..], &all[0][4..], &all[2][2..]]);
    same(last.slice(1..=1), &[&all[0][4..]]);
    same(
        two.last_frames(2).and_then(|x| x.first_frames(1)),
        &[&all[2][..2], &all[0][2..4], &all[2][..2]],
    );
    same(x.slice(..2).and_then(|x| x.select(&[1])), &[all[1]]);
    assert_eq!(x.frame(2, 1), [11.0, 12.0]);
    assert!(x.frame(2, 2).is_empty() && x.frame(9, 0).is_empty() && x.get(usize::MAX).is_empty());
    assert_eq!(x.iter().rev().map(<[f32]>::len).collect::<Vec<_>>(), [4, 2, 6]);
    assert!(x.slice(3..).unwrap().is_empty());
    assert_ne!(x, x.select(&[0, 2, 1]).unwrap());
    assert_ne!(x, x.columns(&[0]).unwrap());
}

#[test]
fn frames_are_cut_as_keras_truncates() {
    let v = Vectors::load("data");
    let x = Sequences::from_tokens([vec![1, 2, 3, 4, 5], vec![6], vec![7, 8, 9]]).unwrap();
    assert_eq!(x.last_frames(3).unwrap().pad().0, v.get("cut_pre"));
    assert_eq!(x.first_frames(3).unwrap().pad().0, v.get("cut_post"));
    assert_eq!(x.first_frames(99).unwrap(), x);
}

#[test]
fn targets_follow_their_sequences() {
    let x = ragged();
    // One each, one a frame, two each; and as many as frames where that is as many as sequences.
    let one = Targets::classes([10, 20, 30]);
    assert_eq!(one.of_sequences(&x, &[2, 0]).unwrap(), Targets::classes([30, 10]));
    let frames = Targets::values((0..12).collect::<Vec<_>>(), 2);
    let found = frames.of_sequences(&x, &[1, 2]).unwrap();
    assert_eq!(found.as_values().unwrap(), [6.0, 7.0, 8.0, 9.0, 10.0, 11.0]);
    let x = x.slice(..2).unwrap();
    let fixed = Targets::classes((0..10).collect::<Vec<u8>>());
    let found = fixed.of_sequences(&x, &[1]).unwrap();
    assert_eq!(found, Targets::classes([5, 6, 7, 8, 9]));
    for wrong in [1, 3, 5, 7] {
        let y = Targets::classes(vec![0; wrong]);
        let error = y.of_sequences(&x, &[1]).unwrap_err();
        assert!(matches!(error, Error::Targets { expected: 2, .. }), "{error}");
    }
    assert_eq!(one.slice(1..).unwrap(), Targets::classes([20, 30]));
    assert_eq!(Targets::concat([&one, &one]).unwrap().len(), 6);
    assert!(matches!(Targets::concat([&one, &frames]), Err(Error::Unsupported { .. })));
    assert!(matches!(Targets::concat([]), Err(Error::Option { .. })));
    assert_eq!(Targets::values([1.0], 0).len(), 0);
}

#[test]
fn what_is_not_there_is_said() {
    let x = ragged();
    let text = |error: Error| error.to_string();
    let error = x.select(&[0, 3]).unwrap_err();
    assert_eq!(text(error), "Sequences::select is 3, expected below 3, the number of sequences");
    let error = x.columns(&[2]).unwrap_err();
    assert_eq!(text(error), "Sequences::columns is 2, expected below 2, the number of features");
    for bad in [x.slice(2..9), x.slice(..=usize::MAX), x.first_frames(0), x.columns(&[])] {
        assert!(matches!(bad, Err(Error::Option { .. })), "{bad:?}");
    }
    let other = x.columns(&[0]).unwrap();
    let error = Sequences::concat([&x, &other]).unwrap_err();
    assert!(matches!(error, Error::Features { expected: 2, found: 1, .. }), "{error}");
    let y = Targets::classes([1, 2]);
    let error = y.select(&[2]).unwrap_err();
    assert_eq!(text(error), "Targets::select is 2, expected below 2, the number of targets");
    for bad in [0.5, -1.0, f32::NAN, 1e9] {
        let error = Targets::values([1.0, bad], 1).labels().unwrap_err();
        assert!(matches!(error, Error::Target { at: 1, .. }), "{error}");
    }
    assert!(matches!(Targets::values([1.0, 2.0], 2).labels(), Err(Error::Option { .. })));
}

#[test]
fn sequences_of_labels_are_cut_like_others() {
    let y = Targets::sequences([vec![1, 2, 2], vec![], vec![7]]);
    assert_eq!((y.len(), y.width(), y.as_classes(), y.as_values()), (3, 1, None, None));
    assert_eq!(y.select(&[2, 0]).unwrap(), Targets::sequences([vec![7], vec![1, 2, 2]]));
    assert_eq!(y.slice(1..).unwrap(), Targets::sequences([vec![], vec![7u8]]));
    let parts = [y.slice(..1).unwrap(), y.slice(1..).unwrap()];
    assert_eq!(Targets::concat(&parts).unwrap(), y);
    // As many frames as labels of sequences say nothing here.
    let x = Sequences::new(1, [vec![0.0], vec![0.0], vec![0.0]]).unwrap();
    assert_eq!(y.of_sequences(&x, &[1]).unwrap().as_sequences(), Some(&[vec![]][..]));
    let two = Sequences::new(1, [vec![0.0], vec![0.0, 0.0]]).unwrap();
    assert!(matches!(
        y.of_sequences(&two, &[1]),
        Err(Error::Targets { expected: 2, found: 3, .. })
    ));
    assert!(matches!(y.labels(), Err(Error::Unsupported { .. })));
    let others = [Targets::classes([1]), y.clone()];
    assert!(matches!(Targets::concat(&others), Err(Error::Unsupported { .. })));
    assert!(matches!(Standardizer::fit(&y), Err(Error::Unsupported { .. })));
}
