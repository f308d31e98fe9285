//! Sums of all elements, and of columns.

pub(crate) mod column_sum;
pub(crate) mod reduce_sum;
