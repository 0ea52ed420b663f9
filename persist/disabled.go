package persist

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Disabled is one target that people have taken out of use. Together they are a file
// of their own beside the journal, since a journal may be set aside, and a machine
// that was locked out must stay so then.
//
// The file is replaced whole: written under another name, synced, renamed, and its
// directory synced, so a power cut leaves the one before or the one after. It costs
// a block and two flushes each time a person disables or enables something.
type Disabled struct {
	Target string    `json:"target"`         // "all" is every one
	Since  time.Time `json:"since,omitzero"` // zero: nobody knew what time it was
	Who    string    `json:"who"`
	Why    string    `json:"why,omitempty"`
}

// DisabledError says that nobody can know what is disabled.
type DisabledError struct {
	Path string
	Err  error
}

func (e *DisabledError) Error() string {
	return fmt.Sprintf("what is disabled cannot be read (%s: %v), so everything counts as disabled; 'actuatord enable all' begins anew, once you know that nothing must stay so", e.Path, e.Err)
}

// Unwrap gives what was wrong.
func (e *DisabledError) Unwrap() error { return e.Err }

const (
	disabledVersion = 1
	// disabledMost bounds what is read: ten times what the five hundred outputs of the
	// largest configuration would take.
	disabledMost = 1 << 20
)

type disabledFile struct {
	Version  int        `json:"v"`
	Disabled []Disabled `json:"disabled"`
}

// DisabledPath is where the file is that belongs to the journal at path.
func DisabledPath(path string) string { return filepath.Join(filepath.Dir(path), "disabled.json") }

// ReadDisabled answers what is disabled. Without a file that is nothing: it is made
// when something is disabled first, and never taken away again. Its error is a
// [*DisabledError].
func ReadDisabled(path string) ([]Disabled, error) {
	list, err := readDisabled(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &DisabledError{Path: path, Err: err}
	}
	return list, nil
}

func readDisabled(path string) ([]Disabled, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, disabledMost+1))
	if err != nil {
		return nil, err
	}
	return decodeDisabled(text)
}

// encodeDisabled writes one line of JSON, for people, and one with its sum.
func encodeDisabled(list []Disabled) ([]byte, error) {
	line, err := json.Marshal(disabledFile{disabledVersion, list})
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(append(line, '\n'), "%08x\n", disabledSum(line)), nil
}

func disabledSum(line []byte) uint32 {
	return crc32.Checksum(line, crc32.MakeTable(crc32.Castagnoli))
}

func decodeDisabled(text []byte) ([]Disabled, error) {
	line, sum, whole := bytes.Cut(text, []byte{'\n'})
	if want := fmt.Sprintf("%08x\n", disabledSum(line)); !whole || string(sum) != want {
		return nil, errors.New("its content is damaged, or was changed by hand")
	}
	var f disabledFile
	if err := json.Unmarshal(line, &f); err != nil {
		return nil, err
	}
	if f.Version != disabledVersion {
		return nil, fmt.Errorf("it has version %d and this actuatord knows %d", f.Version, disabledVersion)
	}
	for _, d := range f.Disabled {
		if d.Target == "" {
			return nil, errors.New("it has an entry without a target")
		}
	}
	return f.Disabled, nil
}

// WriteDisabled makes list what is disabled. When it answers nil that is on the disk;
// after an error it may be, or what was there before.
func WriteDisabled(path string, list []Disabled) error {
	text, err := encodeDisabled(list)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	for _, step := range []func() error{
		func() error { return writeSynced(path+suffixNew, text) },
		func() error { return os.Rename(path+suffixNew, path) },
		func() error { return syncDir(path) },
	} {
		if err := step(); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
	}
	return nil
}

// writeSynced makes or replaces a file. Where root makes it, it is its directory's
// owner's: the daemon is not root, and has to read it. One that root could not give
// away, since its disk was full or its power went, is taken out of the way.
func writeSynced(path string, text []byte) error {
	const flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC | syscall.O_NOFOLLOW
	f, err := os.OpenFile(path, flags, 0o600)
	if errors.Is(err, fs.ErrPermission) && syscall.Unlink(path) == nil {
		f, err = os.OpenFile(path, flags, 0o600)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil && os.Geteuid() == 0 {
		err = giveAway(f)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func giveAway(f *os.File) error {
	dir, err := os.Stat(filepath.Dir(f.Name()))
	if err != nil {
		return err
	}
	if s, ok := dir.Sys().(*syscall.Stat_t); ok && s.Uid != 0 {
		return f.Chown(int(s.Uid), int(s.Gid))
	}
	return nil
}
