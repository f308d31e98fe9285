//! What becomes of the calls in a pickle: tensors and dictionaries, by name.

use super::machine::Machine;
use super::names::Name;
use super::value::{Made, Storage, Value, View};
use crate::Result;

impl Machine<'_> {
    /// REDUCE, NEWOBJ, NEWOBJ_EX, BUILD and BINPERSID.
    pub(super) fn call(&mut self, code: u8) -> Result<()> {
        match code {
            b'Q' => {
                let id = self.pop()?;
                let storage = self.storage(&id)?;
                self.push(Value::Storage(storage))
            }
            b'b' => {
                let state = self.pop()?;
                let object = self.pop()?;
                if let Value::Object(node) = object {
                    self.keep(1)?;
                    self.pickle.nodes[node as usize].push(state);
                }
                self.push(object)
            }
            _ => {
                if code == 0x92 {
                    self.pop()?;
                }
                let args = self.pop()?;
                let args = self.items(&args)?;
                let Value::Name(name) = self.pop()? else {
                    return Err(self.bad("the name of a function", "another value"));
                };
                let made = self.made(name, args)?;
                self.push(made)
            }
        }
    }

    /// The values of a tuple or list: few where this is called.
    fn items(&self, value: &Value) -> Result<Vec<Value>> {
        match value {
            Value::Tuple(node) | Value::List(node) => {
                let items = &self.pickle.nodes[*node as usize];
                // More are in no call; a pickle might name the same ones again and again.
                Ok(items[..items.len().min(16)].to_vec())
            }
            // Of an object of a class that is passed over.
            Value::Opaque => Ok(Vec::new()),
            _ => Err(self.bad("arguments", "another value")),
        }
    }

    /// What a call makes.
    fn made(&mut self, name: Name, args: Vec<Value>) -> Result<Value> {
        match name {
            Name::Tensor | Name::TypedTensor => {
                let made = self.tensor(name, &args)?;
                self.add(made)
            }
            Name::Unusable(what) => self.add(Err(what)),
            Name::First => {
                let first = args.into_iter().next();
                first.ok_or_else(|| self.bad("an argument", "none"))
            }
            Name::Other => match &args[..] {
                [Value::Name(inner), _, inner_args, ..] if *inner != Name::Other => {
                    let inner_args = self.items(inner_args)?;
                    self.made(*inner, inner_args)
                }
                _ => Err(self.bad("a tensor's function and arguments", "others")),
            },
            Name::Dictionary => {
                let pairs = match args.first() {
                    Some(Value::List(node)) => self.pairs(*node)?,
                    _ => Vec::new(),
                };
                Ok(Value::Dictionary(self.node(pairs)?))
            }
            Name::Object => Ok(Value::Object(self.node(Vec::new())?)),
            Name::Type(_) | Name::Storage(_) | Name::Opaque => Ok(Value::Opaque),
        }
    }

    /// The keys and values of a list of pairs, of which Python 2 made an `OrderedDict`.
    fn pairs(&self, list: u32) -> Result<Vec<Value>> {
        let mut pairs = Vec::new();
        for pair in &self.pickle.nodes[list as usize] {
            match &self.items(pair)?[..] {
                [key, value] => pairs.extend([key.clone(), value.clone()]),
                _ => return Err(self.bad("pairs of a key and a value", "another list")),
            }
        }
        Ok(pairs)
    }

    fn add(&mut self, made: Made) -> Result<Value> {
        self.keep(4)?;
        self.pickle.tensors.push(made);
        Ok(Value::Tensor((self.pickle.tensors.len() - 1) as u32))
    }

    /// `(storage, offset, shape, strides, ..)`; with a type of its own at the seventh place, and what says that
    /// its values are to be negated or conjugated there or behind it.
    fn tensor(&self, name: Name, args: &[Value]) -> Result<Made> {
        let [Value::Storage(storage), Value::Int(offset), shape, strides, rest @ ..] = args else {
            return Err(self.bad("a storage, an offset, a shape and strides", "other arguments"));
        };
        let storage = *storage as usize;
        let mut dtype = self.pickle.storages[storage].dtype;
        let mut metadata = rest.get(2);
        if name == Name::TypedTensor {
            let Some(Value::Name(Name::Type(own))) = rest.get(2) else {
                return Ok(Err("of a type of numbers that is not known"));
            };
            (dtype, metadata) = (*own, rest.get(3));
        }
        if let Some(Value::Dictionary(node)) = metadata
            && !self.pickle.nodes[*node as usize].is_empty()
        {
            return Ok(Err("a view whose values are to be negated or conjugated"));
        }
        let (shape, strides) = (self.sizes(shape)?, self.sizes(strides)?);
        let offset = u64::try_from(*offset).ok().filter(|_| shape.len() == strides.len());
        let Some(offset) = offset else {
            return Err(self.bad("an offset from 0, and a stride for each axis", "others"));
        };
        Ok(Ok((storage, View { dtype, offset, shape, strides })))
    }

    /// The sizes of a few axes.
    fn sizes(&self, value: &Value) -> Result<Vec<usize>> {
        let size = |value: &Value| match value {
            Value::Int(size) => usize::try_from(*size).ok(),
            _ => None,
        };
        let (Value::Tuple(node) | Value::List(node)) = value else {
            return Err(self.bad("sizes of axes", "another value"));
        };
        let items = Some(&self.pickle.nodes[*node as usize]).filter(|items| items.len() <= AXES);
        let sizes = items.and_then(|items| items.iter().map(size).collect());
        sizes.ok_or_else(|| self.bad("whole numbers for at most 16 axes", "others"))
    }

    /// The storage that `("storage", type, key, device, count)` names, with the part that a sixth may give.
    fn storage(&mut self, id: &Value) -> Result<u32> {
        let items = self.items(id)?;
        let [
            Value::Text(kind),
            Value::Name(Name::Storage(dtype)),
            Value::Text(key),
            _,
            _,
            view @ ..,
        ] = &items[..]
        else {
            return Err(self.bad("a storage of a known type", "another object outside the pickle"));
        };
        if **kind != *"storage" {
            return Err(self.bad("a storage", format!("{kind:?}")));
        }
        let first = match view.first() {
            Some(view @ Value::Tuple(_)) => match self.items(view)?.get(1) {
                Some(Value::Int(first)) => u64::try_from(*first).ok(),
                _ => None,
            },
            _ => Some(0),
        };
        let first = first.ok_or_else(|| self.bad("a storage's part", "other values"))?;
        let (key, dtype) = (key.clone(), *dtype);
        if let Some(&known) = self.storages.get(&(key.clone(), dtype.name, first)) {
            return Ok(known);
        }
        self.keep(6)?;
        let number = self.pickle.storages.len() as u32;
        self.storages.insert((key.clone(), dtype.name, first), number);
        self.pickle.storages.push(Storage { key, dtype, first });
        Ok(number)
    }
}

/// The most axes of a tensor.
const AXES: usize = 16;
