//! Answers as servers give them, and what they come to.

mod laws;

use std::collections::{BTreeMap, BTreeSet};

use email_engine_protocol::api::{DnsPart, DnsVerdict};

use super::*;

const KEY: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAq5Kx";

fn subject() -> Subject {
    Subject {
        address: "192.0.2.1".parse().unwrap(),
        domain: "mail1.example.com".to_owned(),
        hostname: "mail1.example.com".to_owned(),
        local: "bounce".to_owned(),
        exchanger: Some("mail1.example.com".to_owned()),
        key: Key {
            selector: "mail".to_owned(),
            public: KEY.to_owned(),
        },
        next: None,
    }
}

/// The world as a table of names: what is not in it does not exist.
#[derive(Clone, Debug, Default)]
struct World(BTreeMap<(String, Kind), Vec<Datum>>);

impl World {
    fn with(mut self, name: &str, data: Datum) -> Self {
        let kind = match data {
            Datum::A(_) => Kind::A,
            Datum::Aaaa(_) => Kind::Aaaa,
            Datum::Mx(..) => Kind::Mx,
            Datum::Ptr(_) => Kind::Ptr,
            Datum::Txt(_) => Kind::Txt,
        };
        self.0
            .entry((name.to_owned(), kind))
            .or_default()
            .push(data);
        self
    }

    fn text(self, name: &str, text: &str) -> Self {
        self.with(name, Datum::Txt(text.as_bytes().to_vec()))
    }

    fn without(mut self, name: &str, kind: Kind) -> Self {
        self.0.remove(&(name.to_owned(), kind));
        self
    }

    fn reply(&self, question: &Question) -> Reply {
        let records = self.0.get(&(question.name.clone(), question.kind));
        let exists = self.0.keys().any(|(name, _)| *name == question.name);
        Reply::Known {
            records: records.cloned().unwrap_or_default(),
            exists,
        }
    }

    fn seen(&self) -> BTreeMap<DnsPart, DnsVerdict> {
        self.seen_by(|_, reply| vec![reply])
    }

    /// What comes of it when each question is answered by several servers.
    fn seen_by(
        &self,
        servers: impl Fn(&Question, Reply) -> Vec<Reply>,
    ) -> BTreeMap<DnsPart, DnsVerdict> {
        let mut answers = Answers::default();
        for _ in 0..50 {
            match judge(&subject(), &answers) {
                Progress::Done(found) => return found,
                Progress::Lacking(lacking) => {
                    for need in lacking {
                        let replies = servers(&need.question, self.reply(&need.question));
                        let told = replies.into_iter().enumerate().map(|(at, reply)| Told {
                            by: format!("ns{}", at + 1),
                            reply,
                        });
                        answers.take(&need, told.collect());
                    }
                }
            }
        }
        panic!("no end of questions");
    }
}

fn right() -> World {
    World::default()
        .with("mail1.example.com", Datum::A([192, 0, 2, 1].into()))
        .with(
            "mail1.example.com",
            Datum::Mx(10, "mail1.example.com".to_owned()),
        )
        .with(
            "1.2.0.192.in-addr.arpa",
            Datum::Ptr("mail1.example.com".to_owned()),
        )
        .text("mail1.example.com", "v=spf1 ip4:192.0.2.1 -all")
        .text(
            "mail._domainkey.mail1.example.com",
            &format!("v=DKIM1; k=rsa; p={KEY}"),
        )
        .text(
            "_dmarc.mail1.example.com",
            "v=DMARC1; p=none; rua=mailto:dmarc@example.com",
        )
}

fn told(verdict: &DnsVerdict) -> String {
    match verdict {
        DnsVerdict::Valid { warnings } if warnings.is_empty() => "valid".to_owned(),
        DnsVerdict::Valid { warnings } => format!("valid, {}", warnings.join(", ")),
        DnsVerdict::Invalid {
            seen,
            replace: None,
        } => format!("invalid: {seen}"),
        DnsVerdict::Invalid {
            seen,
            replace: Some(text),
        } => format!("invalid: {seen}; publish {text}"),
        DnsVerdict::Unknown { why } => format!("unknown: {why}"),
    }
}

fn spf(record: &str) -> String {
    spf_in(World::default(), record)
}

fn spf_in(world: World, record: &str) -> String {
    let mut all = right().without("mail1.example.com", Kind::Txt);
    for (key, data) in world.0 {
        all.0.entry(key).or_default().extend(data);
    }
    told(&all.text("mail1.example.com", record).seen()[&DnsPart::Spf])
}

fn at(name: &str, record: &str) -> World {
    World::default().text(name, record)
}

#[test]
fn records_as_they_are_wanted_are_valid() {
    let seen = right().seen();
    assert_eq!(seen.len(), 6);
    for (part, verdict) in &seen {
        assert_eq!(told(verdict), "valid", "{part:?}");
    }
}

#[test]
fn one_flipped_bit_of_a_key_is_found() {
    let name = "mail._domainkey.mail1.example.com";
    for at in [0, 20, KEY.len() - 1] {
        let mut flipped = KEY.as_bytes().to_vec();
        flipped[at] ^= 1;
        let flipped = String::from_utf8_lossy(&flipped).into_owned();
        let world = right()
            .without(name, Kind::Txt)
            .text(name, &format!("v=DKIM1; k=rsa; p={flipped}"));
        let seen = told(&world.seen()[&DnsPart::Dkim]);
        let place = format!("in place {}", at + 1);
        assert!(
            seen.contains("1 characters of p=") && seen.contains(&place),
            "{seen}"
        );
    }
}

#[test]
fn keys_are_read_as_receivers_read_them() {
    let name = "mail._domainkey.mail1.example.com";
    let (start, end) = KEY.split_at(20);
    for (text, wanted) in [
        (format!("p={KEY}"), "valid"),
        (format!("v=DKIM1;p={KEY};"), "valid"),
        (
            format!("v=DKIM1; n=ours; p={start} {end}; s=*:tlsrpt"),
            "valid",
        ),
        (format!("v=DKIM1; h=sha1:sha256; p={KEY}"), "valid"),
        (format!("v=DKIM1; t=s; p={KEY}"), "valid"),
        (format!("v=DKIM1; t=y; p={KEY}"), "invalid: ns1 shows t=y"),
        (format!("v=DKIM1; t=s:y; p={KEY}"), "invalid: ns1 shows t=y"),
        (format!("v=DKIM1; h=sha1; p={KEY}"), "invalid: ns1 shows h="),
        (
            format!("v=DKIM1; s=tlsrpt; p={KEY}"),
            "invalid: ns1 shows s=",
        ),
        (
            format!("v=DKIM1; k=ed25519; p={KEY}"),
            "invalid: ns1 shows k=",
        ),
        (format!("k=rsa; v=DKIM1; p={KEY}"), "invalid: ns1 shows v="),
        (
            format!("v=DKIM1; p={KEY}; p={KEY}"),
            "invalid: ns1 shows tag p= twice",
        ),
        ("v=DKIM1; p=".to_owned(), "invalid: ns1 shows an empty p="),
        (
            "v=DKIM1".to_owned(),
            "invalid: ns1 shows a record without p=",
        ),
        (
            format!("v=DKIM1; p={start}"),
            "invalid: ns1 shows a key of 20",
        ),
        ("nonsense".to_owned(), "invalid: ns1 shows \"nonsense\""),
    ] {
        let world = right().without(name, Kind::Txt).text(name, &text);
        let seen = told(&world.seen()[&DnsPart::Dkim]);
        assert!(seen.starts_with(wanted), "{text}: {seen}");
    }
    let twice = right().text(name, "v=DKIM1; p=");
    let seen = told(&twice.seen()[&DnsPart::Dkim]);
    assert!(seen.contains("2 texts at one selector"), "{seen}");
}

#[test]
fn spf_is_counted_as_receivers_count() {
    let valid = "valid";
    for (record, wanted) in [
        ("v=spf1 ip4:192.0.2.1 -all", valid),
        ("V=SPF1 ip4:192.0.2.0/24 -all", valid),
        ("v=spf1 a -all", valid),
        ("v=spf1 mx/28 -all", valid),
        ("v=spf1 exists:%{d} -all", valid),
        ("v=spf1 unknown=%{x} ip4:192.0.2.1", valid),
        (
            "v=spf1 +all",
            "valid, v=spf1 +all: everybody may send for it",
        ),
        (
            "v=spf1 ip4:192.0.2.2 -all",
            "invalid: ns1 shows v=spf1 ip4:192.0.2.2 -all, which does not let",
        ),
        (
            "v=spf1 ip4:192.0.2.1/33 -all",
            "invalid: ns1 shows v=spf1 ip4:192.0.2.1/33 -all: term",
        ),
        ("v=spf1 -ip4:192.0.2.1 +all", "invalid"),
        (
            "v=spf1 ipv4:192.0.2.1 -all",
            "invalid: ns1 shows v=spf1 ipv4:192.0.2.1 -all: term \"ipv4:",
        ),
        (
            "v=spf1 include:nowhere.example.net -all",
            "invalid: ns1 shows v=spf1 include:nowhere.example.net -all: include:",
        ),
        (
            "v=spf1 a:n1.test a:n2.test a:n3.test ip4:192.0.2.1",
            "invalid: ns1 shows v=spf1 a:n1.test a:n2.test a:n3.test ip4:192.0.2.1: more than 2 look-ups that",
        ),
        ("v=spf1 a:n1.test a:n2.test ip4:192.0.2.1", valid),
        (
            "v=spf10 ip4:192.0.2.1 -all",
            "invalid: ns1 shows no SPF record",
        ),
    ] {
        let seen = spf(record);
        assert!(seen.starts_with(wanted), "{record}: {seen}");
    }
    let twice = right().text("mail1.example.com", "v=spf1 -all");
    let seen = told(&twice.seen()[&DnsPart::Spf]);
    assert!(seen.contains("2 SPF records"), "{seen}");
}

#[test]
fn the_eleventh_look_up_is_one_too_many_wherever_it_stands() {
    let chain = |links: usize| {
        let mut world = World::default();
        for at in 1..links {
            let record = format!("v=spf1 include:i{}.test -all", at + 1);
            world = world.text(&format!("i{at}.test"), &record);
        }
        world.text(&format!("i{links}.test"), "v=spf1 ip4:192.0.2.1 -all")
    };
    assert_eq!(spf_in(chain(10), "v=spf1 include:i1.test -all"), "valid");
    let seen = spf_in(chain(11), "v=spf1 include:i1.test -all");
    assert!(seen.contains("more than 10 look-ups"), "{seen}");
    // A circle comes to an end.
    let circle = at("i1.test", "v=spf1 redirect=i1.test");
    let seen = spf_in(circle, "v=spf1 redirect=i1.test");
    assert!(seen.contains("more than 10 look-ups"), "{seen}");
}

#[test]
fn what_is_there_already_is_kept_when_ours_is_added() {
    let theirs = at("_spf.example.net", "v=spf1 ip4:203.0.113.0/24 -all");
    let seen = spf_in(theirs, "v=spf1 include:_spf.example.net -all");
    assert!(
        seen.ends_with("; publish v=spf1 ip4:192.0.2.1 include:_spf.example.net -all"),
        "{seen}"
    );
}

#[test]
fn dmarc_is_found_up_the_tree() {
    let own = "_dmarc.mail1.example.com";
    let without = || right().without(own, Kind::Txt);
    let dmarc = |world: World| told(&world.seen()[&DnsPart::Dmarc]);
    let above = without().text("_dmarc.example.com", "v=DMARC1; p=reject");
    assert_eq!(
        dmarc(above),
        "valid, no record of its own: the one of example.com applies"
    );
    assert_eq!(
        dmarc(without()),
        "invalid: ns1 shows no record, and none applies from above"
    );
    let registry = without().text("_dmarc.com", "v=DMARC1; p=reject; psd=y");
    assert!(dmarc(registry).starts_with("invalid"));
    for (text, wanted) in [
        ("v=DMARC1; p=quarantine; adkim=s; aspf=s", "valid"),
        (
            "v=DMARC1; p=none; pct=50; ri=3600",
            "valid, pct= means nothing any more (RFC 9989), ri=",
        ),
        ("v=DMARC1; p=none; t=y", "valid, t=y: receivers"),
        ("v=DMARC1; rua=mailto:a@example.com", "valid, p= is missing"),
        (
            "v=DMARC1; rua=mailto:a@example.com!10m; p=none",
            "valid, rua= has a size",
        ),
        ("v=DMARC1; p=strict", "invalid: ns1 shows p=strict"),
        (
            "v=DMARC1; p=none; rua=a@example.com",
            "invalid: ns1 shows rua= with",
        ),
        ("v=dmarc1; p=none", "invalid: ns1 shows no record"),
    ] {
        let seen = dmarc(without().text(own, text));
        assert!(seen.starts_with(wanted), "{text}: {seen}");
    }
    let twice = right().text(own, "v=DMARC1; p=none");
    assert!(dmarc(twice).contains("2 DMARC records"));
}

#[test]
fn the_walk_up_the_tree_is_the_standards() {
    assert_eq!(tree_walk("a.mail.example.com").len(), 4);
    let long = "a.b.c.d.e.f.g.h.i.j.mail.example.com";
    let walk = tree_walk(long);
    let wanted = [
        long,
        "g.h.i.j.mail.example.com",
        "h.i.j.mail.example.com",
        "i.j.mail.example.com",
        "j.mail.example.com",
        "mail.example.com",
        "example.com",
        "com",
    ];
    assert_eq!(walk, wanted);
}

#[test]
fn names_addresses_and_the_way_back_must_meet() {
    let name = "mail1.example.com";
    let reverse = "1.2.0.192.in-addr.arpa";
    let moved = right()
        .without(name, Kind::A)
        .with(name, Datum::A([203, 0, 113, 9].into()));
    let seen = moved.seen();
    assert_eq!(
        told(&seen[&DnsPart::A]),
        "invalid: ns1 shows mail1.example.com at 203.0.113.9"
    );
    assert!(told(&seen[&DnsPart::Ptr]).contains("and not back"));
    let nameless = right().without(reverse, Kind::Ptr);
    assert!(told(&nameless.seen()[&DnsPart::Ptr]).contains("no name for the address"));
    let other = right()
        .without(reverse, Kind::Ptr)
        .with(reverse, Datum::Ptr("static.example.net".to_owned()));
    assert!(
        told(&other.seen()[&DnsPart::Ptr]).contains("static.example.net as the address's name")
    );
    let none = right().without(name, Kind::Mx);
    assert!(told(&none.seen()[&DnsPart::Mx]).contains("no exchanger"));
    let refuses = none.with(name, Datum::Mx(0, String::new()));
    assert!(told(&refuses.seen()[&DnsPart::Mx]).contains("takes no mail"));
}

#[test]
fn one_wrong_server_is_enough_and_one_silent_server_too_many() {
    let silent = || Reply::Unreadable {
        why: "does not answer".to_owned(),
    };
    let seen = right().seen_by(|_, reply| vec![reply, silent()]);
    for (part, verdict) in &seen {
        assert_eq!(told(verdict), "unknown: ns2 does not answer", "{part:?}");
    }
    let empty = || Reply::Known {
        records: Vec::new(),
        exists: true,
    };
    let seen = right().seen_by(|question, reply| match question.kind {
        Kind::Mx => vec![reply, silent(), empty()],
        _ => vec![reply],
    });
    assert_eq!(told(&seen[&DnsPart::Mx]), "invalid: ns3 shows no exchanger");
    assert_eq!(told(&seen[&DnsPart::A]), "valid");
    let nobody = right().seen_by(|_, _| Vec::new());
    for verdict in nobody.values() {
        assert_eq!(told(verdict), "unknown: no server is known for it");
    }
}

#[test]
fn a_host_is_checked_as_the_standard_says() {
    // RFC 7208, appendix A.
    let answers = Answers::default();
    let mut lacking = BTreeSet::new();
    let address = "192.0.2.129".parse().unwrap();
    let check = |record: &str, lacking: &mut BTreeSet<Need>| {
        check_host(&answers, lacking, record, "example.com", address)
    };
    assert_eq!(
        check("v=spf1 ip4:192.0.2.128/28 -all", &mut lacking),
        Some(Outcome::Pass { by_all: false })
    );
    assert_eq!(check("v=spf1 -all", &mut lacking), Some(Outcome::Fail));
    assert_eq!(
        check("v=spf1 ip4:203.0.113.1", &mut lacking),
        Some(Outcome::Neutral)
    );
    assert!(lacking.is_empty());
    assert_eq!(check("v=spf1 a -all", &mut lacking), None);
    assert_eq!(lacking.len(), 1, "the question comes first");
}
