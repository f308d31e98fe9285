//! Translates dates as people write them into dates as computers do: an encoder-decoder with
//! attention over characters, on dates that it makes up.
//!
//!     cargo run --release --example dates
//!
//! `WGPU_LSTM_DEVICE=cpu`, `software` or part of an adapter's name chooses the device.

use anyhow::Result;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use wgpu_lstm::nn::{Params, Seq2Seq};
use wgpu_lstm::train::Adam;
use wgpu_lstm::{Device, Tape};

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
/// What the model says.
const DIGITS: &str = "0123456789-";

fn main() -> Result<()> {
    let device = Device::auto()?;
    println!("device: {device}");
    let params = Params::new(&device);
    let model = Seq2Seq::new(128, DIGITS.len())
        .embedding_size(24)
        .hidden_size(64)
        .bidirectional_encoder()
        .build(&params)?;
    println!("{params:?}");

    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut adam = Adam::new(5e-3);
    for step in 1..=400 {
        let (read, say): (Vec<_>, Vec<_>) = (0..64).map(|_| date(&mut rng)).unzip();
        let tape = Tape::new(&params);
        let loss = model.loss(&tape, &codes(&read), &digits(&say))?;
        if step % 50 == 0 {
            println!("step {step}  loss {:.4}", loss.tensor().to_vec()?[0]);
        }
        tape.backward(&loss)?;
        adam.step(&params)?;
        device.submit()?;
    }

    let (read, say): (Vec<_>, Vec<_>) = (0..200).map(|_| date(&mut rng)).unzip();
    let said = model.greedy(&params, &codes(&read), 12)?;
    let right = said.iter().zip(digits(&say)).filter(|(a, b)| **a == *b).count();
    for best in model.beam(&params, &codes(&["the 3rd of may, 1998"]), 3, 12)?.remove(0) {
        println!("the 3rd of may, 1998 = {}  {:.3}", text(&best.tokens), best.log_probability);
    }
    println!("right: {:.1} %", 100.0 * right as f32 / read.len() as f32);
    Ok(())
}

/// A date in one of five forms, and as year-month-day.
fn date(rng: &mut ChaCha8Rng) -> (String, String) {
    let (y, m, d) =
        (rng.random_range(1900..2100), rng.random_range(1..=12), rng.random_range(1..=28));
    let name = MONTHS[m - 1];
    let th = match d {
        1 | 21 => "st",
        2 | 22 => "nd",
        3 | 23 => "rd",
        _ => "th",
    };
    let read = match rng.random_range(0..5) {
        0 => format!("{d} {name} {y}"),
        1 => format!("{name} {d}, {y}"),
        2 => format!("the {d}{th} of {name}, {y}"),
        3 => format!("{d}.{m}.{y}"),
        _ => format!("{} {d} {y}", &name[..3]),
    };
    (read, format!("{y}-{m:02}-{d:02}"))
}

fn codes<S: AsRef<str>>(texts: &[S]) -> Vec<Vec<u32>> {
    texts.iter().map(|t| t.as_ref().bytes().map(u32::from).collect()).collect()
}

fn digits(texts: &[String]) -> Vec<Vec<u32>> {
    let of = |c| DIGITS.find(c).unwrap_or(0) as u32;
    texts.iter().map(|t| t.chars().map(of).collect()).collect()
}

fn text(tokens: &[u32]) -> String {
    tokens.iter().filter_map(|&t| DIGITS.chars().nth(t as usize)).collect()
}
