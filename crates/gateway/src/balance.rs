//! Picks a replica for one request. Sees loads; does no IO, keeps no state.

use rand::{Rng, RngExt};

/// The position of the replica to use among `loads`, each a count of requests in flight.
pub(crate) fn pick(loads: &[u32], rng: &mut impl Rng) -> Option<usize> {
    // Two random candidates, not the global minimum: several gateways hold slightly old counters, agree on
    // which replica is idlest, and would all send to it at once.
    let n = loads.len();
    if n < 2 {
        return (n == 1).then_some(0);
    }
    let first = rng.random_range(0..n);
    let second = (first + rng.random_range(1..n)) % n;
    Some(if loads.get(second) < loads.get(first) { second } else { first })
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn balance_picks_the_less_busy_of_two() {
        let mut rng = StdRng::seed_from_u64(1);
        assert!((0..100).all(|_| pick(&[3, 2], &mut rng) == Some(1)));
        assert_eq!(pick(&[9], &mut rng), Some(0));
        assert_eq!(pick(&[], &mut rng), None);
    }

    #[test]
    fn balance_never_picks_the_busiest_of_many_and_shares_among_the_idle() {
        let mut rng = StdRng::seed_from_u64(2);
        let mut taken = [0_u32; 4];
        for _ in 0..6_000 {
            taken[pick(&[9, 0, 0, 0], &mut rng).unwrap()] += 1;
        }
        assert_eq!(taken[0], 0);
        assert!(taken[1..].iter().all(|it| (1_800..2_200).contains(it)), "{taken:?}");
    }

    #[test]
    fn requests_that_stay_spread_almost_evenly() {
        let mut rng = StdRng::seed_from_u64(3);
        let mut loads = [0_u32; 8];
        for _ in 0..8_000 {
            loads[pick(&loads, &mut rng).unwrap()] += 1;
        }
        assert!(loads.iter().max().unwrap() - loads.iter().min().unwrap() <= 5, "{loads:?}");
    }
}
