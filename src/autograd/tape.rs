//! The tape: for each op a closure that differentiates it, with the tensors that it saved. Ops are coarse
//! (a whole LSTM layer is one), so a training step has twenty nodes.

use super::anomaly::Watch;
use super::var::{Var, VarId};
use super::{ParamId, Params};
use crate::check::Check;
use crate::ops;
use crate::tensor::Tensor;
use crate::{DType, Error, Result};
use std::any::type_name;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

type Backward = Box<dyn FnOnce(&[Option<Tensor>], &mut Gradients) -> Result<()> + Send>;

struct Node {
    /// The type of the op's closure, which names the function that recorded it.
    op: &'static str,
    outputs: Vec<VarId>,
    backward: Backward,
}

/// A record of ops on the parameters of a model, which differentiates them.
///
/// ```
/// use wgpu_lstm::{Device, Tape, Tensor, Var, loss, nn::{Dense, Params}, train::Adam};
/// let device = Device::auto()?;
/// let params = Params::new(&device);
/// let layer = Dense::new(1).build(&params, 2)?;
/// let mut adam = Adam::new(1e-2);
/// let x = Var::from(Tensor::from_slice(&[0.0, 1.0, 1.0, 0.0], [2, 2], &device)?);
/// let y = Tensor::from_slice(&[0.0, 1.0], [2, 1], &device)?;
/// for _ in 0..10 {
///     let tape = Tape::new(&params);
///     let prediction = layer.forward(&tape, &x)?;
///     let loss = loss::mean_squared_error(&tape, &prediction, &y, None)?;
///     tape.backward(&loss)?;
///     adam.step(&params)?;
/// }
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
pub struct Tape {
    /// The number of this tape, which no other has.
    number: u64,
    params: Params,
    nodes: Option<RefCell<Vec<Node>>>,
    next: Cell<usize>,
    /// The generation of the parameters when the first of them was used.
    generation: Cell<Option<u64>>,
    /// The version of the parameters' values when the first of them was used.
    version: Cell<u64>,
    /// What takes the gradients of parameters in place of [`Params`]' own, once it is needed; `None` for a tape
    /// of which they are wanted.
    aside: Option<OnceCell<Tensor>>,
    /// The values whose gradients are kept: see [`Tape::retain`].
    retained: RefCell<BTreeSet<usize>>,
    /// Penalties that layers add to the loss.
    penalties: RefCell<Vec<Var>>,
    /// The first value that is not finite, if the tape looks for one.
    watch: Option<Watch>,
    /// The weights of attention, of a tape that keeps them.
    pub(super) looks: Option<RefCell<Vec<Tensor>>>,
}

impl Tape {
    /// A tape that records.
    pub fn new(params: &Params) -> Self {
        Self::with(params, Some(RefCell::default()))
    }

    /// A tape that records nothing, for inference: ops then save nothing for a backward pass.
    pub fn inference(params: &Params) -> Self {
        Self::with(params, None)
    }

    /// A tape that records, but for the gradients of inputs alone: see [`Tape::input`] and [`Tape::retain`].
    /// Layers compute as they do on [`Tape::inference`], without dropout and other noise, and the gradients of
    /// parameters stay as they are: PyTorch's `eval()` with parameters that need no gradient. A layer of your own
    /// asks [`Tape::trains`] before it makes noise.
    ///
    /// ```
    /// use wgpu_lstm::{Device, Tape, Tensor, nn::{Dense, Params}};
    /// let device = Device::auto()?;
    /// let params = Params::new(&device);
    /// let dense = Dense::new(1).build(&params, 2)?;
    /// params.set("dense.weight", &[3.0, -2.0])?;
    /// let tape = Tape::for_inputs(&params);
    /// let x = tape.input(Tensor::from_slice(&[1.0, 1.0], [1, 2], &device)?);
    /// let y = dense.forward(&tape, &x)?;
    /// let gradients = tape.backward_from(&[(&y, Tensor::from_slice(&[1.0], [1, 1], &device)?)])?;
    /// assert_eq!(gradients.get(&x).unwrap().to_vec()?, [3.0, -2.0]);
    /// assert_eq!(params.gradient("dense.weight")?, [0.0, 0.0]);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    pub fn for_inputs(params: &Params) -> Self {
        Self { aside: Some(OnceCell::new()), ..Self::new(params) }
    }

    fn with(params: &Params, nodes: Option<RefCell<Vec<Node>>>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let generation = Cell::new(None);
        let (params, next, version) = (params.clone(), Cell::new(0), Cell::new(0));
        let (penalties, watch) = (RefCell::default(), None);
        let (aside, retained, looks) = (None, RefCell::default(), None);
        Self {
            number,
            params,
            nodes,
            next,
            generation,
            version,
            aside,
            retained,
            penalties,
            watch,
            looks,
        }
    }

    /// Looks for the first op whose output, or whose gradient of an input or parameter, is not finite:
    /// [`Tape::backward`] then gives [`Error::Anomaly`], as PyTorch's `detect_anomaly` does. All values are
    /// read back, so this is for finding a fault, not for training.
    ///
    /// ```
    /// use wgpu_lstm::{Device, Error, Tape, Tensor, loss, nn::{Dense, Params}};
    /// let device = Device::auto()?;
    /// let params = Params::new(&device);
    /// let dense = Dense::new(1).build(&params, 1)?;
    /// let tape = Tape::new(&params).detect_anomaly();
    /// let x = Tensor::from_slice(&[f32::INFINITY], [1, 1], &device)?;
    /// let y = dense.forward(&tape, &x.into())?;
    /// let loss = loss::mean_squared_error(&tape, &y, &Tensor::zeros([1, 1], &device)?, None)?;
    /// let error = tape.backward(&loss).err().unwrap();
    /// assert!(matches!(error, Error::Anomaly { backward: false, .. }));
    /// assert!(error.to_string().contains("Dense"));
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn detect_anomaly(mut self) -> Self {
        self.watch = Some(Watch::default());
        self
    }

    /// Whether ops are recorded.
    pub fn records(&self) -> bool {
        self.nodes.is_some()
    }

    /// Whether ops are recorded for a training, in which dropout and other noise have their place: not on
    /// [`Tape::inference`], nor on [`Tape::for_inputs`].
    pub fn trains(&self) -> bool {
        self.records() && self.aside.is_none()
    }

    /// The parameters that the layers use.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// A parameter's value and gradient, in the shape that an op wants.
    pub(crate) fn parameter(&self, id: ParamId, shape: &[usize]) -> Result<(Tensor, Tensor)> {
        self.tensors(id, shape, false)
    }

    /// A parameter's value, in the precision of products, and gradient, in the shape that an op wants.
    pub(crate) fn weight(&self, id: ParamId, shape: &[usize]) -> Result<(Tensor, Tensor)> {
        self.tensors(id, shape, true)
    }

    fn tensors(&self, id: ParamId, shape: &[usize], product: bool) -> Result<(Tensor, Tensor)> {
        // Read before the values, so that a change in between is noticed.
        let version = self.params.version();
        let (value, mut gradient) = self.params.tensors(id, shape, product)?;
        self.uses_params(version);
        if let Some(aside) = &self.aside {
            let words = match aside.get() {
                Some(words) => words.clone(),
                None => Tensor::large_zeros(
                    [self.params.arena()?.grad.len()],
                    "gradients that are not wanted",
                    &value.device(),
                )?,
            };
            gradient = words.view(gradient.offset, shape);
            let _ = aside.set(words);
        }
        Ok((value, gradient))
    }

    /// The values of a table: see [`Params::table`].
    pub(crate) fn table(&self, id: ParamId) -> Result<Tensor> {
        let version = self.params.version();
        let table = self.params.table(id)?;
        self.uses_params(version);
        Ok(table)
    }

    fn uses_params(&self, version: u64) {
        if self.generation.get().is_none() {
            self.generation.set(Some(self.params.generation()));
            self.version.set(version);
        }
    }

    /// Adds a penalty `[1]` to the loss: see [`Tape::regularized`].
    pub(crate) fn penalize(&self, penalty: Var) {
        self.penalties.borrow_mut().push(penalty);
    }

    pub(crate) fn penalties(&self) -> Vec<Var> {
        self.penalties.borrow().clone()
    }

    /// Makes a value whose gradient is wanted: see [`Gradients::get`].
    pub fn input(&self, tensor: Tensor) -> Var {
        let id = self.records().then(|| self.take_id());
        Var { tensor, id, lengths: None, mask: None }
    }

    /// Keeps the gradient of a value that ops of this tape computed, for [`Gradients::get`]: PyTorch's
    /// `retain_grad`. Gradients of other values than these and [`Tape::input`]'s are freed on the way.
    ///
    /// ```
    /// use wgpu_lstm::{Device, Tape, Tensor, nn::{Dense, Params}};
    /// let device = Device::auto()?;
    /// let params = Params::new(&device);
    /// let dense = Dense::new(1).build(&params, 1)?;
    /// params.set("dense.weight", &[3.0])?;
    /// let tape = Tape::new(&params);
    /// let x = Tensor::from_slice(&[1.0], [1, 1], &device)?;
    /// let h = dense.forward(&tape, &x.into())?;
    /// tape.retain(&h);
    /// let y = dense.forward(&tape, &h)?;
    /// let gradients = tape.backward_from(&[(&y, Tensor::from_slice(&[1.0], [1, 1], &device)?)])?;
    /// assert_eq!(gradients.get(&h).unwrap().to_vec()?, [3.0]);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    pub fn retain(&self, var: &Var) {
        self.retained.borrow_mut().extend(self.id(var).map(|id| id.index));
    }

    fn take_id(&self) -> VarId {
        let index = self.next.get();
        self.next.set(index + 1);
        VarId { tape: self.number, index }
    }

    /// The place of a value on this tape; `None` if it is a constant or another tape's, such as the state of
    /// an earlier training step.
    pub(crate) fn id(&self, var: &Var) -> Option<VarId> {
        var.id.filter(|id| id.tape == self.number)
    }

    /// Records an op: its outputs and how to differentiate it. `differentiable` says whether any input or
    /// parameter wants a gradient.
    pub(crate) fn push<F>(
        &self,
        outputs: Vec<Tensor>,
        differentiable: bool,
        backward: F,
    ) -> Vec<Var>
    where
        F: FnOnce(&[Option<Tensor>], &mut Gradients) -> Result<()> + Send + 'static,
    {
        self.push_op(type_name::<F>(), outputs, differentiable, backward)
    }

    pub(super) fn push_op(
        &self,
        op: &'static str,
        outputs: Vec<Tensor>,
        differentiable: bool,
        backward: impl FnOnce(&[Option<Tensor>], &mut Gradients) -> Result<()> + Send + 'static,
    ) -> Vec<Var> {
        if let Some(watch) = &self.watch {
            watch.outputs(op, &outputs);
        }
        let nodes = self.nodes.as_ref().filter(|_| differentiable);
        let vars: Vec<_> = outputs
            .into_iter()
            .map(|tensor| Var {
                tensor,
                id: nodes.map(|_| self.take_id()),
                lengths: None,
                mask: None,
            })
            .collect();
        if let Some(nodes) = nodes {
            let outputs = vars.iter().filter_map(|v| v.id).collect();
            nodes.borrow_mut().push(Node { op, outputs, backward: Box::new(backward) });
        }
        vars
    }

    /// As [`Tape::push`], for an op with one output.
    pub(crate) fn push_one<F>(&self, output: Tensor, differentiable: bool, backward: F) -> Var
    where
        F: FnOnce(&Tensor, &mut Gradients) -> Result<()> + Send + 'static,
    {
        let constant = Var::constant(output.clone());
        let run = move |d: &[Option<Tensor>], gradients: &mut Gradients| match d.first() {
            Some(Some(d)) => backward(d, gradients),
            _ => Ok(()),
        };
        self.push_op(type_name::<F>(), vec![output], differentiable, run).pop().unwrap_or(constant)
    }

    /// Computes the gradients of a scalar: adds those of the parameters to [`Params`], and returns those of
    /// the inputs.
    ///
    /// # Errors
    /// [`Error::Stale`] if parameters were changed since the tape used them;
    /// [`Error::Shape`] and [`Error::DType`] if `loss` is not one number, [`Error::NotRecorded`] if
    /// it is not of this tape or if layers were built since the tape used others, and those of the ops.
    /// After an error a part of the gradients may be added up already: [`Params::zero_gradients`] drops it.
    pub fn backward(self, loss: &Var) -> Result<Gradients> {
        Check::new("Tape::backward", "a loss is one number").number("loss", &loss.tensor)?;
        let scaling = self.params.loss_scaling()?;
        let device = loss.tensor.device();
        let seed = match &scaling {
            Some(state) if state.device().same(&device) => state.view(0, [1]),
            Some(state) => {
                let one = Tensor::from_slice(&[1.0], [1], &device)?;
                ops::optim::loss_scale::rescale(&one, state, false)?
            }
            None if self.params.device().same(&device) => self.params.one()?,
            None => Tensor::from_slice(&[1.0], [1], &device)?,
        };
        self.run(&[(loss, seed)], scaling)
    }

    /// As [`Tape::backward`], but from any values, given the gradient of each.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::DType`] and [`Error::OtherDevice`] if a gradient is not like its
    /// value, and those of [`Tape::backward`].
    pub fn backward_from(self, seeds: &[(&Var, Tensor)]) -> Result<Gradients> {
        self.check(seeds)?;
        let Some(state) = self.params.loss_scaling()? else { return self.run(seeds, None) };
        let mut scaled = Vec::new();
        for (var, gradient) in seeds {
            scaled.push((*var, ops::optim::loss_scale::rescale(gradient, &state, false)?));
        }
        self.run(&scaled, Some(state))
    }

    /// Checks that the parameters are as they were when the tape used them.
    fn check_params(&self) -> Result<()> {
        match self.generation.get() {
            Some(generation) => self.params.check_unchanged(generation, self.version.get()),
            None => Ok(()),
        }
    }

    fn check(&self, seeds: &[(&Var, Tensor)]) -> Result<()> {
        self.check_params()?;
        for (var, gradient) in seeds {
            if self.id(var).is_none() {
                return Err(Error::NotRecorded {
                    op: "Tape::backward",
                    arg: "the loss",
                    help: "make it with this tape, from layers of its Params; Tape::inference \
                           records nothing",
                });
            }
            let check = Check::new("Tape::backward_from", "a gradient has its value's type");
            check.dtype("gradient", gradient, DType::F32)?;
            check.device(var.tensor(), &[("gradient", gradient)])?;
            Check::new("Tape::backward_from", "a gradient has its value's shape").shape(
                "gradient",
                gradient,
                "the value's shape",
                var.shape(),
            )?;
        }
        Ok(())
    }

    /// Runs the tape backwards from seeds, which are multiplied by the loss scale if there is one.
    fn run(mut self, seeds: &[(&Var, Tensor)], scaling: Option<Tensor>) -> Result<Gradients> {
        self.check(seeds)?;
        let watch = self.watch.take();
        if let Some(watch) = &watch {
            watch.forward()?;
        }
        let mut gradients = Gradients { tape: self.number, by_index: vec![None; self.next.get()] };
        for (var, gradient) in seeds {
            gradients.add(var.id, gradient.clone())?;
        }
        let nodes = self.nodes.take().map(RefCell::into_inner).unwrap_or_default();
        let retained = self.retained.take();
        for node in nodes.into_iter().rev() {
            let of = |id: &VarId| match retained.contains(&id.index) {
                true => gradients.by_index[id.index].clone(),
                false => gradients.by_index[id.index].take(),
            };
            let d_outputs: Vec<_> = node.outputs.iter().map(of).collect();
            if d_outputs.iter().any(Option::is_some) {
                (node.backward)(&d_outputs, &mut gradients)?;
                if let Some(watch) = &watch {
                    watch.gradients(node.op, &gradients.by_index, &self.params)?;
                }
                // An op of the user's own may have changed parameters.
                self.check_params()?;
            }
        }
        self.params.clear_frozen()?;
        if let Some(state) = scaling {
            // The gradients of inputs are left.
            for gradient in gradients.by_index.iter_mut().flatten() {
                *gradient = ops::optim::loss_scale::rescale(gradient, &state, true)?;
            }
        }
        Ok(gradients)
    }
}

/// The gradients of values on a tape.
pub struct Gradients {
    tape: u64,
    by_index: Vec<Option<Tensor>>,
}

impl Gradients {
    /// The gradient of a value made by [`Tape::input`], or kept by [`Tape::retain`]; `None` if the loss does not
    /// depend on it.
    pub fn get(&self, var: &Var) -> Option<&Tensor> {
        let id = var.id.filter(|id| id.tape == self.tape)?;
        self.by_index.get(id.index)?.as_ref()
    }

    /// Adds to the gradient of a value.
    pub(crate) fn add(&mut self, id: Option<VarId>, gradient: Tensor) -> Result<()> {
        let id = id.filter(|id| id.tape == self.tape);
        let Some(slot) = id.and_then(|id| self.by_index.get_mut(id.index)) else { return Ok(()) };
        *slot = Some(match slot.take() {
            // Not in place: the op that made the old tensor may have saved it.
            Some(sum) => ops::elementwise::add::add(&sum, &gradient)?,
            None => gradient,
        });
        Ok(())
    }
}
