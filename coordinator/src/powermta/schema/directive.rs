//! One line of the table.

use super::effect::Effect;
use super::scope::Scope;
use super::value::Kind;
use super::version::Since;

/// One directive in one scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    /// Where it stands.
    pub scope: Scope,
    /// Its keyword.
    pub keyword: &'static str,
    /// What it takes, word by word.
    pub arguments: Vec<Kind>,
    /// How many of them must be there.
    pub required: usize,
    /// What holds without it: 5.0's, if they differ.
    pub default: Option<&'static str>,
    /// What held without it in 4.5, where that differs.
    pub default_4_5: Option<&'static str>,
    /// Since when it is known.
    pub since: Since,
    /// What it takes until a change is live.
    pub effect: Effect,
    /// Section of the guide; none for what is not in it.
    pub guide: Option<&'static str>,
    /// Whether it may be given several times, each adding to the others.
    pub repeats: bool,
    /// How it stands with the vendor.
    pub standing: Standing,
}

/// How a directive stands with the vendor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No longer to be used, and what is instead.
    Deprecated(Option<&'static str>),
    /// In the guide.
    Documented,
    /// Accepted by many hosts and in no guide.
    Unverified,
}
