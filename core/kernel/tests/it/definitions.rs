//! The scan of definitions on fixtures of every kind, through the catalogue that the gateway keeps.

use remit_kernel::Catalogue;
use remit_kernel::definitions::findings;
use serde_json::json;

use crate::fixtures::{HELD_OUT, found, is_found, key, kinds, live};

#[test]
fn nine_of_ten_poisoned_definitions_are_found_and_no_twin_is() {
    let (mut poisoned, mut missed, mut wrong) = (0, Vec::new(), Vec::new());
    let kinds = kinds();
    for (kind, pairs) in &kinds {
        for pair in pairs {
            poisoned += usize::from(kind != HELD_OUT);
            let found_in_it = found(&pair["poisoned"]);
            // What was written after the rules, to see what they are worth, isn't what they are held to.
            if kind != HELD_OUT && !is_found(pair, &found_in_it) {
                missed.push(format!("{kind}: {}: {found_in_it:?}", pair["name"]));
            }
            let found_in_twin = found(&pair["twin"]);
            if !found_in_twin.is_empty() {
                wrong.push(format!("{kind}: {}: {found_in_twin:?}", pair["name"]));
            }
        }
    }
    assert!(kinds.len() >= 16 && poisoned >= 60, "{} kinds, {poisoned} pairs", kinds.len());
    assert!(missed.len() * 10 <= poisoned, "missed {} of {poisoned}:\n{}", missed.len(), missed.join("\n"));
    assert!(wrong.is_empty(), "false:\n{}", wrong.join("\n"));
}

#[test]
fn of_two_that_are_alike_the_later_one_is_told_of() {
    let tool =
        |name: &str| json!({"name": name, "description": "Creates an issue in a repository.", "inputSchema": {"type": "object"}});
    let own = |name: &str| (key(name), live(&json!({"tools": [tool("create_issue")]})));
    let mut catalogue = Catalogue { servers: [own("github"), own("aithub")].into(), ..Catalogue::default() };
    let told = |catalogue: &Catalogue| -> Vec<(String, &'static str)> {
        findings(catalogue).into_iter().map(|finding| (finding.server, finding.rule)).collect()
    };
    for (first, later) in [("github", "aithub"), ("aithub", "github")] {
        catalogue.pins = [(first, 1), (later, 2)]
            .into_iter()
            .flat_map(|(name, at)| Catalogue::first_pins(&key(name), &catalogue.servers[&key(name)], &|_| true, at))
            .collect();
        let told = told(&catalogue);
        let worse: Vec<_> = told.iter().filter(|(server, _)| *server == key(later).to_string()).map(|(_, rule)| *rule).collect();
        assert_eq!(worse, ["DUPLICATE", "LOOK_ALIKE"], "{told:?}");
        assert_eq!(told.len(), 3, "the earlier one has a twin, which is worth knowing and no more: {told:?}");
    }
}
