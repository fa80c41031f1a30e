//! Rows of one table, read and written by a connection that may do nothing else.

use std::fmt;

use email_engine_protocol::desired::{SqlCell, SqlValue};
use mysql::prelude::Queryable;
use mysql::{Conn, Error, Params, Row, Value};

use super::super::text::{differing, quoted};
use super::super::{RowPlace, SAID, SeenCell, SqlError, ambiguous};
use super::{SESSION, told};

const NO_DATABASE: u16 = 1049;
const NO_TABLE: u16 = 1146;
const NO_COLUMN: u16 = 1054;

/// A connection of the account for a table's rows.
pub(super) struct Rows {
    conn: Conn,
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rows")
    }
}

impl Rows {
    pub(super) fn of(mut conn: Conn) -> Result<Self, SqlError> {
        conn.query_drop(SESSION).map_err(told)?;
        Ok(Self { conn })
    }

    pub(super) fn row(
        &mut self,
        place: &RowPlace,
        columns: &[SqlCell],
    ) -> Result<Option<Vec<SeenCell>>, SqlError> {
        self.select(place, columns, "")
    }

    pub(super) fn write(
        &mut self,
        place: &RowPlace,
        values: &[SqlCell],
        initial: Option<&[SqlCell]>,
    ) -> Result<(), SqlError> {
        self.run("START TRANSACTION")?;
        let done = self.write_within(place, values, initial);
        let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
        let ended = self.run(end);
        done.and(ended)
    }

    pub(super) fn delete(&mut self, place: &RowPlace) -> Result<(), SqlError> {
        if self.row(place, &[])?.is_none() {
            return Ok(());
        }
        let statement = format!("DELETE FROM {} WHERE {}", table(place), keys(place));
        self.run_with(&statement, place.keys.iter())
    }

    fn write_within(
        &mut self,
        place: &RowPlace,
        values: &[SqlCell],
        initial: Option<&[SqlCell]>,
    ) -> Result<(), SqlError> {
        let seen = self.select(place, values, " FOR UPDATE")?;
        let (table, keys) = (table(place), keys(place));
        match (seen, initial) {
            (Some(seen), _) => {
                let wrong = differing(values, &seen);
                if wrong.is_empty() {
                    return Ok(());
                }
                let set = list(wrong.iter().copied(), |name, sign| {
                    format!("{name} = {sign}")
                });
                let statement = format!("UPDATE {table} SET {set} WHERE {keys}");
                self.run_with(&statement, wrong.into_iter().chain(&place.keys))
            }
            (None, Some(initial)) => {
                let all = || place.keys.iter().chain(values).chain(initial);
                let names = list(all(), |name, _| name.to_owned());
                let signs = list(all(), |_, sign| sign.to_owned());
                let statement = format!("INSERT INTO {table} ({names}) VALUES ({signs})");
                self.run_with(&statement, all())
            }
            // Who only says farewell makes nothing.
            (None, None) => Ok(()),
        }
    }

    fn select(
        &mut self,
        place: &RowPlace,
        columns: &[SqlCell],
        lock: &str,
    ) -> Result<Option<Vec<SeenCell>>, SqlError> {
        let names = list(columns, |name, _| name.to_owned());
        let names = if names.is_empty() { "1" } else { &names };
        let (table, keys) = (table(place), keys(place));
        let statement = format!("SELECT {names} FROM {table} WHERE {keys} LIMIT 2{lock}");
        let bound = bound(place.keys.iter());
        let rows: Vec<Row> = self
            .conn
            .exec(&statement, bound)
            .map_err(|error| absent(error, place))?;
        let mut rows = rows.into_iter();
        match (rows.next(), rows.next()) {
            (None, _) => Ok(None),
            (Some(row), None) => {
                let seen = row.unwrap().into_iter().map(seen);
                Ok(Some(seen.take(columns.len()).collect()))
            }
            (Some(_), Some(_)) => Err(ambiguous(place)),
        }
    }

    fn run(&mut self, statement: &str) -> Result<(), SqlError> {
        self.conn.query_drop(statement).map_err(told)
    }

    fn run_with<'a>(
        &mut self,
        statement: &str,
        cells: impl Iterator<Item = &'a SqlCell>,
    ) -> Result<(), SqlError> {
        self.conn.exec_drop(statement, bound(cells)).map_err(told)
    }
}

fn table(place: &RowPlace) -> String {
    let (database, table) = (quoted(&place.database, '`'), quoted(&place.table, '`'));
    format!("{database}.{table}")
}

fn keys(place: &RowPlace) -> String {
    let conditions = place.keys.iter().map(|key| {
        let name = quoted(&key.column, '`');
        format!("{name} = ?")
    });
    conditions.collect::<Vec<_>>().join(" AND ")
}

/// Each column by its quoted name and by what stands for its value.
fn list<'a>(
    cells: impl IntoIterator<Item = &'a SqlCell>,
    write: impl Fn(&str, &str) -> String,
) -> String {
    let texts = cells.into_iter().map(|cell| {
        let sign = if cell.value == SqlValue::Now {
            "NOW()"
        } else {
            "?"
        };
        write(&quoted(&cell.column, '`'), sign)
    });
    texts.collect::<Vec<_>>().join(", ")
}

fn bound<'a>(cells: impl Iterator<Item = &'a SqlCell>) -> Params {
    let values = cells.filter_map(|cell| match &cell.value {
        SqlValue::Null => Some(Value::NULL),
        SqlValue::Bool(value) => Some(Value::Int(i64::from(*value))),
        SqlValue::Integer(value) => Some(Value::Int(*value)),
        SqlValue::Decimal(text) | SqlValue::Text(text) | SqlValue::Json(text) => {
            Some(Value::Bytes(text.clone().into_bytes()))
        }
        SqlValue::OneOf(texts) => texts
            .first()
            .map(|text| Value::Bytes(text.clone().into_bytes())),
        SqlValue::Now | SqlValue::Unclaimed => None,
    });
    let values: Vec<Value> = values.collect();
    if values.is_empty() {
        Params::Empty
    } else {
        Params::Positional(values)
    }
}

pub(super) fn seen(value: Value) -> SeenCell {
    let text = match value {
        Value::NULL => return None,
        Value::Bytes(bytes) => return Some(bytes),
        Value::Int(number) => number.to_string(),
        Value::UInt(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Double(number) => number.to_string(),
        Value::Date(year, month, day, hour, minute, second, _) => {
            format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
        }
        Value::Time(negative, days, hours, minutes, seconds, _) => {
            let (sign, hours) = (
                if negative { "-" } else { "" },
                days * 24 + u32::from(hours),
            );
            format!("{sign}{hours:02}:{minutes:02}:{seconds:02}")
        }
    };
    Some(text.into_bytes())
}

fn absent(error: Error, place: &RowPlace) -> SqlError {
    match &error {
        Error::MySqlError(said) if said.code == NO_TABLE => {
            let text = format!("there is no table {}.{}", place.database, place.table);
            SqlError::Absent(text)
        }
        Error::MySqlError(said) if said.code == NO_COLUMN => {
            SqlError::NoColumn(said.message.chars().take(SAID).collect())
        }
        Error::MySqlError(said) if said.code == NO_DATABASE => {
            SqlError::Absent(format!("there is no database {}", place.database))
        }
        _ => told(error),
    }
}
