//! The search for the first value of a tape that is not finite.

use super::Params;
use crate::tensor::Tensor;
use crate::{DType, Error, Result};
use std::cell::RefCell;

/// What a tape found that looks for values that are not finite.
#[derive(Default)]
pub(super) struct Watch(RefCell<Option<Error>>);

impl Watch {
    /// Looks at the outputs of an op, unless one was found before.
    pub(super) fn outputs(&self, op: &str, outputs: &[Tensor]) {
        let mut found = self.0.borrow_mut();
        if found.is_none() {
            *found = match outputs.iter().map(is_finite).collect::<Result<Vec<_>>>() {
                Err(error) => Some(error),
                Ok(finite) => finite.contains(&false).then(|| anomaly(op, false, None)),
            };
        }
    }

    /// What the forward pass found.
    pub(super) fn forward(&self) -> Result<()> {
        match self.0.borrow().clone() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Looks at all gradients, after those of an op were added.
    pub(super) fn gradients(
        &self,
        op: &str,
        inputs: &[Option<Tensor>],
        params: &Params,
    ) -> Result<()> {
        for name in params.names() {
            if params.gradient(&name)?.iter().any(|g| !g.is_finite()) {
                return Err(anomaly(op, true, Some(name)));
            }
        }
        for gradient in inputs.iter().flatten() {
            if !is_finite(gradient)? {
                return Err(anomaly(op, true, None));
            }
        }
        Ok(())
    }
}

fn is_finite(tensor: &Tensor) -> Result<bool> {
    Ok(tensor.dtype() != DType::F32 || tensor.to_vec()?.iter().all(|x| x.is_finite()))
}

/// The error of an op, of which `op` is the type of its closure.
fn anomaly(op: &str, backward: bool, parameter: Option<String>) -> Error {
    let op = op.strip_prefix("wgpu_lstm::").unwrap_or(op).replace("::{{closure}}", "");
    Error::Anomaly { op, backward, parameter }
}
