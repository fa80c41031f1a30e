//! Reads the files of a catalogue.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::base::Base;
use super::check;
use super::error::{CatalogueError, Fault};
use super::model::{Catalogue, Category, Provider};

/// Where a bundle holds its catalogue.
pub const FOLDER: &str = "powermta/providers/";
/// Where a bundle holds an operator's own base.
pub const BASE_PATH: &str = "powermta/base.toml";
/// The file of categories.
const BOUNCES: &str = "powermta/providers/bounces.toml";
/// Largest file, in bytes.
const LARGEST: usize = 1024 * 1024;

/// The file of categories.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Bounces {
    checked: String,
    #[serde(rename = "category")]
    categories: Vec<Category>,
}

impl Catalogue {
    /// Reads what a bundle holds. A bundle without a catalogue has the empty one.
    ///
    /// # Errors
    /// When a file is not of the form, or holds what must not be rendered.
    pub fn load(files: &BTreeMap<String, String>) -> Result<Self, CatalogueError> {
        placed(files, Self::read(files))
    }

    /// Reads what a bundle holds, and judges all samples of it.
    ///
    /// # Errors
    /// As [`Self::load`], and when a rule does not do what its samples say.
    pub fn examined(files: &BTreeMap<String, String>) -> Result<Self, CatalogueError> {
        let catalogue = Self::load(files)?;
        placed(files, catalogue.examine())?;
        Ok(catalogue)
    }

    fn read(files: &BTreeMap<String, String>) -> Result<Self, CatalogueError> {
        let mut catalogue = Self::default();
        let below = files.iter().filter(|(path, _)| path.starts_with(FOLDER));
        for (path, text) in below {
            if path == BOUNCES {
                let bounces: Bounces = parse(path, text)?;
                check::date(path, &bounces.checked)?;
                catalogue.categories = bounces.categories;
                for category in &mut catalogue.categories {
                    category.file.clone_from(path);
                }
            } else {
                let mut provider: Provider = parse(path, text)?;
                provider.name_file(path);
                catalogue.providers.push(provider);
            }
        }
        catalogue.providers.sort_by(|a, b| a.name.cmp(&b.name));
        check::all(&catalogue)?;
        if let Some(text) = files.get(BASE_PATH) {
            let mut base: Base = parse(BASE_PATH, text)?;
            base.name_file(BASE_PATH);
            base.check(BASE_PATH)?;
            catalogue.put_before(base);
            check::all(&catalogue)?;
        }
        Ok(catalogue)
    }
}

/// Adds the line to a fault.
fn placed<T>(
    files: &BTreeMap<String, String>,
    result: Result<T, CatalogueError>,
) -> Result<T, CatalogueError> {
    result.map_err(|error| match files.get(&error.file) {
        Some(text) => error.located(text),
        None => error,
    })
}

fn parse<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, CatalogueError> {
    if text.len() > LARGEST {
        let reason = format!("{} bytes, at most {LARGEST} are accepted", text.len());
        return Err(Fault::Syntax { reason }.of(file));
    }
    toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start));
        let reason = error.message().to_owned();
        CatalogueError {
            line: before.map(|before| before.matches('\n').count() + 1),
            ..Fault::Syntax { reason }.of(file)
        }
    })
}
