//! Every kernel in every configuration through naga to SPIR-V, HLSL and MSL: DX12 and Metal
//! break here and not at a user's.

use crate::device::kernel::{Access, Kernel};
use crate::ops::KERNELS;
use naga::back::{hlsl, msl, spv};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Module, StorageAccess};
use std::collections::HashSet;

/// The kernels whose invocations hand each other values inside of a subgroup, beside those of cooperative
/// matrices: naga asks for no `enable subgroups;`, so nothing in the text says it.
const OF_SUBGROUPS: [&str; 9] = [
    "gemm_subgroup",
    "gemm_subgroup_b16",
    "gemm_subgroup_bc16",
    "gemm_subgroup_ab16",
    "gemm_subgroup_abc16",
    "lstm_sequence_subgroup",
    "lstm_sequence_bwd_subgroup",
    "lstm_sequence_subgroup_row",
    "lstm_sequence_bwd_subgroup_row",
];

fn parse(kernel: &Kernel) -> (Module, ModuleInfo) {
    let source = kernel.source();
    let module = naga::front::wgsl::parse_str(&source)
        .unwrap_or_else(|e| panic!("{}: {}", kernel.name, e.emit_to_string(&source)));
    let info = Validator::new(ValidationFlags::all(), needs(kernel))
        .validate(&module)
        .unwrap_or_else(|e| panic!("{}: {}", kernel.name, e.emit_to_string(&source)));
    (module, info)
}

/// What a kernel needs beyond WebGPU.
fn needs(kernel: &Kernel) -> Capabilities {
    let mut needs = Capabilities::empty();
    let cooperative = of_vulkan(kernel);
    needs.set(Capabilities::COOPERATIVE_MATRIX, cooperative);
    needs.set(Capabilities::SUBGROUP, cooperative || OF_SUBGROUPS.contains(&kernel.name));
    needs.set(Capabilities::SHADER_FLOAT16, enables(kernel, "f16"));
    needs
}

/// Whether a kernel's text says that it uses an extension of WGSL.
fn enables(kernel: &Kernel, extension: &str) -> bool {
    let source = kernel.source();
    let code = source.lines().filter_map(|line| line.split("//").next());
    let mut statements = code.flat_map(|line| line.split(';'));
    statements
        .any(|text| text.trim().strip_prefix("enable ").is_some_and(|e| e.trim() == extension))
}

/// Matrices of this size are Vulkan's alone.
fn of_vulkan(kernel: &Kernel) -> bool {
    enables(kernel, "wgpu_cooperative_matrix")
}

/// No kernel is taken to need what it does not use.
#[test]
fn every_need_of_a_kernel_is_one() {
    for name in OF_SUBGROUPS {
        assert!(KERNELS.iter().any(|kernel| kernel.name == name), "no kernel is called {name}");
    }
    for kernel in KERNELS {
        let (module, _) = parse(kernel);
        for need in needs(kernel) {
            let others = needs(kernel) - need;
            let valid = Validator::new(ValidationFlags::all(), others).validate(&module).is_ok();
            assert!(!valid, "{} uses no {need:?}", kernel.name);
        }
    }
}

#[test]
fn every_kernel_reaches_every_api() {
    for kernel in KERNELS {
        let (module, info) = parse(kernel);
        let variants = (kernel.variants)();
        assert!(!variants.is_empty(), "{} has no variant", kernel.name);
        let mut seen = HashSet::new();
        for constants in variants {
            assert!(seen.insert(constants.clone()), "{}: {constants:?} twice", kernel.name);
            let what = format!("{} {constants:?}", kernel.name);
            let overrides: Vec<_> = module.overrides.iter().map(|(_, o)| o.name.clone()).collect();
            for (name, _) in &constants {
                assert!(overrides.contains(&Some((*name).to_owned())), "{what}: no {name}");
            }
            let pipeline = constants.iter().map(|&(k, v)| (k.to_owned(), f64::from(v))).collect();
            let (module, info) =
                naga::back::pipeline_constants::process_overrides(&module, &info, None, &pipeline)
                    .unwrap_or_else(|e| panic!("{what}: {e:?}"));

            let options = spv::Options { lang_version: (1, 3), ..spv::Options::default() };
            spv::write_vec(&module, &info, &options, None)
                .unwrap_or_else(|e| panic!("{what} as SPIR-V: {e:?}"));
            if of_vulkan(kernel) {
                continue;
            }

            let options = hlsl::Options {
                shader_model: hlsl::ShaderModel::V6_2, // the first with 16-bit floats
                fake_missing_bindings: true,
                ..hlsl::Options::default()
            };
            let pipeline = hlsl::PipelineOptions::default();
            let mut text = String::new();
            hlsl::Writer::new(&mut text, &options, &pipeline)
                .write(&module, &info, None)
                .unwrap_or_else(|e| panic!("{what} as HLSL: {e:?}"));
            assert!(text.contains("numthreads"), "{what} as HLSL");

            let options = msl::Options {
                lang_version: (2, 4),
                fake_missing_bindings: true,
                ..msl::Options::default()
            };
            let pipeline = msl::PipelineOptions::default();
            let (text, _) = msl::write_string(&module, &info, &options, &pipeline)
                .unwrap_or_else(|e| panic!("{what} as MSL: {e:?}"));
            assert!(text.contains("kernel void"), "{what} as MSL");
        }
    }
}

#[test]
fn descriptions_agree_with_the_shaders() {
    let mut names = HashSet::new();
    for kernel in KERNELS {
        assert!(names.insert(kernel.name), "two kernels are called {}", kernel.name);
        let (module, _) = parse(kernel);
        let mut found: Vec<_> = module
            .global_variables
            .iter()
            .filter_map(|(_, v)| {
                let binding = v.binding?;
                let access = match v.space {
                    AddressSpace::Storage { access } if access.contains(StorageAccess::STORE) => {
                        Some(Access::Write)
                    }
                    AddressSpace::Storage { .. } => Some(Access::Read),
                    _ => None,
                };
                Some((binding.binding, v.name.clone().unwrap_or_default(), access))
            })
            .collect();
        found.sort_by_key(|f| f.0);
        let mut expected = vec![(0, "dims".to_owned(), None)];
        expected.extend(
            kernel.bindings.iter().zip(1..).map(|((n, a), i)| (i, (*n).to_owned(), Some(*a))),
        );
        assert_eq!(found, expected, "{}", kernel.name);
        let storage = found.iter().filter(|f| f.2.is_some()).count();
        assert!(storage <= 8, "{} has {storage} storage buffers, WebGPU has 8", kernel.name);
    }
}
