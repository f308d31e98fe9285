//! Layers that a training leaves as they are.

use super::sequential::Sequential;
use crate::nn::Own;
use crate::{Error, Result};
use std::ops::{Bound, RangeBounds};

impl Sequential {
    /// Keeps the parameters of some layers, by their numbers from 0, as they are: no step of any optimizer moves
    /// them, nor does a decay of weights or a limit of norms, whatever [`crate::nn::Params::group`] says. All else
    /// goes on as before: gradients flow through such layers to those below, dropout drops, a stateful layer
    /// remembers. Keras' `layer.trainable = False`, but at any time, from the next step on; no new `compile` is
    /// needed. [`Sequential::summary`] shows it, and [`Sequential::save`] keeps it.
    ///
    /// ```
    /// use wgpu_lstm::prelude::*;
    /// # fn main() -> wgpu_lstm::Result<()> {
    /// # let path = std::env::temp_dir().join(format!("frozen-{}.safetensors", std::process::id()));
    /// # let device = Device::auto()?;
    /// # let mut trained = Sequential::new(&device).add(Lstm::new(8)).add(Dense::new(2));
    /// # trained.build(3)?;
    /// # trained.save(&path)?;
    /// // Trains the last layer of a model anew, on other data.
    /// let mut model = Sequential::load(&path, &device)?;
    /// model.freeze(..1)?;
    /// assert!(model.summary().contains("lstm (frozen)"));
    /// let before = model.params().get("lstm.weight_hh_l0")?;
    /// model.compile(Adam::default(), Loss::CrossEntropy, &[]);
    /// let x = Sequences::from_array(&[0.5; 4 * 5 * 3], [4, 5, 3])?;
    /// model.fit(&x, &Targets::classes([0, 1, 1, 0]), Fit::new().epochs(1).quiet())?;
    /// assert_eq!(model.params().get("lstm.weight_hh_l0")?, before);
    /// // And then all of them, at a lower rate.
    /// model.unfreeze(..)?;
    /// model.compile(Adam::new(1e-5), Loss::CrossEntropy, &[]);
    /// # std::fs::remove_file(path).unwrap();
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Option`] for layers that are not there, [`Error::NotBuilt`] for one that has yet to be built: set
    /// its own `frozen` before it is added, as [`crate::nn::Lstm::frozen`].
    pub fn freeze(&self, layers: impl RangeBounds<usize>) -> Result<()> {
        self.set_frozen(layers, true, "Sequential::freeze")
    }

    /// Lets the parameters of some layers move again, those of layers that were made `frozen`, too.
    ///
    /// # Errors
    /// As [`Sequential::freeze`].
    pub fn unfreeze(&self, layers: impl RangeBounds<usize>) -> Result<()> {
        self.set_frozen(layers, false, "Sequential::unfreeze")
    }

    fn set_frozen(
        &self,
        layers: impl RangeBounds<usize>,
        frozen: bool,
        option: &'static str,
    ) -> Result<()> {
        let first = match layers.start_bound() {
            Bound::Included(&at) => at,
            Bound::Excluded(&at) => at.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match layers.end_bound() {
            Bound::Included(&at) => at.saturating_add(1),
            Bound::Excluded(&at) => at,
            Bound::Unbounded => self.layers.len(),
        };
        let count = self.layers.len();
        if first > end || end > count {
            let expected = format!("a range within 0..{count}, the numbers of the layers");
            return Err(Error::Option { option, found: format!("{first}..{end}"), expected });
        }
        if end > self.built.len() {
            return Err(Error::NotBuilt { what: "a layer of the model", call: "build or fit" });
        }
        let names: Vec<_> = (first..end).flat_map(|layer| self.names_of_layer(layer)).collect();
        self.params.set_frozen(&names, frozen);
        Ok(())
    }

    /// The names of a layer's parameters; none before it is built.
    pub(super) fn names_of_layer(&self, layer: usize) -> Vec<String> {
        let (Some(layer), Some(range)) = (self.layers.get(layer), self.built.get(layer)) else {
            return Vec::new();
        };
        let names = self.params.names_of(range.clone());
        match layer.parameter(Own) {
            // It was built before it was added.
            Some(id) if names.is_empty() => self.params.names_beside(id),
            _ => names,
        }
    }

    /// For each layer, whether it has parameters and none of them is trained.
    pub(super) fn frozen_layers(&self) -> Vec<bool> {
        let frozen = self.params.frozen();
        let is_frozen = |layer| {
            let names = self.names_of_layer(layer);
            !names.is_empty() && names.iter().all(|name| frozen.contains(name))
        };
        (0..self.layers.len()).map(is_frozen).collect()
    }
}
