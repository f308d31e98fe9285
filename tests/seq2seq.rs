//! An encoder-decoder that learns, and decodes as it should.

mod common;

use common::devices;
use wgpu_lstm::nn::{Attention, Params, Seq2Seq};
use wgpu_lstm::train::Adam;
use wgpu_lstm::{Device, Error, Tape};

/// Rows of 1 to 5 tokens of 6, and the same the other way round.
fn pairs(n: usize, seed: u32) -> (Vec<Vec<u32>>, Vec<Vec<u32>>) {
    let mut state = seed;
    let mut random = |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) % below
    };
    let source: Vec<Vec<u32>> =
        (0..n).map(|_| (0..1 + random(5)).map(|_| random(6)).collect()).collect();
    let target = source.iter().map(|row| row.iter().rev().copied().collect()).collect();
    (source, target)
}

fn trained(model: Seq2Seq, steps: usize, device: &Device) -> (Seq2Seq, Params, f32) {
    let params = Params::seeded(device, 6);
    let model = model.build(&params).unwrap();
    let mut adam = Adam::new(1e-2);
    let mut last = f32::NAN;
    for step in 0..steps {
        let (source, target) = pairs(64, step as u32);
        let tape = Tape::new(&params);
        let loss = model.loss(&tape, &source, &target).unwrap();
        last = if step + 1 == steps { loss.tensor().to_vec().unwrap()[0] } else { last };
        tape.backward(&loss).unwrap();
        adam.step(&params).unwrap();
    }
    (model, params, last)
}

fn small() -> Seq2Seq {
    Seq2Seq::new(6, 6).embedding_size(12).hidden_size(32)
}

#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn it_learns_to_say_it_backwards() {
    let [cpu, gpu] = devices() else { panic!("two devices") };
    let (model, params, _) = trained(small(), 250, cpu);
    let (source, target) = pairs(100, 12345);
    let said = model.greedy(&params, &source, 8).unwrap();
    let right = said.iter().zip(&target).filter(|(a, b)| a == b).count();
    assert!(right >= 90, "{right} of 100");
    let best = model.beam(&params, &source[..20], 3, 8).unwrap();
    let right = best.iter().zip(&target).filter(|(a, b)| &a[0].tokens == *b).count();
    assert!(right >= 17, "{right} of 20 by beam");
    // The same parameters on the other device say the same.
    let there = Params::new(gpu);
    let other = small().build(&there).unwrap();
    for name in params.names() {
        there.set(&name, &params.get(&name).unwrap()).unwrap();
    }
    assert_eq!(other.greedy(&there, &source, 8).unwrap(), said);
}

#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn both_devices_learn_alike() {
    for model in [
        small().bidirectional_encoder().num_layers(2).attention(Attention::additive(10)),
        small().no_attention(),
        small().attention(Attention::dot()),
    ] {
        let losses: Vec<_> =
            devices().iter().map(|device| trained(model.clone(), 12, device).2).collect();
        assert!((losses[0] - losses[1]).abs() < 1e-3, "{losses:?}");
        // Without training it is the logarithm of 7, or above.
        assert!(losses[0] < 1.85, "{losses:?}");
    }
}

/// The log-probability of tokens by teacher forcing, the end behind them or not.
fn log_probability(
    model: &Seq2Seq,
    params: &Params,
    source: &[u32],
    tokens: &[u32],
    ended: bool,
) -> f32 {
    let logits = model.forward(&Tape::inference(params), &[source], &[tokens]).unwrap();
    let classes = logits.shape()[2];
    let words = logits.tensor().to_vec().unwrap();
    let mut said = tokens.to_vec();
    if ended {
        said.push(classes as u32 - 1);
    }
    let of = |(row, &token): (&[f32], &u32)| {
        row[token as usize] - row.iter().map(|x| x.exp()).sum::<f32>().ln()
    };
    words.chunks(classes).zip(&said).map(of).sum()
}

#[test]
fn a_wide_beam_finds_what_trying_all_finds() {
    for device in devices() {
        let params = Params::seeded(device, 8);
        let model = Seq2Seq::new(4, 3).embedding_size(5).hidden_size(32).build(&params).unwrap();
        // So that some tokens are likelier than others.
        let bias = vec![0.3, -0.2, 0.1, -0.4];
        params.set("dense_1.bias", &bias).unwrap();
        let source = [vec![3, 1, 2], vec![0]];
        let mut all: Vec<Vec<u32>> = vec![vec![]];
        let mut from = 0;
        for _ in 0..3 {
            let to = all.len();
            for i in from..to {
                for token in 0..3 {
                    all.push([&all[i][..], &[token]].concat());
                }
            }
            from = to;
        }
        let found = model.beam(&params, &source, 1000, 3).unwrap();
        for (source, found) in source.iter().zip(&found) {
            // Ended within three steps, or three tokens long.
            let mut expected: Vec<(f32, Vec<u32>)> = all
                .iter()
                .map(|t| (log_probability(&model, &params, source, t, t.len() < 3), t.clone()))
                .collect();
            expected.sort_by(|a, b| b.0.total_cmp(&a.0));
            assert_eq!(found.len(), expected.len());
            let sum: f32 = found.iter().map(|h| h.log_probability.exp()).sum();
            assert!((sum - 1.0).abs() < 1e-4, "{sum}");
            for (found, (log, _)) in found.iter().zip(&expected) {
                assert!((found.log_probability - log).abs() < 1e-4, "{found:?}, {log}");
                assert_eq!(found.ended, found.tokens.len() < 3);
                let again = log_probability(&model, &params, source, &found.tokens, found.ended);
                assert!((found.log_probability - again).abs() < 1e-4, "{found:?}, {again}");
            }
        }
        let narrow = model.beam(&params, &source, 1, 6).unwrap();
        let greedy = model.greedy(&params, &source, 6).unwrap();
        assert_eq!(narrow.iter().map(|h| h[0].tokens.clone()).collect::<Vec<_>>(), greedy);
    }
}

#[test]
fn it_checks_its_tokens() {
    let params = Params::new(&devices()[0]);
    let tape = Tape::new(&params);
    let bare = Seq2Seq::new(4, 3);
    assert!(matches!(bare.loss(&tape, &[[1]], &[[1]]), Err(Error::NotBuilt { .. })));
    assert!(matches!(bare.greedy(&params, &[[1]], 3), Err(Error::NotBuilt { .. })));
    let option = |model: Seq2Seq| match model.build(&params) {
        Err(Error::Option { option, .. }) => option,
        other => panic!("{other:?}"),
    };
    assert_eq!(option(Seq2Seq::new(0, 3)), "Embedding::tokens");
    assert_eq!(option(Seq2Seq::new(3, 0)), "Seq2Seq::target_tokens");
    let odd = Seq2Seq::new(3, 3).hidden_size(5).bidirectional_encoder();
    assert_eq!(option(odd), "Seq2Seq::hidden_size");
    for rate in [1.0, -0.5, f32::NAN] {
        assert_eq!(option(Seq2Seq::new(3, 3).dropout(rate)), "Seq2Seq::dropout");
    }
    assert!(params.names().is_empty(), "{:?}", params.names());
    let model = bare.embedding_size(2).hidden_size(2).build(&params).unwrap();
    let error = model.loss(&tape, &[[4]], &[[1]]).unwrap_err();
    assert!(matches!(error, Error::Token { sequence: 0, place: 0, tokens: 4, .. }), "{error}");
    let error = model.loss(&tape, &[[1], [1]], &[[1], [3]]).unwrap_err();
    assert!(matches!(error, Error::Label { row: 1, found: 3, classes: 3 }), "{error}");
    let error = model.loss(&tape, &[[1], [1]], &[[1]]).unwrap_err();
    assert!(matches!(error, Error::Count { expected: 2, found: 1, .. }), "{error}");
    let empty: [&[u32]; 1] = [&[]];
    let error = model.loss(&tape, &empty, &[[1]]).unwrap_err();
    assert!(matches!(error, Error::Length { row: 0, found: 0, .. }), "{error}");
    assert!(model.loss(&tape, &[[1]], &empty).is_ok());
    let none: [&[u32]; 0] = [];
    assert!(model.loss(&tape, &none, &none).is_err());
    assert!(model.greedy(&params, &none, 3).unwrap().is_empty());
    assert!(model.beam(&params, &none, 2, 3).unwrap().is_empty());
    let error = model.beam(&params, &[[1]], 0, 3).unwrap_err();
    assert!(matches!(error, Error::Option { option: "Seq2Seq::width", .. }), "{error}");
    assert_eq!(model.greedy(&params, &[[1]], 0).unwrap(), [[0u32; 0]]);
}

/// The model, put together by hand from its parts.
#[test]
fn it_is_what_its_parts_make() {
    use wgpu_lstm::Var;
    use wgpu_lstm::nn::{Activation, Dense, Embedding, Lstm, LstmState, Merge, concat};
    for device in devices() {
        let params = Params::seeded(device, 2);
        let model = Seq2Seq::new(5, 4)
            .embedding_size(3)
            .hidden_size(32)
            .num_layers(2)
            .bidirectional_encoder()
            .attention(Attention::additive(4))
            .build(&params)
            .unwrap();
        let other = Params::new(device);
        let source = Embedding::new(5, 3).build(&other).unwrap();
        let encoder = Lstm::new(16).bidirectional(Merge::Concat).num_layers(2).return_sequences();
        let encoder = encoder.build(&other, 3).unwrap();
        let target = Embedding::new(5, 3).build(&other).unwrap();
        let decoder = Lstm::new(32).num_layers(2).return_sequences().build(&other, 3).unwrap();
        let attention = Attention::additive(4).build(&other, 32, 32).unwrap();
        let mix = Dense::new(32).activation(Activation::Tanh).build(&other, 64).unwrap();
        let head = Dense::new(5).build(&other, 32).unwrap();
        assert_eq!(params.names(), other.names());
        for name in params.names() {
            other.set(&name, &params.get(&name).unwrap()).unwrap();
        }
        let tape = Tape::inference(&other);
        let x = source.lookup(&tape, &[1, 4, 2], [1, 3]).unwrap();
        let read = encoder.run(&tape, &x, None).unwrap();
        let both = |layer: usize, of: fn(&LstmState) -> &Var| {
            let parts = [0, 1].map(|d| of(&read.state[2 * layer + d]).clone());
            concat(&tape, &parts).unwrap()
        };
        let states =
            [0, 1].map(|layer| LstmState::new(both(layer, |s| &s.h), both(layer, |s| &s.c)));
        // 4 begins.
        let y = target.lookup(&tape, &[4, 3, 0], [1, 3]).unwrap();
        let y = decoder.run(&tape, &y, Some(&states)).unwrap().output;
        let attended = attention.forward(&tape, &y, &read.output).unwrap();
        let weights = attended.weights.to_vec().unwrap();
        let y = concat(&tape, &[y, attended.context]).unwrap();
        let y = mix.forward(&tape, &y).unwrap();
        let expected = head.forward(&tape, &y).unwrap().tensor().to_vec().unwrap();
        let tape = Tape::inference(&params);
        let found = model.forward(&tape, &[[1, 4, 2]], &[[3, 0]]).unwrap();
        assert_eq!(found.shape(), [1, 3, 5]);
        common::close(
            &format!("logits on {device}"),
            &found.tensor().to_vec().unwrap(),
            &expected,
            1e-6,
        );
        // Among rows of other lengths.
        let rows = ([vec![3; 5], vec![1, 4, 2]], [vec![2; 4], vec![3, 0]]);
        let maps = model.attention_maps(&params, &rows.0, &rows.1).unwrap();
        assert_eq!([maps[0].shape, maps[1].shape], [[5, 5], [3, 3]]);
        common::close(&format!("weights on {device}"), &maps[1].weights, &weights, 1e-6);
        assert_eq!(maps[1].row(2), &maps[1].weights[6..]);
    }
}

/// A decoder that looks at the source finds what it says where it stands.
#[test]
fn what_says_it_backwards_looks_backwards() {
    let (model, params, _) = trained(small(), 250, &Device::cpu().unwrap());
    let source = [[0, 5, 2, 1, 4], [3, 1, 0, 2, 5]];
    let said = model.greedy(&params, &source, 8).unwrap();
    let maps = model.attention_maps(&params, &source, &said).unwrap();
    assert_eq!(maps[0].shape, [6, 5]);
    // Where the encoder reads the token, or the one behind it, whose output knows it, too.
    let most = |row: &[f32]| (0..5).fold(0, |best, j| if row[j] > row[best] { j } else { best });
    let near = maps.iter().flat_map(|map| (0..4).map(|u| most(map.row(u)).abs_diff(4 - u) <= 1));
    assert!(near.filter(|&near| near).count() >= 6, "{maps:?}");
    let none = small().no_attention().build(&params).unwrap();
    let error = none.attention_maps(&params, &source, &said).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    let error = model.attention_maps(&params, &source, &said[..1]).unwrap_err();
    assert!(matches!(error, Error::Count { .. }), "{error}");
    let nothing: [[u32; 0]; 0] = [];
    assert!(model.attention_maps(&params, &nothing, &nothing).unwrap().is_empty());
}

#[test]
fn it_drops_values_in_training() {
    for device in devices() {
        for layers in [1, 2] {
            let params = Params::new(device);
            let model = small().num_layers(layers).dropout(0.5).build(&params).unwrap();
            let run = |tape: &Tape| {
                let y = model.forward(tape, &[[1, 2]], &[[3]]).unwrap();
                y.tensor().to_vec().unwrap()
            };
            let plain = run(&Tape::inference(&params));
            assert_eq!(plain, run(&Tape::inference(&params)));
            let (a, b) = (run(&Tape::new(&params)), run(&Tape::new(&params)));
            assert!(a != plain && b != plain && a != b, "{device}");
        }
    }
}

/// A beam of each width against the same search by teacher forcing.
#[test]
fn a_narrow_beam_keeps_the_likeliest_beginnings() {
    let device = &devices()[0];
    for seed in 0..4 {
        let params = Params::seeded(device, seed);
        let model = Seq2Seq::new(4, 3).embedding_size(5).hidden_size(32).build(&params).unwrap();
        // Weights large enough that the likeliest changes on the way.
        for name in params.names() {
            let large: Vec<_> = params.get(&name).unwrap().iter().map(|w| 4.0 * w).collect();
            params.set(&name, &large).unwrap();
        }
        let source = [2, 0, 3];
        for (width, most) in [(2, 4), (3, 3), (5, 4)] {
            let of = |t: &[u32], ended: bool| log_probability(&model, &params, &source, t, ended);
            let (mut open, mut done) = (vec![vec![]], Vec::<(f32, Vec<u32>)>::new());
            for _ in 0..most {
                let mut next = Vec::new();
                for tokens in &open {
                    next.push((of(tokens, true), tokens.clone(), true));
                    for token in 0..3 {
                        let longer = [&tokens[..], &[token]].concat();
                        next.push((of(&longer, false), longer, false));
                    }
                }
                next.sort_by(|a, b| b.0.total_cmp(&a.0));
                next.truncate(width);
                open = next.iter().filter(|n| !n.2).map(|n| n.1.clone()).collect();
                done.extend(next.into_iter().filter(|n| n.2).map(|n| (n.0, n.1)));
            }
            done.extend(open.into_iter().map(|t| (of(&t, false), t)));
            done.sort_by(|a, b| b.0.total_cmp(&a.0));
            done.truncate(width);
            let found = model.beam(&params, &[source], width, most).unwrap().remove(0);
            let tokens: Vec<_> = found.iter().map(|h| h.tokens.clone()).collect();
            let expected: Vec<_> = done.into_iter().map(|d| d.1).collect();
            assert_eq!(tokens, expected, "width {width}, seed {seed}");
        }
    }
}

/// A beam search as a book has it: one row, one prefix after the other, by teacher forcing; all extensions
/// of all prefixes are sorted.
fn beam_of_one(
    model: &Seq2Seq,
    params: &Params,
    source: &[u32],
    width: usize,
    most: usize,
) -> Vec<(Vec<u32>, f32, bool)> {
    type Found = (Vec<u32>, f32, bool);
    let likeliest = |found: &mut Vec<Found>| {
        found.sort_by(|a, b| b.1.total_cmp(&a.1));
        found.truncate(width);
    };
    let (mut open, mut done): (Vec<Found>, Vec<Found>) = (vec![(vec![], 0.0, false)], vec![]);
    for _ in 0..most {
        let mut next = Vec::new();
        for (tokens, log, _) in &open {
            let logits = model.forward(&Tape::inference(params), &[source], &[tokens]).unwrap();
            let classes = logits.shape()[2];
            let row = logits.tensor().to_vec().unwrap()[tokens.len() * classes..].to_vec();
            let largest = row.iter().copied().fold(f32::MIN, f32::max);
            let sum = row.iter().map(|x| (x - largest).exp()).sum::<f32>().ln();
            for (token, x) in row.iter().enumerate() {
                let ended = token + 1 == classes;
                let mut said = tokens.clone();
                said.extend((!ended).then_some(token as u32));
                next.push((said, log + (x - largest - sum), ended));
            }
        }
        likeliest(&mut next);
        open = next.iter().filter(|n| !n.2).cloned().collect();
        done.extend(next.into_iter().filter(|n| n.2));
        likeliest(&mut done);
        if done.len() == width && open.iter().all(|o| o.1 <= done[width - 1].1) {
            open.clear();
        }
        if open.is_empty() {
            break;
        }
    }
    done.extend(open);
    likeliest(&mut done);
    done
}

/// Rows that end at different times, and have more or fewer prefixes than others, in one batch.
#[test]
fn rows_in_a_batch_find_what_each_finds_alone() {
    let source = [vec![2, 0, 3], vec![1], vec![3, 3, 1, 0, 2], vec![0, 2], vec![1, 1, 1]];
    let (mut ends, mut cut) = (0, 0);
    for (device, seed) in devices().iter().flat_map(|device| [(device, 3), (device, 11)]) {
        for attention in [None, Some(Attention::general()), Some(Attention::additive(5))] {
            let params = Params::seeded(device, seed);
            let model = Seq2Seq::new(4, 5).embedding_size(5).hidden_size(32).num_layers(2);
            let model = match attention {
                Some(attention) => model.attention(attention),
                None => model.no_attention(),
            };
            let model = model.build(&params).unwrap();
            for name in params.names() {
                let large: Vec<_> = params.get(&name).unwrap().iter().map(|w| 4.0 * w).collect();
                params.set(&name, &large).unwrap();
            }
            for (width, most) in [(1, 7), (2, 1), (3, 7), (4, 5), (9, 4)] {
                let found = model.beam(&params, &source, width, most).unwrap();
                for (row, (source, found)) in source.iter().zip(&found).enumerate() {
                    let what = format!("{device}, seed {seed}, width {width}, row {row}");
                    let expected = beam_of_one(&model, &params, source, width, most);
                    assert_eq!(found.len(), expected.len(), "{what}");
                    for (found, (tokens, log, ended)) in found.iter().zip(&expected) {
                        assert_eq!((&found.tokens, found.ended), (tokens, *ended), "{what}");
                        let close = (found.log_probability - log).abs() < 1e-4;
                        assert!(close, "{what}: {found:?}, {log}");
                    }
                    ends += found.iter().filter(|h| h.ended).count();
                    cut += found.iter().filter(|h| !h.ended).count();
                }
                if width == 1 {
                    let said: Vec<_> = found.into_iter().map(|mut f| f.remove(0).tokens).collect();
                    assert_eq!(model.greedy(&params, &source, most).unwrap(), said);
                }
            }
        }
    }
    assert!(ends > 100 && cut > 100, "{ends} ended, {cut} were cut off");
}

#[test]
fn parameters_that_are_no_numbers_are_an_error() {
    let params = Params::new(&devices()[0]);
    let model = small().build(&params).unwrap();
    params.set("dense_1.bias", &[f32::NAN; 7]).unwrap();
    assert!(matches!(model.greedy(&params, &[[1]], 3), Err(Error::NotFinite { .. })));
    assert!(matches!(model.beam(&params, &[[1]], 2, 3), Err(Error::NotFinite { .. })));
}
