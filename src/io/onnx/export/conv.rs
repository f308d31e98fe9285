//! Layers with windows over time: ONNX has their axes as `[B,C,T]`.

use super::graph::{Attr, Attrs, Axis, Kind, Part};
use super::steps::{Flow, Steps};
use super::writer::{Any, Writer};
use crate::nn::{Activation, Padding};
use crate::{Error, Result};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "as of LstmOptions")]
pub(super) struct ConvOptions {
    channels: usize,
    kernel_size: usize,
    stride: usize,
    dilation: usize,
    groups: usize,
    padding: Padding,
    activation: Activation,
    use_bias: bool,
    frozen: Any,
    kernel_init: Any,
    bias_init: Any,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PoolOptions {
    max: bool,
    window: usize,
    stride: Option<usize>,
    padding: Padding,
    count_padding: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SpectrogramOptions {
    frame_length: usize,
    hop: usize,
    reflect: [usize; 2],
}

/// Windows, as the layers with them say.
#[derive(Clone, Copy)]
struct Windows {
    layer: &'static str,
    size: usize,
    stride: usize,
    dilation: usize,
    padding: Padding,
}

impl Windows {
    fn reach(self) -> usize {
        (self.size - 1) * self.dilation + 1
    }

    /// The padding before and after; `None` if it goes by the number of timesteps.
    fn edges(self) -> Result<Option<[usize; 2]>> {
        let all = self.reach() - 1;
        Ok(match self.padding {
            Padding::Valid => Some([0, 0]),
            Padding::Causal => Some([all, 0]),
            Padding::Explicit(before, after) => Some([before, after]),
            Padding::Same if self.stride == 1 => Some([all / 2, all - all / 2]),
            Padding::Same if self.size == 1 => Some([0, 0]),
            Padding::Same if self.dilation > 1 => {
                return Err(self.refused("Padding::Same with a stride and a dilation"));
            }
            // Programs differ in what they make of less than nothing between windows.
            Padding::Same if self.size < self.stride => {
                return Err(self.refused("Padding::Same with a stride past the window"));
            }
            Padding::Same => None,
        })
    }

    fn refused(self, what: &'static str) -> Error {
        let help = "ONNX has no such padding: take Padding::Explicit";
        Error::Unsupported { what, with: self.layer, help }
    }

    /// The attributes that say the same, but for the dilation, which is not of all operators.
    fn attrs(self) -> Result<Attrs> {
        let mut attrs = vec![
            ("kernel_shape", Attr::Ints(vec![self.size as i64])),
            ("strides", Attr::Ints(vec![self.stride as i64])),
        ];
        attrs.push(match self.edges()? {
            Some(edges) => ("pads", Attr::Ints(edges.map(|edge| edge as i64).into())),
            None => ("auto_pad", Attr::Text("SAME_UPPER")),
        });
        Ok(attrs)
    }

    /// What is known of the timesteps after it.
    fn time(self, before: &Axis) -> Result<Axis> {
        let same = self.edges()?.is_some_and(|[before, after]| before + after + 1 == self.reach());
        Ok(if same && self.stride == 1 { before.clone() } else { Axis::Any })
    }
}

impl Writer<'_> {
    pub(super) fn conv(&mut self, options: &ConvOptions, x: Flow) -> Result<Flow> {
        let ConvOptions { kernel_size: size, stride, dilation, padding, .. } = *options;
        let mut windows = Windows { layer: "Conv1d", size, stride, dilation, padding };
        let mut frames = x.clone();
        if self.step {
            frames.name = self.frames_before(windows, &x)?;
            (windows.padding, frames.steps) = (Padding::Valid, Steps::All);
        }
        let inputs = x.features / options.groups;
        let name = self.parameter()?;
        let weight = self.whole(&name, &[options.channels, inputs, size]);
        let bias = match options.use_bias {
            true => {
                let name = self.parameter()?;
                self.whole(&name, &[options.channels])
            }
            false => String::new(),
        };
        // What is past a row's length is as what is past the end of all.
        let taken = self.without_padding(&frames);
        let turned = self.graph.transpose(&taken, &[0, 2, 1]);
        let mut attrs = windows.attrs()?;
        attrs.push(("dilations", Attr::Ints(vec![dilation as i64])));
        attrs.push(("group", Attr::Int(options.groups as i64)));
        let y = self.graph.node("Conv", &[&turned, &weight, &bias], attrs);
        let y = self.graph.transpose(&y, &[0, 2, 1]);
        let name = self.activation(&y, options.activation);
        let features = options.channels;
        if self.step {
            // As in the engine's step: one frame alone goes through as in a sequence, where a mask ends.
            let steps = if size == 1 { Steps::All } else { x.steps };
            return Ok(Flow { name, features, steps, ..x });
        }
        self.windowed(windows, Flow { name, features, ..x })
    }

    /// The frames before this one, and it: of a step model, whose state they are, the oldest first.
    fn frames_before(&mut self, windows: Windows, x: &Flow) -> Result<String> {
        let kept = windows.reach() - 1;
        if windows.stride != 1 || windows.edges()? != Some([kept, 0]) {
            return Err(Error::Unsupported {
                what: "Export::stateful_step",
                with: "Conv1d",
                help: "an output must be made of its own frame and those before it: Padding::Causal, and a \
                       stride of 1",
            });
        }
        if kept == 0 {
            return Ok(x.name.clone());
        }
        let width = kept * x.features;
        let before = self.begin_state(&[("x", width)]).remove(0);
        let now = self.graph.squeeze(&x.name, 1);
        let all = self.graph.node("Concat", &[&before, &now], vec![("axis", Attr::Int(1))]);
        let g = &mut self.graph;
        let range = [x.features, width + x.features].map(|at| g.ints(&[at as i64]));
        let axes = g.ints(&[1]);
        let mut after = g.node("Slice", &[&all, &range[0], &range[1], &axes], vec![]);
        if let Some(counts) = self.mask_of(x) {
            after = self.graph.node("Where", &[&counts, &after, &before], vec![]);
        }
        self.end_state(vec![after]);
        let shape = self.graph.ints(&[0, kept as i64 + 1, x.features as i64]);
        Ok(self.graph.node("Reshape", &[&all, &shape], vec![]))
    }

    pub(super) fn pool_1d(&mut self, options: &PoolOptions, x: Flow) -> Result<Flow> {
        self.whole_sequence("Pool1d")?;
        let (size, padding) = (options.window, options.padding);
        let stride = options.stride.unwrap_or(size);
        let windows = Windows { layer: "Pool1d", size, stride, dilation: 1, padding };
        if windows.edges()?.is_some_and(|edges| edges.iter().any(|&edge| edge >= size)) {
            return Err(windows.refused("a padding of a window or more"));
        }
        let lengths = matches!(x.steps, Steps::Lengths(_));
        let taken = match (lengths, options.max) {
            (true, true) => self.counted_or(&x, f32::NEG_INFINITY),
            _ => self.without_padding(&x),
        };
        let turned = self.graph.transpose(&taken, &[0, 2, 1]);
        let pool = |all: &mut Self, x: &str, padded: bool| {
            let mut attrs = windows.attrs()?;
            let op = if options.max { "MaxPool" } else { "AveragePool" };
            if padded && !options.max {
                attrs.push(("count_include_pad", Attr::Int(1)));
            }
            Ok::<_, Error>(all.graph.node(op, &[x], attrs))
        };
        let apart = lengths && !options.max && !options.count_padding;
        let mut y = pool(self, &turned, options.count_padding || apart)?;
        if let (true, Some(mask)) = (apart, self.mask_of(&x)) {
            // The share of a window that is there.
            let there = self.graph.cast(&mask, Kind::Float);
            let there = self.graph.unsqueeze(&there, 1);
            let there = pool(self, &there, true)?;
            y = self.graph.node("Div", &[&y, &there], vec![]);
        }
        let name = self.graph.transpose(&y, &[0, 2, 1]);
        self.windowed(windows, Flow { name, ..x })
    }

    pub(super) fn spectrogram(&mut self, options: &SpectrogramOptions, x: Flow) -> Result<Flow> {
        self.whole_sequence("Spectrogram")?;
        let SpectrogramOptions { frame_length: size, hop: stride, reflect: [before, after] } =
            *options;
        let (layer, padding) = ("Spectrogram", Padding::Valid);
        let windows = Windows { layer, size, stride, dilation: 1, padding };
        let features = size / 2 + 1;
        let name = self.parameter()?;
        let parts = vec![Part::Whole(name.clone())];
        let weight = self.graph.weight(&name, &[2 * features, 1, size], parts);
        let taken = self.without_padding(&x);
        let mut samples = self.graph.transpose(&taken, &[0, 2, 1]);
        if [before, after] != [0; 2] {
            if matches!(x.steps, Steps::Lengths(_)) {
                let (what, with) = ("Export::lengths", "Spectrogram::reflect");
                return Err(Error::Unsupported {
                    what,
                    with,
                    help: "each row's end would be another",
                });
            }
            let pads = self.graph.ints(&[0, 0, before as i64, 0, 0, after as i64]);
            let mode = vec![("mode", Attr::Text("reflect"))];
            samples = self.graph.node("Pad", &[&samples, &pads], mode);
        }
        let attrs = windows.attrs()?;
        let g = &mut self.graph;
        let waves = g.node("Conv", &[&samples, &weight], attrs);
        let squares = g.node("Mul", &[&waves, &waves], vec![]);
        let sizes = g.ints(&[features as i64; 2]);
        let axis = vec![("axis", Attr::Int(1))];
        let halves = g.nodes("Split", &[&squares, &sizes], &[true; 2], axis);
        let sum = g.node("Add", &[&halves[0], &halves[1]], vec![]);
        let y = g.node("Sqrt", &[&sum], vec![]);
        let name = g.transpose(&y, &[0, 2, 1]);
        let mut y = self.windowed(windows, Flow { name, features, ..x })?;
        if [before, after] != [0; 2] {
            y.time = Axis::Any;
        }
        Ok(y)
    }

    /// Zeros past a row's length; what a mask leaves out stays.
    fn without_padding(&mut self, x: &Flow) -> String {
        match x.steps {
            Steps::Lengths(_) => self.counted_or(x, 0.0),
            _ => x.name.clone(),
        }
    }

    /// A value after windows: its timesteps, and those of each row. A mask ends here.
    fn windowed(&mut self, windows: Windows, y: Flow) -> Result<Flow> {
        let time = windows.time(&y.time)?;
        let Steps::Lengths(lengths) = &y.steps else {
            return Ok(Flow { time, steps: Steps::All, ..y });
        };
        let Some([before, after]) = windows.edges()? else {
            return Err(Error::Unsupported {
                what: "Export::lengths",
                with: "Padding::Same and a stride",
                help: "how much comes before the first frame goes by a row's length: take Padding::Explicit",
            });
        };
        if time == y.time && time != Axis::Any {
            return Ok(y);
        }
        let (stride, reach) = (windows.stride as i64, windows.reach() as i64);
        let more = before as i64 + after as i64 - reach + stride;
        let g = &mut self.graph;
        let [more, zero, step] = [more, 0, stride].map(|number| g.int(number));
        let long = g.cast(lengths, Kind::Int64);
        let sum = g.node("Add", &[&long, &more], vec![]);
        let sum = g.node("Max", &[&sum, &zero], vec![]);
        let counts = g.node("Div", &[&sum, &step], vec![]);
        let some = g.node("Greater", &[&long, &zero], vec![]);
        let counts = g.node("Where", &[&some, &counts, &zero], vec![]);
        let steps = Steps::Lengths(g.cast(&counts, Kind::Int32));
        Ok(Flow { time, steps, ..y })
    }
}
