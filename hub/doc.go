// Package hub is the device side of Azure IoT Hub's protocol as pure functions:
// messages, topics and their property bags, connection strings, shared access
// signatures and the classes of errors. Both sides of the wire use it: the
// agent's transports and the local hub.
//
// # Promises
//
// Nothing here opens a socket, reads a clock or keeps state; the same input
// gives the same answer. Every parser takes bytes that a stranger may have
// written: it never panics, allocates no more than a small multiple of its
// input, and says in its error what was wrong and where. No error, no String
// and no log value of this package contains a key: see [Secret].
//
// # Cost and power loss
//
// Parsing a topic allocates one map and its strings. There is nothing on disk
// and so nothing for power loss to take.
package hub
