//! Texts from folders and lines.

use super::{folder, wrong};
use std::fs;
use wgpu_lstm::Error;
use wgpu_lstm::data::{Targets, Texts, read_lines};

#[test]
fn folders_are_classes() {
    let folder = folder("texts");
    let root = folder.path().join("reviews");
    // Made in another order than sorted; files beside the folders and hidden ones are no texts.
    for (name, text) in [
        ("pos/b.txt", "second\r\ngood"),
        ("pos/a.txt", "\u{feff}first good"),
        ("neg/10", ""),
        ("neg/9", "bad"),
        ("neg/.hidden", "no"),
        (".git/config", "no"),
        ("readme.txt", "no"),
    ] {
        fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
        fs::write(root.join(name), text).unwrap();
    }
    fs::create_dir(root.join("none")).unwrap();
    let texts = Texts::from_folders(&root).unwrap();
    assert_eq!(texts.classes(), ["neg", "none", "pos"]);
    assert_eq!(texts.texts(), ["", "bad", "first good", "second\r\ngood"]);
    assert_eq!(texts.labels(), [0, 0, 2, 2]);
    assert_eq!(texts.targets(), Targets::classes([0, 0, 2, 2]));

    fs::create_dir(root.join("pos/c")).unwrap();
    assert_eq!(wrong(Texts::from_folders(&root)), ("this".into(), "a folder".into()));
    assert_eq!(wrong(Texts::from_folders(root.join("neg"))).0, "the folder");
    assert!(matches!(Texts::from_folders(root.join("no")), Err(Error::Io { .. })));
    fs::remove_dir(root.join("pos/c")).unwrap();
    fs::write(root.join("pos/c"), b"good\nb\xe4d\n").unwrap();
    let error = Texts::from_folders(&root).unwrap_err();
    let path = root.join("pos/c").display().to_string();
    let text = ": byte 6, in line 2, is 0xe4, expected text in UTF-8; save the file so";
    assert_eq!(error.to_string(), path + text);
}

#[test]
fn lines_are_texts() {
    let folder = folder("lines");
    let path = folder.path().join("lines.txt");
    fs::write(&path, "\u{feff}one\r\n\ntwo  \nthree").unwrap();
    assert_eq!(read_lines(&path).unwrap(), ["one", "", "two  ", "three"]);
    fs::write(&path, "").unwrap();
    assert!(read_lines(&path).unwrap().is_empty());
    fs::write(&path, b"one\n\ntw\xc3").unwrap();
    assert_eq!(wrong(read_lines(&path)), ("byte 7, in line 3,".into(), "0xc3".into()));
    assert!(matches!(read_lines(folder.path().join("no")), Err(Error::Io { .. })));
    // Nor does a pipe or a device make it wait.
    #[cfg(unix)]
    assert!(matches!(read_lines("/dev/zero"), Err(Error::Io { .. })));
}
