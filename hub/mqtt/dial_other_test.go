//go:build !linux

package mqtt

import (
	"net"
	"testing"
)

func checkUserTimeout(*testing.T, net.Conn) {}
