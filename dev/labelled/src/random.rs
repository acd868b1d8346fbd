//! Chance that is the same on every machine: SplitMix64 and what is made of it.

/// A sequence of numbers that hangs on its seed alone.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The sequence of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to 1.
    pub fn unit(&mut self) -> f64 {
        f64::from(u32::try_from(self.next() >> 32).unwrap_or_default()) / f64::from(u32::MAX)
    }

    /// A whole number in `from..to`.
    pub fn within(&mut self, from: u64, to: u64) -> u64 {
        from + self.next() % to.saturating_sub(from).max(1)
    }

    /// Whether something of this likelihood happens.
    pub fn chance(&mut self, likelihood: f64) -> bool {
        self.unit() < likelihood
    }

    /// One of them.
    pub fn pick<T: Clone>(&mut self, of: &[T], otherwise: T) -> T {
        let at = usize::try_from(self.within(0, of.len() as u64)).unwrap_or_default();
        of.get(at).cloned().unwrap_or(otherwise)
    }

    /// One of them, the first ones more often.
    pub fn favourite(&mut self, count: u64) -> u64 {
        let squeezed = self.unit().powf(2.5);
        whole(squeezed * real(count)).min(count.saturating_sub(1))
    }

    /// Around this, log-normally with this spread.
    pub fn around(&mut self, middle: f64, spread: f64) -> f64 {
        let (one, two) = (self.unit().max(1e-9), self.unit());
        let normal = (-2.0 * one.ln()).sqrt() * (std::f64::consts::TAU * two).cos();
        middle * (normal * spread).exp()
    }

    /// How often something happens that happens so often on the average (Poisson).
    pub fn times(&mut self, average: f64) -> u64 {
        let (limit, mut product, mut count) = ((-average).exp(), self.unit(), 0);
        while product > limit && count < 10_000 {
            product *= self.unit();
            count += 1;
        }
        count
    }

    /// Shuffles.
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for at in (1..list.len()).rev() {
            let other = usize::try_from(self.within(0, at as u64 + 1)).unwrap_or_default();
            list.swap(at, other);
        }
    }
}

/// A whole number as a real one.
#[expect(clippy::cast_precision_loss, reason = "counts and times of a simulation")]
pub fn real(number: u64) -> f64 {
    number as f64
}

/// A real number as a whole one.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast ends at the bounds")]
pub fn whole(number: f64) -> u64 {
    number as u64
}
