//! `Strategy::Persistent`: against the oracle with one, two and too many workgroups; with workgroups
//! that never start and that give up at every step; and its protocol, in every order of events.

use super::lstm::{Case, Options};
use super::{assert_same_bits, close_values, forced, gpu, inner, lacks_software, patience, quick};
use crate::device::gpu::Gpu;
use crate::device::overrides::Forced;
use crate::nn::{Lstm, Params};
use crate::ops::lstm::gpu::schedule::{Schedule, persistent};
use crate::ops::lstm::gpu::task::{Phase, Task};
use crate::ops::lstm::select::{self, self_check};
use crate::{Device, Error, GpuOptions, Strategy, Tape, Tensor};
use naga::AddressSpace;
use naga::back::PipelineConstants;
use naga::back::pipeline_constants::process_overrides;
use naga::valid::{Capabilities, ValidationFlags, Validator};

fn device(checked: bool, portable: bool) -> Device {
    let mut options = GpuOptions::default().poison().threads(2);
    if checked {
        options = options.checked();
    }
    if portable {
        options = options.portable();
    }
    gpu(options)
}

/// Whether workgroups that wait for each other get on: SwiftShader's only while nothing else goes on.
fn two_at_once(gpu: &Gpu) -> bool {
    !gpu.info.name.contains("SwiftShader")
}

/// Sizes around the edges of tiles and slices, in all modes; R in registers, in shared memory and
/// from the cache. Three workgroups are more than some adapters run at once: then a pass is
/// recovered, and nobody sees a difference.
#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn persistent_agrees_with_the_oracle() {
    let modes = [[false, false], [true, true], [false, true]];
    let cases = [
        // The first with kept gates, the last with others.
        (1, [32, 99], [3, 2, 5, 1], Options { lengths: false, recompute: false, ..Options::ALL }),
        (3, [1, 1], [9, 5, 2, 13], Options::ALL),
        (2, [2, 1], [33, 17, 3, 64], Options { recompute: true, ..Options::SEQUENCES }),
    ];
    let devices = modes.map(|[checked, portable]| device(checked, portable));
    // Each makes pipelines anew, which takes a software adapter seconds: modes take turns.
    for (number, ((workgroups, keep, sizes, options), device)) in
        cases.into_iter().zip(devices).enumerate()
    {
        let patience = Forced { polls: Some(1 << 14), ..Forced::default() };
        forced(&device, Forced { workgroups: Some(workgroups), keep: Some(keep), ..patience });
        let case = Case::new(number as u64, sizes, options);
        let what = format!("by {workgroups}, keep {keep:?}, in mode {:?}", modes[number]);
        let saves: &[bool] = if number == 0 { &[false, true] } else { &[true] };
        case.check_passes(saves, &what, &device, Strategy::Persistent, &case.answer());
    }
}

/// All that both passes of a case give.
fn results(case: &Case, device: &Device) -> Vec<f32> {
    let results = case.results(device, Strategy::Persistent);
    results.iter().flat_map(|t| t.to_vec().unwrap()).collect()
}

fn task(ragged: bool, batch: usize, hidden_size: usize) -> Task {
    let (phase, variant, half, save, fused, lanes) = (Phase::Forward, false, false, true, false, 1);
    Task { phase, variant, ragged, half, save, fused, lanes, batch, timesteps: 64, hidden_size }
}

/// One of two workgroups starts too late, gives up at a step, or sleeps there, in each pass: the pass
/// ends, with the bits that it has when nothing happens, and is remembered: from then on a software adapter
/// takes one workgroup for all of the work, with the same bits; a GPU takes other strategies, whose sums
/// have another order.
#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn a_workgroup_that_fails_changes_nothing() {
    let usual = Forced { workgroups: Some(2), ..Forced::default() };
    // Rows of different lengths, by three teams in two launches.
    check_faults(&Case::new(3, [17, 4, 3, 9], Options::ALL), usual);
}

/// The same where an invocation has one value of R in a register, one in shared memory, four and then two more
/// from the cache.
#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn a_workgroup_that_fails_off_chip_changes_nothing() {
    let usual = Forced { workgroups: Some(2), keep: Some([1, 1]), ..Forced::default() };
    check_faults(&Case::new(6, [17, 2, 3, 60], Options::ALL), usual);
}

fn check_faults(case: &Case, usual: Forced) {
    let device = device(false, false);
    let gpu = forced(&device, usual);
    let (batch, steps) = (case.layer.batch, case.layer.timesteps);
    // Whether workgroups share the work.
    let task = task(true, batch, case.layer.hidden_size);
    let shared = || match select::schedule(&gpu, Strategy::Persistent, task).unwrap() {
        Schedule::Persistent(team) => !team.alone,
        _ => false,
    };
    let (expected, answer) = (results(case, &device), case.answer());
    for &window in if quick() { &[None][..] } else { &[None, Some(2), Some(3)] } {
        for fault in 0..2 + 2 * (steps as u32 + 1) {
            // Who sleeps makes the others lose their patience; whoever gives up tells them.
            let polls = Some(if fault % 2 == 1 { 1 << 10 } else { 1 << 20 });
            forced(&device, Forced { window, fault, polls, ..usual });
            assert!(shared());
            let what = format!("window {window:?}, fault {fault} on {device}");
            assert_same_bits(&what, &results(case, &device), &expected);
            if fault > 0 && fault % 2 == 0 {
                assert!(gpu.coresident.timed_out(), "{what}");
                assert!(!shared(), "{what}");
                let what = format!("after {what}");
                match gpu.info.software {
                    true => assert_same_bits(what, &results(case, &device), &expected),
                    false => {
                        let strategy = Strategy::Persistent;
                        case.check_passes(&[true], &what, &device, strategy, &answer);
                    }
                }
            }
        }
    }
}

/// Zeros are not taken for words that nobody has written.
#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn zeros_are_exchanged_like_other_numbers() {
    let device = device(false, false);
    let patience = Forced { polls: Some(1 << 22), ..Forced::default() };
    let gpu = forced(&device, Forced { workgroups: Some(2), ..patience });
    let params = Params::new(&device);
    let lstm = Lstm::new(9).return_sequences().strategy(Strategy::Persistent);
    let lstm = lstm.build(&params, 1).unwrap();
    for name in params.names() {
        let zeros = vec![0.0; params.get(&name).unwrap().len()];
        params.set(&name, &zeros).unwrap();
    }
    let tape = Tape::new(&params);
    let x = tape.input(Tensor::zeros([3, 4, 1], &device).unwrap());
    let y = lstm.forward(&tape, &x).unwrap();
    let d_y = Tensor::zeros(y.shape(), &device).unwrap();
    let gradients = tape.backward_from(&[(&y, d_y)]).unwrap();
    for found in [y.tensor(), gradients.get(&x).unwrap()] {
        assert!(found.to_vec().unwrap().iter().all(|&v| v == 0.0));
    }
    assert!(!gpu.coresident.timed_out() || !two_at_once(&gpu));
}

/// What a GPU's teams declare of shared memory is no more than it has.
#[test]
fn teams_fit_the_shared_memory() {
    use Phase::{Backward, Forward};
    let kernels = [
        (Forward, &persistent::FORWARD[0], false, false),
        (Forward, &persistent::FORWARD[1], true, false),
        (Forward, &persistent::FUSED, false, true),
        (Backward, &persistent::BACKWARD[0], false, false),
        (Backward, &persistent::BACKWARD[1], true, false),
    ];
    for (phase, kernel, half, fused) in kernels {
        let module = naga::front::wgsl::parse_str(&kernel.source()).unwrap();
        let mut validator = Validator::new(ValidationFlags::all(), Capabilities::all());
        let info = validator.validate(&module).unwrap();
        for (room, batch, hidden_size) in [16 << 10, 32 << 10, 48 << 10, 64 << 10]
            .into_iter()
            .flat_map(|room| [1, 2, 4].map(|batch| (room, batch)))
            .flat_map(|(room, batch)| [1, 33, 128, 512, 1000].map(|h| (room, batch, h)))
        {
            let task = Task { phase, half, fused, ..task(false, batch, hidden_size) };
            let what = format!("{}, B {batch}, H {hidden_size} in {room}", kernel.name);
            let Some(constants) = persistent::team::on_hardware(task, room) else {
                // d_a of a row alone is all of it, or what is made of the input.
                assert!(room < 32 << 10 && (fused || hidden_size == 1000), "{what}");
                continue;
            };
            let mut values: PipelineConstants =
                constants.iter().map(|&(k, v)| (k.to_owned(), v.into())).collect();
            values.insert("LENGTHS".to_owned(), 0.0);
            if phase == Forward {
                values.insert("SAVE".to_owned(), f64::from(u8::from(!fused)));
            }
            let (module, _) = process_overrides(&module, &info, None, &values).unwrap();
            let shared = module
                .global_variables
                .iter()
                .filter(|(_, variable)| variable.space == AddressSpace::WorkGroup);
            let bytes: u32 = shared
                .map(|(_, variable)| {
                    let size = module.types[variable.ty].inner.size(module.to_ctx());
                    size.next_multiple_of(16)
                })
                .sum();
            assert!(bytes <= room, "{what}: {bytes} bytes, {constants:?}");
        }
    }
}

/// With as much patience as it takes, two workgroups that run at once need no recovery.
#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn the_trial_passes_and_counts_workgroups() {
    let device = device(false, false);
    let gpu = forced(&device, Forced { polls: patience(&device), ..Forced::default() });
    let compared = (self_check::PERSISTENT[0].check)(&gpu).unwrap();
    assert!(!gpu.coresident.timed_out() || !two_at_once(&gpu));
    let plain: Vec<f64> = compared.plain.iter().map(|&v| v.into()).collect();
    let what = format!("the trial on {device}");
    close_values(&what, &compared.fast, &plain, compared.bound.into());
    let Schedule::Persistent(team) =
        select::schedule(&gpu, Strategy::Persistent, task(false, 1, 157)).unwrap()
    else {
        panic!("no team");
    };
    let seen = persistent::team::count(&gpu, task(false, 1, 157), team).unwrap();
    assert!((1..=1024).contains(&seen), "{seen}");
}

/// What the table says of a software adapter: past the hidden sizes of `Sequence`, where the trial passed.
#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn auto_takes_it_where_no_workgroup_is_wide_enough() {
    let device = gpu(GpuOptions::default());
    if lacks_software(&device) {
        return;
    }
    let gpu = inner(&device);
    let taken = |task| {
        let schedule = select::schedule(gpu, Strategy::Auto, task).unwrap();
        matches!(schedule, Schedule::Persistent(_))
    };
    for (batch, hidden_size) in [(1, 9), (1, 128), (4, 64), (32, 128)] {
        assert!(!taken(task(false, batch, hidden_size)), "B{batch} H{hidden_size}");
    }
    let large = task(false, 1, 4096);
    assert_eq!(taken(large), gpu.is_trusted(&self_check::PERSISTENT[0]));
    // Neither other cells nor a single step.
    assert!(!taken(Task { variant: true, ..large }));
    assert!(!taken(Task { timesteps: 1, ..large }));
}

/// On a card a layer of which not all of R fits on chip goes by workgroups while its rows are few tiles.
#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn a_card_streams_r_for_few_rows() {
    let device = gpu(GpuOptions::default().poison().threads(2).like_hardware());
    if lacks_software(&gpu(GpuOptions::default())) {
        return;
    }
    // 65 workgroups would hold R, far more than run at once.
    let gpu = forced(&device, Forced { keep: Some([1, 1]), ..Forced::default() });
    let team = |batch, auto| persistent::team(&gpu, task(false, batch, 130), auto).unwrap();
    for batch in [1, 2, 40] {
        assert!(team(batch, false).is_ok(), "who asks for it, gets it");
    }
    let few = team(1, true).unwrap();
    assert!(few.workgroups < 65, "{few:?}");
    assert!(team(40, true).is_err());
    let case = Case::new(8, [1, 9, 3, 130], Options { lengths: false, ..Options::ALL });
    case.check_passes(&[false, true], "off chip", &device, Strategy::Auto, &case.answer());
}

#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn chunks_by_workgroups() {
    let device = gpu(GpuOptions::default().poison().chunk_words(4 * 5 * 4 + 8));
    forced(&device, Forced { workgroups: Some(2), polls: Some(1 << 14), ..Forced::default() });
    let mut case = Case::new(4, [3, 9, 2, 5], Options::ALL);
    case.layer.reverse = true;
    case.check_passes(&[true], "chunks", &device, Strategy::Persistent, &case.answer());
}

/// Past its first use, which may ask the device how many workgroups it runs.
#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn a_pass_by_workgroups_is_four_dispatches() {
    let device = gpu(GpuOptions::default());
    forced(&device, Forced { workgroups: Some(2), ..Forced::default() });
    let case = Case::new(5, [2, 3, 4, 5], Options::SEQUENCES);
    let (_, _) = case.forward(&device, Strategy::Persistent, false);
    let before = device.counters();
    let (output, _) = case.forward(&device, Strategy::Persistent, false);
    let after = device.counters();
    assert_eq!(after.dispatches - before.dispatches, 4);
    assert_eq!(after.submissions, before.submissions);
    assert_eq!(after.readbacks, before.readbacks);
    output.h_n.to_vec().unwrap();
}

#[cfg_attr(not(feature = "gpu"), ignore = "needs a GPU")]
#[test]
fn what_cannot_run_is_refused() {
    let device = device(false, true);
    let gpu = forced(&device, Forced { workgroups: Some(1), ..Forced::default() });
    let plan = |variant, hidden_size| {
        select::schedule(
            &gpu,
            Strategy::Persistent,
            Task { variant, ..task(false, 1, hidden_size) },
        )
    };
    assert!(matches!(plan(false, 256), Ok(Schedule::Persistent(_))));
    // So many rows that no grid holds their teams.
    let rows = select::schedule(&gpu, Strategy::Persistent, task(false, 65_536 * 256, 2));
    assert!(matches!(rows, Err(Error::Strategy { .. })), "{rows:?}");
    for (variant, hidden_size) in [(true, 5), (false, 257)] {
        let refused = plan(variant, hidden_size);
        assert!(
            matches!(refused, Err(Error::Strategy { strategy: "Persistent", .. })),
            "{refused:?}"
        );
    }
}
