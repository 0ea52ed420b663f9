package main

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:embed peer/package.json peer/peer.js
var peerFiles embed.FS

// peerKit is the Node peer, installed.
type peerKit struct {
	node   string // the interpreter
	script string
	about  string // versions, for the report
}

// newPeerKit copies the peer into the user's cache and has npm fetch its SDK there,
// once for each state of its package.json.
func newPeerKit(ctx context.Context) (*peerKit, error) {
	node, err := exec.LookPath("node")
	if err != nil {
		return nil, err
	}
	manifest, err := peerFiles.ReadFile("peer/package.json")
	if err != nil {
		return nil, err
	}
	script, err := peerFiles.ReadFile("peer/peer.js")
	if err != nil {
		return nil, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	sum := sha256.Sum256(manifest)
	dir := filepath.Join(cache, "actuatord-bench", hex.EncodeToString(sum[:6]))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	for name, text := range map[string][]byte{"package.json": manifest, "peer.js": script} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return nil, err
		}
	}
	// npm writes this file last: it tells a whole installation from a cut one.
	if _, err := os.Stat(filepath.Join(dir, "node_modules", ".package-lock.json")); err != nil {
		npm := exec.CommandContext(ctx, "npm", "install", "--omit=dev", "--no-audit", "--no-fund")
		npm.Dir = dir
		if out, err := npm.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("npm install in %s: %w\n%s", dir, err, out)
		}
	}
	version, err := exec.CommandContext(ctx, node, "--version").Output()
	if err != nil {
		return nil, fmt.Errorf("ask node for its version: %w", err)
	}
	k := &peerKit{node: node, script: filepath.Join(dir, "peer.js")}
	k.about = fmt.Sprintf("Node %s, azure-iot-device and azure-iot-device-mqtt of peer/package.json", strings.TrimSpace(string(version)))
	return k, nil
}
