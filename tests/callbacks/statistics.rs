//! Statistics of gradients and activations.

use super::*;
use crate::common::Folder;
use wgpu_lstm::Error;
use wgpu_lstm::train::{GradientStats, Statistics};

#[test]
fn statistics_of_numbers() {
    let found = Statistics::of("x", &[3.0, -4.0, 0.0, f32::NAN, f32::INFINITY]);
    assert_eq!((found.name.as_str(), found.norm, found.max), ("x", 5.0, 4.0));
    assert!((found.mean + 1.0 / 3.0).abs() < 1e-6);
    assert_eq!((found.zeros, found.non_finite), (0.2, 0.4));
    let none = Statistics::of("", &[]);
    assert_eq!([none.norm, none.mean, none.max, none.zeros, none.non_finite], [0.0; 5]);
}

#[test]
fn gradients_are_those_of_the_step() {
    let (x, y) = waves();
    let (mut seen, mut own) = (Vec::new(), Vec::new());
    struct Own<'a>(&'a mut Vec<(u64, f32)>);
    impl Callback for Own<'_> {
        fn before_step(&mut self, run: &mut Run<'_>) -> Result<()> {
            let gradient = run.params().gradient("lstm.bias_l0")?;
            let norm = gradient.iter().map(|g| f64::from(g * g)).sum::<f64>().sqrt();
            self.0.push((run.steps(), norm as f32));
            Ok(())
        }
    }
    let look = GradientStats::new(2, |step, all| {
        assert!(all.iter().all(|one| one.non_finite == 0.0 && one.norm > 0.0));
        let bias = all.iter().find(|one| one.name == "gradient/lstm.bias_l0").unwrap();
        seen.push((step, bias.norm));
        Ok(())
    });
    let fit = Fit::new().epochs(2).batch_size(8).quiet().callback(look).callback(Own(&mut own));
    model(&poisoned_cpu(), Sgd::new(0.1)).fit(&x, &y, fit).unwrap();
    assert_eq!(seen.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [0, 2, 4]);
    for (step, norm) in seen {
        let (_, expected) = own[step as usize];
        assert!((norm / expected - 1.0).abs() < 1e-5, "step {step}: {norm}, {expected}");
    }
}

/// What a layer gives for the probe is what the model predicts for it; padding does not count, which is 0 to
/// the last layer here.
#[test]
fn activations_of_a_probe() {
    let rows: Vec<Vec<f32>> =
        (1..6).map(|n| (0..n).map(|t| (n * t) as f32 + 0.5).collect()).collect();
    let x = Sequences::new(1, &rows).unwrap();
    let y = Targets::values(vec![0.5; 30], 2);
    for device in devices() {
        let mut model = Sequential::new(device)
            .add(Lstm::new(3).return_sequences())
            .add(Lstm::new(4).return_sequences())
            .add(Dense::new(2));
        model.compile(Sgd::new(0.1), Loss::MeanSquaredError, &[]);
        let mut seen = Vec::new();
        let look = GradientStats::new(1000, |step, all| {
            if step > 0 {
                seen.push((step, all.to_vec()));
            }
            Ok(())
        });
        let fit = Fit::new().epochs(2).batch_size(5).quiet().callback(look.probe(&x));
        model.fit(&x, &y, fit).unwrap();
        let [(1, _), (2, last)] = &seen[..] else { panic!("{seen:?}") };
        let names: Vec<_> = last.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["activation/lstm", "activation/lstm_1", "activation/dense"]);
        let expected = Statistics::of("", model.predict(&x).unwrap().values());
        common::close(
            &format!("the last layer on {device}"),
            &[last[2].norm, last[2].mean, last[2].max, last[2].zeros],
            &[expected.norm, expected.mean, expected.max, expected.zeros],
            1e-6,
        );
        assert!(last.iter().all(|one| one.zeros == 0.0 && one.non_finite == 0.0), "{last:?}");
    }
}

#[test]
fn a_probe_must_fit_the_model() {
    let (x, y) = waves();
    for (probe, features) in [
        (Sequences::from_array(&[0.5; 4], [1, 2, 2]).unwrap(), true),
        (Sequences::new::<Vec<f32>>(1, []).unwrap(), false),
    ] {
        let look = GradientStats::new(1, |_, _| Ok(())).probe(&probe);
        let fit = Fit::new().quiet().callback(look);
        match model(&poisoned_cpu(), Sgd::new(0.1)).fit(&x, &y, fit).unwrap_err() {
            Error::Features { op: "GradientStats::probe", .. } => assert!(features),
            Error::Empty { op: "GradientStats::probe", .. } => assert!(!features),
            error => panic!("{error}"),
        }
    }
    let look = GradientStats::new(0, |_, _| Ok(()));
    let fit = Fit::new().quiet().callback(look);
    let error = model(&poisoned_cpu(), Sgd::new(0.1)).fit(&x, &y, fit).unwrap_err();
    assert!(matches!(error, Error::Option { option: "GradientStats::every", .. }), "{error}");
}

#[test]
fn statistics_go_to_a_table_and_to_tensorboard() {
    let folder = Folder::new("statistics");
    std::fs::create_dir_all(folder.path()).unwrap();
    let path = folder.path().join("gradients.csv");
    let (x, y) = waves();
    let fit = || Fit::new().batch_size(8).quiet();
    let mut model = model(&poisoned_cpu(), Sgd::new(0.1));
    let mut table = GradientStats::csv(3, &path);
    let board = GradientStats::tensor_board(3, folder.path().join("gradients"));
    model.fit(&x, &y, fit().callback(&mut table).callback(board)).unwrap();
    let state = table.state().unwrap();
    let mut resumed = GradientStats::csv(3, &path);
    resumed.set_state(&state).unwrap();
    model.fit(&x, &y, fit().callback(resumed)).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("step,name,norm,mean,max,zeros,non_finite"));
    let expected: Vec<_> = [0, 3]
        .iter()
        .flat_map(|step| {
            let names = model.params().names();
            names.into_iter().map(move |name| format!("{step},gradient/{name},"))
        })
        .collect();
    let found: Vec<_> = lines.collect();
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert!(found.starts_with(expected), "{found}, not {expected}");
        assert!(found.split(',').skip(2).all(|cell| cell.parse::<f32>().is_ok()), "{found}");
    }
    let events = std::fs::read_dir(folder.path().join("gradients")).unwrap().next().unwrap();
    let bytes = std::fs::read(events.unwrap().path()).unwrap();
    let tag = b"gradient/dense.bias/norm";
    assert!(bytes.windows(tag.len()).any(|window| window == tag));
}
