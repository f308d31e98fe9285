//! `cargo xtask strategies`: times every strategy over a grid of shapes on a device, and writes into
//! `src/ops/lstm/select/strategies.csv` in which order `Strategy::Auto` is to try them on adapters of its class,
//! with the milliseconds of each. A backward pass is judged by the time of both passes: a difference of two
//! times has the errors of both.
//!
//! On a machine without the sources `--print` prints the rows instead, as the file takes them, each as soon as
//! it is measured.
//!
//! Where nobody has measured yet, `cargo xtask strategies predicted` writes what the model of
//! `cargo xtask roofline` says of named cards; such rows have no milliseconds.

use crate::roofline;
use anyhow::{Context, Result};
use std::fmt::Write;
use std::time::Instant;
use wgpu_lstm::nn::{Init, Lstm, Params, Strategy};
use wgpu_lstm::{Device, Tape, Tensor, Var};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../src/ops/lstm/select/strategies.csv");

/// Batches and hidden sizes, of a software adapter and of hardware.
const SOFTWARE: Grid = (&[1, 4, 16, 64], &[32, 128, 256, 512]);
const HARDWARE: Grid = (&[1, 4, 16, 64, 128, 256], &[32, 64, 128, 256, 512, 1024, 2048]);
type Grid = (&'static [usize], &'static [usize]);
const TIMESTEPS: usize = 64;
const INPUT_SIZE: usize = 32;
const ROUNDS: usize = 5;

/// By how much each is held back, so that near each other the one with less around it is taken: what is chosen
/// is at most a tenth behind the best, as a test of the table demands.
const STRATEGIES: [(&str, Strategy, f64); 3] = [
    ("sequence", Strategy::Sequence, 1.0),
    ("persistent", Strategy::Persistent, 1.05),
    ("stepwise", Strategy::Stepwise, 1.1),
];

/// The same for what a model says, which knows less.
const PREDICTED: [(&str, f64); 3] = [("sequence", 1.0), ("persistent", 1.3), ("stepwise", 1.2)];

/// The classes that the model knows cards of.
const MODELLED: [&str; 3] = ["discrete", "integrated", "apple"];

/// How long a GPU is kept busy before it is timed: one that was idle has slowed its clocks down.
const WARM: f64 = 0.4;

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
        // No orthogonal matrix, which takes long to make where it is large.
        let lstm =
            Lstm::new(hidden).return_sequences().strategy(strategy).recurrent_init(Init::PyTorch);
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
    let class = wgpu_lstm::testing::class(&device)
        .context("the CPU has one strategy: name a GPU, or `software`")?;
    let software = device.adapter().is_some_and(|adapter| adapter.software);
    let (batches, hidden_sizes) = if software { SOFTWARE } else { HARDWARE };
    let of = format!("{device}, T {TIMESTEPS}, I {INPUT_SIZE}, {} threads", threads());
    if print {
        println!("{}", heading(class, &of));
    }
    let mut rows = String::new();
    for &hidden in hidden_sizes {
        for &batch in batches {
            let mut layers = Vec::new();
            for (name, strategy, handicap) in STRATEGIES {
                // A device of its own: what another strategy's waiting taught it would go on.
                let device = Device::named(name_of_device)?;
                match Layer::new(&device, strategy, batch, hidden) {
                    Ok(layer) => layers.push((name, handicap, layer, vec![], vec![])),
                    Err(error) => eprintln!("B{batch} H{hidden}: {error}"),
                }
            }
            if !layers.iter().any(|layer| layer.0 == "stepwise") {
                eprintln!("B{batch} H{hidden}: left out");
                continue;
            }
            if !software {
                let begin = Instant::now();
                while begin.elapsed().as_secs_f64() < WARM {
                    layers[0].2.seconds(true)?;
                }
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
            for pass in ["forward", "backward"] {
                let times = layers
                    .iter()
                    .map(|(name, handicap, _, forward, both)| {
                        let times = if pass == "forward" { forward } else { both };
                        (*name, median(times.clone()) * 1e3, *handicap)
                    })
                    .collect();
                let row = row(&format!("{class},{pass},{batch},{hidden}"), times);
                if print {
                    println!("{row}");
                }
                writeln!(rows, "{row}")?;
            }
        }
    }
    if print { Ok(()) } else { save(|table| renewed(table, class, &of, &rows, true)) }
}

/// A row of the table, of strategies with their milliseconds and how much they are held back.
fn row(shape: &str, mut times: Vec<(&str, f64, f64)>) -> String {
    times.sort_by(|a, b| (a.1 * a.2).total_cmp(&(b.1 * b.2)));
    let names: Vec<_> = times.iter().map(|(name, ..)| *name).collect();
    let ms: Vec<_> = times.iter().map(|(_, ms, _)| format!("{ms:.3}")).collect();
    format!("{shape},{},{}", names.join(" "), ms.join(" "))
}

/// Writes what a model says of the hardware that it knows, where nothing was measured.
pub fn predict() -> Result<()> {
    for class in MODELLED {
        let of = format!(
            "{}; {BY_MODEL}, T {TIMESTEPS}, I {INPUT_SIZE}",
            roofline::cards_of(class).join(", ")
        );
        let rows = predicted(class)?;
        save(|table| renewed(table, class, &of, &rows, false))?;
    }
    Ok(())
}

/// A class's rows by the model. A strategy is judged by the geometric mean of its time, as a multiple of the
/// best, over the cards that have room for it: the others pass it by. What fits few of them is not judged by
/// those.
fn predicted(class: &str) -> Result<String> {
    let mut rows = String::new();
    for &hidden in HARDWARE.1 {
        for &batch in HARDWARE.0 {
            for pass in ["forward", "backward"] {
                let shape = [batch, TIMESTEPS, INPUT_SIZE, hidden];
                let strategies = PREDICTED.map(|p| p.0);
                let cards = roofline::times(class, shape, pass == "backward", strategies);
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
                let order: Vec<_> = order.into_iter().map(|(name, _)| name).collect();
                writeln!(rows, "{class},{pass},{batch},{hidden},{},", order.join(" "))?;
            }
        }
    }
    Ok(rows)
}

/// What the line above a model's rows says.
const BY_MODEL: &str = "not measured, by the model of docs/measured/ROOFLINE.md";

/// The line above a class's rows.
fn heading(class: &str, of: &str) -> String {
    format!("# {class}: {of}")
}

/// The table with new rows of a class. Measured ones take the place of the class's rows of the same shapes and
/// of a model's of the same hidden sizes; a model's that of all that are not measured, but for hidden sizes of
/// which some are: the nearest measured row knows more.
fn renewed(table: &str, class: &str, of: &str, rows: &str, measured: bool) -> String {
    fn shape(row: &str) -> Vec<&str> {
        row.split(',').take(4).collect()
    }
    fn is_measured(row: &str) -> bool {
        row.split(',').nth(5).is_some_and(|ms| !ms.is_empty())
    }
    let mine = |line: &str| line.starts_with(&format!("{class},"));
    let new: Vec<_> = rows.lines().map(shape).collect();
    let stays = |line: &&str| match line.strip_prefix(&format!("# {class}: ")) {
        Some(of) => of.contains(BY_MODEL) == measured,
        None if !mine(line) => true,
        None if !measured => is_measured(line),
        None if is_measured(line) => !new.contains(&shape(line)),
        None => !new.iter().any(|new| new[3] == shape(line)[3]),
    };
    let kept: Vec<_> = table.lines().filter(stays).collect();
    let known: Vec<_> = kept
        .iter()
        .filter(|line| mine(line) && is_measured(line))
        .map(|line| shape(line)[3])
        .collect();
    let mut text: String = kept.iter().map(|line| format!("{line}\n")).collect();
    text += &format!("{}\n", heading(class, of));
    for row in rows.lines().filter(|row| measured || !known.contains(&shape(row)[3])) {
        text += &format!("{row}\n");
    }
    text
}

fn save(change: impl FnOnce(&str) -> String) -> Result<()> {
    let table = std::fs::read_to_string(FILE).context(FILE)?;
    std::fs::write(FILE, change(&table)).context(FILE)?;
    println!("written to src/ops/lstm/select/strategies.csv");
    Ok(())
}

/// Of this machine, which a software adapter uses.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_faster_comes_first_unless_a_simpler_one_is_near() {
        let times = |sequence, persistent, stepwise| {
            let ms = [sequence, persistent, stepwise];
            STRATEGIES.iter().zip(ms).map(|(s, ms)| (s.0, ms, s.2)).collect()
        };
        let found = row("discrete,forward,1,8", times(1.0, 0.97, 0.5));
        assert_eq!(found, "discrete,forward,1,8,stepwise sequence persistent,0.500 1.000 0.970");
        let found = row("apple,backward,4,8", times(3.0, 2.0, 1.95));
        assert_eq!(found, "apple,backward,4,8,persistent stepwise sequence,2.000 1.950 3.000");
    }

    #[test]
    fn a_model_says_nothing_where_something_was_measured() {
        let head = "# What\nclass,pass\nsoftware,forward,1,32,sequence,1\n";
        let model = "apple,forward,1,32,stepwise,\napple,forward,4,32,stepwise,\n\
                     apple,forward,1,64,stepwise,\n";
        let of = format!("M2; {BY_MODEL}");
        let table = renewed(head, "apple", &of, model, false);
        assert_eq!(table, format!("{head}# apple: {of}\n{model}"));
        let measured = "apple,forward,1,32,sequence stepwise,1.0 2.0\n";
        let table = renewed(&table, "apple", "an M3", measured, true);
        let rest = format!("# apple: {of}\napple,forward,1,64,stepwise,\n");
        assert_eq!(table, format!("{head}{rest}# apple: an M3\n{measured}"));
        // Once more each: nothing doubles.
        assert_eq!(renewed(&table, "apple", "an M3", measured, true), table);
        let again = renewed(&table, "apple", &of, model, false);
        assert_eq!(again, format!("{head}# apple: an M3\n{measured}{rest}"));
    }
}
