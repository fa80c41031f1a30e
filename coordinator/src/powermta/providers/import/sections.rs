//! Sections of which nothing is taken.

use super::super::super::schema::Scope;
use super::Take;
use super::rest::NOT_IN_BASE;

impl Take<'_, '_> {
    /// Sections that are taken nowhere: each is one note, without what it holds.
    pub(super) fn dropped_sections(&mut self) {
        let outline = self.outline;
        for block in outline
            .blocks
            .iter()
            .skip(1)
            .filter(|block| block.parent == 0)
        {
            let why = match block.scope {
                Some(
                    Scope::Domain
                    | Scope::SmtpPatternList
                    | Scope::MxRollupList
                    | Scope::BounceCategoryPatterns
                    | Scope::Spool,
                ) => continue,
                Some(Scope::SmtpUser) => "users and passwords are not taken over",
                Some(Scope::DomainKeyList) => "keys are not taken over",
                Some(Scope::VirtualMta | Scope::VirtualMtaPool) => {
                    "addresses, keys and pools are those of the fleet's identities"
                }
                Some(Scope::Source | Scope::SourceGroup | Scope::SmtpListener) => {
                    "who may submit is planned from the fleet's hosts"
                }
                Some(Scope::PatternList) => "senders are planned from the tenants' identities",
                Some(Scope::AcctFile) => "accounting files are those that the agent reads",
                Some(
                    Scope::BounceProcessor
                    | Scope::FeedbackLoopProcessor
                    | Scope::AddressList
                    | Scope::EmailPatterns
                    | Scope::Aliases,
                ) => "mail from outside is planned per tenant",
                Some(_) => NOT_IN_BASE,
                None => "the product has no such section",
            };
            let known = block.scope.map_or("an unknown section", Scope::name);
            self.dropped((block.at.file, block.at.line), &format!("<{known}>"), why);
        }
    }
}
