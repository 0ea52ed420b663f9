package localhub

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"actuatord/hub"
)

// Device is one device's identity. Both keys are good at any time, so that one
// can be changed while the other is in use.
type Device struct {
	ID        string
	Primary   hub.Secret
	Secondary hub.Secret
}

// keySize is what the real hub generates: 32 bytes, base64 in a connection
// string.
const keySize = 32

// ConnectionString is what the device is configured with. It contains the
// primary key in the clear.
func (d Device) ConnectionString(host string) string {
	return fmt.Sprintf("HostName=%s;DeviceId=%s;SharedAccessKey=%s", host, d.ID, base64.StdEncoding.EncodeToString(d.Primary.Reveal()))
}

// NewDevice makes an identity with fresh keys. It errs on an id that
// hub.CheckDeviceID refuses.
func NewDevice(id string) (Device, error) {
	if err := hub.CheckDeviceID(id); err != nil {
		return Device{}, fmt.Errorf("device id %q: %w", id, err)
	}
	return Device{ID: id, Primary: newKey(), Secondary: newKey()}, nil
}

func newKey() hub.Secret {
	key := make([]byte, keySize)
	_, _ = rand.Read(key) // never fails: documented since Go 1.24
	return hub.NewSecret(key)
}

// AddDevice registers a device with fresh keys, or gives the one that is
// registered under this id.
func (h *Hub) AddDevice(id string) (Device, error) {
	h.mu.Lock()
	defer h.unlock()
	if d := h.devices[id]; d != nil {
		return d.Device, nil
	}
	d, err := NewDevice(id)
	if err != nil {
		return Device{}, err
	}
	return d, h.register(d)
}

// check tells whether d can be registered.
func (d Device) check() error {
	if err := hub.CheckDeviceID(d.ID); err != nil {
		return fmt.Errorf("id: %w", err)
	}
	if len(d.Primary.Reveal()) == 0 || len(d.Secondary.Reveal()) == 0 {
		return errors.New("a key is empty")
	}
	return nil
}

// PutDevice registers a device with the keys it has, such as from an earlier
// run; it replaces the keys of one that is registered already.
func (h *Hub) PutDevice(d Device) error {
	if err := d.check(); err != nil {
		return fmt.Errorf("device %q: %w", d.ID, err)
	}
	h.mu.Lock()
	defer h.unlock()
	return h.register(d)
}

func (h *Hub) register(d Device) error {
	if h.closed {
		return ErrClosed
	}
	if known := h.devices[d.ID]; known != nil {
		known.Device = d
		return nil
	}
	o := h.options
	h.devices[d.ID] = &device{
		Device: d,
		queue:  queue{limits: limits{depth: queueDepth, deliveries: o.MaxDeliveries, ttl: o.DefaultTTL, maxTTL: longestTTL}},
	}
	return nil
}

// SetEnabled enables or disables a device. Disabling it breaks its connection
// and has CONNECT refused with code 3, as captures of the real hub show.
func (h *Hub) SetEnabled(deviceID string, enabled bool) error {
	return h.with(deviceID, func(d *device, _ time.Time) error {
		d.disabled = !enabled
		if d.disabled && d.conn != nil {
			h.end(d.conn, "device disabled")
		}
		return nil
	})
}

// clockSkew is how long after its expiry a token is still taken at CONNECT and by
// HTTPS (Microsoft's own parser; documented as "drift over 5 minutes").
const clockSkew = 5 * time.Minute

// authenticate checks who connects. why is for the record; the device is told
// a code only. It returns the token's expiry.
func (h *Hub) authenticate(clientID, username, password string, now time.Time) (d *device, expiry time.Time, why string) {
	host, id, err := hub.ParseUsername(username)
	switch {
	case err != nil:
		return nil, expiry, err.Error()
	case !strings.EqualFold(host, h.options.Host):
		return nil, expiry, fmt.Sprintf("user name is for host %q; this hub is %q", host, h.options.Host)
	case id != clientID:
		return nil, expiry, fmt.Sprintf("client id %q and device %q of the user name differ", clientID, id)
	case h.devices[id] == nil:
		return nil, expiry, fmt.Sprintf("unknown device %q", id)
	}
	d = h.devices[id]
	expiry, why = h.verify(d, password, now)
	return d, expiry, why
}

// verify checks a device's token and gives its expiry; why is as above.
func (h *Hub) verify(d *device, token string, now time.Time) (expiry time.Time, why string) {
	sas, err := hub.ParseSAS(token)
	switch {
	case err != nil:
		return expiry, err.Error()
	case sas.Policy != "":
		return expiry, "token is for a policy (skn); a device's own is wanted"
	case !sas.Covers(hub.Resource(h.options.Host, d.ID)):
		return expiry, fmt.Sprintf("token is for %.200q, not for this device", sas.Resource)
	case sas.Verify(d.Primary) != nil && sas.Verify(d.Secondary) != nil:
		return expiry, "signature matches neither key of the device"
	case now.After(sas.Expiry.Add(clockSkew)):
		return expiry, fmt.Sprintf("token expired at %s (401003)", sas.Expiry.Format(time.RFC3339))
	}
	return sas.Expiry, ""
}
