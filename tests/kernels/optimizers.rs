//! Adam and gradient descent, over a few steps.

use super::oracle::{self, Random, widen};
use super::{close, devices, tensor};
use crate::ops::{adam, sgd};

#[test]
fn five_steps_of_each() {
    let mut r = Random::new(1);
    for n in [1, 63, 1000] {
        let p_0 = r.uniform(n, -1.0, 1.0);
        let gradients: Vec<_> = (0..5).map(|_| r.uniform(n, -1.0, 1.0)).collect();
        for decay in [0.0, 0.1] {
            let zeros = vec![0.0; n];
            let (beta1, beta2, eps, lr) = (0.9, 0.999, 1e-8, 0.01);
            let (m, v) = (zeros.clone(), zeros.clone());
            let mut expected = oracle::optim::Adam { lr, beta1, beta2, eps, decay, m, v, t: 0 };
            let mut p64 = widen(&p_0);
            for g in &gradients {
                expected.step(&mut p64, &widen(g));
            }
            for (name, device) in devices() {
                let p = tensor(&p_0, [n], device);
                let (m, v) =
                    (tensor(&vec![0.0; n], [n], device), tensor(&vec![0.0; n], [n], device));
                for (t, g) in gradients.iter().enumerate() {
                    let g = tensor(g, [n], device);
                    let factors = adam::Factors {
                        rate: (lr / (1.0 - beta1.powi(t as i32 + 1))) as f32,
                        root: (1.0 - beta2.powi(t as i32 + 1)).sqrt() as f32,
                        beta1: beta1 as f32,
                        beta2: beta2 as f32,
                        epsilon: eps as f32,
                        decay: (lr * decay) as f32,
                    };
                    adam::adam(&p, &g, &m, &v, factors).unwrap();
                    assert!(g.to_vec().unwrap().iter().all(|&g| g == 0.0), "{name}");
                }
                close(&format!("Adam of {n}, decay {decay}, {name}"), &p, &p64, 1e-5);
            }
        }
        for (momentum, nesterov) in [(0.0, false), (0.9, false), (0.9, true)] {
            let v = vec![0.0; n];
            let mut expected = oracle::optim::Sgd { lr: 0.1, momentum, nesterov, v };
            let mut p64 = widen(&p_0);
            for g in &gradients {
                expected.step(&mut p64, &widen(g));
            }
            for (name, device) in devices() {
                let (p, v) = (tensor(&p_0, [n], device), tensor(&vec![0.0; n], [n], device));
                for g in &gradients {
                    let g = tensor(g, [n], device);
                    sgd::sgd(&p, &g, &v, 0.1, momentum as f32, nesterov).unwrap();
                    assert!(g.to_vec().unwrap().iter().all(|&g| g == 0.0), "{name}");
                }
                close(&format!("SGD of {n}, momentum {momentum}, {name}"), &p, &p64, 1e-5);
            }
        }
    }
}
