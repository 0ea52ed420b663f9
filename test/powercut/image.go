package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
)

// filesystem makes an empty ext4 as a Raspberry Pi's root has it: blocks of 4 KiB, a
// journal, checksums of all that is not data.
func filesystem(ctx context.Context, mke2fs, dir string) ([]byte, error) {
	file := filepath.Join(dir, "empty.img")
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.Truncate(cardSize), f.Close()); err != nil {
		return nil, err
	}
	if err := tool(ctx, mke2fs, "-q", "-F", "-t", "ext4", "-b", "4096", "-O", "metadata_csum", file); err != nil {
		return nil, err
	}
	return os.ReadFile(file)
}

// writeSparse writes an image without its zeros, of which most of it is made.
func writeSparse(file string, image []byte) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	err = f.Truncate(int64(len(image)))
	const block = 64 << 10
	zeros := make([]byte, block)
	for at := 0; at < len(image) && err == nil; at += block {
		if b := image[at:min(at+block, len(image))]; !bytes.Equal(b, zeros[:len(b)]) {
			_, err = f.WriteAt(b, int64(at))
		}
	}
	return errors.Join(err, f.Close())
}
