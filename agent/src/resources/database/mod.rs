//! Databases, rows and scripts. Looking asks the server and changes nothing; a row or script whose server,
//! database or table is not there waits for it without being wrong, because those may be an installer's to
//! bring.

mod stand_in;

use email_engine_protocol::desired::{
    DatabaseAuth, DatabaseSpec, OnRemove, Resource, Spec, SqlCell, SqlRowSpec, SqlScriptSpec,
    SqlValue,
};
use email_engine_protocol::observed::Claim;
use zeroize::Zeroizing;

use super::{ApplyError, Contents, Finding};
use crate::host::{Machine, RowPlace, SqlError, differing};
use crate::inventory::{Item, Thing};

/// Looks at one of these; others are none of its business.
pub(super) fn observe(
    machine: &mut Machine,
    contents: &dyn Contents,
    resource: &Resource,
) -> Finding {
    if let Some(finding) = stand_in::observe(machine, resource) {
        return finding;
    }
    match &resource.spec {
        Spec::Database(spec) => observe_database(machine, contents, spec),
        Spec::SqlRow(spec) => observe_row(machine, spec),
        Spec::SqlScript(spec) => observe_script(machine, spec),
        _ => Finding::Unknown("neither a database nor a row or a script".to_owned()),
    }
}

/// Makes one of these right.
pub(super) fn apply(
    machine: &mut Machine,
    contents: &dyn Contents,
    resource: &Resource,
) -> Result<(), ApplyError> {
    if stand_in::apply(machine, resource)? {
        return Ok(());
    }
    match &resource.spec {
        Spec::Database(spec) => {
            let password = password(contents, spec)?;
            let password = password.as_ref().map(|text| text.as_str());
            Ok(machine.databases.make(spec, password)?)
        }
        Spec::SqlRow(spec) => {
            let initial = Some(&spec.initial[..]);
            let place = RowPlace::of(spec);
            Ok(machine.databases.write(&place, &kept(spec), initial)?)
        }
        Spec::SqlScript(spec) => Ok(machine.databases.run(spec)?),
        _ => Ok(()),
    }
}

/// Lets one of these go: a database only while it is empty, a row by deleting it or by what is set in it
/// at its end.
pub(super) fn remove(machine: &mut Machine, thing: &Thing, item: &Item) -> Result<(), ApplyError> {
    if item.on_remove == OnRemove::Leave || stand_in::remove(machine, item, thing)? {
        return Ok(());
    }
    let done = match thing {
        Thing::Database { engine, name, user } if item.on_remove == OnRemove::Delete => {
            machine.databases.drop_empty(*engine, name, user)
        }
        Thing::SqlRow { place, farewell } => match item.on_remove {
            OnRemove::Delete => machine.databases.delete(place),
            _ => machine.databases.write(place, farewell, None),
        },
        _ => Ok(()),
    };
    match done {
        // What is not there needs no removal.
        Err(SqlError::Absent(_)) => Ok(()),
        // It never was there.
        Err(SqlError::Down { .. }) if item.applied.is_none() => Ok(()),
        done => Ok(done?),
    }
}

fn observe_database(
    machine: &mut Machine,
    contents: &dyn Contents,
    spec: &DatabaseSpec,
) -> Finding {
    let password = match password(contents, spec) {
        Ok(password) => password,
        Err(error) => return Finding::Differs(error.to_string()),
    };
    let password = password.as_ref().map(|text| text.as_str());
    match machine.databases.differs(spec, password) {
        Ok(diff) if diff.is_empty() => Finding::Right,
        Ok(diff) => Finding::Differs(diff.join("; ")),
        // Whoever makes it waits for a server that is starting.
        Err(error @ SqlError::Down { .. }) => Finding::Differs(error.to_string()),
        Err(error) => Finding::Unknown(error.to_string()),
    }
}

fn observe_row(machine: &mut Machine, spec: &SqlRowSpec) -> Finding {
    let (place, kept) = (RowPlace::of(spec), kept(spec));
    let seen = machine.databases.row(&place, &kept);
    match seen {
        Ok(None) => Finding::Differs("missing".to_owned()),
        Ok(Some(seen)) => {
            let wrong = differing(&kept, &seen);
            if wrong.is_empty() {
                return claims(machine, &place, spec);
            }
            let columns: Vec<&str> = wrong.iter().map(|cell| cell.column.as_str()).collect();
            Finding::Differs(format!("{} differ", columns.join(", ")))
        }
        Err(error @ (SqlError::Absent(_) | SqlError::Down { .. })) => {
            Finding::Waits(format!("waits: {error}"))
        }
        Err(error) => Finding::Unknown(error.to_string()),
    }
}

fn observe_script(machine: &mut Machine, spec: &SqlScriptSpec) -> Finding {
    match machine.databases.ask(spec) {
        Ok(answer) => match answer.wanted {
            Some(wanted) => Finding::Differs(wanted),
            None if answer.told.rows.is_empty() => Finding::Right,
            None => Finding::Tells(answer.told),
        },
        Err(error @ (SqlError::Absent(_) | SqlError::Down { .. })) => {
            Finding::Waits(format!("waits: {error}"))
        }
        Err(error) => Finding::Unknown(error.to_string()),
    }
}

/// Columns that are kept right. What nobody else may claim is never written.
fn kept(spec: &SqlRowSpec) -> Vec<SqlCell> {
    let kept = spec
        .values
        .iter()
        .filter(|cell| cell.value != SqlValue::Unclaimed);
    kept.cloned().collect()
}

/// What somebody else claims of a row that is right else. A column that this version of the application does
/// not have is claimed by nobody.
fn claims(machine: &mut Machine, place: &RowPlace, spec: &SqlRowSpec) -> Finding {
    for cell in spec
        .values
        .iter()
        .filter(|cell| cell.value == SqlValue::Unclaimed)
    {
        let seen = match machine.databases.row(place, std::slice::from_ref(cell)) {
            Ok(Some(seen)) => seen,
            Ok(None) => return Finding::Differs("missing".to_owned()),
            Err(SqlError::NoColumn(_)) => continue,
            Err(error) => return Finding::Unknown(error.to_string()),
        };
        if !differing(std::slice::from_ref(cell), &seen).is_empty() {
            let value = seen.into_iter().flatten().next().unwrap_or_default();
            return Finding::Noted(Claim::new(&cell.column, &value).to_string());
        }
    }
    Finding::Right
}

/// The password of a database's user.
fn password(
    contents: &dyn Contents,
    spec: &DatabaseSpec,
) -> Result<Option<Zeroizing<String>>, ApplyError> {
    let DatabaseAuth::Password(secret) = &spec.auth else {
        return Ok(None);
    };
    let opened = contents.secret(secret)?;
    match std::str::from_utf8(&opened.bytes) {
        Ok(text) => Ok(Some(Zeroizing::new(text.to_owned()))),
        Err(_) => Err(ApplyError::Refused(format!(
            "secret {} is no text: letters and digits are accepted",
            secret.id
        ))),
    }
}

/// Columns in words, for what a sandbox shows.
fn words(cells: &[SqlCell]) -> String {
    let words = cells
        .iter()
        .map(|cell| format!("{}={}", cell.column, cell.value));
    words.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
pub(crate) mod tests;
