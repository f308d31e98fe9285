//! Models of other libraries.

mod fuzz;
