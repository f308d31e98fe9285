//! The storage of parameters: their places and shapes, and the buffers of values and gradients.

use super::groups::Groups;
use super::table::Table;
use super::{Layout, OTHER_PARAMS, ParamId, Precision};
use crate::ops::optim::guard::Guard;
use crate::ops::quantized::matrix::QuantizedMatrix;
use crate::tensor::Tensor;
use crate::{Device, Error, Result};
use std::sync::Arc;

pub(super) struct Spec {
    pub(super) serial: u64,
    pub(super) name: String,
    /// PyTorch's shape.
    pub(super) shape: Vec<usize>,
    pub(super) layout: Layout,
    pub(super) offset: usize,
    pub(super) len: usize,
    /// The factors of the L1 and L2 penalties.
    pub(super) penalty: Option<[f32; 2]>,
    /// The limit of a column's norm, and the words of a row in memory.
    pub(super) max_norm: Option<(f32, usize)>,
    /// Whether its layer keeps it as it is, whatever a group says.
    pub(super) frozen: bool,
    /// Whether nobody can let it move: it is no weight, but a number that was measured.
    pub(super) fixed: bool,
    /// The values and gradients of a sparse table, which is not part of the arena.
    pub(super) table: Option<Table>,
    /// The values in 8 bits, which are not part of the arena either: `len` is 0 then.
    pub(super) quantized: Option<Arc<QuantizedMatrix>>,
}

impl Spec {
    /// Whether the values lie in the buffer of all parameters.
    pub(super) fn in_arena(&self) -> bool {
        self.table.is_none() && self.quantized.is_none()
    }

    pub(super) fn outside_len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Puts values, in PyTorch's layout, into the buffer of all parameters.
    pub(super) fn put(&self, all: &Tensor, values: &[f32]) -> Result<()> {
        let to = all.view(self.offset, [self.len]);
        if self.layout == Layout::Plain {
            return to.overwrite(values);
        }
        if to.gpu().is_none() {
            to.cpu_mut(|memory| self.layout.to_memory(values, memory));
            return Ok(());
        }
        let mut memory = vec![0.0; self.len];
        self.layout.to_memory(values, &mut memory);
        to.overwrite(&memory)
    }

    /// The values in PyTorch's layout, of the words in memory.
    pub(super) fn outside(&self, words: &[f32]) -> Vec<f32> {
        let mut outside = vec![0.0; self.outside_len()];
        self.layout.to_outside(words, &mut outside);
        outside
    }
}

/// Runs `f` on the values of a tensor, without a copy where they are on the host.
pub(super) fn on_host<R>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> R) -> Result<R> {
    Ok(match tensor.gpu() {
        Some(_) => f(&tensor.to_vec()?),
        None => f(&tensor.cpu()),
    })
}

pub(super) struct Store {
    /// A number that no other `Params` has.
    pub(super) number: u64,
    /// The number of times that the buffers were reallocated.
    pub(super) generation: u64,
    pub(super) device: Device,
    pub(super) seed: u64,
    /// The number of keys drawn from the seed so far.
    pub(super) keys: u64,
    /// How many values layers may still make where these are not drawn, but zeros until a file's take their
    /// place.
    pub(super) blank: Option<usize>,
    pub(super) specs: Vec<Spec>,
    /// The number of parameters inserted so far, removed ones too.
    pub(super) serials: u64,
    /// The words of all parameters, with the gaps between them.
    pub(super) len: usize,
    /// First values of parameters that are not in the buffers yet, from `arena.len` on.
    pub(super) pending: Vec<f32>,
    pub(super) arena: Option<Arena>,
    /// A number that changes whenever a value does.
    pub(super) version: u64,
    pub(super) precision: Precision,
    /// The values as 16-bit floats; `None` after a change.
    pub(super) half: Option<Tensor>,
    /// The state of the loss scale in mixed precision.
    pub(super) loss_scaling: Option<Tensor>,
    /// The number 1: see [`super::Params::one`].
    pub(super) one: Option<Tensor>,
    /// What ends a training's steps at the first gradient that is not finite.
    pub(super) guard: Option<Guard>,
    /// Whether layers begin as PyTorch's do.
    pub(super) pytorch: bool,
    pub(super) groups: Groups,
}

#[derive(Clone)]
pub(crate) struct Arena {
    pub(crate) value: Tensor,
    pub(crate) grad: Tensor,
}

impl Store {
    pub(super) fn push(
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
            frozen: false,
            fixed: false,
            table,
            quantized: None,
        });
        ParamId { params: self.number, index: self.specs.len() - 1, serial }
    }

    pub(super) fn tables(&mut self) -> impl Iterator<Item = &mut Table> {
        self.specs.iter_mut().filter_map(|spec| spec.table.as_mut())
    }

    pub(super) fn spec(&self, id: ParamId) -> Option<&Spec> {
        let spec = self.specs.get(id.index).filter(|spec| spec.serial == id.serial);
        spec.filter(|_| id.params == self.number)
    }

    /// The generation, which differs between `Params`.
    pub(super) fn own_generation(&self) -> u64 {
        (self.number << 24) + self.generation
    }

    /// The parameter of a layer, which may have been built with other `Params`.
    pub(super) fn known(&self, id: ParamId) -> Result<&Spec> {
        self.spec(id).ok_or(OTHER_PARAMS)
    }

    pub(super) fn find(&self, name: &str) -> Result<ParamId> {
        let index = self.specs.iter().position(|s| s.name == name);
        let id =
            |index: usize| ParamId { params: self.number, index, serial: self.specs[index].serial };
        index.map(id).ok_or_else(|| Error::UnknownParameter {
            name: name.to_owned(),
            available: self.specs.iter().map(|s| s.name.clone()).collect(),
        })
    }

    /// The buffers, grown to hold every parameter. Growing keeps values and drops gradients.
    pub(super) fn arena(&mut self) -> Result<Arena> {
        let held = self.arena.as_ref().map_or(0, |a| a.value.len());
        if let Some(arena) = self.arena.as_ref().filter(|_| held == self.len) {
            return Ok(arena.clone());
        }
        if self.specs.is_empty() {
            return Err(Error::NotBuilt { what: "the model", call: "a layer's build" });
        }
        let joined;
        let values = match &self.arena {
            None => &self.pending,
            Some(arena) => {
                let mut all = arena.value.to_vec()?;
                if all.try_reserve_exact(self.pending.len()).is_err() {
                    let bytes = 4 * self.len as u64;
                    return Err(Error::OutOfMemory { what: "all parameters together", bytes });
                }
                all.extend_from_slice(&self.pending);
                joined = all;
                &joined
            }
        };
        let (what, device) = ("all parameters together", &self.device);
        let arena = Arena {
            value: Tensor::large_from_slice(values, [self.len], what, device)?,
            grad: Tensor::large_zeros([self.len], "all gradients together", device)?,
        };
        self.pending = Vec::new();
        self.generation += 1;
        self.half = None;
        self.arena = Some(arena.clone());
        Ok(arena)
    }
}
