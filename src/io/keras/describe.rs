//! The layers of a model as Keras' classes and options.

use super::activations::{gate_name, limit, name, penalty};
use crate::nn::{Activation, GateActivation, Layer};
use crate::{Error, Result};
use serde_json::{Map, Value, json};

/// A layer as Keras has it.
pub(super) struct Described {
    pub(super) class: &'static str,
    pub(super) config: Map<String, Value>,
    /// Whether it has weights.
    pub(super) weights: bool,
}

/// The layers that one of ours is in Keras.
///
/// # Errors
/// [`Error::Unsupported`] for a layer or an option that Keras lacks.
pub(super) fn describe(layer: &dyn Layer, masked: bool) -> Result<Vec<Described>> {
    let config: Value = serde_json::from_str(&layer.config()?).map_err(Error::custom)?;
    let ours = Ours { kind: layer.kind(), config };
    if masked && matches!(ours.kind, "conv1d" | "pool1d" | "flatten" | "attention_pool") {
        return Err(foreign(ours.kind, "a mask, of which Keras' layer knows nothing"));
    }
    let one = |class, config, weights| Ok(vec![Described { class, config, weights }]);
    match ours.kind {
        "lstm" => ours.lstm(),
        "rnn" => ours.rnn(),
        "dense" => one("Dense", ours.dense()?, true),
        "embedding" => one("Embedding", ours.embedding()?, true),
        "layer_norm" => one("LayerNormalization", ours.common(&["epsilon"], &["epsilon"]), true),
        "batch_norm" => one("BatchNormalization", ours.common(&["eps"], &["epsilon"]), true),
        "conv1d" => one("Conv1D", ours.conv1d()?, true),
        "pool1d" => ours.pool1d(),
        "repeat" => one("RepeatVector", ours.common(&["n"], &["n"]), false),
        "flatten" => one("Flatten", ours.common(&[], &[]), false),
        "masking" => one("Masking", ours.common(&["value"], &["mask_value"]), false),
        "dropout" => {
            let class = if ours.flag("same_steps") { "SpatialDropout1D" } else { "Dropout" };
            one(class, ours.common(&["rate"], &["rate"]), false)
        }
        "activation" => ours.activation(),
        "pool" => match ours.config["pooling"].as_str() {
            Some("Mean") => one("GlobalAveragePooling1D", ours.common(&[], &[]), false),
            Some("Max") if !masked => one("GlobalMaxPooling1D", ours.common(&[], &[]), false),
            Some("Max") => {
                Err(foreign("Pooling::Max", "a mask, of which Keras' layer knows nothing"))
            }
            _ => Err(foreign("Pooling::Last", "a file of Keras")),
        },
        kind => Err(foreign(kind, "a file of Keras")),
    }
}

/// That Keras has no such thing.
pub(super) fn foreign(what: &'static str, with: &'static str) -> Error {
    let help = "Keras has no layer or option that computes the same; Sequential::save keeps all";
    Error::Unsupported { what, with, help }
}

/// A layer of this crate, as it says its options in a file.
struct Ours {
    kind: &'static str,
    config: Value,
}

impl Ours {
    fn flag(&self, key: &str) -> bool {
        self.config[key].as_bool().unwrap_or(false)
    }

    fn number(&self, key: &str) -> f64 {
        self.config[key].as_f64().unwrap_or(0.0)
    }

    /// The options that only have another name in Keras.
    fn common(&self, ours: &[&str], theirs: &[&str]) -> Map<String, Value> {
        let mut config = Map::from_iter([("dtype".to_owned(), json!("float32"))]);
        for (ours, theirs) in ours.iter().zip(theirs) {
            config.insert((*theirs).into(), self.config[*ours].clone());
        }
        config
    }

    /// The activation under a key, by Keras' name.
    fn activation_name(&self, key: &str) -> Result<&'static str> {
        let activation = serde_json::from_value::<Activation>(self.config[key].clone());
        let found = name(activation.map_err(Error::custom)?);
        found.ok_or_else(|| foreign("such an Activation", "a file of Keras"))
    }

    fn gate_name(value: &Value) -> Result<&'static str> {
        let activation = serde_json::from_value::<GateActivation>(value.clone());
        let found = gate_name(activation.map_err(Error::custom)?);
        found.ok_or_else(|| foreign("such a GateActivation", "a file of Keras"))
    }

    /// Penalty and limit of a parameter.
    fn constraints(&self, key: &str) -> (Value, Value) {
        let constraints = &self.config[key];
        let factor = |factor: &str| constraints["regularizer"][factor].as_f64().unwrap_or(0.0);
        (penalty(factor("l1"), factor("l2")), limit(constraints["max_norm"].as_f64()))
    }

    fn activity(&self) -> Value {
        let activity = &self.config["activity"];
        penalty(activity["l1"].as_f64().unwrap_or(0.0), activity["l2"].as_f64().unwrap_or(0.0))
    }

    fn dense(&self) -> Result<Map<String, Value>> {
        if self.config["tied"] == true {
            return Err(foreign("Dense::tied", "a file of Keras"));
        }
        let mut config = self.common(&["units", "use_bias"], &["units", "use_bias"]);
        config.insert("activation".into(), json!(self.activation_name("activation")?));
        let (kernel, limit) = self.constraints("kernel");
        config.insert("kernel_regularizer".into(), kernel);
        config.insert("kernel_constraint".into(), limit);
        config.insert("bias_regularizer".into(), self.constraints("bias").0);
        config.insert("activity_regularizer".into(), self.activity());
        Ok(config)
    }

    fn embedding(&self) -> Result<Map<String, Value>> {
        if !self.config["padding"].is_null() {
            return Err(foreign("Embedding::padding_index", "a file of Keras"));
        }
        if self.config["dropout"] != 0.0 {
            return Err(foreign("Embedding::dropout", "a file of Keras"));
        }
        let ours = ["tokens", "size", "mask_zero"];
        Ok(self.common(&ours, &["input_dim", "output_dim", "mask_zero"]))
    }

    fn conv1d(&self) -> Result<Map<String, Value>> {
        let ours = ["channels", "kernel_size", "stride", "dilation", "groups", "use_bias"];
        let theirs = ["filters", "kernel_size", "strides", "dilation_rate", "groups", "use_bias"];
        let mut config = self.common(&ours, &theirs);
        config.insert("activation".into(), json!(self.activation_name("activation")?));
        config.insert("padding".into(), self.padding()?);
        Ok(config)
    }

    fn padding(&self) -> Result<Value> {
        match self.config["padding"].as_str() {
            Some("Valid") => Ok(json!("valid")),
            Some("Same") => Ok(json!("same")),
            Some("Causal") if self.kind == "conv1d" => Ok(json!("causal")),
            None if self.config["padding"]["Explicit"] == json!([0, 0]) => Ok(json!("valid")),
            None if self.kind == "conv1d" => {
                let size = |key: &str| self.config[key].as_u64().unwrap_or(1);
                let before = size("kernel_size").saturating_sub(1).saturating_mul(size("dilation"));
                match self.config["padding"]["Explicit"] == json!([before, 0]) {
                    true => Ok(json!("causal")),
                    false => Err(foreign("such a Padding", "a file of Keras")),
                }
            }
            _ => Err(foreign("such a Padding", "a file of Keras")),
        }
    }

    fn pool1d(&self) -> Result<Vec<Described>> {
        if self.flag("count_padding") {
            return Err(foreign("Pool1d::count_padding", "a file of Keras"));
        }
        let mut config = self.common(&["window", "stride"], &["pool_size", "strides"]);
        config.insert("padding".into(), self.padding()?);
        let class = if self.flag("max") { "MaxPooling1D" } else { "AveragePooling1D" };
        Ok(vec![Described { class, config, weights: false }])
    }

    fn activation(&self) -> Result<Vec<Described>> {
        let activation = serde_json::from_value::<Activation>(self.config["activation"].clone());
        let activation = activation.map_err(Error::custom)?;
        let mut config = self.common(&[], &[]);
        let mut add = |key: &str, value: Value| drop(config.insert(key.into(), value));
        let class = match (name(activation), activation) {
            (Some(name), _) => {
                add("activation", json!(name));
                "Activation"
            }
            (None, Activation::Elu { alpha }) => {
                add("alpha", json!(alpha));
                "ELU"
            }
            (None, Activation::LeakyRelu { alpha }) => {
                add("negative_slope", json!(alpha));
                "LeakyReLU"
            }
            (None, Activation::ThresholdedRelu { alpha }) => {
                add("threshold", json!(alpha));
                "ReLU"
            }
            _ => return Err(foreign("such an Activation", "a file of Keras")),
        };
        Ok(vec![Described { class, config, weights: false }])
    }

    /// What an LSTM and a plain recurrent layer have in common; the outer class, and the options of the inner one.
    fn recurrent(
        &self,
        class: &'static str,
        mut config: Map<String, Value>,
    ) -> Result<Vec<Described>> {
        config.insert("units".into(), self.config["hidden_size"].clone());
        config.insert("use_bias".into(), self.config["bias"].clone());
        config.insert("zero_output_for_mask".into(), self.config["zero_output_for_mask"].clone());
        let last = self.config["return_sequences"].clone();
        let layers = self.config["num_layers"].as_u64().unwrap_or(1);
        let mut all = Vec::new();
        for layer in 1..=layers {
            let mut config = config.clone();
            let sequences = if layer < layers { Value::Bool(true) } else { last.clone() };
            let backwards = self.config["directions"] == "Reverse";
            if backwards && sequences == true {
                return Err(foreign("Lstm::go_backwards", "return_sequences in a file of Keras"));
            }
            if layer > 1 && config.contains_key("dropout") {
                // That of the input.
                config.insert("dropout".into(), json!(0.0));
            }
            if layer < layers && config.contains_key("activity_regularizer") {
                config.insert("activity_regularizer".into(), Value::Null);
            }
            config.insert("return_sequences".into(), sequences);
            config.insert("go_backwards".into(), Value::Bool(backwards));
            let described = match self.config["directions"]["Both"].as_str() {
                None => Described { class, config, weights: true },
                Some(merge) => {
                    let mut outer = self.common(&[], &[]);
                    let merge = match merge {
                        "Sum" => "sum",
                        "Mean" => "ave",
                        "Product" => "mul",
                        _ => "concat",
                    };
                    // Keras' wrapper has the last say.
                    config.insert("zero_output_for_mask".into(), Value::Bool(true));
                    outer.insert("merge_mode".into(), json!(merge));
                    let mut inner = |way: &str, backwards: bool| {
                        config.insert(
                            "name".into(),
                            json!(format!("{way}_{}", class.to_lowercase())),
                        );
                        config.insert("go_backwards".into(), Value::Bool(backwards));
                        json!({
                            "module": "keras.layers",
                            "class_name": class,
                            "config": config,
                            "registered_name": null,
                        })
                    };
                    outer.insert("layer".into(), inner("forward", false));
                    outer.insert("backward_layer".into(), inner("backward", true));
                    Described { class: "Bidirectional", config: outer, weights: true }
                }
            };
            all.push(described);
            let dropout = self.number("dropout");
            if layer < layers && dropout > 0.0 {
                let mut config = self.common(&[], &[]);
                config.insert("rate".into(), json!(dropout));
                all.push(Described { class: "Dropout", config, weights: false });
            }
        }
        Ok(all)
    }

    fn rnn(&self) -> Result<Vec<Described>> {
        let mut config = self.common(&[], &[]);
        config.insert("activation".into(), json!(Self::gate_name(&self.config["activation"])?));
        self.recurrent("SimpleRNN", config)
    }

    fn lstm(&self) -> Result<Vec<Described>> {
        let cell = &self.config["cell"];
        let set =
            |value: &Value| !matches!(value, Value::Null | Value::Bool(false)) && *value != 0.0;
        let refused = [
            ("Lstm::projection", set(&self.config["projection"])),
            ("Lstm::layer_norm", set(&self.config["layer_norm"])),
            ("Lstm::weight_drop", set(&self.config["weight_drop"])),
            ("Lstm::time_major", set(&self.config["time_major"])),
            ("Lstm::peepholes", set(&cell["peepholes"])),
            ("Lstm::clip", set(&cell["clip"])),
            ("Lstm::cell_clip", set(&cell["cell_clip"])),
            ("Lstm::output_activation", cell["input"] != cell["output"]),
            ("Lstm::coupled", cell["coupling"] != "None"),
            ("Lstm::zoneout", cell["zoneout"] != json!([0.0, 0.0])),
        ];
        if let Some((option, _)) = refused.iter().find(|(_, refused)| *refused) {
            return Err(foreign(option, "a file of Keras"));
        }
        if set(&self.config["stateful"]) {
            let help = "Keras wants the rows of a batch in its file, which a model here does not say; \
                        leave the option out, or keep the model by Sequential::save";
            return Err(Error::Unsupported {
                what: "Lstm::stateful",
                with: "a file of Keras",
                help,
            });
        }
        let mut config = self.common(&["input_dropout"], &["dropout"]);
        let mut add = |key: &str, value: Value| drop(config.insert(key.into(), value));
        add("activation", json!(Self::gate_name(&cell["input"])?));
        add("recurrent_activation", json!(Self::gate_name(&cell["recurrent"])?));
        add("recurrent_dropout", cell["recurrent_dropout"].clone());
        for (ours, theirs) in [("kernel", "kernel"), ("recurrent", "recurrent")] {
            let (penalty, limit) = self.constraints(ours);
            add(&format!("{theirs}_regularizer"), penalty);
            add(&format!("{theirs}_constraint"), limit);
        }
        add("bias_regularizer", self.constraints("bias_constraints").0);
        add("activity_regularizer", self.activity());
        self.recurrent("LSTM", config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{Conv1d, Padding, Pool1d};

    #[test]
    fn padding_that_has_a_name_in_keras_is_written_by_it() {
        let padding =
            |layer: &dyn Layer| describe(layer, false).map(|all| all[0].config["padding"].clone());
        let conv =
            |before, after| Conv1d::new(2, 3).dilation(2).padding(Padding::Explicit(before, after));
        assert_eq!(padding(&conv(0, 0)).unwrap(), "valid");
        assert_eq!(padding(&conv(4, 0)).unwrap(), "causal");
        for other in [conv(2, 2), conv(3, 0), conv(0, 4)] {
            assert!(matches!(padding(&other), Err(Error::Unsupported { .. })));
        }
        assert_eq!(padding(&Pool1d::max(3).padding(Padding::Explicit(0, 0))).unwrap(), "valid");
        let causal = Pool1d::max(3).padding(Padding::Explicit(2, 0));
        assert!(matches!(padding(&causal), Err(Error::Unsupported { .. })));
    }
}
