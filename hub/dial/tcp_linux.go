package dial

import (
	"net"
	"syscall"
)

// tcpUserTimeout is TCP_USER_TIMEOUT of linux/tcp.h, which package syscall does
// not name.
const tcpUserTimeout = 18

// dialer makes connections that break when the peer has not confirmed data for
// userTimeout, instead of retransmitting for a quarter of an hour. TCP's own
// keep-alive probes are off: MQTT's are enough, and Go's default of one in 15 s
// would keep a modem awake.
func dialer() *net.Dialer {
	return &net.Dialer{
		KeepAlive: -1,
		Control: func(_, _ string, raw syscall.RawConn) error {
			var refused error
			err := raw.Control(func(fd uintptr) {
				refused = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(userTimeout.Milliseconds()))
			})
			if err != nil {
				return err
			}
			return refused
		},
	}
}
