//! Parameters and their gradients, and the tape that records ops and differentiates them.

mod custom;
mod params;
mod regularized;
mod tape;
mod var;

pub(crate) use params::{ALIGN, Drawn, Layout, all_gradients};
pub use params::{ParamId, Params, Precision};
pub use tape::{Gradients, Tape};
pub use var::Var;
pub(crate) use var::VarId;
