"""Verifies what a journal says of itself with pymerkle: reads the evidence on standard input, ends well only if all of it holds.

What it doesn't know is the other verifier's business: signed notes, and RFC 6962's consistency proofs. Its own are laid out in another way, so
here it is shown by those that each signed root goes on from the ones before.
"""

import base64
import json
import sys

from pymerkle import InmemoryTree, InvalidProof
from pymerkle.proof import ConsistencyProof, InclusionProof


def refuses(proof, *states):
    """Whether a proof with one changed bit is refused."""
    changed = bytearray(proof.path[-1])
    changed[0] ^= 1
    proof.path = proof.path[:-1] + [bytes(changed)]
    try:
        proof.verify(*states)
    except InvalidProof:
        return True
    return False


def main():
    given = json.load(sys.stdin)
    tree = InmemoryTree(algorithm="sha256")
    tree.append_entries([base64.b64decode(leaf) for leaf in given["Leaves"]])

    roots = {}
    for note in given["Checkpoints"]:
        _, size, root = note.split("\n")[:3]
        roots[int(size)] = base64.b64decode(root)
        own = tree.get_root(int(size))
        assert own == roots[int(size)], f"the root of {size} leaves is {own.hex()}"

    for proof in given["Inclusion"]:
        index, size = proof["Index"] + 1, proof["Size"]
        leaf, root = tree.get_leaf(index), roots[size]
        own = tree.prove_inclusion(index, size)
        # Its paths begin with the leaf's own hash.
        path = [leaf] + [base64.b64decode(digest) for digest in proof["Proof"]]
        checked = InclusionProof("sha256", True, size, index, own.rule, path)
        checked.verify(leaf, root, index=index, size=size, algorithm="sha256")
        assert own.path == path, f"entry {index} of {size}: another proof"
        assert refuses(checked, leaf, root), f"entry {index} of {size}: a forged proof verifies"

    for proof in given["Consistency"]:
        older, newer = proof["Older"], proof["Newer"]
        own = tree.prove_consistency(older, newer)
        own.verify(roots[older], roots[newer], prior_size=older, later_size=newer, algorithm="sha256")
        assert refuses(own, roots[older], roots[newer]), f"{older} before {newer}: a forged proof verifies"

    counts = (len(given[what]) for what in ("Checkpoints", "Inclusion", "Consistency"))
    print("{} checkpoints, {} inclusion proofs, {} pairs of roots".format(*counts))


main()
