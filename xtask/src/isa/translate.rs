//! A kernel to SPIR-V, as wgpu does it for a pipeline of the library: no run-time checks, shared
//! memory not zeroed, constants substituted.

use anyhow::{Context, Result, bail};
use ash::vk;
use naga::back::spv;
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Module, ShaderStage};
use wgpu_lstm::testing::KernelSource;

/// What a driver is given for one pipeline.
pub struct Translated {
    pub spirv: Vec<u32>,
    /// The type of each binding of group 0.
    pub bindings: Vec<(u32, vk::DescriptorType)>,
    /// Bytes of immediates (push constants).
    pub immediates: u32,
}

/// A kernel, parsed and validated.
pub struct Parsed {
    name: &'static str,
    module: Module,
    info: ModuleInfo,
}

impl Parsed {
    pub fn new(kernel: &KernelSource) -> Result<Self> {
        let name = kernel.name;
        let module = naga::front::wgsl::parse_str(&kernel.wgsl)
            .map_err(|e| anyhow::anyhow!("{name}: {}", e.emit_to_string(&kernel.wgsl)))?;
        let info = Validator::new(ValidationFlags::all(), Capabilities::all())
            .validate(&module)
            .map_err(|e| anyhow::anyhow!("{name}: {}", e.emit_to_string(&kernel.wgsl)))?;
        Ok(Self { name, module, info })
    }

    /// The pipeline with these constants.
    pub fn pipeline(&self, constants: &[(&'static str, u32)]) -> Result<Translated> {
        let what = || format!("{} {constants:?}", self.name);
        let (mut bindings, mut immediates) = (Vec::new(), 0);
        for (_, variable) in self.module.global_variables.iter() {
            let kind = match variable.space {
                // The library binds its uniforms with an offset a launch.
                AddressSpace::Uniform => vk::DescriptorType::UNIFORM_BUFFER_DYNAMIC,
                AddressSpace::Storage { .. } => vk::DescriptorType::STORAGE_BUFFER,
                AddressSpace::Immediate => {
                    let size = self.module.types[variable.ty].inner.size(self.module.to_ctx());
                    immediates = size.next_multiple_of(4);
                    continue;
                }
                _ => continue,
            };
            match &variable.binding {
                Some(at) if at.group == 0 => bindings.push((at.binding, kind)),
                other => bail!("{}: a buffer bound at {other:?}, not in group 0", self.name),
            }
        }
        let values = constants.iter().map(|&(k, v)| (k.to_owned(), f64::from(v))).collect();
        let (module, info) = naga::back::pipeline_constants::process_overrides(
            &self.module,
            &self.info,
            Some((ShaderStage::Compute, "main")),
            &values,
        )
        .with_context(what)?;
        let entry = spv::PipelineOptions {
            shader_stage: ShaderStage::Compute,
            entry_point: "main".to_owned(),
        };
        let spirv = spv::write_vec(&module, &info, &options(), Some(&entry)).with_context(what)?;
        Ok(Translated { spirv, bindings, immediates })
    }
}

/// Those that wgpu has for a trusted module on a Vulkan 1.3 device.
fn options() -> spv::Options<'static> {
    let unchecked = BoundsCheckPolicy::Unchecked;
    spv::Options {
        lang_version: (1, 6),
        flags: spv::WriterFlags::empty(),
        bounds_check_policies: BoundsCheckPolicies {
            index: unchecked,
            buffer: unchecked,
            image_load: unchecked,
            binding_array: unchecked,
        },
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        force_loop_bounding: false,
        emit_int_div_checks: false,
        ..spv::Options::default()
    }
}
