//! Arrays in `.npy` files: those of numpy, and those that are damaged or lie.

use super::{folder, option, vectors, wrong};
use proptest::prelude::*;
use std::path::Path;
use wgpu_lstm::Error;
use wgpu_lstm::data::{NpyArray, Sequences};

/// A `.npy` file of this header, in the format's first version, and of bytes behind it.
fn file(path: &Path, header: &str, bytes: &[u8]) {
    let length = (header.len() as u16).to_le_bytes();
    let all = [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), bytes].concat();
    std::fs::write(path, all).unwrap();
}

#[test]
fn all_versions_of_the_format_are_read() {
    for version in 1..=3 {
        let array = NpyArray::open(vectors(&format!("array_{version}.npy"))).unwrap();
        assert_eq!((array.shape(), array.len()), (&[2, 3][..], 2));
        assert_eq!(array.read().unwrap(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(array.rows(1..2).unwrap(), [3.0, 4.0, 5.0]);
        assert_eq!(array.rows(2..2).unwrap(), [0.0; 0]);
        assert_eq!(array.read_classes().unwrap(), [0, 1, 2, 3, 4, 5]);
        let x = Sequences::from_array(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0], [2, 3, 1]).unwrap();
        assert_eq!(array.sequences().unwrap(), x);
        assert_eq!(option(array.rows(1..3)), ("NpyArray::rows", "1..3".into()));
        #[allow(clippy::reversed_empty_ranges, reason = "such a range is what is tested")]
        let backwards = array.rows(2..1);
        assert_eq!(option(backwards).0, "NpyArray::rows");
    }
}

#[test]
fn whole_numbers_are_exact_or_refused() {
    let folder = folder("npy_whole");
    let path = folder.path().join("whole.npy");
    let read = |kind: &str, bytes: &[u8]| {
        let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': (1,), }}");
        file(&path, &header, bytes);
        let array = NpyArray::open(&path).unwrap();
        (array.dtype(), array.read_i64().map(|all| all[0]).map_err(|error| error.to_string()))
    };
    let two = 2_f64.powi(63);
    for (kind, bytes, name, expected) in [
        ("<i8", &((1_i64 << 53) + 1).to_le_bytes()[..], "int64", Some((1 << 53) + 1)),
        (">i8", &i64::MIN.to_be_bytes(), "int64", Some(i64::MIN)),
        ("<u8", &(u64::MAX / 2).to_le_bytes(), "uint64", Some(i64::MAX)),
        ("<u8", &(u64::MAX / 2 + 1).to_le_bytes(), "uint64", None),
        ("<u4", &u32::MAX.to_le_bytes(), "uint32", Some(u32::MAX.into())),
        ("<i2", &(-3_i16).to_le_bytes(), "int16", Some(-3)),
        ("|b1", &[1], "bool", Some(1)),
        ("<f4", &16_777_216_f32.to_le_bytes(), "float32", Some(16_777_216)),
        ("<f8", &(-two).to_le_bytes(), "float64", Some(i64::MIN)),
        ("<f8", &two.to_le_bytes(), "float64", None),
        ("<f8", &0.5_f64.to_le_bytes(), "float64", None),
        ("<f4", &f32::NAN.to_le_bytes(), "float32", None),
        ("<f4", &f32::INFINITY.to_le_bytes(), "float32", None),
    ] {
        let (dtype, found) = read(kind, bytes);
        assert_eq!((dtype, found.as_ref().ok()), (name, expected.as_ref()), "{kind} {bytes:?}");
        if let Err(error) = found {
            assert!(error.contains("value 0 is ") && error.contains("whole number"), "{error}");
        }
    }
    let numbers = [i64::MAX, -1, 0, 1, 2, i64::MIN];
    NpyArray::save_i64(&path, &numbers, &[2, 3]).unwrap();
    let array = NpyArray::open(&path).unwrap();
    assert_eq!((array.dtype(), array.shape()), ("int64", &[2, 3][..]));
    assert_eq!(array.read_i64().unwrap(), numbers);
    let error = NpyArray::save_i64(&path, &numbers, &[7]).unwrap_err();
    assert!(matches!(error, Error::Count { expected: 7, found: 6, .. }));
    assert_eq!(NpyArray::open(&path).unwrap().read_i64().unwrap(), numbers);
}

/// Python's own text for a shape, and values that begin at a multiple of 64 bytes, as numpy writes them.
#[test]
fn what_is_written_is_as_numpy_writes_it() {
    let folder = folder("npy_saved");
    let path = folder.path().join("saved.npy");
    for (shape, text) in
        [(&[6][..], "(6,)"), (&[2, 3], "(2, 3)"), (&[1, 2, 3], "(1, 2, 3)"), (&[0, 7], "(0, 7)")]
    {
        let count = shape.iter().product();
        let values: Vec<f32> = (0..count).map(|i| i as f32 - 2.5).collect();
        NpyArray::save(&path, &values, shape).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let (head, rest) = bytes.split_at(bytes.len() - 4 * count);
        assert!(head.len() % 64 == 0 && head.ends_with(b"\n"), "{head:?}");
        assert!(
            String::from_utf8_lossy(head).contains(&format!(
                "{{'descr': '<f4', 'fortran_order': False, 'shape': {text}, }} "
            ))
        );
        assert_eq!(rest, bytemuck_bytes(&values));
        let array = NpyArray::open(&path).unwrap();
        assert_eq!((array.shape(), array.read().unwrap()), (shape, values));
    }
    NpyArray::save(&path, &[7.0], &[]).unwrap();
    let array = NpyArray::open(&path).unwrap();
    assert_eq!((array.shape(), array.len(), array.read().unwrap()), (&[][..], 1, vec![7.0]));
    assert!(matches!(array.sequences(), Err(Error::Rank { found, .. }) if found.is_empty()));
    let error = NpyArray::save(&path, &[1.0], &[2, 3]).unwrap_err();
    assert!(matches!(error, Error::Count { expected: 6, found: 1, .. }), "{error:?}");
    assert_eq!(NpyArray::open(&path).unwrap().read().unwrap(), [7.0], "the old file stays");
}

fn bytemuck_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Rows of a file of 8 GiB, most of which a disk does not store: far less memory than the file has bytes.
#[cfg(target_os = "linux")]
#[test]
fn rows_of_a_large_file_are_read_where_they_lie() {
    use std::os::unix::fs::FileExt;
    let folder = folder("npy_large");
    let path = folder.path().join("large.npy");
    let rows = 1 << 20;
    let header = format!("{{'descr': '>f8', 'fortran_order': False, 'shape': ({rows}, 1024)}}");
    file(&path, &header, &[]);
    let start = 10 + header.len() as u64;
    let disk = std::fs::File::options().write(true).open(&path).unwrap();
    disk.set_len(start + 8 * 1024 * rows).unwrap();
    let last = start + 8 * 1024 * (rows - 1);
    disk.write_all_at(&(-1.5_f64).to_be_bytes(), last).unwrap();
    let array = NpyArray::open(&path).unwrap();
    let row = array.rows(rows as usize - 2..rows as usize).unwrap();
    assert_eq!((row.len(), row[1023], row[1024], row[1025]), (2048, 0.0, -1.5, 0.0));
    // Cut while it is open.
    disk.set_len(last).unwrap();
    assert_eq!(array.rows(0..1).unwrap(), [0.0; 1024]);
    let error = array.rows(rows as usize - 1..rows as usize).unwrap_err();
    assert!(matches!(error, Error::Io { action: "read", .. }), "{error:?}");
}

/// Threads read rows of one array at once.
#[test]
fn threads_share_an_array() {
    let folder = folder("npy_threads");
    let path = folder.path().join("shared.npy");
    let values: Vec<f32> = (0..1000 * 7).map(|i| i as f32).collect();
    NpyArray::save(&path, &values, &[1000, 7]).unwrap();
    let (array, values) = (&NpyArray::open(&path).unwrap(), &values);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for row in (thread..1000).step_by(4) {
                    let found = array.rows(row..row + 1).unwrap();
                    assert_eq!(found, values[row * 7..row * 7 + 7], "row {row}");
                }
            });
        }
    });
}

#[test]
fn what_is_no_class_is_told_by_its_place() {
    let folder = folder("npy_classes");
    let path = folder.path().join("classes.npy");
    for (bad, text) in [(-1.0, "-1"), (0.5, "0.5"), (f32::NAN, "NaN"), (5e9, "5000000000")] {
        NpyArray::save(&path, &[0.0, 7.0, bad], &[3]).unwrap();
        let found = wrong(NpyArray::open(&path).unwrap().read_classes());
        assert_eq!(found, ("value 2".into(), text.into()));
    }
    NpyArray::save(&path, &[0.0, f32::NAN], &[1, 2]).unwrap();
    let error = NpyArray::open(&path).unwrap().sequences().unwrap_err();
    assert!(matches!(error, Error::NotFinite { .. }), "{error:?}");
}

#[test]
fn headers_that_are_none_are_told() {
    let folder = folder("npy_headers");
    let path = folder.path().join("bad.npy");
    let entry = |header: &str, bytes: &[u8]| {
        file(&path, header, bytes);
        wrong(NpyArray::open(&path))
    };
    let of = |descr: &str, shape: &str| {
        format!("{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}")
    };
    // What is right, in other forms.
    for (header, bytes) in [
        (of("'<f4'", "(2,)"), 8),
        ("{\"shape\":(1L,2), \"descr\":\"|u1\",\"fortran_order\":True}   \n".into(), 2),
        (of("'<f8'", "(3,0)"), 0),
    ] {
        file(&path, &header, &vec![0; bytes]);
        NpyArray::open(&path).unwrap().read().unwrap();
    }
    for (descr, found) in [
        ("'|O'", "Python's objects, which are pickled and never read"),
        ("'<U7'", "text"),
        ("'|S7'", "text"),
        ("'<M8[ns]'", "dates or times"),
        ("'<c8'", "complex numbers"),
        ("[('a', '<f4'), ('b', '<i8')]", "a record of several"),
        ("'<f16'", "<f16"),
        ("'|f4'", "|f4"),
        ("'=f4'", "=f4"),
        ("'f4'", "f4"),
        ("''", ""),
        ("'é4'", "é4"),
    ] {
        assert_eq!(entry(&of(descr, "(2,)"), &[0; 8]), ("the type".into(), found.into()));
    }
    for shape in ["2", "(-1,)", "(2.0,)", "(2 2)", "(99999999999999999999,)", "(,)", "[2]", "(2,"] {
        assert_eq!(entry(&of("'<f4'", shape), &[0; 8]).0, "the shape", "{shape}");
    }
    for shape in ["(4611686018427387904, 4)", "(0, 4611686018427387904, 4611686018427387904)"] {
        assert_eq!(entry(&of("'<f4'", shape), &[]).0, "the shape", "{shape}");
    }
    let many = format!("({})", "1, ".repeat(65));
    assert_eq!(entry(&of("'<f4'", &many), &[0; 4]).0, "the shape");
    for header in [
        "",
        "{",
        "{}",
        "{'descr': '<f4'}",
        "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}",
        "{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'more': 1}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} more",
        "{'descr': '<f4' 'fortran_order': False, 'shape': (2,)}",
    ] {
        assert_eq!(entry(header, &[0; 8]).0, "the header", "{header}");
    }
    // As deep as a header may be: no recursion.
    assert_eq!(entry(&"{".repeat(9_000), &[]).0, "the header");
    assert_eq!(entry(&of(&"[".repeat(9_000), "(2,)"), &[]).0, "the type");
    for (bytes, found) in [(7, "bytes"), (9, "longer"), (0, "bytes")] {
        let (entry, text) = entry(&of("'<f4'", "(2,)"), &vec![0; bytes]);
        assert!(entry == "the array's length" && text.ends_with(found), "{entry}: {text}");
    }
    assert_eq!(entry(&of("'<f8'", "(100000000000000,)"), &[0; 8]).0, "the array's length");
}

#[test]
fn files_that_are_none_are_told() {
    let folder = folder("npy_files");
    let path = folder.path().join("bad.npy");
    for (bytes, entry) in [
        (&b""[..], "the file"),
        (b"PK\x03\x04", "the file"),
        (b"\x93NUMPY", "the header"),
        (b"\x93NUMPY\x01\x00\x05", "the header"),
        (b"\x93NUMPY\x01\x00\x05\x00{}", "the header"),
        (b"\x93NUMPY\x04\x00\x05\x00", "the format's version"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}", "the header's length"),
        (b"\x93NUMPY\x01\x00\x03\x00{\xff}", "the header"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(wrong(NpyArray::open(&path)).0, entry, "{bytes:?}");
    }
    assert_eq!(wrong(NpyArray::open(vectors("array_objects.npy"))).0, "the type");
    for missing in [folder.path().join("missing.npy"), folder.path().to_owned()] {
        assert!(matches!(NpyArray::open(missing), Err(Error::Io { action: "read", .. })));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Any bytes of a file are an array or a typed error.
    #[test]
    fn any_header_is_read_or_refused(
        changes in prop::collection::vec((0_usize..176, any::<u8>()), 0..4),
        cut in 0_usize..176,
        shape in "[0-9(), L]{0,12}",
    ) {
        let folder = folder("npy_any");
        let path = folder.path().join("any.npy");
        let mut bytes = std::fs::read(vectors("array_1.npy")).unwrap();
        for &(at, byte) in &changes {
            bytes[at] = byte;
        }
        bytes.truncate(if cut % 3 == 0 { cut } else { bytes.len() });
        std::fs::write(&path, &bytes).unwrap();
        let _ = NpyArray::open(&path).and_then(|array| array.read());
        let header = format!("{{'descr': '<i2', 'fortran_order': True, 'shape': {shape}}}");
        file(&path, &header, &[0; 12]);
        if let Ok(array) = NpyArray::open(&path) {
            prop_assert_eq!(array.read().unwrap().len(), 6);
            prop_assert_eq!(array.shape().iter().product::<usize>(), 6);
        }
    }
}
