//! Tissue in scans of a head: LSTMs that read along rows, then along columns, tell fluid, grey and white matter where
//! a pixel alone is mostly noise.
//!
//!     cargo run --release --features npz,plot --example scans
//!
//! The model is a ReNet (Visin et al. 2015, arXiv:1505.00393) of one layer whose patches are pixels, a plain form of
//! the multi-dimensional LSTM (Graves et al. 2007). The data are slices of the template MNI152, one head that is the
//! mean of many (`examples/data/README.md`), with a scanner's uneven field and noise, drawn anew for each step.

#[path = "../common/mod.rs"]
mod common;
mod data;
mod light;
mod model;

use common::Scores;
use data::{Slices, beside};
use light::{by_light, largest};
use model::{ReNet, TISSUES};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use wgpu_lstm::loss::{Labels, cross_entropy};
use wgpu_lstm::nn::Params;
use wgpu_lstm::plot::HeatMap;
use wgpu_lstm::prelude::*;
use wgpu_lstm::train::metrics::ConfusionMatrix;
use wgpu_lstm::{Result, Tape};

/// Slices in a step.
const BATCH: usize = 3;
const RATE: f32 = 1e-2;

fn main() -> anyhow::Result<()> {
    common::main(run)
}

/// Trains, tests and draws; the scores.
pub fn run(device: &Device, seed: u64, short: bool) -> anyhow::Result<Scores> {
    let (train, test) = (Slices::read("train")?, Slices::read("test")?);
    println!("{} slices to train on, {} to test on", train.len(), test.len());
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let params = Params::seeded(device, seed);
    let net = ReNet::new(&params)?;
    let steps = if short { 50 } else { 240 };
    let (schedule, mut adam) = (OneCycle::new(steps).rise(0.2), Adam::new(RATE));
    for step in 0..steps {
        let slices: Vec<_> = (0..BATCH).map(|_| rng.random_range(0..train.len())).collect();
        let scans: Vec<_> = slices.iter().map(|&slice| train.scan(slice, &mut rng)).collect();
        let truth: Vec<_> = slices.iter().map(|&slice| train.truth(slice)).collect();
        let labels = Labels::new(&beside(&truth, train.size), device)?;
        let tape = Tape::new(&params);
        let loss = cross_entropy(&tape, &net.forward(&tape, &scans, train.size)?, &labels, None)?;
        tape.backward(&loss)?;
        params.clip_gradients(Clip::GlobalNorm(1.0))?;
        adam.set_learning_rate(RATE * schedule.factor(step));
        adam.step(&params)?;
        device.submit()?;
        if step % 20 == 19 {
            println!("step {:3} of {steps}: loss {:.3}", step + 1, loss.tensor().to_vec()?[0]);
        }
    }

    let mut rng = ChaCha8Rng::seed_from_u64(0); // All seeds are tested on the same scans.
    let scans: Vec<_> = (0..test.len()).map(|slice| test.scan(slice, &mut rng)).collect();
    let by_light = by_light(&train, &scans, &mut rng);
    let tissue = |scan: &Vec<f32>| -> Result<Vec<u32>> {
        let logits =
            net.forward(&Tape::inference(&params), &[scan], test.size)?.tensor().to_vec()?;
        Ok(logits.chunks(TISSUES).map(largest).collect())
    };
    let found = scans.iter().map(tissue).collect::<Result<Vec<_>>>()?;

    let shown = test.len() / 3;
    let numbers = |tissue: &[u32]| -> Vec<f32> { tissue.iter().map(|&t| t as f32).collect() };
    let scan = scans[shown].iter().map(|light| 3.0 * light.min(1.0)).collect();
    let tissues = [test.truth(shown), &by_light[shown], &found[shown]].map(numbers);
    let picture = beside(&[[scan].as_slice(), &tissues].concat(), test.size);
    let picture = HeatMap::new(&picture, [test.size[0], 4 * test.size[1]]).plot()?;
    let picture = picture.title("a scan, its tissues, by light alone, by LSTMs").size(1000, 360);
    picture.save(common::picture("scans.png"))?;

    let [lstm, light] =
        [found, by_light].map(|found| ConfusionMatrix::of(&test.tissue, &found.concat(), TISSUES));
    let (lstm, light) = (lstm?, light?);
    // Dice's coefficient is another name of F1.
    let dice = |matrix: &ConfusionMatrix, tissue| matrix.f1(Average::Class(tissue));
    Ok(vec![
        ("accuracy in the head", in_head(&lstm)),
        ("accuracy, by light", in_head(&light)),
        ("Dice of fluid", dice(&lstm, 1)),
        ("Dice of fluid, by light", dice(&light, 1)),
        ("Dice of grey matter", dice(&lstm, 2)),
        ("Dice of grey matter, by light", dice(&light, 2)),
        ("Dice of white matter", dice(&lstm, 3)),
        ("Dice of white matter, by light", dice(&light, 3)),
    ])
}

/// The share of pixels that are found to be what they are, of those that are no background.
fn in_head(matrix: &ConfusionMatrix) -> f64 {
    let rows =
        (1..TISSUES).map(|tissue| [matrix.row(tissue)[tissue], matrix.row(tissue).iter().sum()]);
    let [right, all] = rows.fold([0.0; 2], |a, b| [a[0] + b[0], a[1] + b[1]]);
    right / all
}
