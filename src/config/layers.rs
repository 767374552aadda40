//! The layers of a configuration: the defaults, a file, the environment.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use config::{ConfigError, Map, Source, Value};

use super::file;
use super::mistake::{Mistake, Origin};
use super::toml_file::Places;
use super::variable::KnownVariables;
use super::{toml_file, variable};

/// Every key with its default and its comment.
pub const DEFAULTS: &str = include_str!("../../config/default.toml");

/// The files that are tried when none is named.
const USUAL_PLACES: [&str; 2] = ["/etc/sipost/sipost.toml", "config/sipost.toml"];

/// Where to read a configuration from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file that was named. It must exist.
    pub file: Option<PathBuf>,
    /// Where to look when no file was named: the first that exists.
    pub usual_places: Vec<PathBuf>,
    /// A file's text, in place of a file.
    pub text: Option<String>,
    pub variables: Vec<(OsString, OsString)>,
    /// Whether a store in a file must have its directory, as it must when the gateway starts.
    pub checks_store: bool,
    /// Whether that file must begin as a database does, unless a gateway has it open.
    pub checks_database: bool,
}

/// The layers, laid over each other.
#[derive(Debug, Default)]
pub(super) struct Merged {
    /// The values by section.
    pub(super) tables: Map<String, Value>,
    /// Where each table of the file begins; the layering keeps the origins of values only.
    pub(super) places: Places,
    /// Files and variables that cannot be read.
    pub(super) mistakes: Vec<Mistake>,
}

impl Sources {
    /// The sources of this process: `file` or the usual places, and the environment.
    pub fn of_process(file: Option<PathBuf>) -> Self {
        Self {
            file,
            usual_places: USUAL_PLACES.map(PathBuf::from).to_vec(),
            text: None,
            variables: std::env::vars_os().collect(),
            checks_store: false,
            checks_database: false,
        }
    }

    /// The file to read.
    pub fn chosen_file(&self) -> Option<&Path> {
        let usual = || self.usual_places.iter().find(|place| place.exists());
        self.file.as_ref().or_else(usual).map(PathBuf::as_path)
    }

    /// Lays the layers over each other. `known` are the settings that variables may name.
    pub(super) fn merge(&self, known: &KnownVariables) -> Merged {
        let mut merged = Merged::default();
        let mut builder = config::Config::builder();
        let mistakes = &mut merged.mistakes;
        let default = |_| Origin::Default.label();
        match toml_file::read("the defaults", DEFAULTS, &default) {
            Ok(defaults) => builder = builder.add_source(Layer(defaults.values)),
            Err(mistake) => mistakes.push(mistake),
        }
        if let Some((name, text)) = self.read_file(mistakes) {
            let label = |line: usize| Origin::File(format!("{name}:{line}")).label();
            match toml_file::read(&name, &text, &label) {
                Ok(document) => {
                    builder = builder.add_source(Layer(document.values));
                    merged.places = document.places;
                }
                Err(mistake) => mistakes.push(mistake),
            }
        }
        for (path, value) in variable::read(&self.variables, known, mistakes) {
            builder = builder.add_source(Layer(Map::from_iter([(path, value)])));
        }
        let built = builder.build().and_then(|built| built.cache.into_table());
        match built {
            Ok(tables) => merged.tables = tables,
            Err(error) => mistakes.push(Mistake::whole("configuration", error.to_string())),
        }
        merged
    }

    /// The name and the text of the file.
    fn read_file(&self, mistakes: &mut Vec<Mistake>) -> Option<(String, String)> {
        if let Some(text) = &self.text {
            return Some(("sipost.toml".to_owned(), text.clone()));
        }
        let path = self.chosen_file()?;
        let name = path.display().to_string();
        match file::read(path).and_then(file::text) {
            Ok(text) => Some((name, text)),
            Err(error) => {
                let is_missing = error.kind() == io::ErrorKind::NotFound;
                let mut problem = format!("cannot be read: {}", file::reason(path, error));
                if is_missing {
                    problem.push_str(&elsewhere());
                }
                mistakes.push(Mistake::whole(&name, problem));
                None
            }
        }
    }
}

/// What to do when the file that was named is not there.
fn elsewhere() -> String {
    format!(
        "; name another one with --config or SIPOST_CONFIG, or none: then {} is read, if there is \
         one. `sipost config --defaults` prints a file to begin with",
        USUAL_PLACES.join(" or ")
    )
}

/// Values with their origins.
#[derive(Clone, Debug)]
struct Layer(Map<String, Value>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}
