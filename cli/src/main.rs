//! `wgpu-lstm`: looks into models, converts them between formats, runs and times them.
//!
//! It ends with 0, with 1 after an error, whose text is on the standard error output, or with 2 after a wrong
//! command line.

mod bench;
mod convert;
mod devices;
mod formats;
mod inspect;
mod options;
mod run;
mod text;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Looks into models of LSTMs, converts them between formats, runs and times them.
#[derive(Parser)]
#[command(name = "wgpu-lstm", version, max_term_width = 100, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  wgpu-lstm inspect model.keras
  wgpu-lstm convert model.keras model.safetensors
  wgpu-lstm run model.safetensors --input x.npy --output y.npy
  wgpu-lstm bench model.onnx --batch 1,32 --steps 100
  wgpu-lstm devices

It ends with 0, with 1 after an error, and with 2 after a wrong command line.

Formats, told by their contents: models of wgpu-lstm (.safetensors), state dicts of PyTorch
(.safetensors, .pt, .pth), models of Keras (.keras, .h5), graphs of ONNX (.onnx).";

#[derive(Subcommand)]
enum Command {
    Inspect(inspect::Inspect),
    Convert(convert::Convert),
    Run(run::Run),
    Bench(bench::Bench),
    Devices(devices::Devices),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Inspect(inspect) => inspect.run(),
        Command::Convert(convert) => convert.run(),
        Command::Run(run) => run.run(),
        Command::Bench(bench) => bench.run(),
        Command::Devices(devices) => devices.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads, such as `head`, has read enough.
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<std::io::Error>();
    error.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Writes a text to the standard output, with a line's end.
fn print(text: &str) -> Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", text::harmless(text.trim_end()))?;
    Ok(out.flush()?)
}

/// As [`print`], of JSON.
fn print_json(value: &serde_json::Value) -> Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", text::harmless_json(&serde_json::to_string_pretty(value)?))?;
    Ok(out.flush()?)
}

/// Writes what is no result to the standard error output.
fn note(text: &str) {
    tell(&format!("note: {text}"));
}

/// Lines behind the first stand further right: none of them is mistaken for the tool's own.
fn tell(text: &str) {
    use std::io::Write;
    let text = text::harmless(text.trim_end()).replace("\n  ", "\n").replace('\n', "\n  ");
    // Whoever closed this output does not want to know.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
