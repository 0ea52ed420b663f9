// Package dial is the road to the hub that all transports share: a TCP
// connection, if need be through an HTTP proxy, and verified TLS on top of it.
//
// # Promises
//
// What [TLS] returns has been proved to be the named host, by a chain to the
// roots that was asked for; nothing of ours was said to anybody else, except the
// host's name and port to a proxy and the credentials of that proxy. Every
// attempt ends: with the context, or after a minute. Whatever a proxy answers,
// not more than 8 KiB of it are read, and no error shows its password.
//
// Config.LeafDate judges the chain at another date and nothing else more
// leniently; it is for finding out the time. [OnlyDates] tells when that helps.
//
// # Cost and power loss
//
// One handshake is about 5 KB on the wire and a second of work on the slowest
// boards. The environment is read at each attempt. Nothing is kept between
// attempts and nothing is written, so power loss takes nothing.
package dial
