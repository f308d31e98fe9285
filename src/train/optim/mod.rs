//! Optimizers, one a file: the options of a rule of `ops/optim/rule.rs`. `steps.rs` has what they share.

mod adadelta;
mod adagrad;
mod adam;
mod adamax;
mod lion;
mod moments;
mod nadam;
mod radam;
mod rms_prop;
mod sgd;
mod steps;

pub use adadelta::Adadelta;
pub use adagrad::Adagrad;
pub use adam::{Adam, AdamW};
pub use adamax::Adamax;
pub use lion::Lion;
pub use nadam::NAdam;
pub use radam::RAdam;
pub use rms_prop::RmsProp;
pub use sgd::Sgd;

use crate::autograd::Params;
use crate::file::State;
use crate::{Error, Result};

/// An algorithm that updates parameters by their gradients.
///
/// An optimizer of your own wraps one of this crate, for example to schedule its rate; or it changes the
/// values by [`Params::update`] on the host: on a GPU that copies all parameters twice at each step, which
/// this crate's optimizers do not. One that wraps another hands on [`Optimizer::state`] and
/// [`Optimizer::set_state`], or the other begins anew when a training resumes.
///
/// ```
/// use wgpu_lstm::nn::Params;
/// use wgpu_lstm::train::{Adam, Optimizer};
/// use wgpu_lstm::Result;
///
/// /// Adam, whose rate halves every thousand steps.
/// struct Halving {
///     adam: Adam,
///     steps: u32,
/// }
///
/// impl Optimizer for Halving {
///     fn step(&mut self, params: &Params) -> Result<()> {
///         self.steps += 1;
///         if self.steps.is_multiple_of(1000) {
///             self.adam.set_learning_rate(self.adam.learning_rate() / 2.0);
///         }
///         self.adam.step(params)
///     }
/// }
///
/// /// Descent along gradients of which none counts more than 1.
/// struct Clipped {
///     rate: f32,
/// }
///
/// impl Optimizer for Clipped {
///     fn step(&mut self, params: &Params) -> Result<()> {
///         params.update(|_name, values, gradient| {
///             for (value, g) in values.iter_mut().zip(gradient) {
///                 *value -= self.rate * g.clamp(-1.0, 1.0);
///             }
///         })?;
///         Ok(())
///     }
/// }
/// ```
///
/// # Weight decay
///
/// There are two kinds. The coupled one, PyTorch's `weight_decay` of all but `AdamW`, adds its share of a
/// parameter to the gradient, as an L2 penalty would. The decoupled one (Loshchilov & Hutter 2019) takes its
/// share, times the learning rate, from the parameter itself: PyTorch's `AdamW`, and Keras' `weight_decay` of
/// every optimizer.
///
/// | optimizer | `weight_decay` |
/// |---|---|
/// | [`Sgd`], [`RmsProp`], [`Adagrad`], [`Adadelta`], [`Adamax`] | coupled, as PyTorch's |
/// | [`NAdam`], [`RAdam`] | coupled, as PyTorch's; or decoupled: `decoupled_weight_decay` |
/// | [`AdamW`], [`Lion`] | decoupled |
/// | [`Adam`] | decoupled, as Keras'; or coupled as PyTorch's: [`Adam::coupled_weight_decay`] |
///
/// [`Params::group`] leaves parameters out of it.
pub trait Optimizer: Send + Sync {
    /// Makes one step. The gradients are zero afterwards.
    ///
    /// # Errors
    /// [`Error::Option`] for a setting that makes no sense, [`Error::NotBuilt`] without
    /// parameters, and those of the device.
    fn step(&mut self, params: &Params) -> Result<()>;

    /// The learning rate; `None`, as by default, if there is none that a schedule could set.
    fn learning_rate(&self) -> Option<f32> {
        None
    }

    /// Sets the learning rate from the next step on, if there is one.
    fn set_learning_rate(&mut self, _rate: f32) {}

    /// The learning rate above which `fit` warns of a slip; `None`, as by default, if it does not. It is 1 for
    /// optimizers whose step is about as long as their rate, whatever the gradients: Adam and its relatives.
    fn highest_rate(&self) -> Option<f32> {
        None
    }

    /// What the optimizer keeps from step to step, for a checkpoint; by default nothing. Waits for the
    /// device.
    ///
    /// # Errors
    /// Those of the device.
    fn state(&self, _params: &Params) -> Result<State> {
        Ok(State::new())
    }

    /// Goes on from what [`Optimizer::state`] gave, of an optimizer with the same options and for the same
    /// parameters.
    ///
    /// # Errors
    /// [`Error::Missing`] and [`Error::Count`] if it is of another optimizer or of other parameters, and
    /// those of the device.
    fn set_state(&mut self, _params: &Params, _state: &State) -> Result<()> {
        Ok(())
    }
}

/// The methods that the optimizers of this crate share, of a struct that has `steps` and gives its `rule`; the
/// highest rate that makes sense, if there is one.
macro_rules! optimizer {
    ($name:ident, $rate:literal, $highest:expr) => {
        impl Default for $name {
            #[doc = concat!("With a learning rate of ", $rate, ".")]
            fn default() -> Self {
                Self::new($rate)
            }
        }

        impl $name {
            /// The learning rate.
            pub fn learning_rate(&self) -> f32 {
                self.steps.rate
            }

            /// Sets the learning rate from the next step on.
            pub fn set_learning_rate(&mut self, learning_rate: f32) {
                self.steps.rate = learning_rate;
            }

            /// Makes one step: see [`crate::train::Optimizer::step`].
            ///
            /// # Errors
            /// As [`crate::train::Optimizer::step`].
            pub fn step(&mut self, params: &Params) -> Result<()> {
                crate::check::check_not_negative(
                    concat!(stringify!($name), "::learning_rate"),
                    self.steps.rate,
                )?;
                let rule = self.rule()?;
                self.steps.step(params, &rule)
            }
        }

        impl super::Optimizer for $name {
            fn step(&mut self, params: &Params) -> Result<()> {
                $name::step(self, params)
            }

            fn learning_rate(&self) -> Option<f32> {
                Some(self.steps.rate)
            }

            fn set_learning_rate(&mut self, rate: f32) {
                self.steps.rate = rate;
            }

            fn highest_rate(&self) -> Option<f32> {
                $highest
            }

            fn state(&self, params: &Params) -> Result<State> {
                self.steps.state(stringify!($name), params, &self.rule()?)
            }

            fn set_state(&mut self, params: &Params, state: &State) -> Result<()> {
                let rule = self.rule()?;
                self.steps.set_state(stringify!($name), params, state, &rule)
            }
        }
    };
}
use optimizer;

/// Checks a number that keeps a denominator from 0. Where all gradients were 0 the means are 0 too, and only
/// it keeps 0 / 0 away. A GPU may take numbers for 0 that are too small to be normal.
fn check_epsilon(option: &'static str, found: f32) -> Result<()> {
    if found.is_normal() && found > 0.0 {
        return Ok(());
    }
    let expected = "a finite number above 0, such as 1e-8".into();
    Err(Error::Option { option, found: found.to_string(), expected })
}
