//! Ops that take each element by itself.

pub(crate) mod activation;
pub(crate) mod add;
pub(crate) mod add_into;
pub(crate) mod copy;
pub(crate) mod dropout;
pub(crate) mod half;
pub(crate) mod merge;
pub(crate) mod mix;
pub(crate) mod multiply;
