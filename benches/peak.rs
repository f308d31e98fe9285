//! What a device can reach at most, and how much of it the library's products reach.
//!
//!     cargo bench --bench peak
//!
//! For each adapter: 32-bit and, where there are, 16-bit multiply-adds in a WGSL loop, and products of
//! 16-bit matrices by matrix units; bytes copied by a kernel; then a product of the library, in GFLOP/s
//! and as a share of the first. For the CPU: the largest of several sizes of the `gemm` crate's product,
//! and the same product through the library.

use std::time::Instant;
use wgpu_lstm::nn::{Dense, Params};
use wgpu_lstm::{DEVICE_VARIABLE, Device, Tape, Tensor, Var};

const WGSL: &str = include_str!("peak.wgsl");
const MATRIX_WGSL: &str = include_str!("peak_matrix.wgsl");
/// Multiply-adds of an invocation in one turn of the kernel's loop: 16 vec4.
const FMAS: f64 = 64.0;

/// Products that are measured: rows, columns, depth. The second is an LSTM's input part.
const PRODUCTS: [[usize; 3]; 3] = [[1024, 1024, 1024], [2048, 512, 64], [3200, 1024, 256]];

fn main() {
    let args: Vec<_> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "--help") {
        return println!(
            "peak [--device]: what the devices can reach, or which one a program gets"
        );
    }
    // A filter means other benchmarks.
    let other = |arg: &String| !arg.starts_with('-') && !"peak".contains(arg.as_str());
    if args.iter().any(|arg| arg == "--list" || arg == "--test" || other(arg)) {
        return;
    }
    if args.iter().any(|arg| arg == "--device") {
        return say_device();
    }
    let named = std::env::var(DEVICE_VARIABLE).ok().filter(|name| !name.trim().is_empty());
    let named = named.map(|_| Device::auto().unwrap_or_else(|error| panic!("{error}")));
    if named.as_ref().is_none_or(|device| !device.is_gpu()) {
        let cpu = Device::named("cpu").unwrap_or_else(|error| panic!("{error}"));
        println!("{cpu}");
        let peak = cpu_peak();
        println!("  sgemm peak      {peak:>9.1} GFLOP/s");
        products(&cpu, peak);
    }

    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::PRIMARY));
    for adapter in adapters {
        let info = adapter.get_info();
        if named.as_ref().is_some_and(|device| !is(device, &info)) {
            continue;
        }
        println!("{} ({:?}, {} {})", info.name, info.backend, info.driver, info.driver_info);
        let software = info.device_type == wgpu::DeviceType::Cpu;
        match Bench::open(adapter, software) {
            Ok(bench) => bench.run(&info.name),
            Err(error) => println!("  none: {error}"),
        }
    }
}

/// With `--device`: which one a program gets, and what it has.
fn say_device() {
    match Device::auto() {
        Ok(device) => {
            let has = device.adapter().map(|a| {
                format!(
                    "; f16 {}, subgroups {}, matrix units {}, software {}",
                    a.half_precision, a.subgroups, a.cooperative_matrices, a.software
                )
            });
            println!("{device}{}", has.unwrap_or_default());
        }
        Err(error) => {
            for adapter in Device::adapters() {
                eprintln!("there is: {} ({}, {})", adapter.name, adapter.backend, adapter.driver);
            }
            eprintln!("{error}");
            std::process::exit(1);
        }
    }
}

/// Whether a device of the library is on this adapter.
fn is(device: &Device, info: &wgpu::AdapterInfo) -> bool {
    device.adapter().is_some_and(|adapter| {
        adapter.name == info.name && adapter.backend == format!("{:?}", info.backend)
    })
}

/// Seconds of the fastest of some runs: of so many and for so long that a GPU's clocks have risen.
fn best(mut run: impl FnMut()) -> f64 {
    let (begin, mut runs, mut best) = (Instant::now(), 0, f64::INFINITY);
    while runs < 9 || begin.elapsed().as_secs_f64() < 0.4 {
        let start = Instant::now();
        run();
        best = best.min(start.elapsed().as_secs_f64());
        runs += 1;
    }
    best
}

/// GFLOP/s of the fastest product of the crate that the CPU device uses.
fn cpu_peak() -> f64 {
    let rate = |n: usize| {
        let (a, b, mut c) = (vec![0.5f32; n * n], vec![0.25f32; n * n], vec![0.0f32; n * n]);
        let seconds = best(|| {
            let (stride, threads) = (n as isize, gemm_common::Parallelism::Rayon(0));
            // SAFETY: three matrices of n by n numbers, column after column, of which C is apart.
            unsafe {
                gemm_f32::gemm::f32::get_gemm_fn()(
                    n,
                    n,
                    n,
                    c.as_mut_ptr(),
                    stride,
                    1,
                    false,
                    a.as_ptr(),
                    stride,
                    1,
                    b.as_ptr(),
                    stride,
                    1,
                    0.0,
                    1.0,
                    false,
                    false,
                    false,
                    threads,
                );
            }
        });
        2.0 * (n as f64).powi(3) / seconds * 1e-9
    };
    [512, 1024, 1536].map(rate).into_iter().fold(0.0, f64::max)
}

/// A Dense layer is a product and a bias.
fn products(device: &Device, peak: f64) {
    for [m, n, k] in PRODUCTS {
        let run = || {
            let params = Params::new(device);
            let dense = Dense::new(n).build(&params, k)?;
            let x = Var::from(Tensor::from_slice(&vec![0.5; m * k], [m, k], device)?);
            let call = || {
                let y = dense.forward(&Tape::inference(&params), &x);
                let done = y.and_then(|_| device.synchronize());
                done.unwrap_or_else(|error| panic!("{error}"));
            };
            Ok::<_, wgpu_lstm::Error>(best(call))
        };
        match run() {
            Ok(seconds) => {
                let rate = 2.0 * (m * n * k) as f64 / seconds * 1e-9;
                let share = 100.0 * rate / peak;
                println!(
                    "  {:<16}{rate:>9.1} GFLOP/s  {share:.0} % of peak",
                    format!("{m}x{n}x{k}")
                );
            }
            Err(error) => println!("  {m}x{n}x{k}: {error}"),
        }
    }
}

/// The kernels of the first file on such numbers.
fn source(elem: &str) -> String {
    let enable = if elem == "f16" { "enable f16;\n" } else { "" };
    format!("{enable}alias Elem = {elem};\n{WGSL}")
}

struct Bench {
    device: wgpu::Device,
    queue: wgpu::Queue,
    f16: bool,
    matrices: bool,
    software: bool,
}

impl Bench {
    fn open(adapter: wgpu::Adapter, software: bool) -> Result<Self, wgpu::RequestDeviceError> {
        let mut features = adapter.features() & wgpu::Features::SHADER_F16;
        let f16 = !features.is_empty();
        let name = adapter.get_info().name;
        let matrices = Device::adapters().iter().any(|a| a.name == name && a.cooperative_matrices);
        let mut experimental_features = wgpu::ExperimentalFeatures::disabled();
        if matrices {
            features |= wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX | wgpu::Features::SUBGROUP;
            // SAFETY: the word asked for is that one knows of possible faults behind such a feature.
            // One kernel uses it, with a type and size that the adapter lists, within its buffers.
            experimental_features = unsafe { wgpu::ExperimentalFeatures::enabled() };
        }
        let (device, queue) =
            pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
                required_features: features,
                required_limits: adapter.limits(),
                experimental_features,
                ..Default::default()
            }))?;
        Ok(Self { device, queue, f16, matrices, software })
    }

    fn run(&self, name: &str) {
        let peak = self.fma("f32");
        println!("  f32 FMA peak    {peak:>9.1} GFLOP/s");
        if self.f16 {
            println!("  f16 FMA peak    {:>9.1} GFLOP/s", self.fma("f16"));
        }
        if self.matrices {
            println!("  f16 matrix peak {:>9.1} GFLOP/s", self.matrix());
        }
        // Larger than any cache, within the default limit of a binding.
        let bytes = if self.software { 64 << 20 } else { 128 << 20 };
        let seconds = self.seconds("copy_peak", source("f32"), None, bytes, {
            let groups = bytes as u32 / 16 / 64;
            [groups.min(32_768), groups.div_ceil(32_768)]
        });
        println!("  copy            {:>9.1} GB/s", 2.0 * bytes as f64 / seconds * 1e-9);
        match Device::named(name) {
            Ok(device) => products(&device, peak),
            Err(error) => println!("  no products: {error}"),
        }
    }

    fn fma(&self, elem: &str) -> f64 {
        let (groups, steps) = if self.software { (256, 1 << 10) } else { (1 << 14, 1 << 11) };
        let bytes = groups as u64 * 64 * 16;
        let seconds = self.seconds("fma_peak", source(elem), Some(steps), bytes, [groups, 1]);
        2.0 * FMAS * f64::from(steps) * f64::from(groups) * 64.0 / seconds * 1e-9
    }

    /// Subgroups have at least 32 lanes there, so that a workgroup has at most eight.
    fn matrix(&self) -> f64 {
        let (groups, steps) = (1 << 11, 1 << 12);
        let (bytes, source) = (groups as u64 * 8 * 256 * 4, MATRIX_WGSL.to_owned());
        let seconds = self.seconds("matrix_peak", source, Some(steps), bytes, [groups, 1]);
        2.0 * 8.0 * 4096.0 * f64::from(steps) * f64::from(groups) / seconds * 1e-9
    }

    /// The time of one dispatch, of some in a row.
    fn seconds(
        &self,
        entry: &str,
        source: String,
        steps: Option<u32>,
        bytes: u64,
        grid: [u32; 2],
    ) -> f64 {
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some(entry),
            source: wgpu::ShaderSource::Wgsl(source.into()),
        };
        // SAFETY: the loop ends after STEPS turns. `fma_peak` reads 10 and writes as many vectors
        // as there are invocations, for which the buffers are made; `copy_peak` looks at its length,
        // which is that of both; `matrix_peak` reads six matrices and has one for each subgroup.
        let module = unsafe {
            self.device
                .create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked())
        };
        let constants: Vec<_> =
            steps.map(|steps| ("STEPS", f64::from(steps))).into_iter().collect();
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(entry),
            layout: None,
            module: &module,
            entry_point: Some(entry),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &constants,
                ..Default::default()
            },
            cache: None,
        });
        let buffers = [(); 2].map(|()| {
            self.device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: bytes,
                usage: wgpu::BufferUsages::STORAGE,
                mapped_at_creation: false,
            })
        });
        let entries = [0, 1].map(|n| wgpu::BindGroupEntry {
            binding: n as u32,
            resource: buffers[n].as_entire_binding(),
        });
        let group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        const DISPATCHES: u32 = 4;
        let seconds = best(|| {
            let mut encoder = self.device.create_command_encoder(&Default::default());
            let mut pass = encoder.begin_compute_pass(&Default::default());
            pass.set_pipeline(&pipeline);
            pass.set_bind_group(0, &group, &[]);
            for _ in 0..DISPATCHES {
                pass.dispatch_workgroups(grid[0], grid[1], 1);
            }
            drop(pass);
            self.queue.submit([encoder.finish()]);
            self.device
                .poll(wgpu::PollType::wait_indefinitely())
                .unwrap_or_else(|error| panic!("{error}"));
        });
        seconds / f64::from(DISPATCHES)
    }
}
