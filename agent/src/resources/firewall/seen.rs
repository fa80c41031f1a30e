//! A table as nft lists it, without what changes by itself: numbers that the kernel gives, what was
//! counted, the order of a set.

use email_engine_protocol::bytes::ContentHash;
use serde_json::Value;

/// What is known of a listed table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// The same for the same rules.
    pub(super) digest: ContentHash,
    /// The comments of its rules, in order.
    pub(super) comments: Vec<String>,
}

/// Reads a listing.
pub(super) fn read(listing: &str) -> Result<Seen, String> {
    let strange = |what: &str| format!("nft's listing is of an unknown form: {what}");
    let listing: Value =
        serde_json::from_str(listing).map_err(|error| strange(&error.to_string()))?;
    let listed = listing.get("nftables").and_then(Value::as_array);
    let listed = listed.ok_or_else(|| strange("no list of what it holds"))?;
    let mut kept = Vec::new();
    let mut comments = Vec::new();
    for entry in listed {
        if entry.get("metainfo").is_some() {
            continue;
        }
        let comment = entry.pointer("/rule/comment").and_then(Value::as_str);
        comments.extend(comment.map(str::to_owned));
        let mut entry = entry.clone();
        still(&mut entry);
        kept.push(entry);
    }
    let text = Value::Array(kept).to_string();
    Ok(Seen {
        digest: ContentHash::of(text.as_bytes()),
        comments,
    })
}

fn still(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("handle");
            if let Some(Value::Object(counter)) = fields.get_mut("counter") {
                counter.remove("packets");
                counter.remove("bytes");
            }
            for (name, field) in fields.iter_mut() {
                still(field);
                if let (true, Value::Array(elements)) =
                    (["elem", "set"].contains(&&name[..]), field)
                {
                    elements.sort_by_cached_key(Value::to_string);
                }
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(still),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn listing(handle: u64, packets: u64, networks: &[String], comment: &str) -> String {
        let elements: Vec<Value> = networks.iter().map(|one| json!(one)).collect();
        json!({ "nftables": [
            { "metainfo": { "version": "1.0.6", "json_schema_version": handle } },
            { "table": { "family": "inet", "name": "email_engine", "handle": handle } },
            { "set": { "name": "admin_4", "handle": handle, "elem": elements } },
            { "rule": { "chain": "input", "handle": handle, "comment": comment, "expr": [
                { "match": { "op": "in", "right": { "set": elements } } },
                { "counter": { "packets": packets, "bytes": packets } },
                { "accept": null },
            ] } },
        ] })
        .to_string()
    }

    proptest! {
        #[test]
        fn what_changes_by_itself_is_no_difference_and_everything_else_is(
            handles in any::<[u64; 2]>(), packets in any::<[u64; 2]>(),
            networks in proptest::collection::btree_set("[0-9]{1,3}", 1..6),
            more in "[a-z]{1,4}",
        ) {
            let networks: Vec<String> = networks.into_iter().collect();
            let mut turned = networks.clone();
            turned.reverse();
            let first = read(&listing(handles[0], packets[0], &networks, "ssh")).unwrap();
            let second = read(&listing(handles[1], packets[1], &turned, "ssh")).unwrap();
            prop_assert_eq!(&first, &second);
            prop_assert_eq!(&first.comments, &["ssh"]);
            turned.push(more.clone());
            let other = read(&listing(handles[0], packets[0], &turned, "ssh")).unwrap();
            prop_assert_ne!(&first.digest, &other.digest);
            let other = read(&listing(handles[0], packets[0], &networks, &more)).unwrap();
            prop_assert_eq!(first == other, more == "ssh");
        }

        #[test]
        fn whatever_nft_says_is_read_or_refused(text in ".{0,200}") {
            let _ = read(&text);
        }
    }

    #[test]
    fn a_strange_answer_is_no_table() {
        for strange in ["", "{}", "[]", "{\"nftables\":1}"] {
            let error = read(strange).unwrap_err();
            assert!(error.contains("unknown form"), "{strange}: {error}");
        }
    }
}
