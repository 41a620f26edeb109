//! Constraints: `>= 1.2, < 3`, `~1.2`, `^0.3`, `1.2 - 1.4`, alternatives between `||`.

use regex::Regex;

use super::Version;
use crate::go::quoted;

const LENGTH_MAX: usize = 512;
const GROUPS_MAX: usize = 32;

const VERSION: &str = r"v?([0-9|xX*]+)(\.[0-9|xX*]+)?(\.[0-9|xX*]+)?(-([0-9A-Za-z\-]+(\.[0-9A-Za-z\-]+)*))?(\+([0-9A-Za-z\-]+(\.[0-9A-Za-z\-]+)*))?";
const OPERATORS: &str = r"=||!=|>|<|>=|=>|<=|=<|~|~>|\^";

/// Alternatives, each of which is a list of conditions that all have to hold.
pub(super) struct Constraint(Vec<Vec<Condition>>);

struct Condition {
    operator: String,
    version: Version,
    /// The parts that are left open: `1.x` has no minor one.
    any: Any,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Any {
    Nothing,
    Everything,
    Minor,
    Patch,
}

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the patterns are fixed")
}

pub(super) fn parse(text: &str) -> Result<Constraint, String> {
    if text.len() > LENGTH_MAX {
        return Err(format!("constraint string is too long (max {LENGTH_MAX} bytes)"));
    }
    let ranges = pattern(&format!(r"\s*({VERSION})\s+-\s+({VERSION})\s*"));
    let mut rewritten = text.to_owned();
    for found in ranges.captures_iter(text) {
        rewritten = rewritten.replacen(&found[0], &format!(">= {}, <= {} ", &found[1], &found[11]), 1);
    }
    let groups: Vec<&str> = rewritten.split("||").collect();
    if groups.len() > GROUPS_MAX {
        return Err(format!("too many constraint groups (max {GROUPS_MAX})"));
    }
    let one = format!(r"({OPERATORS})\s*({VERSION})");
    let valid = pattern(&format!(r"^(\s*{one}\s*)((?:\s+|,\s*){one}\s*)*$"));
    let (each, whole) = (pattern(&one), pattern(&format!(r"^\s*{one}\s*$")));
    let group = |group: &&str| {
        if !valid.is_match(group) {
            return Err(format!("improper constraint: {}", quoted(group)));
        }
        each.find_iter(group).map(|found| condition(&whole, found.as_str())).collect()
    };
    groups.iter().map(group).collect::<Result<_, _>>().map(Constraint)
}

fn condition(whole: &Regex, text: &str) -> Result<Condition, String> {
    let improper = || format!("improper constraint: {}", quoted(text));
    let found = whole.captures(text).ok_or_else(improper)?;
    let part = |index: usize| found.get(index).map_or("", |part| part.as_str());
    let open = |index: usize| matches!(part(index).trim_start_matches('.'), "" | "x" | "X" | "*");
    let (any, version) = if open(3) {
        (Any::Everything, format!("0.0.0{}", part(6)))
    } else if open(4) {
        (Any::Minor, format!("{}.0.0{}", part(3), part(6)))
    } else if open(5) {
        (Any::Patch, format!("{}{}.0{}", part(3), part(4), part(6)))
    } else {
        (Any::Nothing, part(2).to_owned())
    };
    let version = Version::parse(&version).map_err(|_| "constraint parser error".to_owned())?;
    Ok(Condition { operator: part(1).to_owned(), version, any })
}

impl Constraint {
    pub(super) fn holds(&self, version: &Version) -> bool {
        self.0.iter().any(|group| {
            // Versions before a release count only where the constraint names one.
            let allowed = version.pre.is_empty() || group.iter().any(|c| !c.version.pre.is_empty());
            allowed && group.iter().all(|condition| condition.holds(version))
        })
    }
}

impl Condition {
    fn holds(&self, version: &Version) -> bool {
        let (wanted, open) = (&self.version, self.any != Any::Nothing);
        let order = version.order(wanted);
        match self.operator.as_str() {
            "" | "=" if open => self.tilde(version),
            "" | "=" => order.is_eq(),
            "!=" => self.differs(version),
            "<" => order.is_lt(),
            ">=" | "=>" => order.is_ge(),
            ">" => match self.any {
                Any::Nothing => order.is_gt(),
                _ if version.major != wanted.major => version.major > wanted.major,
                Any::Minor => false,
                Any::Patch => version.minor > wanted.minor,
                Any::Everything => order.is_gt(),
            },
            "<=" | "=<" if open => {
                version.major < wanted.major
                    || version.major == wanted.major
                        && (version.minor <= wanted.minor || self.any == Any::Minor)
            }
            "<=" | "=<" => order.is_le(),
            "~" | "~>" => self.tilde(version),
            _ => self.caret(version),
        }
    }

    fn differs(&self, version: &Version) -> bool {
        let wanted = &self.version;
        match self.any {
            Any::Nothing => version.order(wanted).is_ne(),
            _ if version.major != wanted.major => true,
            Any::Minor => false,
            _ if version.minor != wanted.minor => true,
            Any::Patch => version.pre != wanted.pre,
            Any::Everything => version.patch != wanted.patch || version.order(wanted).is_ne(),
        }
    }

    fn tilde(&self, version: &Version) -> bool {
        let wanted = &self.version;
        if version.order(wanted).is_lt() {
            return false;
        }
        let zero = (wanted.major, wanted.minor, wanted.patch) == (0, 0, 0);
        if zero && matches!(self.any, Any::Nothing | Any::Everything) {
            return true;
        }
        version.major == wanted.major && (version.minor == wanted.minor || self.any == Any::Minor)
    }

    /// Nothing left of the first number that is not zero may change.
    fn caret(&self, version: &Version) -> bool {
        let wanted = &self.version;
        if version.order(wanted).is_lt() {
            return false;
        }
        if wanted.major > 0 || self.any == Any::Minor {
            return version.major == wanted.major;
        }
        if version.major > 0 {
            return false;
        }
        if wanted.minor > 0 || self.any == Any::Patch {
            return version.minor == wanted.minor;
        }
        version.minor == 0 && version.patch == wanted.patch
    }
}
