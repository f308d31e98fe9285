//! Kernels are compiled when a recording that needs them is submitted: together, each once, and no others. What
//! fails there is an error of that submission, and of each later use.

use super::{Folder, Training, assert_same_bits, gpu, inner, open};
use crate::device::fast_path::{Candidates, Comparison, FastPath};
use crate::device::gpu::Gpu;
use crate::device::kernel::Access::{Read, Write};
use crate::device::kernel::{Dispatch, Kernel, Wgsl};
use crate::ops::common::Launch;
use crate::{Device, Error, GpuOptions, Result, Tensor};
use std::sync::{Arc, Barrier, Mutex, Weak};

/// A kernel of one invocation for each number, up to what it does with number i.
pub(super) const HEAD: Wgsl = Wgsl::lines(
    "
struct Dims { n: u32 }
@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x;
    if i >= dims.n { return; }
",
);

pub(super) const fn kernel(name: &'static str, parts: &'static [Wgsl]) -> Kernel {
    Kernel { name, parts, bindings: &[("x", Read), ("y", Write)], ..Kernel::PLAIN }
}

const TIMES: Wgsl = Wgsl::lines("override TIMES: u32;");

static ADD: Kernel =
    kernel("test_add", &[TIMES, HEAD, Wgsl::lines("y[i] += f32(TIMES) * x[i]; }")]);
static SCALE: Kernel = kernel("test_scale", &[TIMES, HEAD, Wgsl::lines("y[i] *= f32(TIMES); }")]);
static BROKEN: Kernel =
    kernel("test_broken", &[TIMES, HEAD, Wgsl::lines("y[i] = not_there(x[i]); }")]);
/// A constant that is no length of an array.
static TOO_SHORT: Kernel = kernel(
    "test_too_short",
    &[TIMES, HEAD, Wgsl::lines("y[i] = room[0]; }\nvar<workgroup> room: array<f32, TIMES>;")],
);

fn run(kernel: &'static Kernel, times: u32, x: &Tensor, y: &Tensor) -> Result<()> {
    inner(&x.device()).run(&Launch {
        kernel,
        grid: [(x.len() as u32).div_ceil(64), 1, 1],
        constants: &[("TIMES", times)],
        uniform: &[x.len() as u32],
        tensors: &[Some(x), Some(y)],
    })
}

fn values(device: &Device, n: usize) -> Tensor {
    let values: Vec<_> = (0..n).map(|i| (i % 17) as f32 - 8.0).collect();
    Tensor::from_slice(&values, [n], device).unwrap()
}

#[test]
fn what_a_submission_lacks_is_compiled_with_it_and_once() {
    let device = gpu(GpuOptions::default().no_cache());
    let (x, y) = (values(&device, 70), values(&device, 70));
    let before = device.counters();
    let record = || {
        for times in [2, 3, 2] {
            run(&ADD, times, &x, &y).unwrap();
            run(&SCALE, times, &x, &y).unwrap();
        }
    };
    record();
    let recorded = device.counters();
    assert_eq!(recorded.dispatches - before.dispatches, 6);
    assert_eq!(recorded.pipelines_created, before.pipelines_created, "compiled before it must be");
    device.submit().unwrap();
    let submitted = device.counters();
    // Two kernels by two constants.
    assert_eq!(submitted.pipelines_created - before.pipelines_created, 4);
    assert_eq!(submitted.times_compiled - before.times_compiled, 1);
    record();
    let found = y.to_vec().unwrap();
    let after = device.counters();
    assert_eq!(after.pipelines_created, submitted.pipelines_created);
    assert_eq!(after.times_compiled, submitted.times_compiled);
    // In the order of the recording: 1, 6, 27, 58 times x, and once more from there.
    let times = |y: f32| (((y + 2.0) * 2.0 + 3.0) * 3.0 + 2.0) * 2.0;
    let expected: Vec<f32> = x.to_vec().unwrap().iter().map(|x| x * times(times(1.0))).collect();
    assert_eq!(found, expected);
}

/// A training step compiles as often as it submits, and then no more.
#[test]
fn a_first_step_compiles_its_kernels_together() {
    // Where no kernel is checked first, which takes a software adapter long.
    let device = gpu(GpuOptions::default().portable());
    let before = device.counters();
    let mut step = Training { sizes: [5, 6, 4, 16], layers: 1, uploads: true }.start(&device);
    step();
    let first = device.counters();
    assert!(first.pipelines_created - before.pipelines_created >= 10, "{first:?}");
    let submissions = first.submissions - before.submissions;
    let times = first.times_compiled - before.times_compiled;
    assert!(times <= submissions && times <= 3, "{first:?}");
    step();
    let second = device.counters();
    assert_eq!(second.pipelines_created, first.pipelines_created);
    assert_eq!(second.times_compiled, first.times_compiled);
}

#[test]
fn a_kernel_that_does_not_compile_is_an_error_of_the_submission() {
    for (broken, times) in [(&BROKEN, 1), (&TOO_SHORT, 0)] {
        let device = gpu(GpuOptions::default().no_cache());
        let (x, y) = (values(&device, 10), values(&device, 10));
        run(&ADD, 1, &x, &y).unwrap();
        device.submit().unwrap();
        let before = device.counters();
        run(&ADD, 2, &x, &y).unwrap();
        run(broken, times, &x, &y).unwrap();
        let named = |error: Result<()>| match error {
            Err(Error::Gpu { message }) => message.contains(broken.name),
            _ => false,
        };
        assert!(named(y.to_vec().map(|_| ())), "{}", broken.name);
        // It failed for good, at once; the other one did not, and nothing else that was recorded is left.
        assert!(named(run(broken, times, &x, &y)), "{}", broken.name);
        let after = device.counters();
        assert_eq!(after.pipelines_created - before.pipelines_created, 1);
        run(&ADD, 2, &x, &y).unwrap();
        let expected: Vec<f32> = x.to_vec().unwrap().iter().map(|x| 4.0 * x).collect();
        assert_eq!(y.to_vec().unwrap(), expected);
        assert_eq!(device.counters().pipelines_created, after.pipelines_created);
    }
}

/// What is foreseen is compiled beside what is recorded; what is wrong with it tells who records it.
#[test]
fn a_kernel_that_is_foreseen_is_compiled_with_others() {
    let device = gpu(GpuOptions::default().no_cache());
    let (x, y) = (values(&device, 10), values(&device, 10));
    let before = device.counters();
    for kernel in [&SCALE, &BROKEN] {
        let (constants, uniform, grid) = (&[("TIMES", 3)], &[0], [1; 3]);
        inner(&device).foresee(&Dispatch { kernel, grid, constants, uniform, bound: &[] });
    }
    assert_eq!(device.counters().pipelines_created, before.pipelines_created);
    run(&ADD, 1, &x, &y).unwrap();
    device.submit().unwrap();
    let after = device.counters();
    assert_eq!(after.pipelines_created - before.pipelines_created, 2);
    assert_eq!(after.times_compiled - before.times_compiled, 1);
    run(&SCALE, 3, &x, &y).unwrap();
    let expected: Vec<f32> = x.to_vec().unwrap().iter().map(|x| 6.0 * x).collect();
    assert_eq!(y.to_vec().unwrap(), expected);
    let error = run(&BROKEN, 3, &x, &y).unwrap_err().to_string();
    assert!(error.contains("test_broken"), "{error}");
    assert_eq!(device.counters().pipelines_created, after.pipelines_created);
}

#[test]
fn threads_that_need_the_same_kernels_at_once_compile_each_once() {
    let device = gpu(GpuOptions::default().no_cache());
    let begin = Barrier::new(3);
    std::thread::scope(|scope| {
        for own in 0..3u32 {
            let (device, begin) = (&device, &begin);
            scope.spawn(move || {
                let (x, y) = (values(device, 100), values(device, 100));
                begin.wait();
                for times in [2, 5, 10 + own] {
                    run(&ADD, times, &x, &y).unwrap();
                }
                let sum = (1 + 2 + 5 + 10 + own) as f32;
                let expected: Vec<f32> = x.to_vec().unwrap().iter().map(|x| sum * x).collect();
                assert_eq!(y.to_vec().unwrap(), expected, "{own}");
            });
        }
    });
    // 2, 5, and one of each thread's.
    assert_eq!(device.counters().pipelines_created, 5);
}

/// A profile, which compiles as it records, sees the same numbers.
#[test]
fn a_step_has_the_same_bits_however_its_kernels_are_compiled() {
    let found = [GpuOptions::default(), GpuOptions::default().profile()].map(|options| {
        let device = gpu(options.no_cache());
        let (x, y) = (values(&device, 1000), values(&device, 1000));
        for times in 1..4 {
            run(&ADD, times, &x, &y).unwrap();
            run(&SCALE, times, &x, &y).unwrap();
        }
        y.to_vec().unwrap()
    });
    assert_same_bits("profiled", &found[1], &found[0]);
}

/// Trials share a device until something is read back; one that fails leaves none.
#[cfg_attr(not(feature = "cache"), ignore = "needs the feature cache")]
#[test]
fn trials_share_a_device_for_a_while() {
    static SEEN: Mutex<Vec<Weak<Gpu>>> = Mutex::new(Vec::new());
    fn look(gpu: &Arc<Gpu>) -> Result<Comparison> {
        SEEN.lock().unwrap().push(Arc::downgrade(gpu));
        let y = values(&gpu.device(), 10);
        run(&ADD, 1, &y, &values(&gpu.device(), 10))?;
        Ok(Comparison { fast: y.to_vec()?, plain: y.to_vec()?, bound: 0.0 })
    }
    static PATHS: [FastPath; 4] = [
        FastPath { name: "shared 0", kernels: &[&ADD], check: look },
        FastPath { name: "shared 1", kernels: &[&ADD], check: look },
        FastPath {
            name: "shared 2",
            kernels: &[&ADD],
            check: |gpu| look(gpu).and(Err(Error::Gpu { message: "a test".into() })),
        },
        FastPath { name: "shared 3", kernels: &[&ADD], check: look },
    ];
    let folder = Folder::new("shared");
    let device = open(GpuOptions::default().cache(folder.path()));
    let trusted: Vec<_> = PATHS.iter().map(|path| inner(&device).is_trusted(path)).collect();
    assert_eq!(trusted, [true, true, false, true]);
    let timed = inner(&device).autotune(&Candidates {
        name: "shared",
        kernels: &[&ADD],
        default: 0,
        count: 2,
        prepare: &|gpu, _| {
            SEEN.lock().unwrap().push(Arc::downgrade(gpu));
            let [x, y] = [(); 2].map(|()| values(&gpu.device(), 1000));
            Ok(Box::new(move || run(&ADD, 1, &x, &y)))
        },
    });
    assert!(timed < 2);
    let seen = std::mem::take(&mut *SEEN.lock().unwrap());
    let same = |a: usize, b: usize| Weak::ptr_eq(&seen[a], &seen[b]);
    assert!(same(0, 1) && same(1, 2) && !same(2, 3) && same(3, 4) && same(4, 5));
    assert!(seen[2].upgrade().is_none(), "the device of a failed trial is left");
    assert!(seen[5].upgrade().is_some());
    values(&device, 3).to_vec().unwrap();
    assert!(seen[5].upgrade().is_none(), "the device of trials is left behind");
}
