//! Pipelines and bind groups of kernels: looked up here alone, and cached.

use super::Gpu;
use super::compile::{Once, Pipeline, compile, layouts};
use crate::device::kernel::{Bound, Dispatch};
use crate::device::lock;
use crate::{Error, Result};
use std::collections::HashMap;
use std::sync::Arc;

/// The pipelines of a kernel: a few, which differ in their constants.
#[derive(Default)]
struct Compiled {
    module: Arc<Once<wgpu::ShaderModule>>,
    pipelines: Vec<Arc<Pipeline>>,
}

/// The most cached bind groups; one more clears the cache. Any training step has far fewer.
const MAX_BIND_GROUPS: usize = 8192;

/// The caches of one device.
#[derive(Default)]
pub(super) struct Kernels {
    compiled: HashMap<&'static str, Compiled>,
    bind_groups: HashMap<Box<[u64]>, wgpu::BindGroup>,
    /// The key of the last bind group looked up, kept to reuse its memory.
    key: Vec<u64>,
    /// The pipelines to compile before the next submission.
    missing: Vec<Arc<Pipeline>>,
    ids: u64,
    /// The number of pipelines created so far, and how often some were compiled at once.
    pub(super) pipelines_created: u64,
    pub(super) times_compiled: u64,
    pub(super) bind_groups_created: u64,
}

impl Kernels {
    pub(super) fn forget_bind_groups(&mut self) {
        self.bind_groups.clear();
    }

    pub(super) fn resolve(
        &mut self,
        gpu: &Gpu,
        arena: &wgpu::Buffer,
        dispatch: &Dispatch<'_>,
    ) -> Result<(Arc<Pipeline>, wgpu::BindGroup)> {
        let name = dispatch.kernel.name;
        let pipeline = self.pipeline(gpu, dispatch)?;

        self.key.clear();
        self.key.extend([pipeline.id, dispatch.uniform.len() as u64]);
        for slot in 0..dispatch.bound.len() {
            let Bound { raw, offset, bytes } = in_slot(gpu, dispatch, slot)?;
            self.key.extend([raw.id, offset, bytes]);
        }
        if let Some(group) = self.bind_groups.get(self.key.as_slice()) {
            return Ok((pipeline, group.clone()));
        }

        let mut entries = vec![wgpu::BindGroupEntry {
            binding: 0,
            resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: arena,
                offset: 0,
                size: std::num::NonZeroU64::new(uniform_bytes(dispatch)),
            }),
        }];
        for slot in 0..dispatch.bound.len() {
            let Bound { raw, offset, bytes } = in_slot(gpu, dispatch, slot)?;
            entries.push(wgpu::BindGroupEntry {
                binding: slot as u32 + 1,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: &raw.buffer,
                    offset,
                    size: std::num::NonZeroU64::new(bytes),
                }),
            });
        }
        let group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(name),
            layout: &pipeline.layout,
            entries: &entries,
        });
        if self.bind_groups.len() >= MAX_BIND_GROUPS {
            self.bind_groups.clear();
        }
        self.bind_groups.insert(self.key.as_slice().into(), group.clone());
        self.bind_groups_created += 1;
        Ok((pipeline, group))
    }

    /// The pipeline of a dispatch, which may not be compiled yet; an error where that has failed.
    fn pipeline(&mut self, gpu: &Gpu, dispatch: &Dispatch<'_>) -> Result<Arc<Pipeline>> {
        let compiled = self.compiled.entry(dispatch.kernel.name).or_default();
        if let Some(found) = compiled.pipelines.iter().find(|p| *p.constants == *dispatch.constants)
        {
            found.get()?;
            return Ok(found.clone());
        }
        let kernel = dispatch.kernel;
        let (layout, whole_layout) = layouts(gpu, kernel, uniform_bytes(dispatch));
        let (constants, module) = (dispatch.constants.into(), compiled.module.clone());
        let (id, made) = (self.ids, Once::new());
        let new = Arc::new(Pipeline { kernel, constants, module, layout, whole_layout, id, made });
        self.ids += 1;
        compiled.pipelines.push(new.clone());
        self.missing.push(new.clone());
        Ok(new)
    }

    /// Compiles what is missing.
    pub(super) fn compile(&mut self, gpu: &Gpu) {
        let missing = std::mem::take(&mut self.missing);
        if missing.is_empty() {
            return;
        }
        compile(gpu, &missing);
        self.times_compiled += 1;
        self.pipelines_created += missing.iter().filter(|p| p.get().is_ok()).count() as u64;
    }
}

impl Gpu {
    /// Has a pipeline compiled together with those that the recording lacks, since one that will be recorded has
    /// to be waited for otherwise. What is wrong with it tells who records it.
    pub(crate) fn foresee(&self, dispatch: &Dispatch<'_>) {
        let _ = lock(&self.kernels).pipeline(self, dispatch);
    }
}

fn uniform_bytes(dispatch: &Dispatch<'_>) -> u64 {
    (dispatch.uniform.len() as u64 * 4).next_multiple_of(16).max(16)
}

/// The buffer that a dispatch binds in a slot: a dummy where a constant makes the binding unused.
fn in_slot<'a>(gpu: &'a Gpu, dispatch: &Dispatch<'a>, slot: usize) -> Result<Bound<'a>> {
    let Some(bound) = dispatch.bound[slot] else {
        return Ok(Bound { raw: &gpu.unused[slot], offset: 0, bytes: 256 });
    };
    let (bytes, limit) = (bound.bytes, gpu.max_binding());
    if bytes > limit {
        return Err(Error::TooLarge { what: dispatch.kernel.bindings[slot].0, bytes, limit });
    }
    Ok(bound)
}
