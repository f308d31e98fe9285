//! What a training step asks of the host once it runs: no buffer, bind group or pipeline, few and
//! small pieces of memory, and as many in the thousandth step as in the tenth.
//!
//! In a binary of its own, since it counts what the whole process allocates.

mod common;

use common::{Training, gpu};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use wgpu_lstm::nn::{Activation, Dense, Lstm, Params};
use wgpu_lstm::{Device, GpuOptions, Sequential};

/// From this size on a piece of memory is large: more than a tape's node or a command takes.
const LARGE: usize = 16 << 10;

static LARGE_PIECES: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static PIECES: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

fn count(size: usize) {
    // A thread that ends has no counter any more.
    let _ = PIECES.try_with(|n| n.set(n.get() + 1));
    if size >= LARGE {
        LARGE_PIECES.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: all is handed on to the system's allocator as it came; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as the caller promised.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: as the caller promised.
        unsafe { System.realloc(old, layout, size) }
    }
    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(old, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// One test at a time: large pieces are counted in all threads.
static ALONE: Mutex<()> = Mutex::new(());

/// Pieces of memory that ten calls take: of any size on this thread, and large ones on all.
fn pieces(step: &mut impl FnMut()) -> (u64, u64) {
    let before = (PIECES.get(), LARGE_PIECES.load(Ordering::Relaxed));
    (0..10).for_each(|_| step());
    (PIECES.get() - before.0, LARGE_PIECES.load(Ordering::Relaxed) - before.1)
}

/// The large pieces that wgpu itself takes for ten submissions: none, but on OpenGL, where it keeps the
/// commands of each in a vector that doubles. One for each launch would be many more.
fn large_pieces_of_wgpu(device: &Device) -> u64 {
    match device.adapter().is_some_and(|adapter| adapter.backend == "Gl") {
        true => 10 * 3,
        false => 0,
    }
}

/// A training step of `layers` LSTM layers and a dense one, without regard to the upload.
fn training_step(device: &Device, layers: usize) -> impl FnMut() + use<> {
    Training { sizes: [16, 20, 24, 32], layers, uploads: false }.start(device)
}

#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn a_step_on_a_gpu_takes_little_memory_of_the_host_and_none_of_the_device() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let device = gpu(GpuOptions::default());
    for layers in [1, 3] {
        let mut step = training_step(&device, layers);
        (0..20).for_each(|_| step());
        let before = device.counters();
        let (first, _) = pieces(&mut step);
        let after = device.counters();
        (0..30).for_each(|_| step());
        let (later, large) = pieces(&mut step);

        let last = device.counters();
        assert_eq!(after.submissions - before.submissions, 10);
        assert_eq!(last.buffers_created, before.buffers_created);
        assert_eq!(last.bind_groups_created, before.bind_groups_created);
        assert_eq!(last.pipelines_created, before.pipelines_created);
        // wgpu's lists may grow once more, by how many submissions are under way; what grew with each
        // step would have grown by 30 or more for each piece.
        assert!(later <= first + 25, "{first} pieces of memory, then {later}");
        let allowed = large_pieces_of_wgpu(&device);
        assert!(large <= allowed, "{large} pieces of {LARGE} bytes and more, not {allowed}");
        // Seen: 67 a step and 9 a dispatch. wgpu takes some to encode and submit; ours are the shapes
        // and counts of the tensors that an op makes and the tape's nodes.
        let dispatches = after.dispatches - before.dispatches;
        assert!(later <= 10 * 100 + 10 * dispatches, "{later} for {dispatches} dispatches");
    }
}

/// With an op that makes no tensor: a launch itself allocates nothing.
#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn a_launch_takes_hardly_any_memory_of_the_host() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let device = gpu(GpuOptions::default());
    let params = Params::new(&device);
    let _ = Dense::new(3).build(&params, 32).unwrap();
    let mut calls = || {
        (0..100).for_each(|_| params.zero_gradients().unwrap());
        device.submit().unwrap();
    };
    (0..5).for_each(|_| calls());
    let before = device.counters().dispatches;
    let (taken, large) = pieces(&mut calls);
    let dispatches = device.counters().dispatches - before;
    assert_eq!(dispatches, 1000);
    // Seen: 3.7 each. Two are the shapes of the parameters and gradients that the call looks at, the
    // rest wgpu's; a launch that made vectors of its tensors and words would take 3 more.
    assert!(taken <= 4 * dispatches, "{taken} pieces of memory for {dispatches} dispatches");
    let allowed = large_pieces_of_wgpu(&device);
    assert!(large <= allowed, "{large} pieces of {LARGE} bytes and more, not {allowed}");
}

#[test]
fn a_step_on_the_cpu_takes_no_large_piece_of_memory() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let device = Device::cpu_with_threads(2).unwrap();
    let mut step = training_step(&device, 2);
    (0..20).for_each(|_| step());
    let before = device.counters();
    let (_, large) = pieces(&mut step);
    assert_eq!(device.counters(), before, "buffers are not reused");
    assert_eq!(large, 0, "pieces of {LARGE} bytes and more");
}

#[test]
fn a_frame_of_a_stream_on_the_cpu_takes_no_memory_but_for_its_output() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let device = Device::cpu().unwrap();
    let params = Params::new(&device);
    let lstm = Lstm::new(40).num_layers(2).build(&params, 24).unwrap();
    let mut stepper = lstm.stepper(&params, 1).unwrap();
    let stream = stepper.join().unwrap();
    let mut step = || {
        assert_eq!(stepper.step(&[(stream, &[0.5; 24])]).unwrap()[0].len(), 40);
    };
    step();
    // A vector of outputs, and the output in it.
    assert_eq!(pieces(&mut step), (2 * 10, 0));
}

/// A head goes by tensors: their shapes and counts, and those of its parameters; no words of any size.
#[test]
fn a_frame_of_a_model_on_the_cpu_takes_few_small_pieces_of_memory() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let device = Device::cpu_with_threads(1).unwrap();
    let head = Dense::new(10).activation(Activation::Softmax);
    let mut model = Sequential::new(&device).add(Lstm::new(40).num_layers(2)).add(head);
    model.build(24).unwrap();
    let mut stepper = model.stepper(1).unwrap();
    let stream = stepper.join().unwrap();
    let mut step = || {
        assert_eq!(stepper.step(&[(stream, &[0.5; 24])]).unwrap().row(0).len(), 10);
    };
    step();
    let (first, _) = pieces(&mut step);
    (0..30).for_each(|_| step());
    let (later, large) = pieces(&mut step);
    assert_eq!((later, large), (first, 0));
    // Seen: 40 a step.
    assert!(later <= 10 * 45, "{later}");
}
