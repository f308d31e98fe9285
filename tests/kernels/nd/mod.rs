//! The ops on any number of axes, on every device: against plain formulas in double precision that go through all
//! places one by one, or numbers that numpy made.

mod axes;
mod elements;
mod moves;
mod places;
mod products;

use super::oracle::Random;
use super::{close_values, devices, tensor};
use crate::ops::nd;
use crate::{Device, Result, Tensor};

/// An array in double precision.
#[derive(Clone, Debug)]
struct Nd {
    shape: Vec<usize>,
    data: Vec<f64>,
}

/// All places of a shape, row-major.
fn indices(shape: &[usize]) -> Vec<Vec<usize>> {
    shape.iter().fold(vec![vec![]], |all, &size| {
        let longer = |index: &Vec<usize>| {
            let index = index.clone();
            (0..size).map(move |at| [&index[..], &[at]].concat()).collect::<Vec<_>>()
        };
        all.iter().flat_map(longer).collect()
    })
}

impl Nd {
    fn build(shape: &[usize], f: impl FnMut(&[usize]) -> f64) -> Self {
        let mut f = f;
        Self { shape: shape.to_vec(), data: indices(shape).iter().map(|at| f(at)).collect() }
    }

    fn random(r: &mut Random, shape: &[usize]) -> Self {
        // Rounded, so that tensors hold the same.
        Self::build(shape, |_| f64::from(r.uniform(1, -2.0, 2.0)[0]))
    }

    fn at(&self, index: &[usize]) -> f64 {
        let place = index.iter().zip(&self.shape).fold(0, |place, (at, size)| place * size + at);
        self.data[place]
    }

    /// The number that belongs to a place of a shape that this is broadcast to.
    fn spread(&self, index: &[usize]) -> f64 {
        let own = &index[index.len() - self.shape.len()..];
        let at: Vec<_> =
            own.iter().zip(&self.shape).map(|(&at, &n)| if n == 1 { 0 } else { at }).collect();
        self.at(&at)
    }

    fn on(&self, device: &Device) -> Tensor {
        let values: Vec<_> = self.data.iter().map(|&value| value as f32).collect();
        tensor(&values, self.shape.as_slice(), device)
    }
}

/// Runs an op everywhere, and on the CPU with several threads: the same bits as with one.
#[track_caller]
fn everywhere(what: &str, bound: f64, expected: &Nd, run: impl Fn(&Device) -> Result<Tensor>) {
    for (name, device) in devices() {
        let found = run(device).unwrap_or_else(|error| panic!("{what}, {name}: {error}"));
        assert_eq!(found.shape(), expected.shape, "{what}, {name}");
        let found = found.to_vec().unwrap();
        close_values(&format!("{what}, {name}"), &found, &expected.data, bound);
    }
    let [one, many] = [1, 3].map(|threads| {
        let device = Device::cpu_with_threads(threads).unwrap();
        run(&device).unwrap().words().unwrap()
    });
    assert!(one == many, "{what}: other bits on several threads");
}

/// Expects an error everywhere.
#[track_caller]
fn refused<T>(run: impl Fn(&Device) -> Result<T>) {
    for (name, device) in devices() {
        let text = run(device).err().unwrap_or_else(|| panic!("no error, {name}")).to_string();
        assert!(
            text.contains("expected") || text.contains("at most") || text.contains("bytes"),
            "{text}"
        );
    }
}
