//! Every kernel in every configuration through naga to SPIR-V, HLSL and MSL: DX12 and Metal
//! break here and not at a user's.

use crate::device::kernel::{Access, Kernel, Need, Workgroup};
use crate::ops::every_kernel;
use naga::back::{hlsl, msl, spv};
use naga::valid::{Capabilities, ModuleInfo, ValidationError, ValidationFlags, Validator};
use naga::{AddressSpace, Module, StorageAccess, WithSpan};
use std::collections::HashSet;

fn parse(kernel: &Kernel) -> (Module, ModuleInfo) {
    let source = kernel.source();
    assert!(!source.contains("//@"), "{} has a loop that is not written out", kernel.name);
    let module = naga::front::wgsl::parse_str(&source)
        .unwrap_or_else(|e| panic!("{}: {}", kernel.name, e.emit_to_string(&source)));
    let info = validate(&module, kernel.needs())
        .unwrap_or_else(|e| panic!("{}: {}", kernel.name, e.emit_to_string(&source)));
    (module, info)
}

/// On a device that has WebGPU and this.
fn validate(
    module: &Module,
    has: impl Iterator<Item = Need>,
) -> Result<ModuleInfo, Box<WithSpan<ValidationError>>> {
    let capabilities = has.map(|need| match need {
        Need::F16 => Capabilities::SHADER_FLOAT16,
        Need::Subgroups(_) => Capabilities::SUBGROUP,
        Need::Matrices(_) => Capabilities::COOPERATIVE_MATRIX | Capabilities::SUBGROUP,
    });
    let mut validator = Validator::new(ValidationFlags::all(), capabilities.collect());
    validator.validate(module).map_err(Box::new)
}

#[test]
fn every_kernel_reaches_every_api() {
    for kernel in every_kernel() {
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
            let workgroup = match kernel.workgroup {
                Workgroup::Of(size) => Some(size),
                Workgroup::Constant(name) => {
                    constants.iter().find(|c| c.0 == name).map(|&(_, lanes)| [lanes, 1, 1])
                }
            };
            assert_eq!(workgroup, Some(module.entry_points[0].workgroup_size), "{what}");

            let options = spv::Options { lang_version: (1, 3), ..spv::Options::default() };
            spv::write_vec(&module, &info, &options, None)
                .unwrap_or_else(|e| panic!("{what} as SPIR-V: {e:?}"));
            // Matrices of 16 x 16 are Vulkan's alone, those of 8 x 8 also Metal's.
            let matrices = kernel.needs().find_map(|need| match need {
                Need::Matrices(size) => Some(size),
                _ => None,
            });
            if matrices == Some(16) {
                continue;
            }
            if matrices.is_none() {
                as_hlsl(&what, &module, &info);
            }

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

fn as_hlsl(what: &str, module: &Module, info: &ModuleInfo) {
    let options = hlsl::Options {
        shader_model: hlsl::ShaderModel::V6_2, // the first with 16-bit floats
        fake_missing_bindings: true,
        ..hlsl::Options::default()
    };
    let pipeline = hlsl::PipelineOptions::default();
    let mut text = String::new();
    hlsl::Writer::new(&mut text, &options, &pipeline)
        .write(module, info, None)
        .unwrap_or_else(|e| panic!("{what} as HLSL: {e:?}"));
    assert!(text.contains("numthreads"), "{what} as HLSL");
}

#[test]
fn descriptions_agree_with_the_shaders() {
    let mut names = HashSet::new();
    for kernel in every_kernel() {
        assert!(names.insert(kernel.name), "two kernels are called {}", kernel.name);
        let (module, _) = parse(kernel);
        for need in kernel.needs() {
            let without = validate(&module, kernel.needs().filter(|other| *other != need));
            assert!(without.is_err(), "{} does not use {need:?}", kernel.name);
        }
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
