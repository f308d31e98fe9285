//! Named cards, by their makers' figures.

/// What a card can do, and where that is written.
pub struct Card {
    pub name: &'static str,
    /// As the table of strategies has it.
    pub class: &'static str,
    /// Streaming multiprocessors, compute units, Xe cores, GPU cores.
    pub units: f64,
    /// f32 multiply-adds a clock and unit.
    pub lanes: f64,
    /// GHz, boost.
    pub clock: f64,
    /// TFLOP/s of the matrix units, f16 in, f32 out, dense.
    pub matrix: f64,
    /// GB/s.
    pub memory: f64,
    /// MiB of the largest cache that all units share.
    pub cache: f64,
    /// KiB of registers a unit.
    pub registers: f64,
    /// KiB of first-level cache a unit.
    pub first_cache: f64,
    /// KiB of shared memory that a workgroup may have.
    pub shared: f64,
    /// µs from one dispatch to the next that needs its results.
    pub dispatch: f64,
    /// µs to submit a command buffer.
    pub submit: f64,
    pub source: &'static str,
}

/// µs: see the page.
const VULKAN: (f64, f64) = (5.0, 30.0);
const METAL: (f64, f64) = (5.0, 50.0);

pub const H100: Card = Card {
    name: "H100 SXM",
    class: "discrete",
    units: 132.0,
    lanes: 128.0,
    clock: 1.98,
    matrix: 989.0,
    memory: 3350.0,
    cache: 50.0,
    registers: 256.0,
    first_cache: 256.0,
    shared: 48.0,
    dispatch: VULKAN.0,
    submit: VULKAN.1,
    source: "NVIDIA, H100 data sheet (67 and 989 TFLOP/s, 3.35 TB/s) and \
             \"NVIDIA Hopper Architecture In-Depth\" (units, caches, registers)",
};

/// The card on which the library was measured.
pub const H200: Card = Card {
    name: "H200 SXM",
    memory: 4800.0,
    source: "NVIDIA, H200 product page (989 TFLOP/s, 4.8 TB/s); the rest as the H100. 63.4 TFLOP/s in f32 and 602 of \
             the matrix units were reached by register-only loops, 2.4 TB/s by a copy, each way",
    ..H100
};

pub const CARDS: [Card; 8] = [
    H200,
    H100,
    Card {
        name: "RTX 4090",
        class: "discrete",
        units: 128.0,
        lanes: 128.0,
        clock: 2.52,
        matrix: 165.2,
        memory: 1008.0,
        cache: 72.0,
        registers: 256.0,
        first_cache: 128.0,
        shared: 48.0,
        dispatch: VULKAN.0,
        submit: VULKAN.1,
        source: "NVIDIA, Ada GPU architecture white paper, table of the RTX 4090",
    },
    Card {
        name: "RTX 3060",
        class: "discrete",
        units: 28.0,
        lanes: 128.0,
        clock: 1.777,
        matrix: 25.5,
        memory: 360.0,
        cache: 3.0,
        registers: 256.0,
        first_cache: 128.0,
        shared: 48.0,
        dispatch: VULKAN.0,
        submit: VULKAN.1,
        source: "NVIDIA, product page of the RTX 3060 12 GB; matrix units: 512 FLOP a clock and unit, \
                 as the GA102 white paper has them; L2: TechPowerUp's GPU database",
    },
    Card {
        name: "RX 7900 XTX",
        class: "discrete",
        units: 96.0,
        lanes: 128.0,
        clock: 2.5,
        matrix: 122.8,
        memory: 960.0,
        cache: 96.0,
        registers: 384.0,
        first_cache: 32.0,
        shared: 32.0,
        dispatch: VULKAN.0,
        submit: VULKAN.1,
        source: "AMD, product page (61.4 TFLOP/s with two f32 operations issued at once, 122.8 in f16, \
                 960 GB/s, 96 MB Infinity Cache); RDNA 3 instruction set guide (registers, L0)",
    },
    Card {
        name: "Arc B580",
        class: "discrete",
        units: 20.0,
        lanes: 128.0,
        clock: 2.67,
        matrix: 116.5,
        memory: 456.0,
        cache: 18.0,
        registers: 512.0,
        first_cache: 256.0,
        shared: 64.0,
        dispatch: VULKAN.0,
        submit: VULKAN.1,
        source: "Intel, product page (20 Xe cores, 2.67 GHz, 456 GB/s, 233 TOPS in int8, of which f16 has \
                 half); caches: TechPowerUp's GPU database; registers: 8 engines of 64 KiB",
    },
    Card {
        name: "Radeon 780M",
        class: "integrated",
        units: 12.0,
        lanes: 128.0,
        clock: 2.7,
        matrix: 16.6,
        memory: 120.0,
        cache: 2.0,
        registers: 256.0,
        first_cache: 32.0,
        shared: 32.0,
        dispatch: VULKAN.0,
        submit: VULKAN.1,
        source: "AMD, product page of the Ryzen 7 7840U (12 compute units, 2.7 GHz, LPDDR5X-7500 on 128 bits); \
                 matrix units: twice the f32 rate; L2: fpsbench.com; registers: assumed as RDNA 2 has them, \
                 128 KiB a SIMD",
    },
    Card {
        name: "Apple M2",
        class: "apple",
        units: 10.0,
        lanes: 128.0,
        clock: 1.398,
        matrix: 3.6,
        memory: 100.0,
        cache: 8.0,
        registers: 208.0,
        first_cache: 8.0,
        shared: 32.0,
        dispatch: METAL.0,
        submit: METAL.1,
        source: "Apple, press release of the M2 (3.6 TFLOP/s, 100 GB/s); the matrix instructions run on the \
                 same lanes; the rest: philipturner/metal-benchmarks, of the M1's family",
    },
];

impl Card {
    /// FLOP/µs of all units in f32.
    pub fn peak(&self) -> f64 {
        self.units * self.lanes * 2.0 * self.clock * 1e3
    }

    /// Bytes/µs from the shared cache to all units.
    pub fn cache_rate(&self) -> f64 {
        self.units * super::model::CACHE_BYTES * self.clock * 1e3
    }

    /// Bytes/µs of memory.
    pub fn memory_rate(&self) -> f64 {
        self.memory * 1e3
    }
}
