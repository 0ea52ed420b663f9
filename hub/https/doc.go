// Package https is IoT Hub's device REST: receive a cloud-to-device message,
// complete, reject or abandon it, and send telemetry, one request after the
// other. It is the way to the queue when MQTT cannot be had, and the only way to
// reject.
//
// # Promises
//
// A request is sent once. Nothing is sent again behind the caller's back: a GET
// that was sent and not answered may have locked a message, and a DELETE may have
// been done. An error therefore tells which of three things is so:
//
//   - errors.Is(err, [ErrNotSent]): it never reached the hub;
//   - errors.As(err, *[StatusError]): the hub answered no. It did nothing, which after a
//     5xx is likely and not sure;
//   - neither: no answer that can be used. The hub may have acted, and after a
//     Receive a message may be locked for a minute.
//
// Every error is a [*hub.Error]. None holds a token, nor more than some hundred
// bytes of what a peer sent.
//
// [Client.Receive] gives a message whole or not at all: an answer whose length is
// not announced is refused, since one that was cut could not be told from it.
// Whatever a peer sends, an answer takes at most 64 KiB of headers and 69 KiB of
// body, and a request 30 s.
//
// # Cost and power loss
//
// A client makes one connection at its first request, about 5 KB for TLS, and
// keeps it until [Client.Close]; a request and its answer are about 1 KB. Two
// goroutines run while a request does, none in between. Nothing is stored: what
// was received and not settled when power goes is delivered again after its lock
// has lapsed.
//
// # Why not http.Transport
//
// Requests are written and answers are read by net/http, but the connection is
// ours. Transport would repeat a GET when a kept connection breaks before the
// answer; goes on dialling when the caller has given up; and writes up to 4 KB of
// what a peer sends unasked to the process's log.
package https
