//! What the attention of a model looks at.

use super::common::{close, devices};
use wgpu_lstm::nn::{
    Attention, AttentionPool, Dense, Embedding, Graph, Layer, Lstm, Params, Pool1d,
};
use wgpu_lstm::prelude::*;
use wgpu_lstm::{Error, Result, Tape, Tensor, Var};

const TOKENS: [&[usize]; 3] = [&[1, 2, 0, 4], &[8, 5], &[3]];

fn tokens() -> Sequences {
    Sequences::from_tokens(TOKENS).unwrap()
}

fn numbers(n: usize, step: f32) -> Vec<f32> {
    (0..n).map(|i| 2.0 * (step * (i + 1) as f32).sin()).collect()
}

/// The softmax of `weight . x` over the tokens that are not 0, in double precision.
fn expected(tokens: &[usize], table: &[f32], weight: &[f32]) -> Vec<f32> {
    let score = |&token: &usize| {
        let x = table[4 * token..][..4].iter().zip(weight);
        x.map(|(x, w)| f64::from(*x) * f64::from(*w)).sum::<f64>().exp()
    };
    let all: Vec<_> = tokens.iter().map(|t| if *t == 0 { 0.0 } else { score(t) }).collect();
    all.iter().map(|e| (e / all.iter().sum::<f64>()) as f32).collect()
}

#[test]
fn a_pool_looks_at_each_step_by_its_weight() {
    for device in devices() {
        let graph = Graph::new()
            .layer("words", "input", Embedding::new(9, 4).mask_zero())
            .layer("one", "words", AttentionPool::new())
            .layer("two", "words", AttentionPool::new())
            .concat("both", &["one", "two"]);
        let mut model = Sequential::new(device).add(graph).add(Dense::new(2));
        model.build(1).unwrap();
        let table = numbers(36, 0.7);
        model.params().set("embedding.weight", &table).unwrap();
        let weights = [numbers(4, 0.4), numbers(4, 1.9)];
        for (name, weight) in ["attention_pool", "attention_pool_1"].iter().zip(&weights) {
            model.params().set(&format!("{name}.weight"), weight).unwrap();
        }
        let maps = model.attention_maps(&tokens()).unwrap();
        assert_eq!(maps.len(), 3);
        for (map, tokens) in maps.iter().zip(TOKENS) {
            assert_eq!(map.shape, [2, tokens.len()]);
            for (row, weight) in weights.iter().enumerate() {
                let what = format!("pool {row}, {tokens:?} on {device}");
                close(&what, map.row(row), &expected(tokens, &table, weight), 1e-5);
            }
            assert!(map.row(2).is_empty());
        }
    }
}

/// Each step attends to all of them.
struct SelfAttention(Option<Attention>);

impl Layer for SelfAttention {
    fn kind(&self) -> &'static str {
        "self_attention"
    }

    fn build_on(&mut self, params: &Params, size: usize) -> Result<()> {
        self.0 = Some(Attention::general().build(params, size, size)?);
        Ok(())
    }

    fn output_size(&self) -> usize {
        4
    }

    fn gives_sequence(&self, _: bool) -> bool {
        true
    }

    fn forward(&self, tape: &Tape, x: &Var) -> Result<Var> {
        let attention = self.0.as_ref().ok_or(Error::custom("not built"))?;
        Ok(attention.forward(tape, x, x)?.context)
    }

    fn parameter_count(&self) -> usize {
        16
    }
}

/// A row for each of its queries, above that of the pool behind it.
#[test]
fn attention_in_a_layer_of_ones_own_has_a_row_for_each_query() {
    for device in devices() {
        let own = SelfAttention(None);
        let mut model = Sequential::new(device).add(own).add(AttentionPool::new());
        model.build(4).unwrap();
        let x = Sequences::new(4, [numbers(12, 0.3), numbers(20, 0.8)]).unwrap();
        for (map, row) in model.attention_maps(&x).unwrap().iter().zip(0..) {
            let t = x.frames(row);
            assert_eq!(map.shape, [t + 1, t]);
            let attention = Attention::general();
            let params = Params::new(device);
            let attention = attention.build(&params, 4, 4).unwrap();
            let weight = model.params().get("attention.query_weight").unwrap();
            params.set("attention.query_weight", &weight).unwrap();
            let x = Var::from(Tensor::from_slice(x.get(row), [1, t, 4], device).unwrap());
            let found = attention.forward(&Tape::inference(&params), &x, &x).unwrap();
            let what = format!("row {row} on {device}");
            close(&what, &map.weights[..t * t], &found.weights.to_vec().unwrap(), 1e-6);
            assert!((map.row(t).iter().sum::<f32>() - 1.0).abs() < 1e-6, "{what}");
        }
    }
}

#[test]
fn a_look_leaves_the_states_as_they_are() {
    let x = Sequences::from_array(&numbers(24, 0.3), [2, 4, 3]).unwrap();
    for device in devices() {
        let found = |looks: bool| {
            let mut model = Sequential::new(device)
                .add(Lstm::new(5).return_sequences().stateful())
                .add(Dropout::new(0.5))
                .add(AttentionPool::new());
            model.build(3).unwrap();
            let first = model.predict(&x).unwrap();
            if looks {
                let maps = model.attention_maps(&x).unwrap();
                assert_eq!(maps, model.attention_maps(&x).unwrap(), "no dropout on {device}");
                assert_eq!(maps[1].shape, [1, 4]);
            }
            (first, model.predict(&x).unwrap())
        };
        assert_eq!(found(true), found(false), "{device}");
    }
}

#[test]
fn what_has_no_map_says_why() {
    let device = &Device::cpu().unwrap();
    let mut model = Sequential::new(device).add(Embedding::new(9, 4)).add(Lstm::new(3));
    assert!(matches!(model.attention_maps(&tokens()), Err(Error::NotBuilt { .. })));
    model.build(1).unwrap();
    let error = model.attention_maps(&tokens()).unwrap_err();
    assert!(matches!(error, Error::Unsupported { with: "a model without attention", .. }));
    let wide = Sequences::new(2, [vec![0.0; 4]]).unwrap();
    assert!(matches!(model.attention_maps(&wide), Err(Error::Features { .. })));
    let unknown = Sequences::from_tokens([[3, 9]]).unwrap();
    assert!(matches!(model.attention_maps(&unknown), Err(Error::Token { .. })));

    let graph = Graph::new()
        .layer("half", "input", Pool1d::max(2))
        .layer("one", "input", AttentionPool::new())
        .layer("two", "half", AttentionPool::new())
        .concat("both", &["one", "two"]);
    let mut model = Sequential::new(device).add(graph);
    model.build(2).unwrap();
    let error = model.attention_maps(&Sequences::new(2, [vec![0.0; 8]]).unwrap()).unwrap_err();
    let with = "attention over different numbers of steps";
    assert!(matches!(&error, Error::Unsupported { with: found, .. } if *found == with), "{error}");
}
