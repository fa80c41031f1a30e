//! What the coordinator signs: resources, states, targets, grants.

use email_engine_protocol::bytes::ContentHash;
use email_engine_protocol::crypto::Signed;
use email_engine_protocol::desired::{
    Disposition, EpochGrant, FileContent, FileSpec, HostConfig, HostPath, OnRemove, PlanKeyGrant,
    Policy, Resource, Spec, Target,
};
use email_engine_protocol::generation::Generation;
use email_engine_protocol::id::{ResourceId, Role, SecretId};
use email_engine_protocol::secret::{SecretBytes, SecretRef};
use email_engine_protocol::time::Timestamp;

use super::{CLUSTER, Rig, host};
use crate::halves::Trust;

impl Rig {
    /// A file resource whose body this coordinator serves.
    pub(in crate::executor::tests) fn file(&mut self, path: &str, content: &str) -> Resource {
        let hash = ContentHash::of(content.as_bytes());
        self.bodies.insert(hash, content.as_bytes().to_vec());
        let length = content.len() as u64;
        file_resource(path, FileContent::Body { hash, length }, 0o644)
    }

    /// A secret file resource, mode 0640.
    pub(in crate::executor::tests) fn secret_file(
        &mut self,
        path: &str,
        id: &str,
        version: u32,
        text: &str,
    ) -> Resource {
        let bytes = SecretBytes {
            salt: [9; 16],
            bytes: text.as_bytes().to_vec(),
        };
        let secret = SecretRef {
            id: SecretId::new(id).unwrap(),
            version,
            commitment: bytes.commitment(),
        };
        self.secrets.insert(secret.clone(), bytes);
        file_resource(path, FileContent::Secret(secret), 0o640)
    }

    pub(in crate::executor::tests) fn config(&self, mut resources: Vec<Resource>) -> HostConfig {
        resources.sort_by(|one, two| one.id.cmp(&two.id));
        HostConfig {
            cluster: CLUSTER,
            host: host(),
            role: Role::Powermta,
            disposition: Disposition::Active,
            resources,
            large_removal: false,
            accounting: None,
        }
    }

    pub(in crate::executor::tests) fn target(
        &mut self,
        config: &HostConfig,
        generation: Generation,
    ) -> Target {
        let bytes = config.to_bytes();
        let digest = ContentHash::of(&bytes);
        self.bodies.insert(digest, bytes);
        Target {
            cluster: CLUSTER,
            host: host(),
            generation,
            digest,
            plan_key_version: 1,
            issued_at: Timestamp(1),
        }
    }

    pub(in crate::executor::tests) fn grant_epoch(&self, epoch: u64) -> Signed<EpochGrant> {
        self.recovery.sign(&EpochGrant {
            cluster: CLUSTER,
            epoch,
            issued_at: Timestamp(1),
        })
    }

    pub(in crate::executor::tests) fn plan_grant(&self) -> Signed<PlanKeyGrant> {
        self.trust.plan_key.clone()
    }

    pub(in crate::executor::tests) fn trust(&self) -> Trust {
        self.trust.clone()
    }
}

fn file_resource(path: &str, content: FileContent, mode: u32) -> Resource {
    Resource {
        id: ResourceId::new(format!("file:{path}")).unwrap(),
        spec: Spec::File(FileSpec {
            path: HostPath::new(path).unwrap(),
            content,
            mode,
            owner: None,
            group: None,
            validate: None,
        }),
        on_remove: OnRemove::Delete,
        policy: Policy::Enforce,
        after: Vec::new(),
        notify: Vec::new(),
    }
}
