//! Groups of parameters: frozen ones, and those with a rate or a decay of their own.

use super::{ALIGN, ParamId, Params};
use crate::check::check_not_negative;
use crate::ops::optim::grouping::{Factors, Grouping};
use crate::{Device, Result};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// What an optimizer does otherwise with some parameters: PyTorch's parameter groups, by factors of what the
/// optimizer is set to. See [`Params::group`].
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[must_use = "it says something to `Params::group` alone"]
pub struct Group {
    rate: Option<f32>,
    weight_decay: Option<f32>,
}

impl Group {
    /// As all others.
    pub fn new() -> Self {
        Self::default()
    }

    /// Freezes the parameters: no step changes a bit of them, nor of what an optimizer keeps for them, and a
    /// limit of their norm is not applied. Their gradients are 0 after each backward pass, so that they count
    /// in no norm of all gradients. It is a rate of 0; a later `rate(1.0)` makes them move again, but for those
    /// that a layer keeps by itself, as by [`crate::nn::Embedding::frozen`].
    pub fn frozen(self) -> Self {
        self.rate(0.0)
    }

    /// The factor of the learning rate: 1 by default, at least 0.
    pub fn rate(mut self, factor: f32) -> Self {
        self.rate = Some(factor);
        self
    }

    /// The factor of the optimizer's weight decay, of either kind: 1 by default, at least 0.
    pub fn weight_decay(mut self, factor: f32) -> Self {
        self.weight_decay = Some(factor);
        self
    }
}

type Matches = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// The groups as they were asked for, and as the parameters are in them.
#[derive(Default)]
pub(super) struct Groups {
    asked: Vec<(Matches, Group)>,
    known: Option<(Key, Arc<Grouped>)>,
}

impl Groups {
    /// Forgets how the parameters are in the groups, since one has become frozen or free.
    pub(super) fn forget(&mut self) {
        self.known = None;
    }
}

/// The number of groups, of parameters, and of those inserted so far.
type Key = (usize, usize, u64);

/// The factors that parameters have of their own.
#[derive(Debug)]
pub(crate) struct Grouped {
    /// Of all parameters in the arena.
    pub(crate) arena: Grouping,
    /// Of each parameter, in the order of the layers.
    each: Vec<Factors>,
}

impl Grouped {
    pub(super) fn is_frozen(&self, index: usize) -> bool {
        self.each.get(index).is_some_and(|[rate, _]| *rate == 0.0)
    }

    /// The factors of a table of so many words; `None` if they are 1.
    pub(crate) fn of_table(
        &self,
        id: ParamId,
        len: usize,
        device: &Device,
    ) -> Result<Option<Grouping>> {
        match self.each.get(id.index) {
            None | Some([1.0, 1.0]) => Ok(None),
            Some(own) => Grouping::of_table(len, *own, device).map(Some),
        }
    }
}

impl Params {
    /// Gives the parameters whose name `matches` a group of their own, those of layers that are built later,
    /// too. Of several groups that match, the last that says something of the rate counts for the rate, and
    /// the last that says something of the decay for the decay.
    ///
    /// Groups are part of the program: neither [`crate::Sequential::save`] nor a checkpoint keeps them, so a
    /// model that was loaded needs them anew.
    ///
    /// The optimizers of this crate do as it says from the next step on; [`Params::update`] knows frozen
    /// parameters. Without groups nothing costs anything.
    ///
    /// ```
    /// use wgpu_lstm::nn::{Dense, Group, Lstm};
    /// use wgpu_lstm::{Device, Sequential};
    /// let model = Sequential::new(&Device::auto()?)
    ///     .add(Lstm::new(16).num_layers(3).return_sequences())
    ///     .add(Dense::new(2));
    /// let params = model.params();
    /// // No weight decay for biases.
    /// params.group(|name| name.contains(".bias"), Group::new().weight_decay(0.0))?;
    /// // A rate for each layer, the lower the smaller (Howard & Ruder 2018, arXiv 1801.06146). The names of a
    /// // bidirectional layer's other direction go on behind the number: `lstm.weight_hh_l0_reverse`.
    /// for layer in 0..3 {
    ///     let rate = 2.6f32.powi(layer - 3);
    ///     let part = format!("_l{layer}");
    ///     params.group(move |name| name.contains(&part), Group::new().rate(rate))?;
    /// }
    /// // At first the last layer alone learns; then the others, too.
    /// params.group(|name| name.starts_with("lstm."), Group::new().frozen())?;
    /// params.group(|name| name.contains("_l2"), Group::new().rate(1.0 / 2.6))?;
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`crate::Error::Option`] for a factor that is not a finite number of at least 0.
    pub fn group(
        &self,
        matches: impl Fn(&str) -> bool + Send + Sync + 'static,
        group: Group,
    ) -> Result<()> {
        for (option, factor) in
            [("Group::rate", group.rate), ("Group::weight_decay", group.weight_decay)]
        {
            factor.map_or(Ok(()), |factor| check_not_negative(option, factor))?;
        }
        self.lock().groups.asked.push((Arc::new(matches), group));
        Ok(())
    }

    /// The factors of all parameters; `None` if there are no groups.
    pub(crate) fn grouped(&self) -> Result<Option<Arc<Grouped>>> {
        let (key, asked, places, device) = {
            let inner = self.lock();
            if inner.groups.asked.is_empty() && inner.specs.iter().all(|spec| !spec.frozen) {
                return Ok(None);
            }
            let key = (inner.groups.asked.len(), inner.specs.len(), inner.serials);
            if let Some((_, known)) = inner.groups.known.as_ref().filter(|(of, _)| *of == key) {
                return Ok(Some(known.clone()));
            }
            let places = inner.specs.iter().map(|spec| {
                let end = spec.offset + spec.len.next_multiple_of(ALIGN);
                let place = spec.in_arena().then_some(spec.offset..end);
                (spec.name.clone(), spec.frozen, place)
            });
            let places: Vec<_> = places.collect();
            (key, inner.groups.asked.clone(), places, inner.device.clone())
        };
        // Unlocked: what the user asks of a name may use these parameters.
        let each = places.iter().map(|(name, frozen, _)| match frozen {
            true => [0.0, 1.0],
            false => factors_of(name, &asked),
        });
        let each: Vec<_> = each.collect();
        let mut ranges: Vec<(Range<usize>, Factors)> = Vec::new();
        for ((_, _, place), own) in places.into_iter().zip(&each) {
            let Some(place) = place else { continue };
            match ranges.last_mut().filter(|(_, last)| last == own) {
                Some((range, _)) => range.end = place.end,
                None => ranges.push((place, *own)),
            }
        }
        let grouped = Arc::new(Grouped { arena: Grouping::of_ranges(ranges, &device)?, each });
        self.lock().groups.known = Some((key, grouped.clone()));
        Ok(Some(grouped))
    }

    /// What is likely a slip in the groups: one without parameters, or nothing left to train.
    pub(crate) fn unusual_groups(&self) -> Vec<String> {
        let asked = self.lock().groups.asked.clone();
        let names = self.names();
        let mut found = Vec::new();
        for (number, (matches, group)) in asked.iter().enumerate() {
            if !names.iter().any(|name| matches(name)) {
                let number = number + 1;
                found.push(format!("{group:?}, group {number} of Params::group, has no parameter"));
            }
        }
        if !names.is_empty() && self.frozen_count() == self.parameter_count() {
            found.push("all parameters are frozen: nothing is trained".into());
        }
        found
    }

    /// The number of values that are not trained.
    pub(crate) fn frozen_count(&self) -> usize {
        self.frozen().iter().map(|name| self.len_of(name)).sum()
    }

    /// The names of the parameters that are not trained.
    pub(crate) fn frozen(&self) -> Vec<String> {
        let (asked, mut all) = {
            let inner = self.lock();
            let all = inner.specs.iter().map(|s| (s.name.clone(), s.frozen));
            (inner.groups.asked.clone(), all.collect::<Vec<_>>())
        };
        // Unlocked: what the user asks of a name may use these parameters.
        all.retain(|(name, own)| *own || factors_of(name, &asked)[0] == 0.0);
        all.into_iter().map(|(name, _)| name).collect()
    }

    /// Clears the gradients of frozen parameters.
    pub(crate) fn clear_frozen(&self) -> Result<()> {
        let Some(grouped) = self.grouped()? else { return Ok(()) };
        let mut inner = self.lock();
        if let Some(arena) = &inner.arena {
            for range in grouped.arena.frozen() {
                let end = range.end.min(arena.grad.len());
                if range.start < end {
                    arena.grad.view(range.start, [end - range.start]).fill(0.0)?;
                }
            }
        }
        for (index, spec) in inner.specs.iter_mut().enumerate() {
            if let Some(table) = spec.table.as_mut().filter(|_| grouped.is_frozen(index)) {
                table.gradients.clear();
            }
        }
        Ok(())
    }
}

/// The factors of a parameter, 1 where no group says something.
fn factors_of(name: &str, asked: &[(Matches, Group)]) -> Factors {
    let mut factors = [1.0; 2];
    for (_, group) in asked.iter().filter(|(matches, _)| matches(name)) {
        factors[0] = group.rate.unwrap_or(factors[0]);
        factors[1] = group.weight_decay.unwrap_or(factors[1]);
    }
    factors
}

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.asked.iter().map(|(_, group)| group)).finish()
    }
}
