//! rten, which runs ONNX models, on the CPU.

use crate::case::{Case, Mode};
use crate::onnx::{model, swapped};
use crate::peer::{CHECKED_STEPS, Peer, time};
use anyhow::{Context, Result};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use rten::{Model, NodeId, RunOptions, ThreadPool, Value, ValueOrView};
use rten_tensor::prelude::*;
use rten_tensor::{NdTensor, NdTensorView};
use std::sync::Arc;
use tract_onnx::pb::ModelProto;

pub struct Rten {
    threads: Arc<ThreadPool>,
    work: Option<Work>,
}

struct Work {
    model: Model,
    inputs: Vec<NodeId>,
    outputs: Vec<NodeId>,
    /// The input, then the states of the layers, if they are handed on.
    values: Vec<Value>,
}

impl Rten {
    pub fn new(threads: usize) -> Self {
        Self { threads: Arc::new(ThreadPool::with_num_threads(threads)), work: None }
    }
}

/// The bytes of a file. rten reads a tensor's sizes one by one, as ONNX's own definition has them; tract's types
/// would write them packed.
fn file(mut model: ModelProto) -> Vec<u8> {
    let mut graph = model.graph.take().unwrap_or_default();
    let initializers = std::mem::take(&mut graph.initializer);
    let mut graph = graph.encode_to_vec();
    for mut tensor in initializers {
        let mut bytes = vec![];
        for size in std::mem::take(&mut tensor.dims) {
            encode_key(1, WireType::Varint, &mut bytes);
            encode_varint(size as u64, &mut bytes);
        }
        bytes.extend(tensor.encode_to_vec());
        put(5, &bytes, &mut graph);
    }
    let mut file = model.encode_to_vec();
    put(7, &graph, &mut file);
    file
}

/// Adds a message within a message, as the field of this number.
fn put(field: u32, bytes: &[u8], to: &mut Vec<u8>) {
    encode_key(field, WireType::LengthDelimited, to);
    encode_varint(bytes.len() as u64, to);
    to.extend(bytes);
}

impl Work {
    /// The output `[T,B,H]`; the states go to where the next run finds them.
    fn run(&mut self, threads: &Arc<ThreadPool>) -> Result<Value> {
        let inputs = self.inputs.iter().zip(&self.values);
        let inputs = inputs.map(|(&id, value)| (id, ValueOrView::from(value))).collect();
        let options = RunOptions::default().with_thread_pool(Some(threads.clone()));
        let mut outputs = self.model.run(inputs, &self.outputs, Some(options))?;
        let states = outputs.split_off(1);
        self.values.truncate(1);
        self.values.extend(states);
        outputs.pop().context("no output")
    }
}

impl Peer for Rten {
    fn name(&self) -> String {
        "rten 0.27".into()
    }

    fn does(&self, mode: Mode) -> bool {
        matches!(mode, Mode::Forward | Mode::Step)
    }

    fn prepare(&mut self, case: &Case) -> Result<Vec<(String, Vec<f32>)>> {
        let states = case.mode == Mode::Step;
        let model = Model::load(file(model(case, states)))?;
        let x = swapped(&case.x(), [case.b, case.t, case.i]);
        let mut values = vec![NdTensor::from_data([case.t, case.b, case.i], x).into()];
        for _ in 0..if states { 2 * case.layers } else { 0 } {
            values.push(NdTensor::<f32, 3>::zeros([1, case.b, case.h]).into());
        }
        let (inputs, outputs) = (model.input_ids().to_vec(), model.output_ids().to_vec());
        let mut work = Work { model, inputs, outputs, values };
        let mut y = work.run(&self.threads)?;
        if states {
            for _ in 1..CHECKED_STEPS {
                y = work.run(&self.threads)?;
            }
        }
        let y: NdTensorView<f32, 3> = (&y).try_into()?;
        let y = swapped(&y.to_vec(), [case.t, case.b, case.h]);
        self.work = Some(work);
        Ok(vec![("y".into(), y)])
    }

    fn run(&mut self, reps: usize) -> Result<Vec<f64>> {
        let work = self.work.as_mut().context("not prepared")?;
        time(reps, || {
            work.run(&self.threads)?;
            Ok(())
        })
    }

    fn release(&mut self) {
        self.work = None;
    }
}
