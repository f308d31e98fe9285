//! What one unit computes in one timestep.

mod math;
mod options;

pub(super) use math::{
    Forward, held_values, plain_backward, plain_forward, plain_output, plain_update,
};
pub(crate) use options::{Cell, Noise};
pub use options::{Coupling, GateActivation};
