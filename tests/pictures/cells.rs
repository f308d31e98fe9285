//! Matrices as colours.

use crate::numbers;
use crate::svg::{Svg, luma};
use wgpu_lstm::Error;
use wgpu_lstm::plot::{HeatMap, gates};
use wgpu_lstm::train::metrics::ConfusionMatrix;

#[test]
fn a_confusion_matrix_has_counts_shares_and_colours() {
    let mut matrix = ConfusionMatrix::new(4).unwrap();
    for (label, row) in
        [[50, 3, 1, 0], [10, 20, 5, 5], [0, 0, 0, 0], [1, 1, 1, 297]].iter().enumerate()
    {
        for (answer, &count) in row.iter().enumerate() {
            (0..count).for_each(|_| matrix.add(label as u32, Some(answer as u32), 1.0).unwrap());
        }
    }
    let names = ["joy", "a rather long name", "fear & <anger>", "none of these"];
    let svg = Svg::of("confusion", &matrix.plot(&names).unwrap().title("feelings"), [488, 428]);
    let panel = svg.panel("");
    let texts = panel.group("texts", None).texts();
    let expected =
        ["50", "93 %", "3", "6 %", "1", "2 %", "0", "0 %", "10", "25 %", "20", "50 %", "5", "12 %"];
    assert_eq!(texts.len(), 32);
    assert_eq!(texts[..14], expected);
    assert_eq!(
        texts[texts.len() - 7..],
        ["&lt; 1 %", "1", "&lt; 1 %", "1", "&lt; 1 %", "297", "99 %"]
    );
    let cells = panel.cells(4);
    assert_eq!(cells.len(), 16);
    // By their shares of the row: 0 is the lightest.
    let shares =
        [50.0, 3.0, 1.0, 0.0, 10.0, 20.0, 5.0, 5.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 297.0];
    let sums = [54.0, 40.0, 1.0, 300.0];
    let share = |at: usize| shares[at] / sums[at / 4];
    for a in 0..16 {
        for b in 0..16 {
            if share(a) > share(b) + 0.02 {
                assert!(luma(cells[a]) < luma(cells[b]), "{a} and {b}");
            }
        }
    }
    let rows = panel.group("rows", Some("truth")).texts();
    assert_eq!(rows, ["joy", "a rather long name", "fear &amp; &lt;anger&gt;", "none of these"]);
    assert_eq!(panel.group("columns", Some("answer")).texts(), rows);

    // Rows without an answer have a column; names may be left out.
    matrix.add(2, None, 1.0).unwrap();
    let svg = Svg::of("confusion_none", &matrix.plot(&[""; 0]).unwrap(), [550, 490]);
    assert_eq!(svg.group("columns", None).texts(), ["0", "1", "2", "3", "none"]);
    assert_eq!(svg.panel("").cells(5).len(), 20);
    let error = matrix.plot(&["a", "b"]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "ConfusionMatrix::plot: 2 values were given for the shape [4], which holds 4"
    );

    // Of many classes the numbers do not fit.
    let labels: Vec<u32> = (0..3000).map(|i| i * 7 % 60).collect();
    let answers: Vec<u32> =
        labels.iter().enumerate().map(|(i, l)| (l + (i % 5 / 4) as u32) % 60).collect();
    let many = ConfusionMatrix::of(&labels, &answers, 60).unwrap();
    let svg = Svg::of("confusion_many", &many.plot(&[""; 0]).unwrap(), [1060, 1000]);
    assert!(!svg.0.contains("class=\"texts\""));
    assert_eq!(svg.panel("").cells(60).len(), 3600);
}

#[test]
fn gates_are_rows_of_units() {
    let (timesteps, units) = (60, 8);
    let gate = |t: usize, gate: usize, unit: usize| -> f32 {
        let v = (0.2 * t as f32 * (1.0 + gate as f32) + unit as f32).sin();
        if gate == 2 { v } else { 0.5 + 0.5 * v }
    };
    let all: Vec<f32> = (0..timesteps)
        .flat_map(|t| (0..4).flat_map(move |g| (0..units).map(move |u| gate(t, g, u))))
        .collect();
    let cells: Vec<f32> = (0..timesteps * units).map(|i| 2.0 * (0.01 * i as f32).sin()).collect();
    let picture = gates(&all, &cells, [timesteps, units]).unwrap().title("gates");
    let svg = Svg::of("gates", &picture, [900, 960]);
    assert_eq!(
        svg.panels(),
        ["input gate i", "forget gate f", "candidate g", "output gate o", "cell state c"]
    );
    let forget = svg.panel("forget gate f").cells(timesteps);
    assert_eq!(forget.len(), timesteps * units);
    for (t, u) in [(0, 0), (7, 3), (59, 7), (30, 5)] {
        for (s, v) in [(1, 1), (20, 2), (44, 6)] {
            let (a, b) = (gate(t, 1, u), gate(s, 1, v));
            if a > b + 0.05 {
                assert!(luma(forget[u * timesteps + t]) < luma(forget[v * timesteps + s]));
            }
        }
    }
    // Orange below 0, blue above.
    let candidate = svg.panel("candidate g").cells(timesteps);
    for (t, u) in [(0, 1), (9, 4), (33, 7), (50, 0)] {
        let [r, _, b] = candidate[u * timesteps + t];
        let value = gate(t, 2, u);
        assert!(value.abs() < 0.1 || (b > r) == (value > 0.0), "{value}: {r} {b}");
    }
    // More cells than pixels: means.
    let (timesteps, units) = (3000, 256);
    let all: Vec<f32> = (0..timesteps * 4 * units)
        .map(|i| 0.5 + 0.5 * (0.001 * (i % 100_003) as f32).sin())
        .collect();
    let picture = gates(&all, &vec![0.5; timesteps * units], [timesteps, units]).unwrap();
    let svg = Svg::of("gates_large", &picture, [900, 960]);
    assert!(svg.0.len() < 3_000_000, "{} bytes", svg.0.len());
    assert!(
        gates(&[0.0; 8], &[0.0; 3], [2, 1]).unwrap_err().to_string().starts_with("plot::gates: 3")
    );
}

#[test]
fn a_heat_map_has_labels_and_a_grey_for_nan() {
    let words = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "."];
    let french =
        ["le", "renard", "brun", "et", "rapide", "saute", "par-dessus", "un", "chien", "paresseux"];
    let mut weights: Vec<f32> =
        (0..100).map(|i| (-0.5 * (i as f32 / 10.0 - (i % 10) as f32).abs()).exp()).collect();
    weights[35] = f32::NAN;
    let map =
        HeatMap::new(&weights, [10, 10]).rows(&french).columns(&words).axes("French", "English");
    let svg = Svg::of("attention", &map.plot().unwrap().title("attention"), [660, 540]);
    let cells = svg.panel("").cells(10);
    assert_eq!(cells[35], [0xbb, 0xbb, 0xbb]);
    assert!(luma(cells[0]) < luma(cells[1]) && luma(cells[1]) < luma(cells[5]));
    assert_eq!(svg.group("rows", Some("French")).texts(), french);
    assert_eq!(svg.group("columns", Some("English")).texts(), words);

    let signed: Vec<f32> = (0..12).map(|i| i as f32 - 4.0).collect();
    let svg =
        Svg::of("heat_map_signed", &HeatMap::new(&signed, [3, 4]).plot().unwrap(), [420, 260]);
    let cells = svg.panel("").cells(4);
    assert_eq!(cells[4], [247, 251, 255], "0 is white");
    let side = |at: usize| i16::from(cells[at][2]) - i16::from(cells[at][0]);
    assert!((0..4).all(|at| side(at) < 0) && (5..12).all(|at| side(at) > 0));
    Svg::of("heat_map_same", &HeatMap::new(&[3.0; 6], [2, 3]).plot().unwrap(), [380, 240]);
    Svg::of("heat_map_nan", &HeatMap::new(&[f32::NAN; 6], [2, 3]).plot().unwrap(), [380, 240]);
    let one_row = HeatMap::new(&numbers(10, 0.0), [1, 10]).rows(&["saliency"]).columns(&words);
    Svg::of("heat_map_row", &one_row.plot().unwrap().title("words"), [660, 240]);

    let message = |map: HeatMap| map.plot().unwrap_err().to_string();
    let new = || HeatMap::new(&weights, [10, 10]);
    assert!(message(HeatMap::new(&weights, [9, 10])).starts_with("HeatMap::new: 100 values"));
    assert!(message(new().rows(&words[1..])).starts_with("HeatMap::rows: 9 values"));
    assert!(message(new().columns(&words[1..])).starts_with("HeatMap::columns: 9 values"));
    assert_eq!(
        message(new().range(1.0, 1.0)),
        "HeatMap::range is from 1 to 1, expected finite numbers, the first below the second"
    );
    assert!(matches!(HeatMap::new(&[], [0, 3]).plot(), Err(Error::Empty { .. })));
}
