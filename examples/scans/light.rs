//! The baseline: what a pixel is, by how light it is.

use super::TISSUES;
use super::data::Slices;
use rand_chacha::ChaCha8Rng;

/// Each pixel is what was most often as light as it is, in scans to train on; all are blurred before, against the
/// noise, so many times as is best there.
pub fn by_light(train: &Slices, scans: &[Vec<f32>], rng: &mut ChaCha8Rng) -> Vec<Vec<u32>> {
    let level = |light: &f32| ((light * 100.0) as usize).min(199);
    let known: Vec<_> = (0..train.len()).map(|slice| train.scan(slice, rng)).collect();
    let table = |times| {
        let mut counts = [[0.0; TISSUES]; 200];
        let lights = known.iter().flat_map(|scan| blurred(scan, train.size, times));
        lights.zip(&train.tissue).for_each(|(light, &t)| counts[level(&light)][t as usize] += 1.0);
        let right: f32 = counts.iter().flat_map(|of| of.iter().copied().reduce(f32::max)).sum();
        (right, times, counts.map(|of| largest(&of)))
    };
    let (_, times, table) = (1..5).map(table).fold(table(0), |a, b| if b.0 > a.0 { b } else { a });
    let tissue = |scan: &Vec<f32>| {
        blurred(scan, train.size, times).iter().map(|v| table[level(v)]).collect()
    };
    scans.iter().map(tissue).collect()
}

/// The place of the largest value.
pub fn largest(values: &[f32]) -> u32 {
    (0..values.len()).max_by(|&a, &b| values[a].total_cmp(&values[b])).unwrap_or(0) as u32
}

/// Each pixel becomes the mean of itself and its neighbours, so many times.
fn blurred(image: &[f32], [rows, columns]: [usize; 2], times: usize) -> Vec<f32> {
    let near = |at: usize, places: usize| at.saturating_sub(1)..(at + 2).min(places);
    let mean = |image: &[f32], row, column| {
        let around =
            near(row, rows).flat_map(|y| near(column, columns).map(move |x| y * columns + x));
        let (sum, count) = around.fold((0.0, 0.0), |(sum, n), at| (sum + image[at], n + 1.0));
        sum / count
    };
    (0..times).fold(image.to_vec(), |image, _| {
        (0..image.len()).map(|at| mean(&image, at / columns, at % columns)).collect()
    })
}
