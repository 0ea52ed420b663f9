package command

import (
	"encoding/json"
	"time"
)

// Report is what the back end is told, as it travels (design: fields are only
// ever added; readers ignore what they do not know). The journal fills in Seq
// and ReportID when it becomes durable.
type Report struct {
	V         int    `json:"v"`                  // 1
	Kind      string `json:"kind"`               // KindOutcome, KindChange, KindStart, KindAlarm
	ReportID  string `json:"reportId,omitempty"` // none: the report was told without a journal
	Seq       uint64 `json:"seq,omitempty"`      // a gap is a report that was lost; 0: none, likewise
	MessageID string `json:"messageId,omitempty"`
	ID        string `json:"id,omitempty"` // the body's id, where there was no message id

	Target  string `json:"target,omitempty"`
	Action  string `json:"action,omitempty"`
	Outcome string `json:"outcome,omitempty"` // a State's String
	Reason  Reason `json:"reason,omitempty"`
	Detail  string `json:"detail,omitempty"`

	Level    string             `json:"level,omitempty"`    // of the target, after: "on", "off", "unknown"
	Levels   map[string]string  `json:"levels,omitempty"`   // of every output and level
	Percent  *Percent           `json:"percent,omitempty"`  // of a level, after, if it is known
	Percents map[string]Percent `json:"percents,omitempty"` // of every level that is known
	Inputs   map[string]string  `json:"inputs,omitempty"`   // of every input: "active", "inactive", "unknown"
	Cause    string             `json:"cause,omitempty"`    // of a change: lease, permit, disabled, enabled, safe, trip, local

	Disabled map[string]string `json:"disabled,omitempty"` // of a start and a read: what people have disabled, by whom and why

	Alarm string `json:"alarm,omitempty"` // of an alarm: which; an Alarm constant
	State string `json:"state,omitempty"` // of an alarm: a State constant

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
	KindChange  = "change"  // an output moved and no command asked, or a target was disabled or enabled
	KindStart   = "start"   // the agent started: all levels, and why
	KindAlarm   = "alarm"   // something needs a person
)

// Alarms: what needs a person. A back end decides by the word, so none is ever
// reused; docs/commands.md says of each what to do.
const (
	AlarmClock          = "clock"             // the time is not known well enough to judge ages
	AlarmStorage        = "storage"           // the journal cannot be used: nothing is carried out
	AlarmHistory        = "history-lost"      // the record of past commands was lost: once-only commands are refused
	AlarmUnrejectable   = "unrejectable"      // refused messages block the queue, since HTTPS cannot be reached
	AlarmBus            = "bus"               // an output cannot be driven safe, a register not written, or an input not read
	AlarmSameID         = "same-id-elsewhere" // sessions keep being closed early: another device has our id
	AlarmFirstSubscribe = "first-subscribe"   // the first connect went ahead without draining the queue
	AlarmNoSession      = "no-session"        // commands come by polls only
	AlarmDisabled       = "disabled-unknown"  // what is disabled cannot be read, so everything is
	AlarmUnreachable    = "https-unreachable" // HTTPS, the way for polls and refusals, cannot be reached
)

// States of an alarm.
const (
	StateRaised    = "raised"
	StateCleared   = "cleared"
	StateCompleted = "completed" // only AlarmUnrejectable: it is of one message, which was completed although it was refused
)
