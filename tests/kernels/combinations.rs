//! The LSTM with its options at random.

use super::lstm::{Case, Options, check_everywhere};
use super::oracle::Random;
use super::quick;
use crate::ops::lstm::cell::Cell;
use crate::{Coupling, GateActivation};
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::test_runner::{Config, RngSeed, TestRunner};

/// What `random_combinations` varies.
#[derive(Debug, Clone)]
struct Combination {
    seed: u64,
    sizes: [usize; 3],
    options: Options,
    reverse: bool,
    mask: bool,
    beside: [usize; 2],
    training: bool,
    cell: Option<Cell>,
    save: bool,
}

fn activations(usual: GateActivation) -> impl Strategy<Value = GateActivation> {
    let others = [
        GateActivation::Sigmoid,
        GateActivation::Tanh,
        GateActivation::Relu,
        GateActivation::Affine { alpha: 0.5, beta: 0.1 },
        GateActivation::HardSigmoid { alpha: 0.2, beta: 0.5 },
        GateActivation::LeakyRelu { alpha: 0.1 },
        GateActivation::ScaledTanh { alpha: 1.5, beta: 0.7 },
        GateActivation::Elu { alpha: 0.8 },
        GateActivation::Softsign,
        GateActivation::Softplus,
        GateActivation::ThresholdedRelu { alpha: 0.1 },
    ];
    prop_oneof![2 => Just(usual), 1 => proptest::sample::select(others.to_vec())]
}

fn cells() -> impl Strategy<Value = Cell> {
    let maybe = |value: f32| prop_oneof![3 => Just(None), 1 => Just(Some(value))];
    let share = |value: f32| prop_oneof![3 => Just(0.0f32), 1 => Just(value)];
    let couplings = vec![
        Coupling::None,
        Coupling::None,
        Coupling::InputFollowsForget,
        Coupling::ForgetFollowsInput,
    ];
    (
        activations(GateActivation::Sigmoid),
        activations(GateActivation::Tanh),
        activations(GateActivation::Tanh),
        (maybe(0.8), maybe(0.5)),
        any::<bool>(),
        (share(0.4), share(0.3), share(0.2)),
        proptest::sample::select(couplings),
    )
        .prop_map(|(recurrent, input, output, clips, peepholes, shares, coupling)| Cell {
            recurrent,
            input,
            output,
            clip: clips.0,
            cell_clip: clips.1,
            peepholes,
            recurrent_dropout: shares.0,
            zoneout: [shares.1, shares.2],
            coupling,
        })
}

fn combinations() -> impl Strategy<Value = Combination> {
    let bits = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    // So few rows that one kernel takes them all; wider ones have their own tests.
    let sizes = (1usize..=8, 1usize..=7, 1usize..=6);
    let cell = prop_oneof![1 => Just(None), 3 => cells().prop_map(Some)];
    let beside = prop_oneof![Just([0, 0]), [0usize..4, 0usize..4]];
    (any::<u64>(), sizes, 0usize..8, bits, beside, cell).prop_map(
        |(seed, (b, t, i), set, bits, beside, cell)| Combination {
            seed,
            sizes: [b, t, i],
            options: Options {
                lengths: set & 1 != 0,
                state: set & 2 != 0,
                sequences: set & 4 != 0,
                // Of the seed, which says nothing else of a case but its numbers.
                d_state: seed & 1 != 0,
                recompute: seed & 2 != 0,
            },
            reverse: bits.0,
            mask: bits.1,
            beside,
            training: bits.2,
            cell,
            save: bits.3,
        },
    )
}

/// Directions, masks and cells of every kind, at random: always the same 40, or 8 in the short
/// form, unless `PROPTEST_RNG_SEED` asks for others and `PROPTEST_CASES` for more.
#[test]
fn random_combinations() {
    let mut config = Config { failure_persistence: None, ..Config::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = if quick() { 8 } else { 40 };
    }
    if std::env::var_os("PROPTEST_RNG_SEED").is_none() {
        config.rng_seed = RngSeed::Fixed(0);
    }
    let seed = config.rng_seed;
    let tried = TestRunner::new(config).run(&combinations(), |c| {
        let [b, t, i] = c.sizes;
        // One hidden size: each makes kernels anew.
        let mut case = Case::new(c.seed, [b, t, i, 13], c.options);
        case.layer.reverse = c.reverse;
        if case.layer.lengths.is_none() && c.mask {
            let mut r = Random::new(c.seed.wrapping_add(1));
            // The op runs some step.
            case = case.with_mask((0..b * t).map(|at| at == 0 || r.below(3) > 0).collect());
        }
        case.beside = c.beside;
        case.noise.training = c.training;
        if let Some(cell) = c.cell {
            case = case.with_cell(cell, c.seed);
        }
        check_everywhere(&case, &[c.save, true]);
        Ok(())
    });
    tried.unwrap_or_else(|error| panic!("{seed:?}: {error}"));
}
