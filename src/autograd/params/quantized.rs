//! Parameters of 8 bits, for inference alone.

use super::store::{Spec, Store};
use super::{ALIGN, Layout, ParamId, Params};
use crate::file::Reader;
use crate::ops::quantized::matrix::{Order, QuantizedMatrix};
use crate::tensor::room_for;
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What follows a parameter's name in that of its scales, in a file.
pub(crate) const SCALE: &str = ".scale";

/// That a parameter of 8 bits was asked for as floats to be trained.
pub(super) const NOT_TRAINED: Error = Error::Unsupported {
    what: "a parameter of 8 bits",
    with: "training, or a layer that computes in 32 bits alone",
    help: "train the model before it is quantised, and keep a file of it: Sequential::quantize",
};

impl Spec {
    /// How a weight of 8 bits lies; `None` if there is none of such a parameter.
    fn order(&self) -> Option<(usize, Order)> {
        let &[_, terms] = &self.shape[..] else { return None };
        match self.layout {
            Layout::Transposed { .. } if self.table.is_none() => Some((terms, Order::Plain)),
            Layout::Gates { hidden_size, .. } => Some((terms, Order::Gates(hidden_size))),
            _ => None,
        }
    }
}

impl Store {
    /// Gives these parameters their values of 8 bits, and takes those of 32 out of the buffers.
    fn put_quantized(&mut self, values: Vec<(usize, Arc<QuantizedMatrix>)>) -> Result<()> {
        let mut before = match &self.arena {
            Some(arena) => arena.value.to_vec()?,
            None => Vec::new(),
        };
        before.extend_from_slice(&self.pending);
        let stays = |(index, spec): &(usize, &Spec)| {
            spec.in_arena() && values.iter().all(|(taken, _)| taken != index)
        };
        let kept = || self.specs.iter().enumerate().filter(stays);
        let len = kept().map(|(_, spec)| spec.len.next_multiple_of(ALIGN)).sum();
        let (mut words, mut offsets) = (room_for("all parameters together", len)?, Vec::new());
        for (index, spec) in kept() {
            offsets.push((index, words.len()));
            words.extend_from_slice(&before[spec.offset..][..spec.len]);
            words.resize(words.len().next_multiple_of(ALIGN), 0.0);
        }
        for (index, offset) in offsets {
            self.specs[index].offset = offset;
        }
        for (index, value) in values {
            let spec = &mut self.specs[index];
            (spec.quantized, spec.offset, spec.len, spec.frozen) = (Some(value), 0, 0, true);
            (spec.penalty, spec.max_norm) = (None, None);
        }
        (self.pending, self.len, self.arena, self.half) = (words, len, None, None);
        self.version += 1;
        self.groups.forget();
        Ok(())
    }
}

impl Params {
    /// Quantises parameters, which are weights of layers that run so. Those of 32 bits are gone then.
    ///
    /// # Errors
    /// [`Error::At`] the parameter with [`Error::NotFinite`]; [`Error::OutOfMemory`]; those of the device.
    pub(crate) fn quantize(&self, ids: &[ParamId]) -> Result<()> {
        let mut values = Vec::new();
        for &id in ids {
            let (name, order) = {
                let inner = self.lock();
                let spec = inner.known(id)?;
                (spec.name.clone(), spec.order().filter(|_| spec.quantized.is_none()))
            };
            let Some((terms, order)) = order else { continue };
            let found = QuantizedMatrix::of_floats(&self.get(&name)?, terms, order);
            let value = found.map_err(|error| error.at(format!("the parameter {name:?}")))?;
            values.push((id.index, Arc::new(value)));
        }
        self.lock().put_quantized(values)
    }

    /// A parameter's values of 8 bits, if it has such.
    pub(crate) fn quantized(&self, id: ParamId) -> Option<Arc<QuantizedMatrix>> {
        self.lock().spec(id)?.quantized.clone()
    }

    /// The values of 8 bits of a parameter with this name, if it has such.
    pub(super) fn quantized_by_name(&self, name: &str) -> Option<Arc<QuantizedMatrix>> {
        let inner = self.lock();
        inner.specs.iter().find(|spec| spec.name == name)?.quantized.clone()
    }

    /// Whether a parameter with this name has values of 8 bits.
    pub(super) fn has_quantized(&self, name: &str) -> bool {
        self.quantized_by_name(name).is_some()
    }

    /// The bytes of all values.
    pub(crate) fn bytes(&self) -> usize {
        let inner = self.lock();
        let of = |spec: &Spec| match &spec.quantized {
            Some(value) => value.bytes(),
            None => 4 * spec.outside_len(),
        };
        inner.specs.iter().map(of).sum()
    }

    /// The bytes of a parameter's values.
    pub(crate) fn bytes_of(&self, name: &str) -> usize {
        match self.quantized_by_name(name) {
            Some(value) => value.bytes(),
            None => 4 * self.len_of(name),
        }
    }

    /// Reads the parameters that a file has in 8 bits, with these shapes; the others are left to be read.
    pub(super) fn load_quantized(
        &self,
        file: &mut Reader,
        shapes: &mut BTreeMap<String, Vec<usize>>,
    ) -> Result<()> {
        let names: Vec<_> = shapes.keys().filter(|name| file.has_bytes(name)).cloned().collect();
        let mut values = Vec::new();
        for name in names {
            let Some(shape) = shapes.remove(&name) else { continue };
            let place = {
                let inner = self.lock();
                let index = inner.find(&name)?.index;
                inner.specs[index].order().map(|order| (index, order))
            };
            let entry = format!("tensor {name}");
            let Some((index, (terms, order))) = place else {
                return Err(file.bad(entry, "of F32, F16 or BF16", "of I8"));
            };
            let scale_name = format!("{name}{SCALE}");
            file.check(&scale_name, &shape[..1])?;
            let bytes = file.bytes(&name, &shape)?;
            let scale = file.values(&scale_name)?;
            if let Some(wrong) = scale.iter().find(|s| !s.is_finite() || **s <= 0.0) {
                let (expected, found) = ("of positive numbers", format!("{wrong} among them"));
                return Err(file.bad(format!("tensor {scale_name}"), expected, found));
            }
            values.push((index, Arc::new(QuantizedMatrix::of_parts(bytes, scale, terms, order))));
        }
        if values.is_empty() {
            return Ok(());
        }
        self.lock().put_quantized(values)
    }
}
