//! Models as files that PyTorch loads.

use super::left_out::left_out;
use super::load::{Group, biases};
use super::modules::join;
use crate::file::{self, Entry, Sink, Values};
use crate::nn::{Layer, Lstm};
use crate::{Error, Result, Sequential};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Writes a model's parameters as a safetensors file that `load_state_dict` takes, with `strict=True`:
///
/// ```python
/// module.load_state_dict(safetensors.torch.load_file(path))
/// ```
///
/// `names` are those of the modules for the layers that have parameters, in order: `encoder` gives
/// `encoder.weight_ih_l0`, an empty one `weight_ih_l0`. A recurrent layer's bias becomes `bias_ih_l0`, and
/// `bias_hh_l0` is 0; for an `nn.LSTMCell` or `nn.RNNCell` take the `_l0` off the names in Python. An existing file
/// is replaced when the new one is whole. Native only.
///
/// A state dict holds parameters, and nothing of what a model does with them. Returned are the options that the program
/// which loads the file must give its modules itself, a line for each layer that has some: activations, a norm's
/// `epsilon`, the stride and padding of a convolution, masks, dropout, penalties, what is not trained. The lines are for
/// people to read.
///
/// ```
/// use wgpu_lstm::io::pytorch::{StateDict, save};
/// use wgpu_lstm::{Device, Sequential, nn::{Activation, Dense, Lstm}};
/// # let path = std::env::temp_dir().join(format!("saved-{}.safetensors", std::process::id()));
/// let mut model = Sequential::new(&Device::auto()?)
///     .add(Lstm::new(8))
///     .add(Dense::new(2).activation(Activation::Sigmoid));
/// model.build(3)?;
/// let left_out = save(&model, &path, &["rnn", "head"])?;
/// assert_eq!(left_out, ["head (dense): activation Sigmoid"]);
/// let dict = StateDict::open(&path)?;
/// assert_eq!(dict.values("rnn.bias_hh_l0")?, [0.0; 32]);
/// assert_eq!(dict.values("head.weight")?, model.params().get("dense.weight")?);
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
///
/// # Errors
/// [`Error::Option`] if there are more or fewer names than layers with parameters, or two give one tensor, or for a path
/// that ends in `.pt`, `.pth`, `.bin` or `.ckpt`, which PyTorch would take for a pickle;
/// [`Error::Unsupported`] for options that no module of PyTorch has (peepholes, other activations of gates,
/// normalisation within an LSTM, merges of directions other than a concatenation) and for a layer made of several;
/// [`Error::NotBuilt`]; [`Error::Io`]; and those of the device.
pub fn save(model: &Sequential, path: impl AsRef<Path>, names: &[&str]) -> Result<Vec<String>> {
    let path = path.as_ref();
    if let Some(end) =
        path.extension().filter(|end| ["pt", "pth", "bin", "ckpt"].iter().any(|e| end == e))
    {
        return Err(Error::Option {
            option: "the path of io::pytorch::save",
            found: format!("one that ends in .{}", end.display()),
            expected: "one that ends in .safetensors, which safetensors.torch.load_file reads"
                .into(),
        });
    }
    let option = "names of io::pytorch::save";
    let entries = model.params().entries()?;
    let groups = Group::all(model);
    Group::check(&groups, names, option)?;
    for (number, group) in groups.iter().enumerate() {
        let layer = &*model.layers()[group.layer];
        if groups.iter().skip(number + 1).any(|other| other.layer == group.layer) {
            let help =
                "write the parameters of such a layer by Params::save, under the engine's names";
            return Err(Error::Unsupported { what: "io::pytorch::save", with: layer.kind(), help });
        }
        check(layer)?;
    }
    let layers: Vec<_> =
        groups.iter().map(|group| group.layer).zip(names.iter().copied()).collect();
    let left_out = left_out(model, &layers)?;
    let module: BTreeMap<_, _> =
        groups.iter().map(|group| &*group.prefix).zip(names.iter().copied()).collect();
    let (mut taken, mut written) = (BTreeSet::new(), Vec::new());
    for entry in entries {
        let Some((prefix, tail)) = entry.name.split_once('.') else { continue };
        let Some(&module) = module.get(prefix) else { continue };
        let Entry { shape, values, .. } = entry;
        if matches!(values, Values::I8(_)) {
            let help = "write the model before Sequential::quantize";
            return Err(Error::Unsupported {
                what: "io::pytorch::save",
                with: "weights of 8 bits",
                help,
            });
        }
        match biases(tail) {
            Some([bias_ih, bias_hh]) => {
                let zeros = vec![0.0; shape.iter().product()];
                let zeros = Values::F32(Box::new(move |sink: &mut Sink<'_>| sink(&zeros)));
                let name = join(module, &bias_hh);
                written.push(Entry { name, shape: shape.clone(), values: zeros });
                written.push(Entry { name: join(module, &bias_ih), shape, values });
            }
            None => written.push(Entry { name: join(module, tail), shape, values }),
        }
    }
    for entry in &written {
        if !taken.insert(entry.name.clone()) {
            let found = format!("two that give {:?}", entry.name);
            return Err(Error::Option { option, found, expected: "different ones".into() });
        }
    }
    let texts = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    file::write(path, &texts, written)?;
    Ok(left_out)
}

/// Checks that a module of PyTorch computes the same with a layer's parameters.
fn check(layer: &dyn Layer) -> Result<()> {
    let refuse = |what| {
        let help = "a module of PyTorch would load the file, and compute something else";
        Err(Error::Unsupported { what, with: "io::pytorch::save", help })
    };
    let options = |layer: &dyn Layer| -> Result<serde_json::Value> {
        serde_json::from_str(&layer.config()?).map_err(Error::custom)
    };
    match layer.kind() {
        "lstm" => {
            let (mut own, mut plain) = (options(layer)?, options(&Lstm::new(1))?);
            for options in [&mut own, &mut plain] {
                // What acts in training alone.
                if let Some(cell) = options["cell"].as_object_mut() {
                    cell.remove("recurrent_dropout");
                    cell.remove("zoneout");
                }
            }
            if own["cell"] != plain["cell"] {
                return refuse("an Lstm's cell of other gates than PyTorch's");
            }
            if own["layer_norm"] != plain["layer_norm"] {
                return refuse("Lstm::layer_norm");
            }
            directions(&own).map_or(Ok(()), refuse)
        }
        "rnn" => {
            let own = options(layer)?;
            if own["activation"] != "Tanh" && own["activation"] != "Relu" {
                return refuse("Rnn::activation, unless it is tanh or ReLU,");
            }
            directions(&own).map_or(Ok(()), refuse)
        }
        _ => Ok(()),
    }
}

/// The option of directions that PyTorch has not, if one is set.
fn directions(options: &serde_json::Value) -> Option<&'static str> {
    match options["directions"].as_str() {
        Some("Forward") => None,
        Some(_) => Some("go_backwards"),
        None if options["directions"]["Both"] == "Concat" => None,
        None => Some("a merge of directions other than Merge::Concat"),
    }
}
