//! Which adapter the other tests run on.

mod common;

use wgpu_lstm::GpuOptions;

/// `scripts/test.sh --driver` says what it has to be; without, it is said and no more.
#[test]
fn the_tests_run_on_the_adapter_that_was_asked_for() {
    let device = common::gpu(GpuOptions::default());
    println!("the GPU tests run on {device}");
    assert!(device.is_gpu(), "WGPU_LSTM_DEVICE must not turn GPU tests into CPU tests");
    if let Ok(wanted) = std::env::var("WGPU_LSTM_TEST_ADAPTER") {
        assert!(device.to_string().contains(&wanted), "{device}, not {wanted:?}");
    }
}
