//! The first values of layers' parameters.

use wgpu_lstm::nn::{Conv1d, Dense, Embedding, Highway, Init, Lstm, Merge, Params, Rnn};
use wgpu_lstm::{Device, Sequential};

fn params() -> Params {
    Params::seeded(&Device::cpu().unwrap(), 3)
}

/// The biases of an LSTM of 4 units, those of i, f, g and o apart.
fn biases(lstm: Lstm) -> Vec<Vec<f32>> {
    let params = params();
    let _ = lstm.build(&params, 2).unwrap();
    let bias = params.get("lstm.bias_l0").unwrap();
    bias.chunks(4).map(<[f32]>::to_vec).collect()
}

fn near(values: &[f32], limit: f32) {
    assert!(values.iter().all(|v| v.abs() <= limit), "{limit}: {values:?}");
    assert!(values.iter().any(|v| v.abs() > 0.8 * limit), "{limit}: {values:?}");
}

#[test]
fn biases_of_an_lstm_are_those_of_each_gate() {
    let lstm = || Lstm::new(4);
    let of = |i: f32, f: f32, g: f32, o: f32| [i, f, g, o].map(|v| vec![v; 4]).to_vec();
    assert_eq!(biases(lstm()), of(0.0, 1.0, 0.0, 0.0));
    assert_eq!(biases(lstm().forget_bias(3.0)), of(0.0, 3.0, 0.0, 0.0));
    let half = Init::Constant(0.5);
    assert_eq!(biases(lstm().bias_init(half)), of(0.5, 0.5, 0.5, 0.5));
    assert_eq!(biases(lstm().bias_init(half).forget_bias(1.0)), of(0.5, 1.0, 0.5, 0.5));
    assert_eq!(biases(lstm().forget_bias(1.0).bias_init(half)), of(0.5, 1.0, 0.5, 0.5));
    let [i, f, g, o] = &biases(lstm().chrono_init(50).bias_init(half))[..] else { panic!() };
    assert_eq!((g, o), (&vec![0.5; 4], &vec![0.5; 4]));
    assert!(
        i.iter().zip(f).all(|(i, f)| i == &-f && (0.0..=49_f32.ln()).contains(f)),
        "{i:?} {f:?}"
    );
    assert!(f.iter().any(|v| v != &f[0]), "{f:?}");
}

/// Every weight of a stack, of both directions and of a projection.
#[test]
fn weights_are_drawn_as_asked() {
    let params = params();
    let _ = Lstm::new(16)
        .num_layers(2)
        .bidirectional(Merge::Concat)
        .projection(9)
        .kernel_init(Init::PyTorch)
        .recurrent_init(Init::Uniform { limit: 0.5 })
        .bias_init(Init::PyTorch)
        .build(&params, 3)
        .unwrap();
    let _ = Rnn::new(25)
        .kernel_init(Init::PyTorch)
        .recurrent_init(Init::Constant(0.25))
        .bias_init(Init::Uniform { limit: 2.0 })
        .build(&params, 3)
        .unwrap();
    let _ = Dense::new(40)
        .kernel_init(Init::PyTorch)
        .bias_init(Init::PyTorch)
        .build(&params, 4)
        .unwrap();
    let _ = Embedding::new(50, 8).padding_index(7).init(Init::PyTorch).build(&params).unwrap();
    for name in params.names().iter().filter(|name| name.starts_with("lstm")) {
        let limit = match name {
            name if name.contains("weight_hh") => 0.5,
            name if name.contains("bias") => 0.5,
            _ => 0.25,
        };
        let values = params.get(name).unwrap();
        assert!(values.iter().all(|v| v.abs() <= limit), "{name}");
        assert!(values.iter().any(|v| v.abs() > 0.6 * limit), "{name}");
    }
    near(&params.get("rnn.weight_ih_l0").unwrap(), 0.2);
    assert_eq!(params.get("rnn.weight_hh_l0").unwrap(), vec![0.25; 25 * 25]);
    near(&params.get("rnn.bias_l0").unwrap(), 2.0);
    near(&params.get("dense.weight").unwrap(), 0.5);
    near(&params.get("dense.bias").unwrap(), 0.5);
    let table = params.get("embedding.weight").unwrap();
    assert_eq!(table[7 * 8..8 * 8], [0.0; 8]);
    let variance = table.iter().map(|v| v * v).sum::<f32>() / 392.0;
    assert!((variance - 1.0).abs() < 0.35, "{variance}");
}

/// As Keras': the rows of `[H,4H]`, which here are the columns of `[4H,H]`. Whatever the threads.
#[test]
fn recurrent_weights_are_orthogonal_by_default() {
    let h = 40;
    let of = |threads| {
        let params = Params::seeded(&Device::cpu_with_threads(threads).unwrap(), 3);
        let _ = Lstm::new(h).build(&params, 2).unwrap();
        params.get("lstm.weight_hh_l0").unwrap()
    };
    let r = of(1);
    assert_eq!(of(2), r);
    for a in 0..h {
        for b in 0..h {
            let at = |row: usize, unit: usize| f64::from(r[row * h + unit]);
            let dot: f64 = (0..4 * h).map(|row| at(row, a) * at(row, b)).sum();
            assert!((dot - f64::from(u8::from(a == b))).abs() < 1e-6, "{a} {b} {dot}");
        }
    }
}

/// Every layer that PyTorch has, by one word; what is set otherwise stays.
#[test]
fn a_model_begins_as_pytorchs_by_one_word() {
    let device = &Device::cpu().unwrap();
    let build = |model: Sequential, one: bool| {
        let lstm = Lstm::new(16).num_layers(2).bidirectional(Merge::Concat).projection(9);
        let asked = Init::PyTorch;
        let (lstm, rnn, dense, conv, table) = match one {
            true => (lstm, Rnn::new(25), Dense::new(40), Conv1d::new(8, 3), Embedding::new(50, 8)),
            false => (
                lstm.pytorch_init(),
                Rnn::new(25).kernel_init(asked).recurrent_init(asked).bias_init(asked),
                Dense::new(40).kernel_init(asked).bias_init(asked),
                Conv1d::new(8, 3).kernel_init(asked).bias_init(asked),
                Embedding::new(50, 8).init(asked),
            ),
        };
        let mut model = model
            .seed(4)
            .add(table)
            .add(conv)
            .add(Highway::new(lstm.return_sequences()))
            .add(rnn.return_sequences())
            .add(dense)
            .add(Dense::new(3).bias_init(Init::Constant(0.5)).kernel_init(Init::HeNormal))
            .add(Lstm::new(4).recurrent_init(Init::Zeros).forget_bias(2.0));
        model.build(1).unwrap();
        model
    };
    let one = build(Sequential::new(device).pytorch_init(), true);
    let each = build(Sequential::new(device), false);
    let (mut same, mut of_default) = (0, 0);
    for name in one.params().names() {
        let [a, b] = [&one, &each].map(|model| model.params().get(&name).unwrap());
        match name.starts_with("lstm_1") || ["dense.weight", "dense_1.weight"].contains(&&name[..])
        {
            // The gate and the way around of a Highway, and the last LSTM, which nothing else asks for.
            true => of_default += 1,
            false => {
                assert_eq!(a, b, "{name}");
                same += 1;
            }
        }
    }
    assert_eq!((same, of_default), (27, 5));
    let last = |name: &str| one.params().get(&format!("lstm_1.{name}_l0")).unwrap();
    near(&last("weight_ih"), 0.5);
    assert_eq!(last("weight_hh"), [0.0; 64]);
    assert_eq!(last("bias")[4..8], [2.0; 4]);
    assert!(last("bias")[8..].iter().all(|b| *b != 0.0 && b.abs() <= 1.0));
    assert_eq!(one.params().get("dense.bias").unwrap(), [-1.0; 18]);
    // PyTorch's bias=False.
    let params = Params::new(device);
    let _ = Lstm::new(16).no_bias().pytorch_init().build(&params, 3).unwrap();
    near(&params.get("lstm.weight_ih_l0").unwrap(), 0.25);
    assert_eq!(params.names().len(), 2);
}
