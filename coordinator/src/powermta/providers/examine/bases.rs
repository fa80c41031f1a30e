//! An operator's base before the catalogue.

use super::tests::{base, with};
use super::*;
use crate::planner::builtin_bundle;
use crate::powermta::providers::BASE_PATH;
use crate::powermta::providers::ordinary::BROAD;

#[test]
fn a_rule_of_a_base_for_what_says_nothing_of_the_sender_is_refused_with_its_place() {
    let rule = "[[provider.reply]]\nid = \"broad\"\nmeaning = \"m\"\naction = \"defer-queue\"\n\
                pattern = 'gr[ae]ylist'\n";
    let error = with(BASE_PATH, |_| base(rule)).unwrap_err();
    assert_eq!(error.line, Some(13), "{error}");
    assert!(
        error.to_string().contains("reply broad.pattern is "),
        "{error}"
    );
}

/// However it is written.
#[test]
fn a_base_with_a_rule_for_what_says_nothing_of_the_sender_is_refused() {
    for broad in BROAD {
        let mut rule = Reply {
            file: BASE_PATH.to_owned(),
            id: "broad".to_owned(),
            meaning: "m".to_owned(),
            confidence: None,
            action: Action::Take("mode=backoff".to_owned()),
            pattern: broad.to_owned(),
            source: String::new(),
            samples: Vec::new(),
            near: Vec::new(),
        };
        let shown = own_rule(&rule).unwrap_err().to_string();
        let wanted = "one refused text such as \"";
        assert!(shown.contains(wanted), "{broad}: {shown}");
        // What does nothing to the queue may take it, and ours have samples of their own.
        rule.action = Action::Take("bounce-rcpt".to_owned());
        own_rule(&rule).unwrap();
        rule.action = Action::Take("mode=backoff".to_owned());
        rule.file = format!("{FOLDER}x.toml");
        own_rule(&rule).unwrap();
    }
}

#[test]
fn a_base_that_would_move_mail_elsewhere_is_refused() {
    for keyword in [
        "reroute-to-virtual-mta",
        "backoff-reroute-to-virtual-mta",
        "queue-to",
    ] {
        let error = with(BASE_PATH, |_| {
            base("").replacen(
                "settings = {",
                &format!("settings = {{ {keyword} = \"x\","),
                1,
            )
        });
        let shown = error.unwrap_err().to_string();
        let wanted = format!("settings is \"{keyword}\"; accepted is one of backoff-max");
        assert!(shown.contains(&wanted), "{shown}");
    }
}

#[test]
fn a_base_goes_before_the_catalogue() {
    let mut files = builtin_bundle();
    let base = "checked = \"2026-11-21\"\norigin = \"x\"\n[global]\nlog-rotate = \"3\"\n\
                [[provider]]\nname = \"hotmail\"\ntitle = \"t\"\nchecked = \"2026-11-21\"\n\
                domains = [\"hotmail.com\"]\nsettings = { max-smtp-out = \"3\" }\n\
                [[category]]\nname = \"spam-related\"\npatterns = ['naughty']\n";
    files.insert(BASE_PATH.to_owned(), base.to_owned());
    let catalogue = Catalogue::load(&files).unwrap();
    catalogue.examine().unwrap();
    let provider = |name: &str| catalogue.providers.iter().find(|p| p.name == name).unwrap();
    assert!(
        !provider("microsoft")
            .domains
            .contains(&"hotmail.com".to_owned())
    );
    assert_eq!(provider("hotmail").settings["max-smtp-out"], "3");
    let category = |bounce: &str| catalogue.category(bounce).unwrap().unwrap().name.as_str();
    assert_eq!(category("5.1.1;naughty"), "spam-related");
    assert_eq!(category("5.1.1;x"), "bad-mailbox");
}

#[test]
fn an_operators_own_rule_may_take_what_the_catalogue_takes_otherwise() {
    let mut files = builtin_bundle();
    let rule = "[[provider.reply]]\nid = \"own-1\"\nmeaning = \"m\"\naction = \"mode=backoff\"\n\
                pattern = 'spamhaus'\n[[category]]\nname = \"policy-related\"\n\
                patterns = ['virus']\n";
    files.insert(BASE_PATH.to_owned(), base(rule));
    let catalogue = Catalogue::examined(&files).unwrap();
    let own = catalogue
        .providers
        .iter()
        .find(|p| p.name == "own")
        .unwrap();
    let taker = catalogue
        .judge(own, "554 blocked using zen.spamhaus.org")
        .unwrap()
        .unwrap();
    assert_eq!(taker.id, "own-1");
    // But its own rules are held to their own samples.
    let shadowed = "[[provider.reply]]\nid = \"own-1\"\nmeaning = \"m\"\naction = \"mode=backoff\"\n\
                    pattern = 'abc'\n[[provider.reply]]\nid = \"own-2\"\nmeaning = \"m\"\n\
                    action = \"mode=backoff\"\npattern = 'abcd'\nsamples = [\"421 abcd\"]\n";
    files.insert(BASE_PATH.to_owned(), base(shadowed));
    let error = Catalogue::examined(&files).unwrap_err();
    assert!(
        matches!(&error.fault, Fault::Shadowed { by, .. } if by == "own-1"),
        "{error}"
    );
    assert_eq!(error.line, Some(19), "{error}");
}

#[test]
fn a_base_with_a_shared_queue_of_ours_keeps_it_to_itself() {
    let mut files = builtin_bundle();
    let queue = "[[provider.rollup]]\nqueue = \"own.rollup\"\n\
                 mx = [\"mta5.am0.yahoodns.net\", \"mta6.am0.yahoodns.net\"]\n";
    files.insert(BASE_PATH.to_owned(), base(queue));
    let catalogue = Catalogue::examined(&files).unwrap();
    let queues: Vec<&str> = catalogue
        .providers
        .iter()
        .flat_map(|p| &p.rollups)
        .map(|r| r.queue.as_str())
        .collect();
    assert!(
        queues.contains(&"own.rollup") && queues.contains(&"aol.rollup"),
        "{queues:?}"
    );
    assert!(!queues.contains(&"yahoo.rollup"), "{queues:?}");
}

#[test]
fn a_queue_of_a_base_that_says_nothing_takes_no_limits_away() {
    let mut files = builtin_bundle();
    let queues = "checked = \"2026-11-21\"\norigin = \"x\"\n[[provider]]\nname = \"bare\"\n\
                  title = \"t\"\nchecked = \"2026-11-21\"\n\
                  [[provider.rollup]]\nqueue = \"y.rollup\"\nmx = [\"mta5.am0.yahoodns.net\"]\n\
                  [[provider.rollup]]\nqueue = \"c.rollup\"\nmx = [\"mx1.comcast.net\"]\n\
                  [[provider.rollup]]\nqueue = \"z.rollup\"\nmx = [\"mx1.example.com\"]\n";
    files.insert(BASE_PATH.to_owned(), queues.to_owned());
    let catalogue = Catalogue::examined(&files).unwrap();
    let owner = |queue: &str| {
        let has = |p: &&Provider| p.rollups.iter().any(|rollup| rollup.queue == queue);
        catalogue
            .providers
            .iter()
            .find(has)
            .map(|p| p.name.as_str())
    };
    assert_eq!(owner("y.rollup"), None);
    assert_eq!(owner("yahoo.rollup"), Some("yahoo"));
    assert_eq!(owner("c.rollup"), Some("comcast"));
    assert_eq!(owner("z.rollup"), Some("bare"));
}
