package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// size: the binaries, as released.
func (b *bench) size(context.Context) error {
	largest := 0.0
	for _, arch := range []string{"armv6", "armv7", "arm64", "amd64"} {
		var cell [2]float64
		for n, program := range []string{"actuatord", "c2d"} {
			info, err := os.Stat(filepath.Join(b.dist, program+"-linux-"+arch))
			if err != nil {
				return err
			}
			cell[n] = float64(info.Size()) / (1 << 20)
		}
		b.report.row("binary, "+arch, fmt.Sprintf("%s MiB (c2d: %s MiB)", figure(cell[0]), figure(cell[1])), "", "")
		largest = max(largest, cell[0])
	}
	b.report.atMost("actuatord, stripped: the largest of four", largest, 8, " MiB")
	return nil
}
