//! The parameters of a model, side by side in one buffer, so that an optimizer is one dispatch.

mod clip;
mod constraints;
mod files;
mod first;
mod groups;
mod guard;
mod kept;
mod layout;
mod own;
mod precision;
mod quantized;
mod snapshot;
mod state;
mod store;
mod table;
mod values;

pub use clip::Clip;
pub use groups::Group;
pub(crate) use layout::Layout;
pub use precision::Precision;
pub(crate) use quantized::SCALE;
pub(crate) use snapshot::Snapshot;
pub(crate) use table::{Drawn, all_gradients};

use crate::device::{Backend, lock};
use crate::ops::common::threefry::Key;
use crate::ops::elementwise::half;
use crate::ops::lstm;
use crate::ops::optim::{grouping, loss_scale};
use crate::tensor::Tensor;
use crate::{Device, Error, Result};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use store::{Arena, Spec, Store};

/// That a layer was not built with these `Params`.
const OTHER_PARAMS: Error = Error::NotBuilt { what: "this layer", call: "build with these Params" };

/// The alignment of parameters, in words: with 16 bits each these are 256 bytes, at which every GPU can
/// bind; and what has the same factors of a [`Group`].
pub(crate) const ALIGN: usize = grouping::BLOCK;

/// The identity of a parameter, as [`Params::insert`] returns it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ParamId {
    /// The number of its `Params`.
    params: u64,
    index: usize,
    /// A number that no parameter had before, even in the same place.
    serial: u64,
}

/// The parameters of a model with their gradients. Cheap to clone: clones are the same
/// parameters.
///
/// Several threads may predict and add up gradients at the same time. An optimizer must not step while a
/// tape is between its forward and its backward pass, which would then fail with [`Error::Stale`]. Build
/// layers on one thread: their names and first values depend on the order.
///
/// A layer's `build` inserts its parameters. Names, shapes and the order of gates (i, f, g, o) are PyTorch's:
/// `lstm.weight_ih_l0` is `[4H, I]`, `lstm.weight_hh_l0` `[4H, H]`, `lstm.bias_l0` `[4H]`, `dense.weight`
/// `[O, I]`, `dense.bias` `[O]`.
///
/// ```
/// use wgpu_lstm::{Device, nn::{Lstm, Params}};
/// let params = Params::seeded(&Device::auto()?, 7);
/// let lstm = Lstm::new(16).build(&params, 3)?;
/// # let _ = lstm;
/// assert_eq!(params.names(), ["lstm.weight_ih_l0", "lstm.weight_hh_l0", "lstm.bias_l0"]);
/// assert_eq!(params.shape("lstm.weight_ih_l0")?, [64, 3]);
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
#[derive(Clone)]
pub struct Params(Arc<Mutex<Store>>);

impl Params {
    /// An empty set of parameters on this device, with the seed 0.
    pub fn new(device: &Device) -> Self {
        Self::seeded(device, 0)
    }

    /// An empty set of parameters on this device. The seed determines the first values of all layers and the
    /// random masks of dropout, which are the same on every device.
    pub fn seeded(device: &Device, seed: u64) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(Arc::new(Mutex::new(Store {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            generation: 0,
            device: device.clone(),
            seed,
            keys: 0,
            blank: None,
            specs: Vec::new(),
            serials: 0,
            len: 0,
            pending: Vec::new(),
            arena: None,
            version: 0,
            precision: Precision::default(),
            half: None,
            loss_scaling: None,
            one: None,
            guard: None,
            groups: groups::Groups::default(),
            pytorch: false,
        })))
    }

    /// Sets the seed, for a model whose layers are not built yet.
    pub(crate) fn set_seed(&self, seed: u64) {
        self.lock().seed = seed;
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        lock(&self.0)
    }

    /// The gradient of a loss by itself: 1, on the parameters' device, of which all tapes have the same.
    pub(crate) fn one(&self) -> Result<Tensor> {
        let mut inner = self.lock();
        let one = match inner.one.take() {
            Some(one) => one,
            None => Tensor::from_slice(&[1.0], [1], &inner.device)?,
        };
        Ok(inner.one.insert(one).clone())
    }

    /// The device that holds the parameters.
    pub fn device(&self) -> Device {
        self.lock().device.clone()
    }

    /// Sets the precision of computations with these parameters, and returns the one in effect:
    /// [`Precision::Full`] if the device has no other. A change drops gradients that no optimizer has used
    /// yet, since their scale is different.
    ///
    /// ```
    /// use wgpu_lstm::{Device, nn::{Params, Precision}};
    /// let params = Params::new(&Device::auto()?);
    /// let precision = params.set_precision(Precision::Mixed);
    /// println!("computes in {precision:?} precision");
    /// assert_eq!(precision, params.precision());
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    pub fn set_precision(&self, precision: Precision) -> Precision {
        let mut inner = self.lock();
        let before = inner.precision;
        inner.precision = match (precision, &inner.device.0) {
            (Precision::Mixed, Backend::Gpu(gpu)) if lstm::has_half(gpu) => Precision::Mixed,
            (Precision::Mixed, _) => {
                log::info!("{} computes in full precision", inner.device);
                Precision::Full
            }
            (Precision::Full, _) => Precision::Full,
        };
        if let Some(arena) = inner.arena.as_ref().filter(|_| inner.precision != before) {
            // This only fails on a lost device, which every later call reports.
            let _ = arena.grad.fill(0.0);
        }
        if inner.precision != before {
            inner.tables().for_each(|table| table.gradients.clear());
        }
        inner.precision
    }

    /// The precision in effect.
    pub fn precision(&self) -> Precision {
        self.lock().precision
    }

    /// The factor by which gradients are multiplied at present: 1 in full precision. Waits for the device.
    ///
    /// # Errors
    /// Those of [`Tensor::to_vec`].
    pub fn loss_scale(&self) -> Result<f32> {
        Ok(match self.loss_scaling()? {
            Some(state) => state.to_vec()?[0],
            None => 1.0,
        })
    }

    /// The number of trainable values of all layers: the sum of [`crate::nn::Layer::parameter_count`].
    pub fn parameter_count(&self) -> usize {
        self.lock().specs.iter().map(Spec::outside_len).sum()
    }

    /// The parameters' names, in the order of the layers.
    pub fn names(&self) -> Vec<String> {
        self.lock().specs.iter().map(|s| s.name.clone()).collect()
    }

    /// A parameter's shape, as PyTorch has it.
    ///
    /// # Errors
    /// [`Error::UnknownParameter`].
    pub fn shape(&self, name: &str) -> Result<Vec<usize>> {
        let inner = self.lock();
        let id = inner.find(name)?;
        Ok(inner.specs[id.index].shape.clone())
    }

    /// A prefix that no parameter's name has yet, for another layer of a `kind`: `lstm`, `lstm_1`,
    /// `lstm_2` …
    pub fn free_prefix(&self, kind: &str) -> String {
        let inner = self.lock();
        let taken =
            |prefix: &str| inner.specs.iter().any(|s| s.name.split('.').next() == Some(prefix));
        let mut prefix = kind.to_owned();
        let mut n = 0;
        while taken(&prefix) {
            n += 1;
            prefix = format!("{kind}_{n}");
        }
        prefix
    }

    /// The key of the next random numbers of a training, the same on every device.
    pub(crate) fn next_key(&self) -> Key {
        let mut inner = self.lock();
        inner.keys += 1;
        Key([inner.seed as u32, (inner.seed >> 32) as u32]).part(inner.keys)
    }

    /// Inserts a parameter that ops bind as a whole. `values` are in the order of memory: see [`Layout`].
    pub(crate) fn add(
        &self,
        name: String,
        shape: Vec<usize>,
        layout: Layout,
        values: &[f32],
    ) -> Result<ParamId> {
        if let Backend::Gpu(gpu) = &self.lock().device.0 {
            let (bytes, limit) = (4 * values.len() as u64, gpu.max_binding());
            if bytes > limit {
                return Err(Error::TooLarge { what: "one weight of a layer", bytes, limit });
            }
        }
        self.add_windowed(name, shape, layout, values)
    }

    /// Inserts a parameter that may be larger than a binding, since its op binds it window by window.
    pub(crate) fn add_windowed(
        &self,
        name: String,
        shape: Vec<usize>,
        layout: Layout,
        values: &[f32],
    ) -> Result<ParamId> {
        let mut inner = self.lock();
        inner.spend(crate::tensor::count(&shape))?;
        let (offset, len) = (inner.len, values.len());
        let end = (offset + len).next_multiple_of(ALIGN);
        let bytes = 4 * (end - offset) as u64;
        if inner.pending.try_reserve(end - offset).is_err() {
            return Err(Error::OutOfMemory { what: "the first values of a parameter", bytes });
        }
        inner.len = end;
        inner.pending.extend_from_slice(values);
        inner.pending.extend(std::iter::repeat_n(0.0, end - offset - len));
        Ok(inner.push(name, shape, layout, (offset, len), None))
    }

    /// Checks that neither the buffers nor their values changed since they had this generation and version.
    pub(crate) fn check_unchanged(&self, generation: u64, version: u64) -> Result<()> {
        let inner = self.lock();
        if inner.own_generation() != generation {
            return Err(Error::NotRecorded {
                op: "Tape::backward",
                arg: "a parameter",
                help: "a layer was built after the tape had used others; build all layers first",
            });
        }
        if inner.version != version {
            return Err(Error::Stale {
                op: "Tape::backward",
                what: "parameters",
                help: "call backward before an optimizer's step and before Params::set, and make a \
                       new tape after it",
            });
        }
        Ok(())
    }

    /// A number that changes whenever a value does.
    pub(crate) fn version(&self) -> u64 {
        self.lock().version
    }

    /// A number that changes whenever the buffers are reallocated, and differs between `Params`.
    pub(crate) fn generation(&self) -> u64 {
        self.lock().own_generation()
    }

    /// The number of parameters now, for [`Params::drop_since`].
    pub(crate) fn mark(&self) -> usize {
        self.lock().specs.len()
    }

    /// Removes the parameters inserted since `mark`, unless the buffers hold them already.
    pub(crate) fn drop_since(&self, mark: usize) {
        let mut inner = self.lock();
        let held = inner.arena.as_ref().map_or(0, |a| a.value.len());
        let Some(offset) = inner.specs.get(mark).map(|s| s.offset).filter(|&o| o >= held) else {
            return;
        };
        inner.specs.truncate(mark);
        inner.pending.truncate(offset - held);
        inner.len = offset;
    }

    /// A parameter's value and gradient, in the shape that an op wants. With `product` the value has
    /// the precision that products take.
    pub(crate) fn tensors(
        &self,
        id: ParamId,
        shape: &[usize],
        product: bool,
    ) -> Result<(Tensor, Tensor)> {
        let mut inner = self.lock();
        let &Spec { offset, len, ref quantized, .. } = inner.known(id)?;
        if quantized.is_some() {
            return Err(quantized::NOT_TRAINED);
        }
        if crate::tensor::count(shape) != len {
            return Err(OTHER_PARAMS);
        }
        let arena = inner.arena()?;
        let gradient = arena.grad.view(offset, shape);
        if !product || inner.precision == Precision::Full {
            return Ok((arena.value.view(offset, shape), gradient));
        }
        // A word holds two.
        let offset = offset / 2;
        let half = match &inner.half {
            Some(half) => half.clone(),
            None => half::half(&arena.value)?,
        };
        inner.half = Some(half.clone());
        Ok((half.view(offset, shape), gradient))
    }

    /// The buffers, for an optimizer, which must write to them within [`Self::change`].
    pub(crate) fn arena(&self) -> Result<Arena> {
        self.lock().arena()
    }

    /// Runs `write`, which changes values, while no other thread makes a 16-bit copy of them.
    pub(crate) fn change<R>(&self, write: impl FnOnce() -> R) -> R {
        let mut inner = self.lock();
        inner.half = None;
        inner.version += 1;
        write()
    }

    /// The state of the loss scale; `None` in full precision.
    pub(crate) fn loss_scaling(&self) -> Result<Option<Tensor>> {
        let mut inner = self.lock();
        if inner.precision == Precision::Full {
            return Ok(None);
        }
        let state = match &inner.loss_scaling {
            Some(state) => state.clone(),
            None => loss_scale::state(&inner.device)?,
        };
        inner.loss_scaling = Some(state.clone());
        Ok(Some(state))
    }
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Params({} values on {})", self.parameter_count(), self.device())
    }
}
