package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"actuatord/hub"
)

const (
	// credentialName is the name of the systemd credential, as the unit's
	// LoadCredential= gives it.
	credentialName = "connection-string"

	// maxCredential is more than twice the longest connection string there is.
	maxCredential = 4 << 10
)

// ConnectionString reads the device's connection string: from systemd's
// credential "connection-string" if credentialsDir (the value of
// $CREDENTIALS_DIRECTORY, "" if unset) holds one, and otherwise from the
// configured file, which must be a regular file of mode 0600 or stricter. A
// credential that is there and cannot be used is an error: falling back to
// another identity would only hide it. Errors never show the key.
func ConnectionString(c Config, credentialsDir string) (hub.ConnectionString, error) {
	if credentialsDir != "" {
		path := filepath.Join(credentialsDir, credentialName)
		// systemd made the directory for this service alone; its files' modes
		// differ between versions and say nothing.
		s, err := readConnectionString(path, false)
		if !errors.Is(err, fs.ErrNotExist) {
			return s, err
		}
	}
	s, err := readConnectionString(c.Hub.ConnectionStringFile, true)
	if errors.Is(err, fs.ErrNotExist) {
		return s, fmt.Errorf("%w; put the device's connection string there (HostName=…;DeviceId=…;SharedAccessKey=…) and chmod 600 it", err)
	}
	return s, err
}

// Renewed reads the connection string again, for a daemon that was told that it
// has changed. The unit's ExecReload= has put a copy into runtimeDir (the value of
// $RUNTIME_DIRECTORY, "" if unset), since the daemon may not read the file and its
// credential is as old as its start: such a copy wins. Without one it is read as at
// the start. Errors are those of [ConnectionString].
func Renewed(c Config, runtimeDir, credentialsDir string) (hub.ConnectionString, error) {
	if path := renewal(runtimeDir); path != "" {
		s, err := readConnectionString(path, true)
		if !errors.Is(err, fs.ErrNotExist) {
			return s, err
		}
	}
	return ConnectionString(c, credentialsDir)
}

// ForgetRenewal removes the copy that an earlier run may have left in runtimeDir, so
// that what is found there later comes from a reload of this run. systemd removes
// the whole directory at a stop, unless somebody has told it to preserve it.
func ForgetRenewal(runtimeDir string) error {
	path := renewal(runtimeDir)
	if path == "" {
		return nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget an earlier reload: %w", err)
	}
	return nil
}

// renewal is where ExecReload= puts its copy: into the first of the directories, if
// the owner of the machine has added more.
func renewal(runtimeDir string) string {
	first, _, _ := strings.Cut(runtimeDir, ":")
	if first == "" {
		return ""
	}
	return filepath.Join(first, credentialName)
}

func readConnectionString(path string, private bool) (hub.ConnectionString, error) {
	text, err := readSecret(path, private)
	if err != nil {
		return hub.ConnectionString{}, err
	}
	s, err := hub.ParseConnectionString(text)
	if err != nil {
		return hub.ConnectionString{}, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// readSecret reads one small regular file. All checks are made on the open
// file, so that what was checked is what is read; O_NONBLOCK keeps a FIFO from
// holding up the start.
func readSecret(path string, private bool) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, syscall.ELOOP):
		return "", fmt.Errorf("read connection string: %s is a symbolic link, which others may be able to point elsewhere; name the file itself in [hub] connection_string_file", path)
	case errors.Is(err, fs.ErrPermission):
		return "", fmt.Errorf("read connection string: %w; it must belong to the user that actuatord runs as: chown it, and chmod 600", err)
	case err != nil:
		return "", fmt.Errorf("read connection string: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("read connection string: %w", err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("read connection string: %s is no regular file", path)
	}
	if mode := info.Mode().Perm(); private && mode&0o077 != 0 {
		return "", fmt.Errorf("read connection string: %s has mode %#o, so other users can get at the key; run: chmod 600 %s", path, mode, path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxCredential+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("read connection string: %w", err)
	case len(text) > maxCredential:
		return "", fmt.Errorf("read connection string: %s is longer than %d bytes, so it is something else", path, maxCredential)
	case len(strings.TrimSpace(string(text))) == 0:
		return "", fmt.Errorf("read connection string: %s is empty", path)
	}
	return string(text), nil
}
