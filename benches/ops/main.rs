//! The speed of each op, forward and as a step of training (forward and backward), on every device of this
//! machine.
//!
//!     cargo bench --bench ops [-- FILTER]
//!
//! prints a table a device: the milliseconds, and for an op that moves memory GB/s of what it must read and
//! write at least, and the share of what a copy of as many bytes takes, which takes turns with it; for one
//! that multiplies GFLOP/s. A copy is one by all cores, on a GPU one between two of its buffers. The filter
//! is a part of an op's line, such as `attention`; with `WGPU_LSTM_DEVICE` that device alone is measured.

#[path = "../lstm/devices.rs"]
mod devices;
#[path = "../lstm/warm.rs"]
mod warm;

mod cases;
mod copy;

use cases::{OPS, Op, prepare};
use copy::Copy;
use std::time::Instant;
use wgpu_lstm::{Device, Result};

fn main() {
    let args: Vec<_> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "--list" || arg == "--test") {
        return;
    }
    let filter = args.iter().find(|arg| !arg.starts_with('-'));
    let wanted = |op: &Op| filter.is_none_or(|filter| op.to_string().contains(filter.as_str()));
    if !OPS.iter().any(wanted) {
        return;
    }
    for (name, device) in devices::devices() {
        println!("\n### {name}: {device}\n");
        println!("| op | pass | ms | GFLOP/s | GB/s | of a copy |");
        println!("|---|---|--:|--:|--:|--:|");
        for op in OPS.iter().filter(|op| wanted(op)) {
            for train in [false, true] {
                if !op.has(train) {
                    continue;
                }
                let pass = if train { "train" } else { "forward" };
                match measure(op, train, device) {
                    Ok(Measured { seconds, copy }) => {
                        println!("| {op} | {pass} |{}", cells(op, train, seconds, copy));
                    }
                    Err(error) => println!("| {op} | {pass} | none ({error}) ||||"),
                }
            }
        }
    }
}

struct Measured {
    seconds: f64,
    /// Of a copy of as many bytes.
    copy: Option<f64>,
}

fn cells(op: &Op, train: bool, seconds: f64, copy: Option<f64>) -> String {
    let or_none = |value: Option<String>| value.unwrap_or_else(|| "–".into());
    let flop = Some(op.flop(train)).filter(|&flop| flop > 0.0);
    let bytes = Some(op.bytes(train)).filter(|&bytes| bytes > 0);
    let ms = match 1e3 * seconds {
        ms if ms >= 10.0 => format!("{ms:.1}"),
        ms if ms >= 1.0 => format!("{ms:.2}"),
        ms => format!("{ms:.4}"),
    };
    format!(
        " {ms} | {} | {} | {} |",
        or_none(flop.map(|flop| format!("{:.1}", flop / seconds * 1e-9))),
        or_none(bytes.map(|bytes| format!("{:.1}", bytes as f64 / seconds * 1e-9))),
        or_none(copy.map(|copy| format!("{:.0} %", 100.0 * copy / seconds))),
    )
}

/// The median of rounds in which the op and a copy take turns.
fn measure(op: &Op, train: bool, device: &Device) -> Result<Measured> {
    let mut work = prepare(op, device)?;
    let mut copy = (op.bytes(train) > 0).then(|| Copy::new(device, op.bytes(train))).flatten();
    let mut time = |n: usize| -> Result<f64> {
        device.synchronize()?;
        let start = Instant::now();
        for _ in 0..n {
            work(train)?;
            device.submit()?;
        }
        device.synchronize()?;
        Ok(start.elapsed().as_secs_f64() / n as f64)
    };
    time(1)?;
    warm::warm(device, || time(1).map(|_| ()))?;
    // So many runs that a clock can tell, but seconds at most.
    let one = time(1)?;
    let n = ((0.02 / one) as usize).clamp(1, 1000);
    let rounds = ((1.0 / (one * n as f64)) as usize).clamp(5, 25);
    let (mut times, mut copies) = (vec![], vec![]);
    for _ in 0..rounds {
        times.push(time(n)?);
        copies.extend(copy.as_mut().map(|copy| copy.seconds(n)));
    }
    drop(work);
    device.trim()?;
    Ok(Measured { seconds: median(times), copy: copy.map(|_| median(copies)) })
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
