//! A process that trains is killed at random moments, and started again.

use super::{bits, data, fit, model};
use crate::common::{Folder, quick};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use wgpu_lstm::train::{Callback, Run};
use wgpu_lstm::{Device, Error, GpuOptions};

/// Tells a process that it is the one to be killed: its device and the folder to work in.
const CHILD: &str = "WGPU_LSTM_TEST_CHILD";

const EPOCHS: usize = 12;

#[test]
fn killed_on_the_cpu() {
    kill("cpu");
}

#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn killed_on_a_gpu() {
    kill("gpu");
}

fn kill(device: &str) {
    let folder = Folder::new(&format!("killed_{device}"));
    // The second time a driver has compiled the kernels.
    let [(expected, _), (again, time)] = ["whole", "again"].map(|name| {
        let folder = folder.path().join(name);
        let began = Instant::now();
        assert!(child(device, &folder).wait().unwrap().success());
        (std::fs::read(folder.join("bits")).unwrap(), began.elapsed())
    });
    assert!(!expected.is_empty() && again == expected, "{device}");

    // Other moments each time: any of them must do.
    let seed = std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos().into();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (wanted, mut kills, mut ended) = (if quick() { 4 } else { 20 }, 0, 0);
    while kills < wanted || ended == 0 {
        let broken = folder.path().join(format!("broken_{ended}"));
        loop {
            let mut child = child(device, &broken);
            let share = f64::from(rng.next_u32()) / f64::from(u32::MAX);
            // Once enough were killed the last one may end.
            if kills < wanted {
                std::thread::sleep(time.mul_f64(1.2 * share));
                let _ = child.kill();
            }
            if child.wait().unwrap().success() {
                break;
            }
            assert!(kills < wanted, "a process that nobody killed failed");
            kills += 1;
        }
        ended += 1;
        let found = std::fs::read(broken.join("bits")).unwrap();
        assert!(found == expected, "after {kills} kills on {device} the bits differ");
    }
}

fn child(device: &str, folder: &Path) -> Child {
    std::fs::create_dir_all(folder).unwrap();
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed::a_process_to_be_killed", "--ignored"])
        .env(CHILD, format!("{device} {}", folder.display()))
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Checkpoints after every second step, and each takes a while: so that it is killed in the middle of one.
struct Often<'a>(&'a Path);

impl Callback for Often<'_> {
    fn after_step(&mut self, run: &mut Run<'_>) -> Result<(), Error> {
        if run.steps().is_multiple_of(2) {
            run.save_checkpoint(self.0);
        }
        std::thread::sleep(Duration::from_millis(5));
        Ok(())
    }
}

#[test]
#[ignore = "the process that the others kill"]
fn a_process_to_be_killed() {
    let Ok(told) = std::env::var(CHILD) else { return };
    let (device, folder) = told.split_once(' ').unwrap();
    let folder = Path::new(folder);
    let device = match device {
        "cpu" => Device::cpu().unwrap(),
        _ => crate::common::gpu(GpuOptions::default()),
    };
    let checkpoint = folder.join("checkpoint");
    let (x, y) = data();
    let mut model = model(&device);
    let fit = fit(EPOCHS).callback(Often(&checkpoint)).resume(&checkpoint);
    let history = model.fit(&x, &y, fit).unwrap();
    let bits: Vec<u8> = bits(&model, &history).iter().flat_map(|b| b.to_le_bytes()).collect();
    // Whole or not at all.
    std::fs::write(folder.join("new"), bits).unwrap();
    std::fs::rename(folder.join("new"), folder.join("bits")).unwrap();
}
