//go:build !linux

package dial

import "net"

// dialer has no TCP_USER_TIMEOUT outside Linux; the deadline on every write and
// the keep-alive still find a dead peer, only later.
func dialer() *net.Dialer { return &net.Dialer{KeepAlive: -1} }
