//! One long row, which two threads of the CPU device share: the numbers are those of one thread, whichever of them is late.

use wgpu_lstm::prelude::*;

/// Sizes past the end of a vector, and of several blocks of units; steps from which the device shares a row, and fewer.
#[test]
fn the_same_bits_on_any_number_of_threads() {
    let plain = || Lstm::new(65);
    let layers = [
        ("plain", plain(), 65),
        ("wide", Lstm::new(130), 130),
        ("peepholes", plain().peepholes(), 65),
        ("coupled", plain().coupled(wgpu_lstm::nn::Coupling::InputFollowsForget), 65),
        ("clipped", plain().clip(0.4).cell_clip(0.3), 65),
        ("projected", plain().projection(31), 65),
        ("both ways", plain().bidirectional(Merge::Concat), 65),
        ("two layers", plain().num_layers(2), 65),
    ];
    for (name, layer, size) in layers {
        // 4 H H products a step, and 2^19 of them are enough.
        let enough = (1usize << 19).div_ceil(4 * size * size);
        for timesteps in [1, enough - 1, enough, 3 * enough] {
            let x: Vec<f32> = (0..timesteps * 7).map(|n| (n as f32 * 0.37).sin()).collect();
            let x = Sequences::from_array(&x, [1, timesteps, 7]).unwrap();
            let found = [1, 2, 3].map(|threads| {
                let device = Device::cpu_with_threads(threads).unwrap();
                let mut model =
                    Sequential::new(&device).add(layer.clone().return_sequences()).seed(3);
                model.build(7).unwrap();
                model.predict(&x).unwrap().values().to_vec()
            });
            assert!(found[0].iter().any(|y| *y != 0.0));
            for other in &found[1..] {
                let same = other.iter().zip(&found[0]).all(|(a, b)| a.to_bits() == b.to_bits());
                assert!(same && other.len() == found[0].len(), "{name}, {timesteps} steps");
            }
        }
    }
}
