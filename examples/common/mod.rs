//! What the programs of `examples/README.md` share: their arguments, where their data and pictures are, and how they
//! say a score.

use anyhow::{Result, bail};
use std::path::PathBuf;
use std::time::Instant;
use wgpu_lstm::Device;

/// The numbers that a program is judged by, its own and the baselines', by the names that stand in its table.
pub type Scores = Vec<(&'static str, f64)>;

/// The `main` of a program: runs it as its arguments say, then prints its scores and how long it took. The program
/// gets a device, a seed for first values and all that is drawn, and whether it is to be short: with few data and
/// few epochs, in seconds, as the tests run it.
pub fn main(program: impl FnOnce(&Device, u64, bool) -> Result<Scores>) -> Result<()> {
    let (mut seed, mut short) = (0, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--short" => short = true,
            "--seed" => seed = arguments.next().unwrap_or_default().parse()?,
            _ => bail!("unknown argument {argument:?}; there are --seed N and --short"),
        }
    }
    let device = Device::auto()?;
    println!("device: {device}");
    let start = Instant::now();
    for (name, value) in program(&device, seed, short)? {
        println!("score {name}: {value:.4}");
    }
    println!("seconds: {:.1}", start.elapsed().as_secs_f64());
    Ok(())
}

/// A file of `examples/data`.
pub fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/data").join(name)
}

/// Where a picture goes, which is said.
pub fn picture(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(name);
    println!("picture: {}", path.display());
    path
}
