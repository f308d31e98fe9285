//! The arrays of a file, and the parameters of a model: which is which, and how each lies.

use super::config::Architecture;
use super::h5::{Array, Group};
use super::names::numbered;
use crate::nn::Params;
use crate::{Error, Result, Sequential};
use std::collections::{BTreeMap, HashMap};

/// The arrays of a layer, in Keras' order.
pub(super) struct Arrays {
    /// What the file calls the layer, for errors.
    pub(super) name: String,
    pub(super) arrays: Vec<Array>,
}

impl Arrays {
    /// The numbers in all of them.
    pub(super) fn count(all: &[Self]) -> usize {
        let counts = all.iter().flat_map(|arrays| &arrays.arrays).map(Array::count);
        counts.fold(0, usize::saturating_add)
    }
}

/// Where the layers of a file of Keras 3 are, or of the last versions of Keras 2.
pub(super) fn layers_of(file: &Group) -> Result<Option<Group>> {
    let mut groups = file.groups()?;
    Ok(groups.remove("layers").or_else(|| groups.remove("_layer_checkpoint_dependencies")))
}

/// Where the layers of a file of Keras 2 are.
pub(super) fn legacy_of(file: &Group) -> Result<Option<Group>> {
    let file = file.group("model_weights")?.unwrap_or_else(|| file.clone());
    Ok(file.texts("layer_names")?.is_some().then_some(file))
}

/// The arrays of the layers that have some, in the order in which they are built: from a file in which layers are
/// called by class and number.
pub(super) fn by_class(layers: &Group, model: &Architecture) -> Result<Vec<Arrays>> {
    let mut levels = HashMap::from([(&[][..], layers.groups()?)]);
    let mut all = Vec::new();
    for &node in &model.order {
        let node = &model.nodes[node];
        let group = take(&mut levels, &node.place)?;
        let arrays = group.as_ref().map(gather).transpose()?.unwrap_or_default();
        if !arrays.is_empty() {
            all.push(Arrays { name: node.name.clone(), arrays });
        }
    }
    Ok(all)
}

/// The group of a layer, out of those that are left at its level: of models within models each is a level.
fn take<'a>(
    levels: &mut HashMap<&'a [String], BTreeMap<String, Group>>,
    place: &'a [String],
) -> Result<Option<Group>> {
    let Some((name, outer)) = place.split_last() else { return Ok(None) };
    if !levels.contains_key(outer) {
        let layers = match take(levels, outer)? {
            Some(model) => layers_of(&model)?,
            None => None,
        };
        let groups = layers.map(|layers| layers.groups()).transpose()?;
        levels.insert(outer, groups.unwrap_or_default());
    }
    Ok(levels.get_mut(outer).and_then(|groups| groups.remove(name)))
}

/// As [`by_class`], from a file in which layers are called by their own names.
pub(super) fn by_name(layers: &Group, model: &Architecture) -> Result<Vec<Arrays>> {
    let mut groups = layers.groups()?;
    let mut inner = HashMap::<&str, HashMap<usize, Vec<String>>>::new();
    let mut all = Vec::new();
    for &at in &model.order {
        let node = &model.nodes[at];
        let arrays = match &node.names[..] {
            [] => Vec::new(),
            [name] => groups.remove(name).as_ref().map(listed).transpose()?.unwrap_or_default(),
            [outer, ..] => {
                let Some(group) = groups.get(outer) else { continue };
                if !inner.contains_key(&outer[..]) {
                    inner.insert(outer, within(group, outer, model)?);
                }
                let own = inner.get_mut(&outer[..]).and_then(|paths| paths.remove(&at));
                let own = own.into_iter().flatten();
                own.map(|path| group.array(&path)).collect::<Result<_>>()?
            }
        };
        if !arrays.is_empty() {
            all.push(Arrays { name: node.name.clone(), arrays });
        }
    }
    Ok(all)
}

/// The paths of the arrays of the layers of a model within the model, all of which are listed as one layer's. A path
/// names the layer, mostly behind the model that it is in, and what the layer is made of.
pub(super) fn within(
    group: &Group,
    outer: &str,
    model: &Architecture,
) -> Result<HashMap<usize, Vec<String>>> {
    let mut called = HashMap::<&str, Vec<usize>>::new();
    for &at in &model.order {
        if let [first, .., name] = &model.nodes[at].names[..]
            && first == outer
        {
            called.entry(name).or_default().push(at);
        }
    }
    let mut all = HashMap::<usize, Vec<String>>::new();
    for path in group.texts("weight_names")?.unwrap_or_default() {
        let parts: Vec<&str> = path.split('/').collect();
        // Most names in a row, and of as many the first: a part of a layer may be called as another layer.
        let mut best = None;
        // The last part names the array itself.
        for (place, part) in parts.iter().enumerate().take(parts.len().saturating_sub(1)) {
            for &at in called.get(part).into_iter().flatten() {
                let names = model.nodes[at].names.iter().rev();
                let same = names.zip(parts[..=place].iter().rev()).take_while(|(a, b)| a == *b);
                let count = same.count();
                if best.is_none_or(|(most, _)| count > most) {
                    best = Some((count, at));
                }
            }
        }
        if let Some((_, at)) = best {
            all.entry(at).or_default().push(path);
        }
    }
    Ok(all)
}

/// The arrays of the layers that have some, in the order of a file of Keras 2.
pub(super) fn in_order(layers: &Group) -> Result<Vec<Arrays>> {
    let names = layers.texts("layer_names")?.unwrap_or_default();
    let (mut groups, mut all) = (layers.groups()?, Vec::new());
    for name in names {
        let Some(group) = groups.remove(&name) else {
            return Err(layers.bad("layer_names", "groups, each once", format!("{name:?}")));
        };
        let arrays = listed(&group)?;
        if !arrays.is_empty() {
            all.push(Arrays { name, arrays });
        }
    }
    Ok(all)
}

/// The arrays of the layers of a model that is there already, of a file in which layers are called by class and
/// number.
pub(super) fn of_model(layers: &Group, leaves: &[Leaf]) -> Result<Vec<Arrays>> {
    let mut by_class = BTreeMap::<String, BTreeMap<usize, Arrays>>::new();
    for (name, group) in layers.groups()? {
        let arrays = gather(&group)?;
        if !arrays.is_empty() {
            let (class, number) = numbered(&name);
            let arrays = Arrays { name: name.clone(), arrays };
            by_class.entry(class.to_owned()).or_default().insert(number, arrays);
        }
    }
    let each = by_class.contains_key("time_distributed");
    let mut all = Vec::new();
    for leaf in leaves {
        let class = match leaf.class() {
            Some("dense") if each && by_class.contains_key("dense") => {
                let expected = "Dense layers or TimeDistributed ones: which of both is which only a whole \
                                model says, a `.keras` file";
                return Err(layers.bad("the layers", expected, "both"));
            }
            Some("dense") if each => "time_distributed",
            Some(class) => class,
            None => return Err(leaf.foreign()),
        };
        let Some((_, arrays)) = by_class.get_mut(class).and_then(BTreeMap::pop_first) else {
            let expected = format!("a {class} for {}", leaf.prefix);
            return Err(layers.bad("the layers", &expected, "none left"));
        };
        by_class.retain(|_, left| !left.is_empty());
        all.push(arrays);
    }
    match by_class.first_key_value() {
        None => Ok(all),
        Some((class, _)) => {
            let found = format!("a {class} more");
            Err(layers.bad("the layers", "those of the model", found))
        }
    }
}

/// The arrays of a layer's group, and of what it is made of, but for the states of random numbers.
fn gather(group: &Group) -> Result<Vec<Array>> {
    // Deepest is a cell of a direction; a file may go on for ever.
    fn into(group: &Group, depth: usize, all: &mut Vec<Array>) -> Result<()> {
        let mut groups = group.groups()?;
        if let Some(vars) = groups.remove("vars") {
            all.extend(vars.arrays()?.into_iter().map(|(_, array)| array));
        }
        for part in ["cell", "forward_layer", "backward_layer", "layer"] {
            if let Some(part) = groups.remove(part).filter(|_| depth < 4) {
                into(&part, depth + 1, all)?;
            }
        }
        Ok(())
    }
    let mut all = Vec::new();
    into(group, 0, &mut all)?;
    Ok(all)
}

/// The arrays that a group of a file of Keras 2 lists.
fn listed(group: &Group) -> Result<Vec<Array>> {
    let names = group.texts("weight_names")?.unwrap_or_default();
    names.iter().map(|name| group.array(name)).collect()
}

/// The parameters of what Keras has as one layer.
pub(super) struct Leaf {
    /// What their names begin with.
    pub(super) prefix: String,
    pub(super) names: Vec<String>,
}

/// All of a model's parameters, in the order in which they were built.
///
/// # Errors
/// [`Error::NotBuilt`].
pub(super) fn leaves(model: &Sequential) -> Result<Vec<Leaf>> {
    let layers = 0..model.layers().len();
    let names: Vec<_> = layers.flat_map(|layer| model.parameter_names(layer)).collect();
    if names.is_empty() {
        return Err(Error::NotBuilt { what: "the model", call: "build" });
    }
    let mut leaves = Vec::<Leaf>::new();
    let mut last = None;
    for name in names {
        let prefix = name.rsplit_once('.').map_or("", |(prefix, _)| prefix).to_owned();
        // Layers that are stacked in one are several in Keras.
        let stacked = name.rsplit_once("_l").map(|(_, rest)| rest.trim_end_matches("_reverse"));
        let of = (prefix, stacked.and_then(|number| number.parse::<usize>().ok()));
        match leaves.last_mut().filter(|_| last.as_ref() == Some(&of)) {
            Some(leaf) => leaf.names.push(name),
            None => leaves.push(Leaf { prefix: of.0.clone(), names: vec![name] }),
        }
        last = Some(of);
    }
    Ok(leaves)
}

/// How an array of Keras lies beside ours.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Turn {
    /// As ours.
    Same,
    /// `[I,O]`, ours is `[O,I]`.
    Matrix,
    /// `[K,I,O]`, ours is `[O,I,K]`.
    Kernel,
    /// `[F,1]`, ours is `[F]`.
    Column,
}

impl Leaf {
    /// The kind of the layer, without a number.
    fn kind(&self) -> &str {
        let last = self.prefix.rsplit('.').next().unwrap_or(&self.prefix);
        numbered(last).0
    }

    /// Keras' name of the class in files.
    pub(super) fn class(&self) -> Option<&'static str> {
        let both = self.names.iter().any(|name| name.ends_with("_reverse"));
        Some(match self.kind() {
            "lstm" | "rnn" if both => "bidirectional",
            "lstm" => "lstm",
            "rnn" => "simple_rnn",
            "dense" => "dense",
            "embedding" => "embedding",
            "layer_norm" => "layer_normalization",
            "batch_norm" => "batch_normalization",
            "conv1d" => "conv1d",
            "attention_pool" => "attention_weighted_average",
            _ => return None,
        })
    }

    /// That Keras has no such layer.
    pub(super) fn foreign(&self) -> Error {
        Error::Unsupported {
            what: "io::keras",
            with: "parameters of a layer that Keras lacks",
            help: "files of Keras hold the parameters of the layers that io::keras lists, under the names that the \
                   layers give them: a model with others is kept by Sequential::save",
        }
    }

    fn turn(&self, name: &str) -> Result<Turn> {
        let part = name.rsplit('.').next().unwrap_or(name);
        let part = part.split("_l").next().unwrap_or(part);
        match (self.kind(), part) {
            ("embedding", "weight") => Ok(Turn::Same),
            ("dense", "weight") | ("lstm" | "rnn", "weight_ih" | "weight_hh") => Ok(Turn::Matrix),
            ("conv1d", "weight") => Ok(Turn::Kernel),
            ("attention_pool", "weight") => Ok(Turn::Column),
            ("dense" | "conv1d" | "lstm" | "rnn", "bias") => Ok(Turn::Same),
            ("layer_norm" | "batch_norm", _) => Ok(Turn::Same),
            _ => Err(self.foreign()),
        }
    }
}

/// A parameter, and where its values come from.
pub(super) struct Planned {
    name: String,
    array: Array,
    turn: Turn,
    /// The units of a layer whose weights lie as cuDNN's.
    cudnn: Option<usize>,
}

/// Checks that arrays fit the parameters of a model, before any is changed.
///
/// # Errors
/// [`Error::File`] if they do not.
pub(super) fn plan(
    params: &Params,
    file: &Group,
    leaves: &[Leaf],
    all: Vec<Arrays>,
) -> Result<Vec<Planned>> {
    if leaves.len() != all.len() {
        let expected = format!("weights of {} layers, as the model has", leaves.len());
        return Err(file.bad("the layers", &expected, format!("of {}", all.len())));
    }
    let mut planned = Vec::new();
    for (leaf, Arrays { name: layer, arrays }) in leaves.iter().zip(all) {
        if leaf.names.len() != arrays.len() {
            let what = format!("the layer {layer:?}");
            let expected = format!("of {} arrays, as {}", leaf.names.len(), leaf.prefix);
            return Err(file.bad(&what, &expected, format!("of {}", arrays.len())));
        }
        let cudnn = cudnn(params, leaf, &arrays)?;
        for (name, array) in leaf.names.iter().zip(arrays) {
            let (turn, ours) = (leaf.turn(name)?, params.shape(name)?);
            let expected = match (turn, &ours[..]) {
                (Turn::Matrix, &[o, i]) => vec![i, o],
                (Turn::Kernel, &[o, i, k]) => vec![k, i, o],
                (Turn::Column, &[f]) => vec![f, 1],
                // Both of cuDNN's biases, which are added.
                (Turn::Same, &[n]) if cudnn.is_some() => vec![n.saturating_mul(2)],
                _ => ours,
            };
            if array.shape != expected {
                return Err(array.bad(format!("{expected:?}, for {name:?} of the model")));
            }
            planned.push(Planned { name: name.clone(), array, turn, cudnn });
        }
    }
    Ok(planned)
}

/// The units of an LSTM whose bias is twice as long as it should be: it was a `CuDNNLSTM`.
fn cudnn(params: &Params, leaf: &Leaf, arrays: &[Array]) -> Result<Option<usize>> {
    if leaf.kind() != "lstm" {
        return Ok(None);
    }
    for (name, array) in leaf.names.iter().zip(arrays) {
        if let &[n] = &params.shape(name)?[..] {
            return Ok((array.shape == [n.saturating_mul(2)]).then_some(n / 4));
        }
    }
    Ok(None)
}

impl Planned {
    /// Reads the values and gives them to the model.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Io`], and those of [`Params::set`].
    pub(super) fn set(self, params: &Params) -> Result<()> {
        let (shape, values) = (&self.array.shape[..], self.array.values()?);
        let values = match (self.cudnn, self.turn, shape) {
            (Some(units), Turn::Matrix, &[rows, columns]) => {
                // The gates stand side by side. Of the kernel the numbers of a gate are those of `[H,I]`, row by
                // row; of the recurrent kernel they are turned already.
                let turned = self.name.contains("weight_ih");
                let mut ours = vec![0.0; values.len()];
                for (at, value) in ours.iter_mut().enumerate() {
                    let (gate, unit, input) = (at / rows / units, at / rows % units, at % rows);
                    let place = unit * rows + input;
                    let (row, column) = match turned {
                        true => (place / units, place % units),
                        false => (unit, input),
                    };
                    *value = values[row * columns + gate * units + column];
                }
                ours
            }
            (Some(_), Turn::Same, _) => {
                let (input, recurrent) = values.split_at(values.len() / 2);
                input.iter().zip(recurrent).map(|(a, b)| a + b).collect()
            }
            (_, Turn::Matrix, &[rows, columns]) => transposed(&values, rows, columns),
            (_, Turn::Kernel, &[k, i, o]) => {
                let mut ours = vec![0.0; values.len()];
                for (at, value) in ours.iter_mut().enumerate() {
                    let (filter, input, tap) = (at / k / i, at / k % i, at % k);
                    *value = values[(tap * i + input) * o + filter];
                }
                ours
            }
            _ => values,
        };
        params.set(&self.name, &values)
    }
}

/// A matrix `[rows,columns]` as `[columns,rows]`.
fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let column = |column| (0..rows).map(move |row| values[row * columns + column]);
    (0..columns).flat_map(column).collect()
}

/// A parameter as Keras has it, and its shape there.
///
/// # Errors
/// [`Error::Unsupported`] for one that Keras lacks, and those of [`Params::get`].
pub(super) fn exported(params: &Params, leaf: &Leaf, name: &str) -> Result<(Vec<usize>, Vec<f32>)> {
    let (values, shape) = (params.get(name)?, params.shape(name)?);
    Ok(match (leaf.turn(name)?, &shape[..]) {
        (Turn::Matrix, &[o, i]) => (vec![i, o], transposed(&values, o, i)),
        (Turn::Column, &[f]) => (vec![f, 1], values),
        (Turn::Kernel, &[o, i, k]) => {
            let mut kernel = vec![0.0; values.len()];
            for (at, &value) in values.iter().enumerate() {
                let (filter, input, tap) = (at / k / i, at / k % i, at % k);
                kernel[(tap * i + input) * o + filter] = value;
            }
            (vec![k, i, o], kernel)
        }
        _ => (shape, values),
    })
}
