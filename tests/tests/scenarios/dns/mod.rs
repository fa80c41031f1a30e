//! What is published, and what the servers of zones really say.

mod published;
mod seen;

/// Where names are registered, which has no policy.
const TOP: &str = "\
@ 60 IN SOA ns1.example.net. hostmaster.example.net. 1 3600 600 86400 60
@ 60 IN NS ns1.example.net.
example 60 IN NS ns1.example.net.
";

/// A zone that two servers have. One that follows the other tries again after a second.
fn zone(records: &str) -> String {
    format!(
        "@ 60 IN SOA ns1.example.net. hostmaster.example.net. 1 3600 1 86400 60\n@ 60 IN NS ns1.example.net.\n\
         @ 60 IN NS ns2.example.net.\n{records}"
    )
}
