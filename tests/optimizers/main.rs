//! Every optimizer: against PyTorch, its state, groups of parameters, steps that are left out.

#[path = "../common/mod.rs"]
mod common;
mod groups;
mod rules;
mod state;

use common::tensor;
use wgpu_lstm::nn::{Dense, Embedding, Lstm, Params};
use wgpu_lstm::train::Optimizer;
use wgpu_lstm::{Device, Tape, Var};

/// A sparse table, a parameter of an odd size and layers whose weights lie otherwise in memory.
struct Model {
    params: Params,
    table: Embedding,
    scale: wgpu_lstm::nn::ParamId,
    lstm: Option<Lstm>,
    dense: Dense,
}

impl Model {
    fn new(device: &Device) -> Self {
        let params = Params::seeded(device, 5);
        let table = Embedding::new(9, 3).sparse().build(&params).unwrap();
        let first: Vec<f32> = (0..3).map(|i| i as f32 - 1.5).collect();
        let scale = params.insert("own.scale", [3], &first).unwrap();
        // Its kernels take a software adapter a while.
        let lstm = (!device.is_gpu())
            .then(|| Lstm::new(3).peepholes().return_sequences().build(&params, 3).unwrap());
        let dense = Dense::new(5).kernel_max_norm(1.1).build(&params, 3).unwrap();
        Self { params, table, scale, lstm, dense }
    }

    /// Adds up gradients, other ones at each step.
    fn backward(&self, step: usize) {
        let device = self.params.device();
        let tape = Tape::new(&self.params);
        let ids = [step as u32 % 7, 2, (step as u32 + 3) % 7, 1];
        let x = self.table.lookup(&tape, &ids, [2, 2]).unwrap();
        let scale = tape.param(self.scale).unwrap();
        let x = match &self.lstm {
            Some(lstm) => lstm.forward(&tape, &x).unwrap(),
            None => x,
        };
        let y = self.dense.forward(&tape, &x).unwrap();
        let seed = |len: usize, of: f32| -> Vec<f32> {
            (0..len).map(|i| (i as f32 * 1.7 + step as f32 * of).sin()).collect()
        };
        let d_y = tensor(&seed(20, 2.3), [2, 2, 5], &device);
        let d_scale = tensor(&seed(3, 0.9), [3], &device);
        tape.backward_from(&[(&y, d_y), (&scale, d_scale)]).unwrap();
    }

    fn step(&self, optimizer: &mut dyn Optimizer, step: usize) {
        self.backward(step);
        optimizer.step(&self.params).unwrap();
    }

    fn values(&self) -> Vec<f32> {
        let names = self.params.names();
        names.iter().flat_map(|name| self.params.get(name).unwrap()).collect()
    }

    /// A model of its own with the same values.
    fn copy(&self) -> Self {
        let copy = Self::new(&self.params.device());
        for name in self.params.names() {
            copy.params.set(&name, &self.params.get(&name).unwrap()).unwrap();
        }
        copy
    }
}

/// Some parameters alone, whose gradient is what is asked for.
struct Plain {
    params: Params,
    all: Vec<wgpu_lstm::nn::ParamId>,
}

impl Plain {
    fn new(device: &Device, parameters: &[(&str, Vec<f32>)]) -> Self {
        let params = Params::new(device);
        let insert = |(name, values): &(&str, Vec<f32>)| {
            params.insert(*name, [values.len()], values).unwrap()
        };
        let all = parameters.iter().map(insert).collect();
        Self { params, all }
    }

    fn backward(&self, gradients: &[Vec<f32>]) {
        let device = self.params.device();
        let tape = Tape::new(&self.params);
        let vars: Vec<Var> = self.all.iter().map(|id| tape.param(*id).unwrap()).collect();
        let seeds = vars.iter().zip(gradients);
        let seeds: Vec<_> = seeds.map(|(v, g)| (v, tensor(g, [g.len()], &device))).collect();
        tape.backward_from(&seeds).unwrap();
    }

    fn step(&self, optimizer: &mut dyn Optimizer, gradients: &[Vec<f32>]) {
        self.backward(gradients);
        optimizer.step(&self.params).unwrap();
    }
}

fn numbers(len: usize, seed: f32) -> Vec<f32> {
    (0..len).map(|i| (i as f32 * 12.9898 + seed).sin()).collect()
}
