//! Real hosts with systemd: what a sandbox can only simulate is done.

mod bare_host;
