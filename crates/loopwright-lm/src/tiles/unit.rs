//! The instructions of the tile unit, and the question whether they may be used.
//!
//! Rust has no stable functions for them, so they stand as assembly. The kernel asks for the unit's registers once in a
//! process; each thread loads their shape before it multiplies and lets go of them afterwards.

pub(super) use super::convert::pack_tile;
use super::{PANEL, pack::Line};
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

/// One step: two tiles of A, two of B, and their four products.
macro_rules! step {
    () => {
        "tileloadd tmm4, [{a} + {line}*1]
         tileloadd tmm5, [{a} + {line}*1 + 1024]
         tileloadd tmm6, [{b} + {line}*1]
         tileloadd tmm7, [{b} + {line}*1 + 1024]
         tdpbf16ps tmm0, tmm4, tmm6
         tdpbf16ps tmm1, tmm4, tmm7
         tdpbf16ps tmm2, tmm5, tmm6
         tdpbf16ps tmm3, tmm5, tmm7"
    };
}

/// The whole product: beginning, every step, and the result written back.
macro_rules! sweep {
    ($at:expr, $begin:expr) => {
        asm!(
            $begin,
            "2:",
            step!(),
            "add {a}, 2048",
            "add {b}, 2048",
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
pub(crate) struct Unit {
    /// It belongs to its thread.
    thread: PhantomData<*const ()>,
}

impl Unit {
    #[allow(unsafe_code)]
    pub(crate) fn configured() -> Self {
        assert!(available(), "a product for a tile unit that is not there");
        // SAFETY: the unit is there and permitted; the 64 bytes read are those of a valid configuration.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const SHAPES.0, options(nostack, readonly)) };
        Self { thread: PhantomData }
    }

    /// Product of two packed panels into `rows` × `columns` numbers of `out`.
    pub(crate) fn multiply(
        &self,
        (out, row_stride): (&mut [f32], usize),
        (rows, columns): (usize, usize),
        (a, b): (&[Line], &[Line]),
        blend: Blend,
    ) {
        assert!((rows - 1) * row_stride + columns <= out.len(), "product leaves its slice");
        if rows == PANEL && columns == PANEL && blend.scale == 1.0 && (blend.keep == 0.0 || blend.keep == 1.0) {
            return self.accumulate((out, row_stride), (a, b), blend.keep == 1.0);
        }
        let mut product = [0f32; PANEL * PANEL];
        self.accumulate((&mut product, PANEL), (a, b), false);
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
    fn accumulate(&self, (out, row_stride): (&mut [f32], usize), (a, b): (&[Line], &[Line]), add: bool) {
        let steps = a.len() / PANEL;
        assert!(steps > 0 && a.len() == b.len() && a.len() == steps * PANEL, "panels of different depth");
        assert!(out.len() >= (PANEL - 1) * row_stride + PANEL, "a tile leaves its slice");
        let at = Addresses {
            low: out.as_mut_ptr(),
            high: out[16 * row_stride..].as_mut_ptr(),
            stride_bytes: row_stride * size_of::<f32>(),
            a: a.as_ptr(),
            b: b.as_ptr(),
            steps,
        };
        // SAFETY: each tile of the result lies in `out` by the assertion above. Each step reads `PANEL` lines of both
        // panels, and there are as many as the first assertion says. The registers are in shape while `self` lives.
        unsafe {
            match add {
                false => sweep!(at, zeros!()),
                true => sweep!(at, loads!()),
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
