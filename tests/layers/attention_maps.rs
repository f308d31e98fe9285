//! What the attention of a model looks at.

use super::common::{close, devices};
use wgpu_lstm::Error;
use wgpu_lstm::nn::{AttentionPool, Dense, Embedding, Graph, Lstm, Pool1d};
use wgpu_lstm::prelude::*;

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
