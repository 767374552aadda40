// Listens for HEP over UDP, and prints what hep-js makes of each packet, as a line of JSON.

import dgram from 'node:dgram';
import hep from 'hep-js';

const socket = dgram.createSocket('udp4');
socket.on('message', (packet) => {
  console.log(JSON.stringify(hep.decapsulate(packet)));
});
socket.bind(0, '127.0.0.1', () => console.log(`listening ${socket.address().port}`));
