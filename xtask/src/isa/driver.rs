//! Mesa's RADV without a card: with `RADV_FORCE_FAMILY` in its environment the driver makes a
//! device of any chip, which compiles pipelines and runs nothing.

use super::translate::Translated;
use anyhow::{Context, Result, bail};
use ash::{ext, khr, vk};
use std::ffi::CStr;

/// What the driver says of one pipeline.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    pub vgprs: u64,
    pub sgprs: u64,
    /// Registers that were spilled, of either kind.
    pub spilled: u64,
    /// Bytes of memory in place of registers, a wave.
    pub scratch: u64,
    /// Bytes of shared memory, a workgroup.
    pub lds: u64,
    /// Waves that run at once on a SIMD, as far as registers and shared memory allow.
    pub waves: u64,
    /// Bytes of machine code.
    pub code: u64,
    pub instructions: u64,
    /// Cycles of one wave.
    pub latency: u64,
    /// Cycles from one wave of 64 to the next, on a SIMD that is full of them.
    pub inverse_throughput: u64,
}

impl Statistics {
    /// In the table's order.
    pub fn numbers(&self) -> [u64; 10] {
        [
            self.vgprs,
            self.sgprs,
            self.spilled,
            self.scratch,
            self.lds,
            self.waves,
            self.code,
            self.instructions,
            self.latency,
            self.inverse_throughput,
        ]
    }

    pub fn from_numbers(numbers: [u64; 10]) -> Self {
        let [vgprs, sgprs, spilled, scratch, lds, waves, ..] = numbers;
        let [.., code, instructions, latency, inverse_throughput] = numbers;
        Self {
            vgprs,
            sgprs,
            spilled,
            scratch,
            lds,
            waves,
            code,
            instructions,
            latency,
            inverse_throughput,
        }
    }
}

/// A chip that is not there.
pub struct NullDevice {
    // Functions of a library that stays loaded as long as this lives.
    _entry: ash::Entry,
    instance: ash::Instance,
    device: ash::Device,
    executables: khr::pipeline_executable_properties::Device,
    /// The driver's name and version.
    pub driver: String,
}

impl NullDevice {
    /// Opens the first device of the driver that the environment names.
    pub fn open() -> Result<Self> {
        // SAFETY: Vulkan's rules on handles: each is used while its parent lives, and the driver
        // is asked before a feature or an extension of it is turned on. All structures that a
        // call reads live until it returns.
        unsafe {
            let entry = ash::Entry::load().context("no Vulkan loader (libvulkan1)")?;
            let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
            let info = vk::InstanceCreateInfo::default().application_info(&application);
            let instance = entry.create_instance(&info, None)?;
            let gpus = instance.enumerate_physical_devices()?;
            let &gpu = gpus.first().context("the driver knows no such chip")?;

            let mut driver = vk::PhysicalDeviceDriverProperties::default();
            let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut driver);
            instance.get_physical_device_properties2(gpu, &mut properties);
            let api = properties.properties.api_version;
            let name = text(&driver.driver_name)?;
            let driver = format!("{name} {}", text(&driver.driver_info)?);
            if api < vk::API_VERSION_1_3 {
                bail!("{driver} has no Vulkan 1.3");
            }

            let offered = instance.enumerate_device_extension_properties(gpu)?;
            let has = |name: &CStr| {
                offered.iter().any(|e| e.extension_name_as_c_str().is_ok_and(|n| n == name))
            };
            if !has(khr::pipeline_executable_properties::NAME) {
                bail!("{driver} tells nothing of its pipelines");
            }
            let mut names = vec![khr::pipeline_executable_properties::NAME];
            let mut statistics =
                vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default()
                    .pipeline_executable_info(true);
            // As wgpu opens a device: accesses out of bounds are defined, which the compiler has
            // to heed. Besides, all that a kernel may ask for.
            let mut robust = vk::PhysicalDeviceRobustness2FeaturesEXT::default();
            let mut matrices = vk::PhysicalDeviceCooperativeMatrixFeaturesKHR::default();
            let mut v11 = vk::PhysicalDeviceVulkan11Features::default();
            let mut v12 = vk::PhysicalDeviceVulkan12Features::default();
            let mut v13 = vk::PhysicalDeviceVulkan13Features::default();
            let mut all = vk::PhysicalDeviceFeatures2::default()
                .push_next(&mut v11)
                .push_next(&mut v12)
                .push_next(&mut v13);
            if has(ext::robustness2::NAME) {
                names.push(ext::robustness2::NAME);
                all = all.push_next(&mut robust);
            }
            if has(khr::cooperative_matrix::NAME) {
                names.push(khr::cooperative_matrix::NAME);
                all = all.push_next(&mut matrices);
            }
            instance.get_physical_device_features2(gpu, &mut all);
            let names: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
            let queues = [vk::DeviceQueueCreateInfo::default().queue_priorities(&[1.0])];
            let info = vk::DeviceCreateInfo::default()
                .queue_create_infos(&queues)
                .enabled_extension_names(&names)
                .push_next(&mut statistics)
                .push_next(&mut all);
            let device = instance.create_device(gpu, &info, None)?;
            let executables = khr::pipeline_executable_properties::Device::new(&instance, &device);
            Ok(Self { _entry: entry, instance, device, executables, driver })
        }
    }

    /// Compiles a pipeline.
    pub fn compile(&self, kernel: &Translated) -> Result<Statistics> {
        let bindings: Vec<_> = kernel
            .bindings
            .iter()
            .map(|&(binding, kind)| {
                vk::DescriptorSetLayoutBinding::default()
                    .binding(binding)
                    .descriptor_type(kind)
                    .descriptor_count(1)
                    .stage_flags(vk::ShaderStageFlags::COMPUTE)
            })
            .collect();
        let set = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
        let ranges = [vk::PushConstantRange::default()
            .stage_flags(vk::ShaderStageFlags::COMPUTE)
            .size(kernel.immediates)];
        let module = vk::ShaderModuleCreateInfo::default().code(&kernel.spirv);
        let device = &self.device;
        // SAFETY: as in `open`; naga has validated the module, its bindings are in the layout,
        // and what is made here is destroyed here, after its last use. An error leaks handles
        // until the process ends, which it then soon does.
        unsafe {
            let sets = [device.create_descriptor_set_layout(&set, None)?];
            let mut layout = vk::PipelineLayoutCreateInfo::default().set_layouts(&sets);
            if kernel.immediates > 0 {
                layout = layout.push_constant_ranges(&ranges);
            }
            let layout = device.create_pipeline_layout(&layout, None)?;
            let module = device.create_shader_module(&module, None)?;
            let stage = vk::PipelineShaderStageCreateInfo::default()
                .stage(vk::ShaderStageFlags::COMPUTE)
                .module(module)
                .name(c"main");
            let info = vk::ComputePipelineCreateInfo::default()
                .stage(stage)
                .layout(layout)
                .flags(vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR);
            let pipeline = device
                .create_compute_pipelines(vk::PipelineCache::null(), &[info], None)
                .map_err(|(_, error)| error)?[0];
            let statistics = self.statistics(pipeline);
            device.destroy_pipeline(pipeline, None);
            device.destroy_shader_module(module, None);
            device.destroy_pipeline_layout(layout, None);
            device.destroy_descriptor_set_layout(sets[0], None);
            statistics
        }
    }

    /// # Safety
    ///
    /// The pipeline is one of this device, made to keep its statistics.
    unsafe fn statistics(&self, pipeline: vk::Pipeline) -> Result<Statistics> {
        let of = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline);
        // SAFETY: the caller's word; a compute pipeline has one executable.
        let found = unsafe { self.executables.get_pipeline_executable_statistics(&of)? };
        let value = |name: &str| {
            let of_name = |s: &&vk::PipelineExecutableStatisticKHR<'_>| {
                s.name_as_c_str().is_ok_and(|n| n.to_bytes() == name.as_bytes())
            };
            let statistic = found.iter().find(of_name);
            let statistic = statistic.with_context(|| format!("the driver tells no {name:?}"))?;
            if statistic.format != vk::PipelineExecutableStatisticFormatKHR::UINT64 {
                bail!("{name:?} is no unsigned number");
            }
            // SAFETY: the format says that this is the union's field.
            Ok(unsafe { statistic.value.u64 })
        };
        Ok(Statistics {
            vgprs: value("VGPRs")?,
            sgprs: value("SGPRs")?,
            spilled: value("Spilled VGPRs")? + value("Spilled SGPRs")?,
            scratch: value("Scratch size")?,
            lds: value("LDS size")?,
            waves: value("Subgroups per SIMD")?,
            code: value("Code size")?,
            instructions: value("Instructions")?,
            latency: value("Latency")?,
            inverse_throughput: value("Inverse Throughput")?,
        })
    }
}

impl Drop for NullDevice {
    fn drop(&mut self) {
        // SAFETY: nothing of the device is left.
        unsafe {
            self.device.destroy_device(None);
            self.instance.destroy_instance(None);
        }
    }
}

fn text(chars: &[std::ffi::c_char]) -> Result<String> {
    let bytes: Vec<u8> = chars.iter().map(|&c| c as u8).collect();
    Ok(CStr::from_bytes_until_nul(&bytes)?.to_string_lossy().into_owned())
}
