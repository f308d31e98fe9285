//! The options of a layer, as Keras writes them.

use super::config::{LARGEST_SIZE, own, size};
use super::node::Node;
use crate::io::Source;
use crate::{Error, Result};
use serde_json::{Map, Value};

/// The options of a layer, which are taken one by one: what is left at the end was not understood.
pub(super) struct Options<'a> {
    source: &'a Source,
    name: String,
    class: String,
    from: usize,
    left: Map<String, Value>,
}

/// What says nothing of a layer whose weights are read: how they were drawn, and how Keras computes.
const NO_MATTER: [&str; 17] = [
    "name",
    "batch_input_shape",
    "batch_shape",
    "input_shape",
    "input_dtype",
    "input_length",
    "input_dim",
    "seed",
    "implementation",
    "unroll",
    "use_cudnn",
    "unit_forget_bias",
    "autocast",
    "fused",
    "momentum",
    "renorm_momentum",
    "synchronized",
];

impl<'a> Options<'a> {
    pub(super) fn new(source: &'a Source, node: &Node) -> Result<Self> {
        let (name, class) = (node.name.clone(), node.class.clone());
        let mut options = Self { source, name, class, from: node.from, left: node.config.clone() };
        let policy = options.left.remove("dtype");
        let policy =
            policy.as_ref().and_then(|dtype| dtype.get("class_name")).and_then(Value::as_str);
        if let Some(policy) = policy.filter(|policy| policy.contains("Quantized")) {
            return Err(options.refuse("dtype", "a type of floats", policy));
        }
        Ok(options)
    }

    /// The options of a layer that another one wraps, under a key.
    pub(super) fn inner(&mut self, key: &str) -> Result<Node> {
        let bad = |options: &Self| options.refuse(key, "a layer", "none");
        let Some(Value::Object(mut layer)) = self.left.remove(key) else { return Err(bad(self)) };
        let class = layer.get("class_name").and_then(Value::as_str).map(str::to_owned);
        if own(&layer) {
            return Err(self.refuse(key, "a layer of Keras", "one of the program that wrote it"));
        }
        let (Some(class), Some(Value::Object(config))) = (class, layer.remove("config")) else {
            return Err(bad(self));
        };
        Ok(Node { name: self.name.clone(), class, config, ..Node::default() })
    }

    /// What the layer takes first.
    pub(super) fn from(&self) -> usize {
        self.from
    }

    pub(super) fn class(&self) -> &str {
        &self.class
    }

    /// That an option is not one that can be had here.
    pub(super) fn refuse(
        &self,
        option: &str,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Error {
        let Self { source, name, class, .. } = self;
        source.bad(format!("{option} of the layer {name:?} ({class})"), expected, found)
    }

    /// Passes over all that is left.
    pub(super) fn shell(&mut self) {
        self.left.clear();
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.left.contains_key(key)
    }

    /// An option that is not null.
    pub(super) fn value(&mut self, key: &str) -> Option<Value> {
        self.left.remove(key).filter(|value| !value.is_null())
    }

    /// An option that is not null, of a class of Keras if it is an object.
    pub(super) fn of_keras(&mut self, key: &str) -> Result<Option<Value>> {
        match self.value(key) {
            Some(Value::Object(object)) if own(&object) => {
                let found = Value::Object(object).to_string();
                Err(self.refuse(key, "one of Keras, none of the program that wrote it", found))
            }
            value => Ok(value),
        }
    }

    pub(super) fn flag(&mut self, key: &str, default: bool) -> Result<bool> {
        match self.value(key) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(other) => Err(self.refuse(key, "true or false", other.to_string())),
        }
    }

    pub(super) fn text(&mut self, key: &str) -> Result<Option<String>> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.refuse(key, "a text", other.to_string())),
        }
    }

    pub(super) fn number(&mut self, key: &str, default: f32) -> Result<f32> {
        match self.value(key) {
            None => Ok(default),
            Some(value) => match value.as_f64() {
                Some(number) => Ok(number as f32),
                None => Err(self.refuse(key, "a number", value.to_string())),
            },
        }
    }

    /// A size, which may be the one element of a list.
    pub(super) fn size(&mut self, key: &str) -> Result<Option<usize>> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let one = match value.as_array().map(Vec::as_slice) {
            Some([one]) => one,
            _ => &value,
        };
        match size(one) {
            Some(size) => Ok(Some(size)),
            None => {
                Err(self.refuse(key, format!("a size below {LARGEST_SIZE}"), value.to_string()))
            }
        }
    }

    pub(super) fn needed(&mut self, key: &str) -> Result<usize> {
        self.size(key)?.ok_or_else(|| self.refuse(key, "a size", "missing"))
    }

    /// Checks that an axis is the last one of `rank`.
    pub(super) fn last_axis(&mut self, rank: usize) -> Result<()> {
        let Some(value) = self.value("axis") else { return Ok(()) };
        let one = match value.as_array().map(Vec::as_slice) {
            Some([one]) => one,
            _ => &value,
        };
        match one.as_i64() {
            Some(axis) if axis == -1 || axis + 1 == rank as i64 => Ok(()),
            _ => Err(self.refuse("axis", "the last", value.to_string())),
        }
    }

    /// Checks that features are the last axis.
    pub(super) fn channels_last(&mut self) -> Result<()> {
        match self.text("data_format")? {
            Some(format) if format != "channels_last" => {
                Err(self.refuse("data_format", "channels_last", format))
            }
            _ => Ok(()),
        }
    }

    /// Checks that nothing is left that would change what the layer does.
    pub(super) fn end(self) -> Result<()> {
        let left = self.left.iter().find(|(key, value)| {
            let off = matches!(value, Value::Null | Value::Bool(false));
            !off && !NO_MATTER.contains(&&key[..]) && !key.ends_with("_initializer")
        });
        match left {
            None => Ok(()),
            Some((key, value)) => {
                let found = value.to_string().chars().take(200).collect::<String>();
                Err(self.refuse(key, "absent: it cannot be had here", found))
            }
        }
    }
}
