//! A weight of a layer in 8 bits, as files have it and as products take it.

use super::lines::{Lines, Places, Weight};
use super::recurrence::in_blocks;
use crate::tensor::room_for;
use crate::{Device, Error, Result, Tensor};
use std::sync::{Arc, OnceLock};

/// The order in which a product wants the outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// As they come.
    Plain,
    /// The gates i, f, g, o of so many units, one after the other: in blocks of units.
    Gates(usize),
}

/// A weight `[outputs,terms]` of signed bytes, from -127 to 127, and a scale of each output.
#[derive(Debug)]
pub(crate) struct QuantizedMatrix {
    terms: usize,
    values: Arc<[u8]>,
    scale: Vec<f32>,
    order: Order,
    packed: OnceLock<Weight>,
    /// `[words,outputs]` and, of each output, scale and sum, in the order in which kernels want the outputs.
    on_gpu: OnceLock<[Tensor; 2]>,
}

impl QuantizedMatrix {
    /// Quantises weights: each output's largest becomes 127.
    ///
    /// # Errors
    /// [`Error::NotFinite`], [`Error::OutOfMemory`].
    pub(crate) fn of_floats(weights: &[f32], terms: usize, order: Order) -> Result<Self> {
        let mut values: Vec<u8> = room_for("weights of 8 bits", weights.len())?;
        let mut scales = Vec::new();
        for (output, row) in weights.chunks_exact(terms.max(1)).enumerate() {
            if let Some(term) = row.iter().position(|weight| !weight.is_finite()) {
                return Err(Error::NotFinite {
                    what: "a weight",
                    place: format!("output {output}, whose weight {term} is {}", row[term]),
                    help: "such a model gives nothing but NaN: load or train one that does not",
                });
            }
            let largest = row.iter().fold(0.0f32, |largest, weight| largest.max(weight.abs()));
            let mut scale = largest / 127.0;
            // Of numbers as small as that nothing is left.
            if scale < f32::MIN_POSITIVE {
                scale = 1.0;
            }
            scales.push(scale);
            values.extend(row.iter().map(|weight| (weight / scale).round_ties_even() as i8 as u8));
        }
        Ok(Self::of_parts(values, scales, terms, order))
    }

    /// A weight of bytes and of a scale for each output.
    pub(crate) fn of_parts(values: Vec<u8>, scale: Vec<f32>, terms: usize, order: Order) -> Self {
        Self {
            terms,
            values: values.into(),
            scale,
            order,
            packed: OnceLock::new(),
            on_gpu: OnceLock::new(),
        }
    }

    /// The bytes, `[outputs,terms]`.
    pub(crate) fn values(&self) -> &Arc<[u8]> {
        &self.values
    }

    /// `[outputs]`
    pub(crate) fn scale(&self) -> &[f32] {
        &self.scale
    }

    pub(crate) fn terms(&self) -> usize {
        self.terms
    }

    pub(crate) fn outputs(&self) -> usize {
        self.scale.len()
    }

    /// The bytes of the weight and its scales.
    pub(crate) fn bytes(&self) -> usize {
        self.values.len() + size_of_val(&self.scale[..])
    }

    /// The weights that the bytes stand for.
    pub(crate) fn floats(&self) -> Vec<f32> {
        let rows = self.values.chunks_exact(self.terms.max(1)).zip(&self.scale);
        rows.flat_map(|(row, scale)| row.iter().map(move |&v| f32::from(v as i8) * scale)).collect()
    }

    /// The number of each output that a product makes; `None` for one that fills a block up.
    fn places(&self) -> Vec<Option<usize>> {
        match self.order {
            Order::Plain => (0..self.outputs()).map(Some).collect(),
            Order::Gates(hidden_size) => in_blocks(hidden_size, [0, 1, 2, 3]),
        }
    }

    /// The weight as products on the CPU take it, packed at the first call.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub(crate) fn packed(&self) -> Result<&Weight> {
        if let Some(packed) = self.packed.get() {
            return Ok(packed);
        }
        let places = self.places();
        let firsts: Vec<_> = places.iter().map(|place| place.map(|n| n * self.terms)).collect();
        let of = Places { outputs: &firsts, terms: self.terms, stride: 1 };
        let lines = Lines::pack(&self.values, of, false)?;
        let mut scale: Vec<_> =
            places.iter().map(|place| place.map_or(0.0, |n| self.scale[n])).collect();
        scale.resize(lines.outputs(), 0.0);
        let weight = Weight { lines, scale, zero: None };
        Ok(self.packed.get_or_init(|| weight))
    }

    /// The weight as kernels take it, on the device of the first call.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], and those of the device.
    pub(crate) fn on_gpu(&self, device: &Device) -> Result<&[Tensor; 2]> {
        if let Some(there) = self.on_gpu.get() {
            return Ok(there);
        }
        let (outputs, terms) = (self.outputs(), self.terms);
        let words = terms.div_ceil(4);
        let mut all: Vec<u32> = room_for("weights of 8 bits", words * outputs)?;
        all.resize(words * outputs, 0);
        let mut of_outputs = Vec::new();
        for output in 0..outputs {
            let row = match self.order {
                Order::Plain => output,
                // The gates of a unit lie side by side.
                Order::Gates(size) => output % 4 * size + output / 4,
            };
            let bytes = &self.values[row * terms..][..terms];
            for (k, &byte) in bytes.iter().enumerate() {
                all[k / 4 * outputs + output] |= u32::from(byte) << (8 * (k % 4));
            }
            let total: i32 = bytes.iter().map(|&byte| i32::from(byte as i8)).sum();
            of_outputs.extend([self.scale[row].to_bits(), total as u32]);
        }
        // Under a view no copy is kept on the host.
        let weight = Tensor::from_u32(&all, [words, outputs], device)?.view(0, [words, outputs]);
        let of_weight = Tensor::from_u32(&of_outputs, [outputs, 2], device)?;
        Ok(self.on_gpu.get_or_init(|| [weight, of_weight]))
    }
}
