//! Adam and gradient descent.

use crate::autograd::{Drawn, ParamId, Params, all_gradients};
use crate::check::check_share;
use crate::ops::optim::{adam, loss_scale, sgd};
use crate::{Error, Result, Tensor};

/// An algorithm that updates parameters by their gradients.
///
/// An optimizer of your own wraps one of this crate, for example to schedule its rate; or it changes the
/// values by [`Params::update`] on the host: on a GPU that copies all parameters twice at each step, which
/// this crate's optimizers do not.
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
pub trait Optimizer: Send + Sync {
    /// Makes one step. The gradients are zero afterwards.
    ///
    /// # Errors
    /// [`Error::Option`] for a setting that makes no sense, [`Error::NotBuilt`] without
    /// parameters, and those of the device.
    fn step(&mut self, params: &Params) -> Result<()>;
}

/// An optimizer's own numbers for each value, such as a mean of its gradients: `T` for all parameters
/// together, and for each table of which a step moves some rows.
#[derive(Debug)]
struct Slots<T> {
    all: Option<T>,
    tables: Vec<(ParamId, T)>,
    /// The generation of the parameters that these belong to.
    generation: u64,
}

impl<T: Clone> Slots<T> {
    fn new() -> Self {
        Self { all: None, tables: Vec::new(), generation: 0 }
    }

    /// The slots of all parameters together, and whether they are new. If the parameters are others than
    /// before, or more, all slots are replaced by zeros, once these are allocated.
    fn of_all(&mut self, params: &Params, zeros: impl FnOnce() -> Result<T>) -> Result<(T, bool)> {
        if let Some(all) = self.all.as_ref().filter(|_| self.generation == params.generation()) {
            return Ok((all.clone(), false));
        }
        let all = zeros()?;
        *self =
            Self { all: Some(all.clone()), tables: Vec::new(), generation: params.generation() };
        Ok((all, true))
    }

    /// Adds slots for the tables that have none yet.
    fn add_tables(&mut self, drawn: &[Drawn], zeros: impl Fn(&Tensor) -> Result<T>) -> Result<()> {
        for (id, table, _) in drawn {
            if self.of_table(*id).is_none() {
                self.tables.push((*id, zeros(table)?));
            }
        }
        Ok(())
    }

    fn of_table(&self, id: ParamId) -> Option<&T> {
        self.tables.iter().find(|(of, _)| *of == id).map(|(_, slots)| slots)
    }
}

/// Adam (Kingma & Ba 2015, arXiv 1412.6980) with PyTorch's rules and defaults, and with
/// decoupled weight decay (Loshchilov & Hutter 2019) if asked for.
///
/// ```
/// use wgpu_lstm::train::Adam;
/// let adam = Adam::new(2e-3).weight_decay(1e-2);
/// assert_eq!(adam.learning_rate(), 2e-3);
/// ```
#[derive(Debug)]
#[must_use = "an optimizer does nothing until it steps"]
pub struct Adam {
    learning_rate: f32,
    betas: (f32, f32),
    epsilon: f32,
    weight_decay: f32,
    steps: i32,
    /// Means of the gradients and of their squares.
    moments: Slots<[Tensor; 2]>,
    /// Steps made, where a loss scale may leave some out: only the device knows.
    count: Option<Tensor>,
}

impl Default for Adam {
    /// Adam with a learning rate of 0.001.
    fn default() -> Self {
        Self::new(1e-3)
    }
}

impl Adam {
    /// Adam with betas of 0.9 and 0.999, an epsilon of 1e-8 and no weight decay.
    pub fn new(learning_rate: f32) -> Self {
        let betas = (0.9, 0.999);
        Self {
            learning_rate,
            betas,
            epsilon: 1e-8,
            weight_decay: 0.0,
            steps: 0,
            moments: Slots::new(),
            count: None,
        }
    }

    /// Sets the decay rates of the two moments, each from 0 up to, but not, 1.
    pub fn betas(mut self, beta1: f32, beta2: f32) -> Self {
        self.betas = (beta1, beta2);
        self
    }

    /// Sets the number that is added to the denominator (Keras: 1e-7). It must be above 0, since a parameter
    /// whose gradients were all 0 would otherwise become NaN.
    pub fn epsilon(mut self, epsilon: f32) -> Self {
        self.epsilon = epsilon;
        self
    }

    /// Sets the weight decay: the share, times the learning rate, that each parameter loses in a step.
    pub fn weight_decay(mut self, weight_decay: f32) -> Self {
        self.weight_decay = weight_decay;
        self
    }

    /// The learning rate.
    pub fn learning_rate(&self) -> f32 {
        self.learning_rate
    }

    /// Sets the learning rate from the next step on.
    pub fn set_learning_rate(&mut self, learning_rate: f32) {
        self.learning_rate = learning_rate;
    }

    /// Makes one step: see [`Optimizer::step`].
    ///
    /// # Errors
    /// As [`Optimizer::step`].
    pub fn step(&mut self, params: &Params) -> Result<()> {
        let (beta1, beta2) = self.betas;
        check_size("Adam::learning_rate", self.learning_rate)?;
        check_share("Adam::betas", beta1)?;
        check_share("Adam::betas", beta2)?;
        // Where all gradients were 0 the means are 0 too, and only epsilon keeps 0 / 0 away. A GPU may
        // take numbers for 0 that are too small to be normal.
        if !(self.epsilon.is_normal() && self.epsilon > 0.0) {
            return Err(Error::Option {
                option: "Adam::epsilon",
                found: self.epsilon.to_string(),
                expected: "a finite number above 0, such as 1e-8".into(),
            });
        }
        check_size("Adam::weight_decay", self.weight_decay)?;
        let arena = params.arena()?;
        let device = params.device();
        let zeros = |of: &Tensor| {
            let zeros = || Tensor::large_zeros(of.shape(), "Adam's means", &device);
            Ok([zeros()?, zeros()?])
        };
        let ([m, v], new) = self.moments.of_all(params, || zeros(&arena.value))?;
        if new {
            (self.steps, self.count) = (0, None);
        }
        let drawn = params.drawn_rows()?;
        self.moments.add_tables(&drawn, zeros)?;
        let gradients = all_gradients(&drawn, &arena.grad);
        let scaling = match params.loss_scaling()? {
            None => {
                // After a change of precision.
                if let Some(count) = self.count.take() {
                    self.steps = count.to_vec()?[0] as i32;
                }
                None
            }
            Some(state) => {
                let steps = [self.steps as f32];
                let count = match &self.count {
                    Some(count) => count.clone(),
                    None => Tensor::from_slice(&steps, [1], &params.device())?,
                };
                self.count = Some(count.clone());
                loss_scale::settle(&gradients, &state, &count)?;
                Some((state, count))
            }
        };
        self.steps += 1;
        let factors = adam::Factors {
            rate: self.learning_rate,
            step: self.steps,
            beta1,
            beta2,
            epsilon: self.epsilon,
            decay: self.learning_rate * self.weight_decay,
        };
        let scaling = scaling.as_ref().map(|(state, count)| [state, count]);
        params.change(|| {
            adam::adam([&arena.value, &arena.grad, &m, &v], None, factors, scaling)?;
            drawn.iter().try_for_each(|(id, table, rows)| {
                let Some([m, v]) = self.moments.of_table(*id) else { return Ok(()) };
                adam::adam([table, &rows.values, m, v], Some(rows), factors, scaling)
            })
        })?;
        params.clear_rows();
        params.constrain()
    }
}

impl Optimizer for Adam {
    fn step(&mut self, params: &Params) -> Result<()> {
        Adam::step(self, params)
    }
}

/// Gradient descent, with momentum if asked for (Sutskever et al. 2013, in PyTorch's form).
///
/// ```
/// use wgpu_lstm::train::Sgd;
/// let sgd = Sgd::new(0.1).momentum(0.9).nesterov();
/// assert_eq!(sgd.learning_rate(), 0.1);
/// ```
#[derive(Debug)]
#[must_use = "an optimizer does nothing until it steps"]
pub struct Sgd {
    learning_rate: f32,
    momentum: f32,
    nesterov: bool,
    velocities: Slots<Tensor>,
}

impl Sgd {
    /// Gradient descent without momentum.
    pub fn new(learning_rate: f32) -> Self {
        Self { learning_rate, momentum: 0.0, nesterov: false, velocities: Slots::new() }
    }

    /// Sets the share of the last step that goes into the next, from 0 up to, but not, 1.
    pub fn momentum(mut self, momentum: f32) -> Self {
        self.momentum = momentum;
        self
    }

    /// Uses Nesterov's momentum, which looks ahead.
    pub fn nesterov(mut self) -> Self {
        self.nesterov = true;
        self
    }

    /// The learning rate.
    pub fn learning_rate(&self) -> f32 {
        self.learning_rate
    }

    /// Sets the learning rate from the next step on.
    pub fn set_learning_rate(&mut self, learning_rate: f32) {
        self.learning_rate = learning_rate;
    }

    /// Makes one step: see [`Optimizer::step`].
    ///
    /// # Errors
    /// As [`Optimizer::step`].
    pub fn step(&mut self, params: &Params) -> Result<()> {
        check_size("Sgd::learning_rate", self.learning_rate)?;
        check_share("Sgd::momentum", self.momentum)?;
        let arena = params.arena()?;
        let device = params.device();
        let zeros = |of: &Tensor| Tensor::large_zeros(of.shape(), "Sgd's velocities", &device);
        let (velocity, _) = self.velocities.of_all(params, || zeros(&arena.value))?;
        let drawn = params.drawn_rows()?;
        self.velocities.add_tables(&drawn, zeros)?;
        let scaling = params.loss_scaling()?;
        if let Some(state) = &scaling {
            // The count of steps made, which gradient descent does not use.
            let count = Tensor::zeros([1], &params.device())?;
            loss_scale::settle(&all_gradients(&drawn, &arena.grad), state, &count)?;
        }
        let (rate, momentum, nesterov) = (self.learning_rate, self.momentum, self.nesterov);
        let factors = sgd::Factors { rate, momentum, nesterov };
        let scaling = scaling.as_ref();
        params.change(|| {
            sgd::sgd([&arena.value, &arena.grad, &velocity], None, factors, scaling)?;
            drawn.iter().try_for_each(|(id, table, rows)| {
                let Some(velocity) = self.velocities.of_table(*id) else { return Ok(()) };
                sgd::sgd([table, &rows.values, velocity], Some(rows), factors, scaling)
            })
        })?;
        params.clear_rows();
        params.constrain()
    }
}

impl Optimizer for Sgd {
    fn step(&mut self, params: &Params) -> Result<()> {
        Sgd::step(self, params)
    }
}

/// Checks that an option is a finite number of at least 0.
fn check_size(option: &'static str, found: f32) -> Result<()> {
    if found >= 0.0 && found.is_finite() {
        return Ok(());
    }
    let expected = "a finite number of at least 0".into();
    Err(Error::Option { option, found: found.to_string(), expected })
}
