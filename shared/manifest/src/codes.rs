//! The kinds of finding, each with a title and a page that says what happened, why, and what to change.

use crate::diagnostic::Severity;

#[cfg(test)]
mod tests;

macro_rules! codes {
    ($($name:ident $severity:ident $title:literal;)+) => {
        /// A kind of finding.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $title] $name,)+
        }

        impl Code {
            /// Every code, in order.
            pub const ALL: &[Code] = &[$(Code::$name,)+];

            /// As printed and as taken by `parse`, such as `E201`.
            pub fn name(self) -> &'static str {
                match self { $(Code::$name => stringify!($name),)+ }
            }

            /// What it is about, in a few words.
            pub fn title(self) -> &'static str {
                match self { $(Code::$name => $title,)+ }
            }

            /// How bad such a finding is.
            pub fn severity(self) -> Severity {
                match self { $(Code::$name => Severity::$severity,)+ }
            }

            /// The explanation, as markdown.
            pub fn page(self) -> &'static str {
                match self { $(Code::$name => include_str!(concat!("codes/", stringify!($name), ".md")),)+ }
            }
        }
    };
}

codes! {
    E001 Error "The file is not text";
    E002 Error "The text is neither YAML nor JSON";
    E003 Error "A key stands twice";
    E004 Error "The document unfolds without end";
    E005 Error "Unknown field";
    E006 Error "A value has the wrong type";
    E007 Error "kind or apiVersion is missing or wrong";

    E101 Error "A name is missing or not allowed";
    E102 Error "A name is used twice";
    E103 Error "No entrypoint";
    E104 Error "A template that is not defined";
    E105 Error "A template needs exactly one body";
    E106 Error "A call names no template, or two";
    E107 Error "A field that this kind of template does not have";
    E108 Error "A field that must be set is missing";

    E201 Error "A variable that nothing defines";
    E202 Error "A variable that is not visible here";
    E203 Error "An expression that cannot be read or evaluated";
    E204 Error "A `when` that cannot be read";

    E301 Error "An argument without a value";
    E302 Error "An input that a call does not supply";
    E303 Error "An artifact that cannot be placed or found";
    E304 Error "An output without exactly one source";
    E305 Error "A value that its enum does not list";
    E306 Error "Two things mounted at one path";
    E307 Error "A mount of a volume that does not exist";
    E308 Error "A quantity that cannot be read";

    E401 Error "A loop that is not one";
    E402 Error "Tasks that wait for each other";
    E403 Error "A dependency that cannot be";
    E404 Error "A DAG target that is no task";
    E405 Error "A hook without an expression";
    E406 Error "A retryStrategy that cannot be followed";
    E407 Error "A duration that cannot be read";
    E408 Error "A number out of its range";
    E409 Error "A memoize without a usable key or cache";

    E501 Error "A schedule that cannot be read";
    E502 Error "A time zone that does not exist";
    E503 Error "A word that is not one of the choices";
    E504 Error "A trigger that cannot fire";
    E505 Error "A trigger variable that does not exist";
    E506 Error "A trigger that would start itself";

    E601 Error "Not supported yet";

    W701 Warning "An image that can change under you";
    W702 Warning "An input that nothing reads";
    W703 Warning "An argument that the template does not take";
    W704 Warning "A GPU requested without a limit";
    W705 Warning "A recursion that may not end";
    W706 Warning "An output of a step that may be skipped";
    W707 Warning "A script that reads arguments it is never given";
    W708 Warning "A path that nothing provides";
    W709 Warning "A field that does nothing here";
    W710 Warning "A letter that is a boolean elsewhere";

    N801 Note "An object that is not ours";
    N802 Note "A field that means nothing on one machine";
}

impl Code {
    /// The code of this name.
    pub fn parse(name: &str) -> Option<Code> {
        Code::ALL.iter().copied().find(|code| code.name().eq_ignore_ascii_case(name))
    }
}
