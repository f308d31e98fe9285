//! The values of a state dict as parameters of layers.

use super::StateDict;
use super::modules::{ModuleKind, join};
use crate::nn::Params;
use crate::{Error, Result, Sequential};

/// Parameters of a model that share the first part of their names: those of a layer.
pub(super) struct Group {
    /// The number of the layer that made them.
    pub(super) layer: usize,
    /// The first part: `lstm`.
    pub(super) prefix: String,
}

impl Group {
    /// Those of a model that is built, in the order of its layers.
    pub(super) fn all(model: &Sequential) -> Vec<Self> {
        let mut groups: Vec<Self> = Vec::new();
        for layer in 0..model.layers().len() {
            for name in model.parameter_names(layer) {
                let prefix = name.split('.').next().unwrap_or_default();
                if groups.iter().all(|group| group.prefix != prefix) {
                    groups.push(Self { layer, prefix: prefix.into() });
                }
            }
        }
        groups
    }

    /// That there is a module's name for each.
    pub(super) fn check(groups: &[Self], names: &[&str], option: &'static str) -> Result<()> {
        if groups.len() == names.len() {
            return Ok(());
        }
        let prefixes: Vec<_> = groups.iter().map(|group| &*group.prefix).collect();
        let (count, found) = (groups.len(), format!("{} names of modules", names.len()));
        let expected = format!("{count}, for the layers with parameters: {}", prefixes.join(", "));
        Err(Error::Option { option, found, expected })
    }
}

/// The names of the two biases whose sum a recurrent layer's bias is.
pub(super) fn biases(tail: &str) -> Option<[String; 2]> {
    let rest = tail.strip_prefix("bias_l")?;
    Some([format!("bias_ih_l{rest}"), format!("bias_hh_l{rest}")])
}

/// Where a parameter's values come from.
struct Origin {
    parameter: String,
    /// A tensor, or two to be added.
    tensors: Vec<String>,
}

impl StateDict {
    /// Sets a model's parameters: those of each layer that has some to the tensors of the module at the same place
    /// in `names`, such as `encoder.lstm`. PyTorch's two biases of a recurrent module are added. A model that is not
    /// built is built, if its first layer's input follows from the module's sizes. Training can go on from there.
    ///
    /// One tensor at a time is in memory besides the model. See the [module](super) for an example.
    ///
    /// # Errors
    /// [`Error::Option`] if there are more or fewer names than layers with parameters; [`Error::File`], which
    /// names the tensor, if a module lacks one, has it in another shape, has one that the layer has not, or computes
    /// one of others (`torch.nn.utils.parametrize`);
    /// [`Error::NotBuilt`] if the input's size does not follow; those of [`Sequential::build`] and
    /// [`StateDict::values`]. Names, shapes and types are checked before the first value is set.
    pub fn load_into(&self, model: &mut Sequential, names: &[&str]) -> Result<()> {
        if model.params().names().is_empty() {
            let size = self.input_size(model, names)?;
            // No first values are drawn that the file's replace.
            let params = model.params().clone();
            params.blank(self.count().max(1 << 26), || model.build(size))?;
        }
        let groups = Group::all(model);
        Group::check(&groups, names, "names of StateDict::load_into")?;
        let plans = groups.iter().zip(names);
        let plans = plans.map(|(group, name)| self.plan(name, model.params(), &group.prefix));
        let plans = plans.collect::<Result<Vec<_>>>()?;
        plans.iter().flatten().try_for_each(|from| self.set(model.params(), from))
    }

    /// Sets the parameters of one layer, for a model that is no [`Sequential`]: those whose names begin with
    /// `prefix` and a dot, to the tensors of the module `name`.
    ///
    /// ```
    /// use wgpu_lstm::io::pytorch::StateDict;
    /// use wgpu_lstm::{Device, nn::Params};
    /// # let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/io/pytorch/modules.pt");
    /// let dict = StateDict::open(path)?;
    /// let params = Params::new(&Device::auto()?);
    /// let cell = dict.lstm("lstm_cell")?.build(&params, 3)?; // nn.LSTMCell(3, 5)
    /// dict.load_layer("lstm_cell", &params, "lstm")?;
    /// assert_eq!(params.get("lstm.weight_ih_l0")?, dict.values("lstm_cell.weight_ih")?);
    /// # let _ = cell;
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::UnknownParameter`] if no parameter's name begins so; and as [`StateDict::load_into`].
    pub fn load_layer(&self, name: &str, params: &Params, prefix: &str) -> Result<()> {
        let plan = self.plan(name, params, prefix)?;
        plan.iter().try_for_each(|from| self.set(params, from))
    }

    /// How many values all tensors have.
    fn count(&self) -> usize {
        let shapes = self.names().filter_map(|name| self.shape(name).ok());
        let count =
            |shape: &[usize]| shape.iter().fold(1_usize, |all, &size| all.saturating_mul(size));
        shapes.fold(0, |all, shape| all.saturating_add(count(shape)))
    }

    /// The features of a frame that the first layer takes.
    fn input_size(&self, model: &Sequential, names: &[&str]) -> Result<usize> {
        let Some(first) = model.layers().first() else { return Ok(1) };
        if first.takes_tokens() {
            return Ok(1);
        }
        let kind = names.first().map(|name| self.module(name)).transpose()?;
        match (first.kind(), kind.map(|module| module.kind)) {
            ("lstm" | "rnn", Some(ModuleKind::Lstm(sizes) | ModuleKind::Rnn(sizes))) => {
                Ok(sizes.input_size)
            }
            ("dense", Some(ModuleKind::Linear { input_size, .. })) => Ok(input_size),
            ("dense", Some(ModuleKind::Matrix { columns, .. })) => Ok(columns),
            ("layer_norm", Some(ModuleKind::LayerNorm { features })) => Ok(features),
            ("batch_norm", Some(ModuleKind::BatchNorm { features })) => Ok(features),
            ("conv1d", Some(ModuleKind::Conv1d { input_channels, .. })) => {
                let options: serde_json::Value =
                    serde_json::from_str(&first.config()?).map_err(Error::custom)?;
                let groups = options["groups"].as_u64().unwrap_or(1) as usize;
                Ok(input_channels.saturating_mul(groups))
            }
            _ => Err(Error::NotBuilt { what: "the model", call: "build" }),
        }
    }

    /// Which tensors become which parameters, once all of them fit.
    fn plan(&self, module: &str, params: &Params, prefix: &str) -> Result<Vec<Origin>> {
        self.check_plain(module)?;
        let start = format!("{prefix}.");
        let names = params.names();
        let mut plan: Vec<Origin> = Vec::new();
        let mut taken = Vec::new();
        for (parameter, tail) in names.iter().filter_map(|n| Some((n, n.strip_prefix(&start)?))) {
            let shape = params.shape(parameter)?;
            let tails = match biases(tail) {
                Some(both) if !self.has(&join(module, tail)) => both.to_vec(),
                _ => vec![tail.to_owned()],
            };
            let mut tensors = Vec::new();
            for tail in tails {
                // A cell's names count no layers.
                let short = tail.strip_suffix("_l0").filter(|_| !self.has(&join(module, &tail)));
                let short = short.filter(|short| self.has(&join(module, short)));
                let tail = short.unwrap_or(&tail).to_owned();
                let name = join(module, &tail);
                if !self.has(&name) {
                    return Err(self.bad(&name, format!("{shape:?}, for {parameter}"), "missing"));
                }
                let found = self.shape_of_floats(&name)?;
                if found != shape {
                    let expected = format!("{shape:?}, for {parameter}");
                    return Err(self.bad(&name, expected, format!("{found:?}")));
                }
                tensors.push(name);
                taken.push(tail);
            }
            plan.push(Origin { parameter: parameter.clone(), tensors });
        }
        if plan.is_empty() {
            return Err(Error::UnknownParameter {
                name: format!("{prefix}.…"), available: names
            });
        }
        let more = self
            .tails(module)
            .into_iter()
            .find(|&tail| tail != "num_batches_tracked" && taken.iter().all(|taken| taken != tail));
        if let Some(tail) = more {
            let expected = format!("no more than the layer {prefix} has: {}", taken.join(", "));
            return Err(self.bad(&join(module, tail), expected, "of no parameter"));
        }
        Ok(plan)
    }

    fn set(&self, params: &Params, from: &Origin) -> Result<()> {
        let mut sum: Option<Vec<f32>> = None;
        for name in &from.tensors {
            let values = self.values(name)?;
            match &mut sum {
                Some(sum) => sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value),
                None => sum = Some(values),
            }
        }
        params.set(&from.parameter, &sum.unwrap_or_default())
    }
}
