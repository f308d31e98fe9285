//! What a copy takes: the least that an op which moves as many bytes can take.

use rayon::prelude::*;
use std::time::Instant;
use wgpu_lstm::Device;

/// A copy that reads half of so many bytes, and writes the other half.
pub enum Copy {
    /// By all cores, in parts that a cache holds. A software adapter's memory is the same.
    Cores { from: Vec<f32>, to: Vec<f32> },
    /// Between two buffers of a GPU.
    Gpu { device: wgpu::Device, queue: wgpu::Queue, buffers: [wgpu::Buffer; 2] },
}

impl Copy {
    /// `None` if the GPU cannot be opened once more.
    pub fn new(device: &Device, bytes: usize) -> Option<Self> {
        let words = bytes / 8;
        match device.adapter() {
            Some(adapter) if !adapter.software => Self::on_gpu(&adapter.name, 4 * words as u64),
            _ => Some(Self::Cores { from: vec![1.0; words], to: vec![0.0; words] }),
        }
    }

    fn on_gpu(name: &str, bytes: u64) -> Option<Self> {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
        let adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::PRIMARY));
        let adapter = adapters.into_iter().find(|adapter| adapter.get_info().name == name)?;
        let descriptor =
            wgpu::DeviceDescriptor { required_limits: adapter.limits(), ..Default::default() };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).ok()?;
        let buffers = [(); 2].map(|()| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: bytes,
                usage: wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        });
        Some(Self::Gpu { device, queue, buffers })
    }

    /// The seconds of one of `n` copies.
    pub fn seconds(&mut self, n: usize) -> f64 {
        let start = Instant::now();
        match self {
            Self::Cores { from, to } => {
                const PART: usize = 1 << 14;
                for _ in 0..n {
                    to.par_chunks_mut(PART)
                        .zip(from.par_chunks(PART))
                        .for_each(|(to, from)| to.copy_from_slice(from));
                }
            }
            Self::Gpu { device, queue, buffers: [from, to] } => {
                let mut encoder = device.create_command_encoder(&Default::default());
                for _ in 0..n {
                    encoder.copy_buffer_to_buffer(from, 0, to, 0, from.size());
                }
                queue.submit([encoder.finish()]);
                device
                    .poll(wgpu::PollType::wait_indefinitely())
                    .unwrap_or_else(|error| panic!("{error}"));
            }
        }
        start.elapsed().as_secs_f64() / n as f64
    }
}
