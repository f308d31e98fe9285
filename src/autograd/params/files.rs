//! All values of parameters in files and on the host.

use super::store::{Spec, on_host};
use super::{Layout, ParamId, Params, SCALE};
use crate::file::{Entry, RESERVED, Reader, Sink, Values};
use crate::tensor::room_for;
use crate::{Error, Result};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::rc::Rc;

impl Params {
    /// Writes all parameters to a file in the format safetensors: 32-bit floats by PyTorch's names, in its
    /// layout. [`Params::load`] reads it, and so do `safetensors.torch.load_file` and others. An existing file
    /// is replaced when the new one is whole: after an error or a crash it is as before. Waits for the device;
    /// native only.
    ///
    /// ```
    /// use wgpu_lstm::{Device, nn::{Dense, Params}};
    /// let device = Device::auto()?;
    /// let path = std::env::temp_dir().join(format!("dense-{}.safetensors", std::process::id()));
    /// let (one, other) = (Params::seeded(&device, 1), Params::seeded(&device, 2));
    /// for params in [&one, &other] {
    ///     let _ = Dense::new(3).build(params, 5)?;
    /// }
    /// one.save(&path)?;
    /// other.load(&path)?;
    /// assert_eq!(one.get("dense.weight")?, other.get("dense.weight")?);
    /// # std::fs::remove_file(path).unwrap();
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NotBuilt`] without parameters; [`Error::Io`]; [`Error::Option`] for a name that begins with
    /// two underscores, which are kept for what is no parameter; and those of [`crate::Tensor::to_vec`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        crate::file::write(path.as_ref(), &BTreeMap::new(), self.entries()?)
    }

    /// Sets all parameters to the values of a file in the format safetensors, from [`Params::save`],
    /// [`crate::Sequential::save`] or another program: by PyTorch's names, in its layout, as F32, F16 or BF16; or
    /// weights as I8, with a tensor `.scale` of each row's scale, which are for inference alone
    /// ([`crate::Sequential::quantize`]). Native only.
    ///
    /// A file has all parameters and no others. To take over from another model those that fit, such as all but
    /// the head of a language model that becomes a classifier, set them one by one:
    ///
    /// ```
    /// use wgpu_lstm::nn::{Dense, Embedding, Lstm};
    /// use wgpu_lstm::{Device, Sequential};
    /// let device = Device::auto()?;
    /// // The language model: often of `Sequential::load`.
    /// let mut old = Sequential::new(&device)
    ///     .add(Embedding::new(50, 8))
    ///     .add(Lstm::new(16).return_sequences())
    ///     .add(Dense::new(50));
    /// old.build(1)?;
    /// let mut new = Sequential::new(&device)
    ///     .add(Embedding::new(50, 8))
    ///     .add(Lstm::new(16))
    ///     .add(Dense::new(3));
    /// new.build(1)?;
    /// for name in old.params().names() {
    ///     // `dense.weight` is `[50,16]` there and `[3,16]` here: the head keeps its own values.
    ///     if new.params().shape(&name).ok() == Some(old.params().shape(&name)?) {
    ///         new.params().set(&name, &old.params().get(&name)?)?;
    ///     }
    /// }
    /// let of = |model: &Sequential, name| model.params().get(name);
    /// assert_eq!(of(&new, "embedding.weight")?, of(&old, "embedding.weight")?);
    /// assert_eq!(of(&new, "lstm.weight_hh_l0")?, of(&old, "lstm.weight_hh_l0")?);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::File`], which names the tensor, if one is missing, has another shape or another
    /// type of number, or is of no parameter, and if it is no such file; [`Error::NotBuilt`] without
    /// parameters; [`Error::OutOfMemory`]; [`Error::DeviceLost`]. After any but the last, all values are as
    /// before.
    pub fn load(&self, path: impl AsRef<Path>) -> Result<()> {
        self.load_from(&mut Reader::open(path.as_ref())?)
    }

    /// All parameters, to be written.
    pub(crate) fn entries(&self) -> Result<Vec<Entry<'static>>> {
        let mut inner = self.lock();
        let arena = inner.arena()?;
        let device = inner.device.clone();
        // One for all that is put in order: new memory takes longer than the order.
        let shared = Rc::new(RefCell::new(Vec::new()));
        let mut entries = Vec::new();
        for spec in &mut inner.specs {
            if spec.name.starts_with(RESERVED) {
                let (option, expected) =
                    ("Params::name", "one without __ at its start, to save it");
                let found = spec.name.clone();
                return Err(Error::Option { option, found, expected: expected.into() });
            }
            if let Some(value) = &spec.quantized {
                let (name, shape) = (spec.name.clone(), spec.shape.clone());
                let (scale, scales) = (format!("{name}{SCALE}"), value.scale().to_vec());
                let values = Values::I8(value.values().clone());
                entries.push(Entry { name, shape, values });
                let (shape, values) =
                    (vec![scales.len()], move |sink: &mut Sink<'_>| sink(&scales));
                entries.push(Entry { name: scale, shape, values: Values::F32(Box::new(values)) });
                continue;
            }
            let value = match &mut spec.table {
                Some(table) => table.value(&device)?,
                None => arena.value.view(spec.offset, [spec.len]),
            };
            let (name, shape) = (spec.name.clone(), spec.shape.clone());
            let (layout, len, room) = (spec.layout, spec.outside_len(), shared.clone());
            let values = move |sink: &mut crate::file::Sink<'_>| {
                if layout == Layout::Plain {
                    return on_host(&value, sink)?;
                }
                let mut room = room.borrow_mut();
                if room.len() < len {
                    *room = room_for("the values of a parameter", len)?;
                    room.resize(len, 0.0);
                }
                let device = value.device();
                on_host(&value, |memory| {
                    device.on_host(|| layout.to_outside(memory, &mut room[..len]));
                })?;
                sink(&room[..len])
            };
            entries.push(Entry { name, shape, values: Values::F32(Box::new(values)) });
        }
        Ok(entries)
    }

    /// Sets all parameters to a file's values.
    pub(crate) fn load_from(&self, file: &mut Reader) -> Result<()> {
        let mut shapes: BTreeMap<String, Vec<usize>> =
            self.lock().specs.iter().map(|s| (s.name.clone(), s.shape.clone())).collect();
        if shapes.is_empty() {
            return Err(Error::NotBuilt { what: "the model", call: "a layer's build" });
        }
        let of_bytes = |name: &str| name.strip_suffix(SCALE).is_some_and(|n| file.has_bytes(n));
        let expected = |n: &str| shapes.contains_key(n) || of_bytes(n);
        let surplus = file.names().find(|n| !n.starts_with(RESERVED) && !expected(n));
        if let Some(name) = surplus {
            let names: Vec<_> = shapes.keys().map(String::as_str).collect();
            let expected = format!("no more than the parameters {}", names.join(", "));
            return Err(file.bad(format!("tensor {name}"), expected, "of no parameter"));
        }
        for (name, shape) in shapes.iter().filter(|(name, _)| !file.has_bytes(name)) {
            file.check(name, shape)?;
            if self.has_quantized(name) {
                let expected = "of I8, as the model's weights are";
                return Err(file.bad(format!("tensor {name}"), expected, "of floats"));
            }
        }
        self.load_quantized(file, &mut shapes)?;
        // All that can fail comes before the first change.
        let mut values = BTreeMap::new();
        for name in shapes.into_keys() {
            let read = file.values(&name)?;
            values.insert(name, read);
        }
        let mut inner = self.lock();
        let arena = inner.arena()?;
        let device = inner.device.clone();
        (inner.version, inner.half) = (inner.version + 1, None);
        device.on_host(|| {
            inner.specs.iter_mut().try_for_each(|spec| {
                match (values.remove(&spec.name), &mut spec.table) {
                    (None, _) => Ok(()),
                    (Some(values), Some(table)) => table.value(&device)?.overwrite(&values),
                    (Some(values), None) => spec.put(&arena.value, &values),
                }
            })
        })
    }

    /// The names of the parameters that were inserted as these.
    pub(crate) fn names_of(&self, range: Range<usize>) -> Vec<String> {
        let inner = self.lock();
        inner.specs.get(range).unwrap_or_default().iter().map(|s| s.name.clone()).collect()
    }

    /// The names of all parameters with the same prefix as this one; none if it is of other `Params`.
    pub(crate) fn names_beside(&self, id: ParamId) -> Vec<String> {
        fn prefix(spec: &Spec) -> Option<&str> {
            spec.name.split('.').next()
        }
        let inner = self.lock();
        let Some(one) = inner.spec(id).map(prefix) else { return Vec::new() };
        let beside = inner.specs.iter().filter(|spec| prefix(spec) == one);
        beside.map(|spec| spec.name.clone()).collect()
    }

    /// The number of values of a parameter, by its name; 0 if there is none.
    pub(crate) fn len_of(&self, name: &str) -> usize {
        let inner = self.lock();
        inner.specs.iter().find(|s| s.name == name).map_or(0, Spec::outside_len)
    }

    /// Renames all parameters, in the order in which they were inserted.
    pub(crate) fn rename(&self, names: Vec<String>) {
        let mut inner = self.lock();
        inner.specs.iter_mut().zip(names).for_each(|(spec, name)| spec.name = name);
    }
}
