//! What saving and loading of a model of 200 MB takes, against writing and reading as many bytes.
//!
//!     cargo bench --bench save
//!
//! Both are measured in turns, in the folder for temporary files; printed are medians and their ratio. A write
//! ends when the disk has the bytes.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};
use wgpu_lstm::nn::Lstm;
use wgpu_lstm::{Device, Result, Sequential};

fn main() -> Result<()> {
    let device = Device::auto()?;
    let mut model = Sequential::new(&device).add(Lstm::new(1024).num_layers(6));
    // All weights are such that memory and file have them in another order.
    model.build(1024)?;
    let folder = std::env::temp_dir().join(format!("wgpu-lstm-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for temporary files");
    let (path, plain) = (folder.join("model.safetensors"), folder.join("plain"));
    model.save(&path)?;
    let bytes = std::fs::read(&path).expect("the model's file");
    println!("{} MB, {device}", bytes.len() / 1_000_000);

    let mut times: [Vec<Duration>; 6] = Default::default();
    for _ in 0..9 {
        times[0].push(time(|| write(&plain, &bytes)));
        times[1].push(time(|| model.save(&path).expect("a model is saved")));
        times[2].push(time(|| drop(std::fs::read(&plain).expect("a file is read"))));
        times[3].push(time(|| model.params().load(&path).expect("weights are loaded")));
        times[4].push(time(|| drop(std::fs::read(&plain).expect("a file is read"))));
        times[5].push(time(|| drop(Sequential::load(&path, &device).expect("a model is loaded"))));
    }
    let medians = times.map(|mut times| {
        times.sort();
        times[times.len() / 2].as_secs_f64() * 1e3
    });
    let names = ["Sequential::save, write", "Params::load, read", "Sequential::load, read"];
    for (name, pair) in names.iter().zip(medians.chunks(2)) {
        println!("{name}: {:.0} ms, {:.0} ms, ratio {:.2}", pair[1], pair[0], pair[1] / pair[0]);
    }
    std::fs::remove_dir_all(folder).expect("the folder is ours");
    Ok(())
}

fn time(f: impl FnOnce()) -> Duration {
    let began = Instant::now();
    f();
    began.elapsed()
}

/// A new file each time, as a model's is.
fn write(path: &Path, bytes: &[u8]) {
    let _ = std::fs::remove_file(path);
    let mut file = File::create(path).expect("a new file");
    file.write_all(bytes).and_then(|()| file.sync_all()).expect("a file is written");
}
