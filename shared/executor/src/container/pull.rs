//! When an image is pulled, as Kubernetes has it.

/// When an image is pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pull {
    /// Before it is used.
    Always,
    /// Before it is used, for its name may mean another image tomorrow; where that fails, the one that is here will do.
    WhereItMoves,
    /// When the engine has none of that name.
    IfNotPresent,
    /// Never.
    Never,
}

impl Pull {
    /// The manifest's `imagePullPolicy`; without one, the image's name decides. None: there is no such policy.
    pub fn of(policy: Option<&str>, image: &str) -> Option<Pull> {
        match policy.unwrap_or_default() {
            "" if moves(image) => Some(Pull::WhereItMoves),
            "" | "IfNotPresent" => Some(Pull::IfNotPresent),
            "Always" => Some(Pull::Always),
            "Never" => Some(Pull::Never),
            _ => None,
        }
    }
}

/// Whether the name may mean another image tomorrow.
fn moves(image: &str) -> bool {
    !is_tagged(image) || (!image.contains('@') && image.ends_with(":latest"))
}

/// Whether the name has a tag or a digest. The colon of a registry's port is no tag's.
pub fn is_tagged(image: &str) -> bool {
    image.contains('@') || image.rsplit('/').next().unwrap_or(image).contains(':')
}

#[cfg(test)]
mod tests {
    use super::Pull;

    #[test]
    fn without_a_policy_only_a_moving_name_is_pulled_each_time() {
        let names = ["a", "host:5000/a", "host:5000/a:latest", "a:1", "host:5000/a:1", "a@sha256:0"];
        let policies = names.map(|name| Pull::of(None, name).unwrap());
        use Pull::{IfNotPresent, WhereItMoves as Moves};
        assert_eq!(policies, [Moves, Moves, Moves, IfNotPresent, IfNotPresent, IfNotPresent]);
    }

    #[test]
    fn a_policy_counts_whatever_the_name() {
        let policies = ["Always", "IfNotPresent", "Never", "never"].map(|policy| Pull::of(Some(policy), "a"));
        assert_eq!(policies, [Some(Pull::Always), Some(Pull::IfNotPresent), Some(Pull::Never), None]);
    }
}
