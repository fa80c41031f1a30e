//! Files that operators write: each fault is placed in its line, whatever the text is made of.

use email_engine_fuzz::fuzz;

use crate::fleet_file::{self, FleetFileError};

#[test]
fn any_fleet_file_is_read_or_its_fault_is_placed() {
    let samples = [
        include_str!("../../../../deploy/examples/sos-holidays.toml"),
        "[[tenants]]\nid = \"client-1\"\nname = \"é \u{2028} 日本\"\n\r\nfoo = 1\n",
        "[[ips]]\naddress = \"192.0.2.1\"\ndomain = \"mail1.example.com\"\ntenant = \"client-1\"\n",
    ];
    let faulty = samples[1];
    assert!(fleet_file::parse("fleet.toml", faulty).is_err());
    let samples = [samples[0], samples[2], &faulty[..faulty.len() - 8]];
    let samples = samples.map(|text| text.as_bytes().to_vec()).to_vec();
    fuzz!(samples, |input| {
        let Ok(text) = std::str::from_utf8(input) else {
            return false;
        };
        match fleet_file::parse("fleet.toml", text) {
            Ok(document) => {
                let again = toml::to_string(&document).unwrap();
                assert!(fleet_file::parse("again", &again).is_ok_and(|same| same == document));
                true
            }
            Err(FleetFileError::Form {
                line,
                column,
                message,
                ..
            }) => {
                assert!(
                    (1..=text.matches('\n').count() + 1).contains(&line),
                    "{line}"
                );
                assert!(column >= 1 && !message.is_empty());
                false
            }
            Err(other) => panic!("{other}"),
        }
    });
}
