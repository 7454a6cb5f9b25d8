//! Random numbers of one run. A run draws them in a fixed order and alone, so the same seed is the same run.

use std::f64::consts::TAU;

pub(crate) struct Chance(fastrand::Rng);

impl Chance {
    /// The numbers of this run of this scenario.
    pub(crate) fn new(scenario: &str, seed: u64) -> Self {
        // Each scenario has runs of its own under the same seed.
        let name = scenario.bytes().fold(0_u64, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(u64::from(byte))
        });
        Self(fastrand::Rng::with_seed(
            seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ name,
        ))
    }

    pub(crate) fn happens(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.0.f64() < probability
    }

    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.0.f64()
    }

    /// A waiting time with this mean.
    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * self.above_zero().ln()
    }

    /// A gamma variable of this shape and the mean 1 (Marsaglia and Tsang, *A simple method for generating gamma
    /// variables*, 2000; below a shape of 1 by their remark in section 6).
    pub(crate) fn gamma(&mut self, shape: f64) -> f64 {
        let raised = shape + 1.0;
        let d = raised - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let normal = self.normal();
            let v = (1.0 + c * normal).powi(3);
            if v > 0.0 && self.above_zero().ln() < 0.5 * normal * normal + d - d * v + d * v.ln() {
                return d * v * self.above_zero().powf(1.0 / shape) / shape;
            }
        }
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.above_zero().ln()).sqrt() * (TAU * self.0.f64()).cos()
    }

    fn above_zero(&mut self) -> f64 {
        1.0 - self.0.f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crash_prone_phones_are_few_and_average_to_one() {
        let mut chance = Chance::new("gamma", 1);
        let drawn: Vec<f64> = (0..100_000).map(|_| chance.gamma(0.3)).collect();
        let mean = drawn.iter().sum::<f64>() / 1e5;
        let variance = drawn.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / 1e5;
        assert!((mean - 1.0).abs() < 0.03, "{mean}");
        assert!((variance * 0.3 - 1.0).abs() < 0.1, "{variance}");
    }

    #[test]
    fn the_same_seed_is_the_same_run_and_another_scenario_is_another() {
        let draw = |scenario, seed| Chance::new(scenario, seed).between(0.0, 1.0);
        assert_eq!(draw("nights", 1), draw("nights", 1));
        assert_ne!(draw("nights", 1), draw("nights", 2));
        assert_ne!(draw("nights", 1), draw("outage", 1));
    }
}
