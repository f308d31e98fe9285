//! What the tests of the public interface and the library's own tests of its kernels share. Both include
//! this file, into a module that knows the library as `engine`.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use super::engine::nn::{Dense, Lstm, Params};
use super::engine::train::Adam;
use super::engine::{Device, GpuOptions, Tape, Tensor, Var, loss};
use std::path::{Path, PathBuf};

/// Whether this is the short form of the tests, that of `scripts/test.sh --quick`: tests of many cases then
/// take few of them.
pub(crate) fn quick() -> bool {
    let value = std::env::var_os("WGPU_LSTM_TEST_QUICK");
    value.is_some_and(|value| !value.is_empty() && value != "0")
}

/// A GPU, the software adapter if there is one, so that results do not depend on the machine. Without any,
/// the test fails.
pub(crate) fn open(options: GpuOptions) -> Device {
    Device::gpu(options.clone().software())
        .or_else(|_| Device::gpu(options))
        .unwrap_or_else(|error| panic!("this test needs a GPU adapter: {error}"))
}

/// The same, which neither finds nor leaves anything on disk.
pub(crate) fn gpu(options: GpuOptions) -> Device {
    let device = open(options.no_cache());
    assert!(device.is_gpu(), "WGPU_LSTM_DEVICE must not turn GPU tests into CPU tests");
    device
}

pub(crate) fn tensor(values: &[f32], shape: impl Into<Vec<usize>>, device: &Device) -> Tensor {
    Tensor::from_slice(values, shape, device).unwrap()
}

pub(crate) fn value(x: &Var) -> Vec<f32> {
    x.tensor().to_vec().unwrap()
}

/// A place for a test's own folder: nothing is there at first, nor afterwards.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(test: &str) -> Self {
        let folder =
            Self(std::env::temp_dir().join(format!("wgpu-lstm-{test}-{}", std::process::id())));
        folder.clear();
        folder
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// A device that keeps here what it compiles and learns.
    pub(crate) fn device(&self) -> Device {
        self.open(GpuOptions::default())
    }

    pub(crate) fn open(&self, options: GpuOptions) -> Device {
        open(options.cache(&self.0))
    }

    /// What lies here now.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(&self.0) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    fn clear(&self) {
        // Some tests put a file where the folder would be.
        let _ = std::fs::remove_dir_all(&self.0).or_else(|_| std::fs::remove_file(&self.0));
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Whether a file's name ends so.
pub(crate) fn ends(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

/// A model of LSTM layers and a dense one with a batch, for what a step of its training costs.
pub(crate) struct Training {
    /// `[B,T,I,H]`
    pub(crate) sizes: [usize; 4],
    pub(crate) layers: usize,
    /// Whether each step brings its batch to the device.
    pub(crate) uploads: bool,
}

impl Training {
    /// A closure that takes a step.
    pub(crate) fn start(&self, device: &Device) -> impl FnMut() + use<> {
        let device = device.clone();
        let Self { sizes: [b, t, i, h], layers, uploads } = *self;
        let params = Params::new(&device);
        let lstm = Lstm::new(h).num_layers(layers).build(&params, i).unwrap();
        let head = Dense::new(3).build(&params, h).unwrap();
        let mut adam = Adam::default();
        let values = vec![0.5; b * t * i];
        let labels: Vec<_> = (0..b as u32).map(|row| row % 3).collect();
        let on = device.clone();
        let batch = move || {
            let x = Var::from(tensor(&values, [b, t, i], &on));
            (x, loss::Labels::new(&labels, &on).unwrap())
        };
        let kept = (!uploads).then(&batch);
        move || {
            let brought = uploads.then(&batch);
            let (x, labels) = kept.as_ref().or(brought.as_ref()).unwrap();
            let tape = Tape::new(&params);
            let h = lstm.forward(&tape, x).unwrap();
            let logits = head.forward(&tape, &h).unwrap();
            let loss = loss::cross_entropy(&tape, &logits, labels, None).unwrap();
            tape.backward(&loss).unwrap();
            adam.step(&params).unwrap();
            device.submit().unwrap();
        }
    }
}
