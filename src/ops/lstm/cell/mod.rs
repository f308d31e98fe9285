//! What one unit computes in one timestep.

mod activate;
mod math;
mod options;

pub(super) use activate::{Free, held_values};
pub(super) use math::{Forward, plain_backward, plain_forward, plain_output, plain_update};
pub(crate) use options::{Cell, Noise};
pub use options::{Coupling, GateActivation};
