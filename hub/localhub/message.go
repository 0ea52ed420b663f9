package localhub

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"actuatord/hub"
)

// maxTopic is the length of an MQTT string: a property bag beyond it cannot be
// delivered, whatever the message's size. What the real hub does with such a
// message is not known; refusing it at the sender loses nothing.
const maxTopic = 65535

// checkMessage refuses what the service side of a hub refuses.
func checkMessage(deviceID string, m hub.Message) error {
	if err := checkMessageID(m.ID); err != nil {
		return err
	}
	switch m.Ack {
	case "", "none":
	case "positive", "negative", "full":
		if m.ID == "" {
			return fmt.Errorf("%w: ack=%s needs a message id: feedback names the message by it", ErrInvalid, m.Ack)
		}
	default:
		return fmt.Errorf("%w: ack is %q; it can be none, positive, negative or full", ErrInvalid, m.Ack)
	}
	size := len(m.Body) + len(m.ID) + len(m.CorrelationID) + len(m.UserID) + len(m.To) + len(m.ContentType) + len(m.ContentEncoding) + len(m.Ack)
	for k, v := range m.Properties {
		if k == "" || strings.HasPrefix(k, "$.") || k == "iothub-ack" {
			return fmt.Errorf("%w: an application property cannot be named %q", ErrInvalid, k)
		}
		size += len(k) + len(v)
	}
	if size > maxMessage {
		return fmt.Errorf("%w: %d bytes with its properties; %d are allowed", ErrTooLarge, size, maxMessage)
	}
	if n := len(hub.FormatDevicebound(deviceID, m)); n > maxTopic {
		return fmt.Errorf("%w: its properties make a topic of %d bytes; MQTT allows %d", ErrTooLarge, n, maxTopic)
	}
	return nil
}

// checkMessageID knows the hub's documented character set.
func checkMessageID(id string) error {
	if len(id) > maxMessageID {
		return fmt.Errorf("%w: message id has %d characters; %d are allowed", ErrInvalid, len(id), maxMessageID)
	}
	for i := range len(id) {
		c := id[i]
		alphanumeric := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !alphanumeric && strings.IndexByte("-:.+%_#*?!(),=@;$'", c) < 0 {
			return fmt.Errorf("%w: character %d of the message id (%q) is not allowed", ErrInvalid, i+1, c)
		}
	}
	return nil
}

// ownCopy detaches m from its sender, and fills in the address as SDKs do.
func ownCopy(deviceID string, m hub.Message) hub.Message {
	m.Body = slices.Clone(m.Body)
	m.Properties = maps.Clone(m.Properties)
	if m.To == "" {
		m.To = "/devices/" + deviceID + "/messages/devicebound"
	}
	return m
}

// nameOf is how a message is called in the record: its id, or "#" and its
// sequence number if the sender gave it none.
func nameOf(e entry) string {
	if e.message.ID != "" {
		return e.message.ID
	}
	return fmt.Sprintf("#%d", e.seq)
}
