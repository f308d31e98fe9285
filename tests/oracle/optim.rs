//! Optimizers, by PyTorch's rules.

#[derive(Debug, Clone, Copy)]
pub enum Rule {
    Sgd { momentum: f64, nesterov: bool },
    Adam { amsgrad: bool },
    Adamax,
    NAdam { momentum_decay: f64 },
    RAdam,
    RmsProp { momentum: f64, centered: bool },
    Adagrad { lr_decay: f64 },
    Adadelta,
    Lion,
}

#[derive(Debug, Clone)]
pub struct Optimizer {
    pub rule: Rule,
    pub lr: f64,
    pub beta1: f64,
    /// Also RMSprop's alpha and Adadelta's rho.
    pub beta2: f64,
    pub eps: f64,
    /// Decoupled: p loses `lr * decay` of itself.
    pub decay: f64,
    /// Coupled: the gradient gains `l2 * p`.
    pub l2: f64,
    pub t: i32,
    /// Of NAdam's momentums.
    pub product: f64,
    pub slots: Vec<Vec<f64>>,
}

impl Optimizer {
    pub fn step(&mut self, p: &mut [f64], g: &[f64]) {
        self.t += 1;
        let mu = |t: i32| match self.rule {
            Rule::NAdam { momentum_decay } => {
                self.beta1 * (1.0 - 0.5 * 0.96f64.powf(f64::from(t) * momentum_decay))
            }
            _ => 0.0,
        };
        let mus = [mu(self.t), mu(self.t + 1)];
        self.product *= mus[0];
        for i in 0..p.len() {
            let mut d = g[i];
            if self.l2 != 0.0 {
                d += self.l2 * p[i];
            }
            let step = self.one(i, d, mus);
            p[i] = p[i] * (1.0 - self.lr * self.decay) - self.lr * step;
        }
    }

    fn mean(&mut self, slot: usize, i: usize, beta: f64, new: f64) -> f64 {
        self.slots[slot][i] = beta * self.slots[slot][i] + (1.0 - beta) * new;
        self.slots[slot][i]
    }

    fn momentum(&mut self, slot: usize, i: usize, momentum: f64, new: f64) -> f64 {
        self.slots[slot][i] = momentum * self.slots[slot][i] + new;
        self.slots[slot][i]
    }

    /// What the rate multiplies.
    fn one(&mut self, i: usize, d: f64, [mu, next]: [f64; 2]) -> f64 {
        let (b1, b2, eps, t) = (self.beta1, self.beta2, self.eps, self.t);
        let (c1, c2) = (1.0 - b1.powi(t), 1.0 - b2.powi(t));
        match self.rule {
            Rule::Sgd { momentum: 0.0, .. } => d,
            Rule::Sgd { momentum, nesterov } => {
                let v = self.momentum(0, i, momentum, d);
                if nesterov { d + momentum * v } else { v }
            }
            Rule::Adam { amsgrad } => {
                let (m, mut v) = (self.mean(0, i, b1, d), self.mean(1, i, b2, d * d));
                if amsgrad {
                    v = larger(self.slots[2][i], v);
                    self.slots[2][i] = v;
                }
                m / c1 / ((v / c2).sqrt() + eps)
            }
            Rule::Adamax => {
                let m = self.mean(0, i, b1, d);
                self.slots[1][i] = larger(b2 * self.slots[1][i], d.abs() + eps);
                m / c1 / self.slots[1][i]
            }
            Rule::NAdam { .. } => {
                let (m, v) = (self.mean(0, i, b1, d), self.mean(1, i, b2, d * d));
                let ahead = next * m / (1.0 - self.product * next);
                (d * (1.0 - mu) / (1.0 - self.product) + ahead) / ((v / c2).sqrt() + eps)
            }
            Rule::RAdam => {
                let (m, v) = (self.mean(0, i, b1, d), self.mean(1, i, b2, d * d));
                let most = 2.0 / (1.0 - b2) - 1.0;
                let length = most - 2.0 * f64::from(t) * b2.powi(t) / c2;
                if length <= 5.0 {
                    return m / c1;
                }
                let r =
                    (length - 4.0) * (length - 2.0) * most / ((most - 4.0) * (most - 2.0) * length);
                m / c1 * r.sqrt() * c2.sqrt() / (v.sqrt() + eps)
            }
            Rule::RmsProp { momentum, centered } => {
                let mut v = self.mean(0, i, b2, d * d);
                if centered {
                    let m = self.mean(1, i, b2, d);
                    v -= m * m;
                    v = if v < 0.0 { 0.0 } else { v };
                }
                let u = d / (v.sqrt() + eps);
                match momentum {
                    0.0 => u,
                    _ => self.momentum(1 + usize::from(centered), i, momentum, u),
                }
            }
            Rule::Adagrad { lr_decay } => {
                let sum = self.momentum(0, i, 1.0, d * d);
                d / (sum.sqrt() + eps) / (1.0 + f64::from(t - 1) * lr_decay)
            }
            Rule::Adadelta => {
                let v = self.mean(0, i, b2, d * d);
                let u = (self.slots[1][i] + eps).sqrt() / (v + eps).sqrt() * d;
                self.mean(1, i, b2, u * u);
                u
            }
            Rule::Lion => {
                let way = b1 * self.slots[0][i] + (1.0 - b1) * d;
                self.mean(0, i, b2, d);
                if way == 0.0 || way.is_nan() { way } else { way.signum() }
            }
        }
    }
}

/// The larger, or the NaN.
fn larger(a: f64, b: f64) -> f64 {
    if b > a || b.is_nan() { b } else { a }
}
