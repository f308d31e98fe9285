//! Pickles of state dicts, read and never run: opcodes and names are on lists, and what a pickle builds is values
//! of a few kinds.
//!
//! Memory: each opcode keeps at most a few dozen bytes, and the limits below hold for all of them together.

mod call;
mod cursor;
mod machine;
mod names;
mod value;
mod walk;

use crate::Result;
use crate::io::Source;
use std::ops::Range;
pub(super) use value::{Pickle, Storage, View};

/// The most values that a pickle may keep.
const VALUES: usize = 1 << 22;
/// The most values on its stack at a time.
const STACK: usize = 1 << 20;
/// The deepest that dictionaries and lists may lie in each other where they hold tensors.
const DEPTH: usize = 100;

impl Pickle {
    /// Reads the pickle with which a range begins. Returns it, and the byte behind it.
    pub(super) fn read(source: &Source, range: Range<u64>, entry: &str) -> Result<(Self, u64)> {
        machine::Machine::run(cursor::Cursor::new(source, range, entry))
    }

    /// The tensors of [`Pickle::tensors`] that are reached from its root, by the path there.
    pub(super) fn names(&self, source: &Source, entry: &str) -> Result<Vec<(String, usize)>> {
        walk::Walk::run(self, source, entry)
    }
}
