//! A kernel as data: its source, its bindings, and one dispatch of it.

use super::gpu::Raw;

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

/// A compute shader. `@binding(0)` is its uniform, then come `bindings` in order; a test
/// compares names and access with the parsed WGSL.
pub(crate) struct Kernel {
    pub(crate) name: &'static str,
    /// WGSL files, joined.
    pub(crate) parts: &'static [&'static str],
    pub(crate) bindings: &'static [(&'static str, Access)],
    /// Constants that the ops use, for the translation test.
    pub(crate) variants: fn() -> Vec<Constants>,
}

impl Kernel {
    pub(crate) fn source(&self) -> String {
        self.parts.join("\n")
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
