//! The one error type, and its texts.

use std::fmt;
use std::sync::Arc;

/// An error of this crate, with fields that a program can match on.
///
/// Every text (`Display`) names what was expected, what was found and, where it is not obvious,
/// what to do; `Debug` prints the fields. Variants may come; the fields of those that there are stay.
///
/// ```
/// use wgpu_lstm::{Device, Error, nn::{Lstm, Params}};
/// let params = Params::new(&Device::auto()?);
/// let error = Lstm::new(8).input_dropout(1.5).build(&params, 3).unwrap_err();
/// assert!(matches!(error, Error::Option { option: "Lstm::input_dropout", .. }));
/// assert_eq!(error.to_string(), "Lstm::input_dropout is 1.5, expected from 0 up to, but not, 1");
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An argument's shape disagrees with the op or with another argument.
    #[error("{op}: `{arg}` is {found:?}, expected {axes} = {expected:?}; {help}")]
    Shape {
        /// The operation or method.
        op: &'static str,
        /// The argument that is wrong.
        arg: &'static str,
        /// The axes' names, such as `[B,T,I]`.
        axes: &'static str,
        /// The shape that would have been right.
        expected: Vec<usize>,
        /// The shape that was given.
        found: Vec<usize>,
        /// What to do.
        help: &'static str,
    },
    /// An argument has the wrong number of axes.
    #[error("{op}: `{arg}` has {} axes {found:?}, expected {axes}", found.len())]
    Rank {
        /// The operation or method.
        op: &'static str,
        /// The argument that is wrong.
        arg: &'static str,
        /// The axes that were expected, such as `[B,T,I]`.
        axes: &'static str,
        /// The shape that was given.
        found: Vec<usize>,
    },
    /// A flat buffer does not hold as many values as its shape says.
    #[error("{op}: {found} values were given for the shape {shape:?}, which holds {expected}")]
    Count {
        /// The operation or method.
        op: &'static str,
        /// The shape that was asked for.
        shape: Vec<usize>,
        /// The values that the shape holds.
        expected: usize,
        /// The values that were given.
        found: usize,
    },
    /// A tensor holds another type of number than the op takes.
    #[error("{op}: `{arg}` holds {found}, expected {expected}")]
    DType {
        /// The operation or method.
        op: &'static str,
        /// The argument that is wrong.
        arg: &'static str,
        /// The type that was expected.
        expected: crate::DType,
        /// The type that was given.
        found: crate::DType,
    },
    /// Two tensors of one op live on different devices.
    #[error(
        "{op}: `{arg}` lives on {found}, the others on {expected}; copy it with Tensor::to_device"
    )]
    OtherDevice {
        /// The operation or method.
        op: &'static str,
        /// The argument that is elsewhere.
        arg: &'static str,
        /// The device of the other arguments.
        expected: String,
        /// The device of this argument.
        found: String,
    },
    /// An axis has no elements.
    #[error("{op}: `{arg}` is {found:?}: {axes} must all be at least 1")]
    Empty {
        /// The operation or method.
        op: &'static str,
        /// The argument that is empty.
        arg: &'static str,
        /// The axes' names.
        axes: &'static str,
        /// The shape that was given.
        found: Vec<usize>,
    },
    /// A length is more than the timesteps that there are, or a sequence has none.
    #[error(
        "the length of row {row} is {found}, expected {}..={max} (a row has at most as many timesteps as the tensor, and a sequence of data at least one)",
        usize::from(*.found == 0)
    )]
    Length {
        /// The row of the batch.
        row: usize,
        /// The length that was given.
        found: usize,
        /// The timesteps of the tensor.
        max: usize,
    },
    /// A class label is not below the number of classes.
    #[error("labels[{row}] is {found}, expected 0..={} ({classes} classes){}", classes.saturating_sub(1), from_one(*found, *classes))]
    Label {
        /// The row of the batch.
        row: usize,
        /// The label that was given.
        found: u32,
        /// The number of classes.
        classes: usize,
    },
    /// An option's value makes no sense.
    #[error("{option} is {found}, expected {expected}")]
    Option {
        /// The option's path: the method that sets it, such as `Lstm::dropout` or `Fit::batch_size`, or
        /// the type and the argument's name, such as `Dense::units`.
        option: &'static str,
        /// What was given.
        found: String,
        /// What would have been right.
        expected: String,
    },
    /// Two options or values that cannot be combined, each valid by itself.
    #[error("{what} does not go with {with}; {help}")]
    Unsupported {
        /// The first of the two: the path of an option, a method or a type, such as `Lstm::layer_norm`.
        what: &'static str,
        /// The second of the two, such as `Lstm::peepholes`.
        with: &'static str,
        /// What to do.
        help: &'static str,
    },
    /// Sequences have other features than a model or a layer takes.
    #[error("{op}: {found} features a frame, expected {expected}; {help}")]
    Features {
        /// The operation or method.
        op: &'static str,
        /// The features that the model or layer takes.
        expected: usize,
        /// The features that were given.
        found: usize,
        /// Where the expected number comes from.
        help: &'static str,
    },
    /// There are more or fewer targets than a model gives values for.
    #[error(
        "{op}: {found} numbers or classes as targets of {sequences} sequences, expected {expected}; {help}"
    )]
    Targets {
        /// The operation or method.
        op: &'static str,
        /// The number of sequences.
        sequences: usize,
        /// The numbers or classes that the model's outputs are compared with.
        expected: usize,
        /// The numbers or classes that were given.
        found: usize,
        /// What needs one target each, and what to do.
        help: &'static str,
    },
    /// A target is not a value that the loss takes.
    #[error("targets[{at}] is {found}, expected {expected}")]
    Target {
        /// The index among all numbers of the targets.
        at: usize,
        /// The target that was given.
        found: f32,
        /// What would have been right.
        expected: &'static str,
    },
    /// A sequence is not a whole number of frames.
    #[error(
        "sequence {sequence} has {values} values, expected a multiple of {features}, the features of a frame"
    )]
    Frame {
        /// The index among the sequences that were given.
        sequence: usize,
        /// The number of values of the sequence.
        values: usize,
        /// The number of features of a frame.
        features: usize,
    },
    /// A row has too few frames for its labels: see [`crate::loss::Ctc::align`].
    #[error(
        "row {row} has {found} frames, expected at least {expected}: one for each label and one between equal ones"
    )]
    TooFewFrames {
        /// The row of the batch.
        row: usize,
        /// The fewest frames that can spell the labels.
        expected: usize,
        /// The frames of the row.
        found: usize,
    },
    /// A state does not fit the batch or the layer: that of a stateful layer, or one that was given.
    #[error("{op}: {found} {what}, expected {expected}; {help}")]
    State {
        /// The operation, the method or the option.
        op: &'static str,
        /// The kind of thing that was counted.
        what: &'static str,
        /// The number that there should be.
        expected: usize,
        /// The number that there are.
        found: usize,
        /// Where the expected number comes from, and what to do.
        help: &'static str,
    },
    /// A stream that a stepper does not have, or that comes twice in one call: see [`crate::nn::LstmStepper`] and
    /// [`crate::train::Stepper`].
    #[error("{op}: {}", stream_text(*at, *stream, *twice))]
    Stream {
        /// The method.
        op: &'static str,
        /// The index among the frames of the call; `None` where the method takes one stream.
        at: Option<usize>,
        /// The number of the stream, with which a [`crate::nn::StreamId`] prints.
        stream: u64,
        /// Whether the stream is there but comes twice; otherwise it did not join, or has left.
        twice: bool,
    },
    /// A stepper has no room for another stream.
    #[error(
        "no stream can join: all {places} places of the stepper are taken; let a stream leave, or make a \
         stepper for more"
    )]
    TooManyStreams {
        /// The number of streams that the stepper was made for.
        places: usize,
    },
    /// No device has the name that was asked for.
    #[error(
        "no device is called {name:?}; there are: {}; or \"auto\", \"cpu\", \"gpu\", \"software\"",
        list(available)
    )]
    UnknownDevice {
        /// The name that was asked for.
        name: String,
        /// The names of the adapters that there are.
        available: Vec<String>,
    },
    /// There is no GPU adapter of the kind that was asked for.
    #[error("no GPU adapter found ({wanted}); {help}")]
    NoAdapter {
        /// What kind was asked for.
        wanted: &'static str,
        /// What to do.
        help: &'static str,
    },
    /// What was asked for needs a feature that this crate was built without.
    #[error(
        "{wanted} was asked for, but wgpu-lstm was built without its feature `{feature}`; add it in \
         Cargo.toml, or ask for the CPU"
    )]
    MissingFeature {
        /// The feature, as Cargo.toml names it.
        feature: &'static str,
        /// What was asked for.
        wanted: String,
    },
    /// The adapter is there but gives no device.
    #[error("the adapter {adapter:?} gave no device: {reason}")]
    DeviceRequest {
        /// The adapter's name.
        adapter: String,
        /// What the driver said.
        reason: String,
    },
    /// The device has no memory left.
    #[error(
        "out of memory: {bytes} bytes for {what}; use a smaller batch, shorter sequences or a smaller model"
    )]
    OutOfMemory {
        /// What the memory was for.
        what: &'static str,
        /// How many bytes were asked for.
        bytes: u64,
    },
    /// One tensor is larger than the device can bind.
    #[error("{what} would take {bytes} bytes, at most {limit} can be bound here")]
    TooLarge {
        /// What the memory was for.
        what: &'static str,
        /// How many bytes were asked for.
        bytes: u64,
        /// The device's limit in bytes.
        limit: u64,
    },
    /// A number is no token of an [`crate::nn::Embedding`], or is too large for a float.
    #[error(
        "place {place} of sequence {sequence} is {found}, no token: expected a whole number below {tokens}, the tokens that there are"
    )]
    Token {
        /// The index among the sequences that were given.
        sequence: usize,
        /// The index in the sequence.
        place: usize,
        /// The number that was given.
        found: f32,
        /// The number of tokens.
        tokens: usize,
    },
    /// A layer of a [`crate::Sequential`] returned another value than it reports.
    #[error("the layer `{kind}` says that it gives {said}, but gave {gave}; mend its `{method}`")]
    Layer {
        /// The layer's own name for itself.
        kind: &'static str,
        /// The method of [`crate::nn::Layer`] that is wrong.
        method: &'static str,
        /// What the method reports.
        said: String,
        /// What the layer returned.
        gave: String,
    },
    /// Values that a gradient depends on were changed before it was computed.
    #[error(
        "{op}: {what} changed since the tape used them, and the gradients would be wrong; {help}"
    )]
    Stale {
        /// The operation or method.
        op: &'static str,
        /// What was changed.
        what: &'static str,
        /// What to do.
        help: &'static str,
    },
    /// The device is gone. Its tensors are lost; a model's last host copy is not.
    #[error(
        "the device was lost ({reason}); make a new one with Device::auto() and move the model there"
    )]
    DeviceLost {
        /// What the driver said.
        reason: String,
    },
    /// wgpu refused a command: a fault of this library. Please report it.
    #[error("the GPU refused a command: {message}")]
    Gpu {
        /// What wgpu said.
        message: String,
    },
    /// A strategy was forced that cannot run this shape on this device.
    #[error(
        "the strategy {strategy} cannot run hidden_size {hidden_size} here: {reason}; use Strategy::Auto"
    )]
    Strategy {
        /// The strategy that was forced.
        strategy: &'static str,
        /// The layer's hidden size.
        hidden_size: usize,
        /// Why it cannot run.
        reason: String,
    },
    /// A layer or model is used before it knows its input size.
    #[error("{what} is not ready: call {call} first")]
    NotBuilt {
        /// The layer or model.
        what: &'static str,
        /// The method to call.
        call: &'static str,
    },
    /// A gradient is asked of a value that the tape has not recorded.
    #[error("{op}: `{arg}` was not recorded on this tape; {help}")]
    NotRecorded {
        /// The method.
        op: &'static str,
        /// The value.
        arg: &'static str,
        /// What to do.
        help: &'static str,
    },
    /// A number is infinite or NaN.
    #[error("{what} is not finite in {place}; {help}")]
    NotFinite {
        /// What holds it.
        what: &'static str,
        /// Where it was found.
        place: String,
        /// What to do.
        help: &'static str,
    },
    /// A training met a number that is not finite: no step is made from then on, so that the parameters are
    /// those before, unless a step itself made one of them infinite.
    #[error(
        "the training diverged in epoch {epoch}{}: {what} is not finite; a smaller learning rate, \
         Fit::clip, or inputs of a size of about 1 may help; no step was made since",
        batch.map_or(String::new(), |batch| format!(", batch {batch}"))
    )]
    Diverged {
        /// The epoch of this call of `fit`, from 1.
        epoch: usize,
        /// The batch of the epoch, from 1; in mixed precision only the epoch is known.
        batch: Option<usize>,
        /// What first went bad in that batch: a layer, a gradient, a parameter, the loss.
        what: String,
    },
    /// A tape that looks for it ([`crate::Tape::detect_anomaly`]) met a value that is not finite.
    #[error("{}", anomaly(op, *backward, parameter.as_deref()))]
    Anomaly {
        /// The function that recorded the op, such as `nn::dense::Dense::linear`.
        op: String,
        /// Whether the value is a gradient, not an output.
        backward: bool,
        /// The parameter whose gradient it is, if it is one's.
        parameter: Option<String>,
    },
    /// No parameter has this name.
    #[error("no parameter is called {name:?}; there are: {}", list(available))]
    UnknownParameter {
        /// The name that was asked for.
        name: String,
        /// The names that there are.
        available: Vec<String>,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {path}: {error}")]
    Io {
        /// What was tried: `read`, `write`.
        action: &'static str,
        /// The file.
        path: String,
        /// What the system says.
        error: String,
    },
    /// A file does not hold what it should.
    #[error("{path}: {entry} is {found}, expected {expected}")]
    File {
        /// The file.
        path: String,
        /// The tensor, or the part of the file.
        entry: String,
        /// What would have been right.
        expected: String,
        /// What the file has.
        found: String,
    },
    /// A field of a table is not what it should be: see `data::Table`.
    #[error("{path}: line {line}, column {column:?} is {found}, expected {expected}")]
    Field {
        /// The file.
        path: String,
        /// The line of the file, from 1, in which the row begins.
        line: u64,
        /// The name of the column.
        column: String,
        /// What would have been right.
        expected: String,
        /// What the file has.
        found: String,
    },
    /// What was kept of an optimizer, a callback or a training lacks something: see
    /// [`crate::train::State`].
    #[error("nothing is kept as {name:?}: it is of another kind of object, or of another version")]
    Missing {
        /// The name that was asked for.
        name: String,
    },
    /// The loss does not fit the model's last layer or the targets.
    #[error("{loss} needs {expected}, found {found}")]
    Loss {
        /// The loss.
        loss: &'static str,
        /// What the loss needs.
        expected: &'static str,
        /// What was found.
        found: String,
    },
    /// An error in a part of what was given: the validation data, a frame of a sequence.
    #[error("{place}: {error}")]
    At {
        /// The part: `Fit::validation_data`, or `frame 3 of sequence 2`, both counted from 0.
        place: String,
        /// What is wrong there.
        error: Box<Error>,
    },
    /// A sample of a data set that is no good, or could not be got: see [`crate::data::Dataset`].
    #[error("{op}: sample {index}: {error}")]
    Sample {
        /// The method that the data set was given to.
        op: &'static str,
        /// The index of the sample; in a stream the number of those before it in the epoch.
        index: usize,
        /// What is wrong with it.
        error: Box<Error>,
    },
    /// An error of a layer, a loss or an optimizer of the user's own: see [`Error::custom`].
    #[error(transparent)]
    Custom(CustomError),
}

impl Error {
    /// An error of a layer, a loss or an optimizer of your own.
    ///
    /// ```
    /// use wgpu_lstm::Error;
    /// let error = Error::custom("the tables have other columns");
    /// assert_eq!(error.to_string(), "the tables have other columns");
    /// let error = Error::custom("x".parse::<f32>().unwrap_err());
    /// let Error::Custom(own) = &error else { unreachable!() };
    /// assert!(own.get().downcast_ref::<std::num::ParseFloatError>().is_some());
    /// ```
    pub fn custom(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Custom(CustomError(error.into().into()))
    }

    /// The same error in a part of what was given.
    pub(crate) fn at(self, place: impl Into<String>) -> Self {
        Self::At { place: place.into(), error: self.into() }
    }
}

/// The error that [`Error::custom`] was given.
#[derive(Clone, Debug)]
pub struct CustomError(Arc<dyn std::error::Error + Send + Sync>);

impl CustomError {
    /// The error as it was given, for downcasts.
    pub fn get(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        &*self.0
    }
}

impl fmt::Display for CustomError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for CustomError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// Clones are the same error.
impl PartialEq for CustomError {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

fn anomaly(op: &str, backward: bool, parameter: Option<&str>) -> String {
    match (backward, parameter) {
        (false, _) => format!("{op}: its output is not finite, and all before it are"),
        (true, Some(name)) => format!("{op}: its gradient of {name:?} is not finite"),
        (true, None) => format!("{op}: its gradient of an input is not finite"),
    }
}

fn stream_text(at: Option<usize>, number: u64, twice: bool) -> String {
    let place = at.map_or(String::new(), |at| format!(" (frames[{at}])"));
    match twice {
        true => format!("stream {number}{place} comes a second time, expected one frame of each"),
        false => format!(
            "stream {number}{place} has left, or is another stepper's; expected one that `join` of this one \
             gave"
        ),
    }
}

/// What to do about a label that is the number of classes, or was none.
fn from_one(found: u32, classes: usize) -> String {
    if found == u32::MAX {
        return "; this number stands for one that was negative, or beyond a u32".into();
    }
    match found as usize == classes {
        true => format!(
            "; labels begin with 0: if these go from 1 to {classes}, take 1 off each, else give the last \
             layer an output for each class"
        ),
        false => String::new(),
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "none".into();
    }
    names.iter().map(|n| format!("{n:?}")).collect::<Vec<_>>().join(", ")
}

/// [`std::result::Result`] with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
