//! Optimizers, by PyTorch's rules.

pub struct Adam {
    pub lr: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub eps: f64,
    /// Decoupled: p loses `lr * decay` of itself.
    pub decay: f64,
    pub m: Vec<f64>,
    pub v: Vec<f64>,
    pub t: i32,
}

impl Adam {
    pub fn step(&mut self, p: &mut [f64], g: &[f64]) {
        self.t += 1;
        let (c1, c2) = (1.0 - self.beta1.powi(self.t), 1.0 - self.beta2.powi(self.t));
        for i in 0..p.len() {
            self.m[i] = self.beta1 * self.m[i] + (1.0 - self.beta1) * g[i];
            self.v[i] = self.beta2 * self.v[i] + (1.0 - self.beta2) * g[i] * g[i];
            p[i] -= self.lr * self.decay * p[i];
            p[i] -= self.lr / c1 * self.m[i] / ((self.v[i] / c2).sqrt() + self.eps);
        }
    }
}

pub struct Sgd {
    pub lr: f64,
    pub momentum: f64,
    pub nesterov: bool,
    pub v: Vec<f64>,
}

impl Sgd {
    pub fn step(&mut self, p: &mut [f64], g: &[f64]) {
        for i in 0..p.len() {
            self.v[i] = self.momentum * self.v[i] + g[i];
            let d = if self.nesterov { g[i] + self.momentum * self.v[i] } else { self.v[i] };
            p[i] -= self.lr * d;
        }
    }
}
