//! Adam and gradient descent, over a few steps, with a loss scale and without.

use super::oracle::{self, Random, widen};
use super::{close, devices, tensor};
use crate::ops::optim::{adam, loss_scale, sgd};
use crate::{Device, Tensor};

/// A step's gradients as the optimizer gets them, and what tells it their scale.
struct Scaled {
    state: Tensor,
    count: Tensor,
}

impl Scaled {
    fn new(device: &Device) -> Self {
        Self { state: loss_scale::state(device).unwrap(), count: tensor(&[0.0], [1], device) }
    }

    /// The gradient times the scale.
    fn settle(&self, g: &Tensor) -> Tensor {
        let g = loss_scale::rescale(g, &self.state, false).unwrap();
        loss_scale::settle(&[&g], &self.state, &self.count).unwrap();
        g
    }
}

#[test]
fn five_steps_of_each() {
    let mut r = Random::new(1);
    for n in [1, 63, 1000] {
        let p_0 = r.uniform(n, -1.0, 1.0);
        let gradients: Vec<_> = (0..5).map(|_| r.uniform(n, -1.0, 1.0)).collect();
        for decay in [0.0, 0.1] {
            let zeros = vec![0.0; n];
            // A large rate, so that an error of it shows.
            let (beta1, beta2, eps, lr) = (0.9, 0.999, 1e-8, 1.0);
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
                let factors = |t| adam::Factors {
                    rate: lr as f32,
                    step: t as i32 + 1,
                    beta1: beta1 as f32,
                    beta2: beta2 as f32,
                    epsilon: eps as f32,
                    decay: (lr * decay) as f32,
                };
                for (t, g) in gradients.iter().enumerate() {
                    let g = tensor(g, [n], device);
                    adam::adam([&p, &g, &m, &v], None, factors(t), None).unwrap();
                    assert!(g.to_vec().unwrap().iter().all(|&g| g == 0.0), "{name}");
                }
                close(&format!("Adam of {n}, decay {decay}, {name}"), &p, &p64, 1e-5);

                let p = tensor(&p_0, [n], device);
                let (m, v) =
                    (tensor(&vec![0.0; n], [n], device), tensor(&vec![0.0; n], [n], device));
                let scaled = Scaled::new(device);
                for (t, g) in gradients.iter().enumerate() {
                    if t == 2 {
                        skipped(&scaled, &p, |g, state, count| {
                            adam::adam([&p, g, &m, &v], None, factors(99), Some([state, count]))
                                .unwrap();
                        });
                    }
                    let g = scaled.settle(&tensor(g, [n], device));
                    let scaling = Some([&scaled.state, &scaled.count]);
                    adam::adam([&p, &g, &m, &v], None, factors(99), scaling).unwrap();
                    assert!(g.to_vec().unwrap().iter().all(|&g| g == 0.0), "{name}");
                }
                assert_eq!(scaled.count.to_vec().unwrap(), [5.0]);
                close(&format!("scaled Adam of {n}, decay {decay}, {name}"), &p, &p64, 1e-5);
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
                let factors = sgd::Factors { rate: 0.1, momentum: momentum as f32, nesterov };
                for g in &gradients {
                    let g = tensor(g, [n], device);
                    sgd::sgd([&p, &g, &v], None, factors, None).unwrap();
                    assert!(g.to_vec().unwrap().iter().all(|&g| g == 0.0), "{name}");
                }
                close(&format!("SGD of {n}, momentum {momentum}, {name}"), &p, &p64, 1e-5);

                let (p, v) = (tensor(&p_0, [n], device), tensor(&vec![0.0; n], [n], device));
                let scaled = Scaled::new(device);
                for (t, g) in gradients.iter().enumerate() {
                    if t == 2 {
                        skipped(&scaled, &p, |g, state, _| {
                            sgd::sgd([&p, g, &v], None, factors, Some(state)).unwrap();
                        });
                    }
                    let g = scaled.settle(&tensor(g, [n], device));
                    sgd::sgd([&p, &g, &v], None, factors, Some(&scaled.state)).unwrap();
                    assert!(g.to_vec().unwrap().iter().all(|&g| g == 0.0), "{name}");
                }
                close(&format!("scaled SGD of {n}, momentum {momentum}, {name}"), &p, &p64, 1e-5);
            }
        }
    }
}

/// A gradient that is not finite, in the last place: nothing moves, and the scale is halved.
fn skipped(scaled: &Scaled, p: &Tensor, step: impl Fn(&Tensor, &Tensor, &Tensor)) {
    let before = p.to_vec().unwrap();
    let (scale, count) = (scaled.state.to_vec().unwrap()[0], scaled.count.to_vec().unwrap());
    for bad in [f32::INFINITY, f32::NAN] {
        let mut g = vec![1.0; p.len()];
        g[p.len() - 1] = bad;
        let g = scaled.settle(&tensor(&g, [p.len()], &p.device()));
        step(&g, &scaled.state, &scaled.count);
        assert!(g.to_vec().unwrap().iter().all(|&g| g == 0.0));
    }
    assert_eq!(p.to_vec().unwrap(), before);
    assert_eq!(scaled.state.to_vec().unwrap(), [scale / 4.0, 0.0, 0.0, 0.0]);
    assert_eq!(scaled.count.to_vec().unwrap(), count);
}

/// The scale doubles after 2,000 finite steps, and stays in its range.
#[test]
fn the_loss_scale_grows_and_ends() {
    for (name, device) in devices() {
        let count = tensor(&[0.0], [1], device);
        let settle = |state: [f32; 4], g: f32| {
            let state = tensor(&state, [4], device);
            loss_scale::settle(&[&tensor(&[g], [1], device)], &state, &count).unwrap();
            state.to_vec().unwrap()
        };
        assert_eq!(settle([8.0, 0.0, 1998.0, 0.0], 1.0), [8.0, 0.125, 1999.0, 0.0], "{name}");
        assert_eq!(settle([8.0, 0.0, 1999.0, 0.0], 1.0), [16.0, 0.125, 0.0, 0.0], "{name}");
        let most = 2f32.powi(24);
        assert_eq!(settle([most, 0.0, 1999.0, 0.0], 1.0)[0], most, "{name}");
        let least = 2f32.powi(-24);
        assert_eq!(settle([least, 0.0, 7.0, 0.0], f32::NAN), [least, 0.0, 0.0, 0.0], "{name}");
    }
}
