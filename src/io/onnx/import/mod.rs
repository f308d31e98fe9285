//! Graphs of ONNX, loaded and run.
//!
//! A file becomes a plan when it is loaded: names become numbers, constants are computed, and what no output needs
//! is left out. Floats are on the device, where the ops of this crate compute with them; integers, among them all
//! shapes, are on the host.

mod chain;
mod compile;
mod fold;
mod frame;
mod node;
mod ops;
mod plan;
mod proto;
mod tensor;
mod trace;
mod value;
mod wire;

pub use value::{Element, Ints, Value};

use crate::device::lock;
use crate::io::Source;
use crate::{Device, Error, Result};
use compile::Compiler;
use plan::Plan;
use proto::{ModelProto, ValueInfo};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tensor::{Beside, Folder};
use wire::Wire;

/// The shapes of inputs for which a plan of their own is kept.
const KEPT: usize = 8;

/// A model of ONNX, ready to run on a device.
///
/// It takes the operators that exporters write around LSTMs, with any batch and any number of timesteps where the
/// file leaves them open. Floats of 16 and of 64 bits are computed as 32-bit ones, and come out as such. Control
/// flow (`If`, `Loop`, `Scan`) runs on the host.
///
/// Opsets 1 to 28 of ONNX and 1 of `com.microsoft` are read; a newer one is an error, since it may have given an
/// operator another meaning. Where `sequence_lens` gives a row of an `LSTM`, `RNN` or `GRU` no step, its `Y_h` and
/// `Y_c` are its first states, as the recurrence has them; ONNX Runtime gives zeros there.
///
/// ```no_run
/// use wgpu_lstm::io::onnx::{Model, Value};
/// use wgpu_lstm::Device;
/// let device = Device::auto()?;
/// let model = Model::load("tagger.onnx", &device)?;
/// let tokens = Value::i64(&[7, 3, 9], [1, 3])?;
/// for (name, value) in model.run(&[("tokens", tokens)])? {
///     println!("{name} {:?}: {:?}", value.shape(), value.to_f32()?);
/// }
/// # Ok::<(), wgpu_lstm::Error>(())
/// ```
pub struct Model {
    name: String,
    producer: String,
    opsets: BTreeMap<String, i64>,
    inputs: Vec<TensorInfo>,
    defaults: Vec<TensorInfo>,
    outputs: Vec<TensorInfo>,
    device: Device,
    plan: Plan,
    folded: usize,
    /// Plans for inputs of the shapes that came last.
    traced: Mutex<Vec<Traced>>,
}

struct Traced {
    shapes: Vec<Vec<usize>>,
    plan: Arc<Plan>,
}

/// An input or output of a [`Model`], as its file describes it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TensorInfo {
    /// Its name.
    pub name: String,
    /// The type of its numbers in the file, if it says so.
    pub element: Option<Element>,
    /// The axes, if the file tells them.
    pub shape: Option<Vec<Axis>>,
}

/// The size of an axis of an input or output.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Axis {
    /// Always this one.
    Size(usize),
    /// Any; the same for all axes of this name.
    Named(String),
    /// Any.
    Open,
}

impl TensorInfo {
    fn of(info: &ValueInfo) -> Self {
        let axis = |(size, name): &(Option<i64>, String)| match size.map(usize::try_from) {
            Some(Ok(size)) => Axis::Size(size),
            _ if name.is_empty() => Axis::Open,
            _ => Axis::Named(name.clone()),
        };
        let shape = info.shape.as_ref().map(|dims| dims.iter().map(axis).collect());
        Self { name: info.name.clone(), element: Element::from_onnx(info.element), shape }
    }

    /// As `x f32 [batch, 16]`.
    fn text(&self) -> String {
        let axis = |axis: &Axis| match axis {
            Axis::Size(size) => size.to_string(),
            Axis::Named(name) => plain(name),
            Axis::Open => "?".into(),
        };
        let kind = self.element.map_or("?".into(), |element| element.to_string());
        let shape = self.shape.as_ref().map_or("of any shape".into(), |axes| {
            format!("[{}]", axes.iter().map(axis).collect::<Vec<_>>().join(", "))
        });
        format!("{} {kind} {shape}", plain(&self.name))
    }
}

impl Model {
    /// Loads a model from a file, and its weights onto a device. Weights in files beside it are read from there:
    /// in the model's folder or one within it, by the path as it is given, not by what it links to. A file there may
    /// itself be a link, as in the cache of Hugging Face.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::File`] for a file that is damaged or no ONNX model, and for an operator, an
    /// attribute or a type of numbers that is not there, by node, operator and opset; [`Error::OutOfMemory`],
    /// [`Error::TooLarge`], [`Error::DeviceLost`].
    pub fn load(path: impl AsRef<Path>, device: &Device) -> Result<Self> {
        let path = path.as_ref();
        Self::read(Source::open(path)?, Some(&Beside::of(path)), &[], device)
    }

    /// As [`Model::load`], with some of the [`Model::defaults`] as inputs that [`Model::run`] then needs, such as
    /// first states: what the file has for them is not read.
    ///
    /// ```
    /// use wgpu_lstm::io::onnx::{Model, Value};
    /// use wgpu_lstm::Device;
    /// # let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/io/onnx/inputs/default.onnx");
    /// let device = Device::auto()?;
    /// let x = || Value::f32(&[1.0, 2.0], [1, 2], &device);
    /// let model = Model::load(&path, &device)?; // x + offset, where the offset is [1, 2]
    /// assert_eq!(model.run(&[("x", x()?)])?[0].1.to_f32()?, [2.0, 4.0]);
    /// assert_eq!(model.defaults()[0].name, "offset");
    /// let model = Model::load_with(&path, &["offset"], &device)?;
    /// let offset = Value::f32(&[5.0, 7.0], [2], &device)?;
    /// assert_eq!(model.run(&[("x", x()?), ("offset", offset)])?[0].1.to_f32()?, [6.0, 9.0]);
    /// # Ok::<(), wgpu_lstm::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Model::load`]; [`Error::Option`] for a name of none of the defaults. Of operators some need what is
    /// a default, such as an LSTM's weights, as a constant: [`Error::File`] names the node.
    pub fn load_with(path: impl AsRef<Path>, inputs: &[&str], device: &Device) -> Result<Self> {
        let path = path.as_ref();
        Self::read(Source::open(path)?, Some(&Beside::of(path)), inputs, device)
    }

    /// As [`Model::load`], from the bytes of a file, such as those of `include_bytes!`.
    ///
    /// # Errors
    /// As [`Model::load`]; [`Error::File`] if weights are in other files.
    pub fn from_bytes(bytes: impl Into<Arc<[u8]>>, device: &Device) -> Result<Self> {
        Self::read(Source::memory("an ONNX model", bytes), None, &[], device)
    }

    fn read(source: Source, folder: Folder<'_>, given: &[&str], device: &Device) -> Result<Self> {
        let ModelProto { producer, opsets, mut graph, functions } =
            proto::read(Wire::new(source.clone()))?;
        let defaults = defaults(&mut graph, given)?;
        if functions > 0 {
            let expected = "one without functions of its own (export it with them inlined)";
            return Err(source.bad("the model", expected, format!("one with {functions}")));
        }
        check_opsets(&source, &opsets)?;
        let valued: HashSet<&str> = graph.initializers.iter().map(|t| t.name.as_str()).collect();
        let needed = |info: &&ValueInfo| !valued.contains(info.name.as_str());
        let inputs: Vec<_> = graph.inputs.iter().filter(needed).collect();
        let mut all = inputs.iter().copied().chain(&graph.outputs);
        if let Some(info) = all.find(|info| info.is_other) {
            return Err(source.bad(
                format!("value {:?}", info.name),
                "a tensor",
                "a sequence or map",
            ));
        }
        let names: Vec<_> = inputs.iter().map(|info| info.name.as_str()).collect();
        let mut compiler = Compiler::new(&source, folder, device, &opsets);
        let (plan, _) = compiler.plan(&graph, &names)?;
        let folded = compiler.folded;
        let inputs = inputs.into_iter().map(TensorInfo::of).collect();
        let outputs = graph.outputs.iter().map(TensorInfo::of).collect();
        Ok(Self {
            name: source.name().into(),
            producer,
            opsets,
            inputs,
            defaults,
            outputs,
            device: device.clone(),
            plan,
            folded,
            traced: Mutex::default(),
        })
    }

    /// The inputs that the model needs; those that have a value in the file are not among them, but for what
    /// [`Model::load_with`] was given.
    pub fn inputs(&self) -> &[TensorInfo] {
        &self.inputs
    }

    /// The inputs that have a value in the file, which counts unless [`Model::load_with`] was given their name. Of
    /// old files these are all weights.
    pub fn defaults(&self) -> &[TensorInfo] {
        &self.defaults
    }

    /// The outputs, in the order in which [`Model::run`] gives them.
    pub fn outputs(&self) -> &[TensorInfo] {
        &self.outputs
    }

    /// The device that the model runs on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Runs the model on inputs by name, in any order. Gives all outputs with their names.
    ///
    /// # Errors
    /// [`Error::Option`] for an input that is missing, unknown, of another type or of a shape that the file
    /// excludes; [`Error::At`] with the node for what does not fit within the graph; [`Error::TooLarge`],
    /// [`Error::OutOfMemory`], [`Error::DeviceLost`].
    ///
    /// # Cost
    /// What depends on nothing but the shapes of the inputs is computed once for each combination of them, of
    /// which the last eight are remembered.
    pub fn run(&self, inputs: &[(&str, Value)]) -> Result<Vec<(String, Value)>> {
        let mut values = Vec::with_capacity(self.inputs.len());
        let given: HashMap<&str, &Value> = inputs.iter().map(|(name, v)| (*name, v)).collect();
        for info in &self.inputs {
            let missing =
                || wrong(format!("no {:?}", info.name), format!("all of: {}", self.input_names()));
            let given = given.get(info.name.as_str()).ok_or_else(missing)?;
            values.push(self.checked(info, given)?);
        }
        if inputs.len() != self.inputs.len() {
            let known = |name: &str| self.inputs.iter().any(|info| info.name == name);
            let name = inputs
                .iter()
                .map(|(name, _)| *name)
                .find(|&name| !known(name))
                .unwrap_or("one twice");
            return Err(wrong(format!("{name:?}"), format!("each of: {}", self.input_names())));
        }
        let outputs = self.run_traced(values)?;
        Ok(self.outputs.iter().map(|info| info.name.clone()).zip(outputs).collect())
    }

    fn run_traced(&self, values: Vec<Value>) -> Result<Vec<Value>> {
        let is_same = |shapes: &[Vec<usize>]| {
            shapes.iter().zip(&values).all(|(shape, value)| shape == value.shape())
        };
        let found = {
            let traced = lock(&self.traced);
            traced.iter().find(|traced| is_same(&traced.shapes)).map(|traced| traced.plan.clone())
        };
        if let Some(plan) = found {
            return plan.run(values, &self.device);
        }
        let shapes = values.iter().map(|value| value.shape().to_vec()).collect();
        let (outputs, plan) = trace::run(&self.plan, values, &self.device)?;
        let mut traced = lock(&self.traced);
        if traced.len() >= KEPT {
            traced.remove(0);
        }
        traced.push(Traced { shapes, plan: Arc::new(plan) });
        Ok(outputs)
    }

    fn input_names(&self) -> String {
        self.inputs.iter().map(TensorInfo::text).collect::<Vec<_>>().join("; ")
    }

    /// An input as the graph takes it.
    fn checked(&self, info: &TensorInfo, value: &Value) -> Result<Value> {
        let bad = |what: String| wrong(format!("{:?} {what}", info.name), info.text());
        if let Some(axes) = &info.shape {
            let shape = value.shape();
            let fits =
                |(axis, size): (&Axis, &usize)| !matches!(axis, Axis::Size(fixed) if fixed != size);
            if axes.len() != shape.len() || !axes.iter().zip(shape).all(fits) {
                return Err(bad(format!("of {shape:?}")));
            }
        }
        let Some(element) = info.element else { return Ok(value.clone()) };
        match value {
            Value::Floats(tensor) if element.is_float() => {
                if !tensor.device().same(&self.device) {
                    return Err(bad(format!("on {}", tensor.device())));
                }
                Ok(value.clone())
            }
            Value::Ints(ints) if ints.kind == element => Ok(value.clone()),
            Value::Ints(ints) if !element.is_float() && element != Element::Text => {
                if let Some(found) = ints.values().iter().find(|&&v| element.wrap(v) != v) {
                    return Err(bad(format!("with {found}")));
                }
                Ok(Value::Ints(ints.map(element, |v| v)?))
            }
            _ => Err(bad(format!("of {}", value.element()))),
        }
    }

    /// What the file holds, as some lines for people: where it comes from, inputs and outputs, its operators and
    /// how often each comes.
    pub fn describe(&self) -> String {
        let mut text = format!("{}: ONNX", self.name);
        if !self.producer.is_empty() {
            _ = write!(text, ", written by {}", plain(&self.producer));
        }
        for (domain, version) in &self.opsets {
            let domain = if domain.is_empty() { "ai.onnx" } else { domain };
            _ = write!(text, ", {} {version}", plain(domain));
        }
        for (what, infos) in [("input", &self.inputs), ("output", &self.outputs)] {
            for info in infos {
                _ = write!(text, "\n{what} {}", info.text());
                if matches!(info.element, Some(Element::F16 | Element::F64 | Element::Bf16)) {
                    text += ", computed as f32";
                }
            }
        }
        let mut counts = BTreeMap::new();
        self.plan.count(&mut counts);
        let nodes: usize = counts.values().sum();
        _ = write!(text, "\n{nodes} nodes run ({} more are constant):", self.folded);
        for (op, count) in counts {
            let how = match op.as_str() {
                "LSTM" => ", the recurrence of this crate",
                "DynamicQuantizeLSTM" => {
                    ", by products of 8-bit integers, but with a clip, peepholes or other activations by floats"
                }
                "GRU" | "RNN" | "Loop" | "Scan" => ", a timestep after the other",
                _ => "",
            };
            _ = write!(text, "\n  {count} x {op}{how}");
        }
        text
    }
}

/// The versions of operators that are known here, by their domains.
const OPSETS: [(&str, i64); 2] = [("", 28), ("com.microsoft", 1)];

/// A version of which nothing is known here may have given an operator another meaning.
fn check_opsets(source: &Source, opsets: &BTreeMap<String, i64>) -> Result<()> {
    for (domain, newest) in OPSETS {
        let Some(found) = opsets.get(domain).filter(|found| !(1..=newest).contains(*found)) else {
            continue;
        };
        let name = if domain.is_empty() { "ai.onnx" } else { domain };
        let expected = match found < &1 {
            true => format!("1 to {newest}"),
            false => format!("1 to {newest} (export the model with one of them, or convert it)"),
        };
        return Err(source.bad(format!("the opset of {name}"), expected, found.to_string()));
    }
    Ok(())
}

fn wrong(found: String, expected: String) -> Error {
    Error::Option { option: "Model::run: the inputs", found, expected }
}

/// A name of a file, on one line and without what a terminal would obey.
fn plain(name: &str) -> String {
    let shown = |c: char| match c.is_control() {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    name.chars().map(shown).collect()
}

/// Takes from a graph the values of the inputs that a caller gives, and says which inputs have one.
fn defaults(graph: &mut proto::GraphProto, given: &[&str]) -> Result<Vec<TensorInfo>> {
    let values = graph.initializers.iter().map(|tensor| tensor.name.as_str());
    let values: std::collections::HashSet<_> = values.collect();
    let defaults = graph.inputs.iter().filter(|info| values.contains(info.name.as_str()));
    let mut defaults: Vec<_> = defaults.map(TensorInfo::of).collect();
    if let Some(name) = given.iter().find(|name| defaults.iter().all(|info| info.name != **name)) {
        let mut names: Vec<_> = defaults.iter().take(12).map(TensorInfo::text).collect();
        if defaults.len() > names.len() {
            names.push(format!("{} more", defaults.len() - names.len()));
        }
        let expected = format!("inputs with a value in the file: {}", names.join("; "));
        let option = "Model::load_with: the inputs";
        return Err(Error::Option { option, found: format!("{name:?}"), expected });
    }
    if !given.is_empty() {
        defaults.retain(|info| !given.contains(&info.name.as_str()));
        graph.initializers.retain(|tensor| !given.contains(&tensor.name.as_str()));
    }
    Ok(defaults)
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Model({} on {})", self.name, self.device.name())
    }
}
