//! Keras' layers as ours: for each class the options that it has.

use super::activations::{Set, Version, activation, constrained, gate};
use super::flow::Flow;
use super::node::{Mask, Node};
use super::options::Options;
use crate::Result;
use crate::io::Source;
use crate::nn::{
    Activation, AttentionPool, BatchNorm, Conv1d, Dense, Dropout, Embedding, Flatten,
    GateActivation, IntoLayer, Layer, LayerNorm, Lstm, Masking, Merge, Padding, Pool, Pool1d,
    Pooling, Repeat, Rnn,
};
use serde_json::Value;

/// How several inputs become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Join {
    Concat,
    Add,
    Multiply,
}

/// What a class is here.
pub(super) enum Made {
    Layer(Box<dyn Layer>),
    Join(Join),
    /// It does nothing.
    Nothing,
}

/// Makes a layer of a node, and says what comes out of it.
///
/// # Errors
/// [`Error::File`] that names layer, class and option, for what cannot be had.
pub(super) fn make(
    source: &Source,
    node: &Node,
    flow: Flow,
    version: Version,
) -> Result<(Made, Flow)> {
    let mut options = Options::new(source, node)?;
    if node.mask.is_some() && node.mask != flow.mask {
        let expected = "that of an Embedding or a Masking before it";
        return Err(options.refuse("the mask", expected, "another"));
    }
    // Each layer has a `dtype`, and no operation.
    if flow.mask.is_some() && !node.is_layer() && !node.config.contains_key("dtype") {
        let expected = "none: Keras' operations drop it, of which layers behind know";
        return Err(options.refuse("the mask", expected, "of a layer before"));
    }
    let trainable = options.flag("trainable", true)?;
    let made = class(source, &mut options, flow, version, trainable)?;
    options.end()?;
    Ok(made)
}

fn boxed(layer: impl IntoLayer) -> Made {
    Made::Layer(layer.into_layer())
}

fn class(
    source: &Source,
    options: &mut Options<'_>,
    flow: Flow,
    version: Version,
    trainable: bool,
) -> Result<(Made, Flow)> {
    let class = options.class().to_owned();
    let sequences = ["LSTM", "CuDNNLSTM", "SimpleRNN", "Bidirectional", "Conv1D", "Masking"];
    let pooled = class.ends_with("Pooling1D") || class == "AttentionWeightedAverage";
    if (sequences.contains(&&class[..]) || pooled) && !flow.sequence {
        return Err(options.refuse("the input", "[B,T,F]", "[B,F]"));
    }
    // Keras drops a mask here; the layers of this crate would go by it.
    let blind = ["Conv1D", "GlobalMaxPooling1D", "MaxPooling1D", "AveragePooling1D", "Flatten"];
    if blind.contains(&&class[..]) && flow.mask.is_some() {
        let expected = "none: the layer does not know masks";
        return Err(options.refuse("the mask", expected, "of a layer before"));
    }
    let same = |made| Ok((made, flow));
    match &class[..] {
        "Embedding" => {
            let (tokens, size) = (options.needed("input_dim")?, options.needed("output_dim")?);
            let mut layer = Embedding::new(tokens, size);
            let masked = options.flag("mask_zero", false)?;
            if masked {
                layer = layer.mask_zero();
            }
            let layer = if trainable { layer } else { layer.frozen() };
            let mask = masked.then(|| Mask::of_tokens(options.from()));
            Ok((boxed(layer), Flow { sequence: true, mask, ..flow }))
        }
        "Masking" => {
            let value = options.number("mask_value", 0.0)?;
            if flow.mask.is_some() {
                let expected = "none: Keras would take this layer's instead";
                return Err(options.refuse("the mask", expected, "of a layer before"));
            }
            let mask = Some(Mask::of_frames(options.from(), value));
            Ok((boxed(Masking::new(value)), Flow { mask, ..flow }))
        }
        "LSTM" | "CuDNNLSTM" | "SimpleRNN" => recurrent(options, flow, version, trainable, None),
        "Bidirectional" => bidirectional(source, options, flow, version, trainable),
        "Dense" => {
            let units = options.needed("units")?;
            let mut layer =
                Dense::new(units).activation(activation(options, "activation", version)?);
            if !options.flag("use_bias", true)? {
                layer = layer.no_bias();
            }
            let penalties: [(_, Set<_, _>); 3] = [
                ("kernel_regularizer", Dense::kernel_regularizer),
                ("bias_regularizer", Dense::bias_regularizer),
                ("activity_regularizer", Dense::activity_regularizer),
            ];
            layer = constrained(
                options,
                layer,
                &penalties,
                &[("kernel_constraint", Dense::kernel_max_norm)],
            )?;
            same(boxed(if trainable { layer } else { layer.frozen() }))
        }
        "TimeDistributed" => time_distributed(source, options, flow, version, trainable),
        "Dropout" => {
            let rate = options.number("rate", 0.0)?;
            match options.value("noise_shape") {
                None => same(boxed(Dropout::new(rate))),
                Some(shape) => Err(options.refuse("noise_shape", "null", shape.to_string())),
            }
        }
        "SpatialDropout1D" => {
            options.channels_last()?;
            same(boxed(Dropout::new(options.number("rate", 0.0)?).features()))
        }
        // Penalties of outputs only pass on what they are given.
        "Activation" => match activation(options, "activation", version)? {
            Activation::Linear => same(Made::Nothing),
            activation => same(boxed(activation)),
        },
        "ReLU" => {
            let slope = options.number("negative_slope", 0.0)?;
            let threshold = options.number("threshold", 0.0)?;
            match (options.value("max_value").map(|max| max.as_f64()), slope, threshold) {
                (None, 0.0, 0.0) => same(boxed(Activation::Relu)),
                (None, alpha, 0.0) => same(boxed(Activation::LeakyRelu { alpha })),
                (None, 0.0, alpha) => same(boxed(Activation::ThresholdedRelu { alpha })),
                (Some(Some(6.0)), 0.0, 0.0) => same(boxed(Activation::Relu6)),
                (max, slope, threshold) => {
                    let max = max.flatten().map_or("null".into(), |max| max.to_string());
                    let found = format!("{max}, negative_slope {slope}, threshold {threshold}");
                    let expected = "null with one of the others 0, or 6 with both 0";
                    Err(options.refuse("max_value", expected, found))
                }
            }
        }
        "LeakyReLU" => {
            // Keras 2 calls it alpha; both have 0.3 by default.
            let key = if options.has("alpha") { "alpha" } else { "negative_slope" };
            same(boxed(Activation::LeakyRelu { alpha: options.number(key, 0.3)? }))
        }
        "ELU" => same(boxed(Activation::Elu { alpha: options.number("alpha", 1.0)? })),
        "Softmax" => {
            options.last_axis(flow.rank())?;
            same(boxed(Activation::Softmax))
        }
        "LayerNormalization" => {
            options.last_axis(flow.rank())?;
            plain_norm(options)?;
            let layer = LayerNorm::new().epsilon(options.number("epsilon", 1e-3)?);
            same(boxed(if trainable { layer } else { layer.frozen() }))
        }
        "BatchNormalization" => {
            options.last_axis(flow.rank())?;
            plain_norm(options)?;
            let layer = BatchNorm::new().eps(options.number("epsilon", 1e-3)?);
            same(boxed(if trainable { layer } else { layer.frozen() }))
        }
        "GlobalAveragePooling1D" | "GlobalMaxPooling1D" => {
            options.channels_last()?;
            let mean = class == "GlobalAveragePooling1D";
            let pooling = if mean { Pooling::Mean } else { Pooling::Max };
            Ok((boxed(Pool::new(pooling)), Flow::ROWS))
        }
        "Conv1D" => convolution(options, flow, version, trainable),
        "MaxPooling1D" | "AveragePooling1D" => {
            options.channels_last()?;
            let size = options.needed("pool_size")?;
            let stride = options.size("strides")?.unwrap_or(size);
            let padding = padding(options)?;
            let layer =
                if class == "MaxPooling1D" { Pool1d::max(size) } else { Pool1d::average(size) };
            let timesteps = windows(flow.timesteps, size, stride, padding);
            Ok((boxed(layer.stride(stride).padding(padding)), Flow { timesteps, ..flow }))
        }
        "RepeatVector" => {
            if flow.sequence {
                return Err(options.refuse("the input", "[B,F]", "[B,T,F]"));
            }
            let n = options.needed("n")?;
            let flow = Flow { sequence: true, mask: None, timesteps: Some(n) };
            Ok((boxed(Repeat::new(n)), flow))
        }
        "Flatten" => {
            options.channels_last()?;
            match (flow.sequence, flow.timesteps) {
                (false, _) => same(Made::Nothing),
                (true, Some(steps)) => Ok((boxed(Flatten::new().timesteps(steps)), Flow::ROWS)),
                (true, None) => Err(options.refuse("the timesteps", "a number", "any")),
            }
        }
        "AttentionWeightedAverage" => {
            let layer = AttentionPool::new();
            Ok((boxed(if trainable { layer } else { layer.frozen() }), Flow::ROWS))
        }
        "Concatenate" => {
            options.last_axis(flow.rank())?;
            same(Made::Join(Join::Concat))
        }
        "Add" => same(Made::Join(Join::Add)),
        "Multiply" => same(Made::Join(Join::Multiply)),
        // Models within the model, whose layers are before it, and their inputs.
        "Sequential" | "Functional" | "Model" | "InputLayer" => {
            options.shell();
            same(Made::Nothing)
        }
        _ => Err(options.refuse("the class", "one of those that io::keras lists", class)),
    }
}

/// Checks that a normalisation has its gain and its bias, which ours have always.
fn plain_norm(options: &mut Options<'_>) -> Result<()> {
    for key in ["center", "scale"] {
        if !options.flag(key, true)? {
            return Err(options.refuse(key, "true", "false"));
        }
    }
    Ok(())
}

fn padding(options: &mut Options<'_>) -> Result<Padding> {
    match options.text("padding")?.as_deref() {
        None | Some("valid") => Ok(Padding::Valid),
        Some("same") => Ok(Padding::Same),
        Some("causal") => Ok(Padding::Causal),
        Some(other) => Err(options.refuse("padding", "valid, same or causal", other)),
    }
}

/// The windows of a size that fit into timesteps.
fn windows(
    timesteps: Option<usize>,
    size: usize,
    stride: usize,
    padding: Padding,
) -> Option<usize> {
    let left = match padding {
        Padding::Valid => timesteps?.checked_sub(size.checked_sub(1)?)?,
        _ => timesteps?,
    };
    (stride > 0).then(|| left.div_ceil(stride))
}

fn convolution(
    options: &mut Options<'_>,
    flow: Flow,
    version: Version,
    trainable: bool,
) -> Result<(Made, Flow)> {
    options.channels_last()?;
    let (filters, size) = (options.needed("filters")?, options.needed("kernel_size")?);
    let stride = options.size("strides")?.unwrap_or(1);
    let dilation = options.size("dilation_rate")?.unwrap_or(1);
    let padding = padding(options)?;
    let mut layer = Conv1d::new(filters, size)
        .stride(stride)
        .dilation(dilation)
        .groups(options.size("groups")?.unwrap_or(1))
        .padding(padding)
        .activation(activation(options, "activation", version)?);
    if !options.flag("use_bias", true)? {
        layer = layer.no_bias();
    }
    let wide = size.saturating_sub(1).saturating_mul(dilation).saturating_add(1);
    let timesteps = windows(flow.timesteps, wide, stride, padding);
    let layer = if trainable { layer } else { layer.frozen() };
    Ok((boxed(layer), Flow { timesteps, ..flow }))
}

/// A layer that takes each timestep by itself does so here anyway.
fn time_distributed(
    source: &Source,
    options: &mut Options<'_>,
    flow: Flow,
    version: Version,
    trainable: bool,
) -> Result<(Made, Flow)> {
    let mut inner = options.inner("layer")?;
    let each = ["Dense", "Activation", "Dropout", "LayerNormalization", "BatchNormalization"];
    let more = ["ReLU", "LeakyReLU", "ELU", "Softmax"];
    if !flow.sequence || !(each.contains(&&inner.class[..]) || more.contains(&&inner.class[..])) {
        let expected = format!("one of {} and {}, of [B,T,F]", each.join(", "), more.join(", "));
        return Err(options.refuse("layer", expected, inner.class));
    }
    if !trainable {
        inner.config.insert("trainable".into(), Value::Bool(false));
    }
    let (made, _) = make(source, &inner, Flow::ROWS, version)?;
    Ok((made, flow))
}

fn bidirectional(
    source: &Source,
    options: &mut Options<'_>,
    flow: Flow,
    version: Version,
    trainable: bool,
) -> Result<(Made, Flow)> {
    let forward = options.inner("layer")?;
    if options.value("backward_layer").is_some_and(|other| !mirrors(&forward, &other)) {
        let expected = "the same as the forward layer, but for go_backwards";
        return Err(options.refuse("backward_layer", expected, "another"));
    }
    let merge = match options.text("merge_mode")?.as_deref() {
        Some("concat") => Merge::Concat,
        Some("sum") => Merge::Sum,
        Some("ave") => Merge::Mean,
        Some("mul") => Merge::Product,
        other => {
            let found = other.unwrap_or("null").to_owned();
            return Err(options.refuse("merge_mode", "concat, sum, ave or mul", found));
        }
    };
    let mut inner = Options::new(source, &forward)?;
    let trainable = inner.flag("trainable", true)? && trainable;
    // Both directions have this one, whatever the file of an older version says.
    inner.flag("zero_output_for_mask", true)?;
    let made = recurrent(&mut inner, flow, version, trainable, Some(merge))?;
    inner.end()?;
    Ok(made)
}

/// Whether a layer is another one, the other way around.
fn mirrors(forward: &Node, backward: &Value) -> bool {
    let Some(Value::Object(config)) = backward.get("config") else { return false };
    let class = backward.get("class_name").and_then(Value::as_str);
    let other = ["name", "go_backwards", "seed", "dtype"];
    let matters = |key: &&String| !other.contains(&&key[..]) && !key.ends_with("_initializer");
    let same = |key: &String| plain(forward.config.get(key)) == plain(config.get(key));
    let keys = || forward.config.keys().chain(config.keys());
    let back = |config: &serde_json::Map<String, Value>| {
        config.get("go_backwards").and_then(Value::as_bool).unwrap_or(false)
    };
    class == Some(&forward.class)
        && keys().filter(matters).all(same)
        && back(config) != back(&forward.config)
}

/// A value without the numbers by which Keras finds what objects share.
fn plain(value: Option<&Value>) -> Option<Value> {
    let mut value = value.cloned();
    if let Some(Value::Object(object)) = &mut value {
        object.remove("shared_object_id");
    }
    value
}

fn recurrent(
    options: &mut Options<'_>,
    flow: Flow,
    version: Version,
    trainable: bool,
    both: Option<Merge>,
) -> Result<(Made, Flow)> {
    let units = options.needed("units")?;
    let sequences = options.flag("return_sequences", false)?;
    let backwards = options.flag("go_backwards", false)?;
    if backwards && (sequences || both.is_some()) {
        let expected =
            "false, or a layer that gives its last output alone: Keras turns the others around";
        return Err(options.refuse("go_backwards", expected, "true"));
    }
    let bias = options.flag("use_bias", true)?;
    let zeros = options.flag("zero_output_for_mask", false)?;
    if zeros && flow.mask.is_some() && !sequences && both.is_none() {
        let expected = "false, or a layer that returns sequences: the last output alone stays here";
        return Err(options.refuse("zero_output_for_mask", expected, "true"));
    }
    let activation = gate(options, "activation", version, GateActivation::Tanh)?;
    let flow = match sequences {
        true => flow,
        false => Flow::ROWS,
    };
    if options.class() == "SimpleRNN" {
        let mut layer = Rnn::new(units).activation(activation);
        layer = if sequences { layer.return_sequences() } else { layer };
        layer = if bias { layer } else { layer.no_bias() };
        layer = if zeros { layer.zero_output_for_mask() } else { layer };
        layer = if backwards { layer.go_backwards() } else { layer };
        layer = both.map_or(layer.clone(), |merge| layer.bidirectional(merge));
        for key in ["dropout", "recurrent_dropout"] {
            match options.number(key, 0.0)? {
                0.0 => {}
                rate => return Err(options.refuse(key, "0", rate.to_string())),
            }
        }
        return Ok((boxed(if trainable { layer } else { layer.frozen() }), flow));
    }
    let sigmoid = GateActivation::Sigmoid;
    let mut layer = Lstm::new(units)
        .activation(activation)
        .recurrent_activation(gate(options, "recurrent_activation", version, sigmoid)?)
        .input_dropout(options.number("dropout", 0.0)?)
        .recurrent_dropout(options.number("recurrent_dropout", 0.0)?);
    layer = if sequences { layer.return_sequences() } else { layer };
    layer = if bias { layer } else { layer.no_bias() };
    layer = if zeros { layer.zero_output_for_mask() } else { layer };
    layer = if backwards { layer.go_backwards() } else { layer };
    layer = both.map_or(layer.clone(), |merge| layer.bidirectional(merge));
    layer = if options.flag("stateful", false)? { layer.stateful() } else { layer };
    let penalties: [(_, Set<_, _>); 4] = [
        ("kernel_regularizer", Lstm::kernel_regularizer),
        ("recurrent_regularizer", Lstm::recurrent_regularizer),
        ("bias_regularizer", Lstm::bias_regularizer),
        ("activity_regularizer", Lstm::activity_regularizer),
    ];
    let limits: [(_, Set<_, _>); 2] = [
        ("kernel_constraint", Lstm::kernel_max_norm),
        ("recurrent_constraint", Lstm::recurrent_max_norm),
    ];
    layer = constrained(options, layer, &penalties, &limits)?;
    Ok((boxed(if trainable { layer } else { layer.frozen() }), flow))
}
