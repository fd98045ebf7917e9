//! Ids that look like the real server's and follow from the seed alone.

/// A number that depends on every byte of `parts` and on nothing else (FNV-1a, then a finalising mix).
pub(crate) fn hash(seed: u64, parts: &[&str]) -> u64 {
    let mut h = 0xcbf2_9ce4_8422_2325_u64 ^ mix(seed);
    for part in parts {
        for byte in part.bytes().chain([0]) {
            h = (h ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    mix(h)
}

/// The id of something that has a name.
pub(crate) fn uuid(seed: u64, kind: &str, name: &str) -> String {
    format_uuid(hash(seed, &[kind, name, "high"]), hash(seed, &[kind, name, "low"]))
}

/// The id of the `n`-th person of the crowd; [`crowd_number`] takes it back.
pub(crate) fn crowd_uuid(seed: u64, n: u64) -> String {
    let low = hash(seed, &["crowd", "low"]) & !MASK_48 | scramble(n ^ hash(seed, &["crowd", "key"]) & MASK_48);
    format_uuid(hash(seed, &["crowd", "high"]), low)
}

/// Which person of the crowd has this id, if one has.
pub(crate) fn crowd_number(seed: u64, id: &str) -> Option<u64> {
    let low = u64::from_str_radix(id.get(24..)?, 16).ok()?;
    let n = unscramble(low) ^ hash(seed, &["crowd", "key"]) & MASK_48;
    (crowd_uuid(seed, n) == id).then_some(n)
}

const MASK_48: u64 = (1 << 48) - 1;
/// Odd, so that multiplying by it can be undone modulo a power of two.
const SCRAMBLE: u64 = 0x9e37_79b9_7f4b;

fn scramble(n: u64) -> u64 {
    n.wrapping_mul(SCRAMBLE) & MASK_48
}

fn unscramble(n: u64) -> u64 {
    // Newton's iteration doubles the correct bits of the inverse each time: 3, 6, 12, 24, 48.
    let mut inverse = SCRAMBLE;
    for _ in 0..5 {
        inverse = inverse.wrapping_mul(2_u64.wrapping_sub(SCRAMBLE.wrapping_mul(inverse)));
    }
    n.wrapping_mul(inverse) & MASK_48
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

fn format_uuid(high: u64, low: u64) -> String {
    let (a, b, c) = (high >> 32, high >> 16 & 0xffff, high & 0xfff | 0x4000);
    let (d, e) = (low >> 48 & 0x3fff | 0x8000, low & MASK_48);
    format!("{a:08x}-{b:04x}-{c:04x}-{d:04x}-{e:012x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_the_crowd_leads_back_to_its_person_and_no_other_id_does() {
        for n in [0, 1, 2, 99_999, 12_345_678] {
            assert_eq!(crowd_number(7, &crowd_uuid(7, n)), Some(n));
            assert_eq!(crowd_number(8, &crowd_uuid(7, n)), None);
        }
        assert_eq!(crowd_number(7, &uuid(7, "user", "dora")), None);
        assert_eq!(crowd_number(7, "not an id"), None);
    }

    #[test]
    fn ids_have_the_shape_of_random_uuids() {
        let id = uuid(1, "user", "dora");
        assert_eq!(id.len(), 36);
        assert_eq!(id.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert_eq!(id.as_bytes()[14], b'4');
        assert!(b"89ab".contains(&id.as_bytes()[19]));
        assert_ne!(id, uuid(2, "user", "dora"));
    }
}
