//! Options that several commands have.

use anyhow::{Context, Result};
use clap::Args;
use wgpu_lstm::{DEVICE_VARIABLE, Device};

/// The device on which a model runs.
#[derive(Args)]
pub struct OnDevice {
    /// auto, cpu, gpu, software, or a part of an adapter's name
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
    let device = match (name, threads) {
        (_, Some(threads)) => Device::cpu_with_threads(threads),
        (Some(name), None) => Device::named(name),
        (None, None) => Device::auto(),
    };
    device.with_context(|| match std::env::var_os(DEVICE_VARIABLE) {
        Some(_) if name.is_none() => format!("the device that {DEVICE_VARIABLE} names"),
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
    pub fn is_given(&self) -> bool {
        self.modules.is_some()
    }

    pub fn names(&self) -> Option<&[String]> {
        self.modules.as_deref()
    }

    pub fn sequences(&self) -> bool {
        self.sequences
    }
}
