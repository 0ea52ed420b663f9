package command

import (
	"encoding/json"
	"time"
)

// Report is what the back end is told, as it travels (design: fields are only
// ever added; readers ignore what they do not know). The journal fills in Seq
// and ReportID when it becomes durable.
type Report struct {
	V         int    `json:"v"`    // 1
	Kind      string `json:"kind"` // KindOutcome, KindChange, KindStart, KindAlarm
	ReportID  string `json:"reportId"`
	Seq       uint64 `json:"seq"` // a gap is a report that was lost
	MessageID string `json:"messageId,omitempty"`
	ID        string `json:"id,omitempty"` // the body's id, where there was no message id

	Target  string `json:"target,omitempty"`
	Action  string `json:"action,omitempty"`
	Outcome string `json:"outcome,omitempty"` // a State's String
	Reason  Reason `json:"reason,omitempty"`
	Detail  string `json:"detail,omitempty"`

	Level  string            `json:"level,omitempty"`  // of the target, after: "on", "off", "unknown"
	Levels map[string]string `json:"levels,omitempty"` // of every output
	Cause  string            `json:"cause,omitempty"`  // of a change: lease, safe, trip, local

	At         time.Time       `json:"at"`
	Clock      string          `json:"clock"` // "trusted" or "untrusted"
	DurationMs int64           `json:"durationMs"`
	Attempt    int             `json:"attempt,omitempty"`
	Version    string          `json:"version,omitempty"` // of a start
	Meta       json.RawMessage `json:"meta,omitempty"`
}

// Kinds of report.
const (
	KindOutcome = "outcome" // a command came to its end
	KindChange  = "change"  // an output moved and no command asked
	KindStart   = "start"   // the agent started: all levels, and why
	KindAlarm   = "alarm"   // something needs a person
)
