//! Every `tests/faults/*.yaml` and what is said of it, in the `.txt` beside it. `UPDATE=1` writes the texts anew.

use std::fs;
use std::path::Path;

use remit_config::read;

use crate::file;

/// What stands before the faulty part of a corpus file whose first line is `# with: base`.
const BASE: &str = include_str!("../faults/base.inc");

#[test]
fn every_fault_is_told_as_expected() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults");
    let mut seen = 0;
    let mut wrong = Vec::new();
    for entry in fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        seen += 1;
        let name = path.file_name().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let mut files = vec![file(name, &text)];
        if text.starts_with("# with: base") {
            files.push(file("base.yaml", BASE));
        }
        let faults = read(&files).map_or_else(|faults| faults, |loaded| loaded.warnings);
        let told = crate::told(&faults);
        assert!(!told.is_empty(), "{name} has no fault");
        assert!(!told.contains("hunter2"), "{name}: a secret was repeated:\n{told}");
        let expected = path.with_extension("txt");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&expected, &told).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != told {
            wrong.push(format!("{name}: it says\n{told}"));
        }
    }
    assert!(seen >= 10 && wrong.is_empty(), "{}", wrong.join("\n"));
}
