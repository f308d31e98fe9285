//! Every format and every kind of tensor, against what PyTorch itself has in them.

use super::{bits, file, open, wrong};
use wgpu_lstm::io::pytorch::StateDict;

/// That two state dicts have the same tensors, in any order.
#[track_caller]
fn same(what: &str, found: &StateDict, expected: &StateDict) {
    let names = |dict: &StateDict| {
        let mut names: Vec<_> = dict.names().map(str::to_owned).collect();
        names.sort();
        names
    };
    assert_eq!(names(found), names(expected), "{what}");
    for name in expected.names() {
        assert_eq!(found.shape(name), expected.shape(name), "{what}: {name}");
        assert_eq!(found.dtype(name), expected.dtype(name), "{what}: {name}");
        let values = |dict: &StateDict| bits(&dict.values(name).unwrap());
        assert_eq!(values(found), values(expected), "{what}: {name}");
    }
}

#[test]
fn all_formats_have_the_same_tensors() {
    let expected = open("modules.safetensors");
    assert!(expected.names().count() > 80);
    for name in ["modules.pt", "modules_legacy.pth", "modules_packed.pt"] {
        same(name, &open(name), &expected);
    }
    // In the order of the state dict, which safetensors do not keep.
    let all = open("modules.pt");
    let first: Vec<_> = all.names().take(3).collect();
    assert_eq!(first, ["lstm.weight_ih_l0", "lstm.weight_hh_l0", "lstm.bias_ih_l0"]);
}

#[test]
fn all_types_and_views_are_read() {
    let expected = open("kinds_expected.safetensors");
    for name in ["kinds.pt", "kinds_legacy.pth"] {
        let dict = open(name);
        assert!(expected.names().count() >= 24);
        for tensor in expected.names() {
            let shape = dict.shape(tensor).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(shape, expected.shape(tensor).unwrap(), "{name}: {tensor}");
            let values = dict.values(tensor).unwrap_or_else(|error| panic!("{error}"));
            let expected = expected.values(tensor).unwrap();
            assert_eq!(bits(&values), bits(&expected), "{name}: {tensor}");
        }
        for number in ["float64", "float16", "bfloat16", "int64", "int8", "uint8", "bool"] {
            assert_eq!(dict.dtype(number), Ok(number), "{name}");
        }
    }
}

#[test]
fn what_is_no_plain_tensor_is_refused_when_it_is_asked_for() {
    for name in ["kinds.pt", "kinds_legacy.pth"] {
        let dict = open(name);
        for (tensor, why) in [
            ("sparse", "a sparse tensor"),
            ("quantized", "a quantized tensor"),
            ("complex", "of complex64"),
            ("uint16", "of uint16"),
            ("float8", "of float8_e4m3fn"),
            ("meta", "of the device `meta`"),
            ("negative", "to be negated"),
        ] {
            if !dict.names().any(|other| other == tensor) {
                assert!(name == "kinds_legacy.pth" && ["meta", "negative"].contains(&tensor));
                continue;
            }
            let [entry, _, found] = wrong(dict.values(tensor));
            assert_eq!(entry, format!("tensor {tensor}"));
            assert!(found.contains(why), "{name}: {tensor}: {found}");
        }
    }
}

#[test]
fn checkpoints_are_read_as_people_save_them() {
    let expected = open("model_expected.safetensors");
    let names = ["checkpoint_2.pt", "checkpoint_5.pt"].map(str::to_owned).into_iter();
    for name in names.chain((2..=5).map(|protocol| format!("checkpoint_{protocol}.pth"))) {
        let dict = open(&name);
        let optimizer = dict.prefix("optimizer").unwrap();
        assert!(optimizer.has_state_of_adam(), "{name}");
        assert_eq!(dict.shape("rng").unwrap(), [16]);
        for part in ["model", "model.", "ema.1"] {
            let part = dict.prefix(part).unwrap();
            assert_eq!(part.names().count(), 13, "{name}");
            for tensor in part.names() {
                let values = part.values(tensor).unwrap();
                assert_eq!(values, expected.values(tensor).unwrap(), "{name}: {tensor}");
            }
        }
        // With what wrappers put into names, and without.
        let values = |tensor: &str| dict.values(tensor).unwrap();
        let head = values("model.head.bias");
        assert_eq!(head, values("model.module.head.bias"));
        assert_eq!(head, values("ema.1._orig_mod.head.bias"));
        let part = dict.prefix("ema.1._orig_mod.").unwrap().prefix("head").unwrap();
        assert_eq!(head, part.values("bias").unwrap());
    }
}

/// For the test above: an optimizer's state lies in dictionaries by numbers.
trait OfAdam {
    fn has_state_of_adam(&self) -> bool;
}

impl OfAdam for StateDict {
    fn has_state_of_adam(&self) -> bool {
        self.shape("state.0.exp_avg").ok() == Some(&[11, 4])
            && self.values("state.0.step") == Ok(vec![1.0])
    }
}

#[test]
fn torchscript_has_the_same_parameters() {
    let expected = open("model_expected.safetensors");
    for name in ["model_script.pt", "model_trace.pt"] {
        let dict = open(name);
        for tensor in expected.names().filter(|name| !["x", "y"].contains(name)) {
            let values = dict.values(tensor).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(values, expected.values(tensor).unwrap(), "{name}: {tensor}");
        }
    }
}

#[test]
fn errors_name_what_was_asked_for_and_what_there_is() {
    let dict = open("small.pt");
    let missing = dict.values("head.weight");
    let [entry, expected, found] = wrong(missing);
    assert_eq!([entry, expected, found], ["tensor head.weight", "one of weight, bias", "missing"]);
    let [entry, ..] = wrong(dict.prefix("encoder"));
    assert_eq!(entry, "tensor encoder.…");
    let [_, expected, _] = wrong(open("modules.pt").shape("x"));
    assert!(expected.ends_with(" more") && expected.len() < 400, "{expected}");
    let [_, expected, found] = wrong(StateDict::open(file("whole_model.pt")));
    assert!(expected.contains("save model.state_dict()"), "{expected}");
    assert!(found.starts_with("the name torch.nn.modules.linear.Linear"), "{found}");
    let [entry, ..] = wrong(StateDict::open(file("make_files.py")));
    assert_eq!(entry, "the format");
    assert_eq!(format!("{dict:?}").split(" of ").next(), Some("StateDict(2 tensors"));
}

/// What the system says of this process's memory, in MB: `VmRSS` at present, `VmHWM` the most since [`reset`].
#[cfg(target_os = "linux")]
fn memory(field: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() / 1024
}

#[cfg(target_os = "linux")]
fn reset() {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
}

/// Of `make_files.py large`: run it alone, since it looks at the memory of the whole process.
#[cfg(target_os = "linux")]
#[test]
#[ignore = "needs WGPU_LSTM_TEST_LARGE=FILE"]
fn a_large_file_is_not_in_memory_twice() {
    use wgpu_lstm::{Device, Sequential, nn::Init};
    let path = std::env::var_os("WGPU_LSTM_TEST_LARGE").unwrap();
    let size = std::fs::metadata(&path).unwrap().len() as usize >> 20;
    let dict = StateDict::open(path).unwrap();
    let opened = memory("VmRSS");
    let largest = dict.names().map(|name| dict.values(name).unwrap().len() >> 18).max().unwrap();
    let read = memory("VmHWM");
    let lstm = dict.lstm("").unwrap().kernel_init(Init::Zeros).recurrent_init(Init::Zeros);
    let mut model = Sequential::new(&Device::cpu().unwrap()).add(lstm);
    model.build(1536).unwrap();
    // The buffers are made when a value is first asked for.
    model.params().get("lstm.weight_ih_l0").unwrap();
    reset();
    let built = memory("VmRSS");
    dict.load_into(&mut model, &[""]).unwrap();
    let loaded = memory("VmHWM");
    println!("{size} MB, the largest tensor {largest}");
    println!("{opened} opened, {read} at most while all is read tensor by tensor");
    println!("{built} with the model, {loaded} at most while it is loaded");
    assert!(read < opened + 2 * largest, "the file is not in memory as a whole");
    assert!(loaded < built + 2 * largest, "nor are all of its tensors");
}
