//! What a pickle holds.

use super::names::Name;
use crate::io::pytorch::dtype::DType;
use std::sync::Arc;

/// A value. What holds others has a number in [`Pickle::nodes`], since they may hold each other.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// `None`, a number with a fraction, a set, bytes: whatever holds no tensor and names none.
    Opaque,
    /// The number that files before PyTorch 1.6 begin with.
    Magic,
    Bool(bool),
    Int(i64),
    Text(Arc<str>),
    Name(Name),
    Tuple(u32),
    List(u32),
    /// Keys and values in turn.
    Dictionary(u32),
    /// Its state, once that is known.
    Object(u32),
    Storage(u32),
    Tensor(u32),
}

/// A part of a file that has numbers, as a pickle names it.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::io::pytorch) struct Storage {
    pub(in crate::io::pytorch) key: Arc<str>,
    pub(in crate::io::pytorch) dtype: DType,
    /// Where it begins in that of this key, in numbers.
    pub(in crate::io::pytorch) first: u64,
}

/// How the numbers of a tensor lie in its storage.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::io::pytorch) struct View {
    pub(in crate::io::pytorch) dtype: DType,
    /// In numbers.
    pub(in crate::io::pytorch) offset: u64,
    pub(in crate::io::pytorch) shape: Vec<usize>,
    /// The numbers from one to the next of an axis.
    pub(in crate::io::pytorch) strides: Vec<usize>,
}

/// A tensor of a pickle: its storage and view, or why it cannot be read.
pub(in crate::io::pytorch) type Made = Result<(usize, View), &'static str>;

/// What was read.
#[derive(Debug)]
pub(in crate::io::pytorch) struct Pickle {
    pub(super) root: Value,
    pub(super) nodes: Vec<Vec<Value>>,
    pub(in crate::io::pytorch) storages: Vec<Storage>,
    pub(in crate::io::pytorch) tensors: Vec<Made>,
}

impl Pickle {
    /// Whether it is the number that files before PyTorch 1.6 begin with.
    pub(in crate::io::pytorch) fn is_magic(&self) -> bool {
        matches!(self.root, Value::Magic)
    }

    /// The whole number that it is.
    pub(in crate::io::pytorch) fn int(&self) -> Option<i64> {
        match self.root {
            Value::Int(number) => Some(number),
            _ => None,
        }
    }

    /// The texts of the list that it is.
    pub(in crate::io::pytorch) fn texts(&self) -> Option<Vec<Arc<str>>> {
        let Value::List(node) = self.root else { return None };
        let text = |value: &Value| match value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        };
        self.nodes[node as usize].iter().map(text).collect()
    }

    /// What the dictionary that it is says of a key, if that is true or false.
    pub(in crate::io::pytorch) fn flag(&self, key: &str) -> Option<bool> {
        let Value::Dictionary(node) = self.root else { return None };
        self.nodes[node as usize].as_chunks().0.iter().find_map(|pair| match pair {
            [Value::Text(name), Value::Bool(value)] if **name == *key => Some(*value),
            _ => None,
        })
    }
}
