//! Long sums on the CPU. A float that grows term by term loses what each new term has below its last
//! place: a million of them are off by a thousandth. Sums that are as long as a user's data are made in
//! double precision.

/// The sum of the terms, rounded once.
pub(crate) fn sum(terms: impl Iterator<Item = f32>) -> f32 {
    terms.map(f64::from).sum::<f64>() as f32
}

/// The rows that meet in single precision, where they are few enough to lose nothing below 4e37.
pub(crate) const MEET: usize = 8;

/// Adds rows to `sums`: fewer loads and stores than one by one, and in vectors.
#[inline(always)]
pub(crate) fn add_eight(sums: &mut [f64], rows: [&[f32]; MEET]) {
    let [a, b, c, d, e, f, g, h] = rows.map(|row| &row[..sums.len()]);
    for (j, sum) in sums.iter_mut().enumerate() {
        let (low, high) = ((a[j] + b[j]) + (c[j] + d[j]), (e[j] + f[j]) + (g[j] + h[j]));
        *sum += f64::from(low + high);
    }
}

/// Adds the rows of `rows`, each as long as `sums`, to `sums`.
pub(crate) fn add_rows(sums: &mut [f64], rows: &[f32]) {
    let c = sums.len();
    if c == 0 {
        return;
    }
    let mut groups = rows.chunks_exact(MEET * c);
    for group in &mut groups {
        add_eight(sums, std::array::from_fn(|i| &group[i * c..][..c]));
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
