//! The texts: each value has one spelling, and whatever else is refused without a panic.

use proptest::prelude::*;
use remit_tlog::bundle::{BundleError, bundle_encode, bundle_parse};
use remit_tlog::tile::TILE_WIDTH;
use remit_tlog::{
    Checkpoint, CheckpointError, Hash, Note, NoteError, Signer, TileKind, TilePath, TilePathError, Verifier, leaf_hash,
};

fn signer(name: &str) -> Signer {
    Signer::from_seed(name, &[7; 32]).unwrap()
}

#[test]
fn a_note_is_verified_by_its_signer_only() {
    let note = signer("log.example/a").sign("text\n\nmore\n").unwrap();
    let parsed = Note::parse(&note.to_string()).unwrap();
    assert_eq!(parsed, note);
    assert_eq!(parsed.verify(signer("log.example/a").verifier()), Ok("text\n\nmore\n"));
    assert_eq!(parsed.verify(signer("log.example/b").verifier()), Err(NoteError::Untrusted));
    assert!(!format!("{:?}", signer("log.example/a")).contains("pair"));
}

#[test]
fn notes_out_of_form_are_refused() {
    let good = signer("log").sign("text\n").unwrap().to_string();
    for bad in [
        good.replace("\n\n", "\n"),
        good.replace("— ", "- "),
        good.trim_end().to_owned(),
        format!("{good}\n"),
        good.replace("— log", "— "),
        good.replace("— log", "— l+g"),
        good.replace("text", "te\txt"),
        good.replace("=\n", "\n"),
        good.repeat(0),
    ] {
        assert!(Note::parse(&bad).is_err(), "{bad:?}");
    }
    for text in ["", "no newline", "\u{7}\n"] {
        assert_eq!(signer("log").sign(text).unwrap_err(), NoteError::Text);
    }
    for name in ["", "a b", "a+b", "a\u{a0}b", "a\nb"] {
        assert_eq!(Signer::from_seed(name, &[0; 32]).unwrap_err(), NoteError::Name(name.to_owned()));
    }
}

#[test]
fn a_vkey_has_one_spelling() {
    let vkey = signer("log").verifier().to_string();
    assert_eq!(Verifier::parse(&vkey).unwrap().to_string(), vkey);
    let (name, rest) = vkey.split_once('+').unwrap();
    for bad in [
        vkey.replace("log", "lag"),
        format!("{name}+{}", rest.to_uppercase()),
        vkey.replace("+Ae", "+Au"),
        format!("{vkey}="),
        "log".to_owned(),
        "log+00000000".to_owned(),
    ] {
        assert!(Verifier::parse(&bad).is_err(), "{bad}");
    }
}

#[test]
fn a_checkpoint_has_one_spelling() {
    let root = leaf_hash(b"").to_base64();
    let text = format!("example.com/log\n42\n{root}\n");
    let checkpoint: Checkpoint = text.parse().unwrap();
    assert_eq!((checkpoint.size, checkpoint.root), (42, leaf_hash(b"")));
    assert_eq!(checkpoint.to_string(), text);
    let extended = format!("{text}extension\n");
    assert_eq!(extended.parse::<Checkpoint>().unwrap().to_string(), extended);
    for (bad, error) in [
        (format!("\n42\n{root}\n"), CheckpointError::Origin),
        (format!("log\n042\n{root}\n"), CheckpointError::Size),
        (format!("log\n+42\n{root}\n"), CheckpointError::Size),
        (format!("log\n\n{root}\n"), CheckpointError::Size),
        (format!("log\n18446744073709551616\n{root}\n"), CheckpointError::Size),
        (format!("log\n42\n{}\n", root.trim_end_matches('=')), CheckpointError::Root),
        (format!("log\n42\n{root}"), CheckpointError::Lines),
        ("log\n42\n".to_owned(), CheckpointError::Lines),
        (format!("log\n42\n{root}\n\n"), CheckpointError::Extension),
    ] {
        assert_eq!(bad.parse::<Checkpoint>(), Err(error), "{bad:?}");
    }
    assert_eq!(Checkpoint::new("two\nlines", 0, leaf_hash(b"")), Err(CheckpointError::Origin));
}

#[test]
fn tile_paths_are_those_of_the_specification() {
    check_tile("tile/0/x001/x234/067", TileKind::Hashes { level: 0 }, 1_234_067, 256);
    check_tile("tile/1/000.p/17", TileKind::Hashes { level: 1 }, 0, 17);
    check_tile("tile/63/000", TileKind::Hashes { level: 63 }, 0, 256);
    check_tile("tile/entries/273.p/112", TileKind::Entries, 273, 112);
    check_tile("tile/entries/x018/x446/x744/x073/x709/x551/615", TileKind::Entries, u64::MAX, 256);
    for (bad, error) in [
        ("tile/64/000", TilePathError::Level),
        ("tile/00/000", TilePathError::Level),
        ("tile/-1/000", TilePathError::Level),
        ("tile/0/00", TilePathError::Index),
        ("tile/0/x000/001", TilePathError::Index),
        ("tile/0/x001", TilePathError::Index),
        ("tile/0/001/002", TilePathError::Index),
        ("tile/0/x018/x446/x744/x073/x709/x551/616", TilePathError::Index),
        ("tile/0/000.p/0", TilePathError::Width),
        ("tile/0/000.p/256", TilePathError::Width),
        ("tile/0/000.p/01", TilePathError::Width),
        ("tile/0", TilePathError::Form),
        ("/tile/0/000", TilePathError::Form),
    ] {
        assert_eq!(bad.parse::<TilePath>(), Err(error), "{bad}");
    }
}

fn check_tile(path: &str, kind: TileKind, index: u64, width: u16) {
    let tile = TilePath::new(kind, index, width).unwrap();
    assert_eq!(tile.to_string(), path);
    assert_eq!(path.parse(), Ok(tile));
}

#[test]
fn a_tree_of_70000_has_the_tiles_of_the_specification() {
    for (level, index, path) in [
        (0, 272, Some("tile/0/272")),
        (0, 273, Some("tile/0/273.p/112")),
        (0, 274, None),
        (1, 0, Some("tile/1/000")),
        (1, 1, Some("tile/1/001.p/17")),
        (2, 0, Some("tile/2/000.p/1")),
        (3, 0, None),
        (63, 0, None),
    ] {
        let tile = TilePath::of_tree(TileKind::Hashes { level }, index, 70_000);
        assert_eq!(tile.map(|tile| tile.to_string()).as_deref(), path);
    }
}

#[test]
fn bundles_have_limits() {
    assert_eq!(bundle_encode([vec![0; 65_536].as_slice()]), Err(BundleError::EntryLength(65_536)));
    assert_eq!(bundle_encode(vec![&[][..]; 257]), Err(BundleError::Count));
    assert_eq!(bundle_parse(&[0; 2 * 257]), Err(BundleError::Count));
    assert_eq!(bundle_parse(&[0, 2, 1]), Err(BundleError::CutOff));
    assert_eq!(bundle_parse(&[0]), Err(BundleError::CutOff));
    assert_eq!(bundle_encode([&b"ab"[..], b""]).unwrap(), [0, 2, b'a', b'b', 0, 0]);
}

proptest! {
    #[test]
    fn what_is_written_is_read(entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..256),
        level in 0u8..64, index: u64, width in 1..=TILE_WIDTH, size: u64, root: [u8; 32]) {
        let bundle = bundle_encode(entries.iter().map(Vec::as_slice)).unwrap();
        prop_assert_eq!(bundle_parse(&bundle).unwrap(), entries);
        let tile = TilePath::new(TileKind::Hashes { level }, index, width).unwrap();
        prop_assert_eq!(tile.to_string().parse(), Ok(tile));
        let checkpoint = Checkpoint::new("log.example", size, Hash(root)).unwrap();
        prop_assert_eq!(checkpoint.to_string().parse(), Ok(checkpoint));
    }

    #[test]
    fn parsers_take_anything_and_accept_one_spelling(text in "\\PC*|tile/(entries|[0-9]{1,2})/(x?[0-9]{2,3}/?){1,3}(\\.p/[0-9]{1,3})?",
        note in "[a-z\n—+ =A-Z0-9]{0,80}", bytes: Vec<u8>) {
        if let Ok(tile) = text.parse::<TilePath>() { prop_assert_eq!(tile.to_string(), text.clone()); }
        if let Ok(verifier) = Verifier::parse(&text) { prop_assert_eq!(verifier.to_string(), text); }
        if let Ok(checkpoint) = note.parse::<Checkpoint>() { prop_assert_eq!(checkpoint.to_string(), note.clone()); }
        if let Ok(parsed) = Note::parse(&note) { prop_assert_eq!(parsed.to_string(), note); }
        if let Ok(entries) = bundle_parse(&bytes) {
            prop_assert_eq!(bundle_encode(entries).unwrap(), bytes);
        }
    }
}
