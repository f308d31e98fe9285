//! What the project's developers run beside the tests.

mod check;
#[cfg(feature = "kernels")]
mod fingerprint;
#[cfg(feature = "kernels")]
mod isa;
mod public_api;
#[cfg(feature = "kernels")]
mod roofline;
#[cfg(feature = "kernels")]
mod strategies;
mod uses;

use anyhow::{Result, bail};
use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask check [--no-tests] [PART...]
                        what must pass before a change lands, the cheapest first. PART is one of
                        fmt api deny clippy doc msrv wasm kernels examples benches tests
cargo xtask public-api      write the crate's public interface to docs/public-api.txt
cargo xtask public-api --check
                        the same, write nothing, fail if the file says other than the source
cargo xtask fingerprint [DEVICE] [--against FILE]
                        a hash over the bits of all results of each of many configurations, on a
                        device (default: the CPU, and a GPU if one is there); fail if one is not
                        as in FILE, an earlier output
cargo xtask isa             compile every kernel for AMD's chips, write docs/measured/ISA.md
cargo xtask isa --check     the same, write nothing, fail if a kernel spills registers
cargo xtask isa PART        print each configuration of the kernels whose names contain PART
cargo xtask roofline        how fast named cards can be: write docs/measured/ROOFLINE.md
cargo xtask strategies [DEVICE [--print]]
                        time every strategy on a device (default: the software adapter), write
                        what Strategy::Auto takes there: src/ops/lstm/select/strategies.csv, or print it
cargo xtask strategies predicted
                        the same for hardware that was not measured, by the roofline's model
cargo xtask uses [NAME...]  run the programs of examples/README.md with three seeds, write their scores there";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["check", ref parts @ ..] => check::run(parts),
        ["uses", ref names @ ..] => uses::write(names),
        ["public-api"] => public_api::write(),
        ["public-api", "--check"] => public_api::check(),
        // The last is for `isa` itself.
        ["fingerprint" | "isa" | "roofline" | "strategies" | "isa-chip", ..] => {
            of_kernels(&arguments)
        }
        [] | ["help" | "-h" | "--help"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => unknown(&arguments),
    }
}

#[cfg(feature = "kernels")]
fn of_kernels(arguments: &[&str]) -> Result<()> {
    match *arguments {
        ["fingerprint"] => fingerprint::print(None, None),
        ["fingerprint", "--against", file] => fingerprint::print(None, Some(file)),
        ["fingerprint", device] if !device.starts_with('-') => {
            fingerprint::print(Some(device), None)
        }
        ["fingerprint", device, "--against", file] => fingerprint::print(Some(device), Some(file)),
        ["isa"] => isa::write(),
        ["isa", "--check"] => isa::check(),
        ["isa", part] if !part.starts_with('-') => isa::print(part),
        ["roofline"] => roofline::write(),
        ["strategies"] => strategies::write("software", false),
        ["strategies", "predicted"] => strategies::predict(),
        ["strategies", device] => strategies::write(device, false),
        ["strategies", device, "--print"] => strategies::write(device, true),
        ["isa-chip", part, chip] => isa::chip(part, chip),
        _ => unknown(arguments),
    }
}

/// `cargo xtask` builds this program without the library, so that `check` starts at once: here it is
/// built and run again, with it.
#[cfg(not(feature = "kernels"))]
fn of_kernels(arguments: &[&str]) -> Result<()> {
    let mut cargo = std::process::Command::new("cargo");
    cargo.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    cargo.args(["run", "--quiet", "--locked", "--package", "xtask"]);
    if cfg!(windows) {
        // A program that runs cannot be replaced there, and both have one name.
        cargo.args(["--target-dir", "target/xtask"]);
    }
    let status = cargo.arg("--").args(arguments).status()?;
    // It has said why.
    std::process::exit(status.code().unwrap_or(1));
}

fn unknown(arguments: &[&str]) -> Result<()> {
    bail!("no such command: {}\n{USAGE}", arguments.join(" "))
}
