//! The page of `docs/measured/ISA.md`.

use super::{CHIPS, Row};
use std::cmp::Reverse;
use std::fmt::Write;

const HEAD: &str = "\
# What each kernel costs on AMD's GPUs

Made by `cargo xtask isa`: every kernel of the library in every configuration that its ops use,
translated as wgpu does it (no run-time checks, constants substituted) and compiled by DRIVER on a
device that is not there: navi21 is RDNA 2, navi31 RDNA 3, gfx1201 RDNA 4, vega20 GCN 5. Nothing
was run, so this says nothing of speed measured, and nothing of results. Kernels and sizes that only
software adapters run are left out, and kernels for matrix units on the chips that have none, which
are RDNA 2 and GCN 5.

A row is the worst configuration of a kernel on a chip: the one that spills most, else the one with
the fewest waves, else the one with the highest inverse throughput, \"of\" so many. `cargo xtask isa
PART` prints each configuration of the kernels whose names contain PART; `cargo xtask isa --check`
fails if one spills.

- VGPRs, SGPRs: registers of a wave. spilled: those that were moved out of the way; scratch: bytes
  of memory in place of registers, a wave. Both should be 0.
- LDS: bytes of shared memory a workgroup.
- waves: how many run at once, as far as registers and shared memory allow; each of them hides the
  others' waiting. The driver counts up to 32 on RDNA and up to 10 on GCN.
- code: bytes. instr.: instructions.
- latency: cycles of one wave, as the compiler estimates them: it takes each loop for eight turns,
  whatever it is, and each wait for memory for a typical one. 1/thr.: cycles from one wave of 64 to
  the next on a full SIMD. They compare versions of one kernel, not kernels.
";

const COLUMNS: &str = "\
| kernel | chip | VGPRs | SGPRs | spilled | scratch | LDS | waves | code | instr. | latency | 1/thr. |";
const RULE: &str = "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|";

/// The whole page.
pub fn page(driver: &str, rows: &[Row]) -> String {
    let mut page = HEAD.replace("DRIVER", driver);
    let _ = write!(
        page,
        "\n{}\n\n{COLUMNS} of | worst configuration |\n{RULE}--:|---|\n",
        verdict(rows)
    );
    for (worst, of) in worst(rows) {
        let _ = writeln!(page, "{} {of} | {} |", cells(worst), worst.constants);
    }
    page
}

/// A row for each configuration.
pub fn all(rows: &[Row]) -> String {
    let mut table = format!("{COLUMNS} configuration |\n{RULE}---|\n");
    for row in rows {
        let _ = writeln!(table, "{} {} |", cells(row), row.constants);
    }
    table
}

fn verdict(rows: &[Row]) -> String {
    let mut spilling: Vec<_> =
        rows.iter().filter(|row| row.spills()).map(|row| row.kernel.as_str()).collect();
    let count = spilling.len();
    spilling.dedup();
    spilling.sort_unstable();
    spilling.dedup();
    match count {
        0 => format!("None of {} pipelines spills.", rows.len()),
        _ => format!("{count} of {} pipelines spill: {}.", rows.len(), spilling.join(", ")),
    }
}

/// The worst of each kernel and chip, in the library's order, and how many there are.
fn worst(rows: &[Row]) -> Vec<(&Row, usize)> {
    let mut kernels: Vec<&str> = Vec::new();
    for row in rows {
        if !kernels.contains(&row.kernel.as_str()) {
            kernels.push(&row.kernel);
        }
    }
    let mut found = Vec::new();
    for kernel in kernels {
        for chip in CHIPS {
            let here = || rows.iter().filter(|row| row.kernel == kernel && row.chip == chip);
            let badness = |row: &&Row| {
                let s = &row.statistics;
                (s.scratch, s.spilled, Reverse(s.waves), s.inverse_throughput)
            };
            found.extend(here().max_by_key(badness).map(|row| (row, here().count())));
        }
    }
    found
}

fn cells(row: &Row) -> String {
    let numbers = row.statistics.numbers().map(|n| n.to_string()).join(" | ");
    format!("| {} | {} | {numbers} |", row.kernel, row.chip)
}

#[cfg(test)]
mod tests {
    use super::super::Statistics;
    use super::*;

    fn row(kernel: &str, chip: &'static str, constants: &str, statistics: Statistics) -> Row {
        Row { kernel: kernel.to_owned(), constants: constants.to_owned(), chip, statistics }
    }

    #[test]
    fn the_worst_spills_then_has_few_waves_then_is_slow() {
        let of = |scratch, waves, inverse_throughput| Statistics {
            scratch,
            waves,
            inverse_throughput,
            ..Statistics::default()
        };
        let mut rows = vec![
            row("b", "navi31", "A=0", of(0, 16, 10)),
            row("b", "navi31", "A=1", of(0, 16, 11)),
            row("a", "navi21", "", of(0, 4, 1)),
        ];
        let found = |rows: &[Row]| -> Vec<_> {
            worst(rows).iter().map(|(r, of)| (r.kernel.clone(), r.constants.clone(), *of)).collect()
        };
        let expect = |k: &str, c: &str, of| (k.to_owned(), c.to_owned(), of);
        assert_eq!(found(&rows), [expect("b", "A=1", 2), expect("a", "", 1)]);
        rows.push(row("b", "navi31", "A=2", of(0, 8, 1)));
        assert_eq!(found(&rows)[0], expect("b", "A=2", 3));
        assert_eq!(verdict(&rows), "None of 4 pipelines spills.");
        rows.push(row("b", "navi31", "A=3", of(64, 16, 1)));
        assert_eq!(found(&rows)[0], expect("b", "A=3", 4));
        assert_eq!(verdict(&rows), "1 of 5 pipelines spill: b.");
    }
}
