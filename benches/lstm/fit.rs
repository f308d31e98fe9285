//! How the cost grows with the timesteps and with the rows: a straight line through medians.

use crate::devices::devices;
use crate::layer::{Layer, Pass, Way};
use crate::shapes::Shape;
use crate::warm::warm;
use wgpu_lstm::Result;

/// A size's name, its values, and the shape that has it.
type Axis = (&'static str, [usize; 5], fn(usize) -> Shape);

pub fn run() {
    println!("\ncost, in ms: intercept + slope n, least squares");
    for (name, device) in devices() {
        for pass in Pass::ALL {
            let cases: [Axis; 2] = [
                ("T", [64, 128, 192, 256, 320], |t| Shape::new([16, t, 64, 128], 1)),
                ("B", [16, 32, 48, 64, 80], |b| Shape::new([b, 64, 64, 128], 1)),
            ];
            for (axis, sizes, shape) in cases {
                let layers: Result<Vec<_>> =
                    sizes.iter().map(|&n| Layer::new(device, shape(n), Way::AUTO)).collect();
                match layers.and_then(|layers| medians(layers, pass)) {
                    Ok(times) => {
                        let points: Vec<_> = sizes.iter().map(|&n| n as f64).zip(times).collect();
                        let [intercept, slope, r2] = line(&points);
                        println!(
                            "fit/{name}/{}/{axis}: {intercept:.3} + {slope:.5} {axis}, R² {r2:.4}",
                            pass.name()
                        );
                    }
                    Err(error) => println!("fit/{name}/{}/{axis}: {error}", pass.name()),
                }
            }
        }
    }
}

/// Milliseconds of each, in rounds that take turns: more of them where one is quick.
fn medians(mut layers: Vec<Layer>, pass: Pass) -> Result<Vec<f64>> {
    let mut times = vec![vec![]; layers.len()];
    let mut whole = 0.0;
    for layer in &mut layers {
        layer.time(pass, 1)?;
        whole += layer.time(pass, 1)?.as_secs_f64();
    }
    for layer in &mut layers {
        warm(&layer.device.clone(), || layer.time(pass, 1).map(|_| ()))?;
    }
    let rounds = (1.5 / whole).clamp(7.0, 40.0) as usize;
    for round in 0..rounds + 2 {
        for (layer, times) in layers.iter_mut().zip(&mut times) {
            let took = layer.time(pass, 1)?.as_secs_f64() * 1e3;
            // The first two rounds warm up.
            if round > 1 {
                times.push(took);
            }
        }
    }
    Ok(times
        .into_iter()
        .map(|mut times| {
            times.sort_by(f64::total_cmp);
            times[times.len() / 2]
        })
        .collect())
}

/// Intercept, slope and R² of the line with the least squares.
fn line(points: &[(f64, f64)]) -> [f64; 3] {
    let n = points.len() as f64;
    let mean = |of: &dyn Fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
    let (x, y) = (mean(&|p| p.0), mean(&|p| p.1));
    let xx = mean(&|p| (p.0 - x).powi(2));
    let xy = mean(&|p| (p.0 - x) * (p.1 - y));
    let yy = mean(&|p| (p.1 - y).powi(2));
    let slope = xy / xx;
    [y - slope * x, slope, if yy > 0.0 { xy * xy / (xx * yy) } else { 1.0 }]
}
