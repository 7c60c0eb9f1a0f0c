//! Random ids and secrets, from the thread's generator, which is cryptographic and seeded by the system.

use rand::Rng;
use uuid::Uuid;

/// A random (version 4) UUID.
pub(crate) fn random_uuid() -> Uuid {
    Uuid::new_v4()
}

/// `N` random bytes below 248, so that each of 62 digits is as likely as any other.
pub(crate) fn random_digits<const N: usize>() -> [u8; N] {
    let mut rng = rand::rng();
    std::array::from_fn(|_| {
        loop {
            let [byte, ..] = rng.next_u32().to_le_bytes();
            if byte < 248 {
                return byte;
            }
        }
    })
}
