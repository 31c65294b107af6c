/** Children that ask `/end_stage` over a connection of their own, again a second after each answer, until it's true. */
import { connect, type Socket } from 'node:net';
import { longId } from '../load/bodies.ts';

type Fleet = {
  port: number;
  children: number;
  prefix: string;
  release: string;
  stage: string;
  paceMs: number;
};

export function parkMany({ port, children, prefix, release, stage, paceMs }: Fleet) {
  let asked = 0;
  let stopped = false;
  const sockets: Socket[] = [];
  const connections: Promise<void>[] = [];
  const through = Array.from({ length: children }, (_, i) => {
    const body = JSON.stringify({ id: longId(prefix, i), strategy_id: release, stage_name: stage });
    const request = `POST /end_stage HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    sockets.push(socket);
    const ask = (): void => {
      asked++;
      socket.write(request);
    };
    connections.push(new Promise((resolve) => socket.once('connect', resolve)));
    socket.once('connect', () => setTimeout(ask, (i / children) * paceMs));
    return new Promise<number>((resolve, reject) => {
      socket.on('data', (chunk: Buffer) => {
        const text = chunk.toString('latin1');
        if (text.includes('true')) resolve(performance.now());
        else if (!text.startsWith('HTTP/1.1 200')) reject(new Error(text.slice(0, 200)));
        else setTimeout(() => stopped || ask(), paceMs);
      });
      socket.on('error', reject);
    });
  });
  return {
    asked: () => asked,
    connected: Promise.all(connections),
    through: Promise.all(through),
    stop: (): void => {
      stopped = true;
      for (const socket of sockets) socket.destroy();
    },
  };
}
