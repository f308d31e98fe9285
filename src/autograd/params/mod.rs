//! The parameters of a model, side by side in one buffer, so that an optimizer is one dispatch.

mod layout;
mod own;
mod precision;
mod table;

pub(crate) use layout::Layout;
pub use precision::Precision;

use crate::device::Backend;
use crate::ops::drawn::RowGradient;
use crate::ops::penalty::max_norm;
use crate::ops::threefry::Key;
use crate::ops::{half, loss_scale, lstm};
use crate::tensor::{Tensor, room_for};
use crate::{Device, Error, Result};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use table::Table;

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

struct Spec {
    serial: u64,
    name: String,
    /// As the world sees it.
    shape: Vec<usize>,
    layout: Layout,
    offset: usize,
    len: usize,
    /// L1 and L2.
    penalty: Option<[f32; 2]>,
    /// The largest norm of a column, and the words of a row in memory.
    max_norm: Option<(f32, usize)>,
    /// Of a table whose gradient is kept for the rows that are drawn alone.
    table: Option<Table>,
}

impl Spec {
    fn outside_len(&self) -> usize {
        self.shape.iter().product()
    }
}

struct Inner {
    /// Tells these parameters from all others.
    number: u64,
    /// Times that the buffers were made anew.
    generation: u64,
    device: Device,
    seed: u64,
    /// Keys drawn from the seed so far.
    keys: u64,
    specs: Vec<Spec>,
    /// Parameters put in so far.
    serials: u64,
    /// Words of all parameters, with the gaps between them.
    len: usize,
    /// First values of parameters that are not in the buffers yet, from `arena.len` on.
    pending: Vec<f32>,
    arena: Option<Arena>,
    /// Changes whenever a value does.
    version: u64,
    precision: Precision,
    /// The values as floats of 16 bits, unless they have changed since.
    half: Option<Tensor>,
    /// Of mixed precision: see [`loss_scale`].
    loss_scaling: Option<Tensor>,
}

#[derive(Clone)]
pub(crate) struct Arena {
    pub(crate) value: Tensor,
    pub(crate) grad: Tensor,
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
pub struct Params(Arc<Mutex<Inner>>);

impl Params {
    /// No parameters yet, on this device, with the seed 0.
    pub fn new(device: &Device) -> Self {
        Self::seeded(device, 0)
    }

    /// No parameters yet, on this device. The seed is that of the first values of all layers, and of
    /// what dropout drops: the same seed gives the same on every device.
    pub fn seeded(device: &Device, seed: u64) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(Arc::new(Mutex::new(Inner {
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

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// A parameter's values, in PyTorch's layout. Waits for the device.
    ///
    /// # Errors
    /// [`Error::UnknownParameter`], and those of [`Tensor::to_vec`].
    pub fn get(&self, name: &str) -> Result<Vec<f32>> {
        if let Some(value) = self.of_table(name, |table, device| table.value(device))? {
            return value.to_vec();
        }
        self.read(name, |arena| &arena.value)
    }

    /// What `f` makes of a parameter, if it is a table.
    fn of_table<R>(
        &self,
        name: &str,
        f: impl FnOnce(&mut Table, &Device) -> Result<R>,
    ) -> Result<Option<R>> {
        let mut inner = self.lock();
        let id = inner.find(name)?;
        let device = inner.device.clone();
        inner.specs[id.index].table.as_mut().map(|table| f(table, &device)).transpose()
    }

    /// A parameter's gradient, in PyTorch's layout. Waits for the device. In mixed precision it may
    /// be infinite or NaN: then a step is to be left out, as the optimizers of this crate do.
    ///
    /// # Errors
    /// As [`Params::get`].
    pub fn gradient(&self, name: &str) -> Result<Vec<f32>> {
        let of_rows = self.of_table(name, |table, device| {
            Ok((table.gradient()?, table.value(device)?.len(), table.size))
        })?;
        let mut gradient = match of_rows {
            None => self.read(name, |arena| &arena.grad)?,
            Some((drawn, len, size)) => {
                let mut gradient = room_for("a gradient", len)?;
                gradient.resize(len, 0.0);
                if let Some(drawn) = drawn {
                    let values = drawn.values.to_vec()?;
                    for (&row, values) in drawn.rows.iter().zip(values.chunks_exact(size)) {
                        gradient[row as usize * size..][..size].copy_from_slice(values);
                    }
                }
                gradient
            }
        };
        let scale = self.loss_scale()?;
        gradient.iter_mut().for_each(|g| *g /= scale);
        Ok(gradient)
    }

    fn read(&self, name: &str, which: impl Fn(&Arena) -> &Tensor) -> Result<Vec<f32>> {
        let (tensor, layout, len) = {
            let mut inner = self.lock();
            let id = inner.find(name)?;
            let arena = inner.arena()?;
            let spec = &inner.specs[id.index];
            (which(&arena).view(spec.offset, [spec.len]), spec.layout, spec.outside_len())
        };
        let words = tensor.to_vec()?;
        let mut outside = vec![0.0; len];
        for (&word, place) in words.iter().zip(layout.outside(words.len())) {
            if let Some(place) = place {
                outside[place] = word;
            }
        }
        Ok(outside)
    }

    /// Sets a parameter, in PyTorch's layout.
    ///
    /// # Errors
    /// [`Error::UnknownParameter`]; [`Error::Count`] if there are more or fewer values than the
    /// parameter has; [`Error::DeviceLost`].
    pub fn set(&self, name: &str, values: &[f32]) -> Result<()> {
        let mut inner = self.lock();
        let id = inner.find(name)?;
        let spec = &inner.specs[id.index];
        if values.len() != spec.outside_len() {
            return Err(Error::Count {
                op: "Params::set",
                shape: spec.shape.clone(),
                expected: spec.outside_len(),
                found: values.len(),
            });
        }
        let device = inner.device.clone();
        inner.version += 1;
        if let Some(table) = &mut inner.specs[id.index].table {
            return table.value(&device)?.overwrite(values);
        }
        let arena = inner.arena()?;
        let spec = &inner.specs[id.index];
        let places = spec.layout.outside(spec.len);
        let inside: Vec<f32> = places.map(|place| place.map_or(0.0, |p| values[p])).collect();
        let value = arena.value.view(spec.offset, [spec.len]);
        inner.half = None;
        value.overwrite(&inside)
    }

    /// Sets all gradients to zero. [`crate::train::Adam::step`] and its like do so themselves.
    ///
    /// # Errors
    /// [`Error::DeviceLost`].
    pub fn zero_gradients(&self) -> Result<()> {
        let mut inner = self.lock();
        inner.tables().for_each(|table| table.gradients.clear());
        let arena = inner.arena()?;
        arena.grad.fill(0.0)
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

    /// Puts in a table `[rows, size]` of which a step touches a few rows: it lies by itself, and its
    /// gradient is one of rows.
    pub(crate) fn add_table(&self, name: String, size: usize, values: Vec<f32>) -> ParamId {
        let mut inner = self.lock();
        let (offset, len) = (inner.len, values.len());
        let table = Table { size, pending: values, value: None, gradients: Vec::new() };
        inner.push(name, vec![len / size, size], Layout::Plain, (offset, len), Some(table))
    }

    /// The values of a table.
    pub(crate) fn table(&self, id: ParamId) -> Result<Tensor> {
        let mut inner = self.lock();
        // So that a tape which uses a table first sees the buffers of all others as they stay.
        inner.arena()?;
        let device = inner.device.clone();
        let known = inner.spec(id).is_some();
        let spec = inner.specs.get_mut(id.index).filter(|_| known);
        match spec.and_then(|spec| spec.table.as_mut()) {
            Some(table) => table.value(&device),
            None => Err(Error::NotBuilt { what: "this layer", call: "build with these Params" }),
        }
    }

    /// Adds to the gradient of a table.
    pub(crate) fn add_rows(&self, id: ParamId, gradient: RowGradient) {
        let mut inner = self.lock();
        if inner.spec(id).is_some()
            && let Some(table) = &mut inner.specs[id.index].table
        {
            table.gradients.push(gradient);
        }
    }

    /// All tables of which rows were drawn since the last step, with their gradients.
    pub(crate) fn drawn_rows(&self) -> Result<Vec<(ParamId, Tensor, RowGradient)>> {
        let mut inner = self.lock();
        let (device, params) = (inner.device.clone(), inner.number);
        let mut taken = Vec::new();
        for (index, spec) in inner.specs.iter_mut().enumerate() {
            let id = ParamId { params, index, serial: spec.serial };
            let Some(table) = &mut spec.table else { continue };
            if let Some(gradient) = table.gradient()? {
                taken.push((id, table.value(&device)?, gradient));
            }
        }
        Ok(taken)
    }

    /// Lets the gradients of all tables begin anew, after a step.
    pub(crate) fn clear_rows(&self) {
        self.lock().tables().for_each(|table| table.gradients.clear());
    }

    /// Changes whenever a value does.
    pub(crate) fn version(&self) -> u64 {
        self.lock().version
    }

    /// Says what keeps a parameter small.
    pub(crate) fn set_constraints(
        &self,
        id: ParamId,
        penalty: Option<[f32; 2]>,
        max_norm: Option<(f32, usize)>,
    ) {
        if let Some(spec) = self.lock().specs.get_mut(id.index) {
            (spec.penalty, spec.max_norm) = (penalty, max_norm);
        }
    }

    /// The parameters that have a penalty, how long they are, and L1 and L2.
    pub(crate) fn penalties(&self) -> Vec<(ParamId, usize, [f32; 2])> {
        let inner = self.lock();
        let specs = inner.specs.iter().enumerate();
        specs
            .filter_map(|(index, spec)| {
                let id = ParamId { params: inner.number, index, serial: spec.serial };
                Some((id, spec.len, spec.penalty?))
            })
            .collect()
    }

    /// Scales weights down whose norm is over the limit of their layer. The optimizers of this crate
    /// do so at the end of each step, and so does [`Params::update`].
    ///
    /// # Errors
    /// [`Error::DeviceLost`].
    pub fn constrain(&self) -> Result<()> {
        let mut inner = self.lock();
        if inner.specs.iter().all(|s| s.max_norm.is_none()) {
            return Ok(());
        }
        let arena = inner.arena()?;
        inner.half = None;
        inner.version += 1;
        inner.specs.iter().try_for_each(|spec| match spec.max_norm {
            Some((limit, columns)) => {
                max_norm(&arena.value.view(spec.offset, [spec.len]), columns, limit)
            }
            None => Ok(()),
        })
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

impl Inner {
    fn push(
        &mut self,
        name: String,
        shape: Vec<usize>,
        layout: Layout,
        (offset, len): (usize, usize),
        table: Option<Table>,
    ) -> ParamId {
        self.serials += 1;
        let (serial, penalty, max_norm) = (self.serials, None, None);
        self.specs.push(Spec {
            serial,
            name,
            shape,
            layout,
            offset,
            len,
            penalty,
            max_norm,
            table,
        });
        ParamId { params: self.number, index: self.specs.len() - 1, serial }
    }

    fn tables(&mut self) -> impl Iterator<Item = &mut Table> {
        self.specs.iter_mut().filter_map(|spec| spec.table.as_mut())
    }

    fn spec(&self, id: ParamId) -> Option<&Spec> {
        let spec = self.specs.get(id.index).filter(|spec| spec.serial == id.serial);
        spec.filter(|_| id.params == self.number)
    }

    fn find(&self, name: &str) -> Result<ParamId> {
        let index = self.specs.iter().position(|s| s.name == name);
        let id =
            |index: usize| ParamId { params: self.number, index, serial: self.specs[index].serial };
        index.map(id).ok_or_else(|| Error::UnknownParameter {
            name: name.to_owned(),
            available: self.specs.iter().map(|s| s.name.clone()).collect(),
        })
    }

    /// The buffers, grown to hold every parameter. Growing keeps values and drops gradients.
    fn arena(&mut self) -> Result<Arena> {
        let held = self.arena.as_ref().map_or(0, |a| a.value.len());
        if let Some(arena) = self.arena.as_ref().filter(|_| held == self.len) {
            return Ok(arena.clone());
        }
        if self.specs.is_empty() {
            return Err(Error::NotBuilt { what: "the model", call: "a layer's build" });
        }
        let mut values = match &self.arena {
            Some(arena) => arena.value.to_vec()?,
            None => Vec::new(),
        };
        if values.try_reserve_exact(self.pending.len()).is_err() {
            let bytes = 4 * self.len as u64;
            return Err(Error::OutOfMemory { what: "all parameters together", bytes });
        }
        values.extend_from_slice(&self.pending);
        let (what, device) = ("all parameters together", &self.device);
        let arena = Arena {
            value: Tensor::large_from_slice(&values, [self.len], what, device)?,
            grad: Tensor::large_zeros([self.len], "all gradients together", device)?,
        };
        self.pending.clear();
        self.generation += 1;
        self.half = None;
        self.arena = Some(arena.clone());
        Ok(arena)
    }
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Params({} values on {})", self.parameter_count(), self.device())
    }
}
