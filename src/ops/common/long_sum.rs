//! Long sums on the CPU. A float that grows term by term loses what each new term has below its last
//! place: a million of them are off by a thousandth. Sums that are as long as a user's data are made in
//! double precision.

/// The sum of the terms, rounded once.
pub(crate) fn sum(terms: impl Iterator<Item = f32>) -> f32 {
    terms.map(f64::from).sum::<f64>() as f32
}

/// Adds the rows of `rows`, each as long as `sums`, to `sums`. Eight of them meet in single precision,
/// where they are few enough to lose nothing, before the sums are touched: that takes fewer loads and
/// stores than one by one, and is done in vectors.
pub(crate) fn add_rows(sums: &mut [f64], rows: &[f32]) {
    const ROWS: usize = 8;
    let c = sums.len();
    if c == 0 {
        return;
    }
    let mut groups = rows.chunks_exact(ROWS * c);
    for group in &mut groups {
        let r: [&[f32]; ROWS] = std::array::from_fn(|i| &group[i * c..][..c]);
        for (j, sum) in sums.iter_mut().enumerate() {
            let low = (r[0][j] + r[1][j]) + (r[2][j] + r[3][j]);
            let high = (r[4][j] + r[5][j]) + (r[6][j] + r[7][j]);
            *sum += f64::from(low + high);
        }
    }
    for row in groups.remainder().chunks_exact(c) {
        sums.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_every_number_are_added() {
        for (rows, c) in [(0, 3), (1, 1), (7, 5), (8, 5), (9, 2), (37, 13)] {
            let x: Vec<_> = (0..rows * c).map(|i| i as f32).collect();
            let mut sums = vec![1.0; c];
            add_rows(&mut sums, &x);
            for (j, &sum) in sums.iter().enumerate() {
                let expected: f64 = (0..rows).map(|row| (row * c + j) as f64).sum();
                assert_eq!(sum, 1.0 + expected, "{rows} x {c}, {j}");
            }
        }
        add_rows(&mut [], &[]);
    }
}
