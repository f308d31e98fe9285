//! Models whose layers were built in another order, share parameters, or are the user's own.

use super::{bits, common::devices, place, sequences};
use wgpu_lstm::data::Targets;
use wgpu_lstm::nn::{Dense, Layer, Layers, Lstm, ParamId, Params, add};
use wgpu_lstm::train::{Adam, Fit, Loss};
use wgpu_lstm::{Device, Error, Result, Sequential, Tape, Tensor, Var};

/// y = x + layer(factor x), around any layer; for predictions alone.
struct Scaled {
    first: f32,
    inner: Box<dyn Layer>,
    factor: Option<ParamId>,
}

impl Scaled {
    fn new(first: f32, inner: impl Layer + 'static) -> Self {
        Self { first, inner: Box::new(inner), factor: None }
    }

    fn read(config: &str) -> Result<Box<dyn Layer>> {
        let parts: Vec<_> = config.splitn(3, '|').collect();
        let [first, kind, inner] = parts[..] else { return Err(Error::custom("three parts")) };
        let inner = Layers::new().make(kind, inner).ok_or(Error::custom("another kind"))??;
        let first = first.parse().map_err(Error::custom)?;
        Ok(Box::new(Self { first, inner, factor: None }))
    }
}

impl Layer for Scaled {
    fn kind(&self) -> &'static str {
        "scaled"
    }
    fn config(&self) -> Result<String> {
        Ok(format!("{}|{}|{}", self.first, self.inner.kind(), self.inner.config()?))
    }
    fn build_on(&mut self, params: &Params, input_size: usize) -> Result<()> {
        let name = format!("{}.factor", params.free_prefix("scaled"));
        self.factor = Some(params.insert(name, [input_size], &vec![self.first; input_size])?);
        self.inner.build_on(params, input_size)
    }
    fn output_size(&self) -> usize {
        self.inner.output_size()
    }
    fn gives_sequence(&self, takes_sequence: bool) -> bool {
        self.inner.gives_sequence(takes_sequence)
    }
    fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        let factor =
            tape.param(self.factor.ok_or(Error::custom("not built"))?)?.tensor().to_vec()?;
        let values = x.tensor().to_vec()?;
        let scaled: Vec<_> = values.iter().zip(factor.iter().cycle()).map(|(v, f)| v * f).collect();
        let scaled = Tensor::from_slice(&scaled, x.shape(), &x.tensor().device())?;
        let scaled = Var::from(scaled).with_lengths(x.lengths().cloned());
        add(tape, x, &self.inner.forward(tape, &scaled)?)
    }
    fn parameter_count(&self) -> usize {
        self.factor.map_or(0, |_| self.inner.output_size() + self.inner.parameter_count())
    }
}

/// A layer that says nothing of its options.
struct Silent;

impl Layer for Silent {
    fn kind(&self) -> &'static str {
        "silent"
    }
    fn build_on(&mut self, _: &Params, _: usize) -> Result<()> {
        Ok(())
    }
    fn output_size(&self) -> usize {
        3
    }
    fn gives_sequence(&self, takes_sequence: bool) -> bool {
        takes_sequence
    }
    fn forward(&self, _: &Tape, x: &Var) -> Result<Var> {
        Ok(x.clone())
    }
    fn parameter_count(&self) -> usize {
        0
    }
}

fn cpu() -> Device {
    devices()[0].clone()
}

#[test]
fn layers_of_ones_own_come_back_by_a_function_that_is_registered() {
    let (_folder, path) = place("own");
    let registered = Layers::new().register("scaled", Scaled::read);
    for device in devices() {
        let mut model = Sequential::new(device)
            .seed(4)
            .add(Scaled::new(0.5, Lstm::new(3).return_sequences()))
            .add(Lstm::new(3).return_sequences())
            .add(Scaled::new(1.5, Dense::new(3)));
        model.build(3).unwrap();
        let x = sequences(3);
        model.save(&path).unwrap();
        let loaded = Sequential::load_with(&path, device, &registered).unwrap();
        assert_eq!(loaded.params().names(), model.params().names());
        assert_eq!(loaded.summary(), model.summary());
        assert_eq!(bits(&loaded, &x), bits(&model, &x), "{device}");
    }
    let error = Sequential::load(&path, &cpu()).err().unwrap();
    let text = error.to_string();
    let Error::File { entry, found, .. } = error else { panic!("{text}") };
    assert_eq!((&entry[..], &found[..]), ("layer 1 of the model", "of the kind \"scaled\""));
    assert!(text.contains("registered with Layers::register"), "{text}");
    // A function that refuses is heard.
    let refuses = Layers::new().register("scaled", |_| Err(Error::custom("not today")));
    let error = Sequential::load_with(&path, &cpu(), &refuses).err().unwrap();
    assert!(error.to_string().contains("not today"), "{error}");
}

#[test]
fn a_layer_that_cannot_be_saved_says_what_to_do() {
    let (folder, path) = place("silent");
    let mut model = Sequential::new(&cpu()).add(Silent).add(Lstm::new(4));
    assert!(matches!(model.save(&path), Err(Error::NotBuilt { .. })));
    model.build(3).unwrap();
    let error = model.save(&path).unwrap_err();
    assert!(matches!(error, Error::Unsupported { what: "silent", .. }), "{error}");
    assert!(error.to_string().contains("Layer::config"), "{error}");
    assert!(folder.files().is_empty());
    model.params().save(&path).unwrap();
    let error = Sequential::load(&path, &cpu()).err().unwrap();
    assert!(error.to_string().contains("Params::load reads weights alone"), "{error}");
}

/// Names go with the layers, whatever the order in which these were built.
#[test]
fn layers_that_were_built_before_keep_their_names() {
    let (_folder, path) = place("order");
    let model = Sequential::new(&cpu()).seed(9);
    let second = Lstm::new(3).return_sequences().build(model.params(), 3).unwrap();
    let first = Lstm::new(3).return_sequences().build(model.params(), 3).unwrap();
    let mut model = model.add(first).add(Dense::new(3)).add(second).add(Lstm::new(3));
    model.build(3).unwrap();
    model.save(&path).unwrap();
    let loaded = Sequential::load(&path, &cpu()).unwrap();
    let x = sequences(3);
    assert_eq!(bits(&loaded, &x), bits(&model, &x));
    let sorted = |model: &Sequential| {
        let mut names = model.params().names();
        names.sort();
        names
    };
    assert_eq!(sorted(&loaded), sorted(&model));
    assert_eq!(loaded.params().names()[0], "lstm_1.weight_ih_l0");
    for name in sorted(&model) {
        assert_eq!(loaded.params().get(&name).unwrap(), model.params().get(&name).unwrap());
    }
    // And a layer that is added behind gets a free name, and drawn values.
    let mut longer = loaded.add(Dense::new(3)).add(Dense::new(2));
    longer.build(3).unwrap();
    let weight = longer.params().get("dense_1.weight").unwrap();
    assert!(weight.iter().all(|&w| w != 0.0), "{weight:?}");
    assert_eq!(longer.params().names().last().unwrap(), "dense_2.bias");
}

#[test]
fn what_a_file_cannot_say_is_an_error() {
    let (folder, path) = place("refused");
    let with = |model: &Sequential| match model.save(&path).unwrap_err() {
        Error::Unsupported { what, with, .. } => (what, with),
        other => panic!("{other:?}"),
    };
    let model = Sequential::new(&cpu());
    let tied = Lstm::new(3).return_sequences().build(model.params(), 3).unwrap();
    let mut model = model.add(tied.clone()).add(tied);
    model.build(3).unwrap();
    assert_eq!(with(&model), ("Sequential::save", "layers that share parameters"));

    let model = Sequential::new(&cpu());
    let _aside = Dense::new(3).build(model.params(), 3).unwrap();
    let mut model = model.add(Lstm::new(3));
    model.build(3).unwrap();
    assert_eq!(
        with(&model),
        ("Sequential::save", "parameters that belong to no layer of the model")
    );

    // The inner layer's parameters are not those that its own build inserted.
    let model = Sequential::new(&cpu());
    let inner = Lstm::new(3).return_sequences().build(model.params(), 3).unwrap();
    let mut model = model.add(Scaled::new(1.0, inner));
    model.build(3).unwrap();
    assert_eq!(with(&model), ("scaled", "Sequential::save"));
    assert!(folder.files().is_empty());
}

#[test]
fn a_loaded_model_is_not_compiled_and_remembers_nothing() {
    let (_folder, path) = place("state");
    let x = sequences(3);
    let y = Targets::values([0.5; 6], 1);
    let mut model = Sequential::new(&cpu()).add(Lstm::new(4).stateful()).add(Dense::new(1));
    model.compile(Adam::default(), Loss::MeanSquaredError, &[]);
    model.fit(&x, &y, Fit::new().epochs(2).batch_size(6).shuffle(false).quiet()).unwrap();
    // It remembers a state now, of which the file has nothing.
    let remembered = model.predict(&x).unwrap().values().to_vec();
    model.predict(&x).unwrap();
    model.save(&path).unwrap();
    let mut loaded = Sequential::load(&path, &cpu()).unwrap();
    let fresh = loaded.predict(&x).unwrap().values().to_vec();
    assert_ne!(fresh, remembered);
    model.reset_state();
    assert_eq!(model.predict(&x).unwrap().values(), fresh);
    // The loaded one is stateful, too: it goes on from there.
    assert_ne!(loaded.predict(&x).unwrap().values(), fresh);
    let error = loaded.fit(&x, &y, Fit::new().quiet()).unwrap_err();
    assert!(matches!(error, Error::NotBuilt { call: "compile", .. }), "{error}");
    loaded.compile(Adam::default(), Loss::MeanSquaredError, &[]);
    loaded.reset_state();
    loaded.fit(&x, &y, Fit::new().epochs(1).batch_size(6).shuffle(false).quiet()).unwrap();
}

#[test]
fn a_file_moves_between_devices() {
    let (_folder, path) = place("devices");
    let x = sequences(3);
    let mut values = Vec::new();
    for device in devices() {
        let mut model = match path.exists() {
            true => Sequential::load(&path, device).unwrap(),
            false => Sequential::new(device).add(Lstm::new(5)).add(Dense::new(2)),
        };
        model.build(3).unwrap();
        model.save(&path).unwrap();
        values.push(model.predict(&x).unwrap().values().to_vec());
    }
    for other in &values {
        super::common::close("the other device", other, &values[0], 1e-5);
    }
}
