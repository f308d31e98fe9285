//! Pickles made by hand: what state dicts never have, each a typed error.

use super::wrong;
use wgpu_lstm::Result;
use wgpu_lstm::io::pytorch::StateDict;
use wgpu_lstm::testing::read::pytorch;

/// A file of the format before PyTorch 1.6 with this object, and one storage of four numbers: 1, 2, 3, 4.
fn around(object: &[u8]) -> Vec<u8> {
    let mut all = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.".to_vec();
    all.extend(b"\x80\x02M\xe9\x03.\x80\x02}X\x0d\0\0\0little_endian\x88s.");
    all.extend(object);
    all.extend(b"\x80\x02]X\x01\0\0\x000a.\x04\0\0\0\0\0\0\0");
    all.extend([1.0_f32, 2.0, 3.0, 4.0].iter().flat_map(|value| value.to_le_bytes()));
    all
}

fn read(object: &[u8]) -> Result<StateDict> {
    pytorch(&around(object))
}

/// The opcodes of the storage.
const STORAGE: &[u8] =
    b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x04NtQ";

/// The opcodes of a tensor of this offset, shape and strides, which are opcodes themselves.
fn tensor(offset: &[u8], shape: &[u8], strides: &[u8]) -> Vec<u8> {
    let start = b"ctorch._utils\n_rebuild_tensor_v2\n(";
    [start, STORAGE, offset, shape, strides, b"\x89ccollections\nOrderedDict\n)RtR"].concat()
}

/// A dictionary of `a`, a tensor, between these opcodes.
fn dict_of(before: &[u8], after: &[u8]) -> Vec<u8> {
    let tensor = tensor(b"K\0", b"K\x04\x85", b"K\x01\x85");
    [b"\x80\x02", before, b"}X\x01\0\0\0a", &tensor, b"s", after, b"."].concat()
}

#[test]
fn the_plain_form_is_read() {
    let dict = read(&dict_of(b"", b"")).unwrap();
    assert_eq!(dict.values("a").unwrap(), [1.0, 2.0, 3.0, 4.0]);
    // As Python 2 wrote it: a list of pairs, and texts of bytes.
    let tensor = tensor(b"K\x01", b"K\x01K\x02\x86", b"L1L\nI2\n\x86");
    let old = [b"\x80\x02ccollections\nOrderedDict\n(]((U\x01btl", &tensor[..], b"aetR."].concat();
    let error = read(&old);
    assert!(error.is_err(), "the brackets do not match");
    let old = [b"\x80\x02ccollections\nOrderedDict\n(]](U\x01b", &tensor[..], b"eatR."].concat();
    let dict = read(&old).unwrap();
    assert_eq!(dict.values("b").unwrap(), [2.0, 4.0]);
}

#[test]
fn foreign_names_are_refused() {
    for (name, object) in [
        ("os.system", &b"cos\nsystem\n(X\x04\0\0\0truetR"[..]),
        ("posix.system", b"cposix\nsystem\n(X\x04\0\0\0truetR"),
        ("builtins.eval", b"cbuiltins\neval\n(X\x011tR"),
        ("builtins.getattr", b"X\x08\0\0\0builtinsX\x07\0\0\0getattr\x93"),
        ("torch.load", b"ctorch\nload\n"),
        ("torch.storage._load_from_bytes", b"ctorch.storage\n_load_from_bytes\n(C\x01atR"),
        ("torch._utils._rebuild", b"ctorch._utils\n_rebuild\n"),
        ("collections.OrderedDict.x", b"ccollections\nOrderedDict.x\n"),
        ("__torch.x", b"c__torch\nx\n"),
        (".", b"c\n\n"),
    ] {
        let [entry, _, found] = wrong(read(&dict_of(&[object, b"0"].concat(), b"")));
        assert_eq!(entry, "the pickle");
        assert!(found.starts_with(&format!("the name {name} before byte ")), "{found}");
    }
}

#[test]
fn foreign_opcodes_are_refused() {
    let known = b"().012FGIJKLMNQRSTUVXBCabcdeghjlpqrstu}]\x80\x81";
    for code in 0..=255_u8 {
        let known = known.contains(&code) || (0x85..=0x96).contains(&code);
        let refused = match read(&dict_of(&[code], b"")) {
            Ok(_) => false,
            error => wrong(error)[2].starts_with(&format!("opcode 0x{code:02x}")),
        };
        assert_eq!(refused, !known, "0x{code:02x}");
    }
    // Objects by a text, and buffers outside the pickle.
    for code in
        [&b"Ptext\n"[..], b"(ios\nsystem\n", b"(cos\nsystem\no", b"\x97", b"\x98", b"\x82\x01"]
    {
        wrong(read(&dict_of(code, b"")));
    }
}

#[test]
fn stacks_brackets_and_memos_are_checked() {
    for (object, says) in [
        (&b"0"[..], "none"),
        (b"\x86", "too few"),
        (b"N(\x85", "too few"),
        (b"t", "none"),
        (b"(0", "none"),
        (b"Na", "none"),
        (b"NNs", "none"),
        (b"K\x01N a", "another value"),
        (b"](NNu", "another value"),
        (b"}(Nu", "another value"),
        (b"(Nd", "a key alone"),
        (b"R", "none"),
        (b"NNR", "another value"),
        (b"h\x05", "number 5, which was not"),
        (b"j\xff\xff\xff\xff", "number 4294967295, which was not"),
        (b"g99999999999999999999\n", "\"99999999999999999999\""),
        (b"\x80\x06", "protocol 6"),
        (b"NQ", "another object outside the pickle"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n)R", "other arguments"),
        (b"X\xff\xff\xff\x7fabc", "a text of 2147483647"),
        (b"\x8d\xff\xff\xff\xff\xff\xff\xff\xffabc", "a text of 18446744073709551615"),
        (b"\x8e\xff\xff\xff\xff\xff\xff\xff\xffabc", "a text of 18446744073709551615"),
        (b"\x8b\xff\xff\xff\xffabc", "a text of 4294967295"),
    ] {
        let object: Vec<_> = object.iter().copied().filter(|&code| code != b' ').collect();
        let [_, _, found] = wrong(read(&[b"\x80\x02", &object[..]].concat()));
        assert!(found.starts_with(says), "{object:?}: {found}");
    }
    // A huge number for what is kept costs nothing, and finds it again.
    let dict = read(&dict_of(b"", b"r\xff\xff\xff\xff0j\xff\xff\xff\xff")).unwrap();
    assert_eq!(dict.values("a").unwrap().len(), 4);
}

#[test]
fn values_in_themselves_and_deep_ones_are_refused() {
    // d["b"] = d; d["b"] = [d]; a list of itself.
    for after in [&b"q\x01X\x01\0\0\0bh\x01s"[..], b"q\x01X\x01\0\0\0b]h\x01as"] {
        let [_, expected, _] = wrong(read(&dict_of(b"", after)));
        assert!(expected.contains("do not hold themselves"), "{expected}");
    }
    let nested = |depth: usize| {
        let (before, after) = (b"]".repeat(depth), b"a".repeat(depth));
        read(&dict_of(&before, &after))
    };
    assert_eq!(nested(90).unwrap().names().count(), 1);
    for depth in [100, 100_000, 1_000_000] {
        let [_, expected, _] = wrong(nested(depth));
        assert!(expected.contains("deep") || expected.contains("on the stack"), "{expected}");
    }
    let [_, expected, _] = wrong(read(&[&b"("[..], &b"(".repeat(1_100_000), b"."].concat()));
    assert!(expected.contains("brackets"), "{expected}");
    let [_, expected, _] = wrong(read(&b"]".repeat(1_200_000)));
    assert!(expected.contains("stack"), "{expected}");
    let [_, expected, _] = wrong(read(&b"]0".repeat(4_300_000)));
    assert!(expected.contains("million"), "{expected}");
}

/// Each of 60 lists holds the one before twice: more places than there are atoms.
#[test]
fn lists_that_multiply_are_refused_at_once() {
    let mut object = dict_of(b"", b"");
    object.pop();
    for _ in 0..60 {
        object.extend(b"q\x010](h\x01h\x01e");
    }
    object.push(b'.');
    let [_, expected, _] = wrong(read(&object));
    assert!(expected.contains("in a few places") || expected.contains("names"), "{expected}");
    // A long list in a long list of the same one.
    let tensor = tensor(b"K\0", b")", b")");
    let long = [b"\x80\x02](", &tensor[..], &b"N".repeat(200_000), b"eq\x010]("].concat();
    let object = [&long, &b"h\x01".repeat(200_000)[..], b"e."].concat();
    let [_, expected, _] = wrong(read(&object));
    assert!(expected.contains("in a few places"), "{expected}");
}

#[test]
fn tensors_stay_within_their_storage() {
    // 2^62 as a number of eight bytes.
    let vast = b"\x8a\x08\0\0\0\0\0\0\0\x40";
    let two = [&vast[..], vast, b"\x86"].concat();
    let one = [&vast[..], b"\x85"].concat();
    for (offset, shape, strides) in [
        (&b"K\x01"[..], &b"K\x04\x85"[..], &b"K\x01\x85"[..]),
        (b"K\0", b"K\x05\x85", b"K\x01\x85"),
        (b"K\0", b"K\x02\x85", b"K\x04\x85"),
        (b"K\0", b"K\x02K\x02\x86", b"K\x03K\x01\x86"),
        (vast, b"K\x01\x85", b"K\x01\x85"),
        (b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f", b"K\x01\x85", b"K\x01\x85"),
        (b"K\0", &one, b"K\x01\x85"),
        (b"K\0", &one, b"K\0\x85"),
        (b"K\0", &two, b"K\x01K\x01\x86"),
        (b"K\0", b"K\x02\x85", &one),
        (b"K\0", b"K\x02K\x02\x86", &two),
        // 16,777,216 values of one are allowed to a file as small as this, and 16 for each byte.
        (b"K\0", b"M\xff\xffM\x01\x01\x86", b"K\0K\0\x86"),
    ] {
        let tensor = tensor(offset, shape, strides);
        let dict = read(&[b"\x80\x02}X\x01\0\0\0a", &tensor[..], b"s."].concat()).unwrap();
        let [entry, ..] = wrong(dict.values("a"));
        assert_eq!(entry, "tensor a", "{shape:?} {strides:?}");
    }
    // Offsets, sizes or strides that are none.
    for (offset, shape, strides) in [
        (&b"J\xff\xff\xff\xff"[..], &b"K\x01\x85"[..], &b"K\x01\x85"[..]),
        (b"K\0", b"J\xff\xff\xff\xff\x85", b"K\x01\x85"),
        (b"K\0", b"K\x01\x85", b"J\xff\xff\xff\xff\x85"),
        (b"K\0", b"K\x01\x85", b")"),
        (b"K\0", b"N\x85", b"K\x01\x85"),
        (b"N", b"K\x01\x85", b"K\x01\x85"),
        (b"K\0", b"N", b"N"),
    ] {
        let tensor = tensor(offset, shape, strides);
        wrong(read(&[b"\x80\x02}X\x01\0\0\0a", &tensor[..], b"s."].concat()));
    }
    // Without values nothing is read; with strides of 0 one value is many.
    for (shape, strides, count) in [
        (&b"K\0K\x07\x86"[..], &b"K\x07K\x01\x86"[..], 0),
        (b")", b")", 1),
        (b"K\x09\x85", b"K\0\x85", 9),
        (b"M\xff\xffK\x02\x86", b"K\0K\0\x86", 131_070),
    ] {
        let tensor = tensor(b"K\x01", shape, strides);
        let dict = read(&[b"\x80\x02}X\x01\0\0\0a", &tensor[..], b"s."].concat()).unwrap();
        assert_eq!(dict.values("a").unwrap(), vec![2.0; count]);
    }
}

/// Layers of their sizes would be built before a value is read.
#[test]
fn tensors_far_larger_than_the_file_are_told_by_their_shapes() {
    let half = tensor(b"K\0", b"M\0\x10M\0\x08\x86", b"K\0K\0\x86");
    let names = (b'a'..=b'd').map(|name| [&b"X\x01\0\0\0"[..], &[name], &half, b"s"].concat());
    let object = [&b"\x80\x02}"[..], &names.collect::<Vec<_>>().concat(), b"."].concat();
    let dict = read(&object).unwrap();
    assert_eq!(dict.shape("a").unwrap(), [4096, 2048]);
    assert_eq!(dict.values("b").unwrap().len(), 1 << 23);
    for name in ["c", "d"] {
        let [entry, _, found] = wrong(dict.shape(name));
        assert_eq!(entry, format!("tensor {name}"));
        assert!(found.contains("strides [0, 0]") && found.contains("bytes"), "{found}");
    }
}

/// A weight that cannot be read makes no other module of its module.
#[test]
fn modules_of_what_cannot_be_read_say_why() {
    let weight = tensor(b"K\0", b"K\x02K\x02\x86", b"K\x02K\x01\x86");
    let sparse = b"ctorch._utils\n_rebuild_sparse_tensor\n)R";
    let object = [&b"\x80\x02}X\x06\0\0\0weight"[..], &weight, b"sX\x04\0\0\0bias", sparse, b"s."];
    let dict = read(&object.concat()).unwrap();
    assert_eq!(dict.modules()[0].to_string(), "other tensors: weight, bias (a sparse tensor)");
    let [entry, _, found] = wrong(dict.dense(""));
    assert_eq!([&*entry, &*found], ["tensor bias", "a sparse tensor"]);
}

/// `torch.nn.utils.parametrize` of a bias: what is left looks like a module without one.
#[test]
fn modules_that_compute_their_tensors_are_refused() {
    let tensor = |name: &str, size: &str| {
        format!("\"{name}\":{{\"dtype\":\"F32\",\"shape\":{size},\"data_offsets\":[0,0]}}")
    };
    let tensors =
        [tensor("fc.weight", "[2,0]"), tensor("fc.parametrizations.bias.original", "[0]")];
    let header = format!("{{{}}}", tensors.join(","));
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
    let dict = pytorch(&bytes).unwrap();
    let listed: Vec<_> = dict.modules().iter().map(ToString::to_string).collect();
    assert!(listed.contains(&"fc: other tensors: weight".to_owned()), "{listed:?}");
    for error in [dict.dense("fc").map(drop), dict.dense("module.fc").map(drop)] {
        let [entry, expected, _] = wrong(error);
        assert!(entry.contains("fc.parametrizations"), "{entry}");
        assert!(expected.contains("remove_parametrizations"), "{expected}");
    }
}

#[test]
fn many_modules_are_listed_at_once() {
    let names: Vec<_> = (0..20_000)
        .map(|n| {
            format!("\"a.{n}.weight\":{{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}")
        })
        .collect();
    let header = format!("{{{}}}", names.join(","));
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
    let dict = pytorch(&bytes).unwrap();
    let began = std::time::Instant::now();
    assert_eq!(dict.modules().len(), 20_000);
    // With a list of all names for each that a module lacks it took minutes.
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
}

#[test]
fn two_tensors_of_one_name_are_refused() {
    let tensor = tensor(b"K\0", b")", b")");
    let twice = [b"\x80\x02}X\x01\0\0\0a", &tensor[..], b"sX\x01\0\0\0a", &tensor, b"s."].concat();
    assert_eq!(wrong(read(&twice))[0], "tensor a");
    // With a wrapper and without: both keep their names.
    let both = [b"\x80\x02}X\x01\0\0\0a", &tensor[..], b"sX\x08\0\0\0module.a", &tensor, b"s."];
    let dict = read(&both.concat()).unwrap();
    assert_eq!(dict.names().collect::<Vec<_>>(), ["a", "module.a"]);
}
