// The peer of the benchmark: the shortest program on Microsoft's Node device SDK
// that keeps promises 1 and 2 for repeatable commands. It remembers the ids it has
// carried out in a log that it reads at the start, and makes each line durable
// before the message is completed.
//
// Everything that it leaves out makes it faster: no plan, no checks, no expiry, no
// lease, no report to the back end, no trace of what moved, no proof of its log.
//
// The write is synchronous because the SDK's complete() does nothing over MQTT:
// the mqtt package sends the PUBACK itself as soon as the handler returns.
// (This is also the fastest way: a PUBACK that waits for a callback needs the
// mqtt package's own handleMessage, behind the SDK's back.)
'use strict';

const fs = require('fs');
const { Client } = require('azure-iot-device');
const { Mqtt } = require('azure-iot-device-mqtt');

const [connectionString, caFile, logFile, noDelay] = process.argv.slice(2);

// The mqtt package leaves Nagle's algorithm on, so that the second PUBACK of a
// backlog waits for the hub's delayed TCP acknowledgement (40 ms). Who knows that
// can reach behind the SDK and switch it off; the benchmark measures both.
if (noDelay === 'nodelay') {
  const tls = require('tls');
  const connect = tls.connect;
  tls.connect = (...args) => {
    const socket = connect(...args);
    socket.setNoDelay(true);
    return socket;
  };
}

const seen = new Set();
if (fs.existsSync(logFile)) {
  for (const line of fs.readFileSync(logFile, 'utf8').split('\n')) {
    if (line !== '') seen.add(JSON.parse(line).id);
  }
}
const log = fs.openSync(logFile, 'a');

// carryOut stands for the pin: setting a variable is the cheapest there is.
const levels = {};
function carryOut(command) {
  levels[command.target] = command.action === 'toggle' ? levels[command.target] !== 'on' : command.action;
}

const client = Client.fromConnectionString(connectionString, Mqtt);
client.on('error', (err) => { console.error(err); process.exit(1); });
client.on('message', (message) => {
  if (!seen.has(message.messageId)) {
    carryOut(JSON.parse(message.getData().toString()));
    fs.writeSync(log, JSON.stringify({ id: message.messageId, at: new Date().toISOString(), outcome: 'done' }) + '\n');
    fs.fdatasyncSync(log);
    seen.add(message.messageId);
  }
  client.complete(message, (err) => { if (err) console.error(err); });
});

client.setOptions({ ca: fs.readFileSync(caFile, 'utf8') })
  .then(() => client.open())
  .catch((err) => { console.error(err); process.exit(1); });
