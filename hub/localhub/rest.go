package localhub

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"actuatord/hub"
)

// What a request asks for, read off its method, path, query and headers. Nothing
// here knows a hub; all of it may come from anybody.

// request is what a device asks for over HTTPS.
type request struct {
	kind   Packet
	device string        // "": the path names none
	lock   string        // the lock token in the path, in lower case: of what settles
	hold   time.Duration // for how long a receive locks
	token  string        // of Authorization; a secret

	telemetry []hub.Telemetry // without its body, until that is read
	batch     bool            // … which is several in JSON

	stray *refusal // there is no such request; answered to everybody
	bad   *refusal // its form is wrong; answered to the device only
}

// longestHold bounds the lock that a receive may ask for. SDKs ask for 60 s and
// 180 s; what the real hub allows is not known.
const longestHold = time.Hour

// readRequest reads everything of r but its body.
func readRequest(r *http.Request) request {
	req, method := findRequest(r)
	query, ok := readQuery(r.URL.RawQuery)
	req.token = r.Header.Get("Authorization")
	switch {
	case req.kind == PacketWebSocket:
		return req
	case method == "":
		req.stray = refuse(http.StatusNotFound, "there is nothing at this path")
		return req
	case r.Method != method:
		req.kind = packetHTTPOther
		req.stray = refuse(http.StatusMethodNotAllowed, "this path takes "+method)
		return req
	case req.kind == packetHTTPOther: // a device's identity, which is for the service only
		req.stray = refuse(http.StatusUnauthorized, "an identity is for the service")
		return req
	case !ok:
		req.bad = refuse(http.StatusBadRequest, "the query cannot be read")
		return req
	case !knownVersion(query["api-version"]):
		req.bad = refuse(http.StatusBadRequest, "api-version is missing or unknown")
		return req
	}
	req.bad = req.readForm(r, query)
	return req
}

// findRequest finds what is at a path, and with which method. Its fixed words
// are not case sensitive: SDKs spell devicebound in two ways. The device id is.
func findRequest(r *http.Request) (req request, method string) {
	req.kind = packetHTTPOther
	words := strings.Split(r.URL.EscapedPath(), "/")
	for i, w := range words {
		plain, err := url.PathUnescape(w)
		if err != nil || len(plain) > maxMessageID { // the bound of device ids, too
			return req, ""
		}
		words[i] = plain
	}
	is := func(i int, word string) bool { return i < len(words) && strings.EqualFold(words[i], word) }
	switch {
	case len(words) == 3 && is(1, "$iothub") && is(2, "websocket"):
		req.kind = PacketWebSocket
		return req, http.MethodGet
	case len(words) < 3 || !is(1, "devices") || words[2] == "":
		return req, ""
	}
	req.device = words[2]
	queue := is(3, "messages") && is(4, "devicebound")
	switch {
	case len(words) == 3:
		return req, http.MethodGet
	case len(words) == 5 && is(3, "messages") && is(4, "events"):
		req.kind = PacketHTTPTelemetry
		return req, http.MethodPost
	case len(words) == 5 && queue:
		req.kind = PacketHTTPReceive
		return req, http.MethodGet
	case len(words) == 6 && queue && words[5] != "":
		req.kind, req.lock = PacketHTTPComplete, strings.ToLower(words[5])
		return req, http.MethodDelete
	case len(words) == 7 && queue && words[5] != "" && is(6, "abandon"):
		req.kind, req.lock = PacketHTTPAbandon, strings.ToLower(words[5])
		return req, http.MethodPost
	}
	return req, ""
}

// readQuery reads a query. Names are not case sensitive, the first of several
// counts, and question marks before it are Java's ("??reject=true").
func readQuery(raw string) (query map[string]string, ok bool) {
	query = map[string]string{}
	for pair := range strings.SplitSeq(strings.TrimLeft(raw, "?"), "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, err1 := url.QueryUnescape(name)
		value, err2 := url.QueryUnescape(value)
		if err1 != nil || err2 != nil {
			return nil, false
		}
		name = strings.ToLower(name)
		if _, twice := query[name]; !twice {
			query[name] = value
		}
	}
	return query, true
}

// knownVersion knows the values that device SDKs send.
func knownVersion(v string) bool {
	switch v {
	case "2016-11-14", "2018-06-30", "2019-03-30", "2019-10-01", "2020-09-30", "2021-04-12":
		return true
	}
	return false
}

// readForm reads what a kind of request needs beside its path.
func (req *request) readForm(r *http.Request, query map[string]string) *refusal {
	switch req.kind {
	case PacketHTTPReceive:
		return req.readHold(r, query)
	case PacketHTTPComplete:
		switch value, asked := query["reject"]; {
		case !asked:
		case value == "" || strings.EqualFold(value, "true"):
			req.kind = PacketHTTPReject
		default:
			return refuse(http.StatusBadRequest, "reject is said by itself, or is true")
		}
	}
	if r.Method == http.MethodPost && r.ContentLength <= 0 && r.Header.Get("Content-Length") == "" && len(r.TransferEncoding) == 0 {
		return refuse(http.StatusLengthRequired, "Content-Length is missing")
	}
	if req.kind.settles() {
		return req.checkLock(r.Header["If-Match"])
	}
	req.readTelemetry(r.Header)
	return nil
}

// readHold reads for how long a receive locks: a header, or with the C# SDK the
// query.
func (req *request) readHold(r *http.Request, query map[string]string) *refusal {
	const name = "IotHub-MessageLockTimeout"
	text := r.Header.Get(name)
	if text == "" {
		text = query[strings.ToLower(name)]
	}
	if req.hold = lockTime; text == "" {
		return nil
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if req.hold = time.Duration(n) * time.Second; err != nil || n == 0 || req.hold > longestHold {
		return refuse(http.StatusBadRequest, name+" is not a number of seconds from 1 to 3600")
	}
	return nil
}

// checkLock checks the lock token and its repetition in If-Match: quoted, as the
// C SDK writes it, or not.
func (req *request) checkLock(ifMatch []string) *refusal {
	if len(ifMatch) != 1 {
		return refuse(http.StatusBadRequest, "If-Match is missing, or there are several")
	}
	match := ifMatch[0]
	if n := len(match); n >= 2 && match[0] == '"' && match[n-1] == '"' {
		match = match[1 : n-1]
	}
	switch {
	case !isGUID(req.lock):
		return refuse(http.StatusBadRequest, "the lock token is not a GUID")
	case !strings.EqualFold(match, req.lock):
		return refuse(http.StatusBadRequest, "If-Match is not the lock token of the path")
	}
	return nil
}

// isGUID knows the form of a lock token: 8-4-4-4-12 hexadecimal digits.
func isGUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case (c < '0' || c > '9') && (c < 'a' || c > 'f'):
			return false
		}
	}
	return true
}
