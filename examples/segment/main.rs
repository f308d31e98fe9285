//! Splits Thai, which has no spaces between words, by the model of ICU4X.
//!
//!     cargo run --release --features pytorch --example segment [TEXT | -]
//!
//! `-` reads lines from standard input. `WGPU_LSTM_DEVICE=auto`, `software` or part of an adapter's name chooses
//! another device than the CPU.

mod model;

use std::io::BufRead;
use std::path::Path;
use wgpu_lstm::Device;

fn main() -> anyhow::Result<()> {
    let named = std::env::var_os(wgpu_lstm::DEVICE_VARIABLE).is_some();
    let device = if named { Device::auto()? } else { Device::cpu()? };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/thai");
    let words = model::Words::load(&folder, &device)?;
    match std::env::args().nth(1).as_deref() {
        Some("-") => {
            for line in std::io::stdin().lock().lines() {
                println!("{}", words.split(&line?)?.join(" "));
            }
        }
        text => {
            let text = text.unwrap_or("แต่ยังไม่ระบุวันเวลาที่แน่นอน");
            println!("{}", words.split(text)?.join(" "));
        }
    }
    Ok(())
}
