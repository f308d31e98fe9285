//! `cargo xtask fingerprint`: runs the library in many configurations, and prints for each a hash over the
//! bits of all that comes out: outputs, last states, losses, gradients, trained parameters. Before and after a
//! change that is to compute nothing else, the lines are the same.
//!
//! Bits are those of one machine and driver: another SIMD width adds in another order. Nothing is kept on
//! disk, so that no clock chooses what runs; and the machine's cores are not asked for.
//!
//! What a device refuses counts by the error's text, which stands behind the hash: an error that nobody
//! expects means that a configuration shows nothing.

mod lstm;
mod others;
mod run;

use anyhow::{Context, Result, bail, ensure};
use run::{Configuration, Hash, Run};
use std::collections::BTreeMap;
use wgpu_lstm::{DEVICE_VARIABLE, Device, Error, GpuOptions, testing};

/// Of the CPU device, and those that a software adapter is taken to have: both share work out by them.
const THREADS: usize = 2;
/// The words of a chunk's gates on the device that cuts: 40 frames of 16 units.
const CHUNK_WORDS: usize = 40 * 4 * 16;
/// The last line's name.
const TOTAL: &str = "total";

/// A device with the configurations that it runs.
struct Subject {
    /// What its lines begin with.
    label: &'static str,
    device: Device,
    configurations: Vec<Configuration>,
}

/// Prints the lines of the named device, by default of the CPU and of a GPU, if one is there.
///
/// With `against`, the file of an earlier output, it fails if a configuration differs, and says which.
/// Where a device is named, lines of others in the file do not count.
pub fn print(name: Option<&str>, against: Option<&str>) -> Result<()> {
    let mut before = against.map(read).transpose()?;
    let name = wanted(name)?;
    let subjects = subjects(name.as_deref())?;
    let (mut total, mut differing) = (Hash::default(), Vec::new());
    for Subject { label, device, configurations } in &subjects {
        println!("# {label} is {device}");
        for (name, work) in configurations {
            // The same numbers on every device.
            let mut run = Run::new(device, name);
            let refused = match work(&mut run) {
                Ok(()) => String::new(),
                Err(error) => format!(" refused: {}", error.to_string().replace('\n', " ")),
            };
            run.hash.add(refused.as_bytes());
            let (name, hash) = (format!("{label}/{name}"), run.hash.to_string());
            println!("{name:<44} {hash}{refused}");
            total.add(format!("{name} {hash}\n").as_bytes());
            match before.as_mut().map(|before| before.remove(&name)) {
                Some(None) => differing.push(format!("{name}, which is new")),
                Some(Some(old)) if old != hash => differing.push(name),
                _ => {}
            }
        }
    }
    println!("{TOTAL:<44} {total}");
    let ran = |line: &String| subjects.iter().any(|s| line.split('/').next() == Some(s.label));
    let left = before.into_iter().flat_map(BTreeMap::into_keys);
    let gone = left.filter(|line| name.is_none() || ran(line));
    differing.extend(gone.map(|line| format!("{line}, which is no longer there")));
    if differing.is_empty() {
        return Ok(());
    }
    let file = against.unwrap_or_default();
    bail!("{} configurations differ from {file}:\n{}", differing.len(), differing.join("\n"))
}

/// The hashes of an earlier output by the names of their lines.
fn read(file: &str) -> Result<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(file).with_context(|| file.to_owned())?;
    let line = |line: &str| {
        let mut words = line.split_whitespace().map(str::to_owned);
        Some((words.next()?, words.next()?)).filter(|(name, _)| name != "#" && name != TOTAL)
    };
    let lines: BTreeMap<_, _> = text.lines().filter_map(line).collect();
    ensure!(!lines.is_empty(), "{file} holds no output of `cargo xtask fingerprint`");
    Ok(lines)
}

/// The device that is asked for: here, or by the variable that overrides a program's choice.
fn wanted(name: Option<&str>) -> Result<Option<String>> {
    let variable = std::env::var(DEVICE_VARIABLE).ok().map(|value| value.trim().to_owned());
    let variable = variable.filter(|value| !value.is_empty());
    if let (Some(name), Some(value)) = (name, &variable) {
        // It would win when the device is opened.
        ensure!(name == value, "{name} is asked for, but {DEVICE_VARIABLE} is {value}");
    }
    Ok(name.map(str::to_owned).or(variable))
}

fn subjects(name: Option<&str>) -> Result<Vec<Subject>> {
    let hardware = testing::threads(GpuOptions::default().no_cache(), THREADS);
    let software = hardware.clone().software();
    Ok(match name.map(str::to_lowercase).as_deref() {
        None => {
            let mut all = vec![cpu()?];
            let none = |error: &Error| matches!(error, Error::NoAdapter { .. });
            match gpus(&hardware) {
                Err(error) if none(&error) => match gpus(&software) {
                    Err(error) if none(&error) => eprintln!("no GPU: {error}"),
                    found => all.extend(found?),
                },
                found => all.extend(found?),
            }
            all
        }
        Some("auto") => gpus(&hardware).map(Vec::from).or_else(|_| Ok::<_, Error>(vec![cpu()?]))?,
        Some("cpu") => vec![cpu()?],
        Some("gpu") => gpus(&hardware)?.into(),
        Some("software") => gpus(&software)?.into(),
        Some(part) => gpus(&hardware.name(part))?.into(),
    })
}

/// What every device runs.
fn everywhere() -> Vec<Configuration> {
    lstm::all().into_iter().chain(others::all()).collect()
}

fn cpu() -> Result<Subject, Error> {
    let device = Device::cpu_with_threads(THREADS)?;
    Ok(Subject { label: "cpu", device, configurations: everywhere() })
}

/// A GPU, and the same one as small batches do not show it: cut into chunks, with the kernels of hardware
/// also on a software adapter.
fn gpus(options: &GpuOptions) -> Result<[Subject; 2], Error> {
    let cut = testing::chunk_words(testing::as_hardware(options.clone()), CHUNK_WORDS);
    Ok([
        Subject {
            label: "gpu",
            device: Device::gpu(options.clone())?,
            configurations: everywhere(),
        },
        Subject {
            label: "gpu-cut",
            device: Device::gpu(cut)?,
            configurations: lstm::chunked().into_iter().chain(others::products()).collect(),
        },
    ])
}
