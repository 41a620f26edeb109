//! `memoize`.

use crate::codes::Code;
use crate::types::{Memoize, Template};

use super::template::{DURATION_REMEDY, label};
use super::{SpecCheck, language};

pub(super) fn check(check: &SpecCheck<'_>, template: &Template, memoize: &Memoize, path: &str) {
    let label = label(template);
    if !language::has_tag(&memoize.key) && !Memoize::is_key(&memoize.key) {
        let message = format!("{label}.memoize: invalid cache key: {:?}", memoize.key);
        let remedy = "begin with a letter or digit, then use letters, digits and '-'";
        check.report(Code::E409, &format!("{path}.key"), message, remedy);
    }
    if memoize.cache.config_map.name.is_empty() {
        let message = format!("{label}.memoize names no cache");
        check.report(
            Code::E409,
            path,
            message,
            "add cache: {configMap: {name: NAME}}; no config map is needed",
        );
    }
    if let Some(age) = memoize.max_age.as_deref().filter(|age| !age.is_empty())
        && let Err(why) = language::duration(age)
    {
        let message = format!("{label}.memoize: invalid maxAge: {why}");
        check.report(Code::E407, &format!("{path}.maxAge"), message, DURATION_REMEDY);
    }
}
