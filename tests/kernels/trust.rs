//! Fast paths, which are only used where they were seen right, and autotuning: what is kept, what is
//! found again, and that neither disturbs the device.

use super::compiling::{HEAD, kernel};
use super::{Folder, ends, gpu, inner, lacks, open};
use crate::device::fast_path::{Candidates, Comparison, FastPath};
use crate::device::gpu::Gpu;
use crate::device::kernel::{Kernel, Wgsl};
use crate::ops::common::Launch;
use crate::ops::elementwise::add_into::add_into;
use crate::{Device, Error, GpuOptions, Result, Tensor};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

/// The file of what was learned of the only device.
fn learned(folder: &Folder) -> PathBuf {
    let mut found = folder.files();
    found.retain(|file| ends(file, "json"));
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// What was logged as a warning, for tests that look for a name of their own.
fn warnings(about: &str) -> usize {
    WARNINGS.lock().unwrap().iter().filter(|text| text.contains(about)).count()
}

static WARNINGS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn listen() {
    struct Listener;
    impl log::Log for Listener {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }
        fn log(&self, record: &log::Record<'_>) {
            if record.level() == log::Level::Warn {
                WARNINGS.lock().unwrap().push(record.args().to_string());
            }
        }
        fn flush(&self) {}
    }
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Listener).unwrap();
        log::set_max_level(log::LevelFilter::Warn);
    });
}

static PLAIN: Kernel = kernel("test_twice", &[HEAD, Wgsl::lines("y[i] = 2.0 * x[i]; }")]);
static SUM: Kernel = kernel("test_twice_by_sum", &[HEAD, Wgsl::lines("y[i] = x[i] + x[i]; }")]);
static SUM_ANEW: Kernel =
    kernel("test_twice_by_sum", &[HEAD, Wgsl::lines("let v = x[i]; y[i] = v + v; }")]);
static SQUARE: Kernel = kernel("test_square", &[HEAD, Wgsl::lines("y[i] = x[i] * x[i]; }")]);
static NO_KERNEL: Kernel =
    kernel("test_no_kernel", &[HEAD, Wgsl::lines("y[i] = not_there(x[i]); }")]);
/// Some seconds of one invocation, which no compiler can shorten: of a CPU's thread and, of fewer turns, of a
/// card's, whose memory answers each of them later. Nobody can end it.
static ENDLESS: [Kernel; 2] = [
    kernel("test_endless", &[HEAD, Wgsl::lines("let turns = 1u << 29u;"), TURNS]),
    kernel("test_endless_on_a_card", &[HEAD, Wgsl::lines("let turns = 1u << 24u;"), TURNS]),
];
const TURNS: Wgsl = Wgsl::lines(
    "
    if i > 0u { return; }
    for (var k = 0u; k < turns; k++) { y[k & 7u] = y[(k + 1u) & 7u] * x[k & 7u] + 1.0; }
}",
);

fn twice(gpu: &Arc<Gpu>, kernel: &'static Kernel) -> Result<Vec<f32>> {
    let device = gpu.device();
    let values: Vec<_> = (0..100).map(|i| i as f32 - 30.0).collect();
    let x = Tensor::from_slice(&values, [100], &device)?;
    let y = Tensor::zeros([100], &device)?;
    gpu.run(&Launch {
        kernel,
        grid: [2, 1, 1],
        constants: &[],
        uniform: &[100],
        tensors: &[Some(&x), Some(&y)],
    })?;
    y.to_vec()
}

fn compare(gpu: &Arc<Gpu>, kernel: &'static Kernel, runs: &AtomicUsize) -> Result<Comparison> {
    runs.fetch_add(1, Ordering::Relaxed);
    Ok(Comparison { fast: twice(gpu, kernel)?, plain: twice(gpu, &PLAIN)?, bound: 1e-6 })
}

#[test]
fn a_right_kernel_is_checked_once_and_used() {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    static FAST: FastPath =
        FastPath { name: "right", kernels: &[&SUM], check: |gpu| compare(gpu, &SUM, &RUNS) };
    static ANEW: FastPath = FastPath {
        name: "right",
        kernels: &[&SUM_ANEW],
        check: |gpu| compare(gpu, &SUM_ANEW, &RUNS),
    };
    let folder = Folder::new("right");
    for device in [folder.device(), folder.device()] {
        // Something is recorded and not submitted: the check leaves it alone.
        let y = Tensor::zeros([1], &device).unwrap();
        let before = device.counters();
        assert!(inner(&device).is_trusted(&FAST));
        assert!(inner(&device).is_trusted(&FAST));
        assert_eq!(device.counters(), before);
        assert_eq!(y.to_vec().unwrap(), [0.0]);
    }
    assert_eq!(RUNS.load(Ordering::Relaxed), 1);
    // Another text is another kernel.
    assert!(inner(&folder.device()).is_trusted(&ANEW));
    assert_eq!(RUNS.load(Ordering::Relaxed), 2);
    // Without a cache each device checks for itself.
    for _ in 0..2 {
        assert!(inner(&gpu(GpuOptions::default())).is_trusted(&ANEW));
    }
    assert_eq!(RUNS.load(Ordering::Relaxed), 4);
}

#[test]
fn an_injected_fault_is_found_and_remembered() {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    static FAST: FastPath =
        FastPath { name: "faulty", kernels: &[&SUM], check: |gpu| compare(gpu, &SUM, &RUNS) };
    listen();
    let folder = Folder::new("fault");
    let device = folder.open(GpuOptions::default().fault("faulty"));
    assert!(!inner(&device).is_trusted(&FAST));
    assert_eq!(warnings("faulty is wrong on this device"), 1);
    assert!(std::fs::read_to_string(learned(&folder)).unwrap().contains("faulty"));
    // The result stays, whichever device asks.
    for device in [device, folder.device()] {
        assert!(!inner(&device).is_trusted(&FAST));
    }
    assert_eq!((RUNS.load(Ordering::Relaxed), warnings("faulty")), (1, 1));
}

#[test]
fn a_kernel_that_is_wrong_or_fails_is_not_used_and_the_device_goes_on() {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    static WRONG: FastPath =
        FastPath { name: "wrong", kernels: &[&SQUARE], check: |gpu| compare(gpu, &SQUARE, &RUNS) };
    static BROKEN: FastPath = FastPath {
        name: "broken",
        kernels: &[&NO_KERNEL],
        check: |gpu| compare(gpu, &NO_KERNEL, &RUNS),
    };
    static SILENT: FastPath = FastPath {
        name: "silent",
        kernels: &[&SUM],
        check: |_| Ok(Comparison { fast: vec![], plain: vec![], bound: 1.0 }),
    };
    static NAN: FastPath = FastPath {
        name: "nan",
        kernels: &[&SUM],
        check: |_| Ok(Comparison { fast: vec![f32::NAN], plain: vec![1.0], bound: 1.0 }),
    };
    listen();
    let folder = Folder::new("wrong");
    let device = folder.device();
    for path in [&WRONG, &BROKEN, &SILENT, &NAN] {
        assert!(!inner(&device).is_trusted(path), "{}", path.name);
        assert_eq!(warnings(&format!("{} is wrong", path.name)), 1, "{}", path.name);
    }
    assert_eq!(twice(inner(&device), &PLAIN).unwrap()[99], 138.0);
    let again = folder.device();
    for path in [&WRONG, &BROKEN] {
        assert!(!inner(&again).is_trusted(path));
    }
    assert_eq!(RUNS.load(Ordering::Relaxed), 2);
}

#[test]
fn a_trial_that_does_not_end_says_nothing() {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    static HANGING: FastPath = FastPath {
        name: "hanging",
        kernels: &[&ENDLESS[0], &ENDLESS[1]],
        check: |gpu| compare(gpu, &ENDLESS[usize::from(!gpu.info.software)], &RUNS),
    };
    // As a driver that is reset while the trial runs, or that answers too late.
    static LOST: FastPath = FastPath {
        name: "vanishing",
        kernels: &[&SUM],
        check: |_| {
            RUNS.fetch_add(1, Ordering::Relaxed);
            Err(Error::DeviceLost { reason: "a test".into() })
        },
    };
    static RIGHT: FastPath =
        FastPath { name: "beside", kernels: &[&SUM], check: |gpu| compare(gpu, &SUM, &RUNS) };
    listen();
    let folder = Folder::new("unended");
    let device = folder.open(GpuOptions::default().patience(Duration::from_millis(200)));
    // A call of OpenGL's may end when its kernel has, however long that takes.
    if lacks("vulkan", device.adapter().is_some_and(|adapter| adapter.backend != "Gl")) {
        return;
    }
    for path in [&HANGING, &LOST] {
        assert!(!inner(&device).is_trusted(path), "{}", path.name);
        assert_eq!(warnings(&format!("{} is wrong", path.name)), 0, "{}", path.name);
        let unchecked = format!("{} could not be checked", path.name);
        assert_eq!(warnings(&unchecked), 1, "{}", path.name);
    }
    assert_eq!(twice(inner(&device), &PLAIN).unwrap()[99], 138.0);
    // All devices of this process do the same, and nothing is tried twice.
    let again = folder.device();
    for path in [&HANGING, &LOST] {
        assert!(!inner(&again).is_trusted(path), "{}", path.name);
    }
    assert_eq!(RUNS.load(Ordering::Relaxed), 2);
    // The next process finds no word on them, and tries again.
    assert!(inner(&again).is_trusted(&RIGHT));
    let text = std::fs::read_to_string(learned(&folder)).unwrap();
    assert!(text.contains("beside"), "{text}");
    assert!(!text.contains("hanging") && !text.contains("vanishing"), "{text}");
}

#[test]
fn a_choice_with_a_trial_that_does_not_end_is_not_kept() {
    let prepared = AtomicUsize::new(0);
    let choose = |device: &Device, name: &str, lost: Option<usize>| {
        inner(device).autotune(&Candidates {
            name,
            kernels: &[&PLAIN],
            default: 0,
            count: 2,
            prepare: &|gpu, i| {
                prepared.fetch_add(1, Ordering::Relaxed);
                if lost == Some(i) {
                    return Err(Error::DeviceLost { reason: "a test".into() });
                }
                let x = Tensor::zeros([1000], &gpu.device())?;
                Ok(Box::new(move || x.fill(1.0)))
            },
        })
    };
    let folder = Folder::new("untimed");
    let device = folder.device();
    // The default one is lost: the other does not win by that.
    assert_eq!(choose(&device, "test/lost", Some(0)), 0);
    assert_eq!(choose(&folder.device(), "test/lost", Some(0)), 0);
    assert_eq!(prepared.load(Ordering::Relaxed), 1);
    choose(&device, "test/timed", None);
    let text = std::fs::read_to_string(learned(&folder)).unwrap();
    assert!(text.contains("test/timed") && !text.contains("test/lost"), "{text}");
}

#[test]
fn a_lock_that_another_holds_is_not_waited_for_long() {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    static FIRST: FastPath =
        FastPath { name: "unlocked", kernels: &[&SUM], check: |gpu| compare(gpu, &SUM, &RUNS) };
    static SECOND: FastPath =
        FastPath { name: "held_up", kernels: &[&SUM], check: |gpu| compare(gpu, &SUM, &RUNS) };
    let folder = Folder::new("held");
    let device = folder.device();
    assert!(inner(&device).is_trusted(&FIRST));
    let before = std::fs::read(learned(&folder)).unwrap();
    let held = std::fs::File::create(learned(&folder).with_extension("lock")).unwrap();
    held.lock().unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    let asked = device.clone();
    std::thread::spawn(move || sender.send(inner(&asked).is_trusted(&SECOND)));
    let answer = receiver.recv_timeout(Duration::from_secs(100));
    assert_eq!(answer, Ok(true), "the lock was waited for");
    assert_eq!(std::fs::read(learned(&folder)).unwrap(), before, "written without the lock");
    // It is known in this device; another one checks anew, and keeps it now.
    drop(held);
    assert!(inner(&device).is_trusted(&SECOND));
    assert_eq!(RUNS.load(Ordering::Relaxed), 2);
    assert!(inner(&folder.device()).is_trusted(&SECOND));
    assert!(inner(&folder.device()).is_trusted(&SECOND));
    assert_eq!(RUNS.load(Ordering::Relaxed), 3);
}

/// Two candidates, the second some fifty times cheaper, and a third that fails.
fn choose(device: &Device, prepared: &AtomicUsize) -> usize {
    inner(device).autotune(&Candidates {
        name: "test/1000000",
        kernels: &[&PLAIN],
        default: 0,
        count: 3,
        prepare: &|gpu, i| {
            prepared.fetch_add(1, Ordering::Relaxed);
            if i == 2 {
                return Err(Error::Gpu { message: "the third candidate fails".into() });
            }
            let x = Tensor::zeros([1_000_000], &gpu.device())?;
            let launches = if i == 0 { 50 } else { 1 };
            Ok(Box::new(move || (0..launches).try_for_each(|_| x.fill(1.0))))
        },
    })
}

#[test]
fn a_choice_is_timed_once() {
    let prepared = AtomicUsize::new(0);
    let count = || prepared.load(Ordering::Relaxed);
    assert_eq!(choose(&gpu(GpuOptions::default()), &prepared), 0);
    assert_eq!(count(), 0, "without a cache nothing is measured");
    let folder = Folder::new("choice");
    let device = folder.device();
    let before = device.counters();
    assert_eq!((choose(&device, &prepared), choose(&device, &prepared)), (1, 1));
    assert_eq!(device.counters(), before);
    assert_eq!(choose(&folder.device(), &prepared), 1);
    assert_eq!(count(), 3, "measured once");
    // What the file says is done, whatever a clock would say now.
    let text = std::fs::read_to_string(learned(&folder)).unwrap();
    std::fs::write(learned(&folder), text.replace("\"chosen\": 1", "\"chosen\": 0")).unwrap();
    assert_eq!((choose(&folder.device(), &prepared), count()), (0, 3));
    // But no candidate that is not there.
    std::fs::write(learned(&folder), text.replace("\"chosen\": 1", "\"chosen\": 7")).unwrap();
    assert_eq!((choose(&folder.device(), &prepared), count()), (1, 6));
}

fn spoil(file: &Path, content: &[u8]) {
    std::fs::write(file, content).unwrap();
}

#[test]
fn a_damaged_or_foreign_file_is_replaced() {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    static FAST: FastPath =
        FastPath { name: "spoiled", kernels: &[&SUM], check: |gpu| compare(gpu, &SUM, &RUNS) };
    let folder = Folder::new("spoiled");
    let is_trusted = || inner(&folder.device()).is_trusted(&FAST);
    assert!(is_trusted());
    let text = std::fs::read_to_string(learned(&folder)).unwrap();
    let foreign = text.replacen("\"device\": \"", "\"device\": \"another ", 1);
    let spoiled = ["", "{", "\u{0}\u{0}", "[1,2]", &text[..text.len() / 2], &foreign];
    for (i, content) in spoiled.iter().enumerate() {
        spoil(&learned(&folder), content.as_bytes());
        assert!(is_trusted());
        assert_eq!(RUNS.load(Ordering::Relaxed), i + 2, "{content:?} was believed");
        assert!(is_trusted(), "what was found is not kept");
    }
    assert_eq!(RUNS.load(Ordering::Relaxed), spoiled.len() + 1);
}

#[test]
fn a_folder_that_cannot_be_written_is_done_without() {
    static FAST: FastPath = FastPath {
        name: "homeless",
        kernels: &[&SUM],
        check: |gpu| compare(gpu, &SUM, &AtomicUsize::new(0)),
    };
    let folder = Folder::new("homeless");
    // A file where the folder should be: not even root can write below it.
    spoil(folder.path(), b"a file");
    let device = open(GpuOptions::default().cache(folder.path().join("below")));
    assert!(inner(&device).is_trusted(&FAST));
    let prepared = AtomicUsize::new(0);
    assert_eq!(choose(&device, &prepared), 0, "a choice that is not kept would differ next time");
    let y = Tensor::zeros([3], &device).unwrap();
    add_into(&Tensor::from_slice(&[1.0, 2.0, 3.0], [3], &device).unwrap(), &y).unwrap();
    assert_eq!(y.to_vec().unwrap(), [1.0, 2.0, 3.0]);
    assert!(folder.path().is_file());
}
