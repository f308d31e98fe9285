//! The cache of compiled kernels on disk: what it holds is used, what is damaged is not, and nothing
//! of it is ever an error. And what the environment variables say, in processes of their own.

mod common;

use common::{Folder, ends, lacks, open};
use std::path::{Path, PathBuf};
use std::process::Command;
use wgpu_lstm::Sequential;
use wgpu_lstm::data::Sequences;
use wgpu_lstm::nn::{Dense, Lstm};
use wgpu_lstm::{CACHE_VARIABLE, Device, GpuOptions};

fn predict(device: &Device) -> Vec<f32> {
    let mut model = Sequential::new(device).seed(3).add(Lstm::new(8)).add(Dense::new(2));
    model.build(4).unwrap();
    let x = Sequences::from_array(&[0.5; 3 * 5 * 4], [3, 5, 4]).unwrap();
    model.predict(&x).unwrap().values().to_vec()
}

/// Files of compiled kernels: one on Vulkan; the other APIs keep kernels by themselves.
fn expected_files(device: &Device) -> usize {
    usize::from(device.adapter().is_some_and(|adapter| adapter.backend == "Vulkan"))
}

/// The files of compiled kernels. What is learned of the device lies beside them.
fn files(folder: &Folder) -> Vec<PathBuf> {
    let all = folder.files().into_iter().filter(|p| !ends(p, "json") && !ends(p, "lock"));
    let (kept, others): (Vec<_>, Vec<_>) = all.partition(|p| ends(p, "pipelines"));
    assert_eq!(others, Vec::<PathBuf>::new(), "files are left over");
    kept
}

#[test]
fn kernels_are_kept_and_found_again() {
    let folder = Folder::new("kept");
    let expected = predict(&open(GpuOptions::default().no_cache()));
    assert_eq!(files(&folder), Vec::<PathBuf>::new());
    let first = folder.device();
    assert_eq!(predict(&first), expected);
    let kept = files(&folder);
    assert_eq!(kept.len(), expected_files(&first), "{kept:?}");
    if lacks("vulkan", !kept.is_empty()) {
        return;
    }
    let written = std::fs::metadata(&kept[0]).unwrap().modified().unwrap();
    let before = std::fs::read(&kept[0]).unwrap();
    // The second device finds all it needs: nothing is new, and nothing is written, unless the driver
    // has other bytes for the same (SwiftShader has).
    assert_eq!(predict(&folder.device()), expected);
    assert_eq!(files(&folder), kept);
    if std::fs::read(&kept[0]).unwrap() == before {
        assert_eq!(std::fs::metadata(&kept[0]).unwrap().modified().unwrap(), written);
    }
}

#[test]
fn a_damaged_file_is_replaced() {
    let folder = Folder::new("damaged");
    let first = folder.device();
    let expected = predict(&first);
    let kept = files(&folder);
    assert_eq!(kept.len(), expected_files(&first), "{kept:?}");
    lacks("vulkan", !kept.is_empty());
    for kept in kept {
        let good = std::fs::read(&kept).unwrap();
        let mut flipped = good.clone();
        let middle = good.len() / 2;
        flipped[middle] ^= 0x10;
        for bad in [&[][..], b"WLSTMPC1", &good[..good.len() - 1], &flipped, &[0x5a; 4096]] {
            std::fs::write(&kept, bad).unwrap();
            assert_eq!(predict(&folder.device()), expected);
            let now = std::fs::read(&kept).unwrap();
            assert!(now != bad && now.len() >= 16, "{} bytes were left as they were", bad.len());
        }
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_no_error() {
    let folder = Folder::new("file");
    let path = folder.path();
    // A file where the folder should be: not even root can write below it.
    std::fs::write(path, b"no folder").unwrap();
    let expected = predict(&open(GpuOptions::default().no_cache()));
    assert_eq!(predict(&open(GpuOptions::default().cache(path.join("below")))), expected);
    assert_eq!(predict(&open(GpuOptions::default().cache(path))), expected);
    assert_eq!(std::fs::read(path).unwrap(), b"no folder");
}

#[test]
#[ignore = "others run it, in processes of their own"]
fn child() {
    println!("[{:?}]", predict(&open(GpuOptions::default())));
}

/// Runs [`child`] with this folder in the environment.
fn start(folder: &Path) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env(CACHE_VARIABLE, folder)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap()
}

fn printed(child: std::process::Child) -> String {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().find(|line| line.contains("[[")).unwrap_or_else(|| panic!("{text}")).to_owned()
}

#[test]
fn processes_at_once_and_the_variable() {
    let folder = Folder::new("processes");
    let children: Vec<_> = (0..3).map(|_| start(folder.path())).collect();
    let printed_by: Vec<_> = children.into_iter().map(printed).collect();
    assert!(printed_by.iter().all(|text| *text == printed_by[0]), "{printed_by:?}");
    let kept = files(&folder);
    assert_eq!(printed(start(folder.path())), printed_by[0]);
    assert_eq!(files(&folder), kept);
    // In the folder `off` of the working directory there is nothing afterwards.
    for off in ["off", "OFF", " Off "] {
        assert_eq!(printed(start(Path::new(off))), printed_by[0]);
        assert!(!Path::new(off).exists() && !Path::new(off.trim()).exists(), "{off:?} is a folder");
    }
}

/// Ends a child that takes too long: it waits for what never comes.
#[cfg(unix)]
fn printed_in_time(mut child: std::process::Child) -> String {
    use std::time::{Duration, Instant};
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if began.elapsed() > Duration::from_secs(200) {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("the child did not end");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    printed(child)
}

/// Where a file was there is a FIFO, into which nobody writes: it is not waited for.
#[cfg(unix)]
#[test]
fn a_fifo_is_no_file() {
    let folder = Folder::new("fifo");
    let expected = printed(start(folder.path()));
    let mut kept = folder.files();
    kept.retain(|p| ends(p, "pipelines") || ends(p, "json"));
    lacks("vulkan", kept.iter().any(|p| ends(p, "pipelines")));
    for path in kept {
        std::fs::remove_file(&path).unwrap();
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert_eq!(printed_in_time(start(folder.path())), expected, "{}", path.display());
        assert!(std::fs::metadata(&path).unwrap().is_file(), "{} is left", path.display());
    }
}

#[cfg(unix)]
#[test]
#[ignore = "another runs it, in a process of its own"]
fn child_whose_device_is_no_text() {
    // Whoever runs all tests that are ignored has another variable, or none.
    let Err(std::env::VarError::NotUnicode(_)) = std::env::var(wgpu_lstm::DEVICE_VARIABLE) else {
        return;
    };
    for device in [Device::auto(), Device::cpu(), Device::gpu(GpuOptions::default())] {
        let error = device.unwrap_err();
        let wgpu_lstm::Error::UnknownDevice { name, .. } = &error else { panic!("{error}") };
        assert_eq!(name, "cpu\u{fffd}");
    }
    println!("all three are errors");
}

#[cfg(unix)]
#[test]
fn a_device_variable_that_is_no_text_is_an_error() {
    use std::os::unix::ffi::OsStrExt;
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_whose_device_is_no_text", "--ignored", "--nocapture"])
        .env(wgpu_lstm::DEVICE_VARIABLE, std::ffi::OsStr::from_bytes(b"cpu\xff"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{failed}");
    assert!(text.contains("all three are errors"), "{text}");
}
