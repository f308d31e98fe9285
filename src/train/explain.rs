//! Which way each layer of a model takes on its device.

use super::sequential::Sequential;
use crate::nn::Own;
use crate::{Error, Result};
use std::fmt;

/// A layer of a model, and how its device runs it: see [`Sequential::explain`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LayerPlan {
    /// The layer's own name for itself: [`crate::nn::Layer::kind`].
    pub kind: String,
    /// Its options: [`crate::nn::Layer::config`], which of a layer of this crate is JSON. `None` for one of your
    /// own that writes none.
    pub options: Option<String>,
    /// The features of an output frame.
    pub output_size: usize,
    /// Whether the output is a sequence, a frame for each timestep.
    pub gives_sequence: bool,
    /// The names of its parameters in [`Sequential::params`].
    pub parameters: Vec<String>,
    /// How the timesteps are run, such as `Persistent: …` or `CPU: rows over 8 threads`: the names are those of
    /// [`crate::nn::Strategy`].
    pub path: String,
    /// Why this and no other way.
    pub why: String,
}

/// Writes `lstm: CPU: rows over 8 threads (…)`.
impl fmt::Display for LayerPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.kind, self.path, self.why)
    }
}

impl Sequential {
    /// The features of an input frame that the model was built for; `None` before. A model whose first layer is
    /// an [`crate::nn::Embedding`] takes one, the number of a token.
    pub fn input_size(&self) -> Option<usize> {
        self.input_size
    }

    /// How the model's device would run each layer when it predicts for `batch` sequences of `timesteps` frames,
    /// and why: which [`crate::nn::Strategy`] an LSTM takes on a GPU, and what others cannot; over how many
    /// threads its rows go on the CPU. Nothing of the model runs, but a GPU may be asked once how many workgroups
    /// it runs at a time.
    ///
    /// ```
    /// use wgpu_lstm::prelude::*;
    /// # fn main() -> wgpu_lstm::Result<()> {
    /// let device = Device::cpu_with_threads(1)?;
    /// let mut model = Sequential::new(&device).add(Lstm::new(64)).add(Dense::new(2));
    /// model.build(3)?;
    /// let plans = model.explain(32, 100)?;
    /// assert_eq!(plans[0].parameters, ["lstm.weight_ih_l0", "lstm.weight_hh_l0", "lstm.bias_l0"]);
    /// println!("{}", plans[0]); // lstm: CPU: all rows on one thread (the device has one thread)
    /// # let device = device.to_string();
    /// # assert!(device != "CPU (1 threads)" || plans[0].path == "CPU: all rows on one thread");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::NotBuilt`] before `build` or `fit`; [`Error::Option`] for no sequences or no frames;
    /// [`Error::Strategy`] if a layer asks for one that cannot run here; and those of the device.
    pub fn explain(&self, batch: usize, timesteps: usize) -> Result<Vec<LayerPlan>> {
        let Some(mut size) = self.input_size.filter(|_| self.built.len() == self.layers.len())
        else {
            return Err(self.not_built());
        };
        for (option, found) in [("explain(batch)", batch), ("explain(timesteps)", timesteps)] {
            if found == 0 {
                let expected = "at least 1".into();
                return Err(Error::Option { option, found: found.to_string(), expected });
            }
        }
        let mut frames = Some(timesteps);
        let mut plans = Vec::new();
        for (number, layer) in self.layers.iter().enumerate() {
            let shape = [batch, frames.unwrap_or(1), size];
            let each = || {
                let path = if self.params.device().is_gpu() { "GPU" } else { "CPU" };
                let why = "no frame waits for the one before";
                [format!("{path}: all frames at once"), why.into()]
            };
            let inside = layer.inner(Own);
            let [path, why] = match layer.explain(Own, &self.params, shape)? {
                Some(found) => found,
                None if inside.is_empty() => each(),
                None => {
                    let kinds: Vec<_> = inside.iter().map(|layer| layer.kind()).collect();
                    [
                        format!("its layers in turn: {}", kinds.join(", ")),
                        "it is made of them".into(),
                    ]
                }
            };
            let gives_sequence = layer.gives_sequence(frames.is_some());
            let steps = layer.fixed_timesteps().unwrap_or(shape[1]);
            frames = gives_sequence.then_some(steps);
            size = layer.output_size();
            plans.push(LayerPlan {
                kind: layer.kind().into(),
                options: layer.config().ok(),
                output_size: size,
                gives_sequence,
                parameters: self.parameter_names(number),
                path,
                why,
            });
        }
        Ok(plans)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;
    use crate::device::Backend;
    use crate::device::cpu::Cpu;
    use crate::nn::{Dense, Lstm, Pool, Pooling};

    #[test]
    fn the_cpu_shares_rows_or_one_row_or_nothing() {
        let device = Device(Backend::Cpu(Cpu::new(false, Some(4))));
        let mut model = Sequential::new(&device).add(Lstm::new(64).return_sequences());
        model = model.add(Pool::new(Pooling::Max)).add(Dense::new(2));
        assert!(matches!(model.explain(1, 1), Err(Error::NotBuilt { .. })));
        model.build(3).unwrap();
        for ([batch, timesteps], path) in [
            ([32, 100], "CPU: rows over 4 threads"),
            ([3, 100], "CPU: rows over 3 threads"),
            ([2, 1], "CPU: all rows on one thread"),
            ([1, 100], "CPU: one row on two threads"),
        ] {
            let plans = model.explain(batch, timesteps).unwrap();
            assert_eq!(plans[0].path, path);
            let sequences: Vec<_> = plans.iter().map(|plan| plan.gives_sequence).collect();
            assert_eq!(sequences, [true, false, false]);
            assert_eq!(plans[2].parameters, ["dense.weight", "dense.bias"]);
        }
        assert!(matches!(model.explain(0, 1), Err(Error::Option { .. })));
        assert!(matches!(model.explain(1, 0), Err(Error::Option { .. })));
    }

    #[cfg(feature = "gpu")]
    #[test]
    fn a_gpu_runs_what_a_layer_asks_for() {
        use crate::nn::Strategy;
        // A machine without any has nothing to explain.
        let Ok(device) = Device::named("software") else { return };
        for (strategy, path, why) in [
            (Strategy::Stepwise, "Stepwise: ", "the layer asks for Stepwise"),
            (
                Strategy::Auto,
                "Sequence: ",
                "the fastest in the table of software adapters near 4 rows",
            ),
        ] {
            let mut model = Sequential::new(&device).add(Lstm::new(8).strategy(strategy));
            model.build(3).unwrap();
            let plans = model.explain(4, 20).unwrap();
            assert!(plans[0].path.starts_with(path), "{}", plans[0]);
            assert!(plans[0].why.starts_with(why), "{}", plans[0]);
        }
    }
}
