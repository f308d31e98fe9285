//! Options that several commands have.

use anyhow::{Context, Result, bail};
use clap::Args;
use std::path::Path;
use wgpu_lstm::{DEVICE_VARIABLE, Device};

/// The device on which a model runs.
#[derive(Args)]
pub struct OnDevice {
    /// cpu, gpu, software or a part of an adapter's name [default: auto]
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
    /// The threads of the CPU device [default: all]
    #[arg(long, value_name = "N", conflicts_with = "device")]
    threads: Option<usize>,
}

impl OnDevice {
    /// Opens it; without options the best, or the one that the environment variable names.
    pub fn open(&self) -> Result<Device> {
        open(self.device.as_deref(), self.threads)
    }
}

/// Opens a device by name, or the CPU with so many threads.
pub fn open(name: Option<&str>, threads: Option<usize>) -> Result<Device> {
    if name.is_some_and(|name| name.trim().is_empty()) {
        bail!("--device: an empty name; `wgpu-lstm devices` lists those that there are");
    }
    let device = match (name, threads) {
        (_, Some(threads)) => Device::cpu_with_threads(threads),
        (Some(name), None) => Device::named(name),
        (None, None) => Device::auto(),
    };
    device.with_context(|| match std::env::var_os(DEVICE_VARIABLE) {
        Some(_) if name.is_none() && threads.is_none() => {
            format!("the device that {DEVICE_VARIABLE} names")
        }
        _ => "the device".into(),
    })
}

/// How the modules of a state dict are put together.
#[derive(Args)]
pub struct Chain {
    /// Of a state dict: the modules that run one after another, or `all`
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    modules: Option<Vec<String>>,
    /// With --modules: an output for each frame, not for the last one
    #[arg(long, requires = "modules")]
    sequences: bool,
}

impl Chain {
    pub fn modules(&self) -> Option<&[String]> {
        self.modules.as_deref()
    }

    pub fn sequences(&self) -> bool {
        self.sequences
    }
}

/// What is told of `--modules` below the options of a command.
pub const MODULES: &str = "\
A state dict has tensors, but no order of modules, and not all of what a module does. --modules says
the order, and behind a module's name what else there is: rnn:relu, an activation behind a Linear or
Conv1d (relu, tanh, sigmoid, softmax, gelu, silu, …), norm:eps=1e-3, conv:stride=2:padding=1 (also
dilation and groups), w:linear or w:embedding for a weight alone. What is not said is as PyTorch has
it by default, and a note tells what was taken. GroupNorm and InstanceNorm1d have the tensors of a
LayerNorm or BatchNorm1d and are taken for it. The last recurrent module gives its last output, of
both directions that of each (h_n), unless --sequences is given.";

/// The path of a file that a command was given.
pub fn file(path: &Path) -> Result<&Path> {
    if path.as_os_str().is_empty() {
        bail!("a file's name is empty");
    }
    if path == Path::new("-") {
        bail!(
            "\"-\" would be the standard input or output, and files are read and written at more than one \
             place: give a file's name (./- for one that is called so)"
        );
    }
    Ok(path)
}
