//! Whole configurations: what is taken, and what is refused in which words.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;

use super::{Config, PatternResult, Rate, SourceMatch};

struct Folder {
    folder: TempDir,
}

impl Folder {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(
            folder.path().join("key.pem"),
            "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n",
        )
        .unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let text = text.replace("DIR", &self.folder.path().display().to_string());
        fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, text: &str) -> Result<Config, String> {
        let whole = format!("log-file DIR/log\n<spool DIR/spool>\n</spool>\n{text}\n");
        self.write("config", &whole);
        Config::read(&self.path("config")).map_err(|error| error.to_string())
    }
}

/// The line of the first fault; the text given starts at line 4.
#[track_caller]
fn refused(text: &str, line: usize, what: &str) {
    let folder = Folder::new();
    let error = folder.read(text).unwrap_err();
    let place = format!("in line {line} of {}: ", folder.path("config").display());
    assert!(error.contains(&place), "{error}\nexpected line {line}");
    assert!(error.contains(what), "{error}\nexpected: {what}");
}

/// What the guide shows, in its own ways of writing.
const GUIDE: &str = r#"
Host-Name mail.example.com
include DIR/mo*.conf
domain-macro tld .example,.test
domain-macro ms $more, live.example
domain-macro more hotmail.$tld
smtp-listener 0/0:2525 source=feed
http-access 10/8 monitor,deny-logs
domain-key s1, example.com, DIR/key.pem
<virtual-mta vmta-mail1>
  smtp-source-host 192.0.2.11 mail1.example.com
  domain-key s1,mail1.example.com,DIR/key.pem
  max-smtp-msg-rate 83/10m
  <domain *>
    dkim-sign yes
    max-msg-rate 250/h
  </domain>
</virtual-mta>
<virtual-mta-pool pool>
  virtual-mta vmta-mail1
</virtual-mta-pool>
<pattern-list route>
  mail-from /@mail1\.example\.com$/ virtual-mta=vmta-mail1,recipient-priority=10
  header x-eval /^\s*eval/ <pattern-list>
    rcpt-to /Z/ virtual-mta=pool
    * virtual-mta=vmta-mail1
  </pattern-list>
</pattern-list>
<source feed>
  pattern-list route
  always-allow-relaying yes
</source>
<smtp-pattern-list replies>
  reply /^421 .*TSS04/ mode=backoff,disable-source-ip,reenable-after=1h
</smtp-pattern-list>
<domain $ms>
  smtp-pattern-list replies
  retry-after 10m,1h,4h
  smtp-hosts "[192.0.2.9]:2525"
  bounce-upon-no-mx 30m
</domain>
<domain hotmail.example>
  retry-after 7m
</domain>
<bounce-category-patterns>
  /^5\.1\.1/ bad-mailbox
  // other
</bounce-category-patterns>
<acct-file "|/opt/x --flag">
  records d, b, feedback-loop
  retry-interval 5m
</acct-file>
<mx-rollup-list >
  mx *.mx.example big.rollup rollup-by-ip
</mx-rollup-list>"#;

#[test]
fn what_the_guide_shows_is_taken() {
    let folder = Folder::new();
    folder.write("more.conf", "postmaster you@your.example # note\n");
    let config = folder.read(GUIDE).unwrap();
    assert_eq!(config.host_names, ["mail.example.com"]);
    assert_eq!(
        config.settings.written("postmaster"),
        Some("you@your.example")
    );
    let vmta = &config.virtual_mtas["vmta-mail1"];
    assert_eq!(vmta.source_hosts[0].host, "mail1.example.com");
    let rate = Rate {
        limit: Some(83),
        per: Duration::from_secs(600),
    };
    assert_eq!(vmta.settings.rate("max-smtp-msg-rate"), Some(rate));
    let list = &config.pattern_lists["route"];
    assert!(
        matches!(&list.rules[1].result, PatternResult::Nested(inner) if inner.rules.len() == 2)
    );
    assert_eq!(
        config.sources[0].matches,
        SourceMatch::Named("feed".to_owned())
    );
    assert_eq!(config.accounting[0].records, ["d", "b", "f"]);
    assert!(config.rollups[0].by_address);
}

#[test]
fn a_queue_takes_the_nearest_and_most_specific_setting() {
    let folder = Folder::new();
    let config = folder
        .read(
            "domain-macro big a.example,b.example
<domain *>
bounce-after 1d
max-smtp-out 5
</domain>
<domain a.example>
max-smtp-out 7
</domain>
<domain $big>
max-smtp-out 9
retry-after 3m
</domain>
<virtual-mta v>
smtp-source-host 192.0.2.1 v.example
<domain *>
max-smtp-out 1
</domain>
</virtual-mta>",
        )
        .unwrap();
    let of = |domain: &str, vmta: &str| config.domain_settings(domain, vmta).count("max-smtp-out");
    assert_eq!(
        of("a.example", "{default}"),
        Some(7),
        "a name wins over a macro"
    );
    assert_eq!(of("b.example", "{default}"), Some(9));
    assert_eq!(of("c.example", "{default}"), Some(5));
    assert_eq!(
        of("a.example", "V"),
        Some(1),
        "the virtual MTA wins over the top of the file"
    );
    let queue = config.domain_settings("b.example", "v");
    assert_eq!(
        queue.time("bounce-after"),
        Some(Duration::from_secs(86_400))
    );
    assert_eq!(queue.times("retry-after"), [Duration::from_secs(180)]);
    assert_eq!(queue.time("backoff-to-normal-after"), None);
    assert!(queue.flag("use-starttls"), "a default of the guide");
}

#[test]
fn samples_that_circulate_are_refused() {
    refused(
        "<virtual-mta a>\nsmtp-source-host mail1.x.example 192.0.2.1\n</virtual-mta>",
        5,
        "IP address or CIDR",
    );
    refused("domain-key a,b.example,*,/path", 4, "4 parts");
    refused("smtp-listener 0.0.0.0:2525 { source=x }", 4, "source=NAME");
    refused(
        "<pattern-list l>\ncontact@x.example vmta-1\n</pattern-list>",
        5,
        "unknown directive contact@x.example",
    );
    refused(
        "<domain *>\nvirtual-mta-pool-map sender-to-vmta\n</domain>",
        5,
        "unknown directive",
    );
    refused(
        "<virtual-mta-pool p>\nvirtual-mta v1 weight 100\n</virtual-mta-pool>",
        5,
        "too many arguments",
    );
    refused("<domain a.example b.example>\n</domain>", 4, "one argument");
    refused(
        "<source s>\ndefault-virtual-mta-pool p\n</source>",
        5,
        "unknown directive",
    );
    refused(
        "<acct-file /x/acct.csv>\nrecords all\n</acct-file>",
        5,
        "record type",
    );
    refused("virtual-mta NAME {", 4, "not allowed here");
    refused(
        "<source s>\nprocess-x-sender yes\n</source>",
        5,
        "unknown directive",
    );
}

#[test]
fn names_have_to_exist_and_in_time() {
    refused(
        "<source s>\npattern-list late\n</source>\n<pattern-list late>\n</pattern-list>",
        5,
        "before",
    );
    refused(
        "<pattern-list l>\nmail-from /x/ virtual-mta=nobody\n</pattern-list>",
        5,
        "'nobody' is not defined",
    );
    refused(
        "<virtual-mta-pool p>\nvirtual-mta nobody\n</virtual-mta-pool>",
        5,
        "is not defined",
    );
    // A pool is defined, and no queue can be sent on to it.
    for line in [
        "reroute-to-virtual-mta p",
        "backoff-reroute-to-virtual-mta p",
    ] {
        let pool = "<virtual-mta-pool p>\n</virtual-mta-pool>";
        let text = format!("{pool}\n<domain *>\n{line}\n</domain>");
        refused(&text, 7, "is not defined");
    }
    refused("smtp-listener 0/0:25 source=nobody", 4, "is not defined");
    refused(
        "<virtual-mta a>\n</virtual-mta>\n<virtual-mta A>\n</virtual-mta>",
        6,
        "already defined",
    );
    refused(
        "<virtual-mta a>\n</virtual-mta>\n<virtual-mta-pool a>\n</virtual-mta-pool>",
        6,
        "already defined",
    );
    refused("domain-key s,*,DIR/none.pem", 4, "cannot read");
    refused(
        "<domain $none>\n</domain>",
        4,
        "domain-macro 'none' is not defined",
    );
    refused("domain-macro a $b\ndomain-macro b $a", 4, "name each other");
    refused(
        "<virtual-mta a>\n</virtual-mta>\n<virtual-mta-pool p>\nvirtual-mta a\n<domain *>\n</domain>\n</virtual-mta-pool>\n\
         <virtual-mta-pool q>\nvirtual-mta a\n<domain *>\n</domain>\n</virtual-mta-pool>",
        11,
        "more than one pool",
    );
}

#[test]
fn values_of_the_wrong_type_are_refused() {
    refused("run-as-root maybe", 4, "yes or no");
    refused("log-rotate", 4, "argument missing");
    refused(
        "<domain *>\nretry-after 10m, 1h,x\n</domain>",
        5,
        "retry-after",
    );
    refused(
        "<domain *>\nmax-msg-rate 10/fortnight\n</domain>",
        5,
        "rate expected",
    );
    refused(
        "<domain *>\nconnection-idle-timeout 11m\n</domain>",
        5,
        "time interval",
    );
    refused(
        "<acct-file /x/a.csv>\nmax-size 10K\n</acct-file>",
        5,
        "at least 1M",
    );
    refused(
        "<mx-rollup-list>\nmx a.example a.roll\n</mx-rollup-list>",
        5,
        ".rollup",
    );
    refused(
        "<smtp-pattern-list l>\nreply /x/ skip-mx,bounce-queue\n</smtp-pattern-list>",
        5,
        "exclude each other",
    );
    refused(
        "<smtp-pattern-list l>\nreply /x/ reenable-after=1h\n</smtp-pattern-list>",
        5,
        "only allowed with",
    );
    refused(
        "<pattern-list l>\nmail-from /a#b/ virtual-mta=v\n</pattern-list>",
        5,
        "not closed by",
    );
    refused("<domain *>", 4, "is not closed");
    refused("</domain>", 4, "closes nothing");
    refused("http-api-key short", 4, "32 to 128");
}

#[test]
fn a_fault_in_an_included_file_names_that_file() {
    let folder = Folder::new();
    folder.write("part.conf", "\nmax-smtp-out 5\n");
    let error = folder.read("include DIR/part.conf").unwrap_err();
    let wanted = format!(
        "Parse error in line 2 of {}: directive max-smtp-out is not allowed here",
        folder.path("part.conf").display()
    );
    assert_eq!(error, wanted);
    folder.write("loop.conf", "include DIR/loop.conf\n");
    let error = folder.read("include DIR/loop.conf").unwrap_err();
    assert!(error.contains("include each other"), "{error}");
}

#[test]
fn log_file_and_spool_are_mandatory() {
    let folder = Folder::new();
    folder.write("config", "host-name a.example\n");
    let error = Config::read(&folder.path("config"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("log-file is missing"), "{error}");
}

/// Pieces of the language in any order, and what is not of it.
fn line() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("<domain"),
        Just("</domain>"),
        Just("<virtual-mta"),
        Just("</virtual-mta>"),
        Just("<pattern-list"),
        Just("</pattern-list>"),
        Just("<pattern-list>"),
        Just("*>"),
        Just("v>"),
        Just("mail-from"),
        Just("/x\\/y/"),
        Just("virtual-mta=v"),
        Just("domain-macro"),
        Just("$a.$b"),
        Just("a"),
        Just("retry-after"),
        Just("10m,"),
        Just("1h"),
        Just("\"q\\\""),
        Just("smtp-source-host"),
        Just("192.0.2.1/24"),
        Just("max-size"),
        Just("5\u{e9}"),
        Just("domain-key"),
        Just("a,b,/c"),
        Just("reply"),
        Just("mode=backoff,skip-mx"),
        Just("#"),
        Just("<"),
        Just(">"),
        Just("</"),
        Just("\""),
        Just("/"),
        Just("[*.]"),
        Just("{x}"),
    ];
    let known = proptest::collection::vec(word, 0..5).prop_map(|words| words.join(" "));
    prop_oneof![4 => known, 1 => any::<String>()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn whatever_is_written_is_taken_or_refused_with_a_place(
        lines in proptest::collection::vec(line(), 0..12)
    ) {
        let folder = Folder::new();
        if let Err(error) = folder.read(&lines.join("\n")) {
            prop_assert!(error.contains("config"), "{error}");
        }
    }
}
