//! The uniform of the LSTM's kernels on the host against `Dims` of each kernel's WGSL.

use crate::ops::every_kernel;
use crate::ops::lstm::gpu::dims::Dims;
use naga::{ScalarKind, TypeInner};

#[test]
fn every_lstm_kernel_has_the_uniform_of_the_host() {
    let kernels = every_kernel().filter(|kernel| kernel.name.starts_with("lstm_"));
    let mut compared = 0;
    for kernel in kernels {
        let module = naga::front::wgsl::parse_str(&kernel.source())
            .unwrap_or_else(|error| panic!("{}: {error}", kernel.name));
        let dims = module.types.iter().find(|(_, ty)| ty.name.as_deref() == Some("Dims"));
        let Some((_, naga::Type { inner: TypeInner::Struct { members, .. }, .. })) = dims else {
            panic!("{} has no struct Dims", kernel.name);
        };
        let found = members.iter().map(|member| {
            let kind = match module.types[member.ty].inner {
                TypeInner::Scalar(scalar) if scalar.width == 4 => match scalar.kind {
                    ScalarKind::Uint => "u32",
                    ScalarKind::Float => "f32",
                    _ => "another scalar",
                },
                _ => "no scalar of 32 bits",
            };
            (member.name.as_deref().unwrap_or_default(), kind, member.offset)
        });
        let expected = Dims::FIELDS.iter().zip(0..).map(|(&(name, kind), at)| (name, kind, 4 * at));
        assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "{}", kernel.name);
        compared += 1;
    }
    assert!(compared > 0);
}
