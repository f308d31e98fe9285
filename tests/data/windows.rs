//! Windows of series against their definition.

use wgpu_lstm::Error;
use wgpu_lstm::data::{Sequences, Targets, WalkForward, Windowed, Windows};

/// Series whose value says which it is: 1000 series + 10 frame + column.
fn series(lengths: &[usize], features: usize) -> Sequences {
    let row = |(s, &n): (usize, &usize)| {
        (0..n).flat_map(|t| (0..features).map(move |c| 1000 * s + 10 * t + c)).collect::<Vec<_>>()
    };
    Sequences::new(features, lengths.iter().enumerate().map(row)).unwrap()
}

/// Checks every value, and returns how many windows there are.
fn check(
    lengths: &[usize],
    [window, horizon, stride, gap]: [usize; 4],
    inputs: Option<&[usize]>,
    targets: Option<&[usize]>,
) -> usize {
    let all: Vec<_> = (0..3).collect();
    let mut windows = Windows::new(window, horizon).stride(stride).gap(gap);
    windows = inputs.map_or(windows.clone(), |columns| windows.inputs(columns));
    windows = targets.map_or(windows.clone(), |columns| windows.targets(columns));
    let found = windows.of(&series(lengths, 3)).unwrap();
    let [inputs, targets] = [inputs, targets].map(|columns| columns.unwrap_or(&all));
    let value = |s: usize, t: usize, c: usize| (1000 * s + 10 * t + c) as f32;
    let mut expected = (Vec::new(), Vec::new(), Vec::new());
    for (s, &n) in lengths.iter().enumerate() {
        for begin in (0..n).step_by(stride) {
            let target = begin + window + gap;
            if target + horizon <= n {
                let seen = begin..begin + window;
                expected
                    .0
                    .push(seen.flat_map(|t| inputs.iter().map(move |&c| value(s, t, c))).collect());
                let wanted = target..target + horizon;
                expected
                    .1
                    .extend(wanted.flat_map(|t| targets.iter().map(move |&c| value(s, t, c))));
                expected.2.push((s, target));
            }
        }
    }
    let x = Sequences::new::<Vec<f32>>(inputs.len(), expected.0).unwrap();
    assert_eq!(found.x, x);
    assert_eq!(found.y, Targets::values(expected.1, horizon * targets.len()));
    let places: Vec<_> = found.series.iter().copied().zip(found.begins.iter().copied()).collect();
    assert_eq!(places, expected.2);
    found.len()
}

#[test]
fn windows_have_the_values_that_they_say() {
    assert_eq!(check(&[10], [3, 1, 1, 0], None, None), 7);
    assert_eq!(check(&[10], [3, 2, 2, 1], None, Some(&[1])), 3);
    assert_eq!(check(&[10], [9, 1, 1, 0], Some(&[2, 0]), Some(&[0, 2, 1])), 1);
    // The second is too short by one frame, the third is just long enough.
    assert_eq!(check(&[13, 6, 7, 11], [4, 2, 3, 1], Some(&[1]), None), 3 + 1 + 2);
    assert_eq!(check(&[5, 9], [1, 1, 100, 0], Some(&[0, 1, 2]), Some(&[2])), 2);
}

#[test]
fn a_split_by_time_knows_nothing_of_what_comes() {
    let series = series(&[30, 12], 1);
    let (window, horizon) = (5, 3);
    let all = Windows::new(window, horizon).gap(2).of(&series).unwrap();
    let (train, test) = all.split_at(16);
    let ends = |w: &Windowed| w.begins.iter().map(|begin| begin + horizon).max().unwrap();
    assert_eq!((ends(&train), test.begins.iter().min()), (16, Some(&16)));
    // 2 targets of the first series lie across the cut; all of the second end before it.
    assert_eq!((train.len() + test.len() + 2, test.series.contains(&1)), (all.len(), false));
    for part in [&train, &test] {
        for i in 0..part.len() {
            let first = 1000 * part.series[i] + 10 * part.begins[i];
            assert_eq!(part.x.get(i).last(), Some(&((first - 30) as f32)));
            assert_eq!(part.y.as_values().unwrap()[horizon * i], first as f32);
        }
    }
    let (nothing, rest) = all.split_at(0);
    assert_eq!((nothing.len(), rest), (0, all.clone()));
    assert!(nothing.is_empty() && nothing.x.is_empty() && nothing.y.is_empty());
    // As lists of a walk: with a gap of horizon - 1 no target is on both sides.
    let one = Windows::new(window, horizon).of(&series.slice(..1).unwrap()).unwrap();
    for (train, test) in WalkForward::new(3).gap(horizon - 1).split(one.len()).unwrap() {
        let (train, test) = (one.select(&train).unwrap(), one.select(&test).unwrap());
        assert!(ends(&train) <= test.begins[0]);
    }
    assert!(matches!(one.select(&[99]), Err(Error::Option { .. })));
}

/// By the addresses of the values: whatever the overlap, it is the series' own buffer.
#[test]
fn windows_copy_no_inputs() {
    let series = series(&[50], 2);
    let windows = Windows::new(20, 1).of(&series).unwrap();
    let (train, _) = windows.split_at(40);
    let place = |x: &Sequences, i: usize| x.get(i).as_ptr();
    for i in 0..train.len() {
        assert_eq!(place(&train.x, i), series.frame(0, i).as_ptr());
        assert_eq!(place(&train.x.select(&[i]).unwrap(), 0), place(&windows.x, i));
    }
}

#[test]
fn windows_that_cannot_be_are_said() {
    let x = series(&[8, 9], 2);
    let option = |windows: Windows| match windows.of(&x) {
        Err(Error::Option { option, .. }) => option,
        other => panic!("{other:?}"),
    };
    assert_eq!(option(Windows::new(0, 1)), "Windows::window");
    assert_eq!(option(Windows::new(1, 0)), "Windows::horizon");
    assert_eq!(option(Windows::new(1, 1).stride(0)), "Windows::stride");
    assert_eq!(option(Windows::new(1, 1).inputs(&[2])), "Windows::inputs");
    assert_eq!(option(Windows::new(1, 1).inputs(&[])), "Windows::inputs");
    assert_eq!(option(Windows::new(1, 1).targets(&[0, 2])), "Windows::targets");
    assert_eq!(option(Windows::new(1, 1).targets(&[])), "Windows::targets");
    assert_eq!(option(Windows::new(usize::MAX, 9).gap(usize::MAX)), "Windows::new");
    let error = Windows::new(7, 2).gap(1).of(&x).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Windows::new is of 10 frames, window, gap and horizon together, expected of at most 9, the \
         frames of the longest series"
    );
}
