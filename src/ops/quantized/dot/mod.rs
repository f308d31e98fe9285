//! Sums of products of 8-bit integers: of rows of activations and of lines of weights.
//!
//! sum[r,n] = Σ_k a[r,k] b[n,k]    a: u8, b: i8, sum: i32, which wraps
//!
//! Every instruction set gives the same integers: none saturates on the way. Of AVX2 `maddubs` would, so its bytes
//! are widened to 16 bits first.

#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::sync::OnceLock;

/// The outputs whose weights lie side by side.
pub(crate) const LANES: usize = 16;

/// Four weights of each of 16 outputs, `[16,4]`: what one instruction takes.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Line(pub(super) [i8; 4 * LANES]);

/// Sums of `R` rows and `C` blocks of 16 outputs.
pub(crate) type Sums<const R: usize, const C: usize> = [[[i32; LANES]; C]; R];

/// An instruction set that this processor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Isa(Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
    #[cfg(target_arch = "x86_64")]
    AvxVnni,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "aarch64")]
    Dot,
    #[cfg(target_arch = "aarch64")]
    Neon,
    Portable,
}

impl Isa {
    /// The fastest.
    pub(crate) fn best() -> Self {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| {
            let best = Self::all()[0];
            log::debug!("products of 8-bit integers by {}", best.name());
            best
        })
    }

    /// All that this processor has, the fastest first.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vnni")
            {
                all.push(Self(Kind::Avx512Vnni));
            }
            if is_x86_feature_detected!("avxvnni") && is_x86_feature_detected!("avx2") {
                all.push(Self(Kind::AvxVnni));
            }
            if is_x86_feature_detected!("avx2") {
                all.push(Self(Kind::Avx2));
            }
        }
        #[cfg(target_arch = "aarch64")]
        {
            if std::arch::is_aarch64_feature_detected!("dotprod") {
                all.push(Self(Kind::Dot));
            }
            if std::arch::is_aarch64_feature_detected!("neon") {
                all.push(Self(Kind::Neon));
            }
        }
        all.push(Self(Kind::Portable));
        all
    }

    /// Its name, for people.
    pub(crate) fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512Vnni => "AVX-512 VNNI",
            #[cfg(target_arch = "x86_64")]
            Kind::AvxVnni => "AVX-VNNI",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "AVX2",
            #[cfg(target_arch = "aarch64")]
            Kind::Dot => "NEON with dot products",
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => "NEON",
            Kind::Portable => "portable",
        }
    }

    /// The sums of some rows, four bytes to a word, and of the lines of some blocks: as many words as lines.
    /// `totals` has Σ b of each output. What was in `sums` is replaced.
    #[inline]
    pub(crate) fn sums<const R: usize, const C: usize>(
        self,
        a: [&[u32]; R],
        b: &[[Line; C]],
        totals: &[i32],
        sums: &mut Sums<R, C>,
    ) {
        let _of_neon = totals;
        match self.0 {
            // SAFETY: `Self::all` found that the processor has AVX-512 F, BW and VNNI, and alone makes this kind.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512Vnni => unsafe { x86::avx512_vnni(a, b, sums) },
            // SAFETY: as above, of AVX2 and AVX-VNNI.
            #[cfg(target_arch = "x86_64")]
            Kind::AvxVnni => unsafe { x86::avx_vnni(a, b, sums) },
            // SAFETY: as above, of AVX2.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => unsafe { x86::avx2(a, b, sums) },
            // SAFETY: as above, of the dot products, which come with NEON.
            #[cfg(target_arch = "aarch64")]
            Kind::Dot => unsafe { neon::dot(a, b, totals, sums) },
            // SAFETY: as above, of NEON.
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => unsafe { neon::plain(a, b, totals, sums) },
            Kind::Portable => portable::sums(a, b, sums),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<const R: usize, const C: usize>(a: &[Vec<u8>], b: &[Vec<i8>]) {
        let words = a[0].len() / 4;
        let rows: Vec<Vec<u32>> = a
            .iter()
            .map(|row| row.as_chunks::<4>().0.iter().map(|&w| u32::from_ne_bytes(w)).collect())
            .collect();
        let line =
            |w: usize, c: usize| Line(std::array::from_fn(|i| b[c * LANES + i / 4][4 * w + i % 4]));
        let lines: Vec<[Line; C]> =
            (0..words).map(|w| std::array::from_fn(|c| line(w, c))).collect();
        let totals: Vec<i32> =
            b[..C * LANES].iter().map(|b| b.iter().map(|&b| i32::from(b)).sum()).collect();
        for isa in Isa::all() {
            let mut found = [[[77; LANES]; C]; R];
            let rows = std::array::from_fn(|r| &rows[r][..]);
            isa.sums::<R, C>(rows, &lines, &totals, &mut found);
            for (r, found) in found.iter().enumerate() {
                for (n, found) in found.iter().flatten().enumerate() {
                    let products = a[r].iter().zip(&b[n]);
                    let exact: i64 = products.map(|(&a, &b)| i64::from(a) * i64::from(b)).sum();
                    assert_eq!(*found, exact as i32, "{} of {words} words, {r} {n}", isa.name());
                }
            }
        }
    }

    #[test]
    fn every_instruction_set_gives_the_same_integers() {
        println!("{:?}", Isa::all().iter().map(|isa| isa.name()).collect::<Vec<_>>());
        for words in [0, 1, 2, 3, 7, 16, 32, 33, 257] {
            let k = 4 * words;
            let byte = |seed: usize, i: usize| ((i * 7919 + seed * 104_729) >> 3) as u8;
            let a: Vec<Vec<u8>> =
                (0..4).map(|r| (0..k).map(|i| byte(r + 1, i)).collect()).collect();
            let b: Vec<Vec<i8>> =
                (0..64).map(|n| (0..k).map(|i| byte(n + 50, i) as i8).collect()).collect();
            check::<1, 1>(&a, &b);
            check::<1, 4>(&a, &b);
            check::<2, 4>(&a, &b);
            check::<3, 4>(&a, &b);
            check::<4, 1>(&a, &b);
            check::<4, 4>(&a, &b);
            // The ends of both ranges, where pairs of products exceed 16 bits.
            for (x, y) in [(255, -128), (255, 127), (0, -128), (128, -1), (1, 127)] {
                check::<2, 1>(&vec![vec![x; k]; 2], &vec![vec![y; k]; 16]);
            }
        }
    }

    /// Sums of more than 31 bits wrap, and on all instruction sets alike.
    #[test]
    fn long_sums_wrap() {
        check::<1, 1>(&[vec![255; 70_000]], &vec![vec![-128; 70_000]; 16]);
    }
}
