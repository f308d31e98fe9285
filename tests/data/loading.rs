//! Loading: in bounded memory, and by threads that end.

use crate::common::{Folder, devices};
use crate::dataset::{Power, Sums, model};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use wgpu_lstm::data::{Dataset, IterableDataset, Sample, Targets};
use wgpu_lstm::nn::{Dense, Lstm};
use wgpu_lstm::train::{Adam, Callback, Fit, Loss, Run, Sgd};
use wgpu_lstm::{Error, Result, Sequential};

/// Samples that are far more than the memory of the batches, and the most that were loaded but not yet used.
struct Large {
    batch: usize,
    loaded: AtomicUsize,
    used: AtomicUsize,
    most: AtomicUsize,
}

impl Dataset for Large {
    fn features(&self) -> usize {
        16
    }

    fn len(&self) -> usize {
        1 << 40
    }

    fn get(&self, index: usize) -> Result<Sample> {
        let loaded = 1 + self.loaded.fetch_add(1, Ordering::SeqCst);
        let alive = loaded.saturating_sub(self.used.load(Ordering::SeqCst));
        self.most.fetch_max(alive, Ordering::SeqCst);
        let values: Vec<_> = (0..16 * 8).map(|i| ((index + i) as f32).sin()).collect();
        Ok(Sample::new(values).targets(Targets::classes([(index % 3) as u32])))
    }
}

/// A stream without an end, of which a few steps are made: what is loaded ahead is bounded.
#[test]
fn memory_is_that_of_a_few_batches() {
    for device in devices() {
        for workers in [0, 1, 3] {
            let batch = 4;
            let [loaded, used, most] = [0; 3].map(AtomicUsize::new);
            let data = Large { batch, loaded, used, most };
            let endless = IterableDataset::new(16, |_| Ok((0..).map(|i| data.get(i))));
            struct Used<'a>(&'a Large);
            impl Callback for Used<'_> {
                fn after_step(&mut self, _: &mut Run<'_>) -> Result<()> {
                    self.0.used.fetch_add(self.0.batch, Ordering::SeqCst);
                    Ok(())
                }
            }
            let mut model = Sequential::new(device).add(Lstm::new(4)).add(Dense::new(3));
            model.compile(Sgd::new(0.1), Loss::CrossEntropy, &[]);
            let fit = Fit::new().batch_size(batch).workers(workers).callback(Used(&data));
            let history = model.fit_dataset(&endless, fit.max_steps(30).quiet()).unwrap();
            assert!(history.stopped.is_some());
            // Two batches of the thread, and that of the step.
            let most = data.most.load(Ordering::SeqCst);
            let threads = workers.min(1);
            assert!(most <= (2 * threads + 1) * batch, "{most} samples, {workers} workers");
            assert!(data.loaded.load(Ordering::SeqCst) >= 30 * batch);
            // Not even the order of so many fits into memory.
            let error = model.fit_dataset(&data, Fit::new().quiet()).unwrap_err();
            assert!(matches!(error, Error::OutOfMemory { .. }), "{error}");
        }
    }
}

/// The same by index, from a file.
#[test]
fn a_file_larger_than_the_batches_in_memory_trains() {
    struct Rows {
        file: std::path::PathBuf,
        alive: AtomicUsize,
        most: AtomicUsize,
    }
    const ROWS: usize = 400;
    const VALUES: usize = 64;
    impl Dataset for Rows {
        fn features(&self) -> usize {
            4
        }

        fn len(&self) -> usize {
            ROWS
        }

        fn get(&self, index: usize) -> Result<Sample> {
            use std::io::{Read, Seek, SeekFrom};
            let loaded = 1 + self.alive.fetch_add(1, Ordering::SeqCst);
            self.most.fetch_max(loaded, Ordering::SeqCst);
            let read = || {
                let mut file = std::fs::File::open(&self.file)?;
                file.seek(SeekFrom::Start((index * VALUES * 4) as u64))?;
                let mut bytes = [0; VALUES * 4];
                file.read_exact(&mut bytes)?;
                Ok::<_, std::io::Error>(bytes)
            };
            let bytes = read().map_err(Error::custom)?;
            let values =
                bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            let values: Vec<_> = values.collect();
            let up = f32::from(values[0] > 0.0);
            Ok(Sample::new(values).targets(Targets::values([up], 1)))
        }
    }
    let folder = Folder::new("dataset_file");
    std::fs::create_dir_all(folder.path()).unwrap();
    let file = folder.path().join("rows");
    let values = (0..ROWS * VALUES).map(|i| (i as f32 * 0.37).sin().to_le_bytes());
    std::fs::write(&file, values.flatten().collect::<Vec<_>>()).unwrap();
    let data = Rows { file, alive: AtomicUsize::new(0), most: AtomicUsize::new(0) };
    struct Used<'a>(&'a Rows);
    impl Callback for Used<'_> {
        fn after_step(&mut self, _: &mut Run<'_>) -> Result<()> {
            self.0.alive.fetch_sub(10, Ordering::SeqCst);
            Ok(())
        }
    }
    let mut model = Sequential::new(&devices()[0]).add(Lstm::new(4)).add(Dense::new(1));
    model.compile(Adam::new(0.05), Loss::BinaryCrossEntropy, &[]);
    let fit = Fit::new().epochs(3).batch_size(10).workers(2).callback(Used(&data)).quiet();
    let history = model.fit_dataset(&data, fit).unwrap();
    let [first, .., last] = &history.epochs[..] else { panic!("{history:?}") };
    assert!(last.training.loss < 0.7 * first.training.loss, "{history:?}");
    // Two threads with two batches each, and the batch of the step: 50 of 400.
    let most = data.most.load(Ordering::SeqCst);
    assert!((20..=50).contains(&most), "{most}");
}

/// A training that ends early leaves nobody at work.
#[test]
fn no_thread_stays_behind() {
    struct Threads {
        /// Told when its thread ends: each thread that loads has a clone.
        sender: std::sync::Mutex<mpsc::Sender<()>>,
        inside: AtomicUsize,
        calls: AtomicUsize,
    }
    thread_local! {
        static ENDS: std::cell::RefCell<Option<mpsc::Sender<()>>> = const { std::cell::RefCell::new(None) };
    }
    impl Dataset for Threads {
        fn features(&self) -> usize {
            2
        }

        fn len(&self) -> usize {
            1000
        }

        fn get(&self, index: usize) -> Result<Sample> {
            self.inside.fetch_add(1, Ordering::SeqCst);
            self.calls.fetch_add(1, Ordering::SeqCst);
            ENDS.set(Some(self.sender.lock().unwrap().clone()));
            let sample = Sums { count: 1000, frames: false }.get(index);
            self.inside.fetch_sub(1, Ordering::SeqCst);
            sample
        }
    }
    struct Panics;
    impl Callback for Panics {
        fn after_step(&mut self, _: &mut Run<'_>) -> Result<()> {
            panic!("a callback of one's own")
        }
    }
    let (sender, ended) = mpsc::channel();
    let sender = std::sync::Mutex::new(sender);
    let data = Threads { sender, inside: AtomicUsize::new(0), calls: AtomicUsize::new(0) };
    let mut model = model(&devices()[0], false);
    let fit = || Fit::new().batch_size(2).workers(3).quiet();
    model.fit_dataset(&data, fit().max_steps(2)).unwrap();
    let folder = super::folder("no_thread");
    let path = folder.path().join("checkpoint");
    let power = Power(&path, Some(4));
    assert!(model.fit_dataset(&data, fit().callback(power)).is_err());
    let panicked =
        std::panic::AssertUnwindSafe(|| model.fit_dataset(&data, fit().callback(Panics)));
    assert!(std::panic::catch_unwind(panicked).is_err());
    assert_eq!(data.inside.load(Ordering::SeqCst), 0);
    let calls = data.calls.load(Ordering::SeqCst);
    assert!(calls < 3 * 2 * 20, "{calls}");
    // No thread has a sender any more, but for this one and the data set.
    drop(data);
    ENDS.set(None);
    assert_eq!(ended.recv(), Err(mpsc::RecvError));
}
