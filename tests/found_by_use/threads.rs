//! The threads of the program that uses the library.

use super::sequences;
use crate::common::devices;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use wgpu_lstm::Sequential;
use wgpu_lstm::data::{Sequences, Targets};
use wgpu_lstm::loss::mean_squared_error;
use wgpu_lstm::nn::{Dense, Lstm, Params};
use wgpu_lstm::train::{Adam, Sgd};
use wgpu_lstm::{Device, Error, Lengths, Tape, Tensor, Var};

/// What reaches the caller before and after is the caller's own mode: numbers below 1.2e-38 are kept.
#[test]
fn the_callers_subnormals_stay() {
    let half = || std::hint::black_box(f32::MIN_POSITIVE) * std::hint::black_box(0.5);
    assert!(half() > 0.0);
    let device = Device::cpu().unwrap();
    let params = Params::new(&device);
    let lstm = Lstm::new(8).build(&params, 2).unwrap();
    let tape = Tape::new(&params);
    let x = Var::from(Tensor::zeros([4, 6, 2], &device).unwrap());
    let y = lstm.forward(&tape, &x).unwrap();
    assert!(half() > 0.0, "after a forward pass");
    let d = Tensor::zeros(y.shape(), &device).unwrap();
    tape.backward_from(&[(&y, d)]).unwrap();
    assert!(half() > 0.0, "after a backward pass");
    Adam::new(0.1).step(&params).unwrap();
    let mut stepper = lstm.stepper(&params, 1).unwrap();
    let stream = stepper.join().unwrap();
    stepper.step(&[(stream, &[0.0, 0.0])]).unwrap();
    assert!(half() > 0.0, "after a step");
    assert!(
        lstm.forward(&Tape::new(&params), &Tensor::zeros([4, 6, 3], &device).unwrap().into())
            .is_err()
    );
    assert!(half() > 0.0, "after an error");
}

/// Forward, backward and a step over shapes that take all the device's ways.
fn bits(device: &Device) -> Vec<u32> {
    let params = Params::seeded(device, 2);
    let lstm = Lstm::new(33).num_layers(2).build(&params, 20).unwrap();
    let dense = Dense::new(70).build(&params, 33).unwrap();
    let mut all = Vec::new();
    for rows in [1, 37] {
        let x: Vec<_> = (0..rows * 90 * 20).map(|i| (i as f32 * 0.13).sin()).collect();
        let x = Var::from(Tensor::from_slice(&x, [rows, 90, 20], device).unwrap());
        let tape = Tape::new(&params);
        let y = dense.forward(&tape, &lstm.forward(&tape, &x).unwrap()).unwrap();
        let zeros = Tensor::zeros(y.shape(), device).unwrap();
        let loss = mean_squared_error(&tape, &y, &zeros, None).unwrap();
        tape.backward(&loss).unwrap();
        for name in params.names() {
            all.extend(params.gradient(&name).unwrap().iter().map(|v| v.to_bits()));
        }
        Adam::new(1e-2).step(&params).unwrap();
        all.extend(y.tensor().to_vec().unwrap().iter().map(|v| v.to_bits()));
    }
    all
}

#[test]
fn a_pool_of_the_programs_changes_no_bits() {
    for threads in [1, 2, 5] {
        let device = Device::cpu_with_threads(threads).unwrap();
        let plain = bits(&device);
        assert_eq!(plain, bits(&device), "{threads} threads");
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        assert_eq!(plain, pool.install(|| bits(&device)), "{threads} threads, in a pool");
    }
    let none = Device::cpu_with_threads(0);
    assert!(matches!(none, Err(Error::Option { option: "Device::cpu_with_threads", .. })));
}

/// A job that keeps rayon's pool busy holds nobody up.
#[test]
fn the_programs_own_pool_may_be_busy() {
    let release = Arc::new((Mutex::new(false), std::sync::Condvar::new()));
    let begun = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let threads = rayon::current_num_threads();
    for _ in 0..threads {
        let (release, begun) = (release.clone(), begun.clone());
        rayon::spawn(move || {
            begun.fetch_add(1, Ordering::Relaxed);
            let free = release.0.lock().unwrap();
            let _ = release.1.wait_timeout_while(free, Duration::from_secs(120), |free| !*free);
        });
    }
    let began = Instant::now();
    while begun.load(Ordering::Relaxed) < threads && began.elapsed() < Duration::from_secs(20) {
        std::thread::yield_now();
    }
    let found = bits(&Device::cpu_with_threads(3).unwrap());
    // The pool is as busy as ever: nothing of it was needed.
    assert!(!*release.0.lock().unwrap() && !found.is_empty());
    *release.0.lock().unwrap() = true;
    release.1.notify_all();
}

#[test]
fn several_threads_predict_with_one_model() {
    fn shared<T: Send + Sync>() {}
    shared::<Sequential>();
    shared::<Params>();
    shared::<Device>();
    shared::<Tensor>();
    shared::<Var>();
    shared::<Sequences>();
    shared::<Targets>();
    shared::<Lengths>();
    shared::<wgpu_lstm::Mask>();
    shared::<Adam>();
    shared::<Sgd>();
    shared::<Lstm>();
    shared::<Error>();
    shared::<wgpu_lstm::train::Prediction>();
    shared::<wgpu_lstm::nn::Seq2Seq>();
    shared::<wgpu_lstm::nn::LstmStepper>();
    shared::<wgpu_lstm::nn::Attention>();
    shared::<wgpu_lstm::nn::LstmState>();
    shared::<wgpu_lstm::loss::Labels>();
    shared::<wgpu_lstm::loss::RowWeights>();
    fn sent<T: Send>() {}
    sent::<Tape>();
    sent::<wgpu_lstm::Gradients>();
    let x = sequences(10, 5, 2);
    for device in devices() {
        let mut model = Sequential::new(device).add(Lstm::new(6)).add(Dense::new(2));
        model.build(2).unwrap();
        let model = Arc::new(model);
        let right = model.predict(&x).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert_eq!(model.predict(&x).unwrap(), right));
            }
        });
    }
}
