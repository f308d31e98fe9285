//! Matrix products and activations.

/// C = op(A) op(B) (+ bias), row-major; op transposes what is stored as `[K,M]` or `[N,K]`.
pub fn gemm(
    (trans_a, trans_b): (bool, bool),
    [m, n, k]: [usize; 3],
    a: &[f64],
    b: &[f64],
    bias: Option<&[f64]>,
) -> Vec<f64> {
    let mut c = vec![0.0; m * n];
    for (at, c) in c.iter_mut().enumerate() {
        let (i, j) = (at / n, at % n);
        *c = bias.map_or(0.0, |bias| bias[j]);
        for l in 0..k {
            let a = if trans_a { a[l * m + i] } else { a[i * k + l] };
            let b = if trans_b { b[j * k + l] } else { b[l * n + j] };
            *c += a * b;
        }
    }
    c
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    Linear,
    Sigmoid,
    Tanh,
    Relu,
    Softmax,
}

pub const ACTIVATIONS: [Activation; 5] = [
    Activation::Linear,
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Relu,
    Activation::Softmax,
];

pub fn activate(kind: Activation, x: &[f64], columns: usize) -> Vec<f64> {
    match kind {
        Activation::Linear => x.to_vec(),
        Activation::Sigmoid => x.iter().map(|v| 1.0 / (1.0 + (-v).exp())).collect(),
        Activation::Tanh => x.iter().map(|v| v.tanh()).collect(),
        Activation::Relu => x.iter().map(|&v| if v < 0.0 { 0.0 } else { v }).collect(),
        Activation::Softmax => x
            .chunks(columns)
            .flat_map(|row| {
                let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let exp: Vec<_> = row.iter().map(|v| (v - largest).exp()).collect();
                let sum: f64 = exp.iter().sum();
                exp.into_iter().map(move |e| e / sum)
            })
            .collect(),
    }
}

/// The gradient of x, from y = activate(x).
pub fn activate_backward(kind: Activation, y: &[f64], d_y: &[f64], columns: usize) -> Vec<f64> {
    let elementwise =
        |slope: fn(f64) -> f64| y.iter().zip(d_y).map(|(&y, d)| d * slope(y)).collect();
    match kind {
        Activation::Linear => d_y.to_vec(),
        Activation::Sigmoid => elementwise(|y| y * (1.0 - y)),
        Activation::Tanh => elementwise(|y| 1.0 - y * y),
        Activation::Relu => elementwise(|y| if y > 0.0 { 1.0 } else { 0.0 }),
        Activation::Softmax => y
            .chunks(columns)
            .zip(d_y.chunks(columns))
            .flat_map(|(y, d)| {
                let dot: f64 = y.iter().zip(d).map(|(y, d)| y * d).sum();
                y.iter().zip(d).map(move |(y, d)| y * (d - dot))
            })
            .collect(),
    }
}
