//! One kernel through the translator and Mesa's compiler, on chips that are not there.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::process::Command;

#[test]
fn a_kernel_compiles_for_every_chip() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_xtask")).args(["isa", "transpose"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    for chip in ["navi21", "navi31", "gfx1201", "vega20"] {
        let start = format!("| transpose_gates | {chip} |");
        let row = text.lines().find(|line| line.starts_with(&start)).expect(chip);
        // Some registers, code and cycles; nothing spilled.
        let cells: Vec<u64> =
            row[start.len()..].split('|').map_while(|cell| cell.trim().parse().ok()).collect();
        let [vgprs, sgprs, spilled, scratch, _, waves, code, instructions, latency, throughput] =
            cells[..]
        else {
            panic!("{row}");
        };
        assert_eq!([spilled, scratch], [0, 0], "{row}");
        for number in [vgprs, sgprs, waves, code, instructions, latency, throughput] {
            assert!(number > 0, "{row}");
        }
    }
}

#[test]
fn a_part_of_no_name_is_an_error() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_xtask")).args(["isa", "no such"]).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("no kernel's name contains"));
}
