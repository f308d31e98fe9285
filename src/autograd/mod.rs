//! Parameters and their gradients, and what is recorded to differentiate.

mod custom;
mod params;
mod regularized;
mod tape;
mod var;

pub(crate) use params::{ALIGN, Layout};
pub use params::{ParamId, Params, Precision};
pub use tape::{Gradients, Tape};
pub use var::Var;
pub(crate) use var::VarId;
