package localhub

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"actuatord/hub"
)

// devicesFile holds the identities of a hub's directory, keys in the clear, and
// is readable by its owner only.
const devicesFile = "devices.json"

// stored is devicesFile. Fields may be added.
type stored struct {
	Devices []storedDevice `json:"devices"`
}

type storedDevice struct {
	ID        string `json:"id"`
	Primary   string `json:"primaryKey"`
	Secondary string `json:"secondaryKey"`
}

// Devices gives the identities kept in dir, in the order they were made, after
// making those of ids that are missing. So a device keeps its connection string
// from run to run.
func Devices(dir string, ids ...string) ([]Device, error) {
	devices, err := readDevices(dir)
	if err != nil {
		return nil, err
	}
	before := len(devices)
	for _, id := range ids {
		if slices.ContainsFunc(devices, func(d Device) bool { return d.ID == id }) {
			continue
		}
		d, err := NewDevice(id)
		if err != nil {
			return nil, err
		}
		devices = append(devices, d)
	}
	if len(devices) > before {
		err = writeDevices(dir, devices)
	}
	return devices, err
}

func readDevices(dir string) ([]Device, error) {
	path := filepath.Join(dir, devicesFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read devices: %w", err)
	}
	var s stored
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("read devices in %s: %w", path, err)
	}
	var devices []Device
	for i, d := range s.Devices {
		primary, err1 := base64.StdEncoding.DecodeString(d.Primary)
		secondary, err2 := base64.StdEncoding.DecodeString(d.Secondary)
		device := Device{d.ID, hub.NewSecret(primary), hub.NewSecret(secondary)}
		if err := cmp.Or(err1, err2, device.check()); err != nil {
			return nil, fmt.Errorf("read device %d in %s: %w", i+1, path, err) // its id may be a key that was pasted there
		}
		devices = append(devices, device)
	}
	return devices, nil
}

func writeDevices(dir string, devices []Device) error {
	var s stored
	for _, d := range devices {
		s.Devices = append(s.Devices, storedDevice{d.ID,
			base64.StdEncoding.EncodeToString(d.Primary.Reveal()), base64.StdEncoding.EncodeToString(d.Secondary.Reveal())})
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("encode devices: %w", err)
	}
	return writeFile(filepath.Join(dir, devicesFile), append(text, '\n'), 0o600)
}

// WriteConnectionString writes what d is configured with into its own file in
// dir, readable by its owner only, and gives the file's path.
func WriteConnectionString(dir string, d Device, host string) (path string, err error) {
	path = filepath.Join(dir, d.ID+".connection-string")
	return path, writeFile(path, []byte(d.ConnectionString(host)+"\n"), 0o600)
}
