//! `cargo xtask strategies`: times every strategy over a grid of shapes on a device, and writes into
//! `src/ops/lstm/select/strategies.csv` in which order `Strategy::Auto` is to try them there. A backward pass is
//! judged by the time of both passes: a difference of two times has the errors of both.
//!
//! On a machine without the sources `--print` prints the lines instead, each as soon as it is measured.
//!
//! For hardware that nobody has measured yet, `cargo xtask strategies predicted` writes what the model of
//! `cargo xtask roofline` says of named cards.

use crate::roofline;
use anyhow::{Context, Result};
use std::fmt::Write;
use std::time::Instant;
use wgpu_lstm::nn::{Lstm, Params, Strategy};
use wgpu_lstm::{Device, Tape, Tensor, Var};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../src/ops/lstm/select/strategies.csv");

/// Batches and hidden sizes, of a software adapter and of hardware.
const SOFTWARE: Grid = (&[1, 4, 16, 64], &[32, 128, 256, 512]);
const HARDWARE: Grid = (&[1, 4, 16, 64, 256], &[32, 64, 128, 256, 512, 1024, 2048]);
type Grid = (&'static [usize], &'static [usize]);
const TIMESTEPS: usize = 64;
const INPUT_SIZE: usize = 32;
const ROUNDS: usize = 5;

/// With how much slower each has to be before a simpler one is taken instead of it.
const STRATEGIES: [(&str, Strategy, f64); 3] = [
    ("sequence", Strategy::Sequence, 1.0),
    ("persistent", Strategy::Persistent, 1.1),
    ("stepwise", Strategy::Stepwise, 1.2),
];

/// The same for what a model says, which knows less.
const PREDICTED: [(&str, f64); 3] = [("sequence", 1.0), ("persistent", 1.3), ("stepwise", 1.2)];

/// A layer that goes by one strategy.
struct Layer {
    device: Device,
    params: Params,
    lstm: Lstm,
    x: Var,
    d_y: Tensor,
}

impl Layer {
    /// Fails where the strategy cannot run the shape, and where there is no room.
    fn new(
        device: &Device,
        strategy: Strategy,
        batch: usize,
        hidden: usize,
    ) -> wgpu_lstm::Result<Self> {
        let params = Params::new(device);
        let tensor = |width: usize| {
            let words: Vec<_> = (0..batch * TIMESTEPS * width).map(|i| (i as f32).sin()).collect();
            Tensor::from_slice(&words, [batch, TIMESTEPS, width], device)
        };
        let lstm = Lstm::new(hidden).return_sequences().strategy(strategy);
        let layer = Self {
            device: device.clone(),
            lstm: lstm.build(&params, INPUT_SIZE)?,
            params,
            x: tensor(INPUT_SIZE)?.into(),
            d_y: tensor(hidden)?,
        };
        // The first time kernels are compiled.
        layer.seconds(true)?;
        layer.seconds(false)?;
        Ok(layer)
    }

    /// The time of a forward pass, or of both.
    fn seconds(&self, train: bool) -> wgpu_lstm::Result<f64> {
        self.device.synchronize()?;
        let (begin, mut runs) = (Instant::now(), 0);
        // Long enough for the clock, and for a submission not to matter.
        while runs == 0 || (begin.elapsed().as_secs_f64() < 0.03 && runs < 100) {
            if train {
                let tape = Tape::new(&self.params);
                let y = self.lstm.forward(&tape, &self.x)?;
                tape.backward_from(&[(&y, self.d_y.clone())])?;
            } else {
                self.lstm.forward(&Tape::inference(&self.params), &self.x)?;
            }
            self.device.synchronize()?;
            runs += 1;
        }
        Ok(begin.elapsed().as_secs_f64() / f64::from(runs))
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Measures the device of this name, and writes the rows into the table or prints them.
pub fn write(name_of_device: &str, print: bool) -> Result<()> {
    let device = Device::named(name_of_device)?;
    let adapter =
        device.adapter().context("the CPU has one strategy: name a GPU, or `software`")?;
    let class = if adapter.software { "software" } else { "hardware" };
    let (batches, hidden_sizes) = if adapter.software { SOFTWARE } else { HARDWARE };
    let of = format!("{device}, T {TIMESTEPS}, I {INPUT_SIZE}, {} threads", threads());
    if print {
        println!(
            "# instead of the rows of {class} in src/ops/lstm/select/strategies.csv:\n# {class}: {of}"
        );
    }
    let mut rows = [String::new(), String::new()];
    for &hidden in hidden_sizes {
        for &batch in batches {
            let mut layers = Vec::new();
            for (name, strategy, handicap) in STRATEGIES {
                // A device of its own: what another strategy's waiting taught it would go on.
                let device = Device::named(name_of_device)?;
                match Layer::new(&device, strategy, batch, hidden) {
                    Ok(layer) => layers.push((name, handicap, layer, vec![], vec![])),
                    Err(error) => println!("# B{batch} H{hidden}: {error}"),
                }
            }
            if !layers.iter().any(|layer| layer.0 == "stepwise") {
                println!("# B{batch} H{hidden}: left out");
                continue;
            }
            for round in 0..ROUNDS {
                let first = |l: &(_, _, _, Vec<f64>, _)| l.3.first().copied().unwrap_or(0.0);
                let best = layers.iter().map(first).fold(f64::INFINITY, f64::min);
                for (_, _, layer, forward, both) in &mut layers {
                    // Far behind: once is enough.
                    if round > 0 && forward[0] > 3.0 * best {
                        continue;
                    }
                    forward.push(layer.seconds(false)?);
                    both.push(layer.seconds(true)?);
                }
            }
            for (pass, rows) in ["forward", "backward"].iter().zip(&mut rows) {
                let mut times: Vec<_> = layers
                    .iter()
                    .map(|(name, handicap, _, forward, both)| {
                        let times = if *pass == "forward" { forward } else { both };
                        (*name, median(times.clone()), *handicap)
                    })
                    .collect();
                times.sort_by(|a, b| (a.1 * a.2).total_cmp(&(b.1 * b.2)));
                let shown: Vec<_> =
                    times.iter().map(|(name, s, _)| format!("{name} {:.3}", s * 1e3)).collect();
                println!("# B{batch} H{hidden} {pass}, ms: {}", shown.join(", "));
                let order: Vec<_> = times.iter().map(|(name, ..)| *name).collect();
                let row = format!("{class},{pass},{batch},{hidden},{}", order.join(" "));
                if print {
                    println!("{row}");
                }
                writeln!(rows, "{row}")?;
            }
        }
    }
    if print { Ok(()) } else { renew(class, &of, &rows.concat()) }
}

/// Writes what a model says of the hardware that it knows. A strategy is judged by the geometric mean of its
/// time, as a multiple of the best, over the cards that have room for it: the others pass it by. What fits
/// few of them is not judged by those.
pub fn predict() -> Result<()> {
    let mut rows = String::new();
    for pass in ["forward", "backward"] {
        for &hidden in HARDWARE.1 {
            for &batch in HARDWARE.0 {
                let shape = [batch, TIMESTEPS, INPUT_SIZE, hidden];
                let cards = roofline::times(shape, pass == "backward", PREDICTED.map(|p| p.0));
                let best = |times: &[Option<f64>]| {
                    times.iter().flatten().copied().fold(f64::INFINITY, f64::min)
                };
                let mut order = Vec::new();
                for (which, (name, handicap)) in PREDICTED.into_iter().enumerate() {
                    let slower = |times: &[Option<f64>; 3]| Some(times[which]? / best(times));
                    let slower: Vec<f64> = cards.iter().filter_map(slower).collect();
                    let mean = slower.iter().map(|s| s.ln()).sum::<f64>() / slower.len() as f64;
                    if 2 * slower.len() >= cards.len() {
                        order.push((name, mean.exp() * handicap));
                    }
                }
                order.sort_by(|a, b| a.1.total_cmp(&b.1));
                let shown: Vec<_> =
                    order.iter().map(|(name, times)| format!("{name} {times:.2}")).collect();
                println!("B{batch} H{hidden} {pass}, of the best: {}", shown.join(", "));
                let order: Vec<_> = order.into_iter().map(|(name, _)| name).collect();
                writeln!(rows, "hardware,{pass},{batch},{hidden},{}", order.join(" "))?;
            }
        }
    }
    let of = format!(
        "not measured; by the model of docs/measured/ROOFLINE.md, T {TIMESTEPS}, I {INPUT_SIZE}"
    );
    renew("hardware", &of, &rows)
}

/// Writes the rows of a class in the place of those that are there.
fn renew(class: &str, of: &str, rows: &str) -> Result<()> {
    let old = std::fs::read_to_string(FILE).context(FILE)?;
    let others = |line: &&str| {
        !line.starts_with(&format!("{class},")) && !line.starts_with(&format!("# {class}:"))
    };
    let mut table: String = old.lines().filter(others).map(|line| format!("{line}\n")).collect();
    write!(table, "# {class}: {of}\n{rows}")?;
    std::fs::write(FILE, table).context(FILE)?;
    println!("written to src/ops/lstm/select/strategies.csv");
    Ok(())
}

/// Of this machine, which a software adapter uses.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
