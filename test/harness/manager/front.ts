/** A load balancer in front of API processes, by connections: one that takes none is passed over. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export async function startFront(ports: readonly number[], stack: AsyncDisposableStack): Promise<string> {
  const open = new Set<Socket>();
  let turn = 0;

  /** To the next process that takes the connection; null where none does. */
  async function reach(): Promise<Socket | null> {
    const first = turn++;
    for (let i = 0; i < ports.length; i++) {
      const far = connect(ports[(first + i) % ports.length] ?? 0, '127.0.0.1');
      const reached = await once(far, 'connect').then(
        () => true,
        () => false,
      );
      if (reached) return far;
    }
    return null;
  }

  async function serve(near: Socket): Promise<void> {
    open.add(near);
    near.on('error', () => {}).on('close', () => open.delete(near));
    const far = await reach();
    if (far === null) {
      near.destroy();
      return;
    }
    far.on('error', () => near.destroy());
    near.on('close', () => far.destroy());
    far.pipe(near);
    near.pipe(far);
  }

  const server = createServer({ pauseOnConnect: true }, (near) => void serve(near));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  stack.defer(() => {
    server.close();
    for (const socket of open) socket.destroy();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
