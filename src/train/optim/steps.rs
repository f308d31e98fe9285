//! What all optimizers of the crate have in common: the steps of a rule, and what it keeps from one to the
//! next.

use crate::autograd::{Drawn, ParamId, Params, all_gradients};
use crate::file::State;
use crate::ops::optim::guard::Guard;
use crate::ops::optim::loss_scale;
use crate::ops::optim::rule::Rule;
use crate::ops::optim::step_factors::step_factors;
use crate::ops::optim::update::{StepFactors, update};
use crate::{Device, Error, Result, Tensor};

const SET_STATE: &str = "Optimizer::set_state";

/// The learning rate, the count of steps, and an optimizer's own numbers for each value, such as a mean of
/// its gradients.
#[derive(Debug)]
pub(super) struct Steps {
    pub(super) rate: f32,
    made: i32,
    /// The product of NAdam's momentums.
    product: f64,
    /// The guard of the last steps, with the two before its first: see [`Steps::good`].
    guarded: Option<(Guard, i32, f64)>,
    /// Both of them and the factors of a step, where a loss scale may leave some out: only the device knows.
    counted: Option<Counted>,
    /// For all parameters together; `None` before the first step.
    all: Option<Vec<Tensor>>,
    /// For each table of which a step moved some rows.
    tables: Vec<(ParamId, Vec<Tensor>)>,
    /// The generation of the parameters that these belong to.
    generation: u64,
}

#[derive(Debug)]
struct Counted {
    /// `[2]`: steps made, product.
    count: Tensor,
    /// `[4]` of `step_factors`.
    factors: Tensor,
}

impl Steps {
    pub(super) fn new(rate: f32) -> Self {
        let (made, product, guarded, counted, all) = (0, 1.0, None, None, None);
        Self { rate, made, product, guarded, counted, all, tables: Vec::new(), generation: 0 }
    }

    /// The count and the product without the steps that a guard did not let happen.
    fn good(&self, rule: &Rule) -> (i32, f64) {
        let ended = self.guarded.as_ref().and_then(|of| Some((of, of.0.known()?)));
        let Some(((_, made, product), good)) = ended else { return (self.made, self.product) };
        let (last, mut product) = (made + good as i32, *product);
        for step in made + 1..=last {
            let _ = rule.factors(step, &mut product);
        }
        (last, product)
    }

    /// Makes one step by a rule. The gradients are zero afterwards.
    pub(super) fn step(&mut self, params: &Params, rule: &Rule) -> Result<()> {
        let arena = params.arena()?;
        let grouped = params.grouped()?;
        let device = params.device();
        let slots = rule.kind.slots().len();
        let fits = |all: &Vec<Tensor>| all.len() == slots;
        if self.generation != params.generation() || !self.all.as_ref().is_some_and(fits) {
            // Other parameters than before, or more of them: it begins anew.
            let all = Some(first_slots(rule, arena.value.shape(), &device)?);
            let generation = params.generation();
            *self = Self { all, generation, ..Self::new(self.rate) };
        }
        let drawn = params.drawn_rows()?;
        for (id, table, _) in &drawn {
            if self.of_table(*id).is_none() {
                self.tables.push((*id, first_slots(rule, table.shape(), &device)?));
            }
        }
        let factors = self.count(params, rule, &all_gradients(&drawn, &arena.grad))?;
        let Some(all) = &self.all else { return Ok(()) };
        let of_arena = grouped.as_ref().map(|grouped| &grouped.arena);
        let of_table = |(id, table, _): &Drawn| match &grouped {
            Some(grouped) => grouped.of_table(*id, table.len(), &device),
            None => Ok(None),
        };
        let of_tables = drawn.iter().map(of_table).collect::<Result<Vec<_>>>()?;
        params.change(|| {
            update(rule, [&arena.value, &arena.grad], all, &factors, None, of_arena)?;
            drawn.iter().zip(&of_tables).try_for_each(|((id, table, rows), own)| {
                let Some(slots) = self.of_table(*id) else { return Ok(()) };
                update(rule, [table, &rows.values], slots, &factors, Some(rows), own.as_ref())
            })
        })?;
        params.clear_rows();
        params.constrain()
    }

    /// Counts a step: the factors that go with it.
    fn count(
        &mut self,
        params: &Params,
        rule: &Rule,
        gradients: &[&Tensor],
    ) -> Result<StepFactors> {
        let Some(state) = params.loss_scaling()? else {
            // After a change of precision.
            if let Some(counted) = self.counted.take() {
                (self.made, self.product) = counted.read()?;
            }
            (self.made, self.product) = self.good(rule);
            let guard = params.guard();
            let same = |guard: &Guard| self.guarded.as_ref().is_some_and(|(of, ..)| of.is(guard));
            if !guard.as_ref().is_some_and(same) {
                self.guarded = guard.clone().map(|guard| (guard, self.made, self.product));
            }
            self.made += 1;
            let factors = rule.factors(self.made, &mut self.product);
            return match guard {
                Some(guard) => guard.step(gradients, factors).map(StepFactors::OnDevice),
                None => Ok(StepFactors::Known(factors)),
            };
        };
        let counted = match self.counted.take() {
            Some(counted) => counted,
            None => {
                let device = params.device();
                let count = [self.made as f32, self.product as f32];
                let count = Tensor::from_slice(&count, [2], &device)?;
                Counted { count, factors: Tensor::zeros([4], &device)? }
            }
        };
        let Counted { count, factors } = self.counted.insert(counted);
        loss_scale::settle(gradients, &state, &count.view(0, [1]))?;
        step_factors(rule, &state, count, factors)?;
        Ok(StepFactors::OnDevice(factors.clone()))
    }

    fn of_table(&self, id: ParamId) -> Option<&[Tensor]> {
        self.tables.iter().find(|(of, _)| *of == id).map(|(_, slots)| &slots[..])
    }

    /// What is kept, as of an optimizer `of` this name.
    pub(super) fn state(&self, of: &str, params: &Params, rule: &Rule) -> Result<State> {
        let mut state = State::new();
        let all = match &self.all {
            Some(all) => {
                // Layers that were built since the last step make the next one begin anew.
                params.arena()?;
                Some(all).filter(|_| self.generation == params.generation())
            }
            None => None,
        };
        let (made, product) = match (all, &self.counted) {
            (None, _) => (0, 1.0),
            (Some(_), Some(counted)) => counted.read()?,
            (Some(_), None) => self.good(rule),
        };
        state.set_number("steps", f64::from(made));
        state.set_number("mu_product", product);
        // 0 where no step was made yet.
        state.set_number("values", all.map_or(0, |_| params.parameter_count()) as f64);
        let mut keep = |slot: &str, name: &str, values| {
            state.set_values(&format!("{slot}/{name}"), values);
        };
        for (slot, words) in rule.kind.slots().iter().zip(all.into_iter().flatten()) {
            for (name, values) in params.by_name(&words.to_vec()?) {
                keep(slot, &name, values);
            }
        }
        if all.is_some() {
            for table in params.named_tables()? {
                let slots = self.of_table(table.id).unwrap_or_default();
                for (slot, words) in rule.kind.slots().iter().zip(slots) {
                    keep(slot, &table.name, words.to_vec()?);
                }
            }
        }
        let mut named = State::new();
        named.nest(of, state);
        Ok(named)
    }

    /// Goes on from what [`Steps::state`] gave; after an error as if nothing had happened.
    pub(super) fn set_state(
        &mut self,
        of: &str,
        params: &Params,
        state: &State,
        rule: &Rule,
    ) -> Result<()> {
        let at = |name: &str| format!("{of}/{name}");
        let mut next = Self::new(self.rate);
        next.made = state.number(&at("steps"))? as i32;
        next.product = state.number(&at("mu_product"))?;
        let found = state.number(&at("values"))? as usize;
        if found == 0 {
            *self = next;
            return Ok(());
        }
        let arena = params.arena()?;
        let device = params.device();
        let expected = params.parameter_count();
        if found != expected {
            let shape = vec![expected];
            return Err(Error::Count { op: SET_STATE, shape, expected, found });
        }
        let kept = |slot: &str, name: &str| state.values(&at(&format!("{slot}/{name}")));
        let mut all = Vec::new();
        for slot in rule.kind.slots() {
            let mut words = vec![rule.first; arena.value.len()];
            params.fill_by_name(SET_STATE, &mut words, |name| kept(slot, name))?;
            all.push(Tensor::large_from_slice(&words, arena.value.shape(), WHAT, &device)?);
        }
        for table in params.named_tables()? {
            let mut slots = Vec::new();
            for slot in rule.kind.slots() {
                // A table of which no row was drawn yet has none.
                let Ok(values) = kept(slot, &table.name) else { break };
                let shape = table.value.shape();
                let (expected, found) = (table.value.len(), values.len());
                if expected != found {
                    let shape = shape.to_vec();
                    return Err(Error::Count { op: SET_STATE, shape, expected, found });
                }
                slots.push(Tensor::large_from_slice(values, shape, WHAT, &device)?);
            }
            if slots.len() == rule.kind.slots().len() {
                next.tables.push((table.id, slots));
            }
        }
        *self = Self { all: Some(all), generation: params.generation(), ..next };
        Ok(())
    }
}

impl Counted {
    /// Steps made, and the product. Waits for the device.
    fn read(&self) -> Result<(i32, f64)> {
        let count = self.count.to_vec()?;
        Ok((count[0] as i32, f64::from(count[1])))
    }
}

const WHAT: &str = "what an optimizer keeps";

fn first_slots(rule: &Rule, shape: &[usize], device: &Device) -> Result<Vec<Tensor>> {
    let slot = |_: &&str| {
        let slot = Tensor::large_zeros(shape, WHAT, device)?;
        if rule.first != 0.0 {
            slot.fill(rule.first)?;
        }
        Ok(slot)
    };
    rule.kind.slots().iter().map(slot).collect()
}
