//! A kernel as data: its source, its bindings, and one dispatch of it.

use super::gpu::{Gpu, Raw};
use super::unroll::unrolled;

/// What a kernel may do with a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// A constant of a pipeline, by the name of the WGSL `override`.
pub(crate) type Constant = (&'static str, u32);

/// All constants of one pipeline.
pub(crate) type Constants = Vec<Constant>;

/// What a kernel asks of a device beyond WebGPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// 16-bit floats.
    F16,
    /// Subgroups of exactly so many lanes.
    Subgroups(u32),
    /// Matrices of 16 x 16 numbers that a subgroup holds together.
    Matrices,
}

/// The invocations of a workgroup along each axis, or the constant that says how many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workgroup {
    Of([u32; 3]),
    Constant(&'static str),
}

/// A text of which kernels are made: that of a file in `shaders/`, or lines that the host gives.
#[derive(Clone, Copy)]
pub(crate) struct Wgsl {
    /// In `shaders/`; none of lines that the host gives.
    pub(crate) path: Option<&'static str>,
    pub(crate) text: &'static str,
    /// What it asks of a device.
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

/// The [`Wgsl`] that a file in `shaders/` is.
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
    /// Joined, in this order.
    pub(crate) parts: &'static [Wgsl],
    pub(crate) bindings: &'static [(&'static str, Access)],
    /// Constants that the ops use, for the translation test.
    pub(crate) variants: fn() -> Vec<Constants>,
    pub(crate) workgroup: Workgroup,
}

impl Kernel {
    /// What most kernels have: workgroups of 64, and no constants.
    pub(crate) const PLAIN: Self = Self {
        name: "",
        parts: &[],
        bindings: &[],
        variants: || vec![vec![]],
        workgroup: Workgroup::Of([64, 1, 1]),
    };

    /// Its WGSL, with the loops written out that are to be: see [`super::unroll`].
    pub(crate) fn source(&self) -> String {
        let texts: Vec<_> = self.parts.iter().map(|part| unrolled(part.text)).collect();
        texts.join("\n")
    }

    /// The files in `shaders/` that it is made of.
    pub(crate) fn files(&self) -> impl Iterator<Item = &'static str> {
        self.parts.iter().filter_map(|part| part.path)
    }

    /// What it asks of a device.
    pub(crate) fn needs(&self) -> impl Iterator<Item = Need> {
        self.parts.iter().filter_map(|part| part.need)
    }

    /// The invocations of a workgroup, where no constant says them.
    pub(crate) fn invocations(&self) -> Option<usize> {
        match self.workgroup {
            Workgroup::Of(size) => Some(size.iter().product::<u32>() as usize),
            Workgroup::Constant(_) => None,
        }
    }

    /// Whether a device has what it asks for.
    pub(crate) fn runs_on(&self, gpu: &Gpu) -> bool {
        self.needs().all(|need| match need {
            Need::F16 => gpu.has_f16(),
            Need::Subgroups(lanes) => gpu.subgroup_size == Some(lanes),
            Need::Matrices => gpu.has_cooperative(),
        })
    }
}

/// Words of a buffer, for a kernel to bind.
#[derive(Clone, Copy)]
pub(crate) struct Bound<'a> {
    pub(crate) raw: &'a Raw,
    /// In bytes, as `bytes` is.
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

/// One dispatch of a kernel on buffers. Slices, so that it allocates nothing.
pub(crate) struct Dispatch<'a> {
    pub(crate) kernel: &'static Kernel,
    pub(crate) grid: [u32; 3],
    pub(crate) constants: &'a [Constant],
    /// The uniform's words; an f32 by its bits.
    pub(crate) uniform: &'a [u32],
    /// In the order of `Kernel::bindings`; `None` where a constant says that it is unused.
    pub(crate) bound: &'a [Option<Bound<'a>>],
}

/// A grid for `groups` workgroups in one row, folded where a row would be too long. The
/// kernel's number is `id.x + id.y * num_workgroups.x`.
pub(crate) fn folded(groups: usize) -> [u32; 3] {
    const ROW: usize = 65_535;
    let rows = groups.div_ceil(ROW).max(1);
    [groups.div_ceil(rows) as u32, rows as u32, 1]
}
