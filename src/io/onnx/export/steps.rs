//! Which timesteps of a row count: by lengths, as ONNX's recurrent operators take them, or by a mask, whose
//! steps are then put in front.

use super::graph::{Attr, Axis, Graph, Kind};
use super::writer::Writer;

/// The timesteps of a value that count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Steps {
    All,
    /// The first ones: numbers `[B]` of 32 bits.
    Lengths(String),
    /// Those where it is true: `[B,T]`; in a step model `[B,1]`.
    Mask(String),
}

/// A value on its way through the layers: `[B,T,F]` or, if it is no sequence, `[B,F]`.
#[derive(Debug, Clone)]
pub(super) struct Flow {
    pub(super) name: String,
    pub(super) sequence: bool,
    pub(super) features: usize,
    /// The timesteps.
    pub(super) time: Axis,
    pub(super) steps: Steps,
    /// Whether it is the model's input of tokens, `[B,T]`.
    pub(super) tokens: bool,
}

/// The order of steps by which those of a mask that count stand in front, and the way back.
pub(super) struct Packing {
    pub(super) mask: String,
    /// How many steps before this one count, itself included: `[B,T]`.
    pub(super) sums: String,
    /// The same without itself.
    pub(super) before: String,
    /// How many steps of a row count: `[B,1]`.
    pub(super) counts: String,
}

/// What stands at a step that does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeftOut {
    Zero,
    /// The output before it, in the order in which the layer runs.
    Repeats {
        reverse: bool,
    },
}

impl Graph {
    pub(super) fn cast(&mut self, x: &str, kind: Kind) -> String {
        self.node("Cast", &[x], vec![("to", Attr::Int(kind as i64))])
    }

    pub(super) fn unsqueeze(&mut self, x: &str, axis: i64) -> String {
        let axes = self.ints(&[axis]);
        self.node("Unsqueeze", &[x, &axes], vec![])
    }

    pub(super) fn squeeze(&mut self, x: &str, axis: i64) -> String {
        let axes = self.ints(&[axis]);
        self.node("Squeeze", &[x, &axes], vec![])
    }

    pub(super) fn transpose(&mut self, x: &str, order: &[i64]) -> String {
        self.node("Transpose", &[x], vec![("perm", Attr::Ints(order.into()))])
    }

    /// The size of an axis: `[1]`.
    pub(super) fn size(&mut self, x: &str, axis: i64) -> String {
        let range = vec![("start", Attr::Int(axis)), ("end", Attr::Int(axis + 1))];
        self.node("Shape", &[x], range)
    }

    /// Zeros `[B,size]`, of as many rows as this axis of `x` has.
    pub(super) fn zeros(&mut self, x: &str, axis: i64, size: usize) -> String {
        let (rows, size) = (self.size(x, axis), self.ints(&[size as i64]));
        let shape = self.node("Concat", &[&rows, &size], vec![("axis", Attr::Int(0))]);
        self.node("ConstantOfShape", &[&shape], vec![])
    }

    /// Reduces an axis, which is then no more.
    pub(super) fn reduce(&mut self, op: &'static str, x: &str, axis: i64) -> String {
        let keep = ("keepdims", Attr::Int(0));
        // The axes became an input with version 18, of the sum with 13.
        if op == "ReduceSum" || self.opset >= 18 {
            let axes = self.ints(&[axis]);
            return self.node(op, &[x, &axes], vec![keep]);
        }
        self.node(op, &[x], vec![("axes", Attr::Ints(vec![axis])), keep])
    }

    /// The frames `[B,T,F]` of `x` at the places `[B,T]`.
    fn frames_at(&mut self, x: &str, places: &str) -> String {
        let places = self.unsqueeze(places, 2);
        self.node("GatherND", &[x, &places], vec![("batch_dims", Attr::Int(1))])
    }
}

impl Writer<'_> {
    /// What `make` gives for `of`, made once.
    fn once(
        &mut self,
        what: &'static str,
        of: &str,
        make: impl FnOnce(&mut Self) -> String,
    ) -> String {
        let key = (what, of.to_owned());
        if let Some(name) = self.made.get(&key) {
            return name.clone();
        }
        let name = make(self);
        self.made.insert(key, name.clone());
        name
    }

    /// The numbers of the timesteps of `x` `[B,T,..]`: `[T]`.
    fn places(&mut self, x: &str) -> String {
        let g = &mut self.graph;
        let (size, zero, one) = (g.size(x, 1), g.int(0), g.int(1));
        let end = g.squeeze(&size, 0);
        g.node("Range", &[&zero, &end, &one], vec![])
    }

    /// The mask `[B,T]` of a sequence; `None` if all steps count.
    pub(super) fn mask_of(&mut self, x: &Flow) -> Option<String> {
        match &x.steps {
            Steps::All => None,
            Steps::Mask(mask) => Some(mask.clone()),
            Steps::Lengths(lengths) => Some(self.once("mask", lengths, |all| {
                let places = all.places(&x.name);
                let lengths = all.graph.cast(lengths, Kind::Int64);
                let lengths = all.graph.unsqueeze(&lengths, 1);
                all.graph.node("Less", &[&places, &lengths], vec![])
            })),
        }
    }

    /// The mask, for frames: `[B,T,1]`.
    pub(super) fn frame_mask(&mut self, x: &Flow) -> Option<String> {
        let mask = self.mask_of(x)?;
        Some(self.once("frames", &mask, |all| all.graph.unsqueeze(&mask, 2)))
    }

    /// The frames of `x` that count, and `otherwise` at all other places.
    pub(super) fn counted_or(&mut self, x: &Flow, otherwise: f32) -> String {
        let Some(mask) = self.frame_mask(x) else { return x.name.clone() };
        let otherwise = self.graph.float(otherwise);
        self.graph.node("Where", &[&mask, &x.name, &otherwise], vec![])
    }

    /// What a mask says of its steps.
    pub(super) fn packing(&mut self, mask: &str) -> Packing {
        let number = self.once("number", mask, |all| all.graph.cast(mask, Kind::Int64));
        let sums = self.once("sums", mask, |all| {
            let axis = all.graph.int(1);
            all.graph.node("CumSum", &[&number, &axis], vec![])
        });
        let before =
            self.once("before", mask, |all| all.graph.node("Sub", &[&sums, &number], vec![]));
        let counts = self.once("counts", mask, |all| {
            let axes = all.graph.ints(&[1]);
            all.graph.node("ReduceSum", &[&number, &axes], vec![("keepdims", Attr::Int(1))])
        });
        Packing { mask: mask.to_owned(), sums, before, counts }
    }

    /// The steps of a sequence that its mask counts in front of the others, with lengths; and how they go back.
    /// A sequence without a mask stays as it is.
    pub(super) fn packed(&mut self, x: &Flow) -> (Flow, Option<Packing>) {
        let Steps::Mask(mask) = &x.steps else { return (x.clone(), None) };
        let packing = self.packing(mask);
        let order = self.once("order", mask, |all| {
            let (places, number) = (all.places(&x.name), all.graph.cast(mask, Kind::Int64));
            let g = &mut all.graph;
            // A step that counts has T - t, another -t: so sorted they stay in their order.
            let size = g.size(&x.name, 1);
            let large = g.node("Mul", &[&number, &size], vec![]);
            let keys = g.node("Sub", &[&large, &places], vec![]);
            let found =
                g.nodes("TopK", &[&keys, &size], &[true, true], vec![("axis", Attr::Int(1))]);
            found[1].clone()
        });
        let lengths = self.once("lengths", mask, |all| {
            let counts = all.graph.squeeze(&packing.counts, 1);
            all.graph.cast(&counts, Kind::Int32)
        });
        let name = self.graph.frames_at(&x.name, &order);
        (Flow { name, steps: Steps::Lengths(lengths), ..x.clone() }, Some(packing))
    }

    /// Outputs of packed steps at all steps.
    pub(super) fn unpacked(&mut self, y: &str, packing: &Packing, left_out: LeftOut) -> String {
        let g = &mut self.graph;
        let (zero, one, nothing) = (g.int(0), g.int(1), g.float(0.0));
        let (places, there) = match left_out {
            // As many steps before this one count as its own place among them says.
            LeftOut::Repeats { reverse: true } => {
                let there = g.node("Less", &[&packing.before, &packing.counts], vec![]);
                (packing.before.clone(), there)
            }
            _ => {
                let places = g.node("Sub", &[&packing.sums, &one], vec![]);
                let places = g.node("Max", &[&places, &zero], vec![]);
                let there = match left_out {
                    LeftOut::Zero => packing.mask.clone(),
                    LeftOut::Repeats { .. } => g.node("Greater", &[&packing.sums, &zero], vec![]),
                };
                (places, there)
            }
        };
        let all = g.frames_at(y, &places);
        let there = g.unsqueeze(&there, 2);
        g.node("Where", &[&there, &all, &nothing], vec![])
    }
}
