//! Somebody else who changes a zone, and looks what is in it.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use hickory_resolver::proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::TXT;
use hickory_resolver::proto::rr::{DNSClass, Name, RData, Record, RecordType};

/// Somebody with the right to change a server's zones, who is not the fleet.
#[derive(Debug)]
pub struct Stranger {
    server: SocketAddr,
}

impl Stranger {
    /// Where they come from.
    pub const ADDRESS: &'static str = "127.0.0.9";

    pub(super) fn new(address: &str, port: u16) -> Self {
        let server = (address.parse::<std::net::IpAddr>().unwrap(), port).into();
        Self { server }
    }

    /// Adds a text to a name.
    pub fn adds(&self, zone: &str, owner: &str, text: &str) {
        let data = RData::TXT(TXT::new(vec![text.to_owned()]));
        self.change(zone, Record::from_rdata(name(owner), 60, data));
    }

    /// Takes all records of a type from a name.
    pub fn removes(&self, zone: &str, owner: &str, kind: RecordType) {
        let mut record = Record::update0(name(owner), 0, kind);
        record.dns_class = DNSClass::ANY;
        self.change(zone, record);
    }

    fn change(&self, zone: &str, record: Record) {
        let mut message = Message::query();
        message.metadata.message_type = MessageType::Query;
        message.metadata.op_code = OpCode::Update;
        message.add_query(Query::query(name(zone), RecordType::SOA));
        message.add_authority(record);
        let answer = self.exchange(&message);
        assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
    }

    /// The records of a type at a name, in order; a text in one piece.
    #[must_use]
    pub fn sees(&self, owner: &str, kind: RecordType) -> Vec<String> {
        let mut message = Message::query();
        message.add_query(Query::query(name(owner), kind));
        let answer = self.exchange(&message);
        let shown = answer.answers.iter().map(|record| match &record.data {
            RData::TXT(text) => String::from_utf8(text.txt_data.concat()).unwrap(),
            data => data.to_string(),
        });
        let mut shown: Vec<String> = shown.collect();
        shown.sort();
        shown
    }

    fn exchange(&self, message: &Message) -> Message {
        let socket = UdpSocket::bind((Self::ADDRESS, 0)).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        socket.connect(self.server).unwrap();
        socket.send(&message.to_vec().unwrap()).unwrap();
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer).unwrap();
        Message::from_vec(&buffer[..length]).unwrap()
    }
}

fn name(text: &str) -> Name {
    Name::from_ascii(format!("{text}.")).unwrap()
}
