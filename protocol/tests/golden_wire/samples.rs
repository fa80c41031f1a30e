//! One value of everything that travels, the same in every run.

use email_engine_protocol::bytes::{
    CertificateSerial, Commitment, ContentHash, Nonce, SealingPublicKey, VerifyingKey,
};
use email_engine_protocol::crypto::{RecoveryPublic, Sealed, Signed, SigningKey};
use email_engine_protocol::desired::{
    BarSpec, CommandCheck, CommandLine, CountSpec, DirectorySpec, DiscardSpec, Disposition,
    DrainSpec, EpochGrant, Expectation, FileContent, FileSpec, Guard, HaltSpec, Holds, HostConfig,
    HostPath, Listing, NAME, OnNotify, OnRemove, PackageSpec, PlanKeyGrant, Policy, Probe,
    Question, Resource, ResourceKind, RestartSpec, ServiceSpec, Sought, Spec, StepSpec,
    SuspensionSpec, TransactionSpec,
};
use email_engine_protocol::enroll::RenewedCertificate;
use email_engine_protocol::generation::Generation;
use email_engine_protocol::id::{ClusterId, HostId, NodeId, ResourceId, Role, SecretId};
use email_engine_protocol::observed::{
    Attempt, Convergence, Disk, DrainStatus, Facts, GenerationStates, HostReport, Mode, Observed,
    ResourceState, ResourceStatus, Stage, StatusCounts,
};
use email_engine_protocol::secret::SecretRef;
use email_engine_protocol::time::Timestamp;
use email_engine_protocol::wire::{Floor, Hello, Versions, Welcome};

pub(crate) const CLUSTER: ClusterId = ClusterId([0xc1; 16]);
pub(crate) const AT: Timestamp = Timestamp(1_795_240_800_000);

pub(crate) fn host() -> HostId {
    HostId::new("pmta1").unwrap()
}

pub(crate) const fn generation(number: u64) -> Generation {
    Generation { epoch: 1, number }
}

pub(crate) fn signing_key() -> SigningKey {
    SigningKey::from_seed([7; 32])
}

pub(crate) fn secret() -> SecretRef {
    SecretRef {
        id: SecretId::new("dkim/mail1.example.com/mail").unwrap(),
        version: 2,
        commitment: Commitment([0xcc; 32]),
    }
}

/// Sealing is random by nature, so the sample is made from its own encoding: 32 bytes of
/// encapsulated key, then the ciphertext with its length.
pub(crate) fn sealed() -> Sealed {
    let mut bytes = vec![0xee; 32];
    bytes.extend_from_slice(&[3, 1, 2, 3]);
    postcard::from_bytes(&bytes).unwrap()
}

pub(crate) fn plan_key() -> Signed<PlanKeyGrant> {
    let grant = PlanKeyGrant {
        cluster: CLUSTER,
        version: 1,
        key: signing_key().verifying_key(),
    };
    signing_key().sign(&grant)
}

pub(crate) fn resource(id: &str, spec: Spec, on_remove: OnRemove, policy: Policy) -> Resource {
    Resource {
        id: ResourceId::new(id).unwrap(),
        spec,
        on_remove,
        policy,
        after: Vec::new(),
        notify: Vec::new(),
    }
}

pub(crate) fn file(path: &str, content: FileContent) -> Spec {
    Spec::File(FileSpec {
        path: HostPath::new(path).unwrap(),
        content,
        mode: 0o640,
        owner: Some("root".to_owned()),
        group: Some("pmta".to_owned()),
        validate: None,
    })
}

pub(crate) fn command() -> CommandLine {
    CommandLine {
        program: HostPath::new("/usr/sbin/pmta").unwrap(),
        arguments: vec!["reload".to_owned()],
    }
}

pub(crate) fn manifest() -> HostConfig {
    let directory = Spec::Directory(DirectorySpec {
        path: HostPath::new("/etc/pmta").unwrap(),
        mode: 0o755,
        owner: None,
        group: None,
    });
    let body = FileContent::Body {
        hash: ContentHash([0xb0; 32]),
        length: 300,
    };
    let package = Spec::Package(PackageSpec {
        name: "nginx".to_owned(),
        version: None,
        hold: true,
    });
    let service = Spec::Service(ServiceSpec {
        unit: "pmta.service".to_owned(),
        enabled: true,
        running: true,
        on_notify: OnNotify::Reload,
    });
    let step = |guard| {
        Spec::Step(StepSpec {
            command: command(),
            guard,
            timeout_seconds: 60,
            success_codes: vec![0],
        })
    };
    let mut config = resource(
        "file:/etc/pmta/config",
        file("/etc/pmta/config", body),
        OnRemove::Leave,
        Policy::Report,
    );
    config
        .after
        .push(ResourceId::new("directory:/etc/pmta").unwrap());
    config.notify.push(ResourceId::new("step:reload").unwrap());
    HostConfig {
        cluster: CLUSTER,
        host: host(),
        role: Role::Powermta,
        disposition: Disposition::Active,
        resources: vec![
            resource(
                "directory:/etc/pmta",
                directory,
                OnRemove::Disable,
                Policy::Enforce,
            ),
            config,
            resource(
                "file:/etc/pmta/key",
                file("/etc/pmta/key", FileContent::Secret(secret())),
                OnRemove::Delete,
                Policy::Hold,
            ),
            resource("package:nginx", package, OnRemove::Leave, Policy::Enforce),
            resource("service:pmta", service, OnRemove::Disable, Policy::Enforce),
            resource(
                "step:init",
                step(Guard::Creates(HostPath::new("/etc/pmta/x").unwrap())),
                OnRemove::Leave,
                Policy::Enforce,
            ),
            resource(
                "step:reload",
                step(Guard::Notified),
                OnRemove::Leave,
                Policy::Enforce,
            ),
        ],
        large_removal: false,
        accounting: Some(crate::accounting::accounting()),
    }
}

pub(crate) fn transaction() -> Resource {
    let check = |refused_by: &[&str]| CommandCheck {
        command: command(),
        seconds: 60,
        refused_by: refused_by.iter().map(|text| (*text).to_owned()).collect(),
        must_say: Vec::new(),
    };
    let expect = |pointer: &str, holds| Expectation {
        pointer: pointer.to_owned(),
        holds,
    };
    let spec = TransactionSpec {
        members: vec![
            ResourceId::new("file:/etc/pmta/key").unwrap(),
            ResourceId::new("file:/etc/pmta/config").unwrap(),
        ],
        test: check(&["Error in line"]),
        activate: CommandCheck {
            must_say: vec!["Configuration reloaded.".to_owned()],
            ..check(&[])
        },
        unit: Some("pmta.service".to_owned()),
        read_back: vec![Probe::Answer {
            command: command(),
            seconds: 10,
            expect: vec![
                expect("/data/mta/product/version", Holds::Present),
                expect("/data/status/status", Holds::Equals("running".to_owned())),
                expect("", Holds::Mentions("vmta-mail1".to_owned())),
            ],
        }],
        health: vec![
            Probe::Greeting {
                address: "192.0.2.20:2525".parse().unwrap(),
                begins: "220".to_owned(),
                seconds: 30,
            },
            Probe::Running {
                unit: "pmta.service".to_owned(),
                seconds: 30,
            },
        ],
        restart: RestartSpec {
            lines: vec!["run-as-root no".to_owned()],
            allowed: true,
        },
        attempt: 2,
        drain: Some(drain()),
    };
    resource(
        "transaction:pmta",
        Spec::Transaction(spec),
        OnRemove::Leave,
        Policy::Enforce,
    )
}

pub(crate) fn suspension() -> Resource {
    let check = || CommandCheck {
        command: command(),
        seconds: 10,
        refused_by: vec!["rror".to_owned()],
        must_say: Vec::new(),
    };
    let question = |sought| Question {
        command: command(),
        seconds: 5,
        list: "/data/queue".to_owned(),
        sought,
    };
    let halt = HaltSpec {
        set: check(),
        unset: check(),
        is_set: question(Sought::Nothing),
        theirs: Some(question(Sought::Text("192.0.2.1".to_owned()))),
    };
    let bar = BarSpec {
        address: "192.0.2.1".parse().unwrap(),
        ports: vec![25, 2525],
    };
    resource(
        "suspension:vmta-mail1",
        Spec::Suspension(SuspensionSpec {
            halts: vec![halt],
            bars: vec![bar],
        }),
        OnRemove::Leave,
        Policy::Enforce,
    )
}

pub(crate) fn discard() -> Resource {
    let listing = |list: &str| Listing {
        command: command(),
        seconds: 30,
        list: list.to_owned(),
    };
    resource(
        "discard:vmta-mail1",
        Spec::Discard(DiscardSpec {
            since: AT,
            is_any: listing("/data/one"),
            all: listing("/data/rcpt"),
            most: 500,
            discard: CommandCheck {
                command: command(),
                seconds: 300,
                refused_by: Vec::new(),
                must_say: Vec::new(),
            },
        }),
        OnRemove::Leave,
        Policy::Enforce,
    )
}

fn drain() -> DrainSpec {
    let name = |at: u8| format!("vmta-mail{at}");
    let mut counted = command();
    counted.arguments.push(format!("*/{NAME}"));
    DrainSpec {
        holds: vec![name(1), name(2), name(3)],
        leaving: vec![name(3)],
        given_up: vec![name(4)],
        question: CountSpec {
            command: counted,
            seconds: 30,
            list: "/data/queue".to_owned(),
            name: "/name".to_owned(),
            belongs: format!("/{NAME}"),
            count: "/rcp".to_owned(),
            absent_is_none: false,
        },
    }
}

pub(crate) fn generations() -> GenerationStates {
    GenerationStates {
        accepted: Some(generation(9)),
        running: Some(generation(8)),
        last_good: Some(generation(8)),
        attempted: Some(Attempt {
            generation: generation(9),
            stage: Stage::Apply,
            reason: "disk full".to_owned(),
        }),
    }
}

pub(crate) fn report() -> HostReport {
    HostReport {
        cluster: CLUSTER,
        host: host(),
        nonce: Nonce([0x0a; 16]),
        sequence: 3,
        at: AT,
        generations: generations(),
        convergence: Convergence::Degraded,
        disposition: Disposition::Active,
        counts: StatusCounts {
            converged: 5,
            simulated: 4,
            drifted: 3,
            failed: 2,
            blocked: 1,
            unknown: 0,
        },
        statuses: vec![
            status(
                "file:/a",
                ResourceKind::File,
                ResourceState::Failed("no space".to_owned()),
            ),
            status(
                "step:b",
                ResourceKind::Step,
                ResourceState::Blocked("file:/a".to_owned()),
            ),
            status("service:c", ResourceKind::Service, ResourceState::Simulated),
        ],
        repairs: 2,
        apply_millis: Some(12),
        inventory: 15,
        facts: Observed::Known {
            value: facts(),
            at: AT,
        },
        drains: vec![
            DrainStatus {
                name: "vmta-mail3".to_owned(),
                messages: Observed::Known { value: 0, at: AT },
                is_over: true,
            },
            DrainStatus {
                name: "vmta-mail4".to_owned(),
                messages: Observed::Unknown {
                    reason: "no answer".to_owned(),
                    since: AT,
                },
                is_over: false,
            },
        ],
    }
}

pub(crate) fn status(id: &str, kind: ResourceKind, state: ResourceState) -> ResourceStatus {
    ResourceStatus {
        id: ResourceId::new(id).unwrap(),
        kind,
        state,
    }
}

pub(crate) fn facts() -> Facts {
    Facts {
        hostname: "pmta1".to_owned(),
        os: "Debian GNU/Linux 12".to_owned(),
        kernel: "6.1.0".to_owned(),
        architecture: "x86_64".to_owned(),
        cpus: 8,
        memory_bytes: 16 << 30,
        disks: vec![Disk {
            mount_point: "/".to_owned(),
            total_bytes: 500,
            available_bytes: 400,
        }],
        addresses: vec![
            "192.0.2.20".parse().unwrap(),
            "2001:db8::20".parse().unwrap(),
        ],
        agent_version: "0.1.0".to_owned(),
        mode: Mode::Real,
        disks_left_out: 3,
        addresses_left_out: 0,
    }
}

pub(crate) fn hello() -> Hello {
    Hello {
        versions: Versions { min: 1, max: 1 },
        software: "0.1.0".to_owned(),
        mode: Mode::Sandbox,
        cluster: CLUSTER,
        host: host(),
        generations: generations(),
        floor: Some(Floor {
            generation: generation(9),
            digest: ContentHash([0xd1; 32]),
        }),
        plan_key_version: 1,
    }
}

pub(crate) fn welcome() -> Welcome {
    let epoch = EpochGrant {
        cluster: CLUSTER,
        epoch: 2,
        issued_at: AT,
    };
    Welcome {
        version: 1,
        node: NodeId(3),
        nonce: Nonce([0x0a; 16]),
        coordinators: vec!["192.0.2.1:7443".to_owned()],
        plan_key: plan_key(),
        epoch_grant: Some(signing_key().sign(&epoch)),
        now: AT,
    }
}

pub(crate) fn renewed() -> RenewedCertificate {
    RenewedCertificate {
        chain: vec![vec![0x30, 0], vec![0x30, 1]],
        serial: CertificateSerial([0x5e; 16]),
        not_after: AT,
    }
}

pub(crate) fn recovery() -> RecoveryPublic {
    RecoveryPublic {
        verifying: VerifyingKey([0x1f; 32]),
        sealing: SealingPublicKey([0x2f; 32]),
    }
}
