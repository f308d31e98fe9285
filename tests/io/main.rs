//! Models of other libraries.

mod fuzz;

#[path = "../common/mod.rs"]
mod common;
mod pytorch;
