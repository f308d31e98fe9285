//! A node as the operators see it when the graph is loaded: attributes, and the inputs that are constant.

use super::plan::Args;
use super::proto::{Attribute, NodeProto};
use super::tensor::{Folder, TensorProto};
use super::value::{Element, Value};
use crate::io::Source;
use crate::ops::lstm::Weights;
use crate::{Device, Error, Result};
use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;

/// A node that is being loaded. An attribute that no operator asked for is an error: see [`Node::check_used`].
pub(super) struct Node<'a> {
    pub(super) proto: &'a NodeProto,
    /// The version of the domain's operators.
    pub(super) version: i64,
    pub(super) label: &'a str,
    pub(super) source: &'a Source,
    pub(super) folder: Folder<'a>,
    pub(super) device: &'a Device,
    /// The inputs that are constant.
    pub(super) constants: &'a [Option<Value>],
    pub(super) used: RefCell<Vec<&'a str>>,
    /// Those of an LSTM, if they are constant.
    pub(super) weights: RefCell<Option<Arc<Vec<Weights>>>>,
    /// The inputs that are not read when it runs, since what runs has them in another form.
    pub(super) taken: RefCell<Vec<usize>>,
}

/// Integers that are an attribute in some versions and an input in others.
pub(super) struct List {
    fixed: Option<Vec<i64>>,
    input: Option<usize>,
}

impl List {
    pub(super) fn fixed(values: Option<Vec<i64>>) -> Self {
        Self { fixed: values, input: None }
    }

    pub(super) fn input(at: usize) -> Self {
        Self { fixed: None, input: Some(at) }
    }

    /// The integers, if they are given.
    pub(super) fn get<'a>(&'a self, args: &Args<'a>) -> Result<Option<Cow<'a, [i64]>>> {
        match self.input {
            Some(at) => args.opt(at).map(|_| args.list(at)).transpose(),
            None => Ok(self.fixed.as_deref().map(Cow::Borrowed)),
        }
    }
}

impl<'a> Node<'a> {
    /// An error in the file.
    pub(super) fn bad(&self, expected: impl Into<String>, found: impl Into<String>) -> Error {
        self.source.bad(self.label, expected, found)
    }

    fn attribute(&self, name: &str) -> Option<&'a Attribute> {
        let (name, value) = self.proto.attributes.iter().find(|(other, _)| other == name)?;
        self.used.borrow_mut().push(name);
        Some(value)
    }

    fn wrong(&self, name: &str, expected: &str) -> Error {
        self.bad(format!("{expected} as its attribute {name:?}"), "one of another type")
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.attribute(name).is_some()
    }

    pub(super) fn int(&self, name: &str, default: i64) -> Result<i64> {
        match self.attribute(name) {
            None => Ok(default),
            Some(Attribute::Int(value)) => Ok(*value),
            Some(_) => Err(self.wrong(name, "an integer")),
        }
    }

    pub(super) fn flag(&self, name: &str, default: bool) -> Result<bool> {
        Ok(self.int(name, default.into())? != 0)
    }

    pub(super) fn float(&self, name: &str, default: f32) -> Result<f32> {
        match self.attribute(name) {
            None => Ok(default),
            Some(Attribute::Float(value)) => Ok(*value),
            Some(_) => Err(self.wrong(name, "a float")),
        }
    }

    pub(super) fn text(&self, name: &str, default: &'static str) -> Result<&'a str> {
        match self.attribute(name) {
            None => Ok(default),
            Some(Attribute::Text(text)) => Ok(text),
            Some(_) => Err(self.wrong(name, "a text")),
        }
    }

    pub(super) fn texts(&self, name: &str) -> Result<Option<&'a [String]>> {
        match self.attribute(name) {
            None => Ok(None),
            Some(Attribute::Texts(texts)) => Ok(Some(texts)),
            Some(_) => Err(self.wrong(name, "texts")),
        }
    }

    pub(super) fn ints(&self, name: &str) -> Result<Option<&'a [i64]>> {
        match self.attribute(name) {
            None => Ok(None),
            Some(Attribute::Ints(values)) => Ok(Some(values)),
            Some(_) => Err(self.wrong(name, "integers")),
        }
    }

    pub(super) fn floats(&self, name: &str) -> Result<Option<&'a [f32]>> {
        match self.attribute(name) {
            None => Ok(None),
            Some(Attribute::Floats(values)) => Ok(Some(values)),
            Some(_) => Err(self.wrong(name, "floats")),
        }
    }

    pub(super) fn tensor(&self, name: &str) -> Result<Option<Value>> {
        let read = |tensor: &TensorProto| tensor.value(self.source, self.folder, self.device);
        match self.attribute(name) {
            None => Ok(None),
            Some(Attribute::Tensor(tensor)) => read(tensor).map(Some),
            Some(_) => Err(self.wrong(name, "a tensor")),
        }
    }

    /// The type of an attribute such as `to`.
    pub(super) fn element(&self, name: &str, default: i64) -> Result<Element> {
        let number = self.int(name, default)?;
        Element::from_onnx(number).filter(|&kind| kind != Element::Text).ok_or_else(|| {
            self.bad(format!("numbers of 64 bits and fewer as {name}"), format!("type {number}"))
        })
    }

    /// Attributes that change nothing here.
    pub(super) fn ignore(&self, names: &[&str]) {
        names.iter().for_each(|name| _ = self.attribute(name));
    }

    /// Integers that are the attribute `name` before version `since`, and the input `at` from it on.
    pub(super) fn list(&self, name: &str, since: i64, at: usize) -> Result<List> {
        match self.version < since {
            true => Ok(List::fixed(self.ints(name)?.map(<[_]>::to_vec))),
            false => Ok(List::input(at)),
        }
    }

    /// Whether an input is there.
    pub(super) fn has_input(&self, at: usize) -> bool {
        self.proto.inputs.get(at).is_some_and(|name| !name.is_empty())
    }

    /// The number of outputs that are there, those in between included.
    pub(super) fn outputs(&self) -> usize {
        self.proto.outputs.len()
    }

    /// Whether an output is asked for.
    pub(super) fn has_output(&self, at: usize) -> bool {
        self.proto.outputs.get(at).is_some_and(|name| !name.is_empty())
    }

    pub(super) fn constant(&self, at: usize) -> Option<&'a Value> {
        self.constants.get(at).and_then(Option::as_ref)
    }

    /// That every attribute was asked for: one that was not would change what the node computes.
    pub(super) fn check_used(&self) -> Result<()> {
        let used = self.used.borrow();
        let ignored = |name: &str| name.starts_with("onnx_") || name == "doc_string";
        match self
            .proto
            .attributes
            .iter()
            .find(|(name, _)| !used.contains(&name.as_str()) && !ignored(name))
        {
            None => Ok(()),
            Some((name, _)) => Err(self.bad(
                format!("without an attribute {name:?} in opset {}", self.version),
                "with it",
            )),
        }
    }
}
