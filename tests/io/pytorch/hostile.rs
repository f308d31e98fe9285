//! Files that are damaged, or lie: each a typed error or a state dict, without a panic and without memory for what
//! is not there.

use super::{file, open, wrong};
use std::io::{Cursor, Write};
use wgpu_lstm::Error;
use wgpu_lstm::io::pytorch::StateDict;
use wgpu_lstm::testing::read::pytorch;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Reads all that there is in a file's bytes. Errors are of the file.
#[track_caller]
fn read(bytes: &[u8]) -> Option<StateDict> {
    let check = |error: Error| assert!(matches!(error, Error::File { .. }), "{error:?}");
    let dict = pytorch(bytes).map_err(check).ok()?;
    let mut whole = true;
    for name in dict.names() {
        whole &= dict.values(name).map_err(check).is_ok();
    }
    let modules = dict.modules();
    assert_eq!(modules.is_empty(), dict.names().count() == 0);
    whole.then_some(dict)
}

#[test]
fn files_that_end_early_are_refused() {
    for name in ["small.pt", "small.pth"] {
        let bytes = std::fs::read(file(name)).unwrap();
        assert_eq!(read(&bytes).unwrap().names().count(), 2);
        for len in 0..bytes.len() {
            assert!(read(&bytes[..len]).is_none(), "{name}: {len} of {} bytes", bytes.len());
        }
    }
    let bytes = std::fs::read(file("modules.safetensors")).unwrap();
    for len in (0..bytes.len()).step_by(13) {
        assert!(read(&bytes[..len]).is_none(), "{len} of {} bytes", bytes.len());
    }
}

#[test]
fn any_bit_may_be_wrong() {
    for (name, step) in
        [("small.pt", 1), ("small.pth", 1), ("checkpoint_2.pt", 61), ("kinds.pt", 67)]
    {
        let mut bytes = std::fs::read(file(name)).unwrap();
        for at in (0..bytes.len()).step_by(step) {
            for change in [0x01, 0x80, 0xff] {
                bytes[at] ^= change;
                read(&bytes);
                bytes[at] ^= change;
            }
        }
    }
}

/// An archive of these files.
fn archive(files: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    for (name, bytes) in files {
        zip.start_file(*name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A pickle of `a`, a tensor of these numbers of the storage `0`.
fn pickle(count: u32) -> Vec<u8> {
    let storage = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x04tQ";
    let count = count.to_le_bytes();
    let start = b"\x80\x02}X\x01\0\0\0actorch._utils\n_rebuild_tensor_v2\n(";
    [&start[..], storage, b"K\0J", &count, b"\x85K\x01\x85\x89}tRs."].concat()
}

#[test]
fn archives_are_read_as_they_are() {
    let numbers: Vec<u8> = [5.0_f32, 6.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    let two = pickle(2);
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let files = [("x/data.pkl", &two[..]), ("x/data/0", &numbers)];
        let dict = pytorch(&archive(&files, method)).unwrap();
        assert_eq!(dict.values("a").unwrap(), [5.0, 6.0]);
        // More numbers than the entry has.
        let three = pickle(3);
        let files = [("x/data.pkl", &three[..]), ("x/data/0", &numbers)];
        let [entry, ..] = wrong(pytorch(&archive(&files, method)).unwrap().values("a"));
        assert_eq!(entry, "tensor a");
        // No such entry.
        let files = [("x/data.pkl", &two[..]), ("x/data/1", &numbers)];
        let dict = pytorch(&archive(&files, method)).unwrap();
        let [_, _, found] = wrong(dict.values("a"));
        assert!(found.contains("x/data/0") && found.contains("missing"), "{found}");
        assert_eq!(
            dict.modules()[0].to_string(),
            "other tensors: a (in \"x/data/0\", which is missing)"
        );
        // The other order of bytes, and no pickle at all.
        let files = [("x/data.pkl", &two[..]), ("x/byteorder", b"big"), ("x/data/0", &numbers)];
        assert_eq!(wrong(pytorch(&archive(&files, method)))[0], "byteorder");
        let files = [("x/y/data.pkl", &two[..]), ("data.pkl", &two)];
        assert_eq!(wrong(pytorch(&archive(&files, method)))[0], "data.pkl");
    }
    assert!(read(&archive(&[], CompressionMethod::Stored)).is_none());
}

#[test]
fn archives_that_unpack_to_far_more_are_refused() {
    let zeros = vec![0; (64 << 20) + 4];
    let one = pickle(1);
    let files = [("x/data.pkl", &one[..]), ("x/data/0", &zeros)];
    let packed = archive(&files, CompressionMethod::Deflated);
    assert!(packed.len() < 1 << 20);
    let dict = pytorch(&packed).unwrap();
    let [_, expected, found] = wrong(dict.values("a"));
    assert_eq!(found, "more");
    assert!(expected.starts_with("at most 67108864 bytes"), "{expected}");
    // Up to that it is read.
    let files = [("x/data.pkl", &one[..]), ("x/data/0", &zeros[4..])];
    let packed = archive(&files, CompressionMethod::Deflated);
    assert_eq!(pytorch(&packed).unwrap().values("a").unwrap(), [0.0]);
}

#[test]
fn entries_may_overlap() {
    // Two entries of the same bytes: the directory's second offset is set to the first's.
    let numbers = 7.0_f32.to_le_bytes();
    let one = pickle(1);
    let files = [("x/data.pkl", &one[..]), ("x/data/0", &numbers[..]), ("x/data/1", &numbers)];
    let mut bytes = archive(&files, CompressionMethod::Stored);
    let entries: Vec<_> =
        (0..bytes.len() - 4).filter(|&at| bytes[at..at + 4] == *b"PK\x01\x02").collect();
    let [_, first, second] = entries[..] else { panic!("{entries:?}") };
    let offset: Vec<_> = bytes[first + 42..first + 46].to_vec();
    bytes[second + 42..second + 46].copy_from_slice(&offset);
    read(&bytes);
    // Offsets past the end of the file.
    for offset in [[0xff; 4], (bytes.len() as u32 - 1).to_le_bytes()] {
        bytes[first + 42..first + 46].copy_from_slice(&offset);
        assert!(read(&bytes).is_none());
    }
}

#[test]
fn the_format_before_1_6_is_checked_throughout() {
    let bytes = std::fs::read(file("small.pth")).unwrap();
    let dict = open("small.pth");
    assert_eq!(dict.values("weight").unwrap(), open("small.pt").values("weight").unwrap());
    // The count of the last storage, of one number or two: they lie in the order of their keys.
    let counted = |count: usize| {
        let at = bytes.len() - 8 - 4 * count;
        (bytes[at..at + 8] == (count as u64).to_le_bytes()).then_some(at)
    };
    let at = counted(1).or_else(|| counted(2)).unwrap();
    for count in [0, 3, 1 << 40, 1 << 62, u64::MAX] {
        let mut bytes = bytes.clone();
        bytes[at..at + 8].copy_from_slice(&count.to_le_bytes());
        assert!(read(&bytes).is_none(), "{count}");
    }
    let place = |text: &[u8]| bytes.windows(text.len()).position(|part| part == text).unwrap();
    let mut other = bytes.clone();
    other[place(b"M\xe9\x03.") + 1] = 0xea;
    assert_eq!(wrong(pytorch(&other))[0], "the version");
    let mut other = bytes.clone();
    let after = place(b"little_endian") + b"little_endian".len();
    let flag = after + bytes[after..].iter().position(|&code| code == 0x88).unwrap();
    other[flag] = 0x89;
    assert_eq!(wrong(pytorch(&other))[0], "the order of bytes");
}
