package localhub

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"actuatord/hub"
)

// Names of headers. Those of a message to the device are written as here, those
// of telemetry read in any case.
const (
	headerID              = "iothub-messageid"
	headerCorrelationID   = "iothub-correlationid"
	headerContentType     = "iothub-contenttype"     // telemetry; a message has literally
	headerContentEncoding = "iothub-contentencoding" // … ContentType and ContentEncoding
	headerProperty        = "iothub-app-"

	typeBatch = "application/vnd.microsoft.iothub.json"

	// maxBatch is how many messages one request may hold: a bound for the record,
	// and what Microsoft's SDKs warn of.
	maxBatch = 500
)

// messageHeader gives the headers of a message (Microsoft's command line reads
// them all, and its tests show them). What the real hub does with a property that
// no header can hold is not known: one whose name is not a header's gets none, and
// control characters in values become blanks.
func (h *Hub) messageHeader(e entry, lock string) http.Header {
	m := e.message
	header := http.Header{
		"ETag":                  {`"` + lock + `"`},
		"iothub-sequencenumber": {strconv.FormatUint(e.seq, 10)},
		"iothub-deliverycount":  {strconv.Itoa(e.deliveries)},
		"iothub-enqueuedtime":   {m.Enqueued.UTC().Format(h.options.HTTPTime)},
		"iothub-to":             {m.To},
		"iothub-ack":            {"none"},
		"Content-Type":          nil, // the server must not guess one
	}
	if m.Ack != "" {
		header["iothub-ack"] = []string{m.Ack}
	}
	expiry := ""
	if !m.Expiry.IsZero() {
		expiry = m.Expiry.UTC().Format(h.options.HTTPTime)
	}
	for _, p := range [][2]string{{headerID, m.ID}, {headerCorrelationID, m.CorrelationID}, {"iothub-userid", m.UserID},
		{"iothub-expiry", expiry}, {"ContentType", m.ContentType}, {"ContentEncoding", m.ContentEncoding}} {
		if p[1] != "" || !h.options.OmitEmptyHeaders {
			header[p[0]] = []string{p[1]}
		}
	}
	for name, value := range m.Properties {
		header[headerProperty+name] = []string{value}
	}
	for _, values := range header {
		for i, v := range values {
			values[i] = strings.Map(blankControl, v)
		}
	}
	return header
}

func blankControl(r rune) rune {
	if r < ' ' || r == 0x7f {
		return ' '
	}
	return r
}

// readTelemetry reads the headers of telemetry. Go's server does not tell how the
// name of a header was spelt, so the names of properties are in lower case.
func (req *request) readTelemetry(header http.Header) {
	if kind, _, _ := strings.Cut(header.Get("Content-Type"), ";"); strings.EqualFold(strings.TrimSpace(kind), typeBatch) {
		req.batch = true
		return
	}
	t := hub.Telemetry{}
	for name, values := range header {
		setHeader(&t, name, values[0])
	}
	req.telemetry = []hub.Telemetry{t}
}

// setHeader sets what a header, or a property in a batch, says of telemetry.
func setHeader(t *hub.Telemetry, name, value string) {
	switch name = strings.ToLower(name); name {
	case headerID:
		t.MessageID = value
	case headerCorrelationID:
		t.CorrelationID = value
	case headerContentType:
		t.ContentType = value
	case headerContentEncoding:
		t.ContentEncoding = value
	default:
		if key, ok := strings.CutPrefix(name, headerProperty); ok && key != "" {
			setProperty(t, key, value)
		}
	}
}

// readBody reads the body of telemetry, bounded; that of another request is not
// looked at.
func (req *request) readBody(body io.Reader) {
	if req.kind != PacketHTTPTelemetry || req.bad != nil || req.stray != nil {
		return
	}
	b, err := io.ReadAll(io.LimitReader(body, maxTelemetry+1))
	switch {
	case err != nil:
		req.bad = refuse(http.StatusBadRequest, "the body is cut off")
	case len(b) > maxTelemetry:
		req.bad = refuse(http.StatusRequestEntityTooLarge, fmt.Sprintf("%d bytes are allowed", maxTelemetry))
	case req.batch:
		if req.telemetry, err = readBatch(b); err != nil {
			req.bad = refuse(http.StatusBadRequest, err.Error())
		}
	default:
		t := &req.telemetry[0]
		t.Body = b
		if size(*t) > maxTelemetry {
			req.bad = refuse(http.StatusRequestEntityTooLarge, fmt.Sprintf("%d bytes with the properties are allowed", maxTelemetry))
		}
	}
}

// size is what of telemetry counts.
func size(t hub.Telemetry) int {
	n := len(t.Body) + len(t.MessageID) + len(t.CorrelationID) + len(t.ContentType) + len(t.ContentEncoding)
	for k, v := range t.Properties {
		n += len(k) + len(v)
	}
	return n
}

// readBatch reads several messages: [{"body":"…","properties":{…}}, …], with
// bodies in base64 unless base64Encoded is false.
func readBatch(b []byte) ([]hub.Telemetry, error) {
	var items []struct {
		Body          *string           `json:"body"`
		Base64Encoded *bool             `json:"base64Encoded"`
		Properties    map[string]string `json:"properties"`
	}
	if err := json.Unmarshal(b, &items); err != nil {
		return nil, errors.New("the batch is not JSON of its form")
	}
	if len(items) > maxBatch {
		return nil, fmt.Errorf("the batch has %d messages; %d are allowed", len(items), maxBatch)
	}
	all := make([]hub.Telemetry, len(items))
	for i, item := range items {
		if item.Body == nil {
			return nil, fmt.Errorf("message %d of the batch has no body", i+1)
		}
		body := []byte(*item.Body)
		if item.Base64Encoded == nil || *item.Base64Encoded {
			var err error
			if body, err = base64.StdEncoding.DecodeString(*item.Body); err != nil {
				return nil, fmt.Errorf("the body of message %d of the batch is not base64", i+1)
			}
		}
		all[i].Body = body
		for name, value := range item.Properties {
			setHeader(&all[i], name, value)
		}
	}
	return all, nil
}
