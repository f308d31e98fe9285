//! Arrays in `.npz` files: every kind of number that numpy writes, and packed arrays that lie.

use super::{folder, json, vectors, wrong};
use proptest::prelude::*;
use wgpu_lstm::data::NpzFile;

#[test]
fn every_kind_of_number_is_that_of_numpy() {
    let file = NpzFile::open(vectors("arrays.npz")).unwrap();
    let expected = json("arrays.json");
    let expected = expected.as_object().unwrap();
    assert_eq!(file.names().len(), 12 * 4 + 1);
    for name in file.names() {
        let array = file.array(name).unwrap();
        let expected: Vec<f32> = expected[name].as_array().unwrap().iter().map(number).collect();
        let bits = |values: &[f32]| -> Vec<u32> {
            values.iter().map(|v| if v.is_nan() { 0 } else { (v + 0.0).to_bits() }).collect()
        };
        assert_eq!(bits(&array.read().unwrap()), bits(&expected), "{name}");
        // Rows alone are the same, whatever the order.
        let row = expected.len() / array.len();
        for first in 0..array.len() {
            for end in first..=array.len() {
                let rows = array.rows(first..end).unwrap();
                assert_eq!(bits(&rows), bits(&expected[first * row..end * row]), "{name}");
            }
        }
    }
}

fn number(value: &serde_json::Value) -> f32 {
    match value.as_str() {
        Some("inf") => f32::INFINITY,
        Some("nan") => f32::NAN,
        _ => value.as_f64().unwrap() as f32,
    }
}

#[test]
fn packed_arrays_are_unpacked() {
    let file = NpzFile::open(vectors("arrays_packed.npz")).unwrap();
    assert_eq!(file.names(), ["x", "y"]);
    let x = file.array("x").unwrap();
    assert_eq!(x.shape(), [5, 3, 2]);
    assert_eq!(x.rows(1..3).unwrap(), x.read().unwrap()[6..18]);
    assert_eq!(x.sequences().unwrap().get(4), &x.read().unwrap()[24..]);
    assert_eq!(file.array("y").unwrap().read_classes().unwrap(), [3, 0, 1, 2, 2]);
    let (entry, found) = wrong(file.array("z"));
    assert_eq!((&entry[..], &found[..]), ("the array \"z\"", "missing"));
    // 120 bytes of values, and those of the header.
    let file = file.memory_limit(247);
    assert_eq!(wrong(file.array("x")), ("the array \"x\"".into(), "248 bytes".into()));
    assert!(file.memory_limit(248).array("x").is_ok());
}

#[test]
fn archives_that_lie_cost_no_memory() {
    let file = NpzFile::open(vectors("arrays_hostile.npz")).unwrap();
    assert_eq!(file.names(), ["longer", "shorter", "huge", "uncountable", "text"]);
    assert_eq!(wrong(file.array("longer")), ("the array's length".into(), "longer".into()));
    assert_eq!(wrong(file.array("shorter")), ("the array's length".into(), "136 bytes".into()));
    let huge = (128_u64 + (4 << 35)).to_string() + " bytes";
    assert_eq!(wrong(file.array("huge")), ("the array \"huge\"".into(), huge));
    assert_eq!(wrong(file.array("uncountable")).0, "the shape");
    assert_eq!(wrong(file.array("text")).0, "the file");
    assert_eq!(wrong(NpzFile::open(vectors("array_1.npy"))).0, "the file");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Any bytes of an archive are arrays or a typed error; a packed array's checksum tells a change of it.
    #[test]
    fn any_archive_is_read_or_refused(
        changes in prop::collection::vec((0_usize..511, any::<u8>()), 1..4),
        cut in 0_usize..2048,
    ) {
        let folder = folder("npz_any");
        let path = folder.path().join("any.npz");
        let whole = NpzFile::open(vectors("arrays_packed.npz")).unwrap();
        let mut bytes = std::fs::read(vectors("arrays_packed.npz")).unwrap();
        for &(at, byte) in &changes {
            bytes[at] = byte;
        }
        bytes.truncate(cut.max(100));
        std::fs::write(&path, &bytes).unwrap();
        if let Ok(file) = NpzFile::open(&path) {
            for name in file.names().to_vec() {
                let read = file.array(&name).and_then(|array| array.read());
                if let (Ok(read), Ok(expected)) = (read, whole.array(&name)) {
                    prop_assert_eq!(read, expected.read().unwrap());
                }
            }
        }
    }
}
