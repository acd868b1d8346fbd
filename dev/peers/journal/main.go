// Verifies what a journal says of itself with Go's sumdb packages: reads the evidence on standard input, ends well only if all of it holds.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type inclusion struct {
	Index, Size int64
	Proof       []tlog.Hash
}

type consistency struct {
	Older, Newer int64
	Proof        []tlog.Hash
}

type evidence struct {
	Vkey        string
	Leaves      [][]byte
	Checkpoints []string
	Inclusion   []inclusion
	Consistency []consistency
}

// hashes is a tree that is computed here, from the leaves alone.
type hashes []tlog.Hash

func (all hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for place, index := range indexes {
		if index < 0 || index >= int64(len(all)) {
			return nil, fmt.Errorf("no hash %d", index)
		}
		found[place] = all[index]
	}
	return found, nil
}

func verify(given evidence) error {
	verifier, err := note.NewVerifier(given.Vkey)
	if err != nil {
		return err
	}
	var tree hashes
	for index, leaf := range given.Leaves {
		more, err := tlog.StoredHashes(int64(index), leaf, tree)
		if err != nil {
			return err
		}
		tree = append(tree, more...)
	}
	roots := map[int64]tlog.Hash{}
	for _, text := range given.Checkpoints {
		size, root, err := checkpoint(text, verifier)
		if err != nil {
			return err
		}
		own, err := tlog.TreeHash(size, tree)
		if err != nil {
			return err
		}
		if own != root && size > 0 {
			return fmt.Errorf("the root of %d leaves is %v, not %v", size, own, root)
		}
		roots[size] = root
	}
	for _, given := range given.Inclusion {
		root, signed := roots[given.Size]
		leaf := tree[tlog.StoredHashIndex(0, given.Index)]
		if !signed {
			return fmt.Errorf("no checkpoint of size %d", given.Size)
		}
		if err := tlog.CheckRecord(given.Proof, given.Size, root, given.Index, leaf); err != nil {
			return fmt.Errorf("entry %d of %d: %w", given.Index, given.Size, err)
		}
		own, err := tlog.ProveRecord(given.Size, given.Index, tree)
		if err != nil || !same(own, given.Proof) {
			return fmt.Errorf("entry %d of %d: another proof: %v", given.Index, given.Size, err)
		}
		// What is forged is refused, or this program verifies nothing.
		for place := range given.Proof {
			given.Proof[place][0] ^= 1
			if tlog.CheckRecord(given.Proof, given.Size, root, given.Index, leaf) == nil {
				return fmt.Errorf("entry %d of %d: a forged proof verifies", given.Index, given.Size)
			}
			given.Proof[place][0] ^= 1
		}
	}
	for _, given := range given.Consistency {
		older, newer := roots[given.Older], roots[given.Newer]
		if err := tlog.CheckTree(given.Proof, given.Newer, newer, given.Older, older); err != nil {
			return fmt.Errorf("%d before %d: %w", given.Older, given.Newer, err)
		}
		own, err := tlog.ProveTree(given.Newer, given.Older, tree)
		if err != nil || !same(own, given.Proof) {
			return fmt.Errorf("%d before %d: another proof: %v", given.Older, given.Newer, err)
		}
	}
	fmt.Printf("%d checkpoints, %d inclusion proofs, %d consistency proofs\n",
		len(given.Checkpoints), len(given.Inclusion), len(given.Consistency))
	return nil
}

// checkpoint gives what a signed checkpoint says, if the key signed it and its origin is the key's name.
func checkpoint(text string, verifier note.Verifier) (int64, tlog.Hash, error) {
	none := tlog.Hash{}
	opened, err := note.Open([]byte(text), note.VerifierList(verifier))
	if err != nil {
		return 0, none, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[3] != "" || lines[0] != verifier.Name() || len(opened.UnverifiedSigs) > 0 {
		return 0, none, fmt.Errorf("not a checkpoint: %q", opened.Text)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return 0, none, err
	}
	root, err := tlog.ParseHash(lines[2])
	return size, root, err
}

func same(one, other []tlog.Hash) bool {
	if len(one) != len(other) {
		return false
	}
	for place := range one {
		if !bytes.Equal(one[place][:], other[place][:]) {
			return false
		}
	}
	return true
}

func main() {
	var given evidence
	err := json.NewDecoder(os.Stdin).Decode(&given)
	if err == nil {
		err = verify(given)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
