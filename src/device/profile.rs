//! Profiles of a GPU: each dispatch between two timestamps, summed by kernel.

use super::{Backend, Device};
use crate::{Error, Result};
use std::fmt;

/// The work of one dispatch, as far as its op knows it: the arithmetic, and the least bytes to move, each
/// counted once.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    pub(crate) flop: f64,
    pub(crate) bytes: f64,
}

/// The time and work of a kernel: see [`Device::profile`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct KernelTime {
    /// The kernel's name: its file in `shaders/`, with the variant if there are several.
    pub kernel: &'static str,
    /// The number of dispatches.
    pub calls: u64,
    /// The time of all dispatches on the device, in seconds.
    pub seconds: f64,
    /// The additions and multiplications of products; 0 where they are not counted.
    pub flop: f64,
    /// The least bytes to move; 0 where they are not counted.
    pub bytes: f64,
}

/// A profile of a device, which `Display` writes as a table.
///
/// ```text
/// kernel                    calls        ms      %    GFLOP/s      GB/s
/// lstm_sequence                10    41.310   52.1       13.0       0.5
/// …
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Profile {
    /// The kernels, the longest time first.
    pub kernels: Vec<KernelTime>,
}

impl Profile {
    /// The time of all kernels, in seconds.
    pub fn seconds(&self) -> f64 {
        self.kernels.iter().map(|k| k.seconds).sum()
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = |amount: f64, seconds: f64| match amount > 0.0 && seconds > 0.0 {
            true => format!("{:.1}", amount / seconds * 1e-9),
            false => "-".into(),
        };
        let mut line = |name: &str, cells: [&str; 5]| {
            let [calls, ms, share, flop, bytes] = cells;
            writeln!(f, "{name:<26} {calls:>8} {ms:>10} {share:>6} {flop:>10} {bytes:>9}")
        };
        line("kernel", ["calls", "ms", "%", "GFLOP/s", "GB/s"])?;
        let all = self.seconds();
        for k in &self.kernels {
            let share = if all > 0.0 { 100.0 * k.seconds / all } else { 0.0 };
            let cells = [
                k.calls.to_string(),
                format!("{:.3}", k.seconds * 1e3),
                format!("{share:.1}"),
                rate(k.flop, k.seconds),
                rate(k.bytes, k.seconds),
            ];
            line(k.kernel, cells.each_ref().map(String::as_str))?;
        }
        let calls: u64 = self.kernels.iter().map(|k| k.calls).sum();
        line("all", [&calls.to_string(), &format!("{:.3}", all * 1e3), "100.0", "", ""])
    }
}

impl Device {
    /// The time of each kernel since the last call, by the device's own clock. Submits and waits.
    ///
    /// The device must have been opened with [`crate::GpuOptions::profile`].
    ///
    /// ```
    /// use wgpu_lstm::{Device, GpuOptions, Tape, Tensor, Var, nn::{Lstm, Params}};
    /// # fn main() -> wgpu_lstm::Result<()> {
    /// # let Ok(device) = Device::gpu(GpuOptions::default().software().profile()) else { return Ok(()) };
    /// # if !device.is_gpu() { return Ok(()) }
    /// // let device = Device::gpu(GpuOptions::default().profile())?;
    /// let params = Params::new(&device);
    /// let lstm = Lstm::new(8).build(&params, 3)?;
    /// let x = Var::from(Tensor::zeros([2, 5, 3], &device)?);
    /// lstm.forward(&Tape::inference(&params), &x)?;
    /// println!("{}", device.profile()?);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Option`] on the CPU and on a device that was opened without it, and those of
    /// [`Device::synchronize`].
    pub fn profile(&self) -> Result<Profile> {
        self.synchronize()?;
        let profiler = match &self.0 {
            Backend::Gpu(gpu) => gpu.profile(),
            Backend::Cpu(_) => None,
        };
        profiler.ok_or_else(|| Error::Option {
            option: "Device::profile",
            found: format!("asked of {self}"),
            expected: "asked of a GPU that was opened with GpuOptions::profile".into(),
        })
    }
}
