//! Checkpoints: all that a training needs to go on bit for bit as if it had not ended.
//!
//! A checkpoint is a file of the model ([`Sequential::save`]) with more in it: the state of the optimizer,
//! the dice, the loss scale, the place within epoch and data, the sums of the epoch so far, the states of
//! stateful layers, and what callbacks keep.

#[cfg(doc)]
use super::Sequential;
use super::{Fit, Place, Training};
use crate::autograd::Var;
use crate::data::Origin;
use crate::file::{Reader, State};
use crate::nn::{LayerState, LstmState};
use crate::tensor::Tensor;
use crate::train::Metric;
use crate::train::history::{Epoch, Evaluation, History};
use crate::train::saved::restore_frozen;
use crate::train::sequential::Position;
use crate::{Device, Error, Result};

impl Training<'_, '_> {
    /// What a checkpoint keeps besides the model. Waits for the device.
    fn state(&self) -> Result<State> {
        let (model, params) = (self.model, &self.model.params);
        let mut state = State::new();
        state.set_text("data", self.described());
        state.set_number("epochs", self.position.epochs as f64);
        state.set_number("steps", self.place.steps as f64);
        state.set_number("epoch", self.place.epoch as f64);
        state.set_number("batch", self.place.batch as f64);
        if let Some(rate) = self.rate.base {
            state.set_values("rate", vec![rate]);
        }
        state.nest("params", params.training_state()?);
        state.nest("optimizer", self.rate.optimizer.state(params)?);
        if let Some(average) = &self.options.average {
            state.nest("average", average.state(params)?);
        }
        state.nest("totals", self.totals.state()?);
        state.nest("history", of_history(&self.history));
        let layers = model.swap_states(Vec::new());
        let kept = layers.iter().map(of_layer).collect::<Result<Vec<_>>>();
        model.swap_states(layers);
        for (number, layer) in kept?.into_iter().enumerate() {
            state.nest(&format!("layer/{number}"), layer);
        }
        for (number, callback) in self.options.callbacks.iter().enumerate() {
            state.nest(&format!("callback/{number}"), callback.state()?);
        }
        Ok(state)
    }

    /// Goes on from what [`Training::state`] gave, in this file.
    fn set_state(&mut self, state: &State, file: &Reader) -> Result<()> {
        // An error says which part is another's.
        let of = |part: &str, read: Result<()>| {
            read.map_err(|error| match error {
                Error::Missing { name } => file.bad(
                    format!("the state of {part}"),
                    "that of the same one, with the same options",
                    format!("another's, without {name:?}"),
                ),
                error => error,
            })
        };
        let (before, data) = (state.text("data")?, self.described());
        if before != data {
            return Err(Error::Option {
                option: "Fit::resume",
                found: format!("a checkpoint of a training with {before}"),
                expected: format!("one with {data}: only the same training goes on"),
            });
        }
        let (model, params) = (self.model, &self.model.params);
        let device = params.device();
        let layers = (0..model.layers.len())
            .map(|number| to_layer(&state.nested(&format!("layer/{number}")), &device));
        let layers = layers.collect::<Result<_>>()?;
        self.history.epochs = to_history(&state.nested("history"))?;
        of("the loss and the metrics", self.totals.set_state(&state.nested("totals")))?;
        let optimizer = self.rate.optimizer.set_state(params, &state.nested("optimizer"));
        of("the optimizer", optimizer)?;
        if let Some(average) = &mut self.options.average {
            of("the average", average.set_state(params, &state.nested("average")))?;
        }
        for (number, callback) in self.options.callbacks.iter_mut().enumerate() {
            let read = callback.set_state(&state.nested(&format!("callback/{number}")));
            of(&format!("callback {}", number + 1), read)?;
        }
        params.set_training_state(&state.nested("params"))?;
        model.swap_states(layers);
        let count = |name: &str| Ok::<_, Error>(state.number(name)? as u64);
        *self.position = Position { epochs: count("epochs")?, steps: count("steps")? };
        self.place.epoch = count("epoch")? as usize;
        self.place.batch = count("batch")? as usize;
        self.place.steps = self.position.steps;
        if let Ok(&[rate]) = state.values("rate") {
            self.rate.base = Some(rate);
            self.rate.optimizer.set_learning_rate(rate);
        }
        Ok(())
    }

    /// What of data, model and options must be the same for a training to go on.
    fn described(&self) -> String {
        let Fit { batch_size, batch_frames, buckets, .. } = &self.options;
        let Fit { accumulate, seed, shuffle, clip, average, .. } = &self.options;
        let order =
            if *shuffle { format!("shuffled by seed {seed}") } else { "not shuffled".into() };
        let clip = clip.map_or("no clip".into(), |clip| format!("Clip::{clip:?}"));
        let average = if average.is_some() { "an average" } else { "no average" };
        let sequences = match self.data {
            Origin::Stream(stream) if stream.buffer() > 1 => {
                format!("a stream shuffled among {}", stream.buffer())
            }
            Origin::Stream(_) => "a stream".into(),
            _ => format!("{} sequences", self.parts.training.len()),
        };
        let mut size = match batch_frames {
            Some(frames) => format!("{frames} frames"),
            None => batch_size.to_string(),
        };
        if let Some(buckets) = buckets {
            size += &format!(" from {buckets} buckets");
        }
        let loss = self.loss;
        format!(
            "{sequences} in batches of {size}, {accumulate} a step, {order}, {clip}, {average}, {loss:?}, and the \
             metrics {:?}",
            Metric::names(self.metrics)
        )
    }

    /// Writes the checkpoints that callbacks asked for.
    pub(super) fn save(&mut self) -> Result<()> {
        for path in std::mem::take(&mut self.wishes.checkpoints) {
            // What is written is good: no step was made after a gradient that was not finite.
            self.look()?;
            self.model.write(&path, &self.state()?)?;
        }
        Ok(())
    }

    /// Goes on from the checkpoint of [`Fit::resume`], if it is there.
    pub(super) fn resume(&mut self) -> Result<()> {
        let Some(path) = self.options.resume.clone() else { return Ok(()) };
        if !path.exists() {
            log::info!("there is no {} to go on from: the training begins", path.display());
            return Ok(());
        }
        let mut file = Reader::open(&path)?;
        let state = State::read(&mut file)?;
        let params = &self.model.params;
        let before = params.snapshot()?;
        params.load_from(&mut file)?;
        let set = self.set_state(&state, &file);
        if let Err(error) = set.and_then(|()| restore_frozen(params, &file)) {
            // What does not go on has trained nothing.
            params.restore(&before)?;
            return Err(error);
        }
        let Place { epoch, batch, .. } = self.place;
        log::info!("goes on from {} in epoch {}, batch {}", path.display(), epoch + 1, batch + 1);
        Ok(())
    }
}

fn of_evaluation(evaluation: &Evaluation) -> Vec<f32> {
    [evaluation.loss].into_iter().chain(evaluation.metrics.iter().copied()).collect()
}

fn of_history(history: &History) -> State {
    let mut state = State::new();
    state.set_number("epochs", history.epochs.len() as f64);
    for (number, epoch) in history.epochs.iter().enumerate() {
        state.set_values(&format!("{number}/training"), of_evaluation(&epoch.training));
        state.set_text(&format!("{number}/training"), epoch.training.names.join("\n"));
        if let Some(rate) = epoch.learning_rate {
            state.set_values(&format!("{number}/rate"), vec![rate]);
        }
        state.set_values(&format!("{number}/speed"), vec![epoch.samples_per_second]);
        if let Some(validation) = &epoch.validation {
            state.set_values(&format!("{number}/validation"), of_evaluation(validation));
            state.set_text(&format!("{number}/validation"), validation.names.join("\n"));
        }
    }
    state
}

fn to_evaluation(state: &State, name: &str) -> Result<Evaluation> {
    let Some((&loss, metrics)) = state.values(name)?.split_first() else {
        return Err(Error::Missing { name: "the loss of an epoch".into() });
    };
    let names = state.text(name)?.lines().map(str::to_owned).collect();
    Ok(Evaluation { loss, metrics: metrics.to_vec(), names })
}

fn to_history(state: &State) -> Result<Vec<Epoch>> {
    let epochs = (0..state.number("epochs")? as usize).map(|number| {
        let at = |what: &str| format!("{number}/{what}");
        let first = |what: &str| state.values(&at(what)).ok()?.first().copied();
        let validation = at("validation");
        let validated = state.values(&validation).is_ok();
        Ok(Epoch {
            training: to_evaluation(state, &at("training"))?,
            validation: validated.then(|| to_evaluation(state, &validation)).transpose()?,
            samples_per_second: first("speed").unwrap_or_default(),
            learning_rate: first("rate"),
        })
    });
    epochs.collect()
}

fn of_layer(layer: &LayerState) -> Result<State> {
    let mut state = State::new();
    let Some(parts) = &layer.0 else { return Ok(state) };
    state.set_number("parts", parts.len() as f64);
    for (number, part) in parts.iter().enumerate() {
        for (name, var) in [("h", &part.h), ("c", &part.c)] {
            let rows = var.shape().first().copied().unwrap_or(0);
            state.set_number(&format!("{number}/{name}/rows"), rows as f64);
            state.set_values(&format!("{number}/{name}"), var.tensor().to_vec()?);
        }
    }
    Ok(state)
}

fn to_layer(state: &State, device: &Device) -> Result<LayerState> {
    let Ok(parts) = state.number("parts") else { return Ok(LayerState(None)) };
    let part = |number: usize| {
        let var = |name: &str| {
            let values = state.values(&format!("{number}/{name}"))?;
            let rows = (state.number(&format!("{number}/{name}/rows"))? as usize).max(1);
            let tensor = Tensor::from_slice(values, [rows, values.len() / rows], device)?;
            Ok(Var::from(tensor))
        };
        Ok(LstmState { h: var("h")?, c: var("c")? })
    };
    Ok(LayerState(Some((0..parts as usize).map(part).collect::<Result<_>>()?)))
}
