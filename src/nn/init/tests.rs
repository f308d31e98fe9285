use super::*;
use crate::Device;

fn params(seed: u64) -> Params {
    Params::seeded(&Device::cpu().unwrap(), seed)
}

const ALL: [Init; 11] = [
    Init::Zeros,
    Init::Constant(0.5),
    Init::Uniform { limit: 0.3 },
    Init::Normal { std: 0.3 },
    Init::GlorotUniform,
    Init::GlorotNormal,
    Init::HeUniform,
    Init::HeNormal,
    Init::LecunNormal,
    Init::Orthogonal { gain: 1.5 },
    Init::PyTorch,
];

/// The mean, the variance and the largest size of values.
fn moments(values: &[f32]) -> [f64; 3] {
    let of = |f: &dyn Fn(f64) -> f64| {
        values.iter().map(|&v| f(v.into())).sum::<f64>() / values.len() as f64
    };
    let mean = of(&|v| v);
    let largest = values.iter().fold(0.0, |most: f64, &v| most.max(f64::from(v).abs()));
    [mean, of(&|v| (v - mean) * (v - mean)), largest]
}

#[test]
fn values_have_the_moments_and_bounds_that_are_said() {
    let (fan_in, fan_out, size) = (300, 500, 40);
    let (n, all) = (f64::from(fan_in), f64::from(fan_in + fan_out));
    let truncated = |variance: f64| (variance, 2.0 * variance.sqrt() / 0.879_625_661_034_239_8);
    let uniform = |limit: f64| (limit * limit / 3.0, limit);
    for (init, (variance, bound)) in [
        (Init::Zeros, (0.0, 0.0)),
        (Init::Uniform { limit: 0.3 }, uniform(0.3)),
        // One of 150,000 lies beyond 4 standard deviations for sure, and none beyond 6.5.
        (Init::Normal { std: 0.3 }, (0.09, 1.95)),
        (Init::GlorotUniform, uniform((6.0 / all).sqrt())),
        (Init::GlorotNormal, truncated(2.0 / all)),
        (Init::HeUniform, uniform((6.0 / n).sqrt())),
        (Init::HeNormal, truncated(2.0 / n)),
        (Init::LecunNormal, truncated(1.0 / n)),
        (Init::PyTorch, uniform(1.0 / f64::from(size).sqrt())),
        // Rows of length 1 with 500 values each.
        (Init::Orthogonal { gain: 1.0 }, (1.0 / f64::from(fan_out), 0.4)),
    ] {
        let fans = [fan_in as usize, fan_out as usize];
        let values = init.weight(&params(7), fans, size as usize).unwrap();
        assert_eq!(values.len(), fans[0] * fans[1]);
        let [mean, found, largest] = moments(&values);
        // Five standard errors: of the mean 1/387, of the variance at most sqrt(2)/387.
        assert!(mean.abs() <= 5.0 * variance.sqrt() / 387.0, "{init:?}: mean {mean}");
        assert!((found - variance).abs() <= 0.02 * variance, "{init:?}: {found}, not {variance}");
        assert!(largest <= bound * (1.0 + 1e-6), "{init:?}: {largest} beyond {bound}");
        let reached = if matches!(init, Init::Normal { .. }) { 1.2 } else { 0.99 * bound };
        let spread = matches!(init, Init::Orthogonal { .. });
        assert!(spread || largest >= reached, "{init:?}: {largest} of {bound}");
    }
    let constant = Init::Constant(-2.0).weight(&params(7), [2, 3], 1).unwrap();
    assert_eq!(constant, [-2.0; 6]);
}

#[test]
fn normal_values_are_normal() {
    let values = Init::Normal { std: 1.0 }.weight(&params(3), [500, 1000], 1).unwrap();
    // The shares beyond 0, 1, 2 and 3 standard deviations, within five standard errors.
    for (beyond, share) in [(0.0, 0.5), (1.0, 0.158_655), (2.0, 0.022_750), (3.0, 0.001_349_9)] {
        for sign in [-1.0, 1.0] {
            let found = values.iter().filter(|&&v| sign * v > beyond).count() as f64 / 5e5;
            let error = 5.0 * (share * (1.0 - share) / 5e5_f64).sqrt();
            assert!((found - share).abs() < error, "{sign} {beyond}: {found}, not {share}");
        }
    }
}

/// Whatever the shape: with blocks of reflections in part, one, or several.
#[test]
fn orthogonal_values_are_orthonormal() {
    for (rows, columns) in [
        (1, 1),
        (2, 2),
        (1, 4),
        (7, 28),
        (5, 3),
        (28, 7),
        (97, 97),
        (96, 384),
        (300, 130),
        (130, 521),
    ] {
        for gain in [1.0, -0.5] {
            let init = Init::Orthogonal { gain };
            let r = init.weight(&params(1), [rows, columns], 1).unwrap();
            let by_rows = rows <= columns;
            let (n, terms) = (rows.min(columns), rows.max(columns));
            let at = |i: usize, k: usize| match by_rows {
                true => f64::from(r[i * columns + k]),
                false => f64::from(r[k * columns + i]),
            };
            for i in 0..n {
                for j in 0..=i {
                    let dot: f64 = (0..terms).map(|k| at(i, k) * at(j, k)).sum();
                    let expected = f64::from(u8::from(i == j)) * f64::from(gain * gain);
                    let error = (dot - expected).abs();
                    assert!(error < 1e-6, "{rows} {columns}: {i} {j} {dot}");
                }
            }
        }
    }
}

/// Of the uniform distribution over O(3): each value has the moments 0, 1/3, 1/5, the trace 0 and 1, and the
/// determinant is as often -1 as 1.
#[test]
fn orthogonal_values_are_uniformly_distributed() {
    let draws = 20_000;
    let mut sums = [[0.0; 3]; 9];
    let (mut traces, mut determinants) = ([0.0; 2], 0.0);
    for seed in 0..draws {
        let q = Init::Orthogonal { gain: 1.0 }.weight(&params(seed), [3, 3], 1).unwrap();
        let q: Vec<f64> = q.into_iter().map(f64::from).collect();
        for (sums, v) in sums.iter_mut().zip(&q) {
            sums.iter_mut().zip([*v, v * v, v.powi(4)]).for_each(|(sum, power)| *sum += power);
        }
        let trace = q[0] + q[4] + q[8];
        traces[0] += trace;
        traces[1] += trace * trace;
        let minor = |a: usize, b: usize| q[3 + a] * q[6 + b] - q[3 + b] * q[6 + a];
        determinants += q[0] * minor(1, 2) - q[1] * minor(0, 2) + q[2] * minor(0, 1);
    }
    // Five standard errors of values of at most 1, and of the squared trace, which is at most 9.
    let near = |sum: f64, expected: f64, spread: f64| {
        let error = (sum / draws as f64 - expected).abs();
        assert!(error < 5.0 * spread / (draws as f64).sqrt(), "{sum} {expected}");
    };
    for [first, second, fourth] in sums {
        near(first, 0.0, 0.6);
        near(second, 1.0 / 3.0, 0.3);
        near(fourth, 0.2, 0.3);
    }
    near(traces[0], 0.0, 1.0);
    near(traces[1], 1.0, 1.5);
    near(determinants, 0.0, 1.0);
}

#[test]
fn a_recurrent_bias_is_the_sum_of_pytorchs_two() {
    let values = Init::PyTorch.bias(&params(2), 100_000, 16, 2).unwrap();
    let [mean, variance, largest] = moments(&values);
    // Of two uniform numbers up to 1/4.
    assert!(mean.abs() < 5.0 * (1.0 / 24.0_f64).sqrt() / 316.0, "{mean}");
    assert!((variance * 24.0 - 1.0).abs() < 0.02, "{variance}");
    assert!(largest <= 0.5 && largest > 0.49, "{largest}");
    let one = Init::PyTorch.bias(&params(2), 100_000, 16, 1).unwrap();
    assert!(moments(&one)[2] <= 0.25);
}

#[test]
fn chrono_biases_are_logarithms_of_uniform_times() {
    let mut values = vec![0.25; 4 * 50_000];
    chrono(&params(5), 200, &mut values);
    let mut times = Vec::new();
    for gates in values.chunks_exact(4) {
        assert_eq!((gates[0], &gates[2..]), (-gates[1], &[0.25, 0.25][..]));
        times.push(gates[1].exp());
    }
    let [mean, variance, largest] = moments(&times);
    let spread = 198.0 / 12_f64.sqrt();
    assert!((mean - 100.0).abs() < 5.0 * spread / 223.0, "{mean}");
    assert!((variance / spread / spread - 1.0).abs() < 0.02, "{variance}");
    assert!(largest <= 199.001 && times.iter().all(|&u| u >= 0.999));
}

/// These bits are to be those of every machine: they change only with the code.
#[test]
fn bits_are_those_of_every_machine() {
    let hash = |values: &[f32]| {
        let bytes = values.iter().flat_map(|v| v.to_bits().to_le_bytes());
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        })
    };
    let mut found = Vec::new();
    for init in ALL {
        found.push(hash(&init.weight(&params(1), [70, 280], 70).unwrap()));
    }
    found.push(hash(&Init::Orthogonal { gain: 1.0 }.weight(&params(1), [131, 97], 1).unwrap()));
    let mut values = vec![0.0; 400];
    chrono(&params(1), 1000, &mut values);
    found.push(hash(&values));
    let expected = [
        0xc4ab_bdec_7ea7_f025,
        0x3988_e51d_64fc_29a5,
        0x7dc2_95bf_fd53_00f0,
        0xf282_9579_ebd0_a7c8,
        0x3cf3_78fb_716d_6830,
        0x6d63_564c_1d94_18cf,
        0x10ad_9228_29bf_5866,
        0x77d4_ac70_4fda_e297,
        0xfa8a_1c4f_a025_da9b,
        0x3b4b_8b70_5e10_3ce2,
        0x7bd9_a040_5504_41c9,
        0x06a2_a8c1_7fe9_5b37,
        0xcbd3_4867_9f42_83bd_u64,
    ];
    assert_eq!(found, expected, "{found:#018x?}");
}

#[test]
fn values_without_memory_are_an_error() {
    // More bytes than a process can have: nothing is tried that might abort.
    for init in ALL {
        for values in [
            init.weight(&params(1), [1 << 31, 1 << 31], 1),
            init.weight(&params(1), [usize::MAX, 2], 1),
        ] {
            assert!(matches!(values, Err(Error::OutOfMemory { .. })), "{init:?}");
        }
    }
    let values =
        [repeated(&[0.0; 4], usize::MAX), Init::PyTorch.bias(&params(1), usize::MAX, 1, 2)];
    assert!(values.iter().all(|v| matches!(v, Err(Error::OutOfMemory { .. }))));
}
