//! The instructions of the tile unit, and the question whether they may be used.
//!
//! Rust has no stable functions for them, so they stand as assembly. The kernel asks for the unit's registers once in a
//! process; each thread loads their shape before it multiplies and lets go of them afterwards.

pub(super) use super::convert::pack_tile;
use super::{PANEL, Parts, pack::Line};
use crate::{kernel::wide, matrix::Blend};
use std::{
    arch::{asm, x86_64},
    marker::PhantomData,
    sync::OnceLock,
};

/// Set to anything, it keeps products away from the tile unit.
const SWITCH: &str = "LOOPWRIGHT_NO_AMX";

/// Whether this processor has a tile unit that we may use.
pub(crate) fn available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| std::env::var_os(SWITCH).is_none() && is_present() && is_permitted())
}

/// Whether the processor says so (Intel SDM, CPUID leaf 7: EDX bits 22 and 24), and has the vectors that pack.
fn is_present() -> bool {
    const AMX: u32 = 1 << 22 | 1 << 24;
    let vectors = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bf16");
    vectors && x86_64::__cpuid_count(7, 0).edx & AMX == AMX
}

/// Asks the kernel for the registers (Linux, "Using XSTATE features in user space applications").
#[allow(unsafe_code)]
fn is_permitted() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const REQUEST_PERMISSION: u64 = 0x1023;
    const TILE_DATA: u64 = 18;
    let result: i64;
    // SAFETY: this system call takes two numbers and touches no memory of ours; it clobbers rcx and r11, as said here.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") REQUEST_PERMISSION,
            in("rsi") TILE_DATA,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    result == 0
}

/// Shapes of the eight registers (Intel SDM, LDTILECFG): all have 16 rows of 64 bytes.
#[repr(C, align(64))]
struct Shapes([u8; 64]);

static SHAPES: Shapes = {
    let mut bytes = [0; 64];
    bytes[0] = 1;
    let mut tile = 0;
    while tile < 8 {
        bytes[16 + 2 * tile] = 64;
        bytes[48 + tile] = 16;
        tile += 1;
    }
    Shapes(bytes)
};

/// What the instructions need to know of a product.
struct Addresses {
    /// The result's first row, and its seventeenth.
    low: *mut f32,
    high: *mut f32,
    stride_bytes: usize,
    a: *const Line,
    b: *const Line,
    steps: usize,
}

/// The result begins at zero.
macro_rules! zeros {
    () => {
        "tilezero tmm0
         tilezero tmm1
         tilezero tmm2
         tilezero tmm3"
    };
}

/// The result begins with what is there.
macro_rules! loads {
    () => {
        "tileloadd tmm0, [{low} + {stride}*1]
         tileloadd tmm1, [{low} + {stride}*1 + 64]
         tileloadd tmm2, [{high} + {stride}*1]
         tileloadd tmm3, [{high} + {stride}*1 + 64]"
    };
}

/// Two tiles of A from a place in its panel.
macro_rules! load_a {
    ($first:literal, $second:literal) => {
        concat!("tileloadd tmm4, [{a} + {line}*1 + ", $first, "]\ntileloadd tmm5, [{a} + {line}*1 + ", $second, "]\n")
    };
}

/// Two tiles of B from a place in its panel.
macro_rules! load_b {
    ($first:literal, $second:literal) => {
        concat!("tileloadd tmm6, [{b} + {line}*1 + ", $first, "]\ntileloadd tmm7, [{b} + {line}*1 + ", $second, "]\n")
    };
}

/// Four products of the tiles in registers 4 to 7.
macro_rules! products {
    () => {
        "tdpbf16ps tmm0, tmm4, tmm6
         tdpbf16ps tmm1, tmm4, tmm7
         tdpbf16ps tmm2, tmm5, tmm6
         tdpbf16ps tmm3, tmm5, tmm7
        "
    };
}

/// One step of one part: a₀ b₀.
macro_rules! one_part {
    () => {
        concat!(load_a!(0, 1024), load_b!(0, 1024), products!())
    };
}

/// One step of three parts: a₂ b₀, a₀ b₂, a₀ b₁, a₁ b₁, a₁ b₀, a₀ b₀, so that little is loaded twice.
macro_rules! three_parts {
    () => {
        concat!(
            load_a!(4096, 5120),
            load_b!(0, 1024),
            products!(),
            load_a!(0, 1024),
            load_b!(4096, 5120),
            products!(),
            load_b!(2048, 3072),
            products!(),
            load_a!(2048, 3072),
            products!(),
            load_b!(0, 1024),
            products!(),
            load_a!(0, 1024),
            products!(),
        )
    };
}

/// The whole product: beginning, every step, and the result written back.
macro_rules! sweep {
    ($at:expr, $begin:expr, $step:expr, $step_bytes:literal) => {
        asm!(
            $begin,
            "2:",
            $step,
            concat!("add {a}, ", $step_bytes),
            concat!("add {b}, ", $step_bytes),
            "dec {steps}",
            "jnz 2b",
            "tilestored [{low} + {stride}*1], tmm0",
            "tilestored [{low} + {stride}*1 + 64], tmm1",
            "tilestored [{high} + {stride}*1], tmm2",
            "tilestored [{high} + {stride}*1 + 64], tmm3",
            low = in(reg) $at.low,
            high = in(reg) $at.high,
            stride = in(reg) $at.stride_bytes,
            line = in(reg) size_of::<Line>(),
            a = inout(reg) $at.a => _,
            b = inout(reg) $at.b => _,
            steps = inout(reg) $at.steps => _,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        )
    };
}

/// The registers of this thread, in shape while this lives.
pub(super) struct Unit {
    /// It belongs to its thread.
    thread: PhantomData<*const ()>,
}

impl Unit {
    #[allow(unsafe_code)]
    pub(super) fn configured() -> Self {
        assert!(available(), "a product for a tile unit that is not there");
        // SAFETY: the unit is there and permitted; the 64 bytes read are those of a valid configuration.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const SHAPES.0, options(nostack, readonly)) };
        Self { thread: PhantomData }
    }

    /// Product of two packed panels into `rows` × `columns` numbers of `out`.
    pub(super) fn multiply(
        &self,
        (out, row_stride): (&mut [f32], usize),
        (rows, columns): (usize, usize),
        (a, b, parts): (&[Line], &[Line], Parts),
        blend: Blend,
    ) {
        assert!((rows - 1) * row_stride + columns <= out.len(), "product leaves its slice");
        if rows == PANEL && columns == PANEL && blend.scale == 1.0 && (blend.keep == 0.0 || blend.keep == 1.0) {
            return self.accumulate((out, row_stride), (a, b, parts), blend.keep == 1.0);
        }
        let mut product = [0f32; PANEL * PANEL];
        self.accumulate((&mut product, PANEL), (a, b, parts), false);
        wide!({
            for (out, product) in out.chunks_mut(row_stride).zip(product.chunks_exact(PANEL)).take(rows) {
                for (out, product) in out.iter_mut().zip(product).take(columns) {
                    let kept = if blend.keep == 0.0 { 0.0 } else { blend.keep * *out };
                    *out = kept + blend.scale * product;
                }
            }
        });
    }

    /// out = a b, or out += a b, for whole panels. Registers 0 to 3 hold the result's four tiles, 4 and 5 those of A, 6 and 7
    /// those of B.
    #[allow(unsafe_code)]
    fn accumulate(&self, (out, row_stride): (&mut [f32], usize), (a, b, parts): (&[Line], &[Line], Parts), add: bool) {
        let steps = a.len() / (PANEL * parts.count());
        assert!(
            steps > 0 && a.len() == b.len() && a.len() == steps * PANEL * parts.count(),
            "panels of different depth"
        );
        assert!(out.len() >= (PANEL - 1) * row_stride + PANEL, "a tile leaves its slice");
        let at = Addresses {
            low: out.as_mut_ptr(),
            high: out[16 * row_stride..].as_mut_ptr(),
            stride_bytes: row_stride * size_of::<f32>(),
            a: a.as_ptr(),
            b: b.as_ptr(),
            steps,
        };
        // SAFETY: each tile of the result lies in `out` by the assertion above. Each step reads `PANEL` lines a part of both
        // panels, and there are as many as the first assertion says. The registers are in shape while `self` lives.
        unsafe {
            match (parts, add) {
                (Parts::One, false) => sweep!(at, zeros!(), one_part!(), "2048"),
                (Parts::One, true) => sweep!(at, loads!(), one_part!(), "2048"),
                (Parts::Three, false) => sweep!(at, zeros!(), three_parts!(), "6144"),
                (Parts::Three, true) => sweep!(at, loads!(), three_parts!(), "6144"),
            }
        }
    }
}

impl Drop for Unit {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: it empties the unit's registers, which nothing else uses.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}
