//! The parameters of a model, side by side in one buffer, so that an optimizer is one dispatch.

mod constraints;
mod layout;
mod own;
mod precision;
mod store;
mod table;
mod values;

pub(crate) use layout::Layout;
pub use precision::Precision;

use crate::device::{Backend, lock};
use crate::ops::threefry::Key;
use crate::ops::{half, loss_scale, lstm};
use crate::tensor::Tensor;
use crate::{Device, Error, Result};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use store::{Arena, Spec, Store};

/// Words between the begins of two parameters: of 16 bits they are 256 bytes, which every GPU can
/// bind at.
pub(crate) const ALIGN: usize = 128;

/// A parameter's number in its [`Params`]: what a layer of your own keeps of [`Params::insert`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ParamId {
    /// Tells its `Params` from all others.
    params: u64,
    index: usize,
    /// Tells it from others that had its place before.
    serial: u64,
}

/// The parameters of a model with their gradients. Cheap to clone: clones are the same
/// parameters.
///
/// Several threads may use them at a time, to predict and to add up gradients; a step of an optimizer comes
/// when no tape is between its forward and its backward pass, which would else be
/// [`Error::Stale`]. Layers are built by one thread, since names and first values go by their order.
///
/// Layers put theirs in by `build`. To the world a parameter has PyTorch's name, shape and
/// order of gates (i, f, g, o): `lstm.weight_ih_l0` is `[4H, I]`, `lstm.weight_hh_l0` `[4H, H]`,
/// `lstm.bias_l0` `[4H]`, `dense.weight` `[O, I]`, `dense.bias` `[O]`.
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
    /// No parameters yet, on this device, with the seed 0.
    pub fn new(device: &Device) -> Self {
        Self::seeded(device, 0)
    }

    /// No parameters yet, on this device. The seed is that of the first values of all layers, and of
    /// what dropout drops: the same seed gives the same on every device.
    pub fn seeded(device: &Device, seed: u64) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(Arc::new(Mutex::new(Store {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            generation: 0,
            device: device.clone(),
            seed,
            keys: 0,
            specs: Vec::new(),
            serials: 0,
            len: 0,
            pending: Vec::new(),
            arena: None,
            version: 0,
            precision: Precision::default(),
            half: None,
            loss_scaling: None,
        })))
    }

    /// Another seed, for a model whose layers are not built yet.
    pub(crate) fn set_seed(&self, seed: u64) {
        self.lock().seed = seed;
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        lock(&self.0)
    }

    /// The device that holds the parameters.
    pub fn device(&self) -> Device {
        self.lock().device.clone()
    }

    /// Sets the precision of all that is computed with these parameters from now on, as far as the
    /// device has it, and returns the one in effect: [`Precision::Full`] where a device has no other.
    /// Gradients that no optimizer has used yet are dropped if it changes, since they have another
    /// scale.
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
            // It fails on a lost device alone, which every later call reports.
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

    /// What gradients are multiplied by at present: 1, but in mixed precision. Waits for the device.
    ///
    /// # Errors
    /// Those of [`Tensor::to_vec`].
    pub fn loss_scale(&self) -> Result<f32> {
        Ok(match self.loss_scaling()? {
            Some(state) => state.to_vec()?[0],
            None => 1.0,
        })
    }

    /// The number of trainable values: of all layers, as [`crate::nn::Layer::parameter_count`] counts
    /// them.
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

    /// What no parameter's name begins with yet, for the parameters of one more layer of a `kind`:
    /// `lstm`, `lstm_1`, `lstm_2` …
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

    /// A generator for the next parameter's first values, the same on every device.
    pub(crate) fn rng(&self) -> ChaCha8Rng {
        let inner = self.lock();
        let mut rng = ChaCha8Rng::seed_from_u64(inner.seed);
        rng.set_stream(inner.specs.len() as u64 + 1);
        rng
    }

    /// The key of the next random numbers of a training: the same on every device.
    pub(crate) fn next_key(&self) -> Key {
        let mut inner = self.lock();
        inner.keys += 1;
        Key([inner.seed as u32, (inner.seed >> 32) as u32]).part(inner.keys)
    }

    /// Puts a parameter in that ops bind as a whole. `values` lie as `layout` says that they lie in memory.
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

    /// The same of one that its op binds window by window.
    pub(crate) fn add_windowed(
        &self,
        name: String,
        shape: Vec<usize>,
        layout: Layout,
        values: &[f32],
    ) -> Result<ParamId> {
        let mut inner = self.lock();
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

    /// Changes whenever a value does.
    pub(crate) fn version(&self) -> u64 {
        self.lock().version
    }

    /// Changes whenever the buffers are made anew, and differs between `Params`.
    pub(crate) fn generation(&self) -> u64 {
        let inner = self.lock();
        (inner.number << 24) + inner.generation
    }

    /// The number of parameters now, for [`Params::drop_since`].
    pub(crate) fn mark(&self) -> usize {
        self.lock().specs.len()
    }

    /// Takes out the parameters that were put in since, unless the buffers hold them already.
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
        let arena = inner.arena()?;
        let Some(spec) = inner.spec(id) else {
            return Err(Error::NotBuilt { what: "this layer", call: "build with these Params" });
        };
        if crate::tensor::count(shape) != spec.len {
            return Err(Error::NotBuilt { what: "this layer", call: "build with these Params" });
        }
        let gradient = arena.grad.view(spec.offset, shape);
        if !product || inner.precision == Precision::Full {
            return Ok((arena.value.view(spec.offset, shape), gradient));
        }
        // Two to a word.
        let offset = spec.offset / 2;
        let half = match &inner.half {
            Some(half) => half.clone(),
            None => half::half(&arena.value)?,
        };
        inner.half = Some(half.clone());
        Ok((half.view(offset, shape), gradient))
    }

    /// The buffers, for an optimizer, which writes to them in [`Self::change`].
    pub(crate) fn arena(&self) -> Result<Arena> {
        self.lock().arena()
    }

    /// Runs what writes to the values, while no other thread makes a copy of 16 bits.
    pub(crate) fn change<R>(&self, write: impl FnOnce() -> R) -> R {
        let mut inner = self.lock();
        inner.half = None;
        inner.version += 1;
        write()
    }

    /// What the gradients are multiplied by, in mixed precision.
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
