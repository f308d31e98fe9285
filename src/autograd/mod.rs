//! Parameters and their gradients, and the tape that records ops and differentiates them.

mod anomaly;
mod custom;
mod looks;
mod params;
mod quantized;
mod regularized;
mod tape;
mod var;

pub(crate) use params::{ALIGN, Drawn, Layout, Snapshot, all_gradients};
pub use params::{Clip, Group, ParamId, Params, Precision};
pub use tape::{Gradients, Tape};
pub use var::Var;
pub(crate) use var::VarId;
