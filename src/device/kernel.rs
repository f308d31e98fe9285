//! Kernels as data: source, bindings, and a dispatch.

use super::gpu::{Gpu, Raw};
use super::unroll::unrolled;

/// The access of a kernel to a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// A constant of a pipeline, by the name of the WGSL `override`.
pub(crate) type Constant = (&'static str, u32);

/// All constants of one pipeline.
pub(crate) type Constants = Vec<Constant>;

/// A requirement of a kernel beyond WebGPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// 16-bit floats.
    F16,
    /// Subgroups of exactly this many lanes.
    Subgroups(u32),
    /// Cooperative matrices of so many rows and columns.
    Matrices(u32),
}

/// The size of a workgroup along each axis, or the constant that sets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workgroup {
    Of([u32; 3]),
    Constant(&'static str),
}

/// A part of a kernel's WGSL: a file in `shaders/`, or lines of the host.
#[derive(Clone, Copy)]
pub(crate) struct Wgsl {
    /// The path in `shaders/`; `None` for lines of the host.
    pub(crate) path: Option<&'static str>,
    pub(crate) text: &'static str,
    /// The requirement of this part.
    pub(crate) need: Option<Need>,
}

impl Wgsl {
    pub(crate) const fn lines(text: &'static str) -> Self {
        Self { path: None, text, need: None }
    }

    pub(crate) const fn needing(self, need: Need) -> Self {
        Self { need: Some(need), ..self }
    }
}

/// The [`Wgsl`] of a file in `shaders/`.
macro_rules! wgsl {
    ($path:literal) => {
        $crate::device::kernel::Wgsl {
            path: Some($path),
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $path)),
            need: None,
        }
    };
}
pub(crate) use wgsl;

/// A compute shader. `@binding(0)` is its uniform, then come `bindings` in order; a test
/// compares names, access, workgroup and needs with the parsed WGSL.
pub(crate) struct Kernel {
    pub(crate) name: &'static str,
    /// The parts, joined in this order.
    pub(crate) parts: &'static [Wgsl],
    pub(crate) bindings: &'static [(&'static str, Access)],
    /// All sets of constants that the ops use, for the translation test.
    pub(crate) variants: fn() -> Vec<Constants>,
    pub(crate) workgroup: Workgroup,
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Kernel {
    /// The defaults of most kernels: workgroups of 64, and no constants.
    pub(crate) const PLAIN: Self = Self {
        name: "",
        parts: &[],
        bindings: &[],
        variants: || vec![vec![]],
        workgroup: Workgroup::Of([64, 1, 1]),
    };

    /// The WGSL, with loops unrolled as marked: see [`super::unroll`].
    pub(crate) fn source(&self) -> String {
        let texts: Vec<_> = self.parts.iter().map(|part| unrolled(part.text)).collect();
        texts.join("\n")
    }

    /// The files in `shaders/` that make up the kernel.
    pub(crate) fn files(&self) -> impl Iterator<Item = &'static str> {
        self.parts.iter().filter_map(|part| part.path)
    }

    /// The requirements of all parts.
    pub(crate) fn needs(&self) -> impl Iterator<Item = Need> {
        self.parts.iter().filter_map(|part| part.need)
    }

    /// The invocations of a workgroup; `None` if a constant sets them.
    pub(crate) fn invocations(&self) -> Option<usize> {
        match self.workgroup {
            Workgroup::Of(size) => Some(size.iter().product::<u32>() as usize),
            Workgroup::Constant(_) => None,
        }
    }

    /// Whether a device meets all requirements.
    pub(crate) fn runs_on(&self, gpu: &Gpu) -> bool {
        self.needs().all(|need| match need {
            Need::F16 => gpu.has_f16(),
            Need::Subgroups(lanes) => gpu.subgroup_size == Some(lanes),
            Need::Matrices(size) => gpu.has_matrices(size),
        })
    }
}

/// A range of a buffer for a kernel to bind.
#[derive(Clone, Copy)]
pub(crate) struct Bound<'a> {
    pub(crate) raw: &'a Raw,
    /// The offset in bytes.
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

/// One dispatch of a kernel on buffers. Made of slices, so that it allocates nothing.
pub(crate) struct Dispatch<'a> {
    pub(crate) kernel: &'static Kernel,
    pub(crate) grid: [u32; 3],
    pub(crate) constants: &'a [Constant],
    /// The uniform's words; an f32 by its bits.
    pub(crate) uniform: &'a [u32],
    /// The buffers in the order of `Kernel::bindings`; `None` where a constant makes a binding unused.
    pub(crate) bound: &'a [Option<Bound<'a>>],
}

/// A grid of `groups` workgroups in one row, folded into several if the row would be too long. The number
/// of a workgroup is `id.x + id.y * num_workgroups.x`.
pub(crate) fn folded(groups: usize) -> [u32; 3] {
    const ROW: usize = 65_535;
    let rows = groups.div_ceil(ROW).max(1);
    [groups.div_ceil(rows) as u32, rows as u32, 1]
}

/// The workgroups of a kernel whose grid may be smaller, each of which then does more: a software adapter takes
/// as long to begin one as to write hundreds of words.
pub(crate) fn shared(gpu: &Gpu, groups: usize) -> usize {
    const ENOUGH: usize = 512;
    if gpu.info.software { groups.min(ENOUGH) } else { groups }
}
