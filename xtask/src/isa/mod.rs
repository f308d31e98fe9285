//! `cargo xtask isa`: what each kernel costs on AMD's chips, by Mesa's own compiler, with no card.
//!
//! The driver reads the chip's name from its environment when it starts, so each chip has a
//! process of its own: this program again, which prints a line for each pipeline.

mod driver;
mod table;
mod translate;

use anyhow::{Context, Result, bail};
use driver::{NullDevice, Statistics};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use translate::Parsed;
use wgpu_lstm::testing::KernelSource;

/// RDNA 2, RDNA 3, RDNA 4 and GCN 5, by the driver's names.
const CHIPS: [&str; 4] = ["navi21", "navi31", "gfx1201", "vega20"];

/// Those with matrix units, all of 16 x 16. Older drivers compile for both, and list the extension for the first alone.
const WITH_MATRICES: [&str; 2] = ["navi31", "gfx1201"];

/// Where the table goes.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/measured/ISA.md");

/// One pipeline on one chip.
struct Row {
    kernel: String,
    constants: String,
    chip: &'static str,
    statistics: Statistics,
}

impl Row {
    /// Whether a part of the kernel's values lives in memory, for want of registers.
    fn spills(&self) -> bool {
        self.statistics.spilled > 0 || self.statistics.scratch > 0
    }
}

/// Writes the table.
pub fn write() -> Result<()> {
    let (driver, rows) = compile("")?;
    std::fs::write(FILE, table::page(&driver, &rows)).context(FILE)?;
    let spills = rows.iter().filter(|row| row.spills()).count();
    println!("{driver}: {} pipelines, {spills} spill; written to docs/measured/ISA.md", rows.len());
    Ok(())
}

/// Prints every configuration of the kernels of hardware whose names contain `part`.
pub fn print(part: &str) -> Result<()> {
    let (driver, rows) = compile(part)?;
    if rows.is_empty() {
        bail!("no kernel's name contains {part:?}");
    }
    println!("{driver}\n\n{}", table::all(&rows));
    Ok(())
}

/// Fails if a kernel spills.
pub fn check() -> Result<()> {
    let (driver, mut rows) = compile("")?;
    let pipelines = rows.len();
    rows.retain(Row::spills);
    if !rows.is_empty() {
        println!("{}", table::all(&rows));
        bail!("{} of {pipelines} pipelines spill registers ({driver})", rows.len());
    }
    println!("{driver}: {pipelines} pipelines, none spills");
    Ok(())
}

/// Compiles the kernels whose names contain `part` for every chip, all chips at once.
fn compile(part: &str) -> Result<(String, Vec<Row>)> {
    let manifest = manifest()?;
    let program = std::env::current_exe()?;
    let mut children = Vec::new();
    for chip in CHIPS {
        let child = Command::new(&program)
            .args(["isa-chip", part, chip])
            .env("RADV_FORCE_FAMILY", chip)
            .env("VK_DRIVER_FILES", &manifest)
            .env("VK_ICD_FILENAMES", &manifest)
            // What an older compiler left there says nothing of this one.
            .env("MESA_SHADER_CACHE_DISABLE", "true")
            .stdout(Stdio::piped())
            // It warns of a card that is not there.
            .stderr(Stdio::piped())
            .spawn()?;
        children.push((chip, child));
    }
    let mut driver = String::new();
    let mut rows = Vec::new();
    for (chip, child) in children {
        let output = child.wait_with_output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("{chip}: {}\n{said}", output.status);
        }
        let lines = String::from_utf8(output.stdout)?;
        let mut lines = lines.lines();
        driver = lines.next().context("no driver")?.to_owned();
        for line in lines {
            rows.push(parse(line, chip).with_context(|| format!("{chip}: {line:?}"))?);
        }
    }
    Ok((driver, rows))
}

/// In a process of its own: compiles for a chip, which the environment names too.
pub fn chip(part: &str, chip: &str) -> Result<()> {
    let device = NullDevice::open()?;
    println!("{}", device.driver);
    for kernel in wgpu_lstm::testing::kernels().filter(|kernel| kernel.name.contains(part)) {
        match kernel.matrices {
            None => {}
            Some(16) if WITH_MATRICES.contains(&chip) => {}
            Some(_) => continue,
        }
        let parsed = Parsed::new(&kernel)?;
        for constants in kernel.variants.iter().filter(|c| on_hardware(&kernel, c)) {
            let what = || format!("{} {constants:?}", kernel.name);
            let statistics = device.compile(&parsed.pipeline(constants)?).with_context(what)?;
            let constants: Vec<_> = constants.iter().map(|(k, v)| format!("{k}={v}")).collect();
            let numbers = statistics.numbers().map(|n| n.to_string()).join(" ");
            println!("{}\t{}\t{numbers}", kernel.name, constants.join(" "));
        }
    }
    Ok(())
}

/// Whether a GPU runs a kernel so, and not a software adapter alone, for which a few kernels and
/// sizes are made that need as many registers as they like.
fn on_hardware(kernel: &KernelSource, constants: &[(&str, u32)]) -> bool {
    let rows = |&(name, value): &(&str, u32)| name == "GROUPS" && value > 1;
    !kernel.software && !constants.iter().any(rows)
}

fn parse(line: &str, chip: &'static str) -> Result<Row> {
    let parts: Vec<_> = line.split('\t').collect();
    let [kernel, constants, numbers] = parts[..] else { bail!("not three parts") };
    let numbers: Vec<u64> = numbers.split(' ').map(str::parse).collect::<Result<_, _>>()?;
    let numbers = numbers.try_into().ok().context("not as many numbers as there are")?;
    let statistics = Statistics::from_numbers(numbers);
    Ok(Row { kernel: kernel.to_owned(), constants: constants.to_owned(), chip, statistics })
}

/// The driver's manifest, which some systems name by their architecture.
fn manifest() -> Result<PathBuf> {
    for folder in ["/usr/share", "/usr/local/share", "/etc"] {
        let Ok(entries) = std::fs::read_dir(Path::new(folder).join("vulkan/icd.d")) else {
            continue;
        };
        let mut found: Vec<_> = entries
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                name.starts_with("radeon_icd.") && name.ends_with(".json")
            })
            .collect();
        found.sort();
        if let Some(path) = found.pop() {
            return Ok(path);
        }
    }
    bail!("Mesa's radeon_icd.json is not installed: Debian's package is mesa-vulkan-drivers")
}
