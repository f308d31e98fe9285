//! Models of other libraries.

#[path = "../common/mod.rs"]
mod common;
mod fuzz;
mod keras;
mod pytorch;
