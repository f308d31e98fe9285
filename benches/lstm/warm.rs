//! What warms a GPU up, for all benchmarks.

use std::time::{Duration, Instant};
use wgpu_lstm::Device;

/// How long a hardware GPU is kept busy before a case is timed. One that was idle, while parameters were made,
/// say, has slowed its clocks down: what is measured first would read several times too slow.
const BUSY: Duration = Duration::from_millis(400);

/// Runs a case, the device's work included, for so long on a hardware GPU; elsewhere not at all.
pub fn warm<E>(device: &Device, mut run: impl FnMut() -> Result<(), E>) -> Result<(), E> {
    let hardware = device.adapter().is_some_and(|adapter| !adapter.software);
    let begin = Instant::now();
    while hardware && begin.elapsed() < BUSY {
        run()?;
    }
    Ok(())
}
