//! A layer of your own in a `Sequential`: a way around an LSTM, behind which an activation learns its
//! own slope.
//!
//!     cargo run --release --example own_layer
//!
//! `Residual` is made of what there is and runs on the device. `Swish` has a parameter, and computes
//! what no layer of the crate does, on the host: right on every device, but a GPU is waited for.
//! Both tell their options in `config`, so that the model can be saved, and loaded with functions that
//! make them of it.

use wgpu_lstm::data::{Sequences, Targets};
use wgpu_lstm::nn::{Activation, Dense, Layer, Layers, Lstm, ParamId, Params, add};
use wgpu_lstm::train::{Adam, Fit, Loss, Metric};
use wgpu_lstm::{Device, Error, Result, Sequential, Tape, Tensor, Var};

/// y = x + layer(x) (He et al. 2016).
pub struct Residual(pub Box<dyn Layer>);

impl Residual {
    /// Reads what `config` wrote.
    fn read(config: &str) -> Result<Box<dyn Layer>> {
        let (kind, options) = config.split_once(' ').ok_or(Error::custom("no options"))?;
        let layer = Layers::new().make(kind, options).ok_or(Error::custom("an unknown kind"))??;
        Ok(Box::new(Self(layer)))
    }
}

impl Layer for Residual {
    fn kind(&self) -> &'static str {
        "residual"
    }

    fn config(&self) -> Result<String> {
        Ok(format!("{} {}", self.0.kind(), self.0.config()?))
    }

    fn build_on(&mut self, params: &Params, input_size: usize) -> Result<()> {
        self.0.build_on(params, input_size)?;
        match self.0.output_size() {
            size if size == input_size => Ok(()),
            size => Err(Error::custom(format!("{size} features do not add to {input_size}"))),
        }
    }

    fn output_size(&self) -> usize {
        self.0.output_size()
    }

    fn gives_sequence(&self, takes_sequence: bool) -> bool {
        self.0.gives_sequence(takes_sequence)
    }

    fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        add(tape, x, &self.0.forward(tape, x)?)
    }

    fn parameter_count(&self) -> usize {
        self.0.parameter_count()
    }
}

/// x sigmoid(b x), whose b is learned (Ramachandran et al. 2017).
#[derive(Default)]
pub struct Swish {
    b: Option<ParamId>,
    size: usize,
}

impl Layer for Swish {
    fn kind(&self) -> &'static str {
        "swish"
    }

    fn config(&self) -> Result<String> {
        // No options: b is a parameter.
        Ok(String::new())
    }

    fn build_on(&mut self, params: &Params, input_size: usize) -> Result<()> {
        self.size = input_size;
        if self.b.is_none_or(|b| !params.owns(b)) {
            let name = format!("{}.b", params.free_prefix("swish"));
            self.b = Some(params.insert(name, [1], &[1.0])?);
        }
        Ok(())
    }

    fn output_size(&self) -> usize {
        self.size
    }

    fn gives_sequence(&self, takes_sequence: bool) -> bool {
        takes_sequence
    }

    fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        let b = self.b.ok_or(Error::NotBuilt { what: "this Swish", call: "build_on" })?;
        let b = tape.param(b)?;
        let (values, factor) = (x.tensor().to_vec()?, b.tensor().to_vec()?[0]);
        let gate = move |v: f32| 1.0 / (1.0 + (-factor * v).exp());
        let y: Vec<f32> = values.iter().map(|&v| v * gate(v)).collect();
        let y = Tensor::from_slice(&y, x.shape(), &x.tensor().device())?;
        let [y] = tape.custom([y], [x, &b], move |[d_y]| {
            let (mut d_x, mut d_b) = (Vec::with_capacity(values.len()), 0.0);
            for (&v, d) in values.iter().zip(d_y.to_vec()?) {
                let s = gate(v);
                d_x.push(d * (s + factor * v * s * (1.0 - s)));
                d_b += d * v * v * s * (1.0 - s);
            }
            let device = d_y.device();
            let d_x = Tensor::from_slice(&d_x, d_y.shape(), &device)?;
            Ok([d_x, Tensor::from_slice(&[d_b], [1], &device)?])
        });
        Ok(y.with_lengths(x.lengths().cloned()).with_mask(x.mask().cloned()))
    }

    fn parameter_count(&self) -> usize {
        usize::from(self.b.is_some())
    }
}

/// The functions that read the layers of this file from a model's file.
pub fn own_layers() -> Layers {
    Layers::new()
        .register("residual", Residual::read)
        .register("swish", |_| Ok(Box::new(Swish::default())))
}

fn main() -> anyhow::Result<()> {
    // Waves of 5 to 20 values; the class says whether the wave is slow or fast.
    let waves: Vec<Vec<f32>> = (0..200)
        .map(|i| {
            let (speed, phase) = (if i % 2 == 0 { 0.3 } else { 0.5 }, i as f32);
            (0..5 + i % 16).map(|t| (speed * t as f32 + phase).sin()).collect()
        })
        .collect();
    let x = Sequences::new(1, &waves)?;
    let y = Targets::values((0..200).map(|i| (i % 2) as f32).collect::<Vec<_>>(), 1);

    let mut model = Sequential::new(&Device::auto()?)
        .add(Lstm::new(16).return_sequences())
        .add(Residual(Box::new(Lstm::new(16).return_sequences())))
        .add(Swish::default())
        .add(Lstm::new(16))
        .add(Dense::new(1).activation(Activation::Sigmoid));
    model.compile(Adam::new(1e-2), Loss::BinaryCrossEntropy, &[Metric::Accuracy]);
    model.build(1)?;
    println!("{}", model.summary());
    model.fit(&x, &y, Fit::new().epochs(20).batch_size(20))?;
    println!("b of the Swish: {:.3}", model.params().get("swish.b")?[0]);

    let path = std::env::temp_dir().join(format!("own-layer-{}.safetensors", std::process::id()));
    model.save(&path)?;
    let loaded = Sequential::load_with(&path, &Device::auto()?, &own_layers())?;
    std::fs::remove_file(&path)?;
    anyhow::ensure!(loaded.predict(&x)?.values() == model.predict(&x)?.values());
    println!("loaded, it predicts the same");
    Ok(())
}
