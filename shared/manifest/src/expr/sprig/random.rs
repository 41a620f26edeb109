//! Random texts and numbers. They are decided by the run, the node, the expression and the call, so that deciding
//! again gives the same; they are no secrets.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Takes::{Int, Text};
use super::{Function, Made, function};
use crate::expr::eval::Eval;
use crate::expr::value::Val;

const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const DIGITS: &str = "0123456789";

pub(super) const FUNCTIONS: &[Function] = &[
    function("randAlpha", &[Int], |eval, a| drawn(eval, a.int(0), LETTERS)),
    function("randNumeric", &[Int], |eval, a| drawn(eval, a.int(0), DIGITS)),
    function("randAlphaNum", &[Int], |eval, a| drawn(eval, a.int(0), &[LETTERS, DIGITS].concat())),
    function("randAscii", &[Int], |eval, a| drawn(eval, a.int(0), &(' '..='~').collect::<String>())),
    function("randInt", &[Int, Int], |eval, a| {
        let width = i128::from(a.int(1)) - i128::from(a.int(0));
        match u64::try_from(width) {
            Ok(width) if width > 0 && width <= i64::MAX as u64 => {
                let offset = (Random::next_call(eval).next() % width).cast_signed();
                Ok(Val::Int(a.int(0).wrapping_add(offset)))
            }
            _ => Err("invalid argument to Intn".to_owned()),
        }
    }),
    function("randBytes", &[Int], |eval, a| {
        let count = usize::try_from(a.int(0)).map_err(|_| "makeslice: len out of range".to_owned())?;
        eval.budget.reserve(count.saturating_mul(2))?;
        let mut random = Random::next_call(eval);
        let bytes: Vec<u8> = (0..count).map(|_| random.next().to_le_bytes()[0]).collect();
        Ok(Val::text(STANDARD.encode(bytes)))
    }),
    function("shuffle", &[Text], |eval, a| {
        eval.budget.reserve(a.text(0).len() * 4)?;
        let (mut random, mut chars) = (Random::next_call(eval), a.text(0).chars().collect::<Vec<_>>());
        for i in (1..chars.len()).rev() {
            chars.swap(i, random.below(i + 1));
        }
        Ok(Val::text(chars.into_iter().collect::<String>()))
    }),
    function("uuidv4", &[], |eval, _| Ok(Val::text(uuid(&mut Random::next_call(eval))))),
];

/// `count` characters of `from`; none where the count makes no sense, as in sprig.
fn drawn(eval: &mut Eval<'_>, count: i64, from: &str) -> Made {
    let count = usize::try_from(count).unwrap_or(0);
    eval.budget.reserve(count)?;
    let mut random = Random::next_call(eval);
    let drawn: Vec<u8> = (0..count).map(|_| from.as_bytes()[random.below(from.len())]).collect();
    Ok(Val::text(String::from_utf8_lossy(&drawn).as_ref()))
}

/// A stream of numbers decided by a seed: SplitMix64.
struct Random(u64);

impl Random {
    /// The stream of the next call of a random function.
    fn next_call(eval: &mut Eval<'_>) -> Random {
        Random(eval.next_seed())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % (limit as u64)).unwrap_or(0)
    }
}

fn uuid(random: &mut Random) -> String {
    let (high, low) = (random.next(), random.next());
    let high = high & !0xf000 | 0x4000;
    let low = low & !(0b11 << 62) | 0b10 << 62;
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}
