//! Ops that move, pick or leave out frames, rows and columns.

pub(crate) mod apply_mask;
pub(crate) mod copy_columns;
pub(crate) mod embedding;
pub(crate) mod gather;
pub(crate) mod pack;
pub(crate) mod pool;
pub(crate) mod swap_axes;
