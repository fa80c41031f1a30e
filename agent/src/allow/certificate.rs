//! Certificates: the folder that is swapped whole, what is written for an ACME server to read, and which
//! server may be asked.

use email_engine_protocol::desired::{
    CertificateSource, CertificateSpec, Resource, directory_host,
};

use super::judge::{AllowList, Disallowed};

impl AllowList {
    pub(super) fn judge_certificate(
        &self,
        resource: &Resource,
        spec: &CertificateSpec,
    ) -> Result<(), Disallowed> {
        self.judge_tree(resource, &spec.path)?;
        let CertificateSource::Acme(acme) = &spec.source else {
            return Ok(());
        };
        // A name that cannot be made of it is refused before this.
        if let Some(folder) = acme.challenges() {
            self.judge_own(resource, &folder)?;
            self.judge_tree(resource, &folder)?;
        }
        let host = directory_host(&acme.directory).unwrap_or_default();
        self.judge_name(resource, "acme_directories", &self.acme_directories, host)
    }
}

#[cfg(test)]
mod tests {
    use email_engine_protocol::desired::HostPath;

    use super::super::{Names, PathRule, load};
    use crate::certificate::tests::resource;
    use crate::config::Config;
    use crate::reconciler::plan::tests::config;

    fn below(path: &str) -> PathRule {
        PathRule::Below(Some(HostPath::new(path).unwrap()))
    }

    #[test]
    fn folder_answers_and_server_of_a_certificate_are_each_listed() {
        let state = config(vec![resource(&["a.example.com"])]);
        let mut list = load(&Config::default()).unwrap();
        let judged =
            |list: &super::AllowList| list.judge(&state).map_err(|error| error.to_string());
        let refused = judged(&list).unwrap_err();
        assert!(refused.contains("/etc/web/tls"), "{refused}");
        list.paths = vec![PathRule::Exactly(HostPath::new("/etc/web/tls").unwrap())];
        let refused = judged(&list).unwrap_err();
        assert!(refused.contains("ends in '/'"), "{refused}");
        list.paths = vec![below("/etc/web")];
        let refused = judged(&list).unwrap_err();
        assert!(
            refused.contains("/var/www/acme/.well-known/acme-challenge"),
            "{refused}"
        );
        list.paths.push(below("/var/www/acme/.well-known"));
        let refused = judged(&list).unwrap_err();
        let expected = "no entry of `acme_directories`";
        assert!(
            refused.contains(expected) && refused.contains("acme.example.net"),
            "{refused}"
        );
        list.acme_directories = Names {
            all: false,
            listed: ["acme.example.net".to_owned()].into(),
        };
        assert_eq!(judged(&list), Ok(()));
        list.own.insert(HostPath::new("/var/www").unwrap());
        assert!(judged(&list).unwrap_err().contains("the agent's own"));
    }
}
