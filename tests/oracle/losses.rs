//! Losses and accuracies, as weighted means over rows: the value and its gradient. A row of
//! weight 0 counts nothing, whatever it holds.

fn weight(weights: Option<&[f64]>, row: usize) -> f64 {
    weights.map_or(1.0, |w| w[row])
}

fn total(weights: Option<&[f64]>, rows: usize) -> f64 {
    (0..rows).map(|row| weight(weights, row)).sum()
}

/// Sums `row(index) -> (loss, gradient)` over the rows.
fn mean(
    rows: usize,
    columns: usize,
    weights: Option<&[f64]>,
    row: impl Fn(usize) -> (f64, Vec<f64>),
) -> (f64, Vec<f64>) {
    let sum = total(weights, rows);
    let (mut loss, mut gradient) = (0.0, Vec::new());
    for i in 0..rows {
        let w = weight(weights, i) / sum;
        if w == 0.0 {
            gradient.extend(vec![0.0; columns]);
            continue;
        }
        let (l, d) = row(i);
        loss += w * l;
        gradient.extend(d.into_iter().map(|d| w * d));
    }
    (loss, gradient)
}

/// Of logits `[N,C]`: -log softmax(x)[label].
pub fn cross_entropy(
    x: &[f64],
    labels: &[u32],
    classes: usize,
    weights: Option<&[f64]>,
) -> (f64, Vec<f64>) {
    mean(labels.len(), classes, weights, |i| {
        let row = &x[i * classes..(i + 1) * classes];
        let label = labels[i] as usize;
        let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = row.iter().map(|v| (v - largest).exp()).sum();
        let mut d: Vec<_> = row.iter().map(|v| (v - largest).exp() / sum).collect();
        d[label] -= 1.0;
        (sum.ln() + largest - row[label], d)
    })
}

/// Of logits: the row's mean of -y log p - (1-y) log(1-p).
pub fn binary_cross_entropy(
    x: &[f64],
    y: &[f64],
    columns: usize,
    weights: Option<&[f64]>,
) -> (f64, Vec<f64>) {
    let n = columns as f64;
    mean(x.len() / columns, columns, weights, |i| {
        let row = i * columns..(i + 1) * columns;
        let (x, y) = (&x[row.clone()], &y[row]);
        let loss: f64 =
            x.iter().zip(y).map(|(x, y)| x.max(0.0) - x * y + (-x.abs()).exp().ln_1p()).sum();
        let d = x.iter().zip(y).map(|(x, y)| (1.0 / (1.0 + (-x).exp()) - y) / n).collect();
        (loss / n, d)
    })
}

/// The row's mean of (x - y)².
pub fn mean_squared_error(
    x: &[f64],
    y: &[f64],
    columns: usize,
    weights: Option<&[f64]>,
) -> (f64, Vec<f64>) {
    let n = columns as f64;
    mean(x.len() / columns, columns, weights, |i| {
        let row = i * columns..(i + 1) * columns;
        let (x, y) = (&x[row.clone()], &y[row]);
        let loss: f64 = x.iter().zip(y).map(|(x, y)| (x - y) * (x - y)).sum();
        (loss / n, x.iter().zip(y).map(|(x, y)| 2.0 * (x - y) / n).collect())
    })
}
