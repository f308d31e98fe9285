//! From the start of a process to its first prediction. The process is this program itself, called
//! with a variable that says which device.

use std::process::Command;
use std::time::Instant;
use wgpu_lstm::Sequential;
use wgpu_lstm::data::Sequences;
use wgpu_lstm::nn::{Activation, Dense, Lstm};
use wgpu_lstm::{Device, Result};

const VARIABLE: &str = "LSTM_BENCH_FIRST_PREDICTION";

/// Whether this process was started to predict once, which it then has done.
pub fn is_child() -> Result<bool> {
    let Ok(device) = std::env::var(VARIABLE) else { return Ok(false) };
    let mut model = Sequential::new(&Device::named(&device)?)
        .add(Lstm::new(128))
        .add(Dense::new(1).activation(Activation::Sigmoid));
    model.build(64)?;
    let x = Sequences::from_array(&vec![0.5; 64 * 64], [1, 64, 64])?;
    assert!(model.predict(&x)?.row(0)[0].is_finite());
    Ok(true)
}

pub fn run() {
    println!("\nprocess start to first prediction (B1 T64 I64 H128), the second start and later:");
    let Ok(program) = std::env::current_exe() else { return };
    let named = crate::devices::named();
    let devices = match &named {
        Some(name) => vec![name.as_str()],
        None => vec!["cpu", "auto", "software"],
    };
    for device in devices {
        let mut times = vec![];
        for _ in 0..6 {
            let start = Instant::now();
            let out = Command::new(&program).env(VARIABLE, device).output();
            if !out.is_ok_and(|out| out.status.success()) {
                println!("startup/{device}: failed, as where there is no such device");
                break;
            }
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        if let [first, later @ ..] = &mut times[..]
            && !later.is_empty()
        {
            later.sort_by(f64::total_cmp);
            let median = later[later.len() / 2];
            println!("startup/{device}: {median:.1} ms (the first of this run {first:.1})");
        }
    }
}
