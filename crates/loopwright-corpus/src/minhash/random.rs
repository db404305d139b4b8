//! The random numbers behind the permutations: the Mersenne Twister as NumPy's `RandomState` uses it.
//!
//! MT19937 (Matsumoto and Nishimura, "Mersenne Twister", ACM TOMACS 8(1), 1998) with the seeding of its authors' 2002
//! version. NumPy draws 64-bit integers below a bound from two 32-bit outputs, the upper half first, cut to the bound's
//! bits and drawn again while they are too large. datatrove draws its constants so; the same seed must give the same
//! ones here, because other constants give other signatures and other survivors.

const N: usize = 624;
const M: usize = 397;

/// The generator's state.
pub(super) struct MersenneTwister {
    state: [u32; N],
    next: usize,
}

impl MersenneTwister {
    pub(super) fn seeded(seed: u32) -> Self {
        let mut state = [seed; N];
        for i in 1..N {
            let last = state[i - 1];
            state[i] = 1_812_433_253u32.wrapping_mul(last ^ (last >> 30)).wrapping_add(i as u32);
        }
        Self { state, next: N }
    }

    fn twist(&mut self) {
        for i in 0..N {
            let bits = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % N] & 0x7fff_ffff);
            let mixed = if bits & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[i] = self.state[(i + M) % N] ^ (bits >> 1) ^ mixed;
        }
        self.next = 0;
    }

    pub(super) fn next_u32(&mut self) -> u32 {
        if self.next == N {
            self.twist();
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    /// A number from `low` up to, but without, `high`.
    pub(super) fn below(&mut self, low: u64, high: u64) -> u64 {
        let largest = high - low - 1;
        let mask = u64::MAX >> largest.leading_zeros();
        loop {
            let upper = u64::from(self.next_u32());
            let drawn = (upper << 32 | u64::from(self.next_u32())) & mask;
            if drawn <= largest {
                return low + drawn;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_those_of_the_reference_implementation() {
        // The 10,000th output for the seed 5489: C++ standard, [rand.predef], std::mt19937.
        let mut twister = MersenneTwister::seeded(5489);
        let last = (0..10_000).map(|_| twister.next_u32()).last();
        assert_eq!(last, Some(4_123_659_995));
    }

    #[test]
    fn bounded_numbers_are_those_of_numpy() {
        // NumPy 2.4.6: gen = RandomState(1); gen.randint(1, 2**61 - 1, dtype=uint64, size=(1, 112))[0, [0, 1, 111]]
        let (mut twister, prime) = (MersenneTwister::seeded(1), (1 << 61) - 1);
        let a: Vec<u64> = (0..112).map(|_| twister.below(1, prime)).collect();
        assert_eq!([a[0], a[1], a[111]], [775_169_054_918_279_404, 1_758_426_461_858_698_313, 223_865_076_026_037_746]);
        // … and then gen.randint(0, 2**61 - 1, dtype=uint64, size=(1, 112))[0, [0, 1, 111]]
        let b: Vec<u64> = (0..112).map(|_| twister.below(0, prime)).collect();
        assert_eq!(
            [b[0], b[1], b[111]],
            [1_062_448_801_025_099_917, 1_324_811_268_927_594_100, 1_097_409_548_522_419_201]
        );
    }
}
