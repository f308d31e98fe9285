//! The node tests of the ONNX package.

use crate::common::{Vectors, close, devices, tensor, value};
use wgpu_lstm::nn::{Lstm, LstmState, Merge, Params};
use wgpu_lstm::{Tape, Var};

/// The gates of ONNX's operator lie in the order i, o, f, c; ours in i, f, g, o.
fn from_onnx(values: &[f32], rows: usize) -> Vec<f32> {
    let gate = values.len() / 4;
    assert_eq!(gate % rows.max(1), 0);
    [0, 2, 3, 1].iter().flat_map(|&g| values[g * gate..][..gate].to_vec()).collect()
}

#[test]
fn every_lstm_case_of_the_onnx_package() {
    for name in
        ["defaults", "with_initial_bias", "with_peepholes", "batchwise", "reverse", "bidirectional"]
    {
        let v = Vectors::load(&format!("onnx_node_{name}"));
        let shapes = v.metadata("shapes").unwrap();
        let shapes: Vec<usize> = shapes.split(',').map(|s| s.parse().unwrap()).collect();
        let batch_first = v.metadata("layout").is_some_and(|l| l == "1");
        let way = v.metadata("direction").unwrap_or_default();
        let both = way.contains("bidirectional");
        let directions = if both { 2 } else { 1 };
        let (t, b) = match batch_first {
            true => (shapes[1], shapes[0]),
            false => (shapes[0], shapes[1]),
        };
        let i = shapes[2];
        let h: usize = v.metadata("hidden_size").unwrap().parse().unwrap();
        for device in devices() {
            let what = format!("ONNX's {name} on {device}");
            let mut layer = Lstm::new(h).return_sequences();
            if !batch_first {
                layer = layer.time_major();
            }
            layer = match way.as_str() {
                way if way.contains("reverse") => layer.go_backwards(),
                _ if both => layer.bidirectional(Merge::Concat),
                _ => layer,
            };
            if v.find("P").is_some() {
                layer = layer.peepholes();
            }
            let params = Params::new(device);
            let layer = layer.build(&params, i).unwrap();
            for (d, suffix) in ["", "_reverse"].iter().take(directions).enumerate() {
                let part = |name: &str| -> Option<Vec<f32>> {
                    let all = v.find(name)?;
                    Some(all[d * all.len() / directions..][..all.len() / directions].to_vec())
                };
                let set = |name: &str, values: &[f32]| {
                    params.set(&format!("lstm.{name}_l0{suffix}"), values).unwrap();
                };
                set("weight_ih", &from_onnx(&part("W").unwrap(), i));
                set("weight_hh", &from_onnx(&part("R").unwrap(), h));
                let bias = part("B").unwrap_or_else(|| vec![0.0; 8 * h]);
                let sum: Vec<f32> = (0..4 * h).map(|j| bias[j] + bias[4 * h + j]).collect();
                set("bias", &from_onnx(&sum, 1));
                if let Some(p) = part("P") {
                    // i, o, f there; i, f, o here.
                    let p: Vec<f32> =
                        [0, 2, 1].iter().flat_map(|&g| p[g * h..][..h].to_vec()).collect();
                    set("peephole", &p);
                }
            }
            let shape = if batch_first { [b, t, i] } else { [t, b, i] };
            let x = Var::from(v.tensor("X", shape, device));
            let zeros = |name: &str, d: usize| {
                let all = v.find(name).unwrap_or_else(|| vec![0.0; directions * b * h]);
                Var::from(tensor(&all[d * b * h..][..b * h], [b, h], device))
            };
            let states: Vec<_> = (0..directions)
                .map(|d| LstmState::new(zeros("initial_h", d), zeros("initial_c", d)))
                .collect();
            let out = layer.run(&Tape::inference(&params), &x, Some(&states)).unwrap();
            let mut compared = 0;
            if let Some(y) = v.find("Y") {
                // [T,D,B,H] there, or [B,T,D,H] with the batch first; [T,B,D H] here.
                let found = value(&out.output);
                let found: Vec<f32> = match batch_first {
                    true => found,
                    false => (0..t * directions * b)
                        .flat_map(|row| {
                            let (t, d, b_) = (row / b / directions, row / b % directions, row % b);
                            found[((t * b + b_) * directions + d) * h..][..h].to_vec()
                        })
                        .collect(),
                };
                close(&what, &found, &y, 1e-5);
                compared += 1;
            }
            for (name, of) in [("Y_h", 0), ("Y_c", 1)] {
                let Some(expected) = v.find(name) else { continue };
                let found: Vec<f32> =
                    out.state.iter().flat_map(|s| value([&s.h, &s.c][of])).collect();
                close(&what, &found, &expected, 1e-5);
                compared += 1;
            }
            assert!(compared > 0, "{what}");
        }
    }
}
