//! What the project's developers run beside the tests.

mod isa;
mod roofline;
mod strategies;

use anyhow::{Result, bail};
use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask isa             compile every kernel for AMD's chips, write benches/ISA.md
cargo xtask isa --check     the same, write nothing, fail if a kernel spills registers
cargo xtask isa PART        print each configuration of the kernels whose names contain PART
cargo xtask roofline        how fast named cards can be: write benches/ROOFLINE.md
cargo xtask strategies [DEVICE [--print]]
                        time every strategy on a device (default: the software adapter), write
                        what Strategy::Auto takes there: src/ops/lstm/select/strategies.csv, or print it
cargo xtask strategies predicted
                        the same for hardware that was not measured, by the roofline's model";

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
        ["isa"] => isa::write(),
        ["isa", "--check"] => isa::check(),
        ["isa", part] if !part.starts_with('-') => isa::print(part),
        ["roofline"] => roofline::write(),
        ["strategies"] => strategies::write("software", false),
        ["strategies", "predicted"] => strategies::predict(),
        ["strategies", device] => strategies::write(device, false),
        ["strategies", device, "--print"] => strategies::write(device, true),
        // For `isa` itself.
        ["isa-chip", part, chip] => isa::chip(part, chip),
        [] | ["help" | "-h" | "--help"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => bail!("no such command: {}\n{USAGE}", arguments.join(" ")),
    }
}
