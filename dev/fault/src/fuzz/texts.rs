//! Notes, checkpoints, keys, hashes, tile paths, bundles and proofs.

use remit_cluster::{Batch, Content, Entries, File, NodeId};
use remit_journal::SignedCheckpoint;
use remit_tlog::bundle::{bundle_encode, bundle_parse};
use remit_tlog::tile::TILE_WIDTH;
use remit_tlog::{
    Checkpoint, Frontier, Hash, Node, Note, ProofError, Signer, TileKind, TilePath, Verifier, consistency_proof, inclusion_proof,
    leaf_hash, verify_consistency, verify_inclusion,
};

use super::checked;
use crate::log::ORIGIN;
use crate::mutate::{flip, mutate};
use crate::random::Random;
use crate::report::{Tally, cannot, progress};

/// What is written as it should be.
struct Corpus {
    texts: Vec<Vec<u8>>,
    /// The texts that were signed.
    signed: Vec<String>,
    verifier: Verifier,
}

impl Corpus {
    fn new() -> Result<Self, String> {
        let signer = Signer::from_seed(ORIGIN, &[31; 32]).map_err(cannot("make a key"))?;
        let verifier = signer.verifier().clone();
        let mut texts = vec![verifier.to_string().into_bytes(), b"a\n\n\n".to_vec()];
        let mut said = Vec::new();
        for size in [0, 1, 9, 70_000, u64::MAX] {
            let root = leaf_hash(&size.to_le_bytes());
            let mut checkpoint = Checkpoint::new(ORIGIN, size, root).map_err(cannot("make a checkpoint"))?;
            if size == 9 {
                checkpoint.extensions.push("an extension".to_owned());
            }
            let note = signer.sign(&checkpoint.to_string()).map_err(cannot("sign a checkpoint"))?.to_string();
            said.push(checkpoint.to_string());
            texts.extend([checkpoint.to_string(), note, root.to_base64()].map(String::into_bytes));
        }
        for (level, index, width) in [(0, 0, 256), (0, 273, 112), (63, 1_234_067, 1), (8, u64::MAX, 255)] {
            for kind in [TileKind::Hashes { level }, TileKind::Entries] {
                let path = TilePath::new(kind, index, width).ok_or("a tile path has no form")?;
                texts.push(path.to_string().into_bytes());
            }
        }
        for count in [0_usize, 1, 5, usize::from(TILE_WIDTH)] {
            let entries: Vec<Vec<u8>> = (0..count).map(|place| vec![7; place % 9]).collect();
            texts.push(bundle_encode(entries.iter().map(Vec::as_slice)).map_err(cannot("make a bundle"))?);
        }
        let entries = Entries { first_index: 3, note: "a note".to_owned(), entries: vec![vec![7; 9], Vec::new()] };
        let file = |bytes| Content::File(File { name: "keys/a.key".to_owned(), bytes });
        for contents in
            [vec![], vec![Content::Entries(entries)], vec![Content::Change(vec![1, 2]), file(None), file(Some(vec![3]))]]
        {
            texts.push(Batch { number: 5, term: 2, node: NodeId([4; 16]), before: leaf_hash(b"before"), contents }.encode());
        }
        Ok(Self { texts, signed: said, verifier })
    }
}

/// Feeds the parsers `count` inputs; how many were accepted.
pub(super) fn feed(count: u64, faulty: bool, tally: &mut Tally) -> Result<u64, String> {
    let corpus = Corpus::new()?;
    let mut random = Random::new(8);
    let mut accepted = 0;
    for done in 1..=count {
        tally.injected += 1;
        if done.is_multiple_of(4) {
            if let Err(what) = checked(|| proof(&mut random)) {
                tally.lost += 1;
                tally.broke(what);
            }
        } else {
            let input = mutate(&corpus.texts, &mut random);
            match checked(|| parse(&corpus, &input, faulty)) {
                Ok(parsed) => accepted += u64::from(parsed),
                Err(what) => {
                    tally.lost += 1;
                    tally.broke(format!("{what}: {:?}", String::from_utf8_lossy(&input)));
                }
            }
        }
        progress("fed", done, count);
    }
    Ok(accepted)
}

/// Whether a value that was read is written as it was.
fn same(what: &str, written: &str, text: &str) -> Result<bool, String> {
    if written == text { Ok(true) } else { Err(format!("{what} has a second spelling, {written:?}")) }
}

/// Gives one input to every parser; whether one took it.
fn parse(corpus: &Corpus, input: &[u8], faulty: bool) -> Result<bool, String> {
    let mut accepted = false;
    if let Ok(entries) = bundle_parse(input) {
        let written = bundle_encode(entries).map_err(cannot("write a bundle again"))?;
        if written != input {
            return Err("a bundle has a second spelling".to_owned());
        }
        accepted = true;
    }
    if let Ok(batch) = Batch::parse(input) {
        if batch.encode() != input {
            return Err("a batch of a cluster's log has a second spelling".to_owned());
        }
        accepted = true;
    }
    let text = &*String::from_utf8_lossy(input);
    // What is wrong on purpose: a parser that doesn't mind what stands before.
    let lenient = if faulty { text.trim_start() } else { text };
    if let Ok(note) = Note::parse(text) {
        accepted |= same("a note", &note.to_string(), text)?;
        if let Ok(said) = note.verify(&corpus.verifier)
            && !corpus.signed.iter().any(|signed| signed == said)
        {
            return Err("a forged note verifies".to_owned());
        }
    }
    if let Some(checkpoint) = SignedCheckpoint::parse(text) {
        accepted |= same("a signed checkpoint", &checkpoint.note, text)?;
        let said =
            Checkpoint::new(ORIGIN, checkpoint.size, checkpoint.root).map_err(cannot("write a checkpoint again"))?.to_string();
        if checkpoint.verify(&corpus.verifier).is_ok() && !corpus.signed.iter().any(|signed| signed.starts_with(&said)) {
            return Err("a forged checkpoint verifies".to_owned());
        }
    }
    if let Ok(checkpoint) = lenient.parse::<Checkpoint>() {
        accepted |= same("a checkpoint", &checkpoint.to_string(), text)?;
    }
    if let Ok(verifier) = Verifier::parse(text) {
        accepted |= same("a key", &verifier.to_string(), text)?;
    }
    if let Ok(path) = text.parse::<TilePath>() {
        accepted |= same("a tile path", &path.to_string(), text)?;
        if TilePath::new(path.kind(), path.index(), path.width()) != Some(path) {
            return Err("a tile path says what no path can say".to_owned());
        }
    }
    if let Some(hash) = Hash::from_base64(text) {
        accepted |= same("a hash", &hash.to_base64(), text)?;
    }
    Ok(accepted)
}

/// How large the trees are whose proofs are changed.
const LEAVES: u64 = 90;

fn leaf(index: u64) -> Hash {
    leaf_hash(&index.to_be_bytes())
}

/// The root of the leaves `start .. end`.
fn root(start: u64, end: u64) -> Hash {
    let mut frontier = Frontier::new();
    (start..end).for_each(|index| frontier.append(leaf(index)));
    frontier.root()
}

fn read(node: Node) -> Hash {
    root(node.index << node.level, (node.index + 1) << node.level)
}

/// Changes a proof, or asks for one of anything: what is changed doesn't verify.
fn proof(random: &mut Random) -> Result<(), String> {
    if random.below(8) == 0 {
        return anything(random);
    }
    let newer = 2 + random.below(LEAVES - 2);
    let older = 1 + random.below(newer - 1);
    let index = random.below(newer);
    let consistency = random.below(2) == 0;
    let sound = |node| Ok::<_, ProofError>(read(node));
    let made = if consistency { consistency_proof(older, newer, sound) } else { inclusion_proof(index, newer, sound) };
    let sound = made.map_err(cannot("make a proof"))?;
    let (mut proof, mut first, mut last) =
        (sound.clone(), if consistency { root(0, older) } else { leaf(index) }, root(0, newer));
    let place = random.place(proof.len() + 1);
    match random.below(6) {
        0 => flip(&mut first.0, random),
        1 => flip(&mut last.0, random),
        2 => drop(proof.pop()),
        3 => proof.insert(place, last),
        4 => proof.swap(0, random.place(sound.len())),
        _ => {
            if let Some(hash) = proof.get_mut(random.place(sound.len())) {
                flip(&mut hash.0, random);
            }
        }
    }
    let verify = |first: &Hash, last: &Hash, proof: &[Hash]| {
        if consistency {
            verify_consistency((older, first), (newer, last), proof)
        } else {
            verify_inclusion(first, index, newer, proof, last)
        }
    };
    let what = if consistency { format!("{older} before {newer}") } else { format!("leaf {index} of {newer}") };
    let (first_sound, last_sound) = (if consistency { root(0, older) } else { leaf(index) }, root(0, newer));
    if verify(&first_sound, &last_sound, &sound).is_err() {
        return Err(format!("{what}: the proof doesn't verify"));
    }
    let changed = proof != sound || first != first_sound || last != last_sound;
    if changed && verify(&first, &last, &proof).is_ok() {
        return Err(format!("{what}: a forged proof verifies"));
    }
    Ok(())
}

/// Proofs for any sizes, of nothing that belongs together.
fn anything(random: &mut Random) -> Result<(), String> {
    let number = |random: &mut Random| random.next() >> random.below(64);
    let (index, size) = (number(random), number(random));
    let hash = leaf(index);
    let nothing = |_| Ok::<_, ProofError>(leaf(0));
    let proofs = [inclusion_proof(index, size, nothing), consistency_proof(index, size, nothing)];
    for proof in proofs.into_iter().flatten() {
        if proof.len() > 65 {
            return Err(format!("a proof of {} hashes for {index} in {size}", proof.len()));
        }
        // Only their ends are of interest here, and that there are ends.
        let _ = verify_inclusion(&hash, index, size, &proof, &hash);
        let _ = verify_consistency((index, &hash), (size, &hash), &proof);
    }
    Ok(())
}
