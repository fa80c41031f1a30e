//! `dns export`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use email_engine_protocol::api::ExportView;
use email_engine_protocol::mail::DomainName;

use crate::commands::Desk;
use crate::exit::{Exit, Failure};

/// Arguments of `dns export`.
#[derive(Args, Debug)]
pub(crate) struct Export {
    /// What for
    #[arg(long, value_enum)]
    format: Form,
    /// Only this domain's records
    #[arg(long)]
    domain: Option<DomainName>,
    /// Write the files into this folder, made where it is not there; else they are printed
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Snippets that a zone file takes in by `$INCLUDE`
    Bind,
    /// Rows: name, type, ttl, value, priority
    Csv,
    /// Extensions of DNSControl's domains
    Dnscontrol,
    /// A source of octoDNS, with filters
    Octodns,
}

impl Form {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Bind => "bind",
            Self::Csv => "csv",
            Self::Dnscontrol => "dnscontrol",
            Self::Octodns => "octodns",
        }
    }
}

pub(super) async fn run(desk: &Desk, export: &Export) -> Result<(), Failure> {
    let domain = export.domain.as_ref();
    let view = desk
        .client
        .dns_export(export.format.as_str(), domain)
        .await?;
    if let Some(dir) = &export.dir {
        std::fs::create_dir_all(dir).map_err(|source| cannot_write(dir, &source))?;
        for file in &view.files {
            // A name of the cluster's must not lead out of the folder.
            let name = std::path::Path::new(&file.name).file_name();
            let path = dir.join(name.unwrap_or_default());
            std::fs::write(&path, &file.text).map_err(|source| cannot_write(&path, &source))?;
            desk.output.note(&format!("wrote {}", path.display()));
        }
    } else {
        desk.output.show(&view, |_| printed(&view))?;
    }
    for note in &view.notes {
        desk.output.note(note);
    }
    Ok(())
}

fn cannot_write(path: &std::path::Path, source: &std::io::Error) -> Failure {
    Failure::new(
        Exit::Failure,
        format!("cannot write {}: {source}", path.display()),
    )
}

/// One file as it is; several with their names between them.
fn printed(view: &ExportView) -> String {
    match &view.files[..] {
        [one] => one.text.trim_end().to_owned(),
        many => {
            let titled = many
                .iter()
                .map(|file| format!("==> {} <==\n{}", file.name, file.text.trim_end()));
            titled.collect::<Vec<_>>().join("\n\n")
        }
    }
}
