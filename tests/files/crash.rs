//! A process that is killed while it saves leaves a whole file, the old one or the new.

use super::place;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use wgpu_lstm::Device;
use wgpu_lstm::nn::{Dense, Params};
use wgpu_lstm::testing::poisoned_cpu;

/// Tells the child where to save.
const PATH: &str = "WGPU_LSTM_TEST_SAVES_TO";

const SIZE: usize = 700;

fn params(device: &Device) -> Params {
    let params = Params::new(device);
    let _ = Dense::new(SIZE).build(&params, SIZE).unwrap();
    params
}

/// As the child of the next test: saves one value everywhere, then the next, until it is killed.
#[test]
fn saves_forever_if_it_is_told_to() {
    let Some(path) = std::env::var_os(PATH) else { return };
    let params = params(&poisoned_cpu());
    for value in (0..1000).cycle() {
        params.set("dense.weight", &vec![value as f32; SIZE * SIZE]).unwrap();
        params.save(&path).unwrap();
    }
}

#[test]
fn a_killed_process_leaves_a_whole_file() {
    let (folder, path) = place("killed");
    let params = params(&poisoned_cpu());
    params.save(&path).unwrap();
    let first = std::fs::read(&path).unwrap();
    for round in 0..12u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::saves_forever_if_it_is_told_to"])
            .env(PATH, &path)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        if round == 0 {
            let began = Instant::now();
            while std::fs::read(&path).unwrap() == first {
                assert!(began.elapsed() < Duration::from_secs(60), "the child saves nothing");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        std::thread::sleep(Duration::from_millis(20 + 17 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        params.load(&path).unwrap();
        let weight = params.get("dense.weight").unwrap();
        assert!(weight.iter().all(|w| *w == weight[0]), "round {round}: of two files");
    }
    // What the killed ones left is in nobody's way.
    params.save(&path).unwrap();
    params.load(&path).unwrap();
    drop(folder);
}
